//! `hanzo/auth` – who may come in. At service level it says how callers prove who they are, and every endpoint of the file is
//! locked from there on, unless it is public; at an endpoint it says which of these ways count there, and which scopes
//! and roles are needed. KrakenD has no such thing: there each endpoint that nobody thought of is open.
//!
//! - What backends are told of a caller (`claims`) reaches them although `input_headers` does not list it: it is the
//!   gateway's own word. The credentials themselves reach them only where they are listed.
//! - An endpoint's own `auth/validator`, `auth/api-keys` or `auth/basic` is a second lock: an endpoint that has its own way
//!   in is `public` here.
//! - Answers of the key service and of the issuer of opaque tokens are remembered by SHA-256, renewed while they are in
//!   use, and hold for `stale_if_error` longer while nobody answers.

mod guard;
mod public;
mod services;

use crate::base::{Code, Dialect, Problem, Report};
use crate::component::{
    Component, EndpointDraft, ServiceDraft, TokenDefaults, TokensRead, read_tokens,
};
use crate::config::settings::Settings;
use crate::gateway::identity::Identity;
use crate::identity::bearer::Bearer;
use crate::identity::chain::{Chain, Methods, TokenDoor};
use crate::identity::{Absent, Access, ClaimPath, Demand, Match, Mint, MintRule, Naming, mint};
use guard::{Guard, Nobody};
use http::header;
use public::Entry;
use std::sync::Arc;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    each_endpoint: Some(each_endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "hanzo/auth";
const CLAIMS: [(&str, &str); 3] = [
    ("sub", "X-User-ID"),
    ("org", "X-Org-ID"),
    ("scope", "X-Scopes"),
];
const METHODS: &[&str] = &["jwt", "api_key", "introspection"];

/// What the service's settings mean for its endpoints.
struct Setup {
    /// `None` after an error, which refuses the file.
    chain: Option<Arc<Chain>>,
    public: Vec<Entry>,
    /// Where signed tokens have scopes and roles.
    signed: Places,
    /// What backends are told of nobody.
    nobody: Arc<Identity>,
}

/// Where scopes and roles stand.
struct Places {
    scopes: ClaimPath,
    roles: ClaimPath,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            scopes: ClaimPath::flat("scope"),
            roles: ClaimPath::flat("roles"),
        }
    }
}

/// What an endpoint says itself.
#[derive(Default)]
struct Own {
    pointer: String,
    public: Option<bool>,
    methods: Option<Methods>,
    scopes: Vec<String>,
    every_scope: bool,
    roles: Vec<String>,
}

fn service(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    s.known(&["jwt", "api_key", "introspection", "claims", "public"]);
    let before = s.report().errors();
    let mint = claims(s, dialect);
    draft.minted.extend(mint.names().cloned());
    let public = public_paths(s);
    let mut signed = Places::default();
    let jwt = s.object("jwt").and_then(|mut jwt| {
        signed = places(&mut jwt);
        tokens(&mut jwt, draft, &mint, dialect)
    });
    let keys = s.object("api_key").and_then(|mut keys| {
        let door = services::keys(&mut keys, draft, &mint)?;
        draft.tasks.push(door.service.clone());
        Some(door)
    });
    let opaque = s.object("introspection").and_then(|mut opaque| {
        let service = services::introspection(&mut opaque, draft, &mint)?;
        draft.tasks.push(service.clone());
        Some(service)
    });
    if !METHODS.iter().any(|method| s.has(method)) {
        let hint = "write \"jwt\", \"api_key\" or \"introspection\"";
        let message = "no way in is configured, so nobody could ever call";
        s.error_hint("", Code::BadValue, message, hint);
    }
    let sound = s.report().errors() == before;
    let chain = Chain {
        bearer: Bearer::new(header::AUTHORIZATION, "", Dialect::Native),
        jwt,
        keys,
        opaque,
    };
    draft.offers.put(Arc::new(Setup {
        chain: sound.then(|| Arc::new(chain)),
        public,
        signed,
        nobody: nobody(&mint),
    }));
    Ok(())
}

/// Claims and the fields that tell backends of them.
fn claims(s: &mut Settings<'_>, dialect: Dialect) -> Mint {
    let pairs = if s.has("claims") {
        s.string_map("claims")
    } else {
        CLAIMS
            .map(|(claim, field)| (claim.to_owned(), field.to_owned()))
            .into()
    };
    let pointer = s.pointer_of("claims");
    let mut rules: Vec<MintRule> = Vec::new();
    for (claim, field) in pairs {
        let named = mint::field_name(&field);
        let twice = |name| rules.iter().any(|rule| rule.name == name);
        let problem = match named {
            Ok(name) if !twice(name.clone()) => {
                rules.push(MintRule {
                    claim: ClaimPath::dotted_unless_url(&claim),
                    name,
                    absent: Absent::Nothing,
                    unlisted: true,
                });
                continue;
            }
            Ok(_) => "two claims become this field",
            Err(why) => why,
        };
        let place = crate::base::problem::pointer_join(&pointer, &claim);
        let message = format!("\"{field}\" cannot tell backends of a claim: {problem}");
        let hint = "write a field of its own for each claim, for example \"X-User-ID\"";
        s.report()
            .push(Problem::error(Code::BadValue, place, message).hint(hint));
    }
    Mint::new(rules, false, dialect)
}

/// Somebody of whom backends are told nothing, in place of what the client says.
fn nobody(mint: &Mint) -> Arc<Identity> {
    let minted = mint.of(&Default::default()).unwrap_or_default();
    Arc::new(Identity {
        minted,
        ..Identity::default()
    })
}

fn public_paths(s: &mut Settings<'_>) -> Vec<Entry> {
    let mut all = Vec::new();
    for (pointer, path) in s.located_strings("public") {
        match Entry::parse(&path) {
            Ok(entry) => all.push(entry),
            Err(why) => {
                let message = format!("\"{path}\" is no path that can be public: {why}");
                let hint = "write the path of an endpoint as it stands there, or its beginning and a final *";
                s.report()
                    .push(Problem::error(Code::BadValue, pointer, message).hint(hint));
            }
        }
    }
    all
}

/// `jwt`: the settings of `auth/validator` with defaults of our own.
fn tokens(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    mint: &Mint,
    dialect: Dialect,
) -> Option<TokenDoor> {
    let mut tokens = match read_tokens(s, dialect, TokenDefaults::HANZO) {
        TokensRead::Good(tokens) => tokens,
        TokensRead::Refused => return None,
        // KrakenD has no such component that a file could rely on: nobody comes in here either way.
        TokensRead::Off => {
            let hint = "correct them; `check` in the native dialect tells which";
            s.error_hint(
                "",
                Code::BadValue,
                "these settings let no signed token in",
                hint,
            );
            return None;
        }
    };
    tokens.mint = tokens.mint.and(mint);
    draft.minted.extend(tokens.mint.names().cloned());
    let made = tokens.verifier(s, &draft.env, &Naming::default())?;
    draft.tasks.extend(made.task);
    Some(TokenDoor {
        bearer: tokens.bearer.clone(),
        verifier: made.verifier,
        access: tokens.access.clone(),
    })
}

/// Where signed tokens have their scopes and roles.
fn places(s: &mut Settings<'_>) -> Places {
    let text = |key: &str| s.value(key).and_then(|value| value.as_str());
    let nested = s
        .value("roles_key_is_nested")
        .and_then(serde_json::Value::as_bool);
    let roles = text("roles_key")
        .filter(|key| !key.is_empty())
        .unwrap_or("roles");
    let scopes = text("scopes_key")
        .filter(|key| !key.is_empty())
        .unwrap_or("scope");
    Places {
        scopes: ClaimPath::dotted(scopes),
        roles: match nested {
            Some(true) => ClaimPath::dotted_unless_url(roles),
            _ => ClaimPath::flat(roles),
        },
    }
}

fn endpoint(s: &mut Settings<'_>, draft: &mut EndpointDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["public", "methods", "scopes", "scopes_matcher", "roles"]);
    let Some(setup) = draft.offers.get::<Setup>() else {
        let message = "hanzo/auth at an endpoint does nothing without hanzo/auth of the service";
        let problem = Problem::error(Code::BadValue, s.pointer(), message);
        return Err(problem.hint("say at service level how callers prove who they are"));
    };
    let methods = s.has("methods").then(|| methods(s, &setup));
    let own = Own {
        pointer: s.pointer().to_owned(),
        public: s.bool("public"),
        methods,
        scopes: words(s, "scopes"),
        every_scope: s.one_of("scopes_matcher", &["all", "any"]) != Some("any"),
        roles: words(s, "roles"),
    };
    draft.offers.put(Arc::new(own));
    Ok(())
}

/// Words that a caller must have: a list that is there and empty is a mistake.
fn words(s: &mut Settings<'_>, key: &str) -> Vec<String> {
    let all = s.list_of_strings(key);
    let empty = all.is_empty() || all.iter().any(String::is_empty);
    if s.has(key) && empty {
        let hint = "write what is needed, or leave the key out";
        s.error_hint(
            key,
            Code::BadValue,
            format!("{key} names nothing that is needed"),
            hint,
        );
    }
    all
}

fn methods(s: &mut Settings<'_>, setup: &Setup) -> Methods {
    let mut methods = Methods::default();
    for (pointer, word) in s.located_strings("methods") {
        match &*word {
            "jwt" => methods.jwt = true,
            "api_key" => methods.api_key = true,
            "introspection" => methods.introspection = true,
            _ => {
                let message = format!("\"{word}\" is no way to prove who one is");
                let hint = format!("write one of \"{}\"", METHODS.join("\", \""));
                s.report()
                    .push(Problem::error(Code::BadValue, pointer, message).hint(hint));
                continue;
            }
        }
        let known = setup.chain.as_ref().map(|chain| chain.methods());
        if known.is_some_and(|known| !known.words().any(|one| one == word)) {
            let message = format!("hanzo/auth of the service does not set up \"{word}\"");
            let hint =
                format!("add \"{word}\" to hanzo/auth at service level, or take it out here");
            s.report()
                .push(Problem::error(Code::BadValue, pointer, message).hint(hint));
        }
    }
    if methods == Methods::default() {
        let message = "methods lets nobody in";
        let hint = "leave it out for all of the service's, or set \"public\"";
        s.error_hint("methods", Code::BadValue, message, hint);
    }
    methods
}

/// Locks an endpoint, unless it is public.
fn each_endpoint(draft: &mut EndpointDraft, dialect: Dialect, report: &mut Report) {
    let Some(setup) = draft.offers.get::<Setup>() else {
        return;
    };
    let own = draft.offers.get::<Own>().unwrap_or_default();
    let Some(chain) = setup.chain.as_ref() else {
        return;
    };
    let listed = setup
        .public
        .iter()
        .any(|entry| entry.covers(&draft.at.path));
    let open = listed || draft.public || own.public == Some(true);
    let locks = own.methods.is_some() || !own.scopes.is_empty() || !own.roles.is_empty();
    if open && (locks || own.public == Some(false)) {
        let message = "this endpoint is public and locked at the same time";
        let hint = "take \"public\" away, or what is demanded of callers; \"public\" of the service and \
                    auth/public count, too";
        let problem = Problem::error(Code::BadValue, own.pointer.clone(), message);
        report.push(problem.hint(hint));
        return;
    }
    if open {
        if dialect == Dialect::Krakend {
            draft.head.push(Box::new(Nobody(Arc::clone(&setup.nobody))));
        }
        return;
    }
    let access = |places: &Places| Access {
        roles: Demand::new(places.roles.clone(), &own.roles, Match::Any),
        scopes: Demand::new(
            places.scopes.clone(),
            &own.scopes,
            if own.every_scope {
                Match::All
            } else {
                Match::Any
            },
        ),
    };
    let some = setup
        .public
        .iter()
        .filter(|entry| entry.meets(&draft.at.path));
    draft.authenticates = true;
    draft.head.push(Box::new(Guard {
        chain: Arc::clone(chain),
        methods: chain.methods().and(own.methods.unwrap_or(Methods::ALL)),
        signed: access(&setup.signed),
        asked: access(&Places::default()),
        open: some.cloned().collect(),
        nobody: (dialect == Dialect::Krakend).then(|| Arc::clone(&setup.nobody)),
        metrics: Arc::clone(&draft.env.metrics),
    }));
}

#[cfg(test)]
#[path = "auth/tests.rs"]
mod tests;
