//! Standard output behind bounded buffers. A thread that logs appends to the buffer of its own and waits
//! for nobody: not for another thread, not for the terminal, the pipe or the disk. One thread of its own
//! takes the buffers, puts the lines into the order of time and writes. When the reader of our output is
//! too slow, lines are dropped and counted, requests are not.

use crate::base::clock;
use std::cell::Cell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Buffers; threads beyond share.
const SHARDS: usize = 16;
/// Bytes that may wait in one buffer before lines are dropped: about a tenth of a second of a busy thread.
const CAPACITY: usize = 2 << 20;
/// Above this the writer is woken at once, below it writes at its own pace.
const WAKE_AT: usize = 256 << 10;
/// How long a line may wait when little happens.
const PACE: Duration = Duration::from_millis(200);
/// The time of a line is that of its thread's turn, so it may be a little before the moment in which it comes.
const TURN: Duration = Duration::from_millis(1);
/// Lines of several threads are written in pieces of about this size.
const PIECE: usize = 64 << 10;
/// Longest line for which a thread keeps its memory.
const KEEP: usize = 16 << 10;

/// Buffers in front of standard output.
#[derive(Debug)]
pub struct Sink {
    shards: [Shard; SHARDS],
    /// Held while bytes leave the process, so that lines keep their order.
    writing: Mutex<Batch>,
    dropped: AtomicU64,
    started: AtomicBool,
    writer: OnceLock<Thread>,
    /// The writer sleeps until somebody wakes it: nothing was left to write.
    idle: AtomicBool,
}

/// One buffer, on cache lines of its own. The lock is only ever tried by those who log, and held for a copy.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Lines>);

/// Lines one after the other.
#[derive(Debug)]
struct Lines {
    bytes: Vec<u8>,
    /// In the order of time.
    marks: Vec<Mark>,
}

/// When a line came and where it ends.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    end: usize,
}

/// What the writer has in hand.
#[derive(Debug)]
struct Batch {
    taken: [Lines; SHARDS],
    piece: Vec<u8>,
}

impl Sink {
    /// The one sink of this process.
    pub fn stdout() -> &'static Sink {
        static SINK: Sink = Sink::new();
        &SINK
    }

    /// An empty sink; other than [`Sink::stdout`] for tests and benchmarks.
    pub const fn new() -> Self {
        Self {
            shards: [const { Shard(Mutex::new(Lines::new())) }; SHARDS],
            writing: Mutex::new(Batch {
                taken: [const { Lines::new() }; SHARDS],
                piece: Vec::new(),
            }),
            dropped: AtomicU64::new(0),
            started: AtomicBool::new(false),
            writer: OnceLock::new(),
            idle: AtomicBool::new(false),
        }
    }

    /// Appends what `format` writes into the empty text: a line, or several, with the newline. The text is
    /// this thread's and used again.
    pub fn line(&self, format: impl FnOnce(&mut String)) {
        thread_local! {
            static TEXT: Cell<String> = const { Cell::new(String::new()) };
        }
        // Taken out, not borrowed: what is formatted may log. And a thread that ends has none any more.
        let mut text = TEXT.try_with(Cell::take).unwrap_or_default();
        text.clear();
        format(&mut text);
        self.push(text.as_bytes());
        if text.capacity() <= KEEP {
            let _ = TEXT.try_with(|kept| kept.set(text));
        }
    }

    /// Appends a line, which ends with a newline, or drops and counts it.
    pub fn push(&self, line: &[u8]) {
        let seat = seat();
        for step in 0..SHARDS {
            let Some(shard) = self.shards.get((seat + step) % SHARDS) else {
                break;
            };
            // Another has it for a moment: the next one will do, the order is that of the clock.
            let Some(mut lines) = shard.try_lock() else {
                continue;
            };
            let before = lines.bytes.len();
            if lines.size() + line.len() > CAPACITY {
                break;
            }
            lines.push(clock::now(), line);
            let crossed = before < WAKE_AT && lines.bytes.len() >= WAKE_AT;
            drop(lines);
            if crossed
                || (self.idle.load(Ordering::Relaxed) && self.idle.swap(false, Ordering::AcqRel))
            {
                self.wake();
            }
            return;
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines that were dropped because nobody read our output fast enough.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes everything that waits. Blocks; for start-up and for the end.
    pub fn flush(&self) {
        self.write(None, &mut io::stdout().lock());
    }

    /// The same to somewhere else, for tests and benchmarks.
    pub fn flush_to(&self, out: &mut dyn Write) {
        self.write(None, out);
    }

    /// Starts the thread that writes, once; until then lines wait. Not before the server starts its
    /// services.
    ///
    /// # Errors
    /// When the system has no thread for us.
    pub fn start(&'static self) -> io::Result<()> {
        if self.started.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let spawned = thread::Builder::new()
            .name("log".to_owned())
            .spawn(|| self.work());
        if spawned.is_err() {
            self.started.store(false, Ordering::Release);
        }
        spawned.map(drop)
    }

    fn work(&self) {
        let _ = self.writer.set(thread::current());
        loop {
            if self.is_empty() {
                self.idle.store(true, Ordering::Release);
                // Whoever logs from here on sees that we are idle; who did before is seen here.
                if self.is_empty() {
                    thread::park();
                }
                self.idle.store(false, Ordering::Relaxed);
            }
            thread::park_timeout(PACE);
            self.write(Instant::now().checked_sub(TURN), &mut io::stdout().lock());
        }
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn is_empty(&self) -> bool {
        self.shards
            .iter()
            .all(|shard| shard.lock().bytes.is_empty())
    }

    /// Writes what came until then. What comes while the buffers are taken one by one waits for the next
    /// time, so that no line overtakes an older one.
    fn write(&self, until: Option<Instant>, out: &mut dyn Write) {
        let mut batch = lock(&self.writing);
        for (shard, taken) in self.shards.iter().zip(&mut batch.taken) {
            shard.lock().give(until, taken);
        }
        let lost = batch.write(out);
        self.dropped.fetch_add(lost, Ordering::Relaxed);
    }
}

impl Default for Sink {
    fn default() -> Self {
        Self::new()
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        lock(&self.0)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Lines>> {
        match self.0.try_lock() {
            Ok(lines) => Some(lines),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Lines {
    const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            marks: Vec::new(),
        }
    }

    fn push(&mut self, at: Instant, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        let end = self.bytes.len();
        // Who shares a buffer may have read the clock a moment earlier.
        let at = self.marks.last().map_or(at, |last| at.max(last.at));
        self.marks.push(Mark { at, end });
    }

    /// Memory in use.
    fn size(&self) -> usize {
        self.bytes.len() + self.marks.len() * size_of::<Mark>()
    }

    /// Gives away the lines until then, all for `None`, for the empty `taken`.
    fn give(&mut self, until: Option<Instant>, taken: &mut Lines) {
        std::mem::swap(self, taken);
        let Some(until) = until else { return };
        let count = taken.marks.partition_point(|mark| mark.at <= until);
        for at in count..taken.marks.len() {
            if let (Some(mark), Some(line)) = (taken.marks.get(at), taken.run(at, at + 1)) {
                self.push(mark.at, line);
            }
        }
        taken.marks.truncate(count);
        taken.bytes.truncate(taken.start(count));
    }

    /// Where a line begins.
    fn start(&self, at: usize) -> usize {
        let before = at.checked_sub(1).and_then(|before| self.marks.get(before));
        before.map_or(0, |mark| mark.end)
    }

    /// The bytes of lines next to each other.
    fn run(&self, from: usize, to: usize) -> Option<&[u8]> {
        self.bytes.get(self.start(from)..self.start(to))
    }

    /// Empties it; memory of a rush is given back.
    fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
        self.bytes.shrink_to(WAKE_AT * 2);
        self.marks.shrink_to(WAKE_AT / 64);
    }
}

impl Batch {
    /// Writes the lines in the order of time and forgets them; tells how many were lost because our own
    /// output is gone.
    fn write(&mut self, out: &mut dyn Write) -> u64 {
        let mut lost = 0;
        let mut send = |bytes: &[u8], lines: usize| {
            if out.write_all(bytes).is_err() {
                lost += lines as u64;
            }
        };
        let mut next = [0; SHARDS];
        let mut lines_in_piece = 0;
        while let Some(run) = earliest(&self.taken, &mut next) {
            match run {
                Run::Last(bytes, lines) if self.piece.is_empty() => send(bytes, lines),
                Run::Last(bytes, lines) | Run::Among(bytes, lines) => {
                    self.piece.extend_from_slice(bytes);
                    lines_in_piece += lines;
                }
            }
            if self.piece.len() >= PIECE {
                send(&self.piece, lines_in_piece);
                self.piece.clear();
                lines_in_piece = 0;
            }
        }
        if !self.piece.is_empty() {
            send(&self.piece, lines_in_piece);
            self.piece.clear();
            self.piece.shrink_to(PIECE * 2);
        }
        let _ = out.flush();
        self.taken.iter_mut().for_each(Lines::clear);
        lost
    }
}

/// Lines of one thread that nothing of the others comes between, and how many.
enum Run<'a> {
    Among(&'a [u8], usize),
    /// The others have none left.
    Last(&'a [u8], usize),
}

/// The oldest lines that were not taken yet; `next` tells for each buffer where it stands.
fn earliest<'a>(all: &'a [Lines; SHARDS], next: &mut [usize; SHARDS]) -> Option<Run<'a>> {
    let heads = all.iter().zip(next.iter()).enumerate();
    let heads = heads.filter_map(|(shard, (lines, &at))| Some((lines.marks.get(at)?.at, shard)));
    let (mut first, mut second) = (None, None);
    for head in heads {
        if first.is_none_or(|first| head < first) {
            second = first.replace(head);
        } else if second.is_none_or(|second| head < second) {
            second = Some(head);
        }
    }
    let (_, shard) = first?;
    let (lines, at) = (all.get(shard)?, next.get_mut(shard)?);
    let from = *at;
    let Some(second) = second else {
        *at = lines.marks.len();
        return Some(Run::Last(lines.run(from, *at)?, *at - from));
    };
    let rest = lines.marks.get(from..)?;
    let count = rest
        .iter()
        .take_while(|mark| (mark.at, shard) < second)
        .count();
    *at = from + count;
    Some(Run::Among(lines.run(from, *at)?, count))
}

/// Which buffer is this thread's; those who log take them in turn.
fn seat() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SEAT: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SEAT.get().unwrap_or_else(|| {
        let seat = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        SEAT.set(Some(seat));
        seat
    })
}

/// A panicking logger must not silence the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sink: &Sink) -> String {
        let mut out = Vec::new();
        sink.flush_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn drops_and_counts_lines_when_nobody_writes() {
        let sink = Sink::new();
        let line = vec![b'x'; CAPACITY - size_of::<Mark>()];
        sink.push(&line);
        sink.push(b"late\n");
        sink.push(b"later\n");
        assert_eq!(sink.dropped(), 2);
        assert_eq!(written(&sink).len(), line.len());
        sink.push(b"again\n");
        assert_eq!(written(&sink), "again\n");
        assert_eq!(sink.dropped(), 2);
    }

    #[test]
    fn empty_lines_are_bounded_too() {
        let sink = Sink::new();
        for _ in 0..CAPACITY {
            sink.push(b"");
        }
        assert!(sink.dropped() > 0);
    }

    #[test]
    fn a_buffer_in_use_is_no_reason_to_wait() {
        let sink = Sink::new();
        let held: Vec<_> = sink.shards.iter().skip(1).map(Shard::lock).collect();
        sink.push(b"a\n");
        let last = sink.shards[0].lock();
        sink.push(b"b\n");
        drop((held, last));
        assert_eq!(sink.dropped(), 1);
        assert_eq!(written(&sink), "a\n");
    }

    #[test]
    fn lines_of_many_threads_keep_the_order_of_time() {
        let sink = Sink::new();
        let turn = AtomicUsize::new(0);
        const THREADS: usize = 20;
        const LINES: usize = 400;
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (sink, turn) = (&sink, &turn);
                scope.spawn(move || {
                    for n in (thread..LINES).step_by(THREADS) {
                        while turn.load(Ordering::Acquire) != n {
                            std::thread::yield_now();
                        }
                        sink.line(|line| line.push_str(&format!("{n}\n")));
                        turn.store(n + 1, Ordering::Release);
                    }
                });
            }
        });
        let expected: String = (0..LINES).map(|n| format!("{n}\n")).collect();
        assert_eq!(written(&sink), expected);
    }

    #[test]
    fn nothing_is_lost_or_torn_while_somebody_writes() {
        let sink = Sink::new();
        const LINES: usize = 2000;
        let mut out = Vec::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|thread| {
                    let sink = &sink;
                    scope.spawn(move || {
                        for n in 0..LINES {
                            sink.line(|line| line.push_str(&format!("{thread} {n}\n")));
                        }
                    })
                })
                .collect();
            while !threads
                .iter()
                .all(std::thread::ScopedJoinHandle::is_finished)
            {
                sink.write(Some(Instant::now()), &mut out);
            }
        });
        sink.flush_to(&mut out);
        let text = String::from_utf8(out).unwrap();
        for thread in 0..3 {
            let own = text.lines().filter_map(|line| {
                let (from, n) = line.split_once(' ').unwrap();
                (from == thread.to_string()).then(|| n.parse::<usize>().unwrap())
            });
            assert!(own.eq(0..LINES), "{thread}");
        }
    }

    #[test]
    fn lines_that_come_while_buffers_are_taken_wait_for_the_next_time() {
        let sink = Sink::new();
        sink.push(b"a\n");
        let until = Instant::now();
        while Instant::now() <= until {}
        sink.push(b"b\n");
        sink.push(b"c\n");
        let mut out = Vec::new();
        sink.write(Some(until), &mut out);
        assert_eq!(out, b"a\n");
        sink.push(b"d\n");
        assert_eq!(written(&sink), "b\nc\nd\n");
    }

    #[test]
    fn formatting_may_log_and_may_panic() {
        let sink = Sink::new();
        sink.line(|line| {
            sink.line(|inner| inner.push_str("inner\n"));
            line.push_str("outer\n");
        });
        let panics = || sink.line(|_| panic!("in the middle of a line"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).unwrap_err();
        sink.line(|line| line.push_str("after\n"));
        assert_eq!(written(&sink), "inner\nouter\nafter\n");
    }

    #[test]
    fn lines_for_an_output_that_is_gone_are_counted() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::new();
        for _ in 0..3 {
            sink.push(b"x\n");
        }
        sink.flush_to(&mut Gone);
        assert_eq!(sink.dropped(), 3);
        assert_eq!(written(&sink), "");
    }
}
