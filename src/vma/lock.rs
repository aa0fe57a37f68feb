//! The lock of one VMA. A fault that holds it needs no mm lock; a writer waits for its readers before it changes the VMA.
//!
//! Called by `mm` and `mm::fault`, through the record that contains it, with the mm lock and its write sequence. The lock is one word.
//!
//! # The word
//!
//! | bits | field | meaning |
//! |---|---|---|
//! | 0 to 19 | readers | the number of read holds (3.3) |
//! | 20 | draining | a writer waits for the readers to leave, and no new ones are admitted (3.4) |
//! | 21 | detached | the VMA is no longer in the index, and will never be again (3.3, 3.10) |
//! | 22 to 63 | sequence | the low 42 bits of the mm's write sequence in the write hold that last write-locked this VMA |
//!
//! A VMA is *write-locked* if and only if its sequence equals the mm's write sequence (3.2). The end of a write hold changes the mm's
//! sequence, so it unlocks all VMAs at once without touching any of them. Only the low 42 bits are compared, and each hold takes two
//! numbers, so they wrap around after 2^41 holds.
//!
//! # How the fields change
//!
//! | field | by whom | when |
//! |---|---|---|
//! | readers | any thread adds and removes itself | adds: not write-locked, not draining, not detached |
//! | draining | the writer sets it, and clears it when it write-locks or stops waiting | it wants to write-lock, and there are readers |
//! | sequence | the writer, in `start_write` | there are no readers |
//! | detached | the writer sets it; nothing clears it | it has write-locked the VMA in the same hold, or the address space is being dropped |
//!
//! The *writer* is the thread that holds the mm lock for writing; there is one at most. A new record is created write-locked.
//!
//! # How a reader locks
//!
//! `try_read` is given `since`, the mm's sequence from before the VMA was searched for, and then:
//!
//! 1. loads the word (Acquire) and the mm's sequence (Acquire);
//! 2. fails if the VMA is write-locked, then if it is detached, then if it is draining or the count is full;
//! 3. increments the count with a compare-and-swap of the whole word, and starts again if the word has changed;
//! 4. loads the mm's sequence again, and if the VMA is write-locked now, leaves and fails;
//! 5. compares the word's sequence with `since`.
//!
//! # Races between a reader and the writer
//!
//! **The writer write-locks before step 1.** The reader's load of the word reads from the writer's swap, a Release, so its load of the mm's
//! sequence finds this hold begun. If the hold still lasts, the two numbers are equal: busy. If the sequence is already a later one, the
//! hold has ended, and the reader sees everything that the hold did.
//!
//! **The writer write-locks between steps 1 and 3.** The writer's swap changes the word, so the reader's swap fails, and its next round
//! finds the VMA write-locked, or the hold ended and step 5 notices it. There is one exception: if the numbers have wrapped around, the
//! word's old sequence can be that of the writer's hold, and then the writer's swap leaves the word as it was and the reader's swap
//! succeeds. But the reader's swap then reads from the writer's, so step 4 finds the hold begun. Either it still lasts: the reader leaves
//! again and fails. Or it has ended: the reader holds the lock, and step 5 notices the hold. This is why `start_write` swaps the word even
//! if the VMA seems to be write-locked already.
//!
//! **The writer write-locks after step 3.** It finds the reader counted, and waits for it or fails.
//!
//! **The last reader leaves while the writer starts to wait.** Both change the word: the reader decrements the count, the writer sets
//! "draining". If the decrement comes first, the writer's swap finds no readers, and write-locks. If "draining" comes first, the reader's
//! decrement returns it, and the reader notifies the writer. A notification is not lost ([`RawMmLock::wait_until`]).
//!
//! **The writer unlinks and detaches the VMA while a reader has it in hand.** "Write-locked" is checked before "detached" (3.5a). So a
//! reader finds it detached only after the hold that unlinked it has ended, and then its next search, which sees that hold, does not find
//! this VMA again.
//!
//! # Whether the bounds are still valid
//!
//! The bounds of a VMA change only in a hold that has write-locked it before. The word that a reader swaps contains the sequence of the
//! last such hold. If that is below `since`, the hold had ended when `since` was loaded. So the search saw everything that the hold did,
//! nothing has changed since, and the bounds that were found are valid: [`Attempt::Locked`]. Otherwise they may be older than the hold, and
//! the caller must search again: [`Attempt::LockedSearchAgain`]. What writers do to other VMAs makes no difference.
//!
//! # Wrap-around
//!
//! The sequence in the word may have been stored any number of holds ago. If that was a multiple of 2^41 holds, the VMA looks write-locked:
//! it is busy without need, and never free without right (3.12). If it was between 2^40 and 2^41 holds, it looks newer than `since`, so the
//! caller searches again without need. The comparison with `since` takes for granted that fewer than 2^40 write holds pass between the
//! search and step 3 of one reader.

use crate::error::WaitError;
use crate::lock::{Lock, Patience, RawMmLock};
use crate::sync::{AtomicU64, Ordering, seeded};

const READERS: u64 = (1 << 20) - 1;
const DRAINING: u64 = 1 << 20;
const DETACHED: u64 = 1 << 21;
const SEQUENCE_SHIFT: u32 = 22;
const SEQUENCE: u64 = !((1 << SEQUENCE_SHIFT) - 1);

/// The result of an attempt to read-lock a VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Attempt {
    /// The VMA is read-locked, and has not been write-locked since `since`: the bounds that were found are valid.
    Locked,
    /// The VMA is read-locked, but was write-locked after `since` or still at that time: its bounds must be searched for again.
    LockedSearchAgain,
    /// A writer has write-locked the VMA, or waits to.
    Busy,
    /// The VMA has as many readers as the lock can count.
    TooManyReaders,
    /// The VMA is no longer in the index.
    Detached,
}

/// The lock of one VMA.
#[derive(Debug)]
pub(crate) struct VmaLock(AtomicU64);

/// Returns the word of a VMA that is write-locked in the hold of this number, attached, and has no readers.
fn write_locked(sequence: u64) -> u64 {
    sequence << SEQUENCE_SHIFT
}

/// Returns whether the word's sequence is this number.
fn is_write_locked(word: u64, sequence: u64) -> bool {
    word & SEQUENCE == write_locked(sequence)
}

impl VmaLock {
    /// Makes the lock of a new VMA: attached, and write-locked in the hold of this number (3.10).
    pub(crate) fn new(sequence: u64) -> Self {
        Self(AtomicU64::new(write_locked(sequence)))
    }

    /// Read-locks without waiting. `since` is the mm's write sequence from before the VMA was searched for.
    #[inline]
    pub(crate) fn try_read<L: RawMmLock>(&self, since: u64, mm: &Lock<L>) -> Attempt {
        self.try_read_at(since, || mm.sequence(), mm)
    }

    /// Read-locks as [`try_read`](Self::try_read) does. `sequence` loads the mm's write sequence, with Acquire; unit tests give another.
    #[inline]
    fn try_read_at<L: RawMmLock>(&self, since: u64, sequence: impl Fn() -> u64, mm: &Lock<L>) -> Attempt {
        loop {
            // Acquire: a write lock that is seen is seen with the beginning of its hold; pairs with `swap`.
            let word = self.0.load(Ordering::Acquire);
            if is_write_locked(word, sequence()) {
                return Attempt::Busy;
            }
            if word & DETACHED != 0 {
                return Attempt::Detached;
            }
            if word & DRAINING != 0 {
                return Attempt::Busy;
            }
            if word & READERS == READERS {
                return Attempt::TooManyReaders;
            }
            // Acquire: nothing that is done under the lock comes before it. And if the word's sequence has wrapped around, the second load
            // of the mm's sequence finds the hold begun; pairs with `swap`.
            if self.0.compare_exchange(word, word + 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                if is_write_locked(word, sequence()) {
                    self.unlock_read(mm);
                    return Attempt::Busy;
                }
                // The signed difference, in the upper bits, is right even if one of the two has wrapped around.
                let ended = write_locked(since).wrapping_sub(word & SEQUENCE).cast_signed() > 0;
                return if ended { Attempt::Locked } else { Attempt::LockedSearchAgain };
            }
        }
    }

    /// Ends a read hold. Does not touch the record after the decrement, because the writer may drop it then.
    #[inline]
    pub(crate) fn unlock_read<L: RawMmLock>(&self, mm: &Lock<L>) {
        // Release: what was done under the hold happens before the write lock; pairs with `swap`.
        let word = self.0.fetch_sub(1, Ordering::Release);
        debug_assert!(word & READERS > 0, "a read hold of a VMA is released, and there is none");
        if word & DRAINING != 0 && word & READERS == 1 {
            mm.notify();
        }
    }

    /// Swaps the word, with the orderings of a write lock. Called by the writer.
    fn swap(&self, seen: u64, next: u64) -> Result<(), u64> {
        // Acquire: what readers did under their holds is seen; pairs with `unlock_read`. Release: the mm's sequence was changed before;
        // pairs with `try_read`. Relaxed on failure: only the next guess.
        self.0.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed).map(drop)
    }

    /// Write-locks if there are no readers. Otherwise sets the bits `else_set`. Returns whether it write-locked.
    fn start_write_or_set(&self, sequence: u64, else_set: u64) -> bool {
        // Relaxed: only a guess for the swap that follows.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let free = seen & READERS == 0 || seeded("start_write_misses_a_reader");
            let next = if free { write_locked(sequence) | seen & (DETACHED | READERS) } else { seen | else_set };
            match self.swap(seen, next) {
                Ok(()) => return free,
                Err(now) => seen = now,
            }
        }
    }

    /// Write-locks for the rest of the mm lock's present write hold, whose number is `sequence` (3.4). Waits until the readers have left;
    /// new ones are not admitted meanwhile. Called by the writer.
    ///
    /// # Panics
    /// In debug builds with std, if it would wait for a read hold of the calling thread (3.11). The VMA is not write-locked then.
    ///
    /// # Errors
    /// [`WaitError`]: the VMA is not write-locked, and readers are admitted again.
    #[inline]
    pub(crate) fn start_write<L: RawMmLock>(
        &self,
        sequence: u64,
        mm: &Lock<L>,
        patience: Patience<'_, L::Interrupt>,
    ) -> Result<(), WaitError> {
        // Swaps even if it seems to be write-locked already, so that a reader that locks after this sees the hold begun.
        if self.start_write_or_set(sequence, 0) {
            return Ok(());
        }
        match patience {
            Patience::Never => Err(WaitError::WouldBlock),
            Patience::Forever => self.start_write_slow(sequence, mm, None),
            Patience::Interruptible(interrupt) => self.start_write_slow(sequence, mm, Some(interrupt)),
        }
    }

    /// Write-locks after a wait for the readers. With `None` the wait cannot be interrupted.
    #[cold]
    fn start_write_slow<L: RawMmLock>(&self, sequence: u64, mm: &Lock<L>, interrupt: Option<&L::Interrupt>) -> Result<(), WaitError> {
        mm.refuse_inner(self, interrupt);
        let drained = mm.wait_until(|| self.start_write_or_set(sequence, DRAINING), interrupt);
        if drained.is_err() {
            // Relaxed: admits readers again, and publishes nothing.
            self.0.fetch_and(!DRAINING, Ordering::Relaxed);
        }
        Ok(drained?)
    }

    /// Detaches the VMA for good. Called by the writer that has write-locked it, or when the address space is dropped; so it has no
    /// readers, and never will have again.
    pub(crate) fn detach(&self) {
        // Release: pairs with the loads of `is_detached`. A reader that finds it detached sees the index without the VMA by the mm's
        // sequence.
        self.0.fetch_or(DETACHED, Ordering::Release);
    }

    /// Returns whether the VMA was detached.
    pub(crate) fn is_detached(&self) -> bool {
        // Acquire: pairs with `detach`.
        self.0.load(Ordering::Acquire) & DETACHED != 0
    }
}

// loom's and shuttle's atomics exist only inside a model.
#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod tests {
    use super::*;
    use crate::lock::{Interrupt, MmLock};

    /// 3.12: if the sequence has wrapped around, a VMA may be busy without need. One that is write-locked now is always busy.
    #[test]
    fn a_wrapped_sequence_is_busy_without_need_and_never_free_without_right() {
        let mm = Lock::new(MmLock::new());
        let wrap = 1 << (64 - SEQUENCE_SHIFT);
        for begun in [1, wrap - 1, wrap + 1, u64::MAX - 2, u64::MAX] {
            let lock = VmaLock::new(begun);
            let after = |holds: u64| begun.wrapping_add(holds);
            assert_eq!(lock.try_read_at(after(0), || begun, &mm), Attempt::Busy, "write-locked in this hold");
            for (since, now, expected) in [
                (after(1), after(1), Attempt::Locked), // the hold has ended
                (after(1), after(2), Attempt::Locked), // another hold, which did not write-lock it
                (after(2), after(2), Attempt::Locked),
                (after(0), after(1), Attempt::LockedSearchAgain), // it ended after the search began
                (begun.wrapping_sub(1), after(1), Attempt::LockedSearchAgain), // it began and ended after that
                (begun.wrapping_sub(1), after(2), Attempt::LockedSearchAgain),
            ] {
                assert_eq!(lock.try_read_at(since, || now, &mm), expected, "write-locked {begun}, searched for since {since}, now {now}");
                lock.unlock_read(&mm);
            }
            assert_eq!(lock.try_read_at(begun, || begun.wrapping_add(wrap), &mm), Attempt::Busy, "without need, and harmless");
            lock.start_write(begun.wrapping_add(2), &mm, Patience::Never).expect("no readers");
            assert_eq!(lock.try_read_at(begun, || begun.wrapping_add(2), &mm), Attempt::Busy);
        }
    }

    /// 3.12: the sequence has wrapped around to the number of a hold that begins while a reader is about to lock. The writer finds no
    /// readers, and the reader finds the word as it was. So the reader must load the mm's sequence again.
    #[test]
    fn a_reader_of_a_wrapped_sequence_leaves_again() {
        let mm = Lock::new(MmLock::new());
        let wrap = 1 << (64 - SEQUENCE_SHIFT);
        let lock = VmaLock::new(3);
        let now = core::cell::Cell::new(wrap + 2);
        let sequence = || {
            let seen = now.replace(wrap + 3);
            if seen == wrap + 2 {
                lock.start_write(wrap + 3, &mm, Patience::Never).expect("no readers yet");
            }
            seen
        };
        assert_eq!(lock.try_read_at(0, sequence, &mm), Attempt::Busy);
        assert_eq!(lock.0.load(Ordering::Relaxed) & READERS, 0);
    }

    /// 3.3, 3.4, 3.5: readers are counted, and a write lock waits for them or fails. Write-locked is checked before detached.
    #[test]
    fn a_write_lock_needs_all_readers_gone() {
        let mm = Lock::new(MmLock::new());
        let lock = VmaLock::new(1);
        for _ in 0..2 {
            assert_eq!(lock.try_read_at(2, || 2, &mm), Attempt::Locked);
        }
        for _ in 0..2 {
            assert_eq!(lock.start_write(3, &mm, Patience::Never), Err(WaitError::WouldBlock));
            lock.unlock_read(&mm);
        }
        lock.start_write(3, &mm, Patience::Never).expect("all have left");
        lock.start_write(3, &mm, Patience::Forever).expect("write-locked already: nothing to do");
        lock.detach();
        assert_eq!(lock.try_read_at(3, || 3, &mm), Attempt::Busy, "while the hold that detached it lasts");
        assert_eq!(lock.try_read_at(4, || 4, &mm), Attempt::Detached);
        assert!(lock.is_detached());
    }

    /// An interrupted write lock leaves no trace: readers are admitted as before.
    #[test]
    fn an_interrupted_write_lock_admits_readers_again() {
        let (mm, interrupt) = (Lock::new(MmLock::new()), Interrupt::new());
        let lock = VmaLock::new(1);
        assert_eq!(lock.try_read_at(2, || 2, &mm), Attempt::Locked);
        interrupt.raise();
        assert_eq!(lock.start_write(3, &mm, Patience::Interruptible(&interrupt)), Err(WaitError::Interrupted));
        assert_eq!(lock.try_read_at(3, || 3, &mm), Attempt::Locked, "not write-locked, not draining");
    }

    /// A VMA takes no more readers than can be counted.
    #[test]
    fn readers_that_cannot_be_counted_are_refused() {
        let mm = Lock::new(MmLock::new());
        let lock = VmaLock(AtomicU64::new(READERS - 1));
        assert_eq!(lock.try_read_at(2, || 2, &mm), Attempt::Locked);
        assert_eq!(lock.try_read_at(2, || 2, &mm), Attempt::TooManyReaders);
        assert_eq!(lock.0.load(Ordering::Relaxed), READERS);
    }
}
