//! What one gateway may take of a limit that several share, without asking anybody: the lease.
//!
//! The store keeps the truth: a bucket and a day for each caller. A gateway takes from its lease, which the store has
//! taken off the bucket already, and tells the store some times a second what it took. A caller that comes seldom has no
//! lease: its requests are told afterwards, which is a debt. No request waits, so each gateway answers by
//! what it knows:
//!
//! - **What cannot be there is refused, and never wrongly.** What the store said was left, and what has come in since, is
//!   the most that can be there: others only take. (But for leases that were given back since, and for a store that was
//!   emptied; so a caller that is refused has the store asked again, twice a second.)
//! - **Of what may be there each of N gateways goes ahead by its Nth part**, or by sixteen requests where that is more: at
//!   first of the whole bucket, after each answer of what is left, and of what comes in while it goes on. A caller
//!   whom the store has heard of from no other gateway for ten seconds has all of it here.
//! - **Whoever keeps coming gets a lease ahead**, which lasts for two reports and more, and is at most half of such a
//!   part: the less is left, the smaller the leases, so that little lies at a gateway where nobody asks for it. What
//!   nobody uses goes back after a third of a second.
//! - **A store that is late has less and less to say**: from [`PROMPT`] on the part grows, up to all that may be there
//!   at [`PATIENCE`], and each gateway's own count limits alone.
//!
//! What follows, for a bucket of B, and what simulations show (`sim_tests.rs`, a million arrivals):
//!
//! - *Refused though the store had it*: what one gateway is asked beyond its part before the store has answered once (two
//!   or three milliseconds, as a rule), what lies in another's lease, and at a limit that all strain at, what of the
//!   bucket is not theirs. One gateway alone refuses nothing wrongly, nor do several a caller who asks one thing after another.
//! - *Let pass though the store had not*: what the others let pass before they were told, a part each: (N − 1) × max(B/N,
//!   16) and no more, if somebody strikes all of them in the same millisecond with a bucket that was just emptied at one. It
//!   is a debt, and whoever took it waits for it: over time nobody gets more than the rate. Three gateways that are asked for
//!   three times the limit pass 0.3 % more than it over 16 seconds.
//!
//! The rhythm of reports is the price: some two hundred requests make a call ([`super::work::Pace`]), in 50 to 500 ms. A longer
//! pause needs larger leases ahead, which are only had where the bucket is not nearly empty, and leaves more untold where
//! all strain at a limit; so there a hundred requests make a call. A gateway that gets near its part has its report made at once
//! while it has calls to spare. In all a limit takes about half a call for a hundred requests from a thousand a second on, and
//! one where it is used up; a bucket that fills in less than a fifth of a second has no use for leases, and is asked for more.
//!
//! Amounts are in thousandths of a token, moments in nanoseconds of a clock that does not jump.

/// How long the store may take before what is known here decides alone.
pub const PATIENCE: u64 = 60 * MS;
/// How long it may take before it is late.
pub const PROMPT: u64 = 20 * MS;
/// After this a report that nobody answered is made again.
const LOST: u64 = 2_000 * MS;
/// How long a lease should last at least: a few reports.
const LASTS: u64 = 200 * MS;
/// Who is refused by what the store said so long ago has it asked again.
const STALE: u64 = 500 * MS;
/// For how long the store's word holds that nobody else is there.
const SOLE: u64 = 1_000 * MS;
/// Requests that may be let pass at once before the store has heard of them, where they may be there.
const DEBT: i64 = 16_000;
/// Fewer than these at once are no sign that more will come.
const FEW: i64 = 4_000;
const MS: u64 = 1_000_000;

/// What holds for all leases of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// The bucket.
    burst: i64,
    /// What comes in with each nanosecond.
    comes: f64,
    /// The most that is kept in mind as owed.
    worst: i64,
}

impl Terms {
    /// Terms for a bucket of so many tokens that fills in so many nanoseconds.
    pub fn new(burst: u64, time_to_full: u64) -> Self {
        let parts = i64::try_from(burst.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let parts = parts.min(i64::MAX / 8);
        Self {
            burst: parts,
            comes: parts as f64 / time_to_full.max(1) as f64,
            worst: parts.saturating_mul(2),
        }
    }

    /// Terms for a day of so many, without a bucket: the day's own count refuses, and no lease.
    pub fn of_day(limit: u64) -> Self {
        Self {
            comes: f64::INFINITY,
            ..Self::new(limit, 1)
        }
    }

    /// The bucket that is one gateway's part of this one.
    fn part(&self, sharers: u32) -> Self {
        Self {
            burst: part(self.burst, sharers),
            comes: self.comes / f64::from(sharers.max(1)),
            worst: self.worst,
        }
    }

    /// What a bucket has that is full at a moment; never less than it has.
    fn level(&self, full: u64, now: u64) -> i64 {
        if full <= now {
            return self.burst;
        }
        // Saturates.
        let missing = ((full - now) as f64 * self.comes) as i64;
        self.burst.saturating_sub(missing)
    }

    /// When a bucket is full that has so much at a moment.
    fn full(&self, level: i64, now: u64) -> u64 {
        let missing = self.burst.saturating_sub(level).max(0);
        now.saturating_add((missing as f64 / self.comes) as u64)
            .max(1)
    }

    /// When it is full after so much was taken.
    fn after(&self, full: u64, parts: i64, now: u64) -> u64 {
        full.max(now)
            .saturating_add((parts as f64 / self.comes) as u64)
    }
}

/// The part of one of several gateways of what is there.
fn part(there: i64, sharers: u32) -> i64 {
    let there = there.max(0);
    (there / i64::from(sharers.max(1))).max(DEBT.min(there))
}

/// What is added to a part of what is there when an answer is late.
fn late(there: i64, view: View) -> i64 {
    let late = view.late.saturating_sub(PROMPT);
    if late == 0 {
        return 0;
    }
    let late = late.min(PATIENCE - PROMPT) as f64 / (PATIENCE - PROMPT) as f64;
    (there.max(0) as f64 * late) as i64
}

/// How the store stands with a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Gateways that share; 0 while the store does not answer.
    pub peers: u32,
    /// Whether reports can be hurried now.
    pub hasty: bool,
    /// For how many nanoseconds it has owed an answer.
    pub late: u64,
    /// For how many it has been there.
    pub up: u64,
}

/// What one gateway has of one shared limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// What may be taken still; below zero what is owed.
    balance: i64,
    /// When the store's bucket is full if nobody else takes, by its last answer and what is owed since; 0 before that.
    full: u64,
    /// The same of this gateway's part of it.
    own: u64,
    /// What was taken and not reported. More than two million tokens are not told apart.
    spent: i32,
    since: Since,
}

/// A moment in milliseconds that goes around after six days, and what happened then; 0 for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Since(u32);

impl Since {
    /// A report was asked for, that is not answered.
    const ASKED: u32 = 1;
    /// And at once.
    const PRESSED: u32 = 2;
    /// The store answered, and nobody else was heard of there.
    const SOLE: u32 = 4;

    const fn at(now: u64, words: u32) -> Self {
        Self(((now / MS) as u32) << 3 | words)
    }

    const fn is(self, word: u32) -> bool {
        self.0 & word != 0
    }

    /// Nanoseconds since then.
    const fn past(self, now: u64) -> u64 {
        const ALL: u32 = u32::MAX >> 3;
        let passed = ((now / MS) as u32).wrapping_sub(self.0 >> 3) & ALL;
        // Another thread's clock was read a little earlier.
        if passed > ALL / 4 * 3 {
            return 0;
        }
        passed as u64 * MS
    }
}

/// What is to be done besides answering a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the store hears of it with the report that is on its way.
    Nothing,
    /// A report is to be made.
    Report,
    /// A report is to be made at once.
    Urgent,
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
    /// Nanoseconds in which it was taken.
    pub span: u64,
    /// What is missing in the bucket that all share, as far as was told here.
    pub seen: i64,
}

/// What the store says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What of the wish was granted.
    pub granted: i64,
    /// What the bucket has left; below zero while debts are paid.
    pub left: i64,
    /// Whether it has heard of the caller from no other gateway for a while.
    pub sole: bool,
    /// What all gateways together took on that day; below zero where the store has another day.
    pub used: i64,
}

/// What is to be done after an answer of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// There is more to report already.
    pub more: bool,
    /// At once.
    pub urgent: bool,
    /// Something is there that may turn out to be unused.
    pub holds: bool,
    /// The bucket is far from empty.
    pub plenty: bool,
}

/// A lease that may be unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// It was in use just now; it is to be looked at again.
    Busy,
    /// This goes back.
    Back(Report),
    /// There is nothing.
    Nothing,
}

enum Verdict {
    Yes,
    /// It cannot be there before so many nanoseconds.
    Gone(u64),
    /// It may be there, and is more than this gateway's part of it.
    Beyond,
}

impl Lease {
    /// Takes from the lease, or goes ahead of the store. `day` is what the day had left by the store's last word.
    /// While the store does not answer everything passes here, and what is known locally limits alone.
    ///
    /// # Errors
    /// Nanoseconds until it makes sense to ask again.
    pub fn take(
        &mut self,
        terms: &Terms,
        parts: i64,
        day: Option<i64>,
        now: u64,
        view: View,
    ) -> (Result<(), u64>, Then) {
        match self.weigh(terms, parts, day, now, view) {
            Verdict::Yes => (Ok(()), self.took(terms, parts, now, view)),
            Verdict::Gone(wait) => {
                let stale = !self.since.is(Since::ASKED) && self.since.past(now) > STALE;
                if !stale {
                    return (Err(wait), Then::Nothing);
                }
                self.since = Since::at(now, Since::ASKED);
                (Err(wait), Then::Report)
            }
            Verdict::Beyond => (Err(PATIENCE), self.press(view)),
        }
    }

    fn took(&mut self, terms: &Terms, parts: i64, now: u64, view: View) -> Then {
        let ahead = parts.saturating_sub(self.balance.max(0)).max(0);
        self.balance = self.balance.saturating_sub(parts).max(-terms.worst);
        self.spent = self.spent.saturating_add(small(parts));
        if ahead > 0 && view.peers > 0 {
            self.full = terms.after(self.full, ahead, now);
            let sharers = self.sharers(now, view);
            self.own = terms.part(sharers).after(self.own, ahead, now);
        }
        let lost = view.peers > 0 && self.since.past(now).min(view.up) > LOST;
        let fresh = !self.since.is(Since::ASKED) || lost;
        if fresh {
            let sole = if self.sharers(now, view) == 1 {
                Since::SOLE
            } else {
                0
            };
            self.since = Since::at(now, Since::ASKED | sole);
        }
        let pressing = self.is_pressing(terms, now, view);
        let then = if pressing {
            self.press(view)
        } else {
            Then::Nothing
        };
        match (fresh, then) {
            (true, Then::Hurry) => Then::Urgent,
            (true, _) => Then::Report,
            (false, then) => then,
        }
    }

    /// Whether the part of this gateway is half gone, and there is something to be had in a hurry.
    fn is_pressing(&self, terms: &Terms, now: u64, view: View) -> bool {
        if self.balance >= 0 || view.peers == 0 {
            return false;
        }
        let there = terms.level(self.full, now);
        let mine = self.mine(terms, there, now, view);
        let whole = terms.part(self.sharers(now, view)).burst;
        mine <= whole / 2 && mine <= -self.balance && there >= 1_000
    }

    fn press(&mut self, view: View) -> Then {
        if !view.hasty || self.since.is(Since::PRESSED) || !self.since.is(Since::ASKED) {
            return Then::Nothing;
        }
        self.since.0 |= Since::PRESSED;
        Then::Hurry
    }

    /// How many gateways what is there is divided by.
    fn sharers(&self, now: u64, view: View) -> u32 {
        let sole = self.since.is(Since::SOLE) && self.since.past(now) < SOLE;
        if sole { 1 } else { view.peers.max(1) }
    }

    /// Whether that much may be taken.
    ///
    /// # Errors
    /// As [`Lease::take`].
    pub fn may(
        &self,
        terms: &Terms,
        parts: i64,
        day: Option<i64>,
        now: u64,
        view: View,
    ) -> Result<(), u64> {
        match self.weigh(terms, parts, day, now, view) {
            Verdict::Yes => Ok(()),
            Verdict::Gone(wait) => Err(wait),
            Verdict::Beyond => Err(PATIENCE),
        }
    }

    fn weigh(&self, terms: &Terms, parts: i64, day: Option<i64>, now: u64, view: View) -> Verdict {
        if view.peers == 0 {
            return Verdict::Yes;
        }
        let ahead = parts.saturating_sub(self.balance.max(0));
        if ahead > 0 {
            let there = terms.level(self.full, now);
            if ahead > there {
                let missing = ahead.saturating_sub(there) as f64;
                return Verdict::Gone((missing / terms.comes).ceil() as u64);
            }
            let owed = (-self.balance).max(0);
            let late = late(there.saturating_add(owed), view);
            if ahead > self.mine(terms, there, now, view).saturating_add(late) {
                return Verdict::Beyond;
            }
        }
        let taken = i64::from(self.spent).saturating_add(parts);
        let sharers = self.sharers(now, view);
        let of_day = |day| part(day, sharers).saturating_add(late(day, view));
        if day.is_some_and(|day| taken > of_day(day)) {
            return Verdict::Beyond;
        }
        Verdict::Yes
    }

    /// What of this gateway's part it has not gone ahead by.
    fn mine(&self, terms: &Terms, there: i64, now: u64, view: View) -> i64 {
        // What comes in while much is asked is divided; after a rest, what is there.
        let (owed, sharers) = ((-self.balance).max(0), self.sharers(now, view));
        let rested = part(there.saturating_add(owed), sharers).saturating_sub(owed);
        rested.max(terms.part(sharers).level(self.own, now))
    }

    /// Puts back what was taken for nothing.
    pub fn give_back(&mut self, terms: &Terms, parts: i64, now: u64) {
        let owed = (-self.balance).clamp(0, parts.max(0));
        if owed > 0 && self.full > now {
            let there = terms.level(self.full, now).saturating_add(owed);
            self.full = terms.full(there, now);
        }
        self.balance = self.balance.saturating_add(parts);
        self.spent = self.spent.saturating_sub(small(parts));
    }

    /// What is to be told now.
    pub fn report(&self, terms: &Terms, now: u64) -> Report {
        // Moments are kept in whole milliseconds.
        let span = if self.since.is(Since::ASKED) {
            self.since.past(now) + MS
        } else {
            0
        };
        Report {
            owed: (-self.balance).max(0),
            wanted: self.wanted(terms, span),
            spent: i64::from(self.spent),
            span,
            seen: terms
                .burst
                .saturating_sub(terms.level(self.full, now))
                .max(0),
        }
    }

    /// As much as is likely to be taken before the next reports, by what was taken in the time since the last one.
    fn wanted(&self, terms: &Terms, span: u64) -> i64 {
        let spent = i64::from(self.spent.max(0));
        if spent < FEW {
            return 0;
        }
        let (span, full) = (span.max(MS), terms.burst as f64 / terms.comes);
        // A bucket that fills between two reports is best left alone: what would be lent comes in as fast. After an
        // outage others have to tell first.
        if full < LASTS as f64 || span > LOST {
            return 0;
        }
        let lasts = (span.saturating_mul(5) / 2).max(LASTS);
        let likely = i128::from(spent) * i128::from(lasts) / i128::from(span);
        let likely = i64::try_from(likely).unwrap_or(i64::MAX);
        (likely.min(terms.burst) - self.balance.max(0)).max(0)
    }

    /// Takes in what the store says to a report that was made at `sent`.
    pub fn settle(
        &mut self,
        terms: &Terms,
        told: &Report,
        reply: &Reply,
        (sent, now): (u64, u64),
        view: View,
    ) -> Next {
        // What went back went when it was told.
        let got = told.owed.max(0).saturating_add(reply.granted);
        self.balance = self.balance.saturating_add(got);
        self.spent = self.spent.saturating_sub(small(told.spent));
        let sole = if reply.sole { Since::SOLE } else { 0 };
        self.since = Since::at(now, sole);
        let sharers = self.sharers(now, view);
        // From when it was sent on: what came in on the way must not be forgotten.
        let (mine, owed) = (terms.part(sharers), (-self.balance).max(0));
        self.full = terms.full(reply.left.saturating_sub(owed), sent);
        let own = part(reply.left, sharers).min(mine.burst);
        self.own = mine.full(own.saturating_sub(owed), sent);
        let mut next = Next {
            holds: self.balance > 0,
            plenty: reply.left >= terms.burst / 4,
            ..Next::default()
        };
        if self.spent != 0 || self.balance < 0 {
            next.more = true;
            next.urgent = view.hasty && self.is_pressing(terms, now, view);
            let pressed = if next.urgent { Since::PRESSED } else { 0 };
            // What is owed now was taken while the report was under way.
            self.since = Since::at(sent, sole | Since::ASKED | pressed);
        }
        next
    }

    /// What was granted and is not used: given back after a while in which nobody came.
    pub fn unused(&mut self, terms: &Terms, now: u64) -> Unused {
        if self.balance <= 0 {
            return Unused::Nothing;
        }
        if self.since.is(Since::ASKED) || self.spent != 0 {
            return Unused::Busy;
        }
        let owed = -self.balance;
        self.balance = 0;
        let there = terms.level(self.full, now).saturating_sub(owed);
        self.full = terms.full(there, now);
        Unused::Back(Report {
            owed,
            seen: terms.burst.saturating_sub(there).max(0),
            ..Report::default()
        })
    }

    /// A report that the store did not take: it is made again. What it told of was taken when it was taken.
    pub fn failed(&mut self, now: u64) {
        if !self.since.is(Since::ASKED) {
            self.since = Since::at(now, Since::ASKED);
        }
        self.since.0 &= !Since::PRESSED;
    }

    /// What all gateways together have left, as far as is known here. `None` before the store was heard.
    pub fn left(&self, terms: &Terms, now: u64) -> Option<u64> {
        if self.full == 0 || terms.comes.is_infinite() {
            return None;
        }
        let left = terms
            .level(self.full, now)
            .saturating_add(self.balance.max(0));
        Some(u64::try_from(left).unwrap_or(0) / 1_000)
    }

    /// What may be taken still; below zero what is owed.
    pub const fn balance(&self) -> i64 {
        self.balance
    }

    /// What was taken and not reported.
    pub fn untold(&self) -> i64 {
        i64::from(self.spent)
    }

    /// Whether the store knows everything that happened here.
    pub const fn is_settled(&self) -> bool {
        self.spent == 0 && self.balance >= 0
    }
}

fn small(parts: i64) -> i32 {
    let most = if parts < 0 { i32::MIN } else { i32::MAX };
    i32::try_from(parts).unwrap_or(most)
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
