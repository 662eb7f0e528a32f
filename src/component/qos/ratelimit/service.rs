//! `qos/ratelimit/service` – how many requests the whole service takes (Enterprise in KrakenD).

pub mod redis;

use super::{enterprise_only, router};
use crate::base::{Dialect, Problem};
use crate::component::{Component, ServiceDraft};
use crate::config::settings::Settings;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "qos/ratelimit/service";

fn build(s: &mut Settings<'_>, draft: &mut ServiceDraft, dialect: Dialect) -> Result<(), Problem> {
    if dialect == Dialect::Krakend {
        enterprise_only(s, NAME);
    } else {
        router::whole_service(s, draft, NAME);
    }
    Ok(())
}
