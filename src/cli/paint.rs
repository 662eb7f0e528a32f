//! Words on a terminal: colour only where a person sees it, data to stdout, talk to stderr.

use std::io::{IsTerminal, Write};

/// Colours, or the lack of them.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    /// For text on standard output.
    pub fn stdout() -> Self {
        Self(wanted(std::io::stdout().is_terminal()))
    }

    /// For text on standard error.
    pub fn stderr() -> Self {
        Self(wanted(std::io::stderr().is_terminal()))
    }

    /// Never coloured.
    pub const fn plain() -> Self {
        Self(false)
    }

    /// Something refused.
    pub fn red(self, text: &str) -> String {
        self.wrap("31;1", text)
    }

    /// Something odd.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33;1", text)
    }

    /// Something good.
    pub fn green(self, text: &str) -> String {
        self.wrap("32;1", text)
    }

    /// Something to see first.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Something to see last.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `NO_COLOR` and `CLICOLOR_FORCE` speak before the terminal does.
#[expect(clippy::disallowed_methods, reason = "only the command line paints")]
fn wanted(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0");
    if set("NO_COLOR") {
        return false;
    }
    set("CLICOLOR_FORCE") || terminal
}

/// Writes to standard output; a closed pipe is no problem of ours.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Writes a line to standard error.
pub fn talk(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_no_escapes() {
        assert_eq!(Paint::plain().red("x"), "x");
        assert_eq!(Paint(true).red("x"), "\u{1b}[31;1mx\u{1b}[0m");
    }
}
