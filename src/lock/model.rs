//! The protocol of the mm lock, explored exhaustively by stateright: the real transitions of `state`, the steps of `mm_lock`, up to four
//! threads.
//!
//! Called by nothing; it is a test. A step is what no other thread can see the middle of: one swap of the word, or one change of the lists
//! under the mutex. Threads ask for the lock, are interrupted, upgrade and downgrade whenever they may. Checked in every reachable state: a
//! writer is alone; S1 to S3 hold; the counts equal the lengths of the lists whenever the mutex is free; if all threads are idle, the word
//! is free.
//!
//! That every waiter is served is checked as a property of states, too, because the checker's `eventually` does not look along cycles. Some
//! steps are *chosen* (a new request, an upgrade, a downgrade, an interrupt); the others happen *by themselves*. Unless all threads are
//! idle, there is a step that happens by itself, and each such step lowers [`World::rank`]. So after finitely many of them all threads are
//! idle, and a listed thread becomes idle only by being granted the lock or by its own interrupt. How often a waiter is overtaken is
//! bounded as well. With each seeded fault, the expected property fails.

use super::state::{Mode, State, Wake};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

/// How a hold ends or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum End {
    Release(Mode),
    Downgrade,
}

/// What a thread is doing. The `u8` of a listed thread is its position in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Thread {
    Idle,
    WantsMutex(Mode),
    HasMutex(Mode),
    Counted(Mode),
    Listed(Mode, u8),
    Cancels(Mode, u8),
    Unlisted(Mode),
    Granted(Mode),
    Holds(Mode),
    WantsMutexToEnd(End),
    EndsUnderMutex(End),
    Wakes(Wake, Option<Mode>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Counts itself without loading the word again under the mutex.
    LostWakeUp,
    /// Is cancelled and stays counted.
    StaysCounted,
    /// Is cancelled and wakes no thread.
    CancelWakesNone,
    UpgradeIgnoresReaders,
    DowngradeOpensWindow,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    word: State,
    /// How often the first one is overtaken is counted. The others are interchangeable, so they are sorted.
    threads: Vec<Thread>,
    overtaken: u8,
}

/// Whether a step happens by itself, or is chosen by the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    ByItself,
    Chosen,
}

impl World {
    fn mutex_is_free(&self) -> bool {
        !self.threads.iter().any(|at| {
            matches!(at, Thread::HasMutex(_) | Thread::Counted(_) | Thread::Unlisted(_) | Thread::EndsUnderMutex(_) | Thread::Wakes(..))
        })
    }

    fn count(&self, which: impl Fn(Thread) -> bool) -> u64 {
        self.threads.iter().filter(|at| which(**at)).count() as u64
    }

    fn listed(&self, mode: Mode) -> u64 {
        self.count(|at| matches!(at, Thread::Listed(m, _) | Thread::Cancels(m, _) if m == mode))
    }

    fn holders(&self, mode: Mode) -> u64 {
        self.count(|at| match at {
            Thread::Holds(m) | Thread::Granted(m) => m == mode,
            Thread::WantsMutexToEnd(by) | Thread::EndsUnderMutex(by) => mode == if let End::Release(m) = by { m } else { Mode::Write },
            Thread::Wakes(_, now) => now == Some(mode),
            _ => false,
        })
    }

    /// Removes the thread at this position from its list.
    fn unlist(&mut self, mode: Mode, rank: u8, becomes: Thread) {
        for at in &mut self.threads {
            match at {
                Thread::Listed(m, r) | Thread::Cancels(m, r) if *m == mode && *r == rank => *at = becomes,
                Thread::Listed(m, r) | Thread::Cancels(m, r) if *m == mode && *r > rank => *r -= 1,
                _ => {}
            }
        }
    }

    fn writers_are_alone(&self) -> bool {
        let writers = self.holders(Mode::Write);
        writers == 0 || (writers == 1 && self.holders(Mode::Read) == 0)
    }

    fn counts_equal_the_lists(&self) -> bool {
        let counted = (self.word.waiting_readers(), self.word.waiting_writers());
        !self.mutex_is_free() || counted == (self.listed(Mode::Read), self.listed(Mode::Write))
    }

    fn word_equals_the_holds(&self) -> bool {
        let in_word = (self.word.readers(), u64::from(self.word.is_write_held()));
        !self.mutex_is_free() || in_word == (self.holders(Mode::Read), self.holders(Mode::Write))
    }

    /// Whether the state is sound. An unsound state is a failure already, and is not explored further.
    fn is_sound(&self) -> bool {
        self.word.is_sound() && self.writers_are_alone() && self.counts_equal_the_lists() && self.word_equals_the_holds()
    }

    fn all_are_idle(&self) -> bool {
        self.threads.iter().all(|at| *at == Thread::Idle)
    }

    /// An upper bound on the number of steps until all threads are idle, if none is chosen.
    fn rank(&self) -> u32 {
        let steps = |at: Thread| match at {
            Thread::Idle => 0,
            Thread::Wakes(_, None) => 1,
            Thread::EndsUnderMutex(End::Release(_)) | Thread::Unlisted(_) => 2,
            Thread::WantsMutexToEnd(End::Release(_)) => 3,
            Thread::Holds(_) => 4,
            Thread::Wakes(_, Some(_)) | Thread::Granted(_) => 5,
            Thread::EndsUnderMutex(End::Downgrade) => 6,
            Thread::WantsMutexToEnd(End::Downgrade) => 7,
            Thread::Cancels(..) => 8,
            Thread::Listed(..) => 9,
            Thread::Counted(_) => 10,
            Thread::HasMutex(_) => 11,
            Thread::WantsMutex(_) => 12,
        };
        self.threads.iter().map(|at| steps(*at)).sum()
    }

    fn waits(at: Thread) -> bool {
        matches!(at, Thread::Counted(_) | Thread::Listed(..) | Thread::Cancels(..))
    }

    /// Whether the first thread waits and has not been granted the lock, not even in the word by a thread that is about to wake it.
    fn first_waits(&self) -> bool {
        let is_granted = self.threads.iter().any(|at| match (*at, self.threads[0]) {
            (Thread::Wakes(Wake::Readers, _), Thread::Listed(mode, _) | Thread::Cancels(mode, _)) => mode == Mode::Read,
            (Thread::Wakes(Wake::Writer, _), Thread::Listed(mode, rank) | Thread::Cancels(mode, rank)) => mode == Mode::Write && rank == 0,
            _ => false,
        });
        Self::waits(self.threads[0]) && !is_granted
    }

    /// The possible next steps.
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
            let end = |by| match by {
                End::Release(mode) => (word.released(mode), None),
                End::Downgrade => (word.downgraded(), Some(Mode::Read)),
            };
            let at_hold = |held: Option<Mode>| held.map_or(Thread::Idle, Thread::Holds);
            match at {
                Thread::Idle => {
                    for mode in [Mode::Read, Mode::Write] {
                        match word.acquired(mode) {
                            Some(acquired) => go(Step::Chosen, acquired, Thread::Holds(mode), &|_| {}),
                            None => go(Step::Chosen, word, Thread::WantsMutex(mode), &|_| {}),
                        }
                    }
                }
                Thread::WantsMutex(mode) if free => go(Step::ByItself, word, Thread::HasMutex(mode), &|_| {}),
                Thread::HasMutex(mode) => {
                    if let Some(acquired) = word.acquired(mode).filter(|_| fault != Fault::LostWakeUp) {
                        go(Step::ByItself, acquired, Thread::Holds(mode), &|_| {});
                    } else if let Some(queued) = word.queued(mode) {
                        go(Step::ByItself, queued, Thread::Counted(mode), &|_| {});
                    }
                }
                Thread::Counted(mode) => {
                    let rank = u8::try_from(self.listed(mode)).expect("few threads");
                    go(Step::ByItself, word, Thread::Listed(mode, rank), &|_| {});
                }
                Thread::Listed(mode, rank) => go(Step::Chosen, word, Thread::Cancels(mode, rank), &|_| {}),
                Thread::Cancels(mode, rank) if free => {
                    let mut next = self.clone();
                    next.unlist(mode, rank, Thread::Unlisted(mode));
                    next.settle(self);
                    all.push((Step::ByItself, next));
                }
                Thread::Unlisted(mode) => match (fault, word.cancelled(mode)) {
                    (Fault::StaysCounted, _) => go(Step::ByItself, word, Thread::Idle, &|_| {}),
                    (Fault::CancelWakesNone, (next, _)) => go(Step::ByItself, next, Thread::Idle, &|_| {}),
                    (_, (next, wake)) => go(Step::ByItself, next, Thread::Wakes(wake, None), &|_| {}),
                },
                Thread::Granted(mode) => go(Step::ByItself, word, Thread::Holds(mode), &|_| {}),
                Thread::Holds(mode) => {
                    let mut ends = vec![(Step::ByItself, End::Release(mode))];
                    if mode == Mode::Write {
                        ends.push((Step::Chosen, End::Downgrade));
                    }
                    for (step, by) in ends {
                        match end(by) {
                            ((next, Wake::None), then) => go(step, next, at_hold(then), &|_| {}),
                            _ => go(step, word, Thread::WantsMutexToEnd(by), &|_| {}),
                        }
                    }
                    let ignores = fault == Fault::UpgradeIgnoresReaders && word.waiting_writers() == 0;
                    if mode == Mode::Read && (word == State::ONE_READER || ignores) {
                        go(Step::Chosen, State::WRITER, Thread::Holds(Mode::Write), &|_| {});
                    }
                }
                Thread::WantsMutexToEnd(by) if free => go(Step::ByItself, word, Thread::EndsUnderMutex(by), &|_| {}),
                Thread::EndsUnderMutex(End::Downgrade) if fault == Fault::DowngradeOpensWindow => {
                    let (next, wake) = word.released(Mode::Write);
                    go(Step::ByItself, next, Thread::Wakes(wake, Some(Mode::Read)), &|_| {});
                }
                Thread::EndsUnderMutex(by) => {
                    let ((next, wake), then) = end(by);
                    go(Step::ByItself, next, Thread::Wakes(wake, then), &|_| {});
                }
                Thread::Wakes(wake, then) => go(Step::ByItself, word, at_hold(then), &|next| match wake {
                    Wake::None => {}
                    Wake::Readers => (0..next.listed(Mode::Read)).for_each(|_| next.unlist(Mode::Read, 0, Thread::Granted(Mode::Read))),
                    Wake::Writer => next.unlist(Mode::Write, 0, Thread::Granted(Mode::Write)),
                }),
                Thread::WantsMutex(_) | Thread::Cancels(..) | Thread::WantsMutexToEnd(_) => {}
            }
        }
        all
    }

    /// The states after each step that happens by itself.
    fn by_itself(&self, fault: Fault) -> Vec<Self> {
        self.steps(fault).into_iter().filter_map(|(step, next)| (step == Step::ByItself).then_some(next)).collect()
    }

    /// Counts the threads that overtook the first one, if it waits, and sorts the others.
    fn settle(&mut self, before: &Self) {
        let inside = |at: Thread| matches!(at, Thread::Granted(_) | Thread::Holds(_));
        let waits = self.first_waits() && before.first_waits();
        let overtook = self
            .threads
            .iter()
            .zip(&before.threads)
            .skip(1)
            .filter(|(now, then)| inside(**now) && (Self::waits(**then) || matches!(then, Thread::Idle | Thread::HasMutex(_))));
        self.overtaken = if waits { self.overtaken.saturating_add(u8::try_from(overtook.count()).expect("few threads")) } else { 0 };
        self.threads[1..].sort_unstable();
    }
}

/// A number of threads, and how often a waiter may be overtaken.
struct Protocol {
    threads: usize,
    overtaken: u8,
    fault: Fault,
}

const ALONE: &str = "a writer is alone";
const SOUND: &str = "S1 to S3 hold";
const COUNTED: &str = "the counts equal the lengths of the lists";
const IN_WORD: &str = "the word equals the holds";
const NOTHING_LEFT: &str = "if all threads are idle, the word is free";
const PROGRESS: &str = "unless all threads are idle, one makes progress by itself";
const OVERTAKEN: &str = "no waiter is overtaken more often";

impl Model for Protocol {
    type State = World;
    type Action = (Step, World);

    fn init_states(&self) -> Vec<World> {
        vec![World { word: State::FREE, threads: vec![Thread::Idle; self.threads], overtaken: 0 }]
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
            Property::always(COUNTED, |_, world: &World| world.counts_equal_the_lists()),
            Property::always(IN_WORD, |_, world: &World| world.word_equals_the_holds()),
            Property::always(NOTHING_LEFT, |_, world: &World| !world.all_are_idle() || world.word == State::FREE),
            Property::always(PROGRESS, |model: &Self, world: &World| {
                let next_states = world.by_itself(model.fault);
                let nearer = !next_states.is_empty() && next_states.iter().all(|next| next.rank() < world.rank());
                nearer || world.all_are_idle() || !world.is_sound()
            }),
            Property::always(OVERTAKEN, |model: &Self, world: &World| world.overtaken <= model.overtaken),
            // These show that the model explores what it should.
            Property::sometimes("a waiter is overtaken that often", |model: &Self, world: &World| world.overtaken == model.overtaken),
            Property::sometimes("an upgrade succeeds", |_, world: &World| {
                world.word == State::ONE_READER && world.threads.contains(&Thread::Holds(Mode::Read))
            }),
            Property::sometimes("a waiter is cancelled while it is about to be granted", |_, world: &World| {
                let first = |at: &Thread| matches!(at, Thread::Cancels(Mode::Write, 0));
                world.threads.iter().any(|at| matches!(at, Thread::Wakes(Wake::Writer, _))) && world.threads.iter().any(first)
            }),
        ]
    }
}

/// Explores all states, or until a property fails. Returns the number of states and the properties that fail.
fn explore(threads: usize, overtaken: u8, fault: Fault) -> (usize, Vec<&'static str>) {
    let found = Protocol { threads, overtaken, fault }.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let named = |expected| found.model().properties().into_iter().filter(move |p| p.expectation == expected).map(|p| p.name);
    let mut wrong = Vec::new();
    for (name, path) in named(Expectation::Always).filter_map(|name| Some((name, found.discovery(name)?))) {
        println!("{fault:?}: fails: {name}: {:?}", path.last_state());
        wrong.push(name);
    }
    if wrong.is_empty() {
        named(Expectation::Sometimes).for_each(|name| _ = found.assert_any_discovery(name));
    }
    (found.unique_state_count(), wrong)
}

/// All properties hold, with the bound on how often a waiter is overtaken.
#[test]
fn every_interleaving_of_four_threads() {
    for (threads, overtaken) in [(2, 0), (3, 2), (4, 5)] {
        let (states, wrong) = explore(threads, overtaken, Fault::None);
        println!("{threads} threads: {states} states");
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn each_fault_is_found() {
    for (fault, expected) in [
        (Fault::LostWakeUp, PROGRESS),
        (Fault::StaysCounted, COUNTED),
        (Fault::CancelWakesNone, COUNTED),
        (Fault::UpgradeIgnoresReaders, ALONE),
        (Fault::DowngradeOpensWindow, IN_WORD),
    ] {
        let (_, wrong) = explore(3, 2, fault);
        assert!(wrong.contains(&expected), "{fault:?}: {wrong:?}");
    }
}
