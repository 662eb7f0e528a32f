//! Strip ⊇ mint: whatever a file can tell backends of a caller, no client can tell them itself. Held over all
//! configurations in `conf/`, over generated ones, and over any spelling.

use super::named;
use crate::base::{Dialect, Report};
use crate::compile::{Compiled, Shared, compile};
use crate::config::template::Flexible;
use crate::config::{Format, LoadOptions, parse};
use crate::gateway::client_ip::ClientAddr;
use crate::gateway::headers::{Added, Fields, ForwardRules, forward_headers};
use crate::gateway::plain::Plain;
use crate::gateway::snapshot::{Compose, Gateway, Plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Every file of `conf/` as a document: those in JSON, and what the templates make.
fn shipped() -> Vec<(String, Value)> {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let json = ["minimal.json", "hanzo/gateway.json", "lux/gateway.json"];
    let mut all: Vec<(String, Value)> = json
        .into_iter()
        .map(|name| {
            let text = std::fs::read_to_string(conf.join(name)).unwrap();
            (name.to_owned(), serde_json::from_str(&text).unwrap())
        })
        .collect();
    let flexible = conf.join("flexible");
    let place = |part: &str| flexible.join(part).display().to_string();
    let env: Vec<(String, String)> = [
        ("FC_ENABLE", "1".to_owned()),
        ("FC_SETTINGS", place("settings")),
        ("FC_PARTIALS", place("partials")),
        ("FC_TEMPLATES", place("endpoints")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let mut report = Report::default();
    let path: PathBuf = flexible.join("krakend.tmpl");
    let rendered = Flexible::of(&env).unwrap().render(&path, &env, &mut report);
    let text = rendered.text.unwrap_or_else(|| panic!("{report:?}"));
    all.push(("flexible".to_owned(), serde_json::from_str(&text).unwrap()));
    all
}

/// Names that a document mints, found by nothing but the words of its settings, wherever they stand.
fn says(value: &Value, names: &mut BTreeSet<String>) {
    let Some(map) = value.as_object() else {
        let items = value.as_array().into_iter().flatten();
        return items.for_each(|item| says(item, names));
    };
    for (key, value) in map {
        match key.to_ascii_lowercase().as_str() {
            "propagate_claims" => {
                let pairs = value.as_array().into_iter().flatten();
                names.extend(pairs.filter_map(|p| p.get(1)?.as_str()).map(str::to_owned));
            }
            "claims" | "headers" => {
                let values = value.as_object().into_iter().flat_map(|map| map.values());
                names.extend(values.filter_map(Value::as_str).map(str::to_owned));
            }
            "propagate_role" | "propagate_user" => {
                names.extend(value.as_str().map(str::to_owned));
            }
            _ => says(value, names),
        }
    }
}

/// The document with every endpoint open for the fields in `input`, and none asking who calls.
fn opened(document: &Value, input: &[String]) -> Value {
    let mut document = document.clone();
    for endpoint in document["endpoints"].as_array_mut().unwrap() {
        endpoint["input_headers"] = json!(input);
        for backend in endpoint["backend"].as_array_mut().into_iter().flatten() {
            if let Some(backend) = backend.as_object_mut() {
                backend.remove("input_headers");
            }
        }
    }
    document
}

fn compiled(name: &str, document: &Value) -> Gateway {
    let mut report = Report::default();
    let options = LoadOptions::default();
    let text = document.to_string();
    let document = parse(name, &text, Format::Json, &options, &mut report);
    let document = document.unwrap_or_else(|| panic!("{name}: {:?}", report.problems));
    let shared = Shared::new(1).unwrap();
    let compiled = compile(&document, Dialect::Native, &shared, &mut report);
    let Compiled { gateway, .. } =
        compiled.unwrap_or_else(|| panic!("{name}: {:?}", report.problems));
    gateway
}

/// Every set of rules by which a field of a client could reach somebody.
fn rules(gateway: &Gateway) -> Vec<&ForwardRules> {
    fn composed<'g>(plan: &'g Compose, all: &mut Vec<&'g ForwardRules>) {
        all.extend(plan.staged.iter().map(|staged| &staged.forward));
        all.extend(plan.backends.iter().map(|backend| &backend.forward));
        if let Some(shadow) = &plan.shadow {
            composed(&shadow.plan, all);
        }
    }
    let mut all = Vec::new();
    for endpoint in &gateway.endpoints {
        match &endpoint.plan {
            Plan::Stream(backend) => all.push(&backend.forward),
            Plan::Compose(plan) => composed(plan, &mut all),
        }
    }
    all
}

/// What a backend gets of a client's fields.
fn passed(rules: &ForwardRules, fields: &[(String, String)]) -> Fields {
    let head = Plain {
        fields: fields
            .iter()
            .map(|(name, value)| (name.clone(), value.as_bytes().to_vec()))
            .collect(),
        ..Plain::get("/")
    };
    let client = ClientAddr {
        ip: head.peer,
        peer: head.peer,
        trusted: true,
    };
    let mut out = Fields::new();
    forward_headers(rules, &head, &client, Added::default(), &mut out);
    out
}

/// A name in another spelling: cases and `_` as the bits say.
fn spelled(name: &str, bits: u64) -> String {
    let change = |(at, c): (usize, char)| {
        let bit = bits.rotate_right((at % 64) as u32) & 1 == 1;
        match (c, bit) {
            ('-', true) => '_',
            ('_', true) => '-',
            (c, true) => c.to_ascii_uppercase(),
            (c, false) => c.to_ascii_lowercase(),
        }
    };
    name.chars().enumerate().map(change).collect()
}

fn same(a: &str, b: &str) -> bool {
    spelled(&a.replace('_', "-"), 0) == spelled(&b.replace('_', "-"), 0)
}

/// A compiled document and the names that it mints.
struct Case {
    name: String,
    gateway: Gateway,
    mints: Vec<String>,
}

fn case(name: &str, document: &Value) -> [Case; 2] {
    let mut names = BTreeSet::from(["X-User-ID", "X-Org-ID", "X-Scopes"].map(str::to_owned));
    says(&document["extra_config"], &mut names);
    for endpoint in document["endpoints"].as_array().unwrap() {
        says(&endpoint["extra_config"], &mut names);
    }
    let mints: Vec<String> = names.into_iter().collect();
    let spellings = mints.iter().map(|name| spelled(name, u64::MAX));
    let listed: Vec<String> = mints.iter().cloned().chain(spellings).collect();
    let make = |input: &[String]| Case {
        name: name.to_owned(),
        gateway: compiled(name, &opened(document, input)),
        mints: mints.clone(),
    };
    [make(&["*".to_owned()]), make(&listed)]
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let all = shipped();
        all.iter().flat_map(|(name, doc)| case(name, doc)).collect()
    })
}

fn held(case: &Case, sent: &[(String, String)]) -> Result<(), TestCaseError> {
    for rules in rules(&case.gateway) {
        for (name, _) in passed(rules, sent) {
            let minted = case.mints.iter().find(|own| same(own, name.as_str()));
            prop_assert!(minted.is_none(), "{}: {name} passes", case.name);
        }
    }
    Ok(())
}

/// Fields of a client: minted names in any spelling, some of them often, and what is like them.
fn sent(mints: &[String], picks: &[(usize, u64, u8)]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (at, bits, times) in picks {
        let Some(name) = mints.get(at % mints.len()) else {
            continue;
        };
        for time in 0..=(times % 4) {
            fields.push((
                spelled(name, bits.rotate_left(time.into())),
                "root".to_owned(),
            ));
        }
    }
    fields
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_shipped_configuration_believes_a_client(
        picks in prop::collection::vec((any::<usize>(), any::<u64>(), any::<u8>()), 1..40),
    ) {
        for case in cases() {
            held(case, &sent(&case.mints, &picks))?;
        }
    }

    #[test]
    fn no_generated_configuration_believes_a_client(
        words in prop::collection::vec("[A-Za-z]([A-Za-z0-9_-]{0,12}[A-Za-z0-9])?", 6..12),
        cased in any::<u64>(),
        picks in prop::collection::vec((any::<usize>(), any::<u64>(), any::<u8>()), 1..20),
    ) {
        // What the gateway writes itself is no identity.
        prop_assume!(words.iter().all(|word| !OWN.iter().any(|own| same(own, word))));
        let field = |at: usize| words[at % words.len()].as_str();
        let key = |name: &str| spelled(name, cased).replace('-', "_");
        let open = |path: &str, encoding: &str, extra: Value| json!({
            "endpoint": path, "output_encoding": encoding, "extra_config": extra,
            "backend": [{"url_pattern": "/", "host": ["http://127.0.0.1:8080"], "encoding": encoding}],
        });
        let document = json!({
            "version": 3,
            "extra_config": {
                "auth/api-keys": {"keys": [{"key": "k", "roles": []}], key("propagate_role"): field(0)},
                "auth/basic": {"users": {}, key("propagate_user"): field(1)},
            },
            "endpoints": [
                open("/a", "no-op", json!({})),
                open("/b", "json", json!({})),
                open("/c", "json", json!({"auth/basic": {"users": {}, key("propagate_user"): field(2)}})),
            ],
        });
        let mut names: Vec<String> = (0..3).map(|at| field(at).to_owned()).collect();
        names.push("X-User-ID".to_owned());
        for input in [vec!["*".to_owned()], names.clone()] {
            let case = Case {
                name: "generated".to_owned(),
                gateway: compiled("generated", &opened(&document, &input)),
                mints: names.clone(),
            };
            held(&case, &sent(&names, &picks))?;
        }
    }
}

/// Fields that the gateway says itself, whoever calls.
const OWN: &[&str] = &[
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-via",
    "x-request-id",
    "x-gateway-version",
    "host",
    "te",
    "cookie",
];

#[test]
fn what_is_only_like_a_minted_name_passes() {
    // Otherwise the tests above would hold of a gateway that passes nothing.
    for case in cases().iter().step_by(2) {
        let near = vec![
            ("X-User-IDs".to_owned(), "1".to_owned()),
            ("XX-Org-ID".to_owned(), "2".to_owned()),
        ];
        let all = rules(&case.gateway);
        assert!(!all.is_empty(), "{}", case.name);
        for rules in all {
            let names: Vec<_> = passed(rules, &near)
                .into_iter()
                .map(|(name, _)| name)
                .collect();
            assert!(
                names.iter().any(|name| name == "x-user-ids"),
                "{}: {names:?}",
                case.name
            );
            assert!(
                names.iter().any(|name| name == "xx-org-id"),
                "{}: {names:?}",
                case.name
            );
        }
    }
}

#[test]
fn the_shipped_configurations_mint_something() {
    let hanzo = cases()
        .iter()
        .find(|case| case.name == "hanzo/gateway.json")
        .unwrap();
    assert!(hanzo.mints.len() >= 3, "{:?}", hanzo.mints);
    let flexible = cases().iter().find(|case| case.name == "flexible").unwrap();
    assert!(rules(&flexible.gateway).len() > 20);
}

#[test]
fn the_list_of_a_document_names_what_its_words_say() {
    for (name, document) in shipped() {
        let mut says_ = BTreeSet::new();
        says(&document["extra_config"], &mut says_);
        let mut report = Report::default();
        let parsed = parse(
            &name,
            &document.to_string(),
            Format::Json,
            &LoadOptions::default(),
            &mut report,
        );
        let listed = named(&parsed.unwrap());
        for name_ in says_ {
            assert!(listed.contains(&name_), "{name}: {name_}");
        }
    }
}
