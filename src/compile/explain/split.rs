//! An endpoint whose backends share its requests: which of them a request meets and why, and what each would do.

use super::{CallPlan, Outcome, Place, Walk};
use crate::base::secret;
use crate::gateway::snapshot::{Endpoint, Gateway, Plan};
use crate::gateway::split::{Part, Split, Sticky, When};

/// The parts of an endpoint.
#[derive(Clone, Debug)]
pub struct SplitPlan {
    /// Where the shares are written.
    pub place: Option<Place>,
    /// What decides about this request: `match`, `sticky` or `weight`.
    pub rule: &'static str,
    /// What keeps callers where they are.
    pub sticky: Option<String>,
    /// All parts, in file order.
    pub parts: Vec<PartPlan>,
}

/// One part.
#[derive(Clone, Debug)]
pub struct PartPlan {
    /// Its place, from 1.
    pub number: usize,
    /// Its weight.
    pub weight: u32,
    /// What that is of all weights, in hundredths.
    pub share: f64,
    /// Which requests always meet it.
    pub when: Option<String>,
    /// Whether the request meets it.
    pub chosen: bool,
    /// Whether it streams or composes.
    pub plan: &'static str,
    /// Its calls.
    pub calls: Vec<CallPlan>,
}

/// Which part a request meets.
struct Met<'s> {
    part: &'s Part,
    rule: &'static str,
}

impl Walk<'_> {
    /// The part that serves the request, told as a decision; the endpoint itself where nothing is shared.
    pub(super) fn shared_out<'g>(
        &mut self,
        gateway: &'g Gateway,
        endpoint: &'g Endpoint,
    ) -> &'g Endpoint {
        let Some(split) = &endpoint.split else {
            return endpoint;
        };
        self.shared = self.ctx.endpoint;
        let Some(met) = self.met(split) else {
            return endpoint;
        };
        let because = self.written("hanzo/split", Some(endpoint));
        let (number, count) = (number(split, met.part), split.parts.len());
        let text = match (met.rule, &met.part.when, &split.sticky) {
            ("match", Some(when), _) => {
                format!("part {number} of {count}, always for {}", words(when))
            }
            ("sticky", _, Some(sticky)) => {
                format!("part {number} of {count}, where {} belongs", stays(sticky))
            }
            _ => format!(
                "any of {count} parts, by weight; what follows is told for part {number}, the largest share"
            ),
        };
        self.step("split", Outcome::Passed, text, because);
        if let Some(sticky) = &split.sticky
            && met.rule == "weight"
        {
            let note = match sticky {
                Sticky::Cookie(name) => format!("the caller gets a cookie {name} and stays there"),
                Sticky::Header(name) => {
                    format!("callers with a {name} would stay where it belongs")
                }
            };
            self.note(note, None);
        }
        self.ctx.endpoint = Some(met.part.endpoint);
        gateway.endpoints.get(met.part.endpoint).unwrap_or(endpoint)
    }

    fn met<'s>(&self, split: &'s Split) -> Option<Met<'s>> {
        if let Some(part) = split.meant(self.request) {
            let rule = "match";
            return Some(Met { part, rule });
        }
        if let Some(key) = split.known(self.request) {
            let rule = "sticky";
            return split.home(key).map(|part| Met { part, rule });
        }
        let rule = "weight";
        let largest = split.parts.iter().rev().max_by_key(|part| part.weight);
        largest.map(|part| Met { part, rule })
    }

    /// All parts with what each of them would do; `None` where nothing is shared.
    pub(super) fn parts(&self) -> Option<SplitPlan> {
        let owner = self.gateway.endpoints.get(self.shared?)?;
        let split = owner.split.as_ref()?;
        let endpoints = &self.document.service.endpoints;
        let written = endpoints.iter().find(|e| *e.pointer == *owner.pointer)?;
        let met = self.met(split)?;
        let all: u64 = split.parts.iter().map(|part| u64::from(part.weight)).sum();
        let part = |(at, part): (usize, &Part)| {
            let endpoint = self.gateway.endpoints.get(part.endpoint)?;
            Some(PartPlan {
                number: at + 1,
                weight: part.weight,
                share: f64::from(part.weight) * 100.0 / all.max(1) as f64,
                when: part.when.as_ref().map(words),
                chosen: met.rule != "weight" && std::ptr::eq(met.part, part),
                plan: match &endpoint.plan {
                    Plan::Stream(_) => "stream",
                    Plan::Compose(_) => "compose",
                },
                calls: self.calls_of(endpoint, written).0,
            })
        };
        let namespace = written.extra_config.get("hanzo/split")?;
        Some(SplitPlan {
            place: self.at.key(&namespace.pointer, "backends"),
            rule: met.rule,
            sticky: split.sticky.as_ref().map(stays),
            parts: split.parts.iter().enumerate().filter_map(part).collect(),
        })
    }
}

/// The place of a part, from 1.
fn number(split: &Split, part: &Part) -> usize {
    let at = split.parts.iter().position(|own| std::ptr::eq(own, part));
    at.map_or(0, |at| at + 1)
}

/// A rule in words; a value that may be a credential is not shown.
fn words(when: &When) -> String {
    let name = &when.header;
    match &when.value {
        None => format!("requests with {name}"),
        Some(_) if secret::hides(name.as_str()) => format!("requests with one value of {name}"),
        Some(value) => format!("requests with {name}: {value}"),
    }
}

fn stays(sticky: &Sticky) -> String {
    match sticky {
        Sticky::Header(name) => format!("the header {name}"),
        Sticky::Cookie(name) => format!("the cookie {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask_about, request, step};
    use crate::base::Dialect;
    use crate::compile::explain::Explanation;

    fn ask(sticky: &str, fields: &[(&str, &str)]) -> Explanation {
        let file = format!(
            r#"{{"version": 3, "endpoints": [{{"endpoint": "/x", "output_encoding": "no-op",
            "extra_config": {{
                "qos/ratelimit/router": {{"max_rate": 5, "capacity": 9}},
                "hanzo/split": {{"backends": [
                    {{"weight": 90}},
                    {{"weight": 10, "match": {{"header": "X-Canary", "value": "yes"}}}}
                ]{sticky}}}
            }},
            "backend": [
                {{"url_pattern": "/old", "host": ["http://old-1", "http://old-2"],
                  "extra_config": {{"qos/circuit-breaker": {{"interval": 60, "timeout": 10, "max_errors": 3, "name": "old"}}}}}},
                {{"url_pattern": "/new", "host": ["http://new"],
                  "extra_config": {{"qos/ratelimit/proxy": {{"max_rate": 7, "capacity": 8}}}}}}
            ]}}]}}"#
        );
        ask_about(&file, Dialect::Native, None, &request("GET", "/x", fields))
    }

    #[test]
    fn all_parts_are_told_with_their_shares_and_what_guards_them() {
        let found = ask("", &[]);
        let split = found.split.clone().unwrap();
        assert_eq!(split.rule, "weight");
        let shares: Vec<_> = split.parts.iter().map(|p| (p.weight, p.share)).collect();
        assert_eq!(shares, [(90, 90.0), (10, 10.0)]);
        let urls: Vec<_> = split
            .parts
            .iter()
            .map(|p| p.calls[0].urls.clone())
            .collect();
        assert_eq!(urls[0], ["http://old-1/old", "http://old-2/old"]);
        assert_eq!(urls[1], ["http://new/new"]);
        let guards = |part: usize| format!("{:?}", split.parts[part].calls[0].guards);
        assert!(
            guards(0).contains("more than 3 calls in a row"),
            "{}",
            guards(0)
        );
        assert!(guards(0).contains("hosts"), "{}", guards(0));
        assert!(
            guards(1).contains("7 in a second, 8 at once"),
            "{}",
            guards(1)
        );
        assert!(split.parts[1].when.as_deref() == Some("requests with x-canary: yes"));
        assert!(split.parts.iter().all(|part| !part.chosen));
        assert!(step(&found, "split").text.contains("any of 2 parts"));
        let limit = step(&found, "qos/ratelimit/router");
        assert!(
            limit.notes[0].0.contains("5 in a second, 9 at once"),
            "{limit:?}"
        );
    }

    #[test]
    fn a_request_is_told_for_the_part_that_it_meets() {
        let found = ask("", &[("X-Canary", "yes")]);
        let split = found.split.clone().unwrap();
        assert_eq!((split.rule, split.parts[1].chosen), ("match", true));
        assert_eq!(found.calls[0].urls, ["http://new/new"]);
        assert!(step(&found, "split").text.starts_with("part 2 of 2"));
    }

    #[test]
    fn a_caller_that_stays_is_told_where() {
        let sticky = r#", "sticky": {"header": "X-User"}"#;
        let of = |user: &str| {
            let found = ask(sticky, &[("X-User", user)]);
            let split = found.split.clone().unwrap();
            assert_eq!(split.rule, "sticky");
            split.parts.iter().position(|part| part.chosen).unwrap()
        };
        let homes: Vec<usize> = (0..40).map(|user| of(&format!("u{user}"))).collect();
        assert_eq!(homes[7], of("u7"));
        let second = homes.iter().filter(|home| **home == 1).count();
        assert!(second < 20, "{homes:?}");
    }
}
