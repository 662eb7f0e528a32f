//! `check`, `audit`, `schema` and `diff` as a person or a pipeline calls them: what is printed where, and
//! with which exit code.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::support::{Gateway, Output, Setup};

/// A document that is good in every way.
fn good() -> Value {
    json!({
        "$schema": "https://www.krakend.io/schema/v2.13/krakend.json",
        "@comment": "anything",
        "endpoints": [{
            "endpoint": "/users/{id}",
            "backend": [{"url_pattern": "/u/{id}", "host": ["http://users.example"]}],
        }],
    })
}

fn run(words: &[&str], config: Value) -> Output {
    Gateway::setup().command(words, config)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"))
}

/// The errors of a `check --json`: code, pointer, hint.
fn errors(output: &Output) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = json_of(output)["problems"].as_array().unwrap().clone();
    all.iter()
        .filter(|problem| problem["severity"] == "error")
        .map(|problem| {
            (
                text(&problem["code"]),
                text(&problem["pointer"]),
                text(&problem["hint"]),
            )
        })
        .collect()
}

#[test]
fn check_is_typed_as_with_krakend() {
    for flags in [["check", "-tl"], ["check", "-tn"], ["validate", "-tld"]] {
        let output = run(&flags, good());
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert!(output.stderr.contains("Syntax OK!"), "{output:#?}");
    }
}

#[test]
fn check_tlc_takes_the_file_at_its_end() {
    let setup = Gateway::setup().file("k.json", r#"{"version": 3, "endpoints": []}"#);
    let output = setup.spawn(&["check", "-tlc", "k.json"]).ended();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(
        output.stderr.contains("Parsing configuration file: k.json"),
        "{output:#?}"
    );
}

#[test]
fn the_table_of_routes_is_printed_on_request() {
    let output = run(&["check", "-t"], good());
    assert!(
        output.stdout.contains("GET     /users/{id}  composed"),
        "{output:#?}"
    );
    assert!(!run(&["check"], good()).stdout.contains("/users"));
    let routes = json_of(&run(&["check", "-t", "--json"], good()))["routes"].clone();
    assert_eq!(routes[0]["path"], "/users/{id}");
    assert_eq!(routes[0]["pointer"], "/endpoints/0");
}

#[test]
fn the_linter_names_line_pointer_and_the_nearest_name() {
    let mut config = good();
    config["endpoints"][0]["backend"][0]["hosts"] = json!([]);
    assert_eq!(
        run(&["check"], config.clone()).code,
        Some(0),
        "without the linter it is a warning"
    );
    let output = run(&["check", "-l", "--json"], config.clone());
    assert_eq!(output.code, Some(1));
    let expected = (
        "HG0201".to_owned(),
        "/endpoints/0/backend/0/hosts".to_owned(),
        "did you mean \"host\"?".to_owned(),
    );
    assert_eq!(errors(&output), [expected]);
    let text = run(&["check", "-l"], config);
    assert!(text.stderr.contains("gateway.json:1:"), "{text:#?}");
    assert!(
        text.stderr.contains("ERROR linting the configuration file"),
        "{text:#?}"
    );
}

#[test]
fn a_wrong_value_inside_of_a_component_fails_the_linter() {
    let mut config = good();
    config["extra_config"] = json!({"telemetry/logging": {"level": "INFO", "stdout": "yes"}});
    let output = run(&["check", "-l", "--json"], config);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        errors(&output)
            .iter()
            .any(|(_, pointer, _)| pointer == "/extra_config/telemetry~1logging/stdout")
    );
}

#[test]
fn old_names_lint_in_our_words_and_not_in_krakends() {
    let mut config = good();
    config["endpoints"][0]["extra_config"] =
        json!({"github.com/devopsfaith/krakend/proxy": {"sequential": false}});
    assert_eq!(run(&["check", "-l"], config.clone()).code, Some(0));
    assert_eq!(
        run(&["check", "-l", "--compat", "krakend"], config).code,
        Some(1)
    );
}

#[test]
fn linters_exclude_each_other() {
    for flags in [
        ["check", "-l", "-n"],
        ["check", "-l", "-sx"],
        ["check", "-n", "-sx"],
    ] {
        assert_eq!(run(&flags, good()).code, Some(2), "{flags:?}");
    }
}

#[test]
fn the_environment_does_not_fail_the_linter() {
    let output = Gateway::setup()
        .variable("KRAKEND_TIMEOUT", "1h30m")
        .command(&["check", "-l", "--compat", "krakend"], good());
    assert_eq!(output.code, Some(0), "{output:#?}");
}

#[test]
fn the_schema_is_printed_whole_or_for_one_component() {
    let schema = |words: &[&str]| {
        let output = Gateway::setup().spawn(words).ended();
        assert_eq!(output.code, Some(0), "{output:#?}");
        json_of(&output)
    };
    let whole = schema(&["schema"]);
    assert_eq!(
        whole["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(whole["properties"]["timeout"]["default"], "2s");
    assert_eq!(whole["additionalProperties"], false);
    let old = "/$defs/service_extra_config/properties/github_com~1devopsfaith~1krakend-cors";
    assert_eq!(whole.pointer(old).unwrap()["deprecated"], true);
    assert!(
        schema(&["schema", "--compat", "krakend"])
            .pointer(old)
            .is_none()
    );
    assert_eq!(
        schema(&["schema", "--component", "security/cors"])["title"],
        "security/cors"
    );
    let output = Gateway::setup()
        .spawn(&["schema", "--component", "security/kors"])
        .ended();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("security/cors"), "{output:#?}");
}

/// The rules that an audit tells of.
fn audited(output: &Output) -> Vec<String> {
    let all = json_of(output)["recommendations"]
        .as_array()
        .unwrap()
        .clone();
    all.iter()
        .map(|finding| finding["rule"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn audit_ends_with_1_exactly_when_it_found_something() {
    let output = run(&["audit", "--json"], good());
    assert_eq!(output.code, Some(1));
    let rules = audited(&output);
    for id in ["1.2.1", "2.1.2", "3.1.3"] {
        assert!(rules.iter().any(|rule| rule == id), "{id}: {rules:?}");
    }
    let output = run(&["audit", "--json", "-i", &rules.join(",")], good());
    assert_eq!(output.code, Some(0));
    assert_eq!(audited(&output), Vec::<String>::new());
}

#[test]
fn audit_filters_by_severity_rule_and_file() {
    let mut config = good();
    config["tls"] = json!({"disabled": true});
    let critical = run(&["audit", "--json", "-s", "CRITICAL"], config.clone());
    assert_eq!(audited(&critical), ["2.1.3"]);
    let none = run(
        &["audit", "--json", "-s", "CRITICAL", "-i", "2.1.3"],
        config.clone(),
    );
    assert_eq!((none.code, audited(&none).len()), (Some(0), 0));
    let setup = Gateway::setup().file("ignored", "2.1.3\n");
    let none = setup.command(
        &["audit", "-s", "CRITICAL", "-I", "ignored"],
        config.clone(),
    );
    assert_eq!(none.code, Some(0), "{none:#?}");
    assert_eq!(run(&["audit", "-s", "terrible"], config).code, Some(2));
}

#[test]
fn audit_writes_krakends_lines() {
    let mut config = good();
    config["debug_endpoint"] = json!(true);
    let native = run(&["audit", "-s", "LOW"], config.clone());
    assert!(native.stdout.contains("5.1.2\t[LOW]   \t"), "{native:#?}");
    assert!(native.stdout.contains("gateway.json:1:"), "{native:#?}");
    let krakend = run(
        &["audit", "-s", "LOW", "--compat", "krakend"],
        config.clone(),
    );
    assert_eq!(krakend.stdout, "");
    assert!(krakend.stderr.contains("5.1.2\t[LOW]   \t"), "{krakend:#?}");
    let template = run(
        &[
            "audit",
            "-s",
            "LOW",
            "-f",
            "{{range .Recommendations}}<{{.Rule}}>{{end}}",
        ],
        config,
    );
    assert!(template.stdout.contains("<5.1.2>"), "{template:#?}");
}

#[test]
fn audit_speaks_sarif() {
    let mut config = good();
    config["debug_endpoint"] = json!(true);
    let log = json_of(&run(&["audit", "--format", "sarif"], config));
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(!rules.is_empty());
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert!(
            place["artifactLocation"]["uri"]
                .as_str()
                .unwrap()
                .ends_with("gateway.json")
        );
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
    }
}

#[test]
fn audit_tells_of_a_broken_file_as_check_does() {
    let mut config = good();
    config["timeout"] = json!("2 parsecs");
    let output = run(&["audit"], config.clone());
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("error[HG0102]"), "{output:#?}");
    assert_eq!(output.stdout, "");
    assert_eq!(
        errors(&run(&["audit", "--json"], config.clone())),
        errors(&run(&["check", "--json"], config))
    );
}

#[test]
fn the_shipped_configurations_pass_the_linter() {
    for name in ["minimal.json", "hanzo/gateway.json", "lux/gateway.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("conf")
            .join(name);
        let output = Gateway::setup()
            .spawn(&["check", "-l", "--json", "-c", path.to_str().unwrap()])
            .ended();
        assert_eq!(output.code, Some(0), "{name}: {:?}", errors(&output));
    }
}

/// KrakenD's own verdict on the configurations beside the checkout, when they are there.
#[test]
fn the_linter_judges_real_configurations_as_krakend_does() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let mut wrong = Vec::new();
    for folder in folders(&corpus) {
        let golden: Value =
            serde_json::from_str(&fs::read_to_string(folder.join("GOLDEN.json")).unwrap()).unwrap();
        let (name, rendered) = match golden["rendered"].as_str() {
            Some(rendered) => ("rendered.json", Some(rendered)),
            None if golden["mode"] != "plain" => continue,
            None => (golden["config"].as_str().unwrap(), None),
        };
        for dialect in ["krakend", "native"] {
            let mut setup = copy(&folder, &folder, Gateway::setup());
            if let Some(text) = rendered {
                setup = setup.file(name, text);
            }
            let output = setup
                .spawn(&["check", "-tn", "--json", "--compat", dialect, "-c", name])
                .ended();
            let good = output.code == Some(0);
            let krakends = golden["check_tn"] == 0;
            // Natively more is known: our own components, and old names.
            if good != krakends && !(dialect == "native" && good) {
                wrong.push(format!(
                    "{dialect} {}: {:?}",
                    folder.display(),
                    errors(&output)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A gateway that runs in a copy of a folder.
fn copy(root: &Path, folder: &Path, mut setup: Setup) -> Setup {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            setup = copy(root, &path, setup);
        } else if let Ok(text) = fs::read_to_string(&path) {
            setup = setup.file(&path.strip_prefix(root).unwrap().to_string_lossy(), &text);
        }
    }
    setup
}

/// The folders with a verdict.
fn folders(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.join("GOLDEN.json").exists() {
            found.push(path);
        } else if path.is_dir() {
            found.extend(folders(&path));
        }
    }
    found
}

#[test]
fn plugin_commands_say_that_there_are_no_plugins() {
    for words in [
        &["check-plugin", "-s", "./go.sum", "-f"][..],
        &["test-plugin", "-smc", "a.so"],
    ] {
        let output = Gateway::setup().spawn(words).ended();
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(
            output.stderr.contains("Go plugins cannot be loaded"),
            "{output:#?}"
        );
    }
}

#[test]
fn diff_ends_as_diff_does() {
    let files = || {
        Gateway::setup()
            .file("a.json", r#"{"version": 3, "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/", "host": ["http://x"]}]}]}"#)
            .file("b.json", r#"{"version": 3, "endpoints": []}"#)
            .file("c.json", "{")
    };
    let same = files().spawn(&["diff", "a.json", "a.json"]).ended();
    assert_eq!(same.code, Some(0), "{same:#?}");
    let lost = files().spawn(&["diff", "a.json", "b.json"]).ended();
    assert_eq!(lost.code, Some(1));
    assert!(
        lost.stdout.contains("breaking") && lost.stdout.contains("GET /a"),
        "{lost:#?}"
    );
    assert_eq!(
        files().spawn(&["diff", "a.json", "c.json"]).ended().code,
        Some(2)
    );
}
