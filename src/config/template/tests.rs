//! What Go 1.26's text/template with sprig 3.2.3 prints for some two hundred templates (`golden.json`, made
//! by running them), and what is ours: bounds, places, settings.

use super::*;
use serde_json::{Value as Json, json};

fn golden() -> Json {
    serde_json::from_str(include_str!("golden.json")).unwrap()
}

#[test]
fn renders_what_go_renders() {
    let golden = golden();
    let mut wrong = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let template = case["template"].as_str().unwrap();
        let ours = render_text(template, &golden["settings"]);
        match (&ours, case["error"].as_str()) {
            (Ok(text), None) if *text == case["output"] => {}
            (Err(_), Some(_)) => {}
            _ => wrong.push(format!("{template}\n  ours {ours:?}\n  Go   {case}\n")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.concat()
    );
}

/// Renders with settings, or gives `line:column: message`.
fn render(template: &str) -> Result<String, String> {
    let settings = json!({"s": "text", "n": 8080, "l": [1, 2], "m": {"a": null}, "big": 1_000_000});
    render_text(template, &settings)
}

fn fails(template: &str) -> String {
    render(template).expect_err("the template fails")
}

#[test]
fn every_function_of_the_reference_is_known() {
    let names = "ago date date_in_zone dateInZone date_modify dateModify must_date_modify mustDateModify duration durationRound htmlDate htmlDateInZone now toDate mustToDate unixEpoch abbrev abbrevboth trunc trim trimAll trimall trimSuffix trimPrefix upper lower title untitle substr repeat nospace initials randAlphaNum randAlpha randAscii randNumeric swapcase shuffle snakecase camelcase kebabcase wrap wrapWith contains hasPrefix hasSuffix quote squote cat indent nindent replace plural sha1sum sha256sum adler32sum toString hello atoi int int64 float64 toDecimal toStrings add add1 sub div mod mul randInt add1f addf subf divf mulf biggest max min maxf minf ceil floor round seq until untilStep split splitList splitn join sortAlpha default empty coalesce all any compact mustCompact fromJson mustFromJson toJson mustToJson toPrettyJson mustToPrettyJson toRawJson mustToRawJson ternary deepCopy mustDeepCopy typeOf typeIs typeIsLike kindOf kindIs deepEqual env expandenv getHostByName base dir clean ext isAbs osBase osClean osDir osExt osIsAbs b64enc b64dec b32enc b32dec dict get set unset hasKey pluck keys values pick omit merge mergeOverwrite mustMerge mustMergeOverwrite dig list tuple append push mustAppend mustPush prepend mustPrepend first mustFirst rest mustRest last mustLast initial mustInitial reverse mustReverse uniq mustUniq without mustWithout has mustHas slice mustSlice concat chunk mustChunk bcrypt htpasswd genPrivateKey derivePassword buildCustomCert genCA genCAWithKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey encryptAES decryptAES randBytes uuidv4 semver semverCompare fail regexMatch mustRegexMatch regexFindAll mustRegexFindAll regexFind mustRegexFind regexReplaceAll mustRegexReplaceAll regexReplaceAllLiteral mustRegexReplaceAllLiteral regexSplit mustRegexSplit regexQuoteMeta urlParse urlJoin include marshal and or not eq ne lt le gt ge len index print printf println html js urlquery call";
    let missing: Vec<&str> = names
        .split(' ')
        .filter(|name| !functions::exists(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
    let page = include_str!("../../../docs/TEMPLATES.md");
    let untold: Vec<&str> = functions::names()
        .filter(|name| {
            !page
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .any(|word| word == *name)
        })
        .collect();
    assert_eq!(untold, Vec::<&str>::new(), "not in docs/TEMPLATES.md");
}

#[test]
fn what_depends_on_chance_has_the_right_shape() {
    let has = |template: &str, pattern: &str| {
        let text = render(template).unwrap();
        assert!(
            regex::Regex::new(pattern).unwrap().is_match(&text),
            "{template}: {text}"
        );
    };
    has(
        "{{ uuidv4 }}",
        "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    );
    has("{{ randAlphaNum 40 }}", "^[0-9A-Za-z]{40}$");
    has(
        "{{ randNumeric 9 }}{{ randAlpha 3 }}",
        "^[0-9]{9}[A-Za-z]{3}$",
    );
    has("{{ randAscii 300 }}", "^[ -~]{300}$");
    has("{{ len (b64dec (randBytes 16)) }}", "^[0-9]+$");
    has("{{ randInt 3 5 }}{{ shuffle \"aaa\" }}", "^[34]aaa$");
    has("{{ now | date \"2006\" }}", "^[12][0-9]{3}$");
    has(
        "{{ encryptAES \"secret\" .s | decryptAES \"secret\" }}",
        "^text$",
    );
}

#[test]
fn text_that_sprig_encrypted_is_decrypted() {
    // Made by sprig 3.2.3's encryptAES.
    let sealed = "uBi2nFfLVKS0favJjfztFY+A0sJmE1nGAJSfRPodsWQ=";
    assert_eq!(
        render(&format!("{{{{ decryptAES \"secretkey\" \"{sealed}\" }}}}")).unwrap(),
        "plaintext"
    );
    assert!(fails("{{ decryptAES \"secretkey\" \"AAAA\" }}").contains("cannot be decrypted"));
}

#[test]
fn errors_name_line_column_and_cause() {
    assert_eq!(
        fails("a\n  {{ nope 1 }}"),
        "2:6: function \"nope\" not defined"
    );
    assert_eq!(fails("{{ $x }}"), "1:4: undefined variable \"$x\"");
    assert_eq!(
        fails("é{{ upper .n }}"),
        "1:11: wrong type for value; expected string; got float64"
    );
    assert_eq!(
        fails("{{ .m.a.b }}"),
        "1:4: nil pointer evaluating interface {}.b"
    );
    assert_eq!(
        fails("{{ .s.b }}"),
        "1:4: can't evaluate field b in type string"
    );
    assert_eq!(
        fails("{{ if eq .n 8080 }}{{ end }}"),
        "1:7: error calling eq: incompatible types for comparison"
    );
    assert_eq!(fails("x\n{{ end }}"), "2:1: unexpected {{end}}");
    assert_eq!(
        fails("{{ range .l }}\n{{ if true }}"),
        "2:1: unexpected EOF: this {{ if }} has no {{ end }}"
    );
    assert_eq!(fails("{{ fail \"why\" }}"), "1:4: error calling fail: why");
    assert!(
        fails("{{ genCA \"x\" 3 }}").starts_with("1:4: error calling genCA: keys, certificates")
    );
    assert_eq!(
        fails("{{ template \"no\" }}"),
        "1:1: template \"no\" not defined"
    );
    assert_eq!(fails("{{ (1 }}"), "1:7: unclosed left paren");
}

#[test]
fn nothing_runs_or_grows_without_end() {
    let start = |template: &str, words: &str| {
        let said = fails(template);
        assert!(said.contains(words), "{template}: {said}");
    };
    start(
        "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
        "nested more than",
    );
    start("{{ range 10000000 }}{{ end }}", "steps");
    start("{{ repeat 2000000000 \"x\" }}", "MiB of data");
    start("{{ until 1000000000 }}", "MiB of data");
    start(
        "{{ $x := \"xxxxxxxx\" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}",
        "prints more than",
    );
    start(
        "{{ range 100 }}{{ repeat 1000000 \"x\" }}{{ end }}",
        "the output is larger",
    );
    start(
        "{{ replace \"\" (repeat 100000 \"x\") (repeat 100000 \"y\") }}",
        "MiB of data",
    );
    let nested = format!("{}{}", "{{ if true }}".repeat(200), "{{ end }}".repeat(200));
    start(&nested, "nested more than");
    start(
        &format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)),
        "nest",
    );
    let chain = format!(
        "{{{{ if false }}}}{}{{{{ end }}}}",
        "{{ else if false }}".repeat(20_000)
    );
    assert_eq!(render(&chain).unwrap(), "");
}

#[test]
fn values_that_hold_themselves_or_share_their_parts_end_too() {
    let own = "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}";
    assert!(render(&format!("{own}{{{{ $d }}}}")).unwrap().contains('…'));
    assert!(fails(&format!("{own}{{{{ toJson $d }}}}")).contains("holds itself"));
    assert!(fails(&format!("{own}{{{{ deepCopy $d }}}}")).contains("holds itself"));
    let laughs = "{{ $d := dict }}{{ range 60 }}{{ $d = dict \"a\" $d \"b\" $d }}{{ end }}";
    assert!(fails(&format!("{laughs}{{{{ deepCopy $d }}}}")).contains("too large"));
    assert!(fails(&format!("{laughs}{{{{ $d }}}}")).contains("prints more than"));
    for use_it in [
        "printf \"%d\" $d",
        "sortAlpha (list $d $d $d)",
        "quote $d $d",
        "toJson $d",
    ] {
        let said = fails(&format!("{laughs}{{{{ {use_it} }}}}"));
        assert!(
            said.contains("more than") || said.contains("too large"),
            "{use_it}: {said}"
        );
    }
    let deep = "{{ $l := list }}{{ range 100000 }}{{ $l = list $l }}{{ end }}{{ len $l }}";
    assert_eq!(render(deep).unwrap(), "1");
}

#[test]
fn whole_numbers_of_yaml_stay_whole() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("a.json", r#"{"n": 1000000}"#);
    put("b.yaml", "n: 1000000\nl: [1, 2.5]\n");
    put("c.toml", "n = 1000000\nd = 2020-01-02\n");
    put(
        "d.env",
        "A=1\nexport B='x y'\nC=\"a\\nb\" # not this\nD=e # nor this\n",
    );
    put(
        "main.tmpl",
        "{{ .a.n }} {{ .b.n }} {{ .b.l }} {{ .c.n }} {{ .d.A }}{{ .d.B }}{{ .d.C }}{{ .d.D }} {{ typeOf .b.n }}",
    );
    let flexible = Flexible {
        settings: Some(folder.path().to_owned()),
        ..Flexible::default()
    };
    let mut report = Report::default();
    let rendered = flexible.render(&folder.path().join("main.tmpl"), &[], &mut report);
    assert_eq!(
        rendered.text.as_deref(),
        Some("1e+06 1000000 [1 2.5] 1000000 1x ya\nbe int"),
        "{report:?}"
    );
}

#[test]
fn no_mutation_of_a_template_makes_it_panic() {
    let golden = golden();
    let pieces = [
        "{{", "}}", "{{-", "-}}", "\"", "`", "'", "(", ")", "|", ".", "$", "end", "else", "é",
        "\\", ":=", "nil", "-1", "%", "\n", "/*", "*/", "1e9",
    ];
    let mut random = fastrand::Rng::with_seed(44);
    for case in golden["cases"].as_array().unwrap() {
        for _ in 0..12 {
            let mut chars: Vec<char> = case["template"].as_str().unwrap().chars().collect();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..=chars.len());
                let to = (at + random.usize(..4)).min(chars.len());
                let piece = pieces[random.usize(..pieces.len())];
                chars.splice(
                    at..to,
                    piece
                        .chars()
                        .filter(|_| piece.len() != 1 || at.is_multiple_of(2)),
                );
            }
            let template: String = chars.into_iter().collect();
            if let Err(error) = render_text(&template, &golden["settings"]) {
                assert!(!error.contains("internal fault"), "{template}");
            }
        }
    }
}
