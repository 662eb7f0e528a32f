//! `backend/http/client` – options of the HTTP client.
//!
//! Differs from KrakenD CE: nothing yet; `send_body_on_redirect` is the only key that it reads, and the
//! Enterprise keys are named as not implemented.

use crate::base::{Code, Dialect, Problem};
use crate::component::BackendDraft;
use crate::component::Component;
use crate::config::settings::Settings;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    lenient: true,
    ..Component::named("backend/http/client")
};

/// Keys of KrakenD's Enterprise edition.
const NOT_YET: &[&str] = &["no_redirect", "proxy_address", "client_tls"];

fn build(s: &mut Settings<'_>, backend: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&[
        "send_body_on_redirect",
        "no_redirect",
        "proxy_address",
        "client_tls",
    ]);
    backend.send_body_on_redirect = s.bool_or("send_body_on_redirect", false);
    for key in NOT_YET {
        if s.has(key) {
            s.warn(
                key,
                Code::NotYet,
                format!("{key} is not implemented yet and is ignored"),
            );
        }
    }
    Ok(())
}
