//! How the backends of an endpoint share its requests, for people and for machines.

use super::{Page, call, place};
use crate::cli::report::printable;
use crate::compile::explain::SplitPlan;
use crate::config::Source;
use serde_json::{Value, json};

impl Page<'_> {
    /// Every part with its share and its own calls.
    pub(super) fn split(&mut self, split: &SplitPlan) {
        for part in &split.parts {
            let here = if part.chosen { ", this request's" } else { "" };
            let text = format!(
                "part {} of {}: weight {} ({:.1} %){here}, {}",
                part.number,
                split.parts.len(),
                part.weight,
                part.share,
                part.plan
            );
            let text = self.paint.bold(&printable(&text));
            self.line(0, &text, split.place.as_ref());
            if let Some(when) = &part.when {
                self.line(7, &format!("always for {}", printable(when)), None);
            }
            for (index, call) in part.calls.iter().enumerate() {
                self.call(index + 1, call);
            }
        }
    }
}

/// The same as JSON.
pub(super) fn machine(source: &Source, split: &SplitPlan) -> Value {
    let parts: Vec<Value> = split
        .parts
        .iter()
        .map(|part| {
            let calls: Vec<Value> = part.calls.iter().map(|plan| call(source, plan)).collect();
            json!({
                "part": part.number,
                "weight": part.weight,
                "share_percent": part.share,
                "match": part.when,
                "chosen": part.chosen,
                "plan": part.plan,
                "backends": calls,
            })
        })
        .collect();
    json!({
        "because": place(source, split.place.as_ref()),
        "rule": split.rule,
        "sticky": split.sticky,
        "parts": parts,
    })
}
