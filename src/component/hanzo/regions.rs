//! `hanzo/regions` – where this gateway is, where a backend's hosts are, where the same service is elsewhere, and in which
//! order and when regions stand in for each other. What comes of it is worked out when all of the file is read
//! (`compile::regions`): the file is the same everywhere, the place of a gateway comes from its command line. KrakenD
//! has nothing like it.

use crate::base::problem::pointer_join;
use crate::base::{Code, Dialect, Problem};
use crate::component::{
    BackendDraft, BackendRegions, Component, Failover, Listed, ServiceDraft, ServiceRegions,
    WrittenThresholds,
};
use crate::config::settings::Settings;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    backend: Some(backend),
    ..Component::named("hanzo/regions")
};

/// Most hosts of one region of a backend, and most regions; what a request remembers of hosts is bounded too.
const MOST: usize = 256;
/// The longest name of a region.
const LONGEST: usize = 64;

fn service(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["region", "peers", "failover", "thresholds"]);
    let mut peers = Vec::new();
    if let Some(mut all) = s.object("peers") {
        for region in names(&mut all) {
            if let Some(mut map) = all.object(&region) {
                peers.push((region, moves(&mut map)));
            }
        }
    }
    draft.regions = Some(ServiceRegions {
        region: region(s),
        peers,
        failover: failover(s),
        thresholds: thresholds(s),
        pointer: s.pointer_of(""),
    });
    Ok(())
}

fn backend(s: &mut Settings<'_>, draft: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["region", "peers", "failover", "thresholds"]);
    let mut peers = None;
    if let Some(mut all) = s.object("peers") {
        let mut read = Vec::new();
        for region in names(&mut all) {
            let hosts = located(&mut all, &region);
            read.push((region, hosts));
        }
        peers = Some(read);
    }
    draft.regions = Some(BackendRegions {
        region: region(s),
        peers,
        failover: failover(s),
        thresholds: thresholds(s),
        pointer: s.pointer_of(""),
    });
    Ok(())
}

/// The names of regions that are the keys of an object.
fn names(s: &mut Settings<'_>) -> Vec<String> {
    let names: Vec<String> = s.entries().map(|(name, _)| name.to_owned()).collect();
    if names.len() > MOST {
        let message = format!("{} regions, and {MOST} are the most", names.len());
        s.error("", Code::OutOfRange, message);
        return Vec::new();
    }
    for name in &names {
        if !is_name(name) {
            bad_name(s, name, name);
        }
    }
    names
}

/// What is listed under a key, each with its place; a single text is a list of one.
fn listed(s: &mut Settings<'_>, key: &str) -> Vec<Listed> {
    let all = s.located_strings(key).into_iter();
    all.map(|(pointer, text)| Listed { text, pointer })
        .collect()
}

/// The hosts that are listed under a key.
fn located(s: &mut Settings<'_>, key: &str) -> Vec<Listed> {
    let all = listed(s, key);
    if all.is_empty() || all.len() > MOST {
        let message = format!("\"{key}\" lists {} hosts", all.len());
        let hint = format!("write from 1 to {MOST}, such as [\"http://us-1.example:8080\"]");
        s.error_hint(key, Code::OutOfRange, message, hint);
    }
    all
}

/// Which host or domain stands for which in another region.
fn moves(s: &mut Settings<'_>) -> Vec<(String, Vec<Listed>)> {
    let from: Vec<String> = s.entries().map(|(name, _)| name.to_owned()).collect();
    if from.is_empty() {
        let message = "no host of another region";
        let hint = "write which host or domain stands for which, such as {\"svc\": \"svc.us\"}";
        s.error_hint("", Code::BadValue, message, hint);
    }
    from.into_iter()
        .map(|from| {
            let to = located(s, &from);
            (from.trim_end_matches('/').to_owned(), to)
        })
        .collect()
}

fn region(s: &mut Settings<'_>) -> Option<String> {
    let name = s.string("region")?;
    if !is_name(&name) {
        bad_name(s, "region", &name);
        return None;
    }
    Some(name)
}

fn failover(s: &mut Settings<'_>) -> Option<Failover> {
    if !s.value("failover")?.is_object() {
        return Some(Failover::List(listed(s, "failover")));
    }
    let mut all = s.object("failover")?;
    let orders = names(&mut all).into_iter().map(|from| {
        let list = listed(&mut all, &from);
        (from, list)
    });
    Some(Failover::Each(orders.collect()))
}

fn thresholds(s: &mut Settings<'_>) -> WrittenThresholds {
    let mut written = WrittenThresholds::default();
    let Some(mut s) = s.object("thresholds") else {
        return written;
    };
    s.known(&["healthy", "share", "return_after", "ramp"]);
    if let Some(healthy) = s.float("healthy") {
        if healthy > 0.0 && healthy <= 1.0 {
            written.healthy = Some(healthy as f32);
        } else {
            s.error_hint(
                "healthy",
                Code::OutOfRange,
                "healthy is a part of the hosts: above 0, and at most 1",
                "write for example 0.7",
            );
        }
    }
    if let Some(share) = s.unsigned("share") {
        match u32::try_from(share) {
            Ok(share @ 1..) => written.share = Some(share),
            _ => s.error_hint(
                "share",
                Code::OutOfRange,
                "share is how many requests each healthy host of a region may have in flight",
                "write for example 100, or leave it out for no bound",
            ),
        }
    }
    written.return_after = s.duration("return_after");
    written.ramp = s.duration("ramp");
    written
}

/// Whether a text is good as a name: it becomes a label of metrics and a word of the command line.
fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(good)
}

fn bad_name(s: &mut Settings<'_>, key: &str, name: &str) {
    let shown: String = name.escape_debug().take(LONGEST).collect();
    let message = format!("\"{shown}\" is no name of a region");
    let hint = format!("write letters, digits, '-', '_' and '.', up to {LONGEST} of them");
    let at = match key == name {
        true => pointer_join(s.pointer(), name),
        false => s.pointer_of(key),
    };
    let problem = Problem::error(Code::BadValue, at, message).hint(hint);
    s.report().push(problem);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn of_service(value: &Value) -> (ServiceRegions, bool) {
        let (mut report, mut draft) = (Report::default(), ServiceDraft::default());
        let mut settings = Settings::new(value, "/r", &mut report);
        service(&mut settings, &mut draft, Dialect::Native).unwrap();
        (draft.regions.unwrap(), report.has_errors())
    }

    fn of_backend(value: &Value) -> (BackendRegions, bool) {
        let (mut report, mut draft) = (Report::default(), BackendDraft::default());
        let mut settings = Settings::new(value, "/r", &mut report);
        backend(&mut settings, &mut draft, Dialect::Native).unwrap();
        (draft.regions.unwrap(), report.has_errors())
    }

    #[test]
    fn a_backend_names_its_region_and_its_peers() {
        let (read, wrong) = of_backend(&json!({
            "region": "eu", "peers": {"us": ["http://a", "http://b"], "ap": "http://c"},
            "failover": ["us", "ap"], "thresholds": {"healthy": 0.5, "share": 10, "return_after": "1m", "ramp": 0}
        }));
        assert!(!wrong);
        assert_eq!(read.region.as_deref(), Some("eu"));
        let peers = read.peers.unwrap();
        let shown = |(region, hosts): &(String, Vec<Listed>)| {
            let hosts: Vec<&str> = hosts.iter().map(|host| &*host.text).collect();
            format!("{region} {}", hosts.join(" "))
        };
        let shown: Vec<String> = peers.iter().map(shown).collect();
        assert_eq!(shown, ["ap http://c", "us http://a http://b"]);
        assert!(matches!(read.failover, Some(Failover::List(list)) if list.len() == 2));
        let written = read.thresholds;
        assert_eq!((written.healthy, written.share), (Some(0.5), Some(10)));
        assert_eq!(written.return_after, Some(Duration::from_secs(60)));
        assert_eq!(written.ramp, Some(Duration::ZERO));
    }

    #[test]
    fn a_service_says_which_domain_stands_for_which() {
        let (read, wrong) = of_service(&json!({
            "region": "eu", "peers": {"us": {"hanzo.svc": "us.hanzo.svc"}},
            "failover": {"eu": ["us"], "us": []}
        }));
        assert!(!wrong);
        assert_eq!(read.peers[0].0, "us");
        assert_eq!(read.peers[0].1[0].0, "hanzo.svc");
        assert_eq!(read.peers[0].1[0].1[0].text, "us.hanzo.svc");
        assert!(matches!(read.failover, Some(Failover::Each(all)) if all.len() == 2));
    }

    #[test]
    fn what_cannot_be_understood_refuses_the_file() {
        for wrong in [
            json!({"region": "e u"}),
            json!({"region": ""}),
            json!({"region": "x".repeat(65)}),
            json!({"peers": ["http://a"]}),
            json!({"peers": {"us": []}}),
            json!({"peers": {"u s": ["http://a"]}}),
            json!({"failover": {"eu": {"a": 1}}}),
            json!({"thresholds": {"healthy": 0}}),
            json!({"thresholds": {"healthy": 70}}),
            json!({"thresholds": {"share": 0}}),
            json!({"thresholds": {"share": -1}}),
            json!({"thresholds": {"return_after": "soon"}}),
        ] {
            assert!(of_backend(&wrong).1, "{wrong}");
        }
        for wrong in [
            json!({"peers": {"us": "http://a"}}),
            json!({"peers": {"us": {}}}),
            json!({"peers": {"us": {"a": []}}}),
        ] {
            assert!(of_service(&wrong).1, "{wrong}");
        }
    }
}
