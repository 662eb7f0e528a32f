//! `hanzo/edge` – whether streaming endpoints may be served on the fast lane. `--lane` and
//! `HANZO_GATEWAY_LANE` win over it.

use crate::base::{Dialect, Problem};
use crate::component::Component;
use crate::component::ServiceDraft;
use crate::config::Extra;
use crate::config::settings::Settings;
use crate::gateway::lane::Lane;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    ..Component::named("hanzo/edge")
};

/// The lane that a document asks for, whether or not anything of it is compiled.
pub fn lane(extra: &Extra) -> Lane {
    let written = extra.get("hanzo/edge").and_then(|n| n.value.get("lane"));
    written
        .and_then(|lane| Lane::of(lane.as_str()?))
        .unwrap_or_default()
}

fn build(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["lane"]);
    let word = s.one_of("lane", &[Lane::Auto.word(), Lane::Off.word()]);
    draft.lane = word.and_then(Lane::of).unwrap_or_default();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, Report, Severity};
    use serde_json::json;

    fn built(value: &serde_json::Value) -> (Lane, Vec<(Code, Severity, String)>) {
        let mut report = Report::default();
        let mut draft = ServiceDraft::default();
        let mut settings = Settings::new(value, "/e", &mut report);
        build(&mut settings, &mut draft, Dialect::Native).unwrap();
        let found = report.problems.into_iter();
        let found = found.map(|p| (p.code, p.severity, p.pointer)).collect();
        (draft.lane, found)
    }

    #[test]
    fn the_lane_is_taken_as_written() {
        assert_eq!(built(&json!({"lane": "off"})), (Lane::Off, vec![]));
        assert_eq!(built(&json!({"lane": "auto"})), (Lane::Auto, vec![]));
        assert_eq!(built(&json!({})), (Lane::Auto, vec![]));
    }

    #[test]
    fn a_lane_that_there_is_not_refuses_the_file() {
        let place = "/e/lane".to_owned();
        let wrong = (Code::BadValue, Severity::Error, place.clone());
        assert_eq!(built(&json!({"lane": "fast"})).1, [wrong]);
        let wrong = (Code::WrongType, Severity::Error, place);
        assert_eq!(built(&json!({"lane": ["off"]})).1, [wrong]);
    }

    #[test]
    fn what_it_does_not_know_is_a_warning() {
        let (_, found) = built(&json!({"lanes": 2}));
        let unknown = (Code::UnknownKey, Severity::Warning, "/e/lanes".to_owned());
        assert_eq!(found, [unknown]);
    }
}
