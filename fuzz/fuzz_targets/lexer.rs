//! Any bytes: the lexer ends, goes forward, and never panics.
#![no_main]

use hanzo_gateway::base::json::Lexer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut lexer = Lexer::new(text);
    let mut steps = 0;
    let mut last = 0;
    while let Ok(Some(_)) = lexer.next() {
        let offset = lexer.offset();
        assert!(
            offset > last && offset <= text.len(),
            "offset {last} then {offset}"
        );
        assert!(lexer.token_start() < offset, "an empty token");
        last = offset;
        steps += 1;
        assert!(steps <= text.len(), "more tokens than bytes");
    }
});
