//! A writer with edits that the fuzzer invents, and one or two readers beside it with questions that it invents: every answer must have
//! been true at one of the versions between which it was given.
//!
//! The first byte says which epochs the map uses, how it begins, and how the rest is shared out: edits of three bytes, questions of
//! two. A reader asks its questions over and over until the writer has ended, and looks at the answers itself.
//!
//! An execution finds more the more the threads overlap. So each thread is pinned to a core, and they begin when all run. A thread that
//! waits spins first and then sleeps, because on a busy machine a thread that yields before its time slice ends is scheduled again sooner.
#![no_main]

#[allow(dead_code, reason = "what the integration tests alone use of it")]
#[path = "../../tests/it/support/versions.rs"]
mod versions;

use core_affinity::CoreId;
use libfuzzer_sys::fuzz_target;
use std::hint;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use versions::{Clock, Edit, Flat, History, Noted, Question, Walked, Way, flat};
use vmaple::RangeMap;

/// Few addresses, so that all meet; the fan-out is 4 here, and the tree three and four levels high.
const SIDE: u64 = 96;
/// The most questions of one reader: checking the answers is what costs, and another execution finds more than a longer one.
const MOST_ASKED: usize = 96;
const MOST_EDITS: usize = 96;
/// After how many failed looks, at some 50 ns each, the other thread counts as not running.
const AT_ONCE: usize = 64;
/// After how many looks a thread that waits for the other to begin goes to sleep, and after how many one that waits for a message.
const BEFORE_SLEEP: usize = 256;
const BEFORE_SLEEP_LONG: usize = 2048;
/// How often the readers are called at most.
const MOST_CALLS: usize = 4;
/// Instead of a call.
const BEGIN: usize = usize::MAX;
/// Of how many addresses an iteration is.
const WALKED: u64 = SIDE / 4;

fn edit([verb, a, b]: [u8; 3]) -> Edit {
    let start = u64::from(a) % SIDE;
    let last = start + u64::from(b % 8);
    let far = start + u64::from(b) % SIDE;
    match verb % 12 {
        0..3 => Edit::Insert(start, last),
        3 | 4 => Edit::Replace(start, last),
        5 if b % 2 == 0 => Edit::Replace(start, far),
        5 => Edit::ReplaceEntries(start, far),
        6 => Edit::Remove(start, last),
        7 => Edit::Remove(start, far),
        8 if b % 2 == 0 => Edit::RemoveEntry(start),
        8 => Edit::Set(start),
        9 | 10 => Edit::ExtendDown(start, start.saturating_sub(u64::from(b % 8))),
        _ => Edit::ExtendUp(start, last),
    }
}

#[derive(Clone, Copy)]
enum Ask {
    One(Question, u64),
    Walk(Way, u64),
}

/// What is asked, and how many turns before: so that the questions are spread over the writer's edits.
fn ask([what, a]: [u8; 2]) -> (Ask, u8) {
    let a = u64::from(a) % (SIDE + 4);
    let ask = match what % 16 {
        0 => Ask::Walk(Way::Up, a),
        1 => Ask::Walk(Way::Down, a),
        2 => Ask::Walk(Way::Segments, a),
        what => Ask::One(Question::ALL[usize::from(what) % Question::ALL.len()], a),
    };
    (ask, what / 16)
}

/// Counts one more failed look; spins, or sleeps if there were many.
fn turn(turns: &mut usize) {
    *turns += 1;
    if turns.is_multiple_of(BEFORE_SLEEP) { thread::park() } else { hint::spin_loop() }
}

/// What comes through a channel: awake, as it comes soon; asleep, if not.
fn take<T>(from: &Receiver<T>) -> Option<T> {
    for _ in 0..BEFORE_SLEEP_LONG {
        match from.try_recv() {
            Err(TryRecvError::Empty) => hint::spin_loop(),
            taken => return taken.ok(),
        }
    }
    from.recv().ok()
}

/// Those that this process may use; asked first before any thread is kept to one.
fn cores() -> &'static [CoreId] {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// Keeps the calling thread to a core: two that spin on one do not meet, and on a busy machine they are left there.
fn stay(thread: usize) {
    if cores().len() > 1 {
        // Fuzzers side by side begin at different cores.
        core_affinity::set_for_current(cores()[(process::id() as usize + thread) % cores().len()]);
    }
}

/// One execution.
struct Play {
    map: RangeMap<u64>,
    asks: Vec<(Ask, u8)>,
    /// What the edits come to, known before they are done.
    history: History,
    clock: Clock,
    writer: Thread,
    /// Of the writer, to its readers.
    calls: AtomicUsize,
    /// How many of all of them.
    answers: AtomicUsize,
}

impl Play {
    /// Begins when the readers answer a call at once, so that each is on its core; after some calls in any case.
    fn call(&self, readers: &[Standing]) {
        let say = |call| {
            self.calls.store(call, Ordering::Release);
            readers.iter().for_each(|reader| reader.thread.unpark());
        };
        let calls = if readers.len() < cores().len() { MOST_CALLS } else { 1 };
        for call in 1..=calls {
            say(call);
            let mut turns = 0;
            while self.answers.load(Ordering::Acquire) < call * readers.len() {
                turn(&mut turns);
            }
            if turns < AT_ONCE {
                break;
            }
        }
        say(BEGIN);
    }

    /// Answers calls until it begins.
    fn answer(&self) {
        let (mut answered, mut turns) = (0, 0);
        loop {
            match self.calls.load(Ordering::Acquire) {
                BEGIN => return,
                call if call == answered => turn(&mut turns),
                call => {
                    self.answers.fetch_add(1, Ordering::AcqRel);
                    self.writer.unpark();
                    (answered, turns) = (call, 0);
                }
            }
        }
    }

    fn write(&self, edits: &[Edit], readers: &[Standing]) -> Vec<(Edit, bool)> {
        let mut done = Vec::with_capacity(edits.len());
        self.call(readers);
        for (version, &edit) in (1..).zip(edits) {
            done.push((edit, self.clock.write(version, || edit.apply(&self.map, version as u64))));
        }
        self.clock.end();
        done
    }

    /// Asks until the writer has ended, and then looks at the answers.
    fn read(&self, first: usize) {
        let (mut notes, mut walks) = (Vec::with_capacity(MOST_ASKED), Vec::new());
        let mut reader = self.map.reader();
        self.answer();
        // The writer may have to wake others first.
        (0..BEFORE_SLEEP_LONG).take_while(|_| self.clock.during(|| ()).1.until == 0).for_each(|_| hint::spin_loop());
        for &(ask, turns) in self.asks.iter().cycle().skip(first).take(MOST_ASKED) {
            (0..turns).for_each(|_| hint::spin_loop());
            match ask {
                Ask::One(question, address) => {
                    let (answer, window) = self.clock.during(|| question.ask(reader.view(), address));
                    notes.push(Noted { question, address, answer, window });
                }
                Ask::Walk(way, start) => walks.push(Walked::through(&self.clock, reader.view(), (start, start + WALKED), way)),
            }
            if self.clock.has_ended() {
                break;
            }
        }
        drop(reader);
        self.history.check_all(&notes, &walks);
    }
}

/// A thread that reads for one execution after the other: to start one costs more than what it has to do.
struct Standing {
    plays: Sender<(Arc<Play>, usize)>,
    done: Receiver<()>,
    thread: Thread,
}

impl Standing {
    fn start(number: usize) -> Self {
        let (plays, taken) = channel::<(Arc<Play>, usize)>();
        let (tell, done) = channel();
        // It ends when the sender of its plays is gone. A panic in it ends the process, as the fuzzer's hook has it.
        let reader = thread::spawn(move || {
            stay(number);
            while let Some((play, first)) = take(&taken) {
                play.read(first);
                drop(play);
                if tell.send(()).is_err() {
                    break;
                }
            }
        });
        Self { plays, done, thread: reader.thread().clone() }
    }
}

thread_local! {
    static STANDING: [Standing; 2] = {
        stay(0);
        [Standing::start(1), Standing::start(2)]
    };
}

fn play(readers: &[Standing], bytes: &[u8]) {
    // Two readers are rare, because three threads on two cores wait for each other. The sum of the bytes decides: the fuzzer sees new
    // coverage with two readers, and would choose two always if one byte decided.
    let readers = &readers[..1 + usize::from(bytes.iter().copied().fold(0, u8::wrapping_add) % 16 == 0)];
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let (edits, questions) = bytes.split_at(bytes.len() * (1 + usize::from(how >> 2 & 3)) / 6);
    let edits: Vec<Edit> = edits.as_chunks().0.iter().take(MOST_EDITS).copied().map(edit).collect();
    let asks: Vec<(Ask, u8)> = questions.as_chunks().0.iter().copied().map(ask).collect();
    if edits.is_empty() || asks.is_empty() {
        return;
    }
    let first: Vec<Flat> = if how & 2 == 0 { Vec::new() } else { (0..SIDE / 3).map(|i| (3 * i, 3 * i + i % 3, 0)).collect() };

    let entries = first.iter().map(|&(start, last, value)| (start..=last, value));
    let builder = if how & 1 == 0 { RangeMap::builder() } else { RangeMap::builder().private_epochs() };
    let map = builder.build_from(entries).expect("sorted");
    let history = History::predict(first, edits.iter().copied());
    let (calls, answers) = Default::default();
    let play = Arc::new(Play { map, asks, history, clock: Clock::default(), writer: thread::current(), calls, answers });
    for (i, reader) in readers.iter().enumerate() {
        let first = i * play.asks.len() / 2;
        reader.plays.send((Arc::clone(&play), first)).expect("the reader waits for it");
    }
    let done = play.write(&edits, readers);
    // Meanwhile the readers look at their answers.
    play.history.check_edits(&done);
    let writer = play.map.write();
    writer.validate().expect("the invariants hold");
    assert!(writer.iter().map(flat).eq(play.history.end().iter().copied()), "the map ends as the model does");
    drop(writer);
    for reader in readers {
        take(&reader.done).expect("the reader ran to its end");
    }
}

fuzz_target!(|bytes: &[u8]| STANDING.with(|readers| play(readers, bytes)));
