//! Regions on a clock that stands still unless it is told to go on.

use super::*;
use crate::net::Resolver;
use crate::net::balance::seat::Outliers;
use std::collections::HashMap;

const SECOND: Moment = 1_000_000_000;

/// Regions with so many hosts, on a clock that stands still unless it is told to go on.
struct World {
    regions: Regions,
    now: Moment,
}

fn target(name: &str) -> Target {
    Target::parse(&format!("http://{name}"), &Resolver::new()).unwrap()
}

fn hosted(regions: &[(&str, usize)]) -> Vec<Hosted> {
    let one = |(name, hosts): &(&str, usize)| {
        let hosts = (0..*hosts).map(|host| (target(&format!("{name}-{host}")), 1));
        ((*name).into(), hosts.collect())
    };
    regions.iter().map(one).collect()
}

fn rules() -> Thresholds {
    Thresholds::default()
}

impl World {
    fn of(regions: &[(&str, usize)], options: PoolOptions, rules: Thresholds) -> Self {
        let roster = Arc::new(Roster::new(Outliers::default()));
        let memory = Arc::new(Memory::new(regions.len()));
        Self {
            regions: Regions::new(hosted(regions), (options, rules), &roster, memory),
            now: SECOND,
        }
    }

    fn new(regions: &[(&str, usize)]) -> Self {
        Self::of(regions, PoolOptions::of(Balance::RoundRobin), rules())
    }

    fn set(&self, region: usize, hosts: std::ops::Range<usize>, up: bool) {
        let (_, pool) = self.regions.pools().nth(region).unwrap();
        for host in hosts {
            pool.seats()[host].standing().probed(up, self.now);
        }
    }

    /// So many seconds with a look in each; what was told.
    fn pass(&mut self, seconds: u64) -> Vec<(usize, Kind)> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            self.now += SECOND;
            let changes = self.regions.settle(self.now);
            told.extend(
                changes
                    .into_iter()
                    .map(|change| (change.region, change.kind)),
            );
        }
        told
    }

    fn pick(&self, tried: &mut Tried, going: Going) -> Option<Lent> {
        self.regions.pick(fastrand::u64(..), tried, going)
    }

    fn one(&self) -> Lent {
        self.pick(&mut Tried::default(), Going::Anywhere).unwrap()
    }

    /// The percentage of calls that each region gets.
    fn shares(&self) -> Vec<u32> {
        let mut counts = vec![0_u32; self.regions.names().count()];
        for _ in 0..4000 {
            counts[self.one().region()] += 1;
        }
        counts.iter().map(|count| (count + 20) / 40).collect()
    }

    fn shares_are(&self, expected: &[u32]) {
        let shares = self.shares();
        let near = shares.iter().zip(expected).all(|(a, b)| match b {
            0 | 100 => a == b,
            _ => a.abs_diff(*b) <= 4,
        });
        assert!(near, "{shares:?} and not {expected:?}");
    }
}

fn name(lent: &Lent) -> &str {
    &lent.authority().host
}

#[test]
fn the_first_region_has_all_of_the_traffic_while_it_is_good() {
    let mut world = World::new(&[("eu", 3), ("us", 3)]);
    assert_eq!(world.pass(3), []);
    world.shares_are(&[100, 0]);
    let mut seen = HashMap::new();
    for _ in 0..30 {
        *seen.entry(name(&world.one()).to_owned()).or_insert(0) += 1;
    }
    assert!(seen.values().all(|count| *count == 10), "{seen:?}");
}

#[test]
fn above_the_threshold_a_host_that_is_out_is_the_regions_own_matter() {
    let mut world = World::new(&[("eu", 10), ("us", 2)]);
    world.set(0, 0..3, false);
    assert_eq!(world.pass(1), []);
    world.shares_are(&[100, 0]);
}

#[test]
fn below_it_what_is_missing_goes_to_the_next() {
    let mut world = World::new(&[("eu", 10), ("us", 10), ("ap", 1)]);
    world.set(0, 0..6, false);
    assert_eq!(world.pass(1), [(0, Kind::Unhealthy)]);
    // 4 of 10 hosts, 7 of which would be enough.
    world.shares_are(&[57, 43, 0]);
    world.set(1, 0..9, false);
    assert_eq!(world.pass(1), [(1, Kind::Unhealthy)]);
    world.shares_are(&[57, 14, 29]);
}

#[test]
fn a_region_without_a_healthy_host_gets_nothing_before_anybody_has_looked() {
    let world = World::new(&[("eu", 2), ("us", 2)]);
    world.set(0, 0..2, false);
    world.shares_are(&[0, 100]);
}

#[test]
fn it_comes_back_after_a_while_and_little_by_little() {
    let mut world = World::new(&[("eu", 2), ("us", 2)]);
    world.set(0, 0..2, false);
    assert_eq!(world.pass(2), [(0, Kind::Unhealthy)]);
    world.set(0, 0..2, true);
    assert_eq!(world.pass(30), []);
    world.shares_are(&[0, 100]);
    let view = world.regions.view(world.now);
    assert_eq!(view[0].state, State::Waiting);
    assert_eq!(view[0].waits, Some(Duration::from_secs(1)));
    assert_eq!(world.pass(1), [(0, Kind::Returns)]);
    world.pass(5);
    world.shares_are(&[50, 50]);
    assert_eq!(world.regions.view(world.now)[0].state, State::Returning);
    assert_eq!(world.pass(5), [(0, Kind::Returned)]);
    world.shares_are(&[100, 0]);
}

#[test]
fn a_region_that_flaps_stays_out() {
    let mut world = World::new(&[("eu", 2), ("us", 2)]);
    world.set(0, 0..2, false);
    world.pass(1);
    for _ in 0..20 {
        world.set(0, 0..2, true);
        assert_eq!(world.pass(25), []);
        world.shares_are(&[0, 100]);
        world.set(0, 0..2, false);
        assert_eq!(world.pass(1), [], "it had nothing to lose");
    }
}

#[test]
fn a_region_that_waits_serves_when_the_one_in_its_place_fails() {
    let mut world = World::new(&[("eu", 2), ("us", 2)]);
    world.set(0, 0..2, false);
    world.pass(1);
    world.set(0, 0..2, true);
    world.set(1, 0..2, false);
    world.shares_are(&[100, 0]);
    world.pass(1);
    world.shares_are(&[100, 0]);
}

#[test]
fn when_nobody_is_healthy_the_first_is_tried_or_nobody_as_the_file_says() {
    for try_all in [true, false] {
        let options = PoolOptions {
            try_all,
            ..PoolOptions::of(Balance::Random)
        };
        let mut world = World::of(&[("eu", 2), ("us", 1)], options, rules());
        world.set(0, 0..2, false);
        world.set(1, 0..1, false);
        world.pass(1);
        match try_all {
            true => world.shares_are(&[100, 0]),
            false => assert!(world.pick(&mut Tried::default(), Going::Anywhere).is_none()),
        }
    }
}

#[test]
fn a_retry_stays_in_its_region_and_the_last_goes_elsewhere() {
    let world = World::new(&[("eu", 2), ("us", 2)]);
    let mut tried = Tried::default();
    let first = world.pick(&mut tried, Going::Anywhere).unwrap();
    let second = world.pick(&mut tried, Going::Anywhere).unwrap();
    assert_eq!((first.region(), second.region()), (0, 0));
    assert_ne!(name(&first), name(&second));
    let third = world.pick(&mut tried, Going::Anywhere).unwrap();
    assert_eq!(third.region(), 1, "all of the first were tried");
    let mut tried = Tried::default();
    world.pick(&mut tried, Going::Anywhere);
    let next = |tried: &mut Tried| world.pick(tried, Going::Onwards).unwrap().region();
    assert_eq!((next(&mut tried), next(&mut tried)), (1, 0));
}

#[test]
fn every_host_of_every_region_is_tried_before_one_is_again() {
    let world = World::new(&[("eu", 3), ("us", 2), ("ap", 1)]);
    let mut tried = Tried::default();
    let all: std::collections::HashSet<String> = (0..6)
        .map(|_| name(&world.pick(&mut tried, Going::Anywhere).unwrap()).to_owned())
        .collect();
    assert_eq!(all.len(), 6);
    assert!(world.pick(&mut tried, Going::Anywhere).is_some());
}

fn bounded(share: u32, regions: &[(&str, usize)]) -> World {
    let rules = Thresholds {
        share: Some(share),
        ..rules()
    };
    World::of(regions, PoolOptions::of(Balance::Random), rules)
}

#[test]
fn what_is_above_the_share_of_a_region_goes_on_to_the_next() {
    let mut world = bounded(2, &[("eu", 2), ("us", 1), ("ap", 1)]);
    let mut held: Vec<Lent> = (0..8).map(|_| world.one()).collect();
    let regions: Vec<usize> = held.iter().map(Lent::region).collect();
    assert_eq!(regions, [0, 0, 0, 0, 1, 1, 2, 2]);
    assert_eq!(
        world.one().region(),
        0,
        "all are full: as if there were no share"
    );
    let told = world.pass(1);
    assert_eq!(told, [(0, Kind::Full), (1, Kind::Full), (2, Kind::Full)]);
    let view = world.regions.view(world.now);
    assert_eq!(view[0].in_flight, Some((4, 4)));
    assert_eq!(view[0].state, State::Full);
    assert_eq!(view[0].spilled, 5);
    let spilled = || world.regions.spilled().collect::<Vec<_>>();
    assert_eq!((spilled(), spilled()), (vec![5, 3, 1], vec![0, 0, 0]));
    held.remove(0);
    assert_eq!(world.one().region(), 0, "one was given back");
    drop(held);
    assert_eq!(world.regions.view(world.now)[1].in_flight, Some((0, 2)));
    assert_eq!(world.pass(29), []);
    assert_eq!(world.pass(1).len(), 3, "roomy again");
}

#[test]
fn the_room_of_a_region_is_that_of_its_healthy_hosts() {
    let mut world = bounded(2, &[("eu", 10), ("us", 5)]);
    world.set(0, 0..3, false);
    world.pass(1);
    let held: Vec<Lent> = (0..20).map(|_| world.one()).collect();
    let eu = held.iter().filter(|lent| lent.region() == 0).count();
    assert_eq!(eu, 14);
}

#[test]
fn no_region_gets_one_request_more_than_its_share_from_many_threads() {
    let world = bounded(10, &[("eu", 3), ("us", 100)]);
    let held: Vec<Lent> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..50).map(|_| world.one()).collect::<Vec<_>>()))
            .collect();
        let all = threads.into_iter().map(|thread| thread.join().unwrap());
        all.flatten().collect()
    });
    let eu = held.iter().filter(|lent| lent.region() == 0).count();
    assert_eq!((eu, held.len()), (30, 200));
}

#[test]
fn a_key_stays_in_its_region_and_at_its_host() {
    let options = PoolOptions::of(Balance::Hash);
    let mut world = World::of(&[("eu", 10), ("us", 3)], options, rules());
    let home = |world: &World, key: u64| {
        let lent = world
            .regions
            .pick(key, &mut Tried::default(), Going::Anywhere);
        name(&lent.unwrap()).to_owned()
    };
    let before: Vec<String> = (0..500).map(|key| home(&world, key)).collect();
    assert!(before.iter().all(|host| host.starts_with("eu")));
    world.set(0, 0..6, false);
    world.pass(1);
    let during: Vec<String> = (0..500).map(|key| home(&world, key)).collect();
    let again: Vec<String> = (0..500).map(|key| home(&world, key)).collect();
    assert_eq!(during, again, "the same key, the same host");
    let away = during.iter().filter(|host| host.starts_with("us")).count();
    assert!((150..290).contains(&away), "{away}");
    let good = |host: &String| ("6".."9").contains(&&host[3..]) || host.ends_with('9');
    let stayed = before.iter().zip(&during);
    let mut stayed = stayed.filter(|(b, d)| good(b) && d.starts_with("eu"));
    assert!(
        stayed.all(|(b, d)| b == d),
        "who may stay stays where they were"
    );
}

#[test]
fn what_is_remembered_outlives_a_new_configuration() {
    let roster = Arc::new(Roster::new(Outliers::default()));
    let memory = Arc::new(Memory::new(2));
    let regions = || {
        let options = PoolOptions::of(Balance::Random);
        let (hosted, memory) = (hosted(&[("eu", 1), ("us", 1)]), Arc::clone(&memory));
        Regions::new(hosted, (options, rules()), &roster, memory)
    };
    let first = regions();
    let (_, eu) = first.pools().next().unwrap();
    let host = Arc::clone(eu.seats()[0].standing());
    host.probed(false, SECOND);
    assert_eq!(first.settle(SECOND).len(), 1);
    host.probed(true, 2 * SECOND);
    first.settle(2 * SECOND);
    let second = regions();
    assert_eq!(
        second.settle(3 * SECOND),
        [],
        "it still waits, and nobody is told twice"
    );
    let lent = second
        .pick(0, &mut Tried::default(), Going::Anywhere)
        .unwrap();
    assert_eq!(lent.region(), 1);
}

#[test]
fn calls_alone_put_out_a_whole_region_while_another_stands() {
    let mut world = World::new(&[("eu", 2), ("us", 1)]);
    for _ in 0..40 {
        let lent = world.one();
        match lent.region() {
            0 => lent.bad(),
            _ => lent.good(),
        }
    }
    let now = crate::base::clock::moment();
    assert_eq!(world.regions.settle(now).len(), 1);
    assert_eq!(world.regions.view(now)[0].state, State::Down);
    world.now = now;
    world.shares_are(&[0, 100]);
}

#[test]
fn hosts_of_no_weight_are_no_part_of_a_regions_health() {
    let roster = Arc::new(Roster::new(Outliers::default()));
    let hosts = vec![(target("a"), 9), (target("b"), 1), (target("c"), 0)];
    let hosted = vec![("eu".into(), hosts), ("us".into(), vec![(target("d"), 1)])];
    let options = PoolOptions::of(Balance::Random);
    let memory = Arc::new(Memory::new(2));
    let regions = Regions::new(hosted, (options, rules()), &roster, memory);
    let (_, eu) = regions.pools().next().unwrap();
    for quiet in [1, 2] {
        eu.seats()[quiet].standing().probed(false, SECOND);
    }
    assert_eq!(regions.settle(SECOND), [], "nine tenths are there");
    eu.seats()[0].standing().probed(false, SECOND);
    assert_eq!(regions.settle(SECOND).len(), 1);
}

#[test]
fn more_hosts_than_are_remembered_are_no_trouble() {
    let world = World::new(&[("eu", 70), ("us", 70)]);
    let mut tried = Tried::default();
    assert!((0..200).all(|_| world.pick(&mut tried, Going::Anywhere).is_some()));
    let (before, after) = (
        tried.region,
        world.pick(&mut tried, Going::Onwards).unwrap(),
    );
    assert_eq!(after.region(), 1 - before as usize);
}

#[test]
fn a_call_that_came_from_another_region_goes_no_further() {
    let mut world = bounded(1, &[("eu", 2), ("us", 2)]);
    let go = |world: &World| {
        let lent = world.pick(&mut Tried::default(), Going::Nowhere);
        lent.unwrap().region()
    };
    let held: Vec<Lent> = (0..4).map(|_| world.one()).collect();
    assert_eq!(go(&world), 0, "full as it is");
    drop(held);
    world.set(0, 0..2, false);
    world.pass(1);
    world.shares_are(&[0, 100]);
    assert_eq!(go(&world), 0, "down as it is");
}
