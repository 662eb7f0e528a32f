//! `hanzo/compat` – whose words this file speaks; a flag or the environment wins over it.

use crate::base::{Dialect, Problem};
use crate::component::Component;
use crate::component::ServiceDraft;
use crate::config::Extra;
use crate::config::settings::Settings;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    ..Component::named("hanzo/compat")
};

/// The dialect that a document asks for, before anything of it is compiled.
pub fn dialect(extra: &Extra) -> Option<Dialect> {
    match extra.get("hanzo/compat")?.value.get("dialect")?.as_str()? {
        "krakend" => Some(Dialect::Krakend),
        "native" => Some(Dialect::Native),
        _ => None,
    }
}

fn build(s: &mut Settings<'_>, _: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["dialect"]);
    s.one_of("dialect", &["native", "krakend"]);
    Ok(())
}
