//! What operators read of the regions of a backend: which one serves now, and why it is not the first.

use crate::net::balance::Regions;
use crate::net::balance::regions::{State, View};
use crate::net::balance::seat::Moment;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The regions of one backend as JSON: who serves, why, and each of them in their order.
pub fn told(regions: &Regions, now: Moment) -> Value {
    let all = regions.view(now);
    let serving = serving(&all);
    json!({
        "serving": all.get(serving).map(|view| view.name),
        "why": why(&all, serving),
        "order": all.iter().map(one).collect::<Vec<_>>(),
    })
}

/// The place of the region that most of the traffic is meant for.
fn serving(all: &[View<'_>]) -> usize {
    let mut most = 0;
    for (at, view) in all.iter().enumerate() {
        let leader = all.get(most).map_or(0.0, |leader| leader.share);
        if view.share > leader {
            most = at;
        }
    }
    most
}

/// Why that region serves: what is the matter with those before it.
fn why(all: &[View<'_>], serving: usize) -> String {
    let mut text = String::new();
    for view in all.iter().take(serving.max(1)) {
        let matter = matter(view);
        if !matter.is_empty() {
            let start = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{start}{}: {matter}", view.name);
        }
    }
    if text.is_empty() {
        text.push_str("it is the first in order and good");
    }
    text
}

fn matter(view: &View<'_>) -> String {
    let (healthy, hosts) = view.hosts;
    match view.state {
        State::Good => String::new(),
        State::Full => format!("over its share, {} calls went on so far", view.spilled),
        State::Degraded | State::Down => format!("{healthy} of {hosts} hosts are healthy"),
        State::Waiting => {
            let seconds = view.waits.unwrap_or_default().as_secs_f64().ceil();
            format!("good again; gets more in {seconds} s if it stays so")
        }
        State::Returning => format!("coming back, at {:.0} %", view.share * 100.0),
    }
}

fn one(view: &View<'_>) -> Value {
    let (healthy, hosts) = view.hosts;
    let mut told = json!({
        "region": view.name,
        "state": view.state.word(),
        "share": (f64::from(view.share) * 1000.0).round() / 1000.0,
        "healthy": healthy,
        "hosts": hosts,
    });
    let mut put = |key: &str, value: Value| {
        if let Some(map) = told.as_object_mut() {
            map.insert(key.to_owned(), value);
        }
    };
    if let Some(waits) = view.waits {
        put("returns_in_seconds", json!(waits.as_secs_f64().ceil()));
    }
    if let Some((calls, room)) = view.in_flight {
        put("in_flight", json!(calls));
        put("room", json!(room));
        put("passed_on", json!(view.spilled));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn view(name: &'static str, share: f32, state: State) -> View<'static> {
        View {
            name,
            share,
            hosts: (0, 2),
            state,
            waits: (state == State::Waiting).then_some(Duration::from_millis(11_200)),
            in_flight: None,
            spilled: 0,
        }
    }

    #[test]
    fn it_is_told_why_another_region_serves() {
        let all = [
            view("eu", 0.0, State::Down),
            view("us", 0.0, State::Waiting),
            view("ap", 1.0, State::Good),
        ];
        assert_eq!(serving(&all), 2);
        assert_eq!(
            why(&all, 2),
            "eu: 0 of 2 hosts are healthy; us: good again; gets more in 12 s if it stays so"
        );
    }

    #[test]
    fn the_first_serves_without_a_reason() {
        let all = [view("eu", 1.0, State::Good), view("us", 0.0, State::Down)];
        assert_eq!(serving(&all), 0);
        assert_eq!(why(&all, 0), "it is the first in order and good");
    }

    #[test]
    fn what_is_wrong_with_the_first_is_told_while_it_serves_on() {
        let all = [
            view("eu", 0.7, State::Degraded),
            view("us", 0.3, State::Good),
        ];
        assert_eq!(why(&all, serving(&all)), "eu: 0 of 2 hosts are healthy");
    }
}
