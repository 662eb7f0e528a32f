//! What a lease promises, request by request: see [`super`] for the whole, and `sim_tests.rs` for many.

use super::*;

const ALONE: View = View {
    peers: 1,
    hasty: true,
    late: 0,
    up: u64::MAX,
};
const THREE: View = View {
    peers: 3,
    hasty: true,
    late: 0,
    up: u64::MAX,
};
const AWAY: View = View {
    peers: 0,
    hasty: true,
    late: 0,
    up: u64::MAX,
};

fn terms() -> Terms {
    // 1,000 tokens at 1,000 a second.
    Terms::new(1_000, 1_000 * MS)
}

fn one(lease: &mut Lease, now: u64, view: View) -> (Result<(), u64>, Then) {
    lease.take(&terms(), 1_000, None, now, view)
}

fn answer(lease: &mut Lease, granted: i64, left: i64, now: u64) -> Next {
    let told = lease.report(&terms(), now);
    let reply = Reply {
        granted,
        left,
        ..Reply::default()
    };
    lease.settle(&terms(), &told, &reply, (now, now), THREE)
}

#[test]
fn a_first_request_passes_and_is_told_afterwards() {
    let mut lease = Lease::default();
    assert_eq!(one(&mut lease, 5, THREE), (Ok(()), Then::Report));
    assert_eq!(one(&mut lease, 6, THREE), (Ok(()), Then::Nothing));
    let told = Report {
        owed: 2_000,
        wanted: 0,
        spent: 2_000,
        span: 2 * MS,
        seen: 1_000,
    };
    assert_eq!(lease.report(&terms(), MS), told);
    assert!(!answer(&mut lease, 0, 998_000, MS).more);
    assert!(lease.is_settled());
    assert_eq!(lease.left(&terms(), MS), Some(998));
    assert_eq!(one(&mut lease, 3 * MS, THREE).1, Then::Report);
}

#[test]
fn a_gateway_goes_ahead_by_its_part_of_the_bucket_and_hurries_at_half_of_it() {
    let mut lease = Lease::default();
    let mut said = Vec::new();
    let mut passed = 0;
    while let (Ok(()), then) = one(&mut lease, 10, THREE) {
        passed += 1;
        if then != Then::Nothing {
            said.push((passed, then));
        }
    }
    assert_eq!(passed, 333, "a third of the bucket");
    assert_eq!(said, [(1, Then::Report), (167, Then::Hurry)]);
    // Of whom the store has told there is a part of what is left.
    assert!(!answer(&mut lease, 0, 300_000, 12 * MS).more);
    let more = (0..1_000).take_while(|_| one(&mut lease, 12 * MS, THREE).0.is_ok());
    assert_eq!(more.count(), 100);
}

#[test]
fn of_little_that_is_left_sixteen_pass() {
    let mut lease = Lease::default();
    let _ = one(&mut lease, 10, THREE);
    answer(&mut lease, 0, 20_000, MS);
    let more = (0..1_000).take_while(|_| one(&mut lease, MS, THREE).0.is_ok());
    assert_eq!(more.count(), 16);
}

#[test]
fn one_alone_refuses_nothing_that_is_there() {
    let mut lease = Lease::default();
    for n in 0..1_000 {
        assert!(one(&mut lease, 10, ALONE).0.is_ok(), "{n}");
    }
    assert!(one(&mut lease, 10, ALONE).0.is_err());
}

#[test]
fn a_late_store_has_less_and_less_to_say() {
    let mut lease = Lease::default();
    let mut pass = |now, late| {
        let view = View { late, ..THREE };
        (0..2_000)
            .take_while(|_| one(&mut lease, now, view).0.is_ok())
            .count()
    };
    let told = pass(MS, 0);
    assert_eq!(told, 333);
    assert_eq!(pass(MS, PROMPT), 0);
    let half = pass(MS, (PROMPT + PATIENCE) / 2);
    assert!((490..=510).contains(&half), "{half}");
    // And never more than can be there.
    assert_eq!(told + half + pass(MS, PATIENCE), 1_000);
}

#[test]
fn where_nobody_else_is_heard_of_nothing_is_divided() {
    let mut lease = Lease::default();
    let _ = one(&mut lease, 10, THREE);
    let told = lease.report(&terms(), 10);
    let reply = Reply {
        left: 900_000,
        sole: true,
        ..Reply::default()
    };
    lease.settle(&terms(), &told, &reply, (10, 10), THREE);
    let later = lease;
    let mut pass = |now| {
        (0..2_000)
            .take_while(|_| one(&mut lease, now, THREE).0.is_ok())
            .count()
    };
    assert_eq!(pass(MS), 901);
    // The word holds for a second.
    lease = later;
    let mut pass = |now| {
        (0..2_000)
            .take_while(|_| one(&mut lease, now, THREE).0.is_ok())
            .count()
    };
    assert_eq!(pass(2 * SOLE), 333);
}

#[test]
fn who_comes_often_gets_a_lease_for_some_reports() {
    let (mut lease, terms) = (Lease::default(), terms());
    let mut reports = 0;
    for now in (MS..2_000 * MS).step_by(MS as usize) {
        let (taken, then) = one(&mut lease, now, THREE);
        assert!(taken.is_ok(), "the store has enough");
        if now % (50 * MS) == 0 || then == Then::Hurry {
            reports += 1;
            let report = lease.report(&terms, now);
            assert!(reports < 3 || report.owed == 0, "{reports} {report:?}");
            assert!(report.wanted + lease.balance <= 250_000);
            answer(&mut lease, report.wanted, 500_000, now);
        }
    }
    assert!((39..45).contains(&reports), "{reports}");
}

#[test]
fn an_empty_bucket_refuses_until_it_has_what_is_asked() {
    let mut lease = Lease::default();
    let _ = one(&mut lease, MS, THREE);
    answer(&mut lease, 0, -3_000, 2 * MS);
    assert_eq!(one(&mut lease, 3 * MS, THREE), (Err(3 * MS), Then::Nothing));
    assert_eq!(one(&mut lease, 6 * MS, THREE), (Ok(()), Then::Report));
    answer(&mut lease, 0, 0, 7 * MS);
    let five = lease.take(&terms(), 5_000, None, 8 * MS, THREE);
    assert_eq!(five, (Err(4 * MS), Then::Nothing), "five tokens at once");
}

#[test]
fn who_is_refused_by_old_news_has_the_store_asked() {
    let slow = Terms::new(10, 86_400_000 * MS);
    let mut lease = Lease::default();
    lease.take(&slow, 1_000, None, MS, THREE).0.unwrap();
    let told = lease.report(&slow, MS);
    lease.settle(&slow, &told, &Reply::default(), (MS, MS), THREE);
    let (taken, then) = lease.take(&slow, 1_000, None, 100 * MS, THREE);
    assert!(taken.is_err() && then == Then::Nothing);
    let (taken, then) = lease.take(&slow, 1_000, None, 600 * MS, THREE);
    assert!(taken.is_err() && then == Then::Report);
    let (_, then) = lease.take(&slow, 1_000, None, 601 * MS, THREE);
    assert_eq!(then, Then::Nothing, "once");
}

#[test]
fn a_day_without_a_bucket_is_shared_by_its_parts() {
    let terms = Terms::of_day(900);
    let mut lease = Lease::default();
    let day = Some(60_000);
    let mut take = || lease.take(&terms, 1_000, day, MS, THREE).0.is_ok();
    assert_eq!((0..900).take_while(|_| take()).count(), 20);
    assert_eq!(lease.left(&terms, MS), None);
}

#[test]
fn without_the_store_everything_passes_here_and_is_kept_in_mind() {
    let mut lease = Lease::default();
    for n in 0..10_000 {
        one(&mut lease, n * MS, AWAY).0.unwrap();
    }
    let report = lease.report(&terms(), 0);
    assert_eq!(report.spent, 10_000_000);
    assert_eq!(report.owed, 2_000_000, "two buckets at most");
}

#[test]
fn what_was_taken_while_the_report_was_under_way_is_told_next() {
    let mut lease = Lease::default();
    let _ = one(&mut lease, 1, THREE);
    let report = lease.report(&terms(), 1);
    let _ = one(&mut lease, 2, THREE);
    let reply = Reply {
        left: 999_000,
        ..Reply::default()
    };
    let next = lease.settle(&terms(), &report, &reply, (1, 3), THREE);
    assert!(next.more && !next.urgent);
    assert_eq!(lease.report(&terms(), 4).owed, 1_000);
    assert!(!lease.is_settled());
}

#[test]
fn a_lease_that_nobody_uses_goes_back_and_is_not_charged() {
    let mut lease = Lease::default();
    let _ = one(&mut lease, 1, THREE);
    assert_eq!(lease.unused(&terms(), 2), Unused::Nothing);
    assert!(answer(&mut lease, 9_000, 100_000, 2).holds);
    let _ = one(&mut lease, 3, THREE);
    assert_eq!(lease.unused(&terms(), 2), Unused::Busy);
    answer(&mut lease, 0, 100_000, 4);
    let Unused::Back(back) = lease.unused(&terms(), 2) else {
        panic!("eight are unused");
    };
    assert_eq!((back.owed, back.spent), (-8_000, 0));
    assert_eq!(lease.unused(&terms(), 2), Unused::Nothing);
    let reply = Reply {
        left: 108_000,
        ..Reply::default()
    };
    lease.settle(&terms(), &back, &reply, (5, 5), THREE);
    assert_eq!(lease.report(&terms(), 6).owed, 0);
}

#[test]
fn a_report_that_nobody_answers_is_made_again() {
    let mut lease = Lease::default();
    let _ = one(&mut lease, 1, THREE);
    let later = LOST + 2 * MS;
    assert_eq!(one(&mut lease, later, THREE).1, Then::Report);
    assert_eq!(one(&mut lease, later * 3, AWAY).1, Then::Nothing);
}

#[test]
fn what_was_taken_for_nothing_is_not_told() {
    let mut lease = Lease::default();
    let _ = one(&mut lease, 1, THREE);
    lease.give_back(&terms(), 1_000, 1);
    let report = lease.report(&terms(), 2);
    assert_eq!((report.owed, report.spent, report.seen), (0, 0, 0));
}

#[test]
fn moments_go_around_and_are_small() {
    let end = (u64::from(u32::MAX >> 3) - 3) * MS;
    let since = Since::at(end, Since::SOLE);
    assert!(since.is(Since::SOLE) && !since.is(Since::ASKED));
    assert_eq!(since.past(end + 10 * MS), 10 * MS);
    assert_eq!(since.past(end - MS), 0);
    assert_eq!(size_of::<Lease>(), 32);
}
