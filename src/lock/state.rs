//! The state word of the mm lock and its transitions: pure functions from state to state, no atomics.
//!
//! `mm_lock` applies each by one compare-and-swap and does what the transition says about waking. Who waits is *counted* here and
//! *listed* in `queue`; both change under the queue's mutex alone, so whoever holds the mutex finds them equal.
//!
//! Invariants, of every state that a thread can see:
//!
//! * **S1** A writer is alone: write-held, there is no reader.
//! * **S2** Nobody waits for a free lock: where someone waits, someone holds. (So the lock is handed over, not thrown open.)
//! * **S3** Readers wait for a writer only: write-held, or a writer waits.
//!
//! The hand-over. Readers do not overtake a waiting writer: a stream of them cannot starve it. A writer that leaves or downgrades
//! admits *all* readers that wait, though other writers wait too: a stream of writers cannot starve a reader, which waits for one write
//! hold at most after the readers' inside are gone. The last reader that leaves hands over to the writer that waits longest.

use core::fmt;

/// Held for what, or waiting for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mode {
    Read,
    Write,
}

/// Whom a transition lets in: they hold the lock already when they wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use = "who is let in must be woken"]
pub(super) enum Wake {
    Nobody,
    /// Every reader that waits.
    Readers,
    /// The writer that waits longest.
    Writer,
}

/// The word: `readers | waiting readers | waiting writers | write-held`, from the lowest bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State(u64);

/// Bits of a count.
const WIDTH: u32 = 21;
/// The most that a count can say.
const MAX: u64 = (1 << WIDTH) - 1;

const READER: u64 = 1;
const WAITING_READER: u64 = 1 << WIDTH;
const WAITING_WRITER: u64 = 1 << (2 * WIDTH);
const WRITE_HELD: u64 = 1 << (3 * WIDTH);

impl State {
    /// Nobody holds it, nobody waits.
    pub(super) const FREE: Self = Self(0);
    /// One reader holds it, nobody waits: from here, and from here alone, a reader may upgrade.
    pub(super) const ONE_READER: Self = Self(READER);
    /// The writer holds it, nobody waits.
    pub(super) const WRITER: Self = Self(WRITE_HELD);

    #[inline]
    pub(super) const fn of_word(word: u64) -> Self {
        Self(word)
    }

    #[inline]
    pub(super) const fn word(self) -> u64 {
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

    /// Without waiting: a reader enters unless a writer is inside or waits, a writer where nobody is.
    ///
    /// None also where the readers cannot be counted any more (two million of them: guards were forgotten).
    #[inline]
    pub(super) const fn entered(self, mode: Mode) -> Option<Self> {
        match mode {
            Mode::Read if !self.is_write_held() && self.waiting_writers() == 0 && self.readers() < MAX => Some(Self(self.0 + READER)),
            Mode::Write if !self.is_write_held() && self.readers() == 0 => Some(Self(self.0 | WRITE_HELD)),
            _ => None,
        }
    }

    /// One more waits. None where it could not be counted, now or when it is let in; or where it is a reader and no writer is in its way.
    #[inline]
    pub(super) const fn queued(self, mode: Mode) -> Option<Self> {
        match mode {
            // One less than the count can say: a downgrade lets in the writer too.
            Mode::Read if self.readers() + self.waiting_readers() + 1 < MAX && (self.is_write_held() || self.waiting_writers() > 0) => {
                Some(Self(self.0 + WAITING_READER))
            }
            Mode::Write if self.waiting_writers() < MAX => Some(Self(self.0 + WAITING_WRITER)),
            _ => None,
        }
    }

    /// A hold ends.
    #[inline]
    pub(super) fn left(self, mode: Mode) -> (Self, Wake) {
        match mode {
            Mode::Read => {
                debug_assert!(self.readers() > 0, "a reader leaves, and none was inside: {self:?}");
                let left = Self(self.0 - READER);
                if left.readers() == 0 && left.waiting_writers() > 0 { left.hand_to_writer() } else { (left, Wake::Nobody) }
            }
            Mode::Write => {
                debug_assert!(self.is_write_held(), "the writer leaves, and was not inside: {self:?}");
                let left = Self(self.0 - WRITE_HELD);
                if left.waiting_readers() > 0 {
                    left.admit_readers()
                } else if left.waiting_writers() > 0 {
                    left.hand_to_writer()
                } else {
                    (left, Wake::Nobody)
                }
            }
        }
    }

    /// The writer becomes a reader, beside all readers that wait; a writer that waits goes on waiting.
    #[inline]
    pub(super) fn downgraded(self) -> (Self, Wake) {
        debug_assert!(self.is_write_held(), "a downgrade without the write hold: {self:?}");
        Self(self.0 - WRITE_HELD + READER).admit_readers()
    }

    /// A waiter gives up. The last writer that gives up lets in the readers that waited behind it.
    #[inline]
    pub(super) fn gave_up(self, mode: Mode) -> (Self, Wake) {
        match mode {
            Mode::Read => (Self(self.0 - WAITING_READER), Wake::Nobody),
            Mode::Write => {
                let left = Self(self.0 - WAITING_WRITER);
                if left.waiting_writers() == 0 && !left.is_write_held() { left.admit_readers() } else { (left, Wake::Nobody) }
            }
        }
    }

    /// All readers that wait are inside. They are no more than can be counted: `queued` saw to it, and since then no reader entered (S3).
    #[inline]
    fn admit_readers(self) -> (Self, Wake) {
        let n = self.waiting_readers();
        if n == 0 {
            return (self, Wake::Nobody);
        }
        debug_assert!(self.readers() + n <= MAX, "more readers than can be counted: {self:?}");
        (Self(self.0 - n * WAITING_READER + n * READER), Wake::Readers)
    }

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
    pub(super) fn of_counts(write_held: u64, readers: u64, waiting_readers: u64, waiting_writers: u64) -> Self {
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

    /// Every sound state with up to three of each, and with counts that are full or nearly so.
    fn sound() -> impl Iterator<Item = State> {
        let counts = [0, 1, 2, 3, MAX - 2, MAX - 1, MAX];
        let all = move |held| {
            counts.into_iter().flat_map(move |readers| {
                counts.into_iter().flat_map(move |wr| counts.into_iter().map(move |ww| State::of_counts(held, readers, wr, ww)))
            })
        };
        // What `queued` refuses cannot be reached.
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
        let full = State::of_counts(1, MAX, MAX, MAX);
        assert_eq!(full.word(), u64::MAX);
        assert_eq!(counts(full), (true, MAX, MAX, MAX));
        assert_eq!((counts(State::FREE), counts(State::ONE_READER)), ((false, 0, 0, 0), (false, 1, 0, 0)));
        assert_eq!(counts(State::WRITER), (true, 0, 0, 0));
        assert_eq!(State::of_word(State::WRITER.word()), State::WRITER);
    }

    #[test]
    fn every_transition_keeps_what_must_hold() {
        assert!(sound().count() > 100);
        for state in sound() {
            for next in [Mode::Read, Mode::Write].into_iter().flat_map(|mode| [state.entered(mode), state.queued(mode)]).flatten() {
                // A writer is counted as waiting only after it looked whether it can enter.
                assert!(next.is_sound() || state == State::FREE, "{state:?} -> {next:?}");
            }
            let departures = [
                (state.readers() > 0).then(|| state.left(Mode::Read)),
                state.is_write_held().then(|| state.left(Mode::Write)),
                state.is_write_held().then(|| state.downgraded()),
                (state.waiting_readers() > 0).then(|| state.gave_up(Mode::Read)),
                (state.waiting_writers() > 0).then(|| state.gave_up(Mode::Write)),
            ];
            for (next, wake) in departures.into_iter().flatten() {
                assert!(next.is_sound(), "{state:?} -> {next:?}");
                let (readers, writers) =
                    (state.waiting_readers() - next.waiting_readers(), state.waiting_writers() - next.waiting_writers());
                match wake {
                    Wake::Readers => {
                        assert!(next.waiting_readers() == 0 && next.readers() >= readers && readers > 0, "{state:?} -> {next:?}");
                    }
                    Wake::Writer => assert!(writers == 1 && next.is_write_held() && readers == 0, "{state:?} -> {next:?}"),
                    Wake::Nobody => assert!(readers + writers <= 1, "only who gave up itself: {state:?} -> {next:?}"),
                }
            }
        }
    }

    #[test]
    fn a_reader_does_not_overtake_a_waiting_writer() {
        let state = State::of_counts(0, 2, 0, 1);
        assert_eq!(state.entered(Mode::Read), None);
        assert_eq!(state.queued(Mode::Read), Some(State::of_counts(0, 2, 1, 1)));
        assert_eq!(state.entered(Mode::Write), None);
    }

    #[test]
    fn the_last_reader_hands_over_to_a_writer() {
        assert_eq!(State::of_counts(0, 2, 3, 2).left(Mode::Read), (State::of_counts(0, 1, 3, 2), Wake::Nobody));
        assert_eq!(State::of_counts(0, 1, 3, 2).left(Mode::Read), (State::of_counts(1, 0, 3, 1), Wake::Writer));
        assert_eq!(State::of_counts(0, 1, 0, 0).left(Mode::Read), (State::FREE, Wake::Nobody));
    }

    #[test]
    fn a_writer_that_leaves_or_downgrades_admits_all_readers_first() {
        assert_eq!(State::of_counts(1, 0, 3, 2).left(Mode::Write), (State::of_counts(0, 3, 0, 2), Wake::Readers));
        assert_eq!(State::of_counts(1, 0, 0, 2).left(Mode::Write), (State::of_counts(1, 0, 0, 1), Wake::Writer));
        assert_eq!(State::of_counts(1, 0, 0, 0).left(Mode::Write), (State::FREE, Wake::Nobody));
        assert_eq!(State::of_counts(1, 0, 3, 2).downgraded(), (State::of_counts(0, 4, 0, 2), Wake::Readers));
        assert_eq!(State::of_counts(1, 0, 0, 2).downgraded(), (State::of_counts(0, 1, 0, 2), Wake::Nobody));
    }

    #[test]
    fn the_last_writer_that_gives_up_lets_in_whom_it_held_off() {
        assert_eq!(State::of_counts(0, 1, 2, 2).gave_up(Mode::Write), (State::of_counts(0, 1, 2, 1), Wake::Nobody));
        assert_eq!(State::of_counts(0, 1, 2, 1).gave_up(Mode::Write), (State::of_counts(0, 3, 0, 0), Wake::Readers));
        assert_eq!(State::of_counts(1, 0, 2, 1).gave_up(Mode::Write), (State::of_counts(1, 0, 2, 0), Wake::Nobody));
        assert_eq!(State::of_counts(0, 1, 2, 1).gave_up(Mode::Read), (State::of_counts(0, 1, 1, 1), Wake::Nobody));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        assert_eq!(State::of_counts(0, MAX, 0, 0).entered(Mode::Read), None);
        assert_eq!(State::of_counts(0, MAX, 0, 0).queued(Mode::Read), None);
        assert_eq!(State::of_counts(0, 1, 0, MAX).queued(Mode::Write), None);
        // The writer's downgrade will add itself to them.
        let most = State::of_counts(1, 0, MAX - 2, 0).queued(Mode::Read).expect("one more can be counted");
        assert_eq!(most.queued(Mode::Read), None);
        assert_eq!(most.downgraded().0, State::of_counts(0, MAX, 0, 0));
    }
}
