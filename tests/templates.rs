//! Flexible configuration on the real binary: rendering, places of findings, reload, what is shipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::support::{Client, Gateway, Origin, Output, Process, Setup, eventually, ports};

const MAIN: &str = r#"{
  "version": 3,
  "port": {{ .service.port }},
  "timeout": "{{ .service.timeout }}",
  "endpoints": [
    {{ range $i, $path := .service.paths }}{{ if $i }},{{ end }}
    {{ template "endpoint.tmpl" (dict "path" $path "host" $.service.host) }}
    {{- end }}
  ]
}
"#;

const ENDPOINT: &str = r#"{
  "endpoint": "{{ .path }}",
  "backend": [{
    "url_pattern": "/",
    {{ include "backend.json" }},
    "host": ["{{ .host }}"]
  }]
}"#;

/// A template with settings, a sub-template and a partial.
fn layout(port: u16, host: &str) -> Setup {
    let service = json!({"port": port, "timeout": "3s", "paths": ["/a", "/b"], "host": host});
    Gateway::setup()
        .file("krakend.tmpl", MAIN)
        .file("templates/endpoint.tmpl", ENDPOINT)
        .file(
            "partials/backend.json",
            "\"encoding\": \"json\",\n\"group\": \"one\"",
        )
        .file("settings/service.json", &service.to_string())
        .variable("FC_ENABLE", "1")
        .variable("FC_SETTINGS", "settings")
        .variable("FC_PARTIALS", "partials")
        .variable("FC_TEMPLATES", "templates")
}

fn check(setup: Setup, flags: &[&str]) -> Output {
    let words = [&["check", "-c", "krakend.tmpl"], flags].concat();
    setup.spawn(&words).ended()
}

/// What `check` says of the layout after one of its files was changed.
fn refused(name: &str, text: &str) -> String {
    let output = check(layout(8080, "http://a").file(name, text), &[]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    output.stderr
}

fn run(setup: Setup, port: u16, flags: &[&str]) -> Process {
    let words = ["run", "-c", "krakend.tmpl", "--metrics", "off"];
    setup.spawn(&[&words, flags].concat()).listens(port)
}

fn get(port: u16, path: &str) -> u16 {
    Client::connect(port).get(path).status()
}

#[test]
fn a_template_serves_in_both_dialects() {
    let origin = Origin::json(r#"{"id":1}"#);
    for flags in [&[][..], &["--compat", "krakend"]] {
        let port = ports::free();
        let process = run(layout(port, &origin.url()), port, flags);
        let answer = Client::connect(port).get("/b");
        assert_eq!(
            answer.json(),
            json!({"one": {"id": 1}}),
            "{}",
            process.stderr()
        );
        process.signal("TERM");
    }
}

#[test]
fn what_was_rendered_is_written_where_fc_out_says() {
    let setup = layout(8080, "http://a").variable("FC_OUT", "out.json");
    let process = setup.spawn(&["check", "-c", "krakend.tmpl"]);
    eventually("the output", || {
        fs::read_to_string(process.folder().join("out.json"))
            .ok()
            .filter(|t| t.ends_with("}\n"))
    });
    let text = fs::read_to_string(process.folder().join("out.json")).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["endpoints"][1]["backend"][0]["group"], "one");
    assert_eq!(process.ended().code, Some(0));
}

#[test]
fn fc_out_may_say_that_the_output_is_yaml() {
    let setup = Gateway::setup()
        .file(
            "krakend.tmpl",
            "version: {{ 3 }}\nname: {{ env \"WHO\" }}\n",
        )
        .variable("FC_ENABLE", "1")
        .variable("WHO", "yaml")
        .variable("FC_OUT", "out.yaml");
    let output = check(setup, &["-d"]);
    assert!(output.stdout.contains("Name: yaml"), "{output:#?}");
}

#[test]
fn settings_are_read_in_every_language() {
    let setup = Gateway::setup()
        .file(
            "krakend.tmpl",
            r#"{"version": 3, "name": "{{ .j.n }} {{ .y.n }} {{ .t.n }} {{ .e.N }}"}"#,
        )
        .file("settings/j.json", r#"{"n": 1000000}"#)
        .file("settings/y.yaml", "n: 1000000\n")
        .file("settings/t.toml", "n = 1000000\n")
        .file("settings/e.env", "# comment\nexport N=\"a b\" # c\n")
        .variable("FC_ENABLE", "0")
        .variable("FC_SETTINGS", "settings");
    let output = check(setup, &["-d"]);
    assert!(
        output.stdout.contains("Name: 1e+06 1000000 1000000 a b"),
        "{output:#?}"
    );
}

#[test]
fn an_error_of_a_template_names_file_line_and_column() {
    let said = refused(
        "templates/endpoint.tmpl",
        "{\n  \"endpoint\": {{ nope .path }}\n}",
    );
    assert!(
        said.contains(
            "templates/endpoint.tmpl:2:18: error[HG0007] template: function \"nope\" not defined"
        ),
        "{said}"
    );
    assert!(said.contains("  \"endpoint\": {{ nope .path }}"), "{said}");
    let said = refused("templates/endpoint.tmpl", "{\n  {{ index .path 99 }}\n}");
    assert!(
        said.contains("templates/endpoint.tmpl:2:6: error[HG0007] template: error calling index"),
        "{said}"
    );
    assert!(said.contains("called from krakend.tmpl:7:5"), "{said}");
    let said = refused("krakend.tmpl", "{\n{{ if true }}\n}");
    assert!(said.contains("krakend.tmpl:2:1: error[HG0007] template: unexpected EOF: this {{ if }} has no {{ end }}"), "{said}");
}

#[test]
fn an_error_of_the_rendered_document_is_told_where_it_was_written() {
    let said = refused(
        "templates/endpoint.tmpl",
        &ENDPOINT.replace("\"/\",", "\"/\""),
    );
    assert!(
        said.contains("partials/backend.json:1:1: error[HG0002]"),
        "{said}"
    );
    let said = refused(
        "templates/endpoint.tmpl",
        &ENDPOINT.replace("\"url_pattern\": \"/\"", "\"url_pattern\": [1]"),
    );
    assert!(
        said.contains("templates/endpoint.tmpl:4:20: error[HG0101]"),
        "{said}"
    );
    let said = refused(
        "settings/service.json",
        r#"{"port": 1, "timeout": "3x", "paths": ["/a"], "host": "http://a"}"#,
    );
    assert!(said.contains("krakend.tmpl:4:14: error[HG0102]"), "{said}");
    assert!(
        said.contains("\"timeout\": \"{{ .service.timeout }}\""),
        "{said}"
    );
    let said = refused(
        "partials/backend.json",
        "\"encoding\": \"json\",\n\"group\": {}",
    );
    assert!(
        said.contains("partials/backend.json:2:10: error[HG0101]"),
        "{said}"
    );
}

#[test]
fn machines_are_told_the_file_too() {
    let setup = layout(8080, "http://a").file(
        "partials/backend.json",
        "\"encoding\": \"json\",\n\"gruop\": \"x\"",
    );
    let output = check(setup, &["--json"]);
    let said: Value = serde_json::from_str(&output.stdout).unwrap();
    let problem = &said["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["line"], &problem["column"]),
        (&json!("HG0201"), &json!(2), &json!(1)),
        "{said}"
    );
    assert!(
        problem["file"]
            .as_str()
            .unwrap()
            .ends_with("partials/backend.json"),
        "{said}"
    );
}

#[test]
fn settings_that_cannot_be_read_are_told_with_their_place() {
    let said = refused("settings/more.json", "{\n  \"a\": ,\n}");
    assert!(
        said.contains("settings/more.json:2:8: error[HG0002]"),
        "{said}"
    );
    let said = refused("settings/more.json", "[1]");
    assert!(
        said.contains("settings/more.json:1:1: error[HG0007] a settings file holds an object"),
        "{said}"
    );
    let output = check(
        layout(8080, "http://a").variable("FC_SETTINGS", "nowhere"),
        &[],
    );
    assert!(
        output
            .stderr
            .contains("error[HG0007] FC_SETTINGS: nowhere: "),
        "{output:#?}"
    );
}

#[test]
fn a_partial_that_is_missing_is_empty_with_a_warning_at_its_include() {
    let include = "{{ include \"backend.json\" }},";
    let without = ENDPOINT.replace(include, "{{ include \"gone.json\" }}");
    for dialect in ["native", "krakend"] {
        let setup = layout(8080, "http://a").file("templates/endpoint.tmpl", &without);
        let output = check(setup, &["--compat", dialect]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        let wanted = "templates/endpoint.tmpl:5:8: warning[HG0007] include: partials/gone.json: ";
        assert!(output.stderr.contains(wanted), "{output:#?}");
    }
}

#[test]
fn a_partial_that_is_lost_while_running_refuses_the_reload() {
    let origin = Origin::json(r#"{"id":1}"#);
    let port = ports::free();
    let setup = layout(port, &origin.url())
        .file(
            "templates/endpoint.tmpl",
            &ENDPOINT.replace("json\" }},", "json\" }}"),
        )
        .file("partials/backend.json", "\"group\": \"one\",");
    let process = run(setup, port, &[]);
    fs::remove_file(process.folder().join("partials/backend.json")).unwrap();
    process.signal("HUP");
    eventually("the refusal", || {
        let told = process.stdout();
        told.contains("the partial partials/backend.json is gone")
            .then_some(())
    });
    let answer = Client::connect(port).get("/a");
    assert_eq!(answer.json(), json!({"one": {"id": 1}}));
    process.signal("TERM");
}

#[test]
fn a_template_without_fc_enable_is_recognised() {
    let output = check(layout(8080, "http://a").variable("FC_ENABLE", ""), &[]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("set FC_ENABLE=1 to render it"),
        "{output:#?}"
    );
}

#[test]
fn a_partial_with_actions_is_told_to_be_a_template() {
    let said = refused("partials/backend.json", "\"encoding\": {{ .x }}");
    assert!(
        said.contains("partials/backend.json:1:14: error[HG0002]")
            && said.contains("belongs into FC_TEMPLATES"),
        "{said}"
    );
}

#[test]
fn endless_templates_end_in_an_error() {
    let said = refused(
        "templates/endpoint.tmpl",
        "{{ template \"endpoint.tmpl\" . }}",
    );
    assert!(said.contains("does one call itself without end?"), "{said}");
    let loops = "{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}";
    let said = refused("templates/endpoint.tmpl", loops);
    assert!(
        said.contains("needs more than") && said.contains("steps"),
        "{said}"
    );
    let said = refused("templates/endpoint.tmpl", "{{ repeat 2000000000 \"x\" }}");
    assert!(said.contains("handles more than"), "{said}");
}

#[test]
fn a_changed_partial_or_setting_reloads_a_watching_gateway() {
    let origin = Origin::json(r#"{"id":1}"#);
    let port = ports::free();
    let process = run(layout(port, &origin.url()), port, &["-d"]);
    assert_eq!(get(port, "/c"), 404);
    let service =
        json!({"port": port, "timeout": "3s", "paths": ["/a", "/c"], "host": origin.url()});
    fs::write(
        process.folder().join("settings/service.json"),
        service.to_string(),
    )
    .unwrap();
    eventually("the new setting", || (get(port, "/c") == 200).then_some(()));
    let partial = process.folder().join("partials/backend.json");
    fs::write(&partial, "\"encoding\": {}").unwrap();
    eventually("the refusal", || {
        process
            .stdout()
            .contains("reload refused: HG0101")
            .then_some(())
    });
    let told = process.stdout();
    assert!(told.contains("partials/backend.json:1:13"), "{told}");
    assert_eq!(get(port, "/c"), 200);
    fs::write(&partial, "\"group\": \"two\"").unwrap();
    eventually("the new partial", || {
        (Client::connect(port).get("/a").json() == json!({"two": {"id": 1}})).then_some(())
    });
    process.signal("TERM");
}

#[test]
fn sighup_renders_again() {
    let origin = Origin::json("{}");
    let port = ports::free();
    let process = run(layout(port, &origin.url()), port, &[]);
    let template = process.folder().join("templates/endpoint.tmpl");
    fs::write(template, ENDPOINT.replace("{{ .path }}", "/new{{ .path }}")).unwrap();
    process.signal("HUP");
    eventually("the new template", || {
        (get(port, "/new/a") == 200).then_some(())
    });
    process.signal("TERM");
}

#[test]
fn explain_names_the_template() {
    let process = layout(8080, "http://a").spawn(&["explain", "-c", "krakend.tmpl", "GET", "/a"]);
    let output = process.ended();
    assert!(
        output.stdout.contains("templates/endpoint.tmpl:"),
        "{output:#?}"
    );
}

/// The layout that is shipped, rendered for one environment.
fn flexible(environment: &str) -> (Output, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/flexible");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let output = Gateway::setup()
        .variable("FC_ENABLE", "1")
        .variable("FC_SETTINGS", &path("settings"))
        .variable("FC_PARTIALS", &path("partials"))
        .variable("FC_TEMPLATES", &path("endpoints"))
        .variable("FC_OUT", out.to_str().unwrap())
        .variable("GATEWAY_ENV", environment)
        .spawn(&["check", "-t", "-c", &path("krakend.tmpl")])
        .ended();
    (output, fs::read_to_string(out).unwrap_or_default())
}

#[test]
fn the_shipped_templates_make_the_shipped_gateway_byte_for_byte() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/hanzo/gateway.json");
    for environment in ["", "production"] {
        let (output, text) = flexible(environment);
        assert_eq!(output.code, Some(0), "{output:#?}");
        let wanted = fs::read_to_string(&shipped).unwrap();
        let apart = text.lines().zip(wanted.lines()).position(|(a, b)| a != b);
        assert!(text == wanted, "line {apart:?} differs");
    }
}

#[test]
fn the_shipped_templates_make_a_staging_gateway_too() {
    let (output, text) = flexible("staging");
    assert_eq!(output.code, Some(0), "{output:#?}");
    let staging: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(staging["endpoints"].as_array().unwrap().len(), 332);
    assert!(!text.contains(".hanzo.svc"), "an address of production");
    let (output, _) = flexible("moon");
    assert!(
        output
            .stderr
            .contains("there is no settings file moon.json"),
        "{output:#?}"
    );
}

/// The collection of real configurations, when it lies beside the checkout.
fn corpus() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect()
    };
    folders(&root)
        .iter()
        .flat_map(|path| folders(path))
        .collect()
}

#[test]
fn real_templates_render_as_krakend_renders_them() {
    for folder in corpus() {
        let Ok(text) = fs::read_to_string(folder.join("GOLDEN.json")) else {
            continue;
        };
        let golden: Value = serde_json::from_str(&text).unwrap();
        if golden["env"].get("FC_ENABLE").is_some() {
            renders_as_recorded(&folder, &golden, "krakend");
            renders_as_recorded(&folder, &golden, "native");
        }
    }
}

fn renders_as_recorded(folder: &Path, golden: &Value, dialect: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanzo-gateway"));
    command.current_dir(folder).env_clear();
    for (name, value) in golden["env"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
    }
    let file = golden["config"].as_str().unwrap();
    command.env("FC_OUT", &out);
    command.args(["check", "--compat", dialect, "-c", file]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().map(i64::from);
    // Natively a validation that cannot be compiled refuses the file, however well it was rendered.
    let broken = dialect == "native" && said.contains("the schema cannot be used");
    if !broken {
        assert_eq!(code, golden["check"].as_i64(), "{folder:?}: {said}");
    }
    if let Some(wanted) = golden["rendered"].as_str() {
        assert_eq!(fs::read_to_string(&out).unwrap(), wanted, "{folder:?}");
    }
}
