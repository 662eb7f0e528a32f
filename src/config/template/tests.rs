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
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.concat());
}
