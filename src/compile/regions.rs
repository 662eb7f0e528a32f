//! Which regions a backend's calls may go to, and in which order, seen from where this gateway is. The file is the same
//! everywhere; `--region` or `HANZO_REGION` says where it is read.

use crate::base::problem::pointer_join;
use crate::base::{Code, Problem, Report};
use crate::component::{BackendRegions, Failover, Listed, ServiceDraft, ServiceRegions};
use crate::config::host::sanitize;
use crate::config::{self, Document};
use crate::net::balance::Thresholds;
use crate::net::url::Authority;
use std::collections::BTreeSet;

/// The namespace.
const NAME: &str = "hanzo/regions";

/// The regions of a document, and where this gateway is among them.
#[derive(Clone, Debug, Default)]
pub struct Regions {
    /// Where this gateway is.
    pub here: Option<String>,
    /// Regions that some backend has hosts in.
    hosted: BTreeSet<String>,
}

/// One region of a backend.
#[derive(Debug)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// Its hosts with their places in the document; `None` is the backend's own list.
    pub hosts: Option<Vec<Listed>>,
}

/// The regions of one backend in their order.
#[derive(Debug)]
pub struct Order {
    /// Where calls come from.
    pub here: String,
    /// The regions.
    pub tiers: Vec<Tier>,
    /// When they stand in.
    pub thresholds: Thresholds,
}

impl Regions {
    /// Finds out where this gateway is, and which regions there are.
    pub fn of(document: &Document, draft: &ServiceDraft, report: &mut Report) -> Self {
        let service = draft.regions.as_ref();
        let asked = document.service.region.as_deref();
        let hosted = hosted(document, service);
        let mut known = hosted.clone();
        if let Some(service) = service {
            known.extend(service.region.clone());
            if let Some(Failover::Each(orders)) = &service.failover {
                known.extend(orders.iter().map(|(from, _)| from.clone()));
            }
            listed(service.failover.as_ref(), &hosted, report);
        }
        let backends = document.service.endpoints.iter().flat_map(|e| &e.backend);
        for settings in backends.filter_map(|backend| backend.extra_config.get(NAME)) {
            let orders = settings
                .value
                .get("failover")
                .and_then(|one| one.as_object());
            known.extend(orders.into_iter().flat_map(|orders| orders.keys().cloned()));
        }
        // One that nobody knows is told once, and not by every backend.
        let asked = asked.filter(|asked| is_known(asked, &known, report));
        let written = service.and_then(|service| service.region.clone());
        Self {
            here: asked.map(str::to_owned).or(written),
            hosted,
        }
    }

    /// The regions of a backend; `None` for one that is in no region, and for one that the report refuses.
    pub fn order(
        &self,
        written: &config::Backend,
        own: Option<&BackendRegions>,
        service: Option<&ServiceRegions>,
        report: &mut Report,
    ) -> Option<Order> {
        let peers = peers(written, own, service);
        if own.is_none() && peers.is_empty() {
            return None;
        }
        let pointer = own.map_or(written.pointer.as_str(), |own| own.pointer.as_str());
        let home = own.and_then(|own| own.region.as_ref());
        let home = home.or_else(|| service?.region.as_ref());
        let Some(home) = home else {
            let message = "nobody says in which region the hosts of this backend are";
            let hint = "add \"region\" here, or to hanzo/regions of the service";
            report.push(Problem::error(Code::MissingKey, pointer, message).hint(hint));
            return None;
        };
        if let Some(own) = own
            && let Some(peers) = &own.peers
            && peers.iter().any(|(region, _)| region == home)
        {
            let pointer = pointer_join(&format!("{}/peers", own.pointer), home);
            let message = format!("\"{home}\" is where the hosts of the backend itself are");
            let hint = "put these hosts into \"host\", or name another region";
            report.push(Problem::error(Code::BadValue, pointer, message).hint(hint));
        }
        if written.sd == "dns" {
            let message = "hosts from SRV records cannot stand in for each other by region";
            let hint =
                "list the hosts, or leave hanzo/regions out: the name server may know regions";
            report.push(Problem::error(Code::BadValue, pointer, message).hint(hint));
            return None;
        }
        listed(
            own.and_then(|own| own.failover.as_ref()),
            &self.hosted,
            report,
        );
        let failover = own.and_then(|own| own.failover.as_ref());
        let failover = failover.or_else(|| service?.failover.as_ref());
        let mut tiers = Vec::new();
        for name in self.names(home, failover, &peers) {
            if name == *home {
                tiers.push(Tier { name, hosts: None });
            } else if let Some((_, hosts)) = peers.iter().find(|(region, _)| *region == name) {
                let hosts = Some(hosts.clone());
                tiers.push(Tier { name, hosts });
            }
        }
        if tiers.is_empty() {
            let here = self.here.as_deref().unwrap_or(home);
            let message = format!("no region with hosts of this backend stands in for \"{here}\"");
            let hint = "add one to \"failover\", or list hosts there under \"peers\"";
            report.push(Problem::error(Code::BadValue, pointer, message).hint(hint));
            return None;
        }
        let mut thresholds = Thresholds::default();
        for written in [
            service.map(|service| &service.thresholds),
            own.map(|own| &own.thresholds),
        ]
        .into_iter()
        .flatten()
        {
            written.over(&mut thresholds);
        }
        Some(Order {
            here: self.here.as_deref().unwrap_or(home).to_owned(),
            tiers,
            thresholds,
        })
    }

    /// Names of regions in their order: the gateway's own, then those that stand in for it. Whoever no list names
    /// stands in for nobody.
    fn names(
        &self,
        home: &str,
        failover: Option<&Failover>,
        peers: &[(String, Vec<Listed>)],
    ) -> Vec<String> {
        let first = self.here.as_deref().unwrap_or(home);
        let mut names = vec![first.to_owned()];
        let mut add = |name: &str| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        };
        match failover {
            Some(Failover::List(list)) => list.iter().for_each(|one| add(&one.text)),
            Some(Failover::Each(orders)) => {
                let own = orders.iter().find(|(from, _)| from == first);
                own.iter()
                    .for_each(|(_, list)| list.iter().for_each(|one| add(&one.text)));
            }
            None => {
                add(home);
                peers.iter().for_each(|(region, _)| add(region));
            }
        }
        names
    }
}

/// Regions that some backend has hosts in, as far as the file says so by name.
fn hosted(document: &Document, service: Option<&ServiceRegions>) -> BTreeSet<String> {
    let mut hosted = BTreeSet::new();
    if let Some(service) = service {
        hosted.extend(service.region.clone());
        hosted.extend(service.peers.iter().map(|(region, _)| region.clone()));
    }
    let backends = document.service.endpoints.iter().flat_map(|e| &e.backend);
    for settings in backends.filter_map(|backend| backend.extra_config.get(NAME)) {
        let text = |key: &str| settings.value.get(key)?.as_str().map(str::to_owned);
        hosted.extend(text("region"));
        let peers = settings
            .value
            .get("peers")
            .and_then(|peers| peers.as_object());
        hosted.extend(peers.into_iter().flat_map(|peers| peers.keys().cloned()));
    }
    hosted
}

/// Tells of names in a failover order that mean nothing: a slip there shows only in the hour of need.
fn listed(failover: Option<&Failover>, hosted: &BTreeSet<String>, report: &mut Report) {
    let lists: Vec<&Vec<Listed>> = match failover {
        None => return,
        Some(Failover::List(list)) => vec![list],
        Some(Failover::Each(orders)) => orders.iter().map(|(_, list)| list).collect(),
    };
    for one in lists.into_iter().flatten() {
        let told = report
            .problems
            .iter()
            .any(|known| known.pointer == one.pointer);
        if !hosted.contains(&one.text) && !told {
            let message = format!("no backend has hosts in region \"{}\"", shown(&one.text));
            let hint = format!("write one of {}", list(hosted));
            let problem = Problem::error(Code::BadValue, one.pointer.clone(), message);
            report.push(problem.hint(hint));
        }
    }
}

/// Whether a file knows the region that the gateway is told it is in; tells when it does not.
fn is_known(asked: &str, known: &BTreeSet<String>, report: &mut Report) -> bool {
    if known.contains(asked) {
        return true;
    }
    let asked = shown(asked);
    if known.is_empty() {
        let message =
            format!("this gateway is in region \"{asked}\", and the file knows no regions");
        let problem = Problem::warning(Code::Environment, "", message);
        report.push(
            problem.hint("add hanzo/regions to the file, or leave --region and HANZO_REGION out"),
        );
        return false;
    }
    let message = format!("the file knows no region \"{asked}\"");
    let hint = format!(
        "start with --region (or HANZO_REGION) one of {}",
        list(known)
    );
    report.push(Problem::error(Code::Environment, "", message).hint(hint));
    false
}

fn list(names: &BTreeSet<String>) -> String {
    let quoted = names
        .iter()
        .take(20)
        .map(|name| format!("\"{}\"", shown(name)));
    quoted.collect::<Vec<_>>().join(", ")
}

fn shown(name: &str) -> String {
    name.escape_debug().take(64).collect()
}

/// Hosts of a backend in other regions: its own list, else what the service says of its hosts.
fn peers(
    written: &config::Backend,
    own: Option<&BackendRegions>,
    service: Option<&ServiceRegions>,
) -> Vec<(String, Vec<Listed>)> {
    if let Some(peers) = own.and_then(|own| own.peers.as_ref()) {
        let home = own
            .and_then(|own| own.region.as_ref())
            .or_else(|| service?.region.as_ref());
        let away = peers.iter().filter(|(region, _)| Some(region) != home);
        return away.cloned().collect();
    }
    let Some(service) = service else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (region, moves) in &service.peers {
        let hosts = written.host.iter().flat_map(|host| moved(host, moves));
        let mut distinct: Vec<Listed> = Vec::new();
        for host in hosts {
            if !distinct.iter().any(|known| known.text == host.text) {
                distinct.push(host);
            }
        }
        let home = own
            .and_then(|own| own.region.as_ref())
            .or(service.region.as_ref());
        if !distinct.is_empty() && home != Some(region) {
            all.push((region.clone(), distinct));
        }
    }
    all
}

/// What stands for a host in another region: by the longest of the hosts and domains that it is, or is in.
fn moved(host: &str, moves: &[(String, Vec<Listed>)]) -> Vec<Listed> {
    let Ok(authority) = Authority::parse(host) else {
        return Vec::new();
    };
    let fits = |from: &str| -> Option<&str> {
        let whole = [host, &authority.host_header, &authority.host];
        if whole.contains(&from) {
            return Some("");
        }
        let rest = authority.host.strip_suffix(from)?;
        rest.ends_with('.').then_some(rest)
    };
    let found = moves
        .iter()
        .filter_map(|(from, to)| Some((from, fits(from)?, to)));
    let Some((_, front, to)) = found.max_by_key(|(from, _, _)| from.len()) else {
        return Vec::new();
    };
    let scheme = authority.scheme.as_str();
    let port = authority
        .host_header
        .strip_prefix(&*authority.host)
        .unwrap_or_default();
    to.iter()
        .map(|to| {
            let (scheme, place) = to.text.split_once("://").unwrap_or((scheme, &to.text));
            let place = place.trim_end_matches('/');
            let has_port = place.rsplit_once(':').is_some_and(|(_, end)| {
                !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit())
            });
            let port = if has_port { "" } else { port };
            Listed {
                text: format!("{scheme}://{front}{place}{port}{}", authority.base_path),
                pointer: to.pointer.clone(),
            }
        })
        .collect()
}

/// The URL of a host as it is called, cleaned as those of backends are.
///
/// # Errors
/// When it is none.
pub fn cleaned(host: &Listed, written: &config::Backend) -> Result<String, Problem> {
    if written.disable_host_sanitize {
        return Ok(host.text.clone());
    }
    sanitize(&host.text).ok_or_else(|| {
        let message = format!("\"{}\" is no host", shown(&host.text));
        let problem = Problem::error(Code::BadHost, host.pointer.clone(), message);
        problem.hint("write for example \"http://service.us.example:8080\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_of(texts: &[&str]) -> Vec<Listed> {
        let listed = |text: &&str| Listed {
            text: (*text).to_owned(),
            pointer: String::new(),
        };
        texts.iter().map(listed).collect()
    }

    #[test]
    fn a_host_is_found_elsewhere_by_itself_or_by_its_domain() {
        let moves = [
            ("svc".to_owned(), list_of(&["us.svc"])),
            ("hanzo.svc".to_owned(), list_of(&["hanzo.us.svc"])),
            (
                "kv.hanzo.svc".to_owned(),
                list_of(&["https://kv-a.us", "kv-b.us:1"]),
            ),
            ("10.0.0.1:8080".to_owned(), list_of(&["10.1.0.1:9090"])),
        ];
        for (host, there) in [
            (
                "http://llm.hanzo.svc:4000",
                vec!["http://llm.hanzo.us.svc:4000"],
            ),
            ("https://a.b.svc", vec!["https://a.b.us.svc"]),
            (
                "http://kv.hanzo.svc:6379",
                vec!["https://kv-a.us:6379", "http://kv-b.us:1"],
            ),
            ("http://10.0.0.1:8080", vec!["http://10.1.0.1:9090"]),
            ("http://10.0.0.1:8081", vec![]),
            ("http://xsvc", vec![]),
            ("http://api.example.com", vec![]),
        ] {
            let found: Vec<String> = moved(host, &moves)
                .into_iter()
                .map(|one| one.text)
                .collect();
            assert_eq!(found, there, "{host}");
        }
    }

    fn names(here: Option<&str>, failover: Option<Failover>) -> Vec<String> {
        let regions = Regions {
            here: here.map(str::to_owned),
            ..Regions::default()
        };
        let peers = [("ap".to_owned(), Vec::new()), ("us".to_owned(), Vec::new())];
        regions.names("eu", failover.as_ref(), &peers)
    }

    #[test]
    fn the_gateways_own_region_is_the_first() {
        assert_eq!(names(None, None), ["eu", "ap", "us"]);
        assert_eq!(names(Some("us"), None), ["us", "eu", "ap"]);
        assert_eq!(names(Some("edge"), None), ["edge", "eu", "ap", "us"]);
        let list = || Some(Failover::List(list_of(&["eu", "us", "ap"])));
        assert_eq!(names(None, list()), ["eu", "us", "ap"]);
        assert_eq!(names(Some("us"), list()), ["us", "eu", "ap"]);
    }

    #[test]
    fn whoever_no_list_names_stands_in_for_nobody() {
        let each = || {
            let orders = vec![
                ("eu".to_owned(), list_of(&["us"])),
                ("us".to_owned(), list_of(&[])),
            ];
            Some(Failover::Each(orders))
        };
        assert_eq!(names(Some("eu"), each()), ["eu", "us"]);
        assert_eq!(names(Some("us"), each()), ["us"]);
        assert_eq!(names(Some("ap"), each()), ["ap"]);
        assert_eq!(names(None, each()), ["eu", "us"]);
        assert_eq!(names(Some("us"), Some(Failover::List(Vec::new()))), ["us"]);
    }
}
