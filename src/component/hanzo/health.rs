//! `hanzo/health` – how backends are probed and which of them the gateway cannot do without. `hanzo/balance` may say
//! otherwise for one backend.

use crate::base::{Dialect, Problem};
use crate::component::Component;
use crate::component::ServiceDraft;
use crate::config::settings::Settings;
use crate::gateway::health::ProbeOptions;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    ..Component::named("hanzo/health")
};

fn build(s: &mut Settings<'_>, service: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&[
        "interval",
        "timeout",
        "critical",
        "path",
        "unhealthy_after",
        "healthy_after",
    ]);
    let mut options = ProbeOptions::default();
    super::probe(s, &mut options);
    service.health.probe = Some(options);
    service.health.critical = s.list_of_strings("critical");
    Ok(())
}
