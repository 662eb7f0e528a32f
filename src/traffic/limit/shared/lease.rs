//! What one gateway may take of a limit that several share, without asking anybody: the lease.
//!
//! The store keeps the truth: a bucket and a day for each caller. A gateway takes from its lease, which the store has
//! taken off the bucket already, and tells the store some twenty times a second what it took. A caller that comes
//! seldom has no lease at all: its requests are told afterwards, which is a debt, of which there may be a little. So
//! what several gateways let pass together is over the limit by their debts at most, and what was too much is paid by
//! those who took it.
//!
//! Amounts are in thousandths of a token, moments in nanoseconds of a clock that does not jump.

/// How long the store may take before what is known here decides alone.
pub const PATIENCE: u64 = 100_000_000;
/// After this a report that nobody answered is made again.
const LOST: u64 = 2_000_000_000;
/// A caller who was quiet for so long gets no lease for what comes.
const QUIET: u64 = 1_000_000_000;
/// How long a lease should last: a few reports.
const LASTS: u64 = 200_000_000;
/// Tokens that may be taken before the store has heard of them.
const DEBT: u64 = 16;

/// What holds for all leases of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Most that may be owed while the store answers.
    debt: i64,
    /// The largest lease.
    most: i64,
    /// The most that is kept in mind as owed while the store is away.
    worst: i64,
}

impl Terms {
    /// Terms for a bucket of so many tokens that fills in so many nanoseconds.
    pub fn new(burst: u64, time_to_full: u64) -> Self {
        let parts =
            |tokens: u64| i64::try_from(tokens.saturating_mul(1_000)).unwrap_or(i64::MAX / 8);
        // What comes in while a lease lasts, or a tenth of the bucket.
        let comes = u128::from(burst) * u128::from(LASTS) / u128::from(time_to_full.max(1));
        let comes = u64::try_from(comes).unwrap_or(u64::MAX);
        Self {
            debt: parts(DEBT.max(burst / 100)),
            most: parts((burst / 10).max(comes).max(1)),
            worst: parts(burst).saturating_mul(2),
        }
    }
}

/// What one gateway has of one shared limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// What may be taken still; below zero what is owed.
    balance: i64,
    /// What was taken and not reported.
    spent: i64,
    /// What the store had left at its last answer.
    left: i64,
    /// No token is there before this moment.
    barred: u64,
    /// When a report was asked for that is not answered; 0 for none.
    asked: u64,
    /// When the store answered last; 0 for never.
    answered: u64,
}

/// What is to be done besides letting a request pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the store hears of it with the report that is on its way.
    Nothing,
    /// A report is to be made.
    Report,
    /// The report that waits is to be made at once.
    Hurry,
}

/// What the store is told and asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Taken beyond the lease: the bucket loses it. Below zero: given back.
    pub owed: i64,
    /// Wanted for what comes.
    pub wanted: i64,
    /// Taken since the last report: the day loses it.
    pub spent: i64,
}

/// What the store says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What of the wish was granted.
    pub granted: i64,
    /// What the bucket has left; below zero while debts are paid.
    pub left: i64,
    /// Nanoseconds until there is a whole token.
    pub wait: u64,
    /// What all gateways together took on that day.
    pub used: i64,
}

impl Lease {
    /// Takes from the lease. `up` is whether the store answers: while it does not, everything passes here, and what
    /// is known locally limits alone.
    ///
    /// # Errors
    /// When the limit that all share has nothing left: nanoseconds until it may have.
    pub fn take(&mut self, terms: &Terms, parts: i64, now: u64, up: bool) -> Result<Then, u64> {
        self.may(terms, parts, now, up)?;
        let (before, hurry) = (self.balance, -terms.debt / 2);
        let after = before.saturating_sub(parts).max(-terms.worst);
        self.balance = after;
        self.spent = self.spent.saturating_add(parts);
        let lost = up && now.saturating_sub(self.asked) > LOST;
        if self.asked == 0 || lost {
            self.asked = now.max(1);
            return Ok(Then::Report);
        }
        // Where nothing is left at the store there is nothing to be had in a hurry.
        let has = self.answered == 0 || self.left > terms.debt;
        if up && has && before > hurry && after <= hurry {
            return Ok(Then::Hurry);
        }
        Ok(Then::Nothing)
    }

    /// Whether that much may be taken.
    ///
    /// # Errors
    /// As [`Lease::take`].
    pub fn may(&self, terms: &Terms, parts: i64, now: u64, up: bool) -> Result<(), u64> {
        let after = self.balance.saturating_sub(parts);
        if !up || after >= 0 {
            return Ok(());
        }
        if now < self.barred {
            return Err(self.barred - now);
        }
        let waiting = self.asked != 0 && now.saturating_sub(self.asked) < PATIENCE;
        if waiting && after < -self.trust(terms, now).max(parts) {
            return Err(PATIENCE);
        }
        Ok(())
    }

    /// How much may be owed: of a caller that was just heard of little, of others as much as a lease.
    fn trust(&self, terms: &Terms, now: u64) -> i64 {
        if self.answered == 0 || now.saturating_sub(self.answered) > QUIET {
            terms.debt.max(terms.most)
        } else {
            terms.debt
        }
    }

    /// Puts back what was taken for nothing.
    pub fn give_back(&mut self, parts: i64) {
        self.balance = self.balance.saturating_add(parts);
        self.spent = self.spent.saturating_sub(parts);
    }

    /// What is to be told now.
    pub fn report(&self, terms: &Terms, now: u64) -> Report {
        Report {
            owed: (-self.balance).max(0),
            wanted: self.wanted(terms, now),
            spent: self.spent,
        }
    }

    /// As much as is likely to be taken before the next reports, by what was taken since the last one.
    fn wanted(&self, terms: &Terms, now: u64) -> i64 {
        let since = now.saturating_sub(self.answered).max(1_000_000);
        if self.answered == 0 || since > QUIET {
            return 0;
        }
        let likely = i128::from(self.spent.max(0)) * i128::from(LASTS) / i128::from(since);
        let likely = i64::try_from(likely).unwrap_or(i64::MAX).min(terms.most);
        (likely - self.balance.max(0)).max(0)
    }

    /// Takes in what the store says to a report. Tells whether there is more to report already.
    pub fn settle(&mut self, told: &Report, reply: &Reply, now: u64) -> bool {
        let got = told.owed.saturating_add(reply.granted);
        self.balance = self.balance.saturating_add(got);
        self.spent = self.spent.saturating_sub(told.spent);
        self.left = reply.left;
        self.answered = now.max(1);
        self.barred = if reply.left < 1_000 {
            now.saturating_add(reply.wait)
        } else {
            0
        };
        let more = self.spent > 0;
        self.asked = if more { now.max(1) } else { 0 };
        more
    }

    /// What was granted and is not used: given back after a while in which nobody came. `None` while somebody does.
    pub fn unused(&mut self) -> Option<Report> {
        if self.asked != 0 || self.spent != 0 || self.balance <= 0 {
            return None;
        }
        let owed = -self.balance;
        self.balance = 0;
        Some(Report {
            owed,
            ..Report::default()
        })
    }

    /// A report that the store did not take: it is made again.
    pub fn failed(&mut self, now: u64) {
        self.asked = now.max(1);
    }

    /// What all gateways together have left, as far as is known here; it grows by `comes` with each
    /// nanosecond. `None` before the store was heard.
    pub fn left(&self, now: u64, comes: f64) -> Option<u64> {
        if self.answered == 0 {
            return None;
        }
        let grown = now.saturating_sub(self.answered) as f64 * comes * 1_000.0;
        let left = self.left.saturating_add(self.balance) as f64 + grown;
        // Saturates at zero and at the top.
        Some((left / 1_000.0) as u64)
    }

    /// What may be taken still; below zero what is owed.
    pub const fn balance(&self) -> i64 {
        self.balance
    }

    /// What was taken and not reported.
    pub const fn untold(&self) -> i64 {
        self.spent
    }

    /// Whether the store knows everything that happened here.
    pub const fn is_settled(&self) -> bool {
        self.spent == 0 && self.balance >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn terms() -> Terms {
        // 1,000 tokens at 1,000 a second.
        Terms::new(1_000, 1_000 * MS)
    }

    #[test]
    fn a_first_request_passes_and_is_told_afterwards() {
        let (mut lease, terms) = (Lease::default(), terms());
        assert_eq!(lease.take(&terms, 1_000, 5, true), Ok(Then::Report));
        assert_eq!(lease.take(&terms, 1_000, 6, true), Ok(Then::Nothing));
        let report = lease.report(&terms, MS);
        let told = Report {
            owed: 2_000,
            wanted: 0,
            spent: 2_000,
        };
        assert_eq!(report, told);
        let reply = Reply {
            left: 998_000,
            ..Reply::default()
        };
        assert!(!lease.settle(&report, &reply, 2 * MS));
        assert!(lease.is_settled());
        assert_eq!(lease.left(2 * MS, 0.0), Some(998));
        assert_eq!(lease.take(&terms, 1_000, 3 * MS, true), Ok(Then::Report));
    }

    #[test]
    fn who_comes_often_gets_a_lease_for_some_reports() {
        let (mut lease, terms) = (Lease::default(), terms());
        let mut now = 0;
        let mut reports = 0;
        let mut taken = 0;
        while now < 2_000 * MS {
            now += MS;
            let then = match lease.take(&terms, 1_000, now, true) {
                Ok(then) => then,
                Err(_) => panic!("the store has enough"),
            };
            taken += 1;
            if now % (50 * MS) == 0 || then == Then::Hurry {
                reports += 1;
                let report = lease.report(&terms, now);
                let reply = Reply {
                    granted: report.wanted,
                    left: 500_000,
                    ..Reply::default()
                };
                lease.settle(&report, &reply, now);
                assert!(reports < 9 || report.owed == 0, "{reports} {report:?}");
            }
        }
        assert_eq!(taken, 2_000);
        assert!((40..50).contains(&reports), "{reports}");
        assert!(lease.balance <= terms.most);
    }

    #[test]
    fn an_empty_bucket_bars_until_it_has_a_token() {
        let (mut lease, terms) = (Lease::default(), terms());
        lease.take(&terms, 1_000, MS, true).unwrap();
        let report = lease.report(&terms, MS);
        let reply = Reply {
            left: -3_000,
            wait: 4 * MS,
            ..Reply::default()
        };
        lease.settle(&report, &reply, 2 * MS);
        assert_eq!(lease.take(&terms, 1_000, 3 * MS, true), Err(3 * MS));
        assert_eq!(lease.take(&terms, 1_000, 6 * MS, true), Ok(Then::Report));
    }

    #[test]
    fn debts_are_bounded_while_the_store_answers_and_hurry_the_report() {
        let (mut lease, terms) = (Lease::default(), terms());
        let mut said = Vec::new();
        let mut passed = 0;
        while let Ok(then) = lease.take(&terms, 1_000, 10, true) {
            passed += 1;
            if then != Then::Nothing {
                said.push((passed, then));
            }
        }
        assert_eq!(passed, 200, "a lease, for who was never heard of");
        assert_eq!(said, [(1, Then::Report), (DEBT / 2, Then::Hurry)]);
        // A store that takes its time decides nothing any more.
        let mut slow = lease;
        assert!(slow.take(&terms, 1_000, 11 + PATIENCE, true).is_ok());
        // Of whom the store has just told there is less to be owed.
        let reply = Reply {
            left: 800_000,
            ..Reply::default()
        };
        lease.settle(&lease.report(&terms, 11), &reply, 12);
        let more = (0..1_000).take_while(|_| lease.take(&terms, 1_000, 13, true).is_ok());
        assert_eq!(more.count() as u64, DEBT);
    }

    #[test]
    fn without_the_store_everything_passes_here_and_is_kept_in_mind() {
        let (mut lease, terms) = (Lease::default(), terms());
        for n in 0..10_000 {
            lease.take(&terms, 1_000, n * MS, false).unwrap();
        }
        let report = lease.report(&terms, 0);
        assert_eq!(report.spent, 10_000_000);
        assert_eq!(report.owed, 2_000_000, "two buckets at most");
    }

    #[test]
    fn what_was_taken_while_the_report_was_under_way_is_told_next() {
        let (mut lease, terms) = (Lease::default(), terms());
        lease.take(&terms, 1_000, 1, true).unwrap();
        let report = lease.report(&terms, 1);
        lease.take(&terms, 1_000, 2, true).unwrap();
        assert!(lease.settle(&report, &Reply::default(), 3));
        assert_eq!(lease.report(&terms, 4).owed, 1_000);
        assert!(!lease.is_settled());
    }

    #[test]
    fn a_lease_that_nobody_uses_goes_back() {
        let (mut lease, terms) = (Lease::default(), terms());
        lease.take(&terms, 1_000, 1, true).unwrap();
        assert_eq!(lease.unused(), None);
        let report = lease.report(&terms, 1);
        let reply = Reply {
            granted: 9_000,
            left: 100_000,
            ..Reply::default()
        };
        lease.settle(&report, &reply, 2);
        let back = lease.unused().unwrap();
        assert_eq!((back.owed, back.spent), (-9_000, 0));
        assert_eq!(lease.unused(), None);
    }

    #[test]
    fn a_report_that_nobody_answers_is_made_again() {
        let (mut lease, terms) = (Lease::default(), terms());
        lease.take(&terms, 1_000, 1, true).unwrap();
        let later = LOST + 2;
        assert_eq!(lease.take(&terms, 1_000, later, true), Ok(Then::Report));
        assert_eq!(
            lease.take(&terms, 1_000, later * 3, false),
            Ok(Then::Nothing)
        );
    }

    #[test]
    fn what_was_taken_for_nothing_is_not_told() {
        let (mut lease, terms) = (Lease::default(), terms());
        lease.take(&terms, 1_000, 1, true).unwrap();
        lease.give_back(1_000);
        assert_eq!(lease.report(&terms, 2), Report::default());
    }
}
