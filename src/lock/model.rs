//! The protocol of the mm lock, explored exhaustively by stateright: the real transitions of `state`, the steps of `mm_lock`, four threads.
//!
//! A step is what no other thread can see the middle of: one swap of the word, or what is done to the lists under the mutex. Threads ask
//! for the lock, are interrupted, upgrade and downgrade whenever they may. Checked in every state that can be reached: a writer is alone;
//! S1 to S3; the counts are the lists' lengths whenever the mutex is free; who is idle has left nothing behind.
//!
//! That everyone who waits is served is a property of states, too, without the checker's `eventually`, which does not look along cycles:
//! unless all are idle, someone can go on *without* anyone asking, upgrading or being interrupted; and each such step lowers
//! [`World::rank`]. So there are finitely many until all are idle, and who is listed becomes idle only by being let in, or by his own
//! wish. How often a waiter is overtaken at most is counted. With each fault put in on purpose, a named property fails.

use super::state::{Mode, State, Wake};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

/// How a hold ends or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Departure {
    Leave(Mode),
    Downgrade,
}

/// Where a thread stands. A rank is its place in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum At {
    Idle,
    WantsMutex(Mode),
    HasMutex(Mode),
    Counted(Mode),
    Listed(Mode, u8),
    GivingUp(Mode, u8),
    Unlisted(Mode),
    Granted(Mode),
    Holds(Mode),
    LeavesByMutex(Departure),
    LeavesUnderMutex(Departure),
    Wakes(Wake, Option<Mode>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Counted without a second look under the mutex.
    LostWakeUp,
    /// Gives up without being taken out of the count.
    MarkStays,
    /// Gives up and wakes nobody.
    GiveUpWakesNobody,
    UpgradeIgnoresReaders,
    DowngradeOpensWindow,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    word: State,
    /// The first is the one whose overtakers are counted; the others are alike, and sorted.
    threads: Vec<At>,
    overtaken: u8,
}

/// Whether a step brings its thread on without anyone's asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Onward,
    Chosen,
}

impl World {
    fn mutex_is_free(&self) -> bool {
        !self
            .threads
            .iter()
            .any(|at| matches!(at, At::HasMutex(_) | At::Counted(_) | At::Unlisted(_) | At::LeavesUnderMutex(_) | At::Wakes(..)))
    }

    fn count(&self, which: impl Fn(At) -> bool) -> u64 {
        self.threads.iter().filter(|at| which(**at)).count() as u64
    }

    fn listed(&self, mode: Mode) -> u64 {
        self.count(|at| matches!(at, At::Listed(m, _) | At::GivingUp(m, _) if m == mode))
    }

    fn holders(&self, mode: Mode) -> u64 {
        self.count(|at| match at {
            At::Holds(m) | At::Granted(m) => m == mode,
            At::LeavesByMutex(by) | At::LeavesUnderMutex(by) => mode == if let Departure::Leave(m) = by { m } else { Mode::Write },
            At::Wakes(_, now) => now == Some(mode),
            _ => false,
        })
    }

    /// Takes out of a list the one of this rank, who becomes something else.
    fn unlist(&mut self, mode: Mode, rank: u8, becomes: At) {
        for at in &mut self.threads {
            match at {
                At::Listed(m, r) | At::GivingUp(m, r) if *m == mode && *r == rank => *at = becomes,
                At::Listed(m, r) | At::GivingUp(m, r) if *m == mode && *r > rank => *r -= 1,
                _ => {}
            }
        }
    }

    fn writers_are_alone(&self) -> bool {
        let writers = self.holders(Mode::Write);
        writers == 0 || (writers == 1 && self.holders(Mode::Read) == 0)
    }

    fn counts_are_the_lists(&self) -> bool {
        let counted = (self.word.waiting_readers(), self.word.waiting_writers());
        !self.mutex_is_free() || counted == (self.listed(Mode::Read), self.listed(Mode::Write))
    }

    fn word_says_who_is_inside(&self) -> bool {
        let said = (self.word.readers(), u64::from(self.word.is_write_held()));
        !self.mutex_is_free() || said == (self.holders(Mode::Read), self.holders(Mode::Write))
    }

    /// What is not sound is a mistake already, and its transitions mean nothing.
    fn is_sound(&self) -> bool {
        self.word.is_sound() && self.writers_are_alone() && self.counts_are_the_lists() && self.word_says_who_is_inside()
    }

    fn all_are_idle(&self) -> bool {
        self.threads.iter().all(|at| *at == At::Idle)
    }

    /// How many steps at most are before all are idle, if nobody asks for anything more.
    fn rank(&self) -> u32 {
        let steps = |at: At| match at {
            At::Idle => 0,
            At::Wakes(_, None) => 1,
            At::LeavesUnderMutex(Departure::Leave(_)) | At::Unlisted(_) => 2,
            At::LeavesByMutex(Departure::Leave(_)) => 3,
            At::Holds(_) => 4,
            At::Wakes(_, Some(_)) | At::Granted(_) => 5,
            At::LeavesUnderMutex(Departure::Downgrade) => 6,
            At::LeavesByMutex(Departure::Downgrade) => 7,
            At::GivingUp(..) => 8,
            At::Listed(..) => 9,
            At::Counted(_) => 10,
            At::HasMutex(_) => 11,
            At::WantsMutex(_) => 12,
        };
        self.threads.iter().map(|at| steps(*at)).sum()
    }

    fn waits(at: At) -> bool {
        matches!(at, At::Counted(_) | At::Listed(..) | At::GivingUp(..))
    }

    /// Whether the first thread waits, and was not let in: the word may say so already, and the waker be about to tell it.
    fn first_waits(&self) -> bool {
        let let_in = self.threads.iter().any(|at| match (*at, self.threads[0]) {
            (At::Wakes(Wake::Readers, _), At::Listed(mode, _) | At::GivingUp(mode, _)) => mode == Mode::Read,
            (At::Wakes(Wake::Writer, _), At::Listed(mode, rank) | At::GivingUp(mode, rank)) => mode == Mode::Write && rank == 0,
            _ => false,
        });
        Self::waits(self.threads[0]) && !let_in
    }

    /// All that may come next.
    fn steps(&self, fault: Fault) -> Vec<(Step, Self)> {
        let mut all = Vec::new();
        if !self.is_sound() {
            return all;
        }
        for (i, &at) in self.threads.iter().enumerate() {
            let free = self.mutex_is_free();
            let mut go = |step, word, becomes, more: &dyn Fn(&mut Self)| {
                let mut next = Self { word, ..self.clone() };
                next.threads[i] = becomes;
                more(&mut next);
                next.settle(self);
                all.push((step, next));
            };
            let word = self.word;
            let depart = |by| match by {
                Departure::Leave(mode) => (word.left(mode), None),
                Departure::Downgrade => (word.downgraded(), Some(Mode::Read)),
            };
            let at_hold = |held: Option<Mode>| held.map_or(At::Idle, At::Holds);
            match at {
                At::Idle => {
                    for mode in [Mode::Read, Mode::Write] {
                        match word.entered(mode) {
                            Some(entered) => go(Step::Chosen, entered, At::Holds(mode), &|_| {}),
                            None => go(Step::Chosen, word, At::WantsMutex(mode), &|_| {}),
                        }
                    }
                }
                At::WantsMutex(mode) if free => go(Step::Onward, word, At::HasMutex(mode), &|_| {}),
                At::HasMutex(mode) => {
                    if let Some(entered) = word.entered(mode).filter(|_| fault != Fault::LostWakeUp) {
                        go(Step::Onward, entered, At::Holds(mode), &|_| {});
                    } else if let Some(queued) = word.queued(mode) {
                        go(Step::Onward, queued, At::Counted(mode), &|_| {});
                    }
                }
                At::Counted(mode) => {
                    let rank = u8::try_from(self.listed(mode)).expect("few threads");
                    go(Step::Onward, word, At::Listed(mode, rank), &|_| {});
                }
                At::Listed(mode, rank) => go(Step::Chosen, word, At::GivingUp(mode, rank), &|_| {}),
                At::GivingUp(mode, rank) if free => {
                    let mut next = self.clone();
                    next.unlist(mode, rank, At::Unlisted(mode));
                    next.settle(self);
                    all.push((Step::Onward, next));
                }
                At::Unlisted(mode) => match (fault, word.gave_up(mode)) {
                    (Fault::MarkStays, _) => go(Step::Onward, word, At::Idle, &|_| {}),
                    (Fault::GiveUpWakesNobody, (next, _)) => go(Step::Onward, next, At::Idle, &|_| {}),
                    (_, (next, wake)) => go(Step::Onward, next, At::Wakes(wake, None), &|_| {}),
                },
                At::Granted(mode) => go(Step::Onward, word, At::Holds(mode), &|_| {}),
                At::Holds(mode) => {
                    let mut departures = vec![(Step::Onward, Departure::Leave(mode))];
                    if mode == Mode::Write {
                        departures.push((Step::Chosen, Departure::Downgrade));
                    }
                    for (step, by) in departures {
                        match depart(by) {
                            ((next, Wake::Nobody), then) => go(step, next, at_hold(then), &|_| {}),
                            _ => go(step, word, At::LeavesByMutex(by), &|_| {}),
                        }
                    }
                    let ignores = fault == Fault::UpgradeIgnoresReaders && word.waiting_writers() == 0;
                    if mode == Mode::Read && (word == State::ONE_READER || ignores) {
                        go(Step::Chosen, State::WRITER, At::Holds(Mode::Write), &|_| {});
                    }
                }
                At::LeavesByMutex(by) if free => go(Step::Onward, word, At::LeavesUnderMutex(by), &|_| {}),
                At::LeavesUnderMutex(Departure::Downgrade) if fault == Fault::DowngradeOpensWindow => {
                    let (next, wake) = word.left(Mode::Write);
                    go(Step::Onward, next, At::Wakes(wake, Some(Mode::Read)), &|_| {});
                }
                At::LeavesUnderMutex(by) => {
                    let ((next, wake), then) = depart(by);
                    go(Step::Onward, next, At::Wakes(wake, then), &|_| {});
                }
                At::Wakes(wake, then) => go(Step::Onward, word, at_hold(then), &|next| match wake {
                    Wake::Nobody => {}
                    Wake::Readers => (0..next.listed(Mode::Read)).for_each(|_| next.unlist(Mode::Read, 0, At::Granted(Mode::Read))),
                    Wake::Writer => next.unlist(Mode::Write, 0, At::Granted(Mode::Write)),
                }),
                At::WantsMutex(_) | At::GivingUp(..) | At::LeavesByMutex(_) => {}
            }
        }
        all
    }

    /// What may come next without anyone's asking.
    fn onward(&self, fault: Fault) -> Vec<Self> {
        self.steps(fault).into_iter().filter_map(|(step, next)| (step == Step::Onward).then_some(next)).collect()
    }

    /// Counts who came in before the first thread, which waits; and sorts the others.
    fn settle(&mut self, before: &Self) {
        let inside = |at: At| matches!(at, At::Granted(_) | At::Holds(_));
        let waits = self.first_waits() && before.first_waits();
        let came = self
            .threads
            .iter()
            .zip(&before.threads)
            .skip(1)
            .filter(|(now, then)| inside(**now) && (Self::waits(**then) || matches!(then, At::Idle | At::HasMutex(_))));
        self.overtaken = if waits { self.overtaken.saturating_add(u8::try_from(came.count()).expect("few threads")) } else { 0 };
        self.threads[1..].sort_unstable();
    }
}

/// Some threads, and how often at most a waiter is to be overtaken.
struct Protocol {
    threads: usize,
    overtaken: u8,
    fault: Fault,
}

const ALONE: &str = "a writer is alone";
const SOUND: &str = "S1 to S3 hold";
const COUNTED: &str = "the counts are the lists'";
const SAID: &str = "the word says who is inside";
const NOTHING_LEFT: &str = "who is idle has left nothing behind";
const GOES_ON: &str = "someone goes on, nearer to idle, unless all are";
const OVERTAKEN: &str = "nobody is overtaken more often";

impl Model for Protocol {
    type State = World;
    type Action = (Step, World);

    fn init_states(&self) -> Vec<World> {
        vec![World { word: State::FREE, threads: vec![At::Idle; self.threads], overtaken: 0 }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Self::Action>) {
        actions.extend(world.steps(self.fault));
    }

    fn next_state(&self, _: &World, (_, next): Self::Action) -> Option<World> {
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ALONE, |_, world: &World| world.writers_are_alone()),
            Property::always(SOUND, |_, world: &World| world.word.is_sound()),
            Property::always(COUNTED, |_, world: &World| world.counts_are_the_lists()),
            Property::always(SAID, |_, world: &World| world.word_says_who_is_inside()),
            Property::always(NOTHING_LEFT, |_, world: &World| !world.all_are_idle() || world.word == State::FREE),
            Property::always(GOES_ON, |model: &Self, world: &World| {
                let onward = world.onward(model.fault);
                let nearer = !onward.is_empty() && onward.iter().all(|next| next.rank() < world.rank());
                nearer || world.all_are_idle() || !world.is_sound()
            }),
            Property::always(OVERTAKEN, |model: &Self, world: &World| world.overtaken <= model.overtaken),
            // What shows that all of it is explored.
            Property::sometimes("someone is overtaken as often", |model: &Self, world: &World| world.overtaken == model.overtaken),
            Property::sometimes("an upgrade succeeds", |_, world: &World| {
                world.word == State::ONE_READER && world.threads.contains(&At::Holds(Mode::Read))
            }),
            Property::sometimes("one who gives up is about to be let in", |_, world: &World| {
                let first = |at: &At| matches!(at, At::GivingUp(Mode::Write, 0));
                world.threads.iter().any(|at| matches!(at, At::Wakes(Wake::Writer, _))) && world.threads.iter().any(first)
            }),
        ]
    }
}

/// Explores until something is wrong, or everything; how many states there are, and what does not hold.
fn explore(threads: usize, overtaken: u8, fault: Fault) -> (usize, Vec<&'static str>) {
    let found = Protocol { threads, overtaken, fault }.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let named = |expected| found.model().properties().into_iter().filter(move |p| p.expectation == expected).map(|p| p.name);
    let mut wrong = Vec::new();
    for (name, path) in named(Expectation::Always).filter_map(|name| Some((name, found.discovery(name)?))) {
        println!("{fault:?}, not so: {name}: {:?}", path.last_state());
        wrong.push(name);
    }
    if wrong.is_empty() {
        named(Expectation::Sometimes).for_each(|name| _ = found.assert_any_discovery(name));
    }
    (found.unique_state_count(), wrong)
}

/// Everything, with how often a waiter is overtaken at most.
#[test]
fn every_order_of_four_threads() {
    for (threads, overtaken) in [(2, 0), (3, 2), (4, 5)] {
        let (states, wrong) = explore(threads, overtaken, Fault::None);
        println!("{threads} threads: {states} states");
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn each_fault_is_found() {
    for (fault, expected) in [
        (Fault::LostWakeUp, GOES_ON),
        (Fault::MarkStays, COUNTED),
        (Fault::GiveUpWakesNobody, COUNTED),
        (Fault::UpgradeIgnoresReaders, ALONE),
        (Fault::DowngradeOpensWindow, SAID),
    ] {
        let (_, wrong) = explore(3, 2, fault);
        assert!(wrong.contains(&expected), "{fault:?}: {wrong:?}");
    }
}
