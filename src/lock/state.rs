//! The state word of the mm lock, and its transitions: pure functions from state to state, without atomics.
//!
//! Called by `mm_lock`, which applies each transition with one compare-and-swap, and by `model`, which explores all of them.
//!
//! # The word
//!
//! | bits | field | meaning |
//! |---|---|---|
//! | 0 to 20 | readers | the number of read holds |
//! | 21 to 41 | waiting readers | the number of readers in the waiter queue |
//! | 42 to 62 | waiting writers | the number of writers in the waiter queue |
//! | 63 | write-held | set while there is a write hold |
//!
//! # Invariants
//!
//! These hold in every state that a thread can load:
//!
//! * **S1** A write hold excludes all others: if write-held is set, there are no readers.
//! * **S2** No thread waits for a free lock: if a thread waits, some thread holds the lock.
//! * **S3** Readers wait only for writers: if a reader waits, write-held is set or a writer waits.
//!
//! # Transitions
//!
//! | transition | if | the word becomes | woken |
//! |---|---|---|---|
//! | `acquired(Read)` | not write-held, no writer waits | readers + 1 | |
//! | `acquired(Write)` | not write-held, no readers | write-held | |
//! | `queued(Read)` | write-held, or a writer waits | waiting readers + 1 | |
//! | `queued(Write)` | there is a hold | waiting writers + 1 | |
//! | `released(Read)` | other readers remain, or no writer waits | readers - 1 | |
//! | `released(Read)` | the last reader, and a writer waits | no readers, write-held, waiting writers - 1 | the first writer |
//! | `released(Write)` | readers wait | not write-held, all waiting readers are readers | all waiting readers |
//! | `released(Write)` | only writers wait | write-held, waiting writers - 1 | the first writer |
//! | `released(Write)` | no thread waits | free | |
//! | `downgraded` | | not write-held, one reader more, all waiting readers are readers | all waiting readers |
//! | `cancelled(Read)` | | waiting readers - 1 | |
//! | `cancelled(Write)` | the last waiting writer, not write-held | waiting writers - 1, all waiting readers are readers | all waiting readers |
//! | `cancelled(Write)` | otherwise | waiting writers - 1 | |
//! | an upgrade | exactly `ONE_READER` | `WRITER` | |
//!
//! A woken thread already holds the lock: the transition that wakes it has counted it as a holder. This is a *handover*.
//!
//! # How the fields change
//!
//! * **An acquisition, an upgrade, and a release or downgrade that wakes no thread** change readers and write-held, with one
//!   compare-and-swap, and need no mutex.
//! * **The waiting counts** change only under the queue's mutex, and the lists of waiters change in the same critical section. So a thread
//!   that holds the mutex finds each count equal to the length of its list.
//! * **A release or downgrade that wakes** changes these fields and the counts, so it runs under the mutex. So does every cancellation.
//!
//! # Fairness
//!
//! A reader does not overtake a waiting writer, so a stream of readers cannot starve a writer. A writer that releases or downgrades admits
//! *all* waiting readers, even if writers wait, so a stream of writers cannot starve a reader: it waits for the present holds and for one
//! write hold after them. The last reader hands the lock to the writer that has waited longest.
//!
//! # Races
//!
//! Each row is a race for the word, or between the word and the queue. In the right column are its outcomes.
//!
//! | one thread | another thread | outcomes |
//! |---|---|---|
//! | is about to be counted as waiting | releases the last hold | The release comes before the waiter loads the word under the mutex: the waiter finds the lock free and acquires it. It comes between the load and the swap: the swap fails and the waiter loads again. It comes after the swap: the release's own swap fails, it sees the waiter counted, and locks the mutex to hand over |
//! | is counted as waiting, but not yet listed | releases the last hold | The release needs the mutex, which the waiter holds until it is listed. So it finds the waiter |
//! | is listed, but does not sleep yet | hands over to it | The handover raises the waiter's `granted` flag. Before the waiter checks the flag: it does not sleep. After: it is asleep, and woken (`sync::lot`) |
//! | is interrupted while it waits | hands over to it | Both need the mutex. Cancellation first: the waiter is gone, and the next one is woken. Handover first: the waiter finds itself granted, and keeps the lock |
//! | is the last waiting writer, and is interrupted | waits to read, behind it | One transition removes the writer and admits the readers, so there is no state in which a reader waits for no one (S3) |
//! | upgrades | acquires a read hold, or queues to write | One word: if the other comes first, the word is not `ONE_READER` and the upgrade fails, with the read hold as it was. If the upgrade comes first, the other finds the lock write-held |
//! | downgrades | tries to acquire the write hold | The word is never free in between, so the other finds it write-held or read-held, and waits |

use core::fmt;

/// What a lock is held for, or waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mode {
    Read,
    Write,
}

/// The waiters to which a transition hands the lock. They already hold it when they wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use = "the new holders must be woken"]
pub(super) enum Wake {
    None,
    /// All waiting readers.
    Readers,
    /// The writer that has waited longest.
    Writer,
}

/// The state word.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State(u64);

/// The number of bits of a count.
const WIDTH: u32 = 21;
/// The largest count.
const MAX: u64 = (1 << WIDTH) - 1;

const READER: u64 = 1;
const WAITING_READER: u64 = 1 << WIDTH;
const WAITING_WRITER: u64 = 1 << (2 * WIDTH);
const WRITE_HELD: u64 = 1 << (3 * WIDTH);

impl State {
    /// Not held, and no thread waits.
    pub(super) const FREE: Self = Self(0);
    /// One read hold, and no thread waits: the only state from which a reader may upgrade.
    pub(super) const ONE_READER: Self = Self(READER);
    /// Write-held, and no thread waits.
    pub(super) const WRITER: Self = Self(WRITE_HELD);

    #[inline]
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) const fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) const fn readers(self) -> u64 {
        self.0 & MAX
    }

    #[inline]
    pub(super) const fn waiting_readers(self) -> u64 {
        (self.0 >> WIDTH) & MAX
    }

    #[inline]
    pub(super) const fn waiting_writers(self) -> u64 {
        (self.0 >> (2 * WIDTH)) & MAX
    }

    #[inline]
    pub(super) const fn is_write_held(self) -> bool {
        self.0 & WRITE_HELD != 0
    }

    /// The state after an acquisition that does not wait. `None` if the lock is not available: to a reader while it is write-held or a
    /// writer waits, to a writer while there is any hold.
    ///
    /// Also `None` to a reader if the readers cannot be counted (there are two million, so guards were forgotten).
    #[inline]
    pub(super) const fn acquired(self, mode: Mode) -> Option<Self> {
        match mode {
            Mode::Read if !self.is_write_held() && self.waiting_writers() == 0 && self.readers() < MAX => Some(Self(self.0 + READER)),
            Mode::Write if !self.is_write_held() && self.readers() == 0 => Some(Self(self.0 | WRITE_HELD)),
            _ => None,
        }
    }

    /// The state with one more waiter. The caller has seen that the lock is not available.
    ///
    /// `None` if the waiter cannot be counted, now or once it holds the lock, or if it is a reader and no writer is in its way.
    #[inline]
    pub(super) const fn queued(self, mode: Mode) -> Option<Self> {
        match mode {
            // One less than the largest count, because a downgrade adds the writer to the readers.
            Mode::Read if self.readers() + self.waiting_readers() + 1 < MAX && (self.is_write_held() || self.waiting_writers() > 0) => {
                Some(Self(self.0 + WAITING_READER))
            }
            Mode::Write if self.waiting_writers() < MAX => Some(Self(self.0 + WAITING_WRITER)),
            _ => None,
        }
    }

    /// The state after a hold is released, and the waiters that hold the lock then.
    #[inline]
    pub(super) fn released(self, mode: Mode) -> (Self, Wake) {
        match mode {
            Mode::Read => {
                debug_assert!(self.readers() > 0, "a read hold is released, and there is none: {self:?}");
                let rest = Self(self.0 - READER);
                if rest.readers() == 0 && rest.waiting_writers() > 0 { rest.hand_to_writer() } else { (rest, Wake::None) }
            }
            Mode::Write => {
                debug_assert!(self.is_write_held(), "the write hold is released, and there is none: {self:?}");
                let rest = Self(self.0 - WRITE_HELD);
                if rest.waiting_readers() > 0 {
                    rest.admit_readers()
                } else if rest.waiting_writers() > 0 {
                    rest.hand_to_writer()
                } else {
                    (rest, Wake::None)
                }
            }
        }
    }

    /// The state after the write hold becomes a read hold. All waiting readers are admitted; a waiting writer continues to wait.
    #[inline]
    pub(super) fn downgraded(self) -> (Self, Wake) {
        debug_assert!(self.is_write_held(), "the write hold is downgraded, and there is none: {self:?}");
        Self(self.0 - WRITE_HELD + READER).admit_readers()
    }

    /// The state after a waiter's wait is cancelled. If it was the last waiting writer, the readers that waited behind it are admitted.
    #[inline]
    pub(super) fn cancelled(self, mode: Mode) -> (Self, Wake) {
        match mode {
            Mode::Read => (Self(self.0 - WAITING_READER), Wake::None),
            Mode::Write => {
                let rest = Self(self.0 - WAITING_WRITER);
                if rest.waiting_writers() == 0 && !rest.is_write_held() { rest.admit_readers() } else { (rest, Wake::None) }
            }
        }
    }

    /// Turns all waiting readers into readers. They can be counted: `queued` made sure of it, and no reader has entered since (S3).
    #[inline]
    fn admit_readers(self) -> (Self, Wake) {
        let n = self.waiting_readers();
        if n == 0 {
            return (self, Wake::None);
        }
        debug_assert!(self.readers() + n <= MAX, "more readers than can be counted: {self:?}");
        (Self(self.0 - n * WAITING_READER + n * READER), Wake::Readers)
    }

    /// Turns one waiting writer into the writer.
    #[inline]
    fn hand_to_writer(self) -> (Self, Wake) {
        (Self(self.0 - WAITING_WRITER + WRITE_HELD), Wake::Writer)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("write_held", &self.is_write_held())
            .field("readers", &self.readers())
            .field("waiting_readers", &self.waiting_readers())
            .field("waiting_writers", &self.waiting_writers())
            .finish()
    }
}

#[cfg(test)]
impl State {
    pub(super) fn from_counts(write_held: u64, readers: u64, waiting_readers: u64, waiting_writers: u64) -> Self {
        Self(write_held * WRITE_HELD + readers * READER + waiting_readers * WAITING_READER + waiting_writers * WAITING_WRITER)
    }

    /// S1, S2 and S3.
    pub(super) fn is_sound(self) -> bool {
        let (held, readers) = (self.is_write_held(), self.readers() > 0);
        let (waiting_readers, waiting_writers) = (self.waiting_readers() > 0, self.waiting_writers() > 0);
        !(held && readers) && (held || readers || !(waiting_readers || waiting_writers)) && (!waiting_readers || held || waiting_writers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sound state with counts of up to three, and of the maximum or nearly.
    fn sound() -> impl Iterator<Item = State> {
        let counts = [0, 1, 2, 3, MAX - 2, MAX - 1, MAX];
        let all = move |held| {
            counts.into_iter().flat_map(move |readers| {
                counts.into_iter().flat_map(move |wr| counts.into_iter().map(move |ww| State::from_counts(held, readers, wr, ww)))
            })
        };
        // Without the states that `queued` makes unreachable.
        [0, 1]
            .into_iter()
            .flat_map(all)
            .filter(|s| s.is_sound() && s.readers() + s.waiting_readers() < MAX + u64::from(s.waiting_readers() == 0))
    }

    fn counts(state: State) -> (bool, u64, u64, u64) {
        (state.is_write_held(), state.readers(), state.waiting_readers(), state.waiting_writers())
    }

    #[test]
    fn fields_do_not_overlap() {
        let full = State::from_counts(1, MAX, MAX, MAX);
        assert_eq!(full.to_bits(), u64::MAX);
        assert_eq!(counts(full), (true, MAX, MAX, MAX));
        assert_eq!((counts(State::FREE), counts(State::ONE_READER)), ((false, 0, 0, 0), (false, 1, 0, 0)));
        assert_eq!(counts(State::WRITER), (true, 0, 0, 0));
        assert_eq!(State::from_bits(State::WRITER.to_bits()), State::WRITER);
    }

    #[test]
    fn every_transition_keeps_the_invariants() {
        assert!(sound().count() > 100);
        for state in sound() {
            for next in [Mode::Read, Mode::Write].into_iter().flat_map(|mode| [state.acquired(mode), state.queued(mode)]).flatten() {
                // `queued` of a writer is never called in the free state.
                assert!(next.is_sound() || state == State::FREE, "{state:?} -> {next:?}");
            }
            let ends = [
                (state.readers() > 0).then(|| state.released(Mode::Read)),
                state.is_write_held().then(|| state.released(Mode::Write)),
                state.is_write_held().then(|| state.downgraded()),
                (state.waiting_readers() > 0).then(|| state.cancelled(Mode::Read)),
                (state.waiting_writers() > 0).then(|| state.cancelled(Mode::Write)),
            ];
            for (next, wake) in ends.into_iter().flatten() {
                assert!(next.is_sound(), "{state:?} -> {next:?}");
                let (readers, writers) =
                    (state.waiting_readers() - next.waiting_readers(), state.waiting_writers() - next.waiting_writers());
                match wake {
                    Wake::Readers => {
                        assert!(next.waiting_readers() == 0 && next.readers() >= readers && readers > 0, "{state:?} -> {next:?}");
                    }
                    Wake::Writer => assert!(writers == 1 && next.is_write_held() && readers == 0, "{state:?} -> {next:?}"),
                    Wake::None => assert!(readers + writers <= 1, "only the waiter that was cancelled: {state:?} -> {next:?}"),
                }
            }
        }
    }

    #[test]
    fn a_reader_does_not_overtake_a_waiting_writer() {
        let state = State::from_counts(0, 2, 0, 1);
        assert_eq!(state.acquired(Mode::Read), None);
        assert_eq!(state.queued(Mode::Read), Some(State::from_counts(0, 2, 1, 1)));
        assert_eq!(state.acquired(Mode::Write), None);
    }

    #[test]
    fn the_last_reader_hands_over_to_a_writer() {
        assert_eq!(State::from_counts(0, 2, 3, 2).released(Mode::Read), (State::from_counts(0, 1, 3, 2), Wake::None));
        assert_eq!(State::from_counts(0, 1, 3, 2).released(Mode::Read), (State::from_counts(1, 0, 3, 1), Wake::Writer));
        assert_eq!(State::from_counts(0, 1, 0, 0).released(Mode::Read), (State::FREE, Wake::None));
    }

    #[test]
    fn a_writer_that_releases_or_downgrades_admits_all_readers_first() {
        assert_eq!(State::from_counts(1, 0, 3, 2).released(Mode::Write), (State::from_counts(0, 3, 0, 2), Wake::Readers));
        assert_eq!(State::from_counts(1, 0, 0, 2).released(Mode::Write), (State::from_counts(1, 0, 0, 1), Wake::Writer));
        assert_eq!(State::from_counts(1, 0, 0, 0).released(Mode::Write), (State::FREE, Wake::None));
        assert_eq!(State::from_counts(1, 0, 3, 2).downgraded(), (State::from_counts(0, 4, 0, 2), Wake::Readers));
        assert_eq!(State::from_counts(1, 0, 0, 2).downgraded(), (State::from_counts(0, 1, 0, 2), Wake::None));
    }

    #[test]
    fn the_last_writer_that_is_cancelled_admits_the_readers_behind_it() {
        assert_eq!(State::from_counts(0, 1, 2, 2).cancelled(Mode::Write), (State::from_counts(0, 1, 2, 1), Wake::None));
        assert_eq!(State::from_counts(0, 1, 2, 1).cancelled(Mode::Write), (State::from_counts(0, 3, 0, 0), Wake::Readers));
        assert_eq!(State::from_counts(1, 0, 2, 1).cancelled(Mode::Write), (State::from_counts(1, 0, 2, 0), Wake::None));
        assert_eq!(State::from_counts(0, 1, 2, 1).cancelled(Mode::Read), (State::from_counts(0, 1, 1, 1), Wake::None));
    }

    #[test]
    fn waiters_that_cannot_be_counted_are_refused() {
        assert_eq!(State::from_counts(0, MAX, 0, 0).acquired(Mode::Read), None);
        assert_eq!(State::from_counts(0, MAX, 0, 0).queued(Mode::Read), None);
        assert_eq!(State::from_counts(0, 1, 0, MAX).queued(Mode::Write), None);
        // A downgrade adds the writer to the readers.
        let most = State::from_counts(1, 0, MAX - 2, 0).queued(Mode::Read).expect("one more can be counted");
        assert_eq!(most.queued(Mode::Read), None);
        assert_eq!(most.downgraded().0, State::from_counts(0, MAX, 0, 0));
    }
}
