//! A template and its settings: no panic, an end in bounded time, and a place for whatever is wrong.

use hanzo_gateway::config::template::render_text;

/// The text up to the first NUL is the template, the rest its settings in JSON.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (template, settings) = text.split_once('\0').unwrap_or((text, ""));
    let settings = serde_json::from_str(settings).unwrap_or_else(|_| {
        serde_json::json!({"a": {"b": [1, "x", null, true, {"c": 1e6}]}, "s": "text", "n": 8080})
    });
    match render_text(template, &settings) {
        Ok(rendered) => assert!(rendered.len() <= 64 << 20),
        Err(error) => {
            let mut parts = error.splitn(3, ':');
            let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
            let (line, column) = (number().expect("a line"), number().expect("a column"));
            assert!(line >= 1 && column >= 1, "{error}");
            assert!(
                template.is_empty() || line as usize <= template.split('\n').count(),
                "{error}"
            );
            assert!(!error.contains("internal fault"), "{error}");
        }
    }
}
