//! `proxy.sequential`: one backend after the other, each with what the answers before it hold as further
//! parameters (reference/krakend-core section 9.2). One deadline covers all of them.

use crate::base::Error;
use crate::body::lookup::slot_text;
use crate::gateway::message::Answer;
use crate::gateway::snapshot::{Backend, Propagated};
use crate::net::Deadline;
use crate::pipe::call::{Fields, Inbound, Named, named};
use crate::pipe::compose::{Composed, Parts, raced};

/// Largest body that becomes a parameter.
const MAX_VALUE: usize = 64 << 10;

/// Calls the backends in their order; `wanted` holds what later ones want of each. An error of the first one is
/// the answer's; a later one, and a part that is not whole, end the sequence with what there is.
///
/// # Errors
/// The first backend's.
pub async fn call(
    backends: &[Backend],
    wanted: &[Box<[Propagated]>],
    inbound: &Inbound<'_>,
    fields: Vec<Fields>,
    deadline: Deadline,
) -> Result<Composed, Error> {
    let mut parts = Parts::new(backends.len());
    let mut values = inbound.params.clone();
    let mut fields = fields.into_iter();
    for (index, backend) in backends.iter().enumerate() {
        let fields = fields.next().unwrap_or_default();
        let mut result = raced(backend, inbound, fields, &values, deadline).await;
        if index == 0
            && let Err(error) = result
        {
            return Err(error);
        }
        if let (Ok(answer), Some(wanted)) = (&mut result, wanted.get(index)) {
            propagate(wanted, answer, &mut values).await;
        }
        let go_on = result.as_ref().is_ok_and(|answer| answer.complete);
        parts.push(result);
        if !go_on {
            break;
        }
    }
    parts.finish(inbound.ctx.gateway.dialect)
}

/// Takes what later backends want of an answer. What is not there leaves its slot open, and what is there
/// already stays.
async fn propagate(wanted: &[Propagated], answer: &mut Answer, values: &mut Named) {
    for one in wanted {
        if named(values, &one.key).is_some_and(|value| !value.is_empty()) {
            continue;
        }
        let text = match &one.field {
            Some(field) => slot_text(&answer.data, field),
            // The whole body; there is one only where none was decoded.
            None => match answer.collect(MAX_VALUE).await {
                Ok(bytes) if bytes.is_empty() => None,
                Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                Err(_) => None,
            },
        };
        if let Some(text) = text {
            values.push((one.key.to_string(), text));
        }
    }
}
