//! `security/bot-detector` – turns away clients by what they call themselves, at service and endpoint level.
//!
//! The order is KrakenD's: an empty name by its flag, then `allow`, `deny`, `patterns`. Differs from KrakenD: a pattern
//! that cannot be compiled refuses the file (there the detector is off; so it is in the krakend dialect, with a warning), and
//! `cache_size` is read and not needed: all patterns are one automaton that runs once over the name, a microsecond
//! for 10 of them as for 200, without a lock and without state that clients can fill.

use super::{regex_fault, whole};
use crate::base::{Code, Dialect, Problem, Reason};
use crate::component::{Component, EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::stage::{Edits, HeadStage, Step};
use http::header;
use regex::{Regex, RegexSet};
use std::collections::HashSet;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "security/bot-detector";
const KEYS: &[&str] = &[
    "allow",
    "deny",
    "patterns",
    "cache_size",
    "empty_user_agent_is_bot",
];

fn service(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    let detector = whole(s, dialect, read);
    draft.head.extend(detector.map(boxed));
    Ok(())
}

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    let detector = whole(s, dialect, read);
    draft.head.extend(detector.map(boxed));
    Ok(())
}

fn boxed(detector: Detector) -> Box<dyn HeadStage> {
    Box::new(detector)
}

struct Detector {
    allow: HashSet<String>,
    deny: HashSet<String>,
    patterns: RegexSet,
    empty_is_bot: bool,
}

fn read(s: &mut Settings<'_>) -> Detector {
    s.known(KEYS);
    // Nothing is kept, but what KrakenD cannot start its cache with is wrong here too.
    s.unsigned("cache_size");
    Detector {
        allow: s.list_of_strings("allow").into_iter().collect(),
        deny: s.list_of_strings("deny").into_iter().collect(),
        patterns: patterns(s),
        empty_is_bot: s.bool_or("empty_user_agent_is_bot", false),
    }
}

fn patterns(s: &mut Settings<'_>) -> RegexSet {
    let mut usable = Vec::new();
    for (pointer, pattern) in s.located_strings("patterns") {
        let Err(error) = Regex::new(&pattern) else {
            usable.push(pattern);
            continue;
        };
        let fault = regex_fault(&error);
        let message = format!("this is no regular expression: {fault}");
        let hint = "write it in RE2's syntax; it matches anywhere in the User-Agent unless ^ or $ says otherwise";
        let problem = Problem::error(Code::BadValue, pointer, message).hint(hint);
        s.report().push(problem);
    }
    RegexSet::new(usable).unwrap_or_else(|error| {
        let message = format!("the patterns cannot be joined: {}", regex_fault(&error));
        let hint = "use fewer or shorter ones";
        s.error_hint("patterns", Code::BadValue, message, hint);
        RegexSet::empty()
    })
}

impl Detector {
    fn is_bot(&self, agent: &[u8]) -> bool {
        if agent.is_empty() {
            return self.empty_is_bot;
        }
        // What is no text must not slip through a pattern for that alone.
        let agent = String::from_utf8_lossy(agent);
        if self.allow.contains(&*agent) {
            return false;
        }
        self.deny.contains(&*agent) || self.patterns.is_match(&agent)
    }
}

impl HeadStage for Detector {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(&'a self, head: &'a dyn Head, _: &'a mut Edits, _: &'a mut Ctx) -> Step<'a> {
        let agent = head.header(&header::USER_AGENT).unwrap_or_default();
        if self.is_bot(agent) {
            return Step::Now(Err(Reason::BotDetected.into()));
        }
        Step::NEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Report, Severity};
    use serde_json::{Value, json};

    fn build(value: &Value, dialect: Dialect) -> (Option<Detector>, Report) {
        let mut report = Report::default();
        let mut settings = Settings::new(value, "/b", &mut report);
        let detector = whole(&mut settings, dialect, read);
        (detector, report)
    }

    fn detector(value: &Value) -> Detector {
        let (detector, report) = build(value, Dialect::Native);
        detector.unwrap_or_else(|| panic!("{:?}", report.problems))
    }

    #[test]
    fn names_are_exact_and_patterns_match_anywhere() {
        let detector = detector(&json!({
            "deny": ["bad-bot"], "allow": ["good-crawler/1.0"],
            "patterns": ["(crawler)/.*", "^curl"], "cache_size": 100
        }));
        for (agent, bot) in [
            ("bad-bot", true),
            ("Bad-Bot", false),
            ("bad-bot ", false),
            ("good-crawler/1.0", false),
            ("good-crawler/1.1", true),
            ("curl/8", true),
            ("libcurl/8", false),
            ("Mozilla", false),
            ("", false),
        ] {
            assert_eq!(detector.is_bot(agent.as_bytes()), bot, "{agent:?}");
        }
    }

    #[test]
    fn allowed_goes_before_denied() {
        let detector = detector(&json!({"allow": ["a"], "deny": ["a", "b"], "patterns": ["a"]}));
        assert!(!detector.is_bot(b"a"));
        assert!(detector.is_bot(b"b"));
    }

    #[test]
    fn no_name_is_a_bots_only_when_the_file_says_so() {
        assert!(!detector(&json!({"patterns": [".*"]})).is_bot(b""));
        assert!(detector(&json!({"empty_user_agent_is_bot": true})).is_bot(b""));
    }

    #[test]
    fn bytes_that_are_no_text_hide_no_bot() {
        let detector = detector(&json!({"patterns": ["^.*bot$"], "deny": ["x"]}));
        assert!(detector.is_bot(b"\xff\xfe bot"));
        assert!(!detector.is_bot(b"\xffx"));
    }

    #[test]
    fn a_broken_pattern_refuses_and_only_warns_in_krakends_dialect() {
        let value = json!({"patterns": ["ok", "(", "[z-a]"]});
        let (detector, report) = build(&value, Dialect::Native);
        assert!(detector.is_none());
        let places: Vec<_> = report.problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(places, ["/b/patterns/1", "/b/patterns/2"]);
        assert!(report.problems.iter().all(|p| p.hint.is_some()));
        assert_eq!(report.errors(), 2);
        let (detector, report) = build(&value, Dialect::Krakend);
        assert!(detector.is_none());
        assert!(
            report
                .problems
                .iter()
                .all(|p| p.severity == Severity::Warning)
        );
    }

    #[test]
    fn a_cache_of_a_negative_size_is_refused() {
        let (detector, report) = build(&json!({"cache_size": -1}), Dialect::Native);
        assert!(detector.is_none());
        assert_eq!(report.problems[0].pointer, "/b/cache_size");
    }

    #[test]
    fn hundreds_of_patterns_are_still_one_pass() {
        let many: Vec<String> = (0..300).map(|n| format!("bot{n}/[0-9]+")).collect();
        let detector = detector(&json!({ "patterns": many }));
        assert!(detector.is_bot(b"Mozilla/5.0 (compatible; bot299/2; +http://a)"));
        assert!(!detector.is_bot("Mozilla/5.0 ".repeat(1000).as_bytes()));
    }
}
