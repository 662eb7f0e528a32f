//! What a configuration would do with one request, decision by decision, without sending anything: the
//! answer to "why did this request get that?". Each decision names the line of the file that made it.
//!
//! KrakenD has nothing like it. The rules themselves are not repeated here: limits, router, filters and
//! stages are asked exactly as the running gateway asks them.

mod backends;
mod lane;
mod missing;
mod route;
mod split;

pub use crate::gateway::plain::Plain as Request;
pub use backends::{CallPlan, Dropped, Sent};
pub(crate) use missing::is_public;
pub use split::{PartPlan, SplitPlan};

use crate::base::field::canonical;
use crate::base::problem::pointer_join;
use crate::base::{Dialect, Error, Reason, clock};
use crate::config::{Document, keys};
use crate::gateway::client_ip::ClientAddr;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::{BodySize, Head};
use crate::gateway::lane::Slow;
use crate::gateway::router::Found;
use crate::gateway::snapshot::{Endpoint, Gateway};
use crate::gateway::stage::{Edit, Edits, Flow, HeadStage, Step as Stepped};
use crate::gateway::told::Told;
use crate::gateway::{limits, request_id};
use crate::proxy::request::{doors, is_guarded};
use std::sync::Arc;

/// A place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// JSON pointer.
    pub pointer: String,
    /// Line and column, when known.
    pub position: Option<(u32, u32)>,
}

/// How a decision went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request goes on.
    Passed,
    /// It goes on because something that the file asks for is not implemented.
    Missing,
    /// The gateway answers here.
    Answered,
    /// It ends here.
    Refused,
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was decided, in one or two words.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// What happened, in one sentence.
    pub text: String,
    /// The line that decided; `None` for a default.
    pub because: Option<Place>,
    /// What else is worth knowing, each with its line.
    pub notes: Vec<(String, Option<Place>)>,
}

/// How it all ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Backends are called.
    Served,
    /// The gateway answers by itself with this status.
    Answered {
        /// The status.
        status: u16,
    },
    /// The request is refused.
    Refused {
        /// Status of the dialect.
        status: u16,
        /// Why.
        reason: Reason,
        /// The detail for the log.
        text: String,
    },
}

/// Everything about one request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Method and path of the endpoint that was found.
    pub endpoint: Option<String>,
    /// The decisions in order.
    pub steps: Vec<Step>,
    /// Whether it takes the fast lane, or why not; `None` when no endpoint serves it.
    pub lane: Option<Result<(), Slow>>,
    /// How the endpoint's backends share its requests, if they do.
    pub split: Option<SplitPlan>,
    /// What would go to the backends.
    pub calls: Vec<CallPlan>,
    /// The end.
    pub verdict: Verdict,
}

/// Walks a request through a compiled document.
pub fn explain(document: &Document, gateway: Arc<Gateway>, request: &Request) -> Explanation {
    let mut walk = Walk::new(document, gateway, request);
    let verdict = match walk.whole() {
        Ok(verdict) => verdict,
        Err(error) => walk.refused(&error),
    };
    let endpoint = walk
        .ctx
        .endpoint()
        .map(|e| format!("{} {}", e.method, e.pattern));
    let split = walk.parts();
    Explanation {
        endpoint,
        split,
        steps: walk.steps,
        lane: walk.lane,
        calls: walk.calls,
        verdict,
    }
}

/// Where things stand in the document.
struct Lookup<'a>(&'a Document);

impl Lookup<'_> {
    fn place(&self, pointer: impl Into<String>) -> Place {
        let pointer = pointer.into();
        Place {
            position: self.0.source.locate_key(&pointer),
            pointer,
        }
    }

    /// A key of an object, in whatever case it is written.
    fn key(&self, parent: &str, key: &str) -> Option<Place> {
        let map = self.0.root.pointer(parent)?.as_object()?;
        let (found, _) = keys::lookup(map, key)?;
        Some(self.place(pointer_join(parent, found)))
    }

    /// A key of an endpoint, else of the service.
    fn inherited(&self, endpoint: &str, key: &str) -> Option<Place> {
        self.key(endpoint, key).or_else(|| self.key("", key))
    }

    /// A setting of a service component.
    fn setting(&self, namespace: &str, key: &str) -> Option<Place> {
        let namespace = self.0.service.extra_config.get(namespace)?;
        self.key(&namespace.pointer, key)
    }
}

struct Walk<'a> {
    document: &'a Document,
    at: Lookup<'a>,
    gateway: Arc<Gateway>,
    request: &'a Request,
    ctx: Ctx,
    client: ClientAddr,
    edits: Edits,
    steps: Vec<Step>,
    lane: Option<Result<(), Slow>>,
    calls: Vec<CallPlan>,
    /// The endpoint whose backends share its requests, by index.
    shared: Option<usize>,
    /// The answer is made where the service's stages do not look.
    unguarded: bool,
}

impl<'a> Walk<'a> {
    fn new(document: &'a Document, gateway: Arc<Gateway>, request: &'a Request) -> Self {
        Self {
            document,
            at: Lookup(document),
            request,
            ctx: Ctx::new(Arc::clone(&gateway)),
            client: gateway.service.client_ip.resolve(request),
            gateway,
            edits: Edits::default(),
            steps: Vec::new(),
            lane: None,
            calls: Vec::new(),
            shared: None,
            unguarded: false,
        }
    }

    fn native(&self) -> bool {
        self.gateway.dialect == Dialect::Native
    }

    /// Adds a decision; the last one is open for notes.
    fn step(&mut self, name: &str, outcome: Outcome, text: String, because: Option<Place>) {
        let name = name.to_owned();
        self.steps.push(Step {
            name,
            outcome,
            text,
            because,
            notes: Vec::new(),
        });
    }

    fn note(&mut self, text: impl Into<String>, because: Option<Place>) {
        if let Some(step) = self.steps.last_mut() {
            step.notes.push((text.into(), because));
        }
    }

    fn refused(&self, error: &Error) -> Verdict {
        Verdict::Refused {
            status: self.gateway.service.errors.status(error),
            reason: error.reason,
            text: error.text.to_string(),
        }
    }

    fn whole(&mut self) -> Result<Verdict, Error> {
        self.identify();
        self.limits()?;
        self.client_address();
        let routed = self.route();
        if self.guarded(&routed)
            && let Some(status) = self.service_stages()?
        {
            return Ok(Verdict::Answered { status });
        }
        if let Some(verdict) = routed? {
            return Ok(verdict);
        }
        let gateway = Arc::clone(&self.gateway);
        let Some(endpoint) = self.ctx.endpoint.and_then(|id| gateway.endpoints.get(id)) else {
            return Ok(Verdict::Answered { status: 200 });
        };
        let endpoint = self.shared_out(&gateway, endpoint);
        self.body(endpoint)?;
        if let Some(status) = self.stages(endpoint)? {
            return Ok(Verdict::Answered { status });
        }
        self.plan(endpoint)?;
        Ok(Verdict::Served)
    }

    fn identify(&mut self) {
        if !self.native() {
            return;
        }
        let sent = self.request.header(&crate::base::reply::X_REQUEST_ID);
        self.ctx.request_id = request_id::request_id(sent);
        let text = match sent {
            Some(sent) if sent == self.ctx.request_id.as_bytes() => {
                format!("the client's X-Request-ID is kept: {}", self.ctx.request_id)
            }
            Some(_) => {
                "the client's X-Request-ID is not 1 to 128 visible ASCII characters; a fresh \
                        one is made"
                    .to_owned()
            }
            None => "the client sent none; one is made (req_ and 32 hexadecimal digits)".to_owned(),
        };
        self.step("request id", Outcome::Passed, text, None);
    }

    fn limits(&mut self) -> Result<(), Error> {
        let limits = &self.gateway.service.limits;
        let target =
            self.request.path.len() + self.request.query.as_ref().map_or(0, |q| q.len() + 1);
        let count = self.request.fields.len();
        let bytes: usize = self
            .request
            .fields
            .iter()
            .map(|(n, v)| n.len() + v.len() + 4)
            .sum();
        let (uri, fields, section) = (limits.max_uri, limits.max_headers, limits.max_header_bytes);
        let measured = format!(
            "target {target} of {} bytes, {count} of {} fields, {bytes} of {} bytes of fields",
            number(uri),
            number(fields),
            number(section)
        );
        let setting = |key: &str| self.at.setting("hanzo/limits", key);
        let (because, fix) = match limits::check(self.request, limits) {
            Ok(()) => {
                let block = self.document.service.extra_config.get("hanzo/limits");
                let because = block.map(|n| self.at.place(n.pointer.as_str()));
                self.step("limits", Outcome::Passed, measured, because);
                return Ok(());
            }
            Err(reason @ Reason::UriTooLong) => ((reason, setting("max_url")), "max_url"),
            Err(reason @ Reason::TooManyHeaders) => {
                ((reason, setting("max_headers")), "max_headers")
            }
            Err(reason @ Reason::HeadersTooLarge) => {
                let own = setting("max_header_bytes");
                (
                    (reason, own.or_else(|| self.at.key("", "max_header_bytes"))),
                    "max_header_bytes",
                )
            }
            Err(reason) => ((reason, None), ""),
        };
        let (reason, because) = because;
        let default = because.is_none() && !fix.is_empty();
        let text = format!("{} ({measured})", reason.describe());
        self.step("limits", Outcome::Refused, text, because);
        if default {
            self.note(
                format!("this is the default; raise it with {fix} in hanzo/limits"),
                None,
            );
        }
        Err(reason.into())
    }

    fn client_address(&mut self) {
        let ClientAddr { ip, peer, trusted } = self.client;
        self.ctx.client = ip;
        let proxies = self.at.setting("router", "trusted_proxies");
        let told = |name: &str| {
            self.request
                .fields
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        let told = told("x-forwarded-for") || told("x-real-ip");
        let text = match (trusted, ip == peer) {
            (true, false) => format!("{ip}, told by {peer}, which is trusted"),
            (true, true) => format!("{ip}, the peer (trusted, but it tells of nobody else)"),
            (false, _) if told => {
                format!(
                    "{ip}, the peer; it is no trusted proxy, so its forwarding fields are not believed"
                )
            }
            (false, _) => format!("{ip}, the peer"),
        };
        let missing = proxies.is_none();
        self.step("client address", Outcome::Passed, text, proxies);
        if missing && told && !trusted {
            self.note(
                "if this peer is your proxy, list it in router.trusted_proxies",
                None,
            );
        } else if missing && trusted {
            self.note(
                "KrakenD trusts everybody by default, so any client may choose its address",
                None,
            );
        }
    }

    fn body(&mut self, endpoint: &Endpoint) -> Result<(), Error> {
        let limit = endpoint.limits.max_body;
        let size = match self.request.body {
            BodySize::None => return Ok(()),
            BodySize::Known(size) => format!("{size} bytes"),
            BodySize::Unknown => "of a length not known beforehand".to_owned(),
        };
        let of = if limit == u64::MAX {
            "unlimited".to_owned()
        } else {
            format!("{limit} bytes at most")
        };
        let own = self
            .document
            .service
            .endpoints
            .iter()
            .find(|e| *e.pointer == *endpoint.pointer);
        let own = own.and_then(|e| e.extra_config.get("hanzo/limits"));
        let because = own
            .and_then(|own| self.at.key(&own.pointer, "max_body"))
            .or_else(|| self.at.setting("hanzo/limits", "max_body"));
        let checked = endpoint.limits.check_body(self.request.body);
        let outcome = if checked.is_ok() {
            Outcome::Passed
        } else {
            Outcome::Refused
        };
        self.step("body", outcome, format!("{size}; {of}"), because);
        if checked.is_err() {
            let fix = format!(
                "raise max_body in hanzo/limits at {} or at service level",
                endpoint.pointer
            );
            self.note(fix, None);
        }
        checked.map_err(Error::from)
    }

    /// Whether the service's stages see the request.
    fn guarded(&self, routed: &Result<Option<Verdict>, Error>) -> bool {
        match routed {
            Ok(None) => true,
            Ok(Some(_)) => !self.unguarded,
            Err(error) => is_guarded(&Err(error.clone()), self.gateway.dialect),
        }
    }

    fn service_stages(&mut self) -> Result<Option<u16>, Error> {
        let gateway = Arc::clone(&self.gateway);
        for stage in &gateway.service.head {
            if let Some(status) = self.stage(&**stage, None)? {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    /// Stages that exist decide; of those that do not, it is said that they would.
    fn stages(&mut self, endpoint: &Endpoint) -> Result<Option<u16>, Error> {
        self.missing_stages(endpoint);
        for stage in &endpoint.head {
            if let Some(status) = self.stage(&**stage, Some(endpoint))? {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    /// Where a component is written: at this endpoint, or for the service.
    fn written(&self, name: &str, endpoint: Option<&Endpoint>) -> Option<Place> {
        let service = &self.document.service;
        let extra = match endpoint {
            Some(endpoint) => {
                let mut all = service.endpoints.iter();
                &all.find(|e| *e.pointer == *endpoint.pointer)?.extra_config
            }
            None => &service.extra_config,
        };
        // What locks all endpoints stands at each of them and is written once.
        let namespace = extra.get(name).or_else(|| service.extra_config.get(name))?;
        Some(self.at.place(namespace.pointer.as_str()))
    }

    /// Asks the stages that see every request; a status when one of them answers.
    fn door(&mut self, found: &Found<'_>, matched: &[u8]) -> Option<u16> {
        let gateway = Arc::clone(&self.gateway);
        let stages = doors(&gateway, self.request, found, matched);
        let of_service = std::ptr::eq(stages, &*gateway.service.door);
        let mut owners = gateway.endpoints.iter();
        let endpoint = owners.find(|e| !of_service && std::ptr::eq(stages, &*e.door));
        for stage in stages {
            let because = self.written(stage.name(), endpoint);
            let before = self.edits.answer.len();
            let reply = stage.on_request(self.request, &mut self.edits);
            let says = self.edits.answer.get(before..).unwrap_or_default();
            let text = told(says);
            match reply {
                Some(reply) => {
                    let text = format!("answers {} by itself: {text}", reply.status);
                    self.step(stage.name(), Outcome::Answered, text, because);
                    self.unguarded = true;
                    return Some(reply.status);
                }
                None => self.step(stage.name(), Outcome::Passed, text, because),
            }
        }
        None
    }

    fn stage(
        &mut self,
        stage: &dyn HeadStage,
        endpoint: Option<&Endpoint>,
    ) -> Result<Option<u16>, Error> {
        let name = stage.name();
        let because = self.written(name, endpoint);
        let identity = self.ctx.identity.clone();
        let told = identity
            .as_deref()
            .map(|who| Told::new(self.request, &who.minted));
        let head = told.as_ref().map_or(self.request as &dyn Head, |told| told);
        let now = clock::since_epoch_at(self.ctx.started);
        let foretold = stage.foretell(head, now);
        let outcome = match stage.on_request(head, &mut self.edits, &mut self.ctx) {
            Stepped::Now(outcome) => outcome.map(Some),
            // What is known already needs nobody else's word.
            Stepped::Wait(_) => foretold.refusal.map_or(Ok(None), Err),
        };
        let (how, text) = match &outcome {
            Ok(Some(Flow::Next)) => (Outcome::Passed, "passes".to_owned()),
            Ok(Some(Flow::Reply(reply))) => (
                Outcome::Answered,
                format!("answers {} by itself", reply.status),
            ),
            Ok(None) => (
                Outcome::Passed,
                "has to ask somebody else, so it decides only while the gateway runs".to_owned(),
            ),
            Err(error) => (Outcome::Refused, error.text.to_string()),
        };
        self.step(name, how, text, because);
        for note in foretold.notes {
            self.note(note, None);
        }
        for limit in stage.limits() {
            self.note(limit.words(), None);
        }
        Ok(match outcome? {
            Some(Flow::Reply(reply)) => Some(reply.status),
            _ => None,
        })
    }
}

/// What an answer will say besides.
fn told(edits: &[Edit]) -> String {
    let fields: Vec<String> = edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::Set(name, value) | Edit::Append(name, value) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                Some(format!("{}: {value}", canonical(name.as_str())))
            }
            Edit::Remove(_) => None,
        })
        .collect();
    if fields.is_empty() {
        return "adds nothing to the answer".to_owned();
    }
    format!("the answer says {}", fields.join("; "))
}

/// A count, or what stands for the lack of a limit.
fn number(count: usize) -> String {
    if count == usize::MAX {
        "any number of".to_owned()
    } else {
        count.to_string()
    }
}

#[cfg(test)]
#[path = "explain/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "explain/auth_tests.rs"]
mod auth_tests;
