//! Settings that count together or not at all.

use crate::base::{Dialect, Severity};
use crate::config::settings::Settings;

/// Reads settings that KrakenD takes as a whole or not at all: `None` when something in them is wrong, which
/// native refuses and the krakend dialect warns of, as there `what` is off: the component, the limit.
pub fn whole<T>(
    settings: &mut Settings<'_>,
    dialect: Dialect,
    what: &str,
    read: impl FnOnce(&mut Settings<'_>) -> T,
) -> Option<T> {
    let (from, before) = {
        let report = settings.report();
        (report.problems.len(), report.errors())
    };
    let found = read(settings);
    let report = settings.report();
    if report.errors() == before {
        return Some(found);
    }
    if dialect == Dialect::Krakend {
        for problem in report.problems.iter_mut().skip(from) {
            if problem.severity == Severity::Error {
                problem.severity = Severity::Warning;
                let off = format!("; the {what} is off, as in KrakenD");
                problem.message.push_str(&off);
            }
        }
    }
    None
}
