//! `hanzo/mtls` – the certificate of a client says who it is: backends are told, and some are not let in.
//!
//! The listener verifies certificates (`tls`). With `tls.enable_mtls` it wants one for every connection, as in KrakenD;
//! without, this block makes it ask for one and go on if none comes, so that each endpoint decides for itself. What an
//! endpoint says stands over what the service says, key by key. KrakenD has no such thing.

mod names;
mod revoked;

use crate::base::{Code, Dialect, Error, Problem, Reason, Report, clock};
use crate::body::{Object, Value};
use crate::component::{Component, EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::identity::{Identity, Minted, Proof};
use crate::gateway::stage::{Edit, Edits, Flow, Foretold, HeadStage, Step};
use crate::net::Certificate;
use http::{HeaderName, HeaderValue};
use names::{Allowed, Fact};
use revoked::Revoked;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    each_endpoint: Some(each_endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "hanzo/mtls";

/// What a block says; `None` for what it does not.
#[derive(Clone, Default)]
struct Rules {
    headers: Option<Arc<[(Fact, HeaderName)]>>,
    require: Option<bool>,
    allow: Option<Arc<Allowed>>,
}

impl Rules {
    /// The fields that backends are told with.
    fn names(&self) -> impl Iterator<Item = HeaderName> {
        let all = self.headers.iter().flat_map(|all| all.iter());
        all.map(|(_, name)| name.clone())
    }
}

/// What the service's block has for endpoints.
struct Offer {
    rules: Rules,
    revoked: Arc<Revoked>,
}

fn service(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["headers", "require", "allow", "crls"]);
    let offer = Offer {
        rules: rules(s),
        revoked: Arc::new(revoked::read(s, clock::since_epoch())),
    };
    draft.minted.extend(offer.rules.names());
    draft.offers.put(Arc::new(offer));
    Ok(())
}

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    s.known(&["headers", "require", "allow"]);
    let own = rules(s);
    let offer = draft.offers.get::<Offer>();
    let (all, revoked) = match &offer {
        Some(offer) => (offer.rules.clone(), Arc::clone(&offer.revoked)),
        None => Default::default(),
    };
    let rules = Rules {
        headers: own.headers.or(all.headers),
        require: own.require.or(all.require),
        allow: own.allow.or(all.allow),
    };
    draft.minted.extend(rules.names());
    draft
        .head
        .push(Box::new(Lock::new(rules, revoked, dialect)));
    Ok(())
}

/// Endpoints without a block of their own follow the service's.
fn each_endpoint(draft: &mut EndpointDraft, dialect: Dialect, _: &mut Report) {
    let done = draft.head.iter().any(|stage| stage.name() == NAME);
    if let Some(offer) = draft.offers.get::<Offer>().filter(|_| !done) {
        let lock = Lock::new(offer.rules.clone(), Arc::clone(&offer.revoked), dialect);
        draft.head.push(Box::new(lock));
    }
}

fn rules(s: &mut Settings<'_>) -> Rules {
    Rules {
        headers: headers(s),
        require: s.bool("require"),
        allow: names::allowed(s).map(Arc::new),
    }
}

fn headers(s: &mut Settings<'_>) -> Option<Arc<[(Fact, HeaderName)]>> {
    s.value("headers")?;
    let place = s.pointer_of("headers");
    let mut all = Vec::new();
    for (word, name) in s.string_map("headers") {
        if word.starts_with('@') {
            continue;
        }
        let at = crate::base::problem::pointer_join(&place, &word);
        let problem = match (Fact::of(&word), HeaderName::from_bytes(name.as_bytes())) {
            (Some(fact), Ok(name)) => {
                all.push((fact, name));
                continue;
            }
            (None, _) => Problem::error(Code::BadValue, at, "a certificate says no such thing")
                .hint(format!("use one of {}", Fact::words())),
            (_, Err(_)) => Problem::error(Code::BadValue, at, "this is no name of a header field")
                .hint("write for example \"X-Client-Subject\""),
        };
        s.report().push(problem);
    }
    Some(all.into())
}

/// Lets in who has a certificate that is good enough.
struct Lock {
    /// Which lock it is, for what certificates remember.
    id: u64,
    rules: Rules,
    revoked: Arc<Revoked>,
    native: bool,
}

/// What a lock made of a certificate.
type Judged = Result<Arc<Identity>, &'static str>;

impl Lock {
    fn new(rules: Rules, revoked: Arc<Revoked>, dialect: Dialect) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            rules,
            revoked,
            native: dialect == Dialect::Native,
        }
    }

    /// Who calls; `None` for somebody without a certificate where none is needed.
    fn judge(
        &self,
        certificate: Option<&Certificate>,
        now: i64,
    ) -> Result<Option<Arc<Identity>>, Error> {
        let refuse = |text| Err(Error::new(Reason::CertificateInvalid, text));
        let Some(certificate) = certificate else {
            if self.rules.require.unwrap_or(true) {
                return refuse("the client has no certificate");
            }
            return Ok(None);
        };
        // A connection may outlive the certificate that it began with.
        if now > certificate.not_after {
            return refuse("the certificate has expired since the connection began");
        }
        let judged: Arc<Judged> = certificate.made(self.id, || self.look(certificate));
        match &*judged {
            Ok(who) => Ok(Some(Arc::clone(who))),
            Err(text) => refuse(text),
        }
    }

    fn look(&self, certificate: &Certificate) -> Judged {
        if self.revoked.has(certificate) {
            return Err("the certificate is revoked");
        }
        let allowed = self.rules.allow.as_ref();
        if allowed.is_some_and(|allowed| !allowed.matches(certificate)) {
            return Err("the certificate names nobody who is allowed");
        }
        Ok(Arc::new(self.identity(certificate)))
    }

    fn identity(&self, certificate: &Certificate) -> Identity {
        let minted = self.fields().map(|(fact, name)| Minted {
            name: name.clone(),
            values: values(fact.of_certificate(certificate)),
            unlisted: true,
        });
        let names = [&certificate.uri, &certificate.email, &certificate.dns];
        let named = names.into_iter().flatten().next();
        let subject = named.unwrap_or(&certificate.subject);
        let mut claims = Object::with("sub", Value::string(subject));
        claims.insert("iss", Value::string(&certificate.issuer));
        for fact in Fact::ALL {
            let all = fact.of_certificate(certificate);
            let all: Vec<Value> = all.iter().map(|text| Value::string(text)).collect();
            claims.insert(fact.word(), Value::Array(all.into()));
        }
        Identity {
            proof: Some(Proof::Certificate),
            subject: Some(subject.as_str().into()),
            claims,
            minted: minted.collect(),
            ..Identity::default()
        }
    }

    fn fields(&self) -> impl Iterator<Item = &(Fact, HeaderName)> {
        self.rules.headers.iter().flat_map(|all| all.iter())
    }
}

fn values(all: Vec<String>) -> Box<[HeaderValue]> {
    all.into_iter()
        .filter_map(|text| HeaderValue::try_from(text).ok())
        .collect()
}

impl HeadStage for Lock {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        let now = i64::try_from(clock::since_epoch().as_secs()).unwrap_or(i64::MAX);
        let certificate = head.certificate().map(|certificate| &**certificate);
        Step::Now(self.judge(certificate, now).map(|who| {
            match who {
                Some(who) => ctx.prove(who),
                // In the native dialect nobody's are believed anyway.
                None if self.native => {}
                None => {
                    let names = self.fields().map(|(_, name)| Edit::Remove(name.clone()));
                    edits.upstream.extend(names);
                }
            }
            Flow::Next
        }))
    }

    fn foretell(&self, head: &dyn Head, _: Duration) -> Foretold {
        let mut foretold = Foretold::default();
        if head.certificate().is_none() {
            foretold.note("no certificate can be shown here: only while the gateway runs");
        }
        foretold
    }
}

#[cfg(test)]
#[path = "mtls/tests.rs"]
mod tests;
