//! What stands before the calls of a backend: its breakers, with what they are the breakers of, and the bound on calls
//! at the same time. The breakers are outside: a call that is refused for want of room says nothing of the backend.

use crate::base::Dialect;
use crate::compile::backend::Place;
use crate::component::BackendDraft;
use crate::config;
use crate::gateway::gate::{Gate, Gates};
use crate::traffic::breaker::{Breaker, Held};
use crate::traffic::overload::{Concurrency, Limit};
use std::time::Duration;

/// The gates of a backend, outermost first; `timeout` is its endpoint's.
pub fn gates(
    draft: &mut BackendDraft,
    (written, place): (&config::Backend, &Place<'_>),
    (service, timeout): (&str, Duration),
    dialect: Dialect,
) -> Box<Gates> {
    let mut gates: Vec<Box<dyn Gate>> = Vec::new();
    for mut breaker in draft.breakers.drain(..) {
        breaker.of = match dialect {
            // Of one name, and of the same hosts: files give one name to breakers of different backends.
            Dialect::Native if !breaker.name.is_empty() => written.host.join(" "),
            _ => {
                let at = place.at;
                format!("{} {} {}", at.method, at.path, place.index)
            }
        };
        if breaker.name.is_empty() {
            service.clone_into(&mut breaker.name);
        }
        let env = &draft.env;
        let breaker = Breaker::kept(breaker, &env.kept, &env.metrics);
        gates.push(Box::new(Held(breaker)));
    }
    if let Some(bounds) = draft.concurrency {
        let key = format!("{} {bounds:?}", written.host.join(" "));
        let calls = draft
            .env
            .kept
            .get_or(&key, || Concurrency::new(service, bounds));
        gates.push(Box::new(Limit::new(calls, timeout)));
    }
    gates.into()
}
