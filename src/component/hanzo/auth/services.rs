//! The services that vouch for callers: where they are, how they are asked, how long what they say holds.

use crate::base::problem::pointer_join;
use crate::base::{Code, Problem};
use crate::component::ServiceDraft;
use crate::config::settings::Settings;
use crate::identity::chain::KeyDoor;
use crate::identity::introspection::{ClientAuth, Introspection, Wanted};
use crate::identity::keys::{Answer, KeyService, SLOT, Template};
use crate::identity::vouching::{Patience, Remembrance, Secret, Vouching};
use crate::identity::{ClaimPath, Mint, digest_of};
use crate::net::fetch::Place;
use http::{HeaderName, Method, header};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const STALE: Duration = Duration::from_secs(3600);
const BAD: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest file with a secret.
const LONGEST_SECRET: u64 = 4096;

const KEYS: &[&str] = &[
    "prefixes",
    "headers",
    "validate_url",
    "method",
    "body",
    "request_headers",
    "answer",
    "refused_statuses",
    "cache_ttl",
    "negative_ttl",
    "stale_if_error",
    "timeout",
];

/// `api_key`. `None` after an error.
pub(super) fn keys(s: &mut Settings<'_>, draft: &ServiceDraft, mint: &Mint) -> Option<KeyDoor> {
    s.known(KEYS);
    let before = s.report().errors();
    let prefixes = prefixes(s);
    let (fields, bearer) = fields(s);
    let place = place(s, "validate_url", draft);
    let method = method(s);
    let body = body(s, &method);
    let request = request_headers(s);
    let answer = answer(s);
    let refused = refused(s);
    let patience = patience(s, Duration::from_secs(300));
    let carries = |text: &str| text.contains(SLOT);
    let asks = match &body {
        Template::Nothing => false,
        Template::Json(value) => carries(&value.to_string()),
        Template::Form(text) => carries(text),
    };
    if !asks && !request.iter().any(|(_, value)| carries(value)) {
        let message = "the key service is not told the key";
        let hint = "write {key} into a text of \"body\" or a value of \"request_headers\"";
        s.error_hint("body", Code::BadValue, message, hint);
    }
    if s.report().errors() > before {
        return None;
    }
    let service = KeyService {
        client: Arc::clone(&draft.env.client),
        place: place?,
        method,
        body,
        fields: request,
        answer,
        refused,
        mint: mint.clone(),
    };
    let memory = remembrance(draft, ("api_key", s.raw()), mint, "");
    Some(KeyDoor {
        prefixes,
        fields,
        bearer,
        service: Vouching::new(service, patience, memory),
    })
}

fn prefixes(s: &mut Settings<'_>) -> Box<[Box<str>]> {
    if !s.has("prefixes") {
        return Box::from(["sk-hanzo-".into()]);
    }
    let all = s.list_of_strings("prefixes");
    let good = |prefix: &String| {
        !prefix.is_empty()
            && prefix
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b',')
    };
    if all.is_empty() || !all.iter().all(good) {
        let message = "prefixes must tell keys from tokens, each by a beginning of visible ASCII";
        s.error_hint(
            "prefixes",
            Code::BadValue,
            message,
            "write for example [\"sk-hanzo-\"]",
        );
    }
    all.into_iter().map(Into::into).collect()
}

/// The fields that hold keys alone, and whether keys come as `Authorization: Bearer` as well.
fn fields(s: &mut Settings<'_>) -> (Box<[HeaderName]>, bool) {
    if !s.has("headers") {
        return (Box::from([HeaderName::from_static("x-iam-key")]), true);
    }
    let mut fields: Vec<HeaderName> = Vec::new();
    let mut bearer = false;
    let written = s.located_strings("headers");
    if written.is_empty() {
        let message = "headers names no field that a key could stand in";
        s.error_hint(
            "headers",
            Code::BadValue,
            message,
            "leave it out for the default",
        );
    }
    for (pointer, name) in written {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if name == header::AUTHORIZATION => bearer = true,
            Ok(name) if name != header::COOKIE => fields.push(name),
            _ => {
                let message = format!("\"{name}\" is no field for keys");
                let problem = Problem::error(Code::BadValue, pointer, message);
                s.report()
                    .push(problem.hint("write for example \"X-IAM-Key\""));
            }
        }
    }
    (fields.into(), bearer)
}

fn place(s: &mut Settings<'_>, key: &str, draft: &ServiceDraft) -> Option<Place> {
    if !s.require(key) {
        return None;
    }
    let url = s.string(key)?;
    match Place::parse(&url, &draft.env.resolver) {
        Ok(place) => Some(place),
        Err(why) => {
            let message = format!("{key} is no address that can be asked: {why}");
            let hint = "write for example \"https://iam.example.org/path\"";
            s.error_hint(key, Code::BadValue, message, hint);
            None
        }
    }
}

fn method(s: &mut Settings<'_>) -> Method {
    match s.one_of("method", &["POST", "GET", "PUT"]) {
        Some("GET") => Method::GET,
        Some("PUT") => Method::PUT,
        _ => Method::POST,
    }
}

/// A JSON object or list, or the text of a form.
fn body(s: &mut Settings<'_>, method: &Method) -> Template {
    let wrong = |s: &mut Settings<'_>, message: &str| {
        let hint = "write an object such as {\"key\": \"{key}\"}, or a form such as \"key={key}\"";
        s.error_hint("body", Code::BadValue, message.to_owned(), hint);
        Template::Nothing
    };
    match s.value("body") {
        None if *method == Method::GET => Template::Nothing,
        None => Template::Json(serde_json::json!({"key": SLOT})),
        Some(_) if *method == Method::GET => wrong(s, "a GET has no body"),
        Some(Value::String(text)) if text.is_ascii() => Template::Form(text.as_str().into()),
        Some(value @ (Value::Object(_) | Value::Array(_))) => Template::Json(value.clone()),
        Some(_) => wrong(s, "body is neither JSON nor a form"),
    }
}

fn request_headers(s: &mut Settings<'_>) -> Box<[(HeaderName, Box<str>)]> {
    let pairs = s.string_map("request_headers");
    let pointer = s.pointer_of("request_headers");
    let mut all = Vec::new();
    for (name, value) in pairs {
        let framing = [
            header::HOST,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ];
        let good = HeaderName::from_bytes(name.as_bytes()).ok();
        let good = good.filter(|name| !framing.contains(name));
        match good.filter(|_| value.bytes().all(|byte| matches!(byte, b' '..=b'~'))) {
            Some(name) => all.push((name, value.into())),
            None => {
                let message =
                    format!("\"{name}\" is no field, or its value none that a field can hold");
                let problem =
                    Problem::error(Code::BadValue, pointer_join(&pointer, &name), message);
                s.report()
                    .push(problem.hint("write names and values of header fields"));
            }
        }
    }
    all.into()
}

fn answer(s: &mut Settings<'_>) -> Answer {
    let mut answer = Answer::default();
    let mut claims: Vec<_> = answer.claims.into();
    for (claim, path) in s.string_map("answer") {
        let path = ClaimPath::dotted(&path);
        if claim == "valid" {
            answer.valid = path;
            continue;
        }
        claims.retain(|(known, _)| **known != *claim);
        claims.push((claim.into(), path));
    }
    answer.claims = claims.into();
    answer
}

fn refused(s: &mut Settings<'_>) -> Box<[u16]> {
    let all = s.list_of_ints("refused_statuses");
    let good = |status: &i64| matches!(status, 400..=499) && *status != 429;
    if !all.iter().all(good) {
        let message = "only a status from 400 to 499 but 429 can say that a key is no good";
        let hint = "write for example [401, 404]; all others mean that the service is out of order";
        s.error_hint("refused_statuses", Code::OutOfRange, message, hint);
    }
    all.into_iter()
        .filter_map(|status| u16::try_from(status).ok())
        .collect()
}

/// How long answers hold, and how long one may take.
fn patience(s: &mut Settings<'_>, good: Duration) -> Patience {
    let patience = Patience {
        good: s.duration("cache_ttl").unwrap_or(good),
        bad: s.duration("negative_ttl").unwrap_or(BAD),
        stale: s.duration("stale_if_error").unwrap_or(STALE),
        timeout: s.duration("timeout").unwrap_or(TIMEOUT),
    };
    let day = Duration::from_secs(86_400);
    for (key, value, least, most) in [
        ("cache_ttl", patience.good, Duration::ZERO, day),
        (
            "negative_ttl",
            patience.bad,
            Duration::ZERO,
            Duration::from_secs(3600),
        ),
        ("stale_if_error", patience.stale, Duration::ZERO, day),
        (
            "timeout",
            patience.timeout,
            Duration::from_millis(10),
            Duration::from_secs(60),
        ),
    ] {
        if value < least || value > most {
            let message = format!("{key} is not between {least:?} and {most:?}");
            s.error_hint(key, Code::OutOfRange, message, "write for example \"2s\"");
        }
    }
    patience
}

const INTROSPECTION: &[&str] = &[
    "url",
    "client_id",
    "client_secret",
    "client_secret_file",
    "client_auth",
    "token_type_hint",
    "issuer",
    "audience",
    "audience_match",
    "cache_ttl",
    "negative_ttl",
    "stale_if_error",
    "timeout",
];

/// `introspection`. `None` after an error.
pub(super) fn introspection(
    s: &mut Settings<'_>,
    draft: &ServiceDraft,
    mint: &Mint,
) -> Option<Arc<Vouching<Introspection>>> {
    s.known(INTROSPECTION);
    let before = s.report().errors();
    let place = place(s, "url", draft);
    let (auth, secret) = client(s);
    let wanted = Wanted {
        issuer: s
            .string("issuer")
            .filter(|text| !text.is_empty())
            .map(Into::into),
        audience: s
            .list_of_strings("audience")
            .into_iter()
            .map(Into::into)
            .collect(),
        all: s.one_of("audience_match", &["any", "all"]) == Some("all"),
    };
    let hint = s.string_or("token_type_hint", "access_token");
    let patience = patience(s, Duration::from_secs(60));
    if s.report().errors() > before {
        return None;
    }
    let service = Introspection {
        client: Arc::clone(&draft.env.client),
        place: place?,
        auth,
        hint: hint.into(),
        wanted,
        mint: mint.clone(),
    };
    let memory = remembrance(draft, ("introspection", s.raw()), mint, &secret);
    Some(Vouching::new(service, patience, memory))
}

/// As whom the gateway asks, and its secret.
fn client(s: &mut Settings<'_>) -> (ClientAuth, String) {
    let id = s.string("client_id").unwrap_or_default();
    let secret = secret(s);
    let way = s.one_of(
        "client_auth",
        &["client_secret_basic", "client_secret_post"],
    );
    let wrong = if id.is_empty() && secret.is_some() {
        Some(("client_id", "a secret without a name proves nothing"))
    } else if way.is_some() && secret.is_none() {
        Some(("client_auth", "there is no secret to authenticate with"))
    } else {
        None
    };
    if let Some((key, message)) = wrong {
        s.error_hint(
            key,
            Code::BadValue,
            message,
            "write client_id and client_secret",
        );
    }
    let auth = match (&*id, &secret, way) {
        ("", ..) => ClientAuth::Nobody,
        (id, None, _) => ClientAuth::Named(id.into()),
        (id, Some(secret), Some("client_secret_post")) => {
            ClientAuth::Post(id.into(), Secret::new(secret))
        }
        (id, Some(secret), _) => ClientAuth::basic(id, secret),
    };
    (auth, secret.unwrap_or_default())
}

/// `client_secret`, or what stands in `client_secret_file`, without a final line end.
fn secret(s: &mut Settings<'_>) -> Option<String> {
    let written = s
        .string("client_secret")
        .filter(|secret| !secret.is_empty());
    let Some(path) = s.string("client_secret_file") else {
        return written;
    };
    if written.is_some() {
        let message = "client_secret and client_secret_file contradict each other";
        s.error_hint(
            "client_secret_file",
            Code::BadValue,
            message,
            "leave one of them out",
        );
    }
    let read = || {
        if std::fs::metadata(&path)?.len() > LONGEST_SECRET {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        std::fs::read_to_string(&path)
    };
    match read() {
        Ok(text) if !text.trim_end_matches(['\r', '\n']).is_empty() => {
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        Ok(_) => {
            let hint = "write the secret into it";
            s.error_hint(
                "client_secret_file",
                Code::BadValue,
                "the file is empty",
                hint,
            );
            None
        }
        Err(error) => {
            let message = format!("the file cannot be read: {error}");
            let hint = "name a file that the gateway may read, of at most 4 KiB";
            s.error_hint("client_secret_file", Code::BadValue, message, hint);
            None
        }
    }
}

/// What was remembered under the same settings. The name tells nothing of them.
fn remembrance(
    draft: &ServiceDraft,
    (part, settings): (&str, &Value),
    mint: &Mint,
    secret: &str,
) -> Arc<Remembrance> {
    let all = format!("{part}\n{settings}\n{mint:?}\n{secret}");
    let name: String = digest_of(all.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = format!("hanzo/auth {part} {name}");
    draft.env.kept.get_or(&name, Remembrance::default)
}
