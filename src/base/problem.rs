//! What is wrong with a configuration: every finding has a stable code, a place, what is wrong and
//! what to write instead. A [`Report`] collects all of them; nothing stops at the first.

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file starts, but something in it is ignored or odd.
    Warning,
    /// The file is refused.
    Error,
}

macro_rules! codes {
    ($($variant:ident $id:literal $title:literal;)*) => {
        /// The stable number of a finding; documented in `docs/PROBLEMS.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, ascending.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The number, e.g. `HG0101`.
            pub const fn id(self) -> &'static str {
                match self { $(Code::$variant => $id,)* }
            }

            /// One sentence of documentation.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    Unreadable "HG0001" "The file cannot be read.";
    Syntax "HG0002" "The file is no valid JSON, YAML or TOML.";
    TooDeep "HG0003" "The document is nested too deeply or too large.";
    Version "HG0004" "`version` is not 3.";
    DuplicateKey "HG0005" "A key occurs twice in one object; the last one counts.";
    Environment "HG0006" "An environment override is ignored or cannot be used.";
    Template "HG0007" "A template, its settings or its partials cannot be used.";
    WrongType "HG0101" "A value has a type that cannot be converted.";
    BadDuration "HG0102" "A duration cannot be parsed.";
    OutOfRange "HG0103" "A number is outside its range.";
    BadValue "HG0104" "A value is not one of the allowed ones.";
    SuspiciousDuration "HG0105" "A duration written as a number is nanoseconds and suspiciously short.";
    MissingKey "HG0110" "A key that must be there is missing.";
    UnknownKey "HG0201" "A key that nothing reads.";
    UnknownNamespace "HG0202" "An `extra_config` namespace that nothing knows.";
    NotYet "HG0203" "A known component that this version does not implement; it is ignored.";
    Unprotected "HG0204" "A protection that this version does not implement.";
    WrongLevel "HG0205" "A component at a level where it does nothing.";
    EnterpriseOnly "HG0206" "A component of KrakenD's Enterprise edition that this version does not implement.";
    Deprecated "HG0207" "A deprecated spelling; it still works.";
    NoBackend "HG0301" "An endpoint without backends.";
    BadPath "HG0302" "An endpoint path that is not allowed.";
    BadMethod "HG0303" "A method that is not served; the endpoint is skipped.";
    RouteConflict "HG0304" "Two endpoints claim the same requests.";
    UndefinedParam "HG0305" "A backend uses a parameter that the endpoint does not have.";
    ParamCount "HG0306" "A backend uses more parameters than the endpoint has.";
    BadHost "HG0307" "A host that is no host.";
    NoHost "HG0308" "A backend without hosts; every request to it fails.";
    NoOpManyBackends "HG0309" "A `no-op` endpoint with more than one backend.";
    BadAddress "HG0310" "`listen_ip` is no IP address.";
    UnknownEncoding "HG0311" "An encoding that nothing knows; JSON is used instead.";
    BadTls "HG0312" "A TLS setting that cannot be used.";
    TrustsEveryProxy "HG0401" "The file relies on KrakenD's trust in every proxy.";
    OpenOrigin "HG0402" "A CORS rule that lets sites act for their visitors that nobody chose.";
    Listener "HG0501" "The port cannot be bound.";
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The stable number.
    pub code: Code,
    /// Whether the file is refused.
    pub severity: Severity,
    /// Where: a JSON pointer (RFC 6901) into the document; empty is the whole document.
    pub pointer: String,
    /// Line and column (both from 1) when the place in the text is known without the pointer,
    /// as for syntax errors.
    pub position: Option<(u32, u32)>,
    /// The file that `position` is in, when it is not the document itself: a template or settings.
    pub file: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Problem {
    /// A finding that refuses the file.
    pub fn error(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            pointer: pointer.into(),
            position: None,
            file: None,
            message: message.into(),
            hint: None,
        }
    }

    /// A finding that lets the file start.
    pub fn warning(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, pointer, message)
        }
    }

    /// The same finding with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same finding at a known place in the text.
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.position = Some((line, column));
        self
    }

    /// The same finding in this file; its position, if there is one, is a place there.
    #[must_use]
    pub fn in_file(mut self, name: impl Into<String>) -> Self {
        self.file = Some(name.into());
        self
    }
}

/// All findings of one document.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings in the order in which they were made.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Adds a finding.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Whether any finding refuses the file.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    /// How many findings refuse the file.
    pub fn errors(&self) -> usize {
        self.problems
            .iter()
            .filter(|p| p.severity == Severity::Error)
            .count()
    }

    /// How many findings only warn.
    pub fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }
}

/// Appends one member name or index to a JSON pointer, escaped by RFC 6901.
pub fn pointer_push(pointer: &mut String, token: &str) {
    pointer.push('/');
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// A JSON pointer with one more member name or index.
pub fn pointer_join(pointer: &str, token: &str) -> String {
    let mut joined = pointer.to_owned();
    pointer_push(&mut joined, token);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_pointers() {
        assert_eq!(
            pointer_join("/extra_config", "auth/validator"),
            "/extra_config/auth~1validator"
        );
        assert_eq!(pointer_join("", "a~b"), "/a~0b");
    }

    #[test]
    fn codes_are_unique_and_sorted() {
        assert!(Code::ALL.windows(2).all(|w| w[0].id() < w[1].id()));
    }
}
