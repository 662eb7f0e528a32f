//! `auth/basic` – names and passwords (RFC 7617; Enterprise in KrakenD). Only endpoints with a block of their own are
//! locked: an empty one takes the service's, any other stands alone.
//!
//! Differs from KrakenD: hashes of other kinds than bcrypt refuse the file, as their users could never come in, or too
//! many could. The file of users is read again at each reload.

use crate::base::error::Challenge;
use crate::base::problem::pointer_join;
use crate::base::{Code, Dialect, Error, Problem, Reason};
use crate::component::{Component, EndpointDraft, Env, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::identity::{Identity, Minted, Proof};
use crate::gateway::stage::{Edits, Flow, Foretold, HeadStage, Step};
use crate::identity::chain::once;
use crate::identity::passwords::{Checker, Passwords, Scrubbed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, header};
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "auth/basic";
const KEYS: &[&str] = &["htpasswd_path", "users", "propagate_user"];
/// The longest file of users.
const MAX_FILE: u64 = 16 << 20;

/// What the service's block has for endpoints.
struct Offer(Arc<Users>);

/// Users, and what checks them.
struct Users {
    all: Passwords,
    /// The field that tells backends the name.
    field: Option<HeaderName>,
    checker: Arc<Checker>,
}

fn service(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    let users = read(s, &draft.env);
    draft.minted.extend(users.field.clone());
    draft.offers.put(Arc::new(Offer(Arc::new(users))));
    Ok(())
}

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    let users = users(s, draft, dialect);
    draft.minted.extend(users.field.clone());
    draft.head.push(Box::new(Lock(users)));
    Ok(())
}

fn users(s: &mut Settings<'_>, draft: &EndpointDraft, dialect: Dialect) -> Arc<Users> {
    if s.entries().next().is_some() {
        return Arc::new(read(s, &draft.env));
    }
    if let Some(offer) = draft.offers.get::<Offer>() {
        return Arc::clone(&offer.0);
    }
    let message = "there are no users, so this endpoint refuses everybody";
    let hint = "add \"users\" or \"htpasswd_path\", here or to auth/basic of the service";
    match dialect {
        Dialect::Native => s.error_hint("", Code::MissingKey, message, hint),
        Dialect::Krakend => s.warn_hint("", Code::MissingKey, message, hint),
    }
    Arc::new(Users {
        all: Passwords::default(),
        field: None,
        checker: checker(&draft.env),
    })
}

/// One for the process: it bounds the work of all endpoints together, and a reload forgets no password.
fn checker(env: &Env) -> Arc<Checker> {
    env.kept.get_or(NAME, Checker::default)
}

fn read(s: &mut Settings<'_>, env: &Env) -> Users {
    s.known(KEYS);
    let field = field(s);
    let mut all = Passwords::default();
    if let Some(path) = s.string("htpasswd_path").filter(|path| !path.is_empty()) {
        file(s, &path, field.as_ref(), &mut all);
    }
    // Those of the document stand over those of the file.
    let place = s.pointer_of("users");
    for (name, hash) in s.string_map("users") {
        if name.starts_with('@') {
            continue;
        }
        if let Err(what) = add(&mut all, &name, &hash, field.as_ref()) {
            let hint = "write what `htpasswd -nB NAME` prints behind the colon";
            let problem = Problem::error(Code::BadValue, pointer_join(&place, &name), what);
            s.report().push(problem.hint(hint));
        }
    }
    if all.is_empty() && s.report().errors() == 0 {
        let message = "there are no users, so endpoints that ask for one refuse everybody";
        s.warn("", Code::BadValue, message);
    }
    Users {
        all,
        field,
        checker: checker(env),
    }
}

fn field(s: &mut Settings<'_>) -> Option<HeaderName> {
    let name = s.string("propagate_user").filter(|name| !name.is_empty())?;
    let parsed = HeaderName::from_bytes(name.as_bytes());
    if parsed.is_err() {
        let message = "this is no name of a header field";
        let hint = "write for example \"X-User-ID\"";
        s.error_hint("propagate_user", Code::BadValue, message, hint);
    }
    parsed.ok()
}

/// Takes a user; an error says what is wrong with the hash, and nothing of it.
fn add(
    all: &mut Passwords,
    name: &str,
    hash: &str,
    field: Option<&HeaderName>,
) -> Result<(), String> {
    if name.is_empty() || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err("a name is empty, or has a colon or a control character".to_owned());
    }
    let minted = field.map(|field| Minted {
        name: field.clone(),
        values: HeaderValue::from_str(name).into_iter().collect(),
        unlisted: true,
    });
    let who = Identity {
        proof: Some(Proof::Basic),
        subject: Some(name.into()),
        minted: minted.into_iter().collect(),
        ..Identity::default()
    };
    let added = all.add(name, hash, who);
    added.map_err(|bad| format!("the hash of a user cannot be used: {}", bad.words()))
}

/// Reads a file as htpasswd writes it.
fn file(s: &mut Settings<'_>, path: &str, field: Option<&HeaderName>, all: &mut Passwords) {
    let text = match text(path) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("{path} cannot be read: {why}");
            let hint = "paths are relative to the directory in which the gateway is started";
            return s.error_hint("htpasswd_path", Code::Unreadable, message, hint);
        }
    };
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let added = match line.split_once(':') {
            // A third part, as some tools write it, is a note.
            Some((name, rest)) => add(all, name, rest.split(':').next().unwrap_or_default(), field),
            None => Err("it is not NAME:HASH".to_owned()),
        };
        if let Err(what) = added {
            let message = format!("{path} line {number}: {what}");
            let hint = "make the line with `htpasswd -B`";
            s.error_hint("htpasswd_path", Code::BadValue, message, hint);
        }
    }
}

fn text(path: &str) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
    let read = read.map_err(|error| error.to_string())?;
    if read as u64 > MAX_FILE {
        return Err("it is longer than 16 MB".to_owned());
    }
    Ok(text)
}

/// Name and password that a request shows.
#[derive(PartialEq, Eq)]
struct Shown {
    name: String,
    password: Scrubbed,
}

impl Shown {
    fn of(head: &dyn Head) -> Result<Self, Error> {
        let value = once(head, &header::AUTHORIZATION)
            .map_err(|error| error.challenging(Challenge::Basic))?;
        Self::read(value)
    }

    fn read(value: Option<&[u8]>) -> Result<Self, Error> {
        let refused =
            |reason, text: &'static str| Error::new(reason, text).challenging(Challenge::Basic);
        let missing = || refused(Reason::CredentialsMissing, "no name and password came");
        let malformed = || refused(Reason::PasswordInvalid, "malformed name and password");
        let value = value.ok_or_else(missing)?.trim_ascii();
        let (scheme, rest) = value.split_at_checked(6).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return Err(missing());
        }
        let decoded = STANDARD.decode(rest.trim_ascii());
        let decoded = Scrubbed(decoded.map_err(|_| malformed())?);
        let decoded = &decoded.0;
        let colon = decoded.iter().position(|byte| *byte == b':');
        let (name, password) = decoded.split_at(colon.ok_or_else(malformed)?);
        let password = password.get(1..).unwrap_or_default();
        if decoded.iter().any(u8::is_ascii_control) {
            return Err(malformed());
        }
        let name = std::str::from_utf8(name).map_err(|_| malformed())?;
        Ok(Self {
            name: name.to_owned(),
            password: Scrubbed(password.to_vec()),
        })
    }
}

/// Lets in who shows a right name and password.
struct Lock(Arc<Users>);

impl Lock {
    async fn check(&self, shown: Shown) -> Result<Arc<Identity>, Error> {
        let Users { all, checker, .. } = &*self.0;
        let who = (shown.name.as_str(), shown.password.0.as_slice());
        let found = checker.check(all, who, Instant::now()).await;
        let busy = |_| Error::new(Reason::Overloaded, "too many passwords to check").retry_after(1);
        found.map_err(busy)?.ok_or_else(wrong)
    }
}

fn wrong() -> Error {
    Error::new(Reason::PasswordInvalid, "wrong name or password").challenging(Challenge::Basic)
}

impl HeadStage for Lock {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        _: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        let shown = match Shown::of(head) {
            Ok(shown) => shown,
            Err(error) => return Step::Now(Err(error)),
        };
        let Users { all, checker, .. } = &*self.0;
        let who = (shown.name.as_str(), shown.password.0.as_slice());
        if let Some(who) = checker.remembered(all, who, Instant::now()) {
            ctx.prove(Arc::clone(who));
            return Step::NEXT;
        }
        Step::Wait(Box::pin(async move {
            let who = self.check(shown).await?;
            ctx.prove(who);
            Ok(Flow::Next)
        }))
    }

    fn foretell(&self, head: &dyn Head, _: Duration) -> Foretold {
        let mut foretold = Foretold::default();
        match Shown::of(head) {
            Err(_) => foretold.note("a name and a password are wanted in authorization (Basic)"),
            Ok(shown) if self.0.all.is_right(&shown.name, &shown.password.0) => {
                foretold.note("name and password are right");
            }
            Ok(_) => foretold.refuse(wrong()),
        }
        foretold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Report, Severity};
    use serde_json::{Value, json};
    use std::fs;
    use tempfile::TempDir;

    fn hash(password: &str) -> String {
        bcrypt::hash(password, 4).unwrap()
    }

    fn built(service_block: &Value, own: &Value, dialect: Dialect) -> (Arc<Users>, Report) {
        let mut report = Report::default();
        let mut draft = EndpointDraft::default();
        if !service_block.is_null() {
            let mut all = ServiceDraft::default();
            let mut settings = Settings::new(service_block, "/s", &mut report);
            service(&mut settings, &mut all, dialect).unwrap();
            draft.offers = all.offers;
        }
        let mut settings = Settings::new(own, "/e", &mut report);
        let found = users(&mut settings, &draft, dialect);
        (found, report)
    }

    fn reason(value: &str) -> Reason {
        Shown::read(Some(value.as_bytes()))
            .err()
            .map_or(Reason::Internal, |error| {
                assert_eq!(error.challenge, Challenge::Basic);
                error.reason
            })
    }

    fn shown(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn reads_names_and_passwords_strictly() {
        let read = Shown::read(Some(shown("ann:a:b").as_bytes())).ok().unwrap();
        assert_eq!(
            (read.name.as_str(), &read.password.0[..]),
            ("ann", &b"a:b"[..])
        );
        assert!(Shown::read(Some(b"bAsIc   YW5uOg==")).is_ok());
        assert!(Shown::read(None).is_err());
        for (value, is) in [
            ("", Reason::CredentialsMissing),
            ("Basic", Reason::CredentialsMissing),
            ("Bearer abc", Reason::CredentialsMissing),
            ("Basic YW5u", Reason::PasswordInvalid),
            ("Basic YW5uOg", Reason::PasswordInvalid),
            ("Basic !!", Reason::PasswordInvalid),
            (&shown("ann:a\0"), Reason::PasswordInvalid),
            (&shown("a\nn:a"), Reason::PasswordInvalid),
            ("Basic /zph", Reason::PasswordInvalid),
        ] {
            assert_eq!(reason(value), is, "{value}");
        }
    }

    #[test]
    fn an_empty_block_takes_the_services_and_any_other_stands_alone() {
        let all = json!({"users": {"ann": hash("a")}});
        let (found, report) = built(&all, &json!({}), Dialect::Native);
        assert_eq!(report.problems, []);
        assert!(found.all.has("ann"));
        let (found, _) = built(&all, &json!({"@comment": "still empty"}), Dialect::Native);
        assert!(found.all.has("ann"));
        let own = json!({"users": {"bob": hash("b")}});
        let (found, _) = built(&all, &own, Dialect::Native);
        assert!(found.all.has("bob") && !found.all.has("ann"));
    }

    #[test]
    fn a_file_of_users_is_read_and_the_documents_own_stand_over_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("users");
        let text = format!("# users\n\nann:{}\r\nbob:{}:note\n", hash("a"), hash("b"));
        fs::write(&path, text).unwrap();
        let block = json!({"htpasswd_path": path, "users": {"bob": hash("c"), "@note": "x"}});
        let (found, report) = built(&Value::Null, &block, Dialect::Native);
        assert_eq!(report.problems, []);
        assert!(found.all.has("ann"));
        let right = |password: &'static [u8]| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let lock = Lock(Arc::clone(&found));
            let shown = Shown {
                name: "bob".into(),
                password: Scrubbed(password.into()),
            };
            runtime.block_on(lock.check(shown)).is_ok()
        };
        assert!(right(b"c") && !right(b"b"));
    }

    #[test]
    fn hashes_that_cannot_guard_refuse_the_file_and_are_not_shown() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, "ann:{SHA}topsecret=\nbob\ncarl:topsecret\n").unwrap();
        let (_, report) = built(
            &Value::Null,
            &json!({"htpasswd_path": path}),
            Dialect::Native,
        );
        let lines = ["line 1", "line 2", "line 3"];
        assert_eq!(report.errors(), 3, "{report:?}");
        for (problem, line) in report.problems.iter().zip(lines) {
            assert!(problem.message.contains(line), "{problem:?}");
            assert_eq!(problem.pointer, "/e/htpasswd_path");
        }
        assert!(!format!("{report:?}").contains("topsecret"));
        for (block, place) in [
            (json!({"users": {"a/b": "topsecret"}}), "/e/users/a~1b"),
            (json!({"users": {"a:b": hash("x")}}), "/e/users/a:b"),
            (json!({"users": {"a": ["topsecret"]}}), "/e/users/a"),
            (
                json!({"htpasswd_path": "/no/such/file"}),
                "/e/htpasswd_path",
            ),
            (
                json!({"users": {"a": hash("x")}, "propagate_user": "a b"}),
                "/e/propagate_user",
            ),
            (json!({}), "/e"),
        ] {
            let (_, report) = built(&Value::Null, &block, Dialect::Native);
            let errors = report
                .problems
                .iter()
                .filter(|p| p.severity == Severity::Error);
            let places: Vec<_> = errors.map(|p| p.pointer.as_str()).collect();
            assert_eq!(places, [place]);
            assert!(!format!("{report:?}").contains("topsecret"), "{report:?}");
        }
    }

    #[test]
    fn nobody_comes_in_where_there_are_no_users() {
        let (found, report) = built(&Value::Null, &json!({}), Dialect::Krakend);
        assert_eq!((report.errors(), report.warnings()), (0, 1));
        assert!(found.all.is_empty());
    }
}
