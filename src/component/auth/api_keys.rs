//! `auth/api-keys` – keys that stand in the file, and what their holders may (reference/krakend-components section
//! 12.1; Enterprise in KrakenD). The service's block holds the keys; only endpoints with a block of their own are locked.
//!
//! A key in a query string goes to no backend, whatever `input_query_strings` says. In the native dialect a good key
//! without the roles is 403, as everywhere in it; KrakenD answers 401.

mod rate;

use crate::base::{Code, Dialect, Error, Problem, Reason};
use crate::component::{Component, EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::identity::Identity;
use crate::gateway::query;
use crate::gateway::rate_limit::RateLimits;
use crate::gateway::stage::{Edits, Flow, Foretold, HeadStage, Step};
use crate::identity::chain::once;
use crate::identity::static_keys::{BadKey, StaticKeys, Written};
use http::{HeaderName, header};
use rate::KeyRate;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "auth/api-keys";
const SERVICE_KEYS: &[&str] = &[
    "keys",
    "strategy",
    "identifier",
    "hash",
    "salt",
    "propagate_role",
];
const ENDPOINT_KEYS: &[&str] = &["roles", "strategy", "identifier", "client_max_rate"];
const STRATEGIES: &[&str] = &["header", "query_string"];

/// What the service's block has for endpoints.
struct Offer {
    keys: StaticKeys,
    strategy: &'static str,
    identifier: Option<String>,
    field: Option<HeaderName>,
}

fn service(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(SERVICE_KEYS);
    let written = s.one_of("hash", Written::WORDS).and_then(Written::of);
    let written = written.unwrap_or_default();
    if written == Written::Fnv128 {
        let message = "FNV is no cryptographic hash: whoever sees the file can make a key for it";
        s.warn_hint("hash", Code::BadValue, message, "use \"sha256\"");
    }
    let keys = keys(s, written);
    if keys.is_empty() {
        let message = "there are no keys, so endpoints that ask for one refuse everybody";
        s.warn("", Code::BadValue, message);
    }
    let offer = Offer {
        keys,
        strategy: strategy(s).unwrap_or("header"),
        identifier: identifier(s),
        field: field(s, "propagate_role"),
    };
    draft.minted.extend(offer.field.clone());
    draft.offers.put(Arc::new(offer));
    Ok(())
}

fn strategy(s: &mut Settings<'_>) -> Option<&'static str> {
    s.one_of("strategy", STRATEGIES)
}

fn identifier(s: &mut Settings<'_>) -> Option<String> {
    s.string("identifier").filter(|name| !name.is_empty())
}

/// A field's name, if there is one.
fn field(s: &mut Settings<'_>, key: &str) -> Option<HeaderName> {
    let name = s.string(key).filter(|name| !name.is_empty())?;
    let parsed = HeaderName::from_bytes(name.as_bytes());
    if parsed.is_err() {
        let message = "this is no name of a header field";
        s.error_hint(key, Code::BadValue, message, "write for example \"X-Role\"");
    }
    parsed.ok()
}

/// The keys. No problem says anything of what stands there: it might be a key.
fn keys(s: &mut Settings<'_>, written: Written) -> StaticKeys {
    let salt = s.string_or("salt", "");
    let mut all = StaticKeys::new(written, &salt);
    s.objects("keys", |one| {
        // Notes on whose key it is may have any name, as in KrakenD's schema.
        let roles = one.list_of_strings("roles");
        let Some(key) = one.string("key") else {
            if !one.has("key") {
                one.require("key");
            }
            return;
        };
        match all.add(&key, roles) {
            Ok(false) => {}
            Ok(true) => one.warn(
                "key",
                Code::DuplicateKey,
                "this key stands here before; the roles of the last one count",
            ),
            Err(BadKey::Empty) => {
                let message = "an empty key is none that a client can send";
                one.error_hint("key", Code::BadValue, message, "take the entry out");
            }
            Err(BadKey::NotHex) => {
                let digits = written.digits().unwrap_or_default();
                let message = format!("this is not the {digits} hexadecimal digits of its hash");
                let hint = "write the hash of salt and key, or choose another \"hash\"";
                one.error_hint("key", Code::BadValue, message, hint);
            }
        }
    });
    all
}

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    let lock = lock(s, draft, dialect);
    draft
        .head
        .extend(lock.map(|lock| Box::new(lock) as Box<dyn HeadStage>));
    Ok(())
}

fn lock(s: &mut Settings<'_>, draft: &mut EndpointDraft, dialect: Dialect) -> Option<Lock> {
    s.known(ENDPOINT_KEYS);
    let offer = draft.offers.get::<Offer>().unwrap_or_else(|| {
        let message = "there are no keys, so this endpoint refuses everybody";
        let hint = "add auth/api-keys with \"keys\" to the extra_config of the service";
        match dialect {
            Dialect::Native => s.error_hint("", Code::MissingKey, message, hint),
            Dialect::Krakend => s.warn_hint("", Code::MissingKey, message, hint),
        }
        Arc::new(Offer {
            keys: StaticKeys::default(),
            strategy: "header",
            identifier: None,
            field: None,
        })
    });
    let own = strategy(s);
    let strategy = own.unwrap_or(offer.strategy);
    let inherited = offer.identifier.clone();
    let inherited = inherited.filter(|_| own.is_none_or(|own| own == offer.strategy));
    let identifier = identifier(s).or(inherited);
    let place = place(s, strategy, identifier);
    if let Some(Place::Query(name)) = &place {
        draft.hidden_query.push(name.clone());
    }
    // A block without roles lets any key in; one that names them wrongly must not.
    s.require("roles");
    let roles = s.list_of_strings("roles");
    let rate = rate::read(s, draft, dialect);
    Some(Lock {
        offer,
        place: place?,
        roles: roles.into_iter().map(Into::into).collect(),
        native: dialect == Dialect::Native,
        rate,
    })
}

/// Where a request has its key.
#[derive(Debug)]
enum Place {
    /// A field that is the key.
    Field(HeaderName),
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// A parameter of the query.
    Query(String),
}

fn place(s: &mut Settings<'_>, strategy: &str, identifier: Option<String>) -> Option<Place> {
    if strategy == "query_string" {
        return Some(Place::Query(identifier.unwrap_or_else(|| "key".to_owned())));
    }
    let Some(name) = identifier else {
        return Some(Place::Bearer);
    };
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        let message = "this is no name of a header field, so no request could show a key";
        let hint = "write for example \"X-API-Key\"";
        s.error_hint("identifier", Code::BadValue, message, hint);
        return None;
    };
    Some(if name == header::AUTHORIZATION {
        Place::Bearer
    } else {
        Place::Field(name)
    })
}

impl Place {
    /// The one key that a request shows. Of two somebody behind us might believe the other one.
    fn key<'h>(&self, head: &'h dyn Head) -> Result<Option<Cow<'h, [u8]>>, Error> {
        let found = match self {
            Self::Field(name) => once(head, name)?.map(Cow::Borrowed),
            Self::Bearer => once(head, &header::AUTHORIZATION)?
                .and_then(bearer)
                .map(Cow::Borrowed),
            Self::Query(name) => {
                let pairs = query::pairs(head.query().unwrap_or_default());
                let mut own = pairs.filter(|(own, _)| **own == *name.as_bytes());
                let first = own.next().map(|(_, value)| value);
                if own.next().is_some() {
                    let told = "the query has more than one key";
                    return Err(Error::new(Reason::ApiKeyInvalid, told));
                }
                first
            }
        };
        Ok(found.filter(|key| !key.is_empty()))
    }
}

/// What stands behind `Bearer`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.trim_ascii().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| rest.trim_ascii())
}

/// Lets in who shows a key with one of the roles.
struct Lock {
    offer: Arc<Offer>,
    place: Place,
    roles: Box<[Box<str>]>,
    native: bool,
    rate: Option<KeyRate>,
}

impl Lock {
    /// Who calls.
    fn open(&self, head: &dyn Head) -> Result<Arc<Identity>, Error> {
        let missing = || Error::new(Reason::CredentialsMissing, "no API key came");
        let shown = self.place.key(head)?.ok_or_else(missing)?;
        let holder = self.offer.keys.find(&shown);
        let holder = holder.ok_or_else(|| Error::new(Reason::ApiKeyInvalid, "unknown API key"))?;
        let role = holder.role(&self.roles).ok_or_else(|| {
            let reason = if self.native {
                Reason::RolesMissing
            } else {
                Reason::ApiKeyInvalid
            };
            Error::new(reason, "the API key has none of the roles")
        })?;
        let who = holder.identity(role, &shown, self.offer.field.as_ref());
        who.ok_or_else(|| Reason::Internal.into())
    }
}

impl HeadStage for Lock {
    fn name(&self) -> &'static str {
        NAME
    }

    fn limits(&self) -> RateLimits {
        self.rate.as_ref().map(KeyRate::limits).unwrap_or_default()
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        Step::Now(self.open(head).and_then(|who| {
            if let (Some(rate), Some(key)) = (&self.rate, &who.key) {
                rate.take(key, edits, ctx)?;
            }
            ctx.prove(who);
            Ok(Flow::Next)
        }))
    }

    fn foretell(&self, _: &dyn Head, _: Duration) -> Foretold {
        let mut foretold = Foretold::default();
        let place = match &self.place {
            Place::Bearer => "behind Bearer in authorization".to_owned(),
            Place::Field(name) => format!("in {name}"),
            Place::Query(name) => format!("in the parameter \"{name}\" of the query"),
        };
        let roles = match self.roles.is_empty() {
            true => "any role".to_owned(),
            false => format!("one of the roles {}", self.roles.join(", ")),
        };
        foretold.note(format!("a key with {roles} is wanted {place}"));
        foretold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Report, Severity};
    use crate::gateway::plain::Plain;
    use serde_json::{Value, json};

    struct Built {
        lock: Option<Lock>,
        draft: EndpointDraft,
        report: Report,
    }

    fn build(keys: &Value, own: &Value, dialect: Dialect) -> Built {
        let mut report = Report::default();
        let mut draft = EndpointDraft::default();
        if !keys.is_null() {
            let mut all = ServiceDraft::default();
            let mut settings = Settings::new(keys, "/s", &mut report);
            service(&mut settings, &mut all, dialect).unwrap();
            draft.offers = all.offers;
        }
        let mut settings = Settings::new(own, "/e", &mut report);
        let lock = lock(&mut settings, &mut draft, dialect);
        Built {
            lock,
            draft,
            report,
        }
    }

    fn ask(built: &Built, request: &Plain) -> Result<Arc<Identity>, Reason> {
        let lock = built.lock.as_ref().unwrap();
        lock.open(request).map_err(|error| error.reason)
    }

    fn with(fields: &[(&str, &str)]) -> Plain {
        Plain::get("/").fields(fields)
    }

    fn keys() -> Value {
        json!({"keys": [{"key": "ka", "roles": ["a"], "@note": 1}, {"key": "kb", "roles": ["b", "c"]}],
               "propagate_role": "X-Role"})
    }

    #[test]
    fn a_key_with_a_role_is_let_in_and_told_to_backends() {
        let built = build(&keys(), &json!({"roles": ["c", "a"]}), Dialect::Native);
        assert_eq!(built.report.problems, []);
        let who = ask(&built, &with(&[("authorization", "bearer  kb ")])).unwrap();
        assert_eq!(
            (&who.minted[0].name, who.minted[0].values[0].as_bytes()),
            (&HeaderName::from_static("x-role"), &b"c"[..])
        );
        for (value, reason) in [
            ("kb", Reason::CredentialsMissing),
            ("Bearer ", Reason::CredentialsMissing),
            ("Basic a2I6", Reason::CredentialsMissing),
            ("Bearer KB", Reason::ApiKeyInvalid),
            ("Bearer kb kb", Reason::ApiKeyInvalid),
        ] {
            let found = ask(&built, &with(&[("Authorization", value)]));
            assert_eq!(found.err(), Some(reason), "{value}");
        }
    }

    #[test]
    fn two_keys_at_once_are_none() {
        let built = build(&keys(), &json!({"roles": ["a"]}), Dialect::Native);
        let twice = [
            ("Authorization", "Bearer ka"),
            ("authorization", "Bearer ka"),
        ];
        assert!(ask(&built, &with(&twice)).is_err());
        let own = json!({"roles": ["a"], "strategy": "query_string"});
        let built = build(&keys(), &own, Dialect::Native);
        assert!(ask(&built, &Plain::get("/?key=ka&key=x")).is_err());
    }

    #[test]
    fn a_key_without_the_role_is_what_each_dialect_says() {
        for (dialect, reason) in [
            (Dialect::Native, Reason::RolesMissing),
            (Dialect::Krakend, Reason::ApiKeyInvalid),
        ] {
            let built = build(&keys(), &json!({"roles": ["b"]}), dialect);
            let found = ask(&built, &with(&[("Authorization", "Bearer ka")]));
            assert_eq!(found.err(), Some(reason));
        }
    }

    #[test]
    fn no_roles_at_all_let_any_key_in() {
        let built = build(&keys(), &json!({"roles": []}), Dialect::Native);
        let who = ask(&built, &with(&[("Authorization", "Bearer ka")])).unwrap();
        assert_eq!(who.minted[0].values[0], "ANY");
    }

    #[test]
    fn an_endpoint_says_where_its_keys_are() {
        let own = json!({"roles": ["a"], "identifier": "X-Key"});
        let built = build(&keys(), &own, Dialect::Native);
        assert!(ask(&built, &with(&[("x-key", "ka")])).is_ok());
        let own = json!({"roles": ["a"], "strategy": "query_string"});
        let built = build(&keys(), &own, Dialect::Native);
        assert!(ask(&built, &Plain::get("/?a=1&key=ka")).is_ok());
        assert!(ask(&built, &Plain::get("/?Key=ka")).is_err());
        assert_eq!(built.draft.hidden_query, ["key"]);
        let own = json!({"roles": ["a"], "strategy": "query_string", "identifier": "api key"});
        let built = build(&keys(), &own, Dialect::Native);
        assert!(ask(&built, &Plain::get("/?api+key=%6Ba&apikey=x")).is_ok());
        let service = json!({"keys": [{"key": "ka", "roles": ["a"]}], "identifier": "X-Key"});
        let own = json!({"roles": ["a"], "strategy": "query_string"});
        let built = build(&service, &own, Dialect::Native);
        assert_eq!(
            built.draft.hidden_query,
            ["key"],
            "a field's name is no parameter's"
        );
    }

    #[test]
    fn without_keys_everybody_is_refused() {
        let built = build(&Value::Null, &json!({"roles": ["a"]}), Dialect::Native);
        assert_eq!(built.report.errors(), 1);
        let built = build(&Value::Null, &json!({"roles": ["a"]}), Dialect::Krakend);
        assert_eq!(built.report.errors(), 0);
        let found = ask(&built, &with(&[("Authorization", "Bearer ka")]));
        assert_eq!(found.err(), Some(Reason::ApiKeyInvalid));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_and_never_shown() {
        for (service, own, place) in [
            (
                json!({"hash": "sha256", "keys": [{"key": "topsecret"}]}),
                json!({"roles": []}),
                "/s/keys/0/key",
            ),
            (
                json!({"hash": "md5", "keys": [{"key": "topsecret"}]}),
                json!({"roles": []}),
                "/s/hash",
            ),
            (
                json!({"keys": [{"key": "topsecret"}, {"key": " "}]}),
                json!({"roles": []}),
                "/s/keys/1/key",
            ),
            (
                json!({"keys": [{"kee": "topsecret"}]}),
                json!({"roles": []}),
                "/s/keys/0",
            ),
            (
                json!({"keys": [{"key": ["topsecret"]}]}),
                json!({"roles": []}),
                "/s/keys/0/key",
            ),
            (keys(), json!({}), "/e"),
            (
                keys(),
                json!({"roles": [], "strategy": "cookie"}),
                "/e/strategy",
            ),
            (
                keys(),
                json!({"roles": [], "identifier": "X Key"}),
                "/e/identifier",
            ),
            (
                keys(),
                json!({"roles": [], "client_max_rate": -3}),
                "/e/client_max_rate",
            ),
            (
                json!({"keys": [{"key": "a"}], "propagate_role": "X Role"}),
                json!({"roles": []}),
                "/s/propagate_role",
            ),
        ] {
            let report = build(&service, &own, Dialect::Native).report;
            let errors = report
                .problems
                .iter()
                .filter(|p| p.severity == Severity::Error);
            let places: Vec<_> = errors.map(|p| p.pointer.as_str()).collect();
            assert_eq!(places, [place], "{service} {own}");
            assert!(!format!("{report:?}").contains("topsecret"), "{report:?}");
        }
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        let service = json!({"keys": [{"key": "k", "roles": ["a"]}, {"key": "k", "roles": ["b"]}]});
        let built = build(&service, &json!({"roles": ["b"]}), Dialect::Native);
        assert_eq!(built.report.warnings(), 1);
        assert!(ask(&built, &with(&[("Authorization", "Bearer k")])).is_ok());
    }
}
