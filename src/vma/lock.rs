//! The lock of one VMA: a fault that holds it needs no mm lock, and a writer that is to change the VMA waits for it to leave.
//!
//! `mm` comes in, with the mm's write sequence. One word: a count of readers, two flags, and the sequence number of the write hold that
//! marked the VMA last. It is write-locked if and only if that is the number of the mm's present write hold (3.2); so the end of the hold
//! unlocks all VMAs at once, and touches none.
//!
//! | bits | | |
//! |---|---|---|
//! | 0 to 19 | readers | who holds it (3.3) |
//! | 20 | draining | a writer waits for them to leave; no new ones (3.4) |
//! | 21 | detached | it is in the index no more, for ever (3.3, 3.10) |
//! | 22 to 63 | mark | the low bits of the sequence. They come round after 2^41 holds, and then may say "busy" wrongly, never "free" (3.12) |
//!
//! **Why one compare-and-swap enters.** A reader loads the word, then the mm's sequence, and adds itself by a swap of the whole word. If a
//! writer marks the VMA in between, the word is another and the swap fails. But where the mark had come round to the number of just this
//! hold: then the writer has swapped the word for the same word. The reader's swap reads from the writer's, so a second look at the
//! sequence finds the hold begun (3.5d), and the reader leaves again. If the mark was there before, its Release and the reader's Acquire
//! make the reader see the sequence begun, or a later one: equal is busy, later is free. Later is the hold's end or the begin of another,
//! and with either the reader sees all that the hold did. The mark is looked at before "detached" (3.5a): who unlinks a VMA detaches it in
//! the same hold, so a reader that is told "detached" sees the index without the VMA. Looking again does not spin.
//!
//! **Whether what was found is still so.** Bounds change in a hold that has marked the VMA before. A reader loads the sequence, looks for
//! the VMA, and enters. The word it swaps has the last mark of all. If that is of a hold that had ended when the sequence was loaded, the look
//! saw what the hold did, and nothing has changed since: there is no second look. A hold that marked it later, or had not ended, means one.
//! What writers do elsewhere makes no difference. (After 2^41 holds a mark of long ago may ask for a look that is not needed.)
//!
//! **Draining.** The mm has one writer, and how he waits is the mm lock's ([`RawMmLock::wait_until`]). The last reader that leaves while
//! the flag is up has him look again: he raises it by a swap of the word, so either he sees the count without the reader, or the reader
//! sees the flag.

use crate::error::WaitError;
use crate::lock::{Lock, Patience, RawMmLock};
use crate::sync::{AtomicU64, Ordering, seeded};

const READERS: u64 = (1 << 20) - 1;
const DRAINING: u64 = 1 << 20;
const DETACHED: u64 = 1 << 21;
const MARK_SHIFT: u32 = 22;
const BELOW_MARK: u64 = (1 << MARK_SHIFT) - 1;

/// What came of an attempt to read-lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Attempt {
    /// It is held, and nobody marked it since the number that was told: what was found then is still so.
    Entered,
    /// It is held, but it was marked since: what was found may be of before.
    EnteredSinceMarked,
    /// A writer has marked it, or waits to; or it has as many readers as can be counted.
    Busy,
    /// It is in the index no more.
    Detached,
}

/// The lock of one VMA.
#[derive(Debug)]
pub(crate) struct VmaLock(AtomicU64);

fn mark_of(sequence: u64) -> u64 {
    sequence << MARK_SHIFT
}

impl VmaLock {
    /// Attached, and write-locked in the hold of this sequence (3.10).
    pub(crate) fn new(sequence: u64) -> Self {
        Self(AtomicU64::new(mark_of(sequence)))
    }

    /// Read-locks, without waiting. `since` is what the mm's write sequence was before the VMA was looked for; `sequence` loads it now,
    /// with Acquire.
    #[inline]
    pub(crate) fn try_read<L: RawMmLock>(&self, since: u64, sequence: impl Fn() -> u64, mm: &Lock<L>) -> Attempt {
        loop {
            // Acquire: a mark that is seen is seen with the sequence of its hold; pairs with `swap`.
            let word = self.0.load(Ordering::Acquire);
            if word >> MARK_SHIFT == mark_of(sequence()) >> MARK_SHIFT {
                return Attempt::Busy;
            }
            if word & DETACHED != 0 {
                return Attempt::Detached;
            }
            if word & DRAINING != 0 || word & READERS == READERS {
                return Attempt::Busy;
            }
            // Acquire: nothing of what is done under the lock comes before it; and with a mark that has come round the second look finds its
            // hold begun: pairs with `swap`.
            if self.0.compare_exchange(word, word + 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                if word >> MARK_SHIFT == mark_of(sequence()) >> MARK_SHIFT {
                    self.unlock_read(mm);
                    return Attempt::Busy;
                }
                // The difference of two numbers, in the upper bits: as a signed one it is right where they came round.
                let ended = mark_of(since).wrapping_sub(word & !BELOW_MARK).cast_signed() > 0;
                return if ended { Attempt::Entered } else { Attempt::EnteredSinceMarked };
            }
        }
    }

    /// Ends a read hold. Touches nothing of the record after its decrement.
    #[inline]
    pub(crate) fn unlock_read<L: RawMmLock>(&self, mm: &Lock<L>) {
        // Release: what was done under the hold comes before the mark; pairs with `swap`.
        let word = self.0.fetch_sub(1, Ordering::Release);
        debug_assert!(word & READERS > 0, "a reader leaves a VMA in which there was none");
        if word & DRAINING != 0 && word & READERS == 1 {
            mm.look_again();
        }
    }

    fn swap(&self, seen: u64, next: u64) -> Result<(), u64> {
        // Acquire: what readers did before they left; pairs with `unlock_read`. Release: the sequence was begun before; pairs with
        // `try_read`. Relaxed on failure: the next guess.
        self.0.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed).map(drop)
    }

    /// Marks if there are no readers; else, where asked to, raises `DRAINING`. Whether it marked.
    fn mark_or(&self, sequence: u64, else_set: u64) -> bool {
        // Relaxed: a first guess.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let free = seen & READERS == 0 || seeded("write_mark_misses_a_reader");
            let next = if free { mark_of(sequence) | seen & (DETACHED | READERS) } else { seen | else_set };
            match self.swap(seen, next) {
                Ok(()) => return free,
                Err(now) => seen = now,
            }
        }
    }

    /// Write-locks for the present hold of the mm lock (3.4): waits until its readers have left, and no more come.
    ///
    /// # Panics
    /// In debug builds, where it would wait for a reader that is the calling thread (3.11). It is not marked then, as where it cannot wait.
    ///
    /// # Errors
    /// [`WaitError`]: it is not marked, and readers come as before.
    #[inline]
    pub(crate) fn mark<L: RawMmLock>(&self, sequence: u64, mm: &Lock<L>, patience: Patience<'_, L::Interrupt>) -> Result<(), WaitError> {
        // Also where it seems to be marked already: a swap, so that a reader who comes after it sees this hold begun.
        if self.mark_or(sequence, 0) {
            return Ok(());
        }
        match patience {
            Patience::Never => Err(WaitError::WouldBlock),
            Patience::Forever => self.mark_slow(sequence, mm, None),
            Patience::Unless(interrupt) => self.mark_slow(sequence, mm, Some(interrupt)),
        }
    }

    #[cold]
    fn mark_slow<L: RawMmLock>(&self, sequence: u64, mm: &Lock<L>, interrupt: Option<&L::Interrupt>) -> Result<(), WaitError> {
        mm.refuse_inner(self, interrupt);
        let drained = mm.wait_until(|| self.mark_or(sequence, DRAINING), interrupt);
        if drained.is_err() {
            // Relaxed: readers may come again; tells them nothing.
            self.0.fetch_and(!DRAINING, Ordering::Relaxed);
        }
        Ok(drained?)
    }

    /// It is in the index no more. For the writer that has marked it, or at the end of the address space: nobody holds it, and nobody ever
    /// will again.
    pub(crate) fn detach(&self) {
        // Release: by way of the sequence's end, who is told "detached" sees the index without it. Itself it orders nothing more.
        self.0.fetch_or(DETACHED, Ordering::Release);
    }

    /// Whether it was detached.
    pub(crate) fn is_detached(&self) -> bool {
        // Acquire: as `try_read`.
        self.0.load(Ordering::Acquire) & DETACHED != 0
    }
}

// The atomics of the checkers live in models alone.
#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod tests {
    use super::*;
    use crate::lock::Interrupt;
    use crate::lock::MmLock;

    /// 3.12: where the mark comes round, a mark of long ago may look like one of now, and says "busy"; a mark of now says so always.
    #[test]
    fn numbers_that_come_round_are_busy_wrongly_never_free() {
        let mm = Lock::new(MmLock::new());
        let round = 1 << (64 - MARK_SHIFT);
        for begun in [1, round - 1, round + 1, u64::MAX - 2, u64::MAX] {
            let lock = VmaLock::new(begun);
            let after = |holds: u64| begun.wrapping_add(holds);
            assert_eq!(lock.try_read(after(0), || begun, &mm), Attempt::Busy, "marked in this hold");
            for (since, now, told) in [
                (after(1), after(1), Attempt::Entered), // the hold has ended
                (after(1), after(2), Attempt::Entered), // another hold, and not marked in it
                (after(2), after(2), Attempt::Entered),
                (after(0), after(1), Attempt::EnteredSinceMarked), // it ended after the look began
                (begun.wrapping_sub(1), after(1), Attempt::EnteredSinceMarked), // it began and ended after
                (begun.wrapping_sub(1), after(2), Attempt::EnteredSinceMarked),
            ] {
                assert_eq!(lock.try_read(since, || now, &mm), told, "marked {begun}, looked for since {since}, now {now}");
                lock.unlock_read(&mm);
            }
            assert_eq!(lock.try_read(begun, || begun.wrapping_add(round), &mm), Attempt::Busy, "wrongly, and harmlessly");
            lock.mark(begun.wrapping_add(2), &mm, Patience::Never).expect("nobody reads");
            assert_eq!(lock.try_read(begun, || begun.wrapping_add(2), &mm), Attempt::Busy);
        }
    }

    /// 3.12: the mark has come round to the number of a hold that begins while a reader is about to enter. The writer finds nobody inside,
    /// and the reader finds the word as it was: so it must look again.
    #[test]
    fn a_reader_who_comes_with_a_mark_of_a_round_ago_leaves_again() {
        let mm = Lock::new(MmLock::new());
        let round = 1 << (64 - MARK_SHIFT);
        let lock = VmaLock::new(3);
        let now = core::cell::Cell::new(round + 2);
        let sequence = || {
            let seen = now.replace(round + 3);
            if seen == round + 2 {
                lock.mark(round + 3, &mm, Patience::Never).expect("nobody is inside yet");
            }
            seen
        };
        assert_eq!(lock.try_read(0, sequence, &mm), Attempt::Busy);
        assert_eq!(lock.0.load(Ordering::Relaxed) & READERS, 0);
    }

    /// 3.3, 3.4, 3.5: readers are counted; a mark waits for them, or does not come; marked comes before detached.
    #[test]
    fn a_mark_needs_all_readers_gone() {
        let mm = Lock::new(MmLock::new());
        let lock = VmaLock::new(1);
        for _ in 0..2 {
            assert_eq!(lock.try_read(2, || 2, &mm), Attempt::Entered);
        }
        for _ in 0..2 {
            assert_eq!(lock.mark(3, &mm, Patience::Never), Err(WaitError::WouldBlock));
            lock.unlock_read(&mm);
        }
        lock.mark(3, &mm, Patience::Never).expect("all have left");
        lock.mark(3, &mm, Patience::Forever).expect("marked already: nothing to do");
        lock.detach();
        assert_eq!(lock.try_read(3, || 3, &mm), Attempt::Busy, "while the writer that detached it is inside");
        assert_eq!(lock.try_read(4, || 4, &mm), Attempt::Detached);
        assert!(lock.is_detached());
    }

    /// An interrupted mark leaves nothing behind: readers come as before.
    #[test]
    fn an_interrupted_mark_lets_readers_in_again() {
        let (mm, interrupt) = (Lock::new(MmLock::new()), Interrupt::new());
        let lock = VmaLock::new(1);
        assert_eq!(lock.try_read(2, || 2, &mm), Attempt::Entered);
        interrupt.raise();
        assert_eq!(lock.mark(3, &mm, Patience::Unless(&interrupt)), Err(WaitError::Interrupted));
        assert_eq!(lock.try_read(3, || 3, &mm), Attempt::Entered, "not marked, not draining");
    }

    /// More readers than can be counted are told "busy".
    #[test]
    fn readers_that_cannot_be_counted_are_refused() {
        let mm = Lock::new(MmLock::new());
        let lock = VmaLock(AtomicU64::new(READERS - 1));
        assert_eq!(lock.try_read(2, || 2, &mm), Attempt::Entered);
        assert_eq!(lock.try_read(2, || 2, &mm), Attempt::Busy);
        assert_eq!(lock.0.load(Ordering::Relaxed), READERS);
    }
}
