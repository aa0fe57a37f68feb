//! A writer with edits from the fuzzer's bytes, and one or two readers beside it with queries from these bytes. Every answer must have been true
//! at a version during the query.
//!
//! The first byte selects the epochs of the map, its starting contents, and the division of the other bytes: edits of three bytes, queries of
//! two. A reader repeats its queries until the writer has ended, and then checks the answers.
//!
//! An execution finds more if the threads overlap more. So each thread is pinned to a core, and they begin when all run. A thread that
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

/// The number of addresses. There are few, so that edits and queries concern the same ones. The fan-out is 4 here, and the tree has three or
/// four levels.
const SIDE: u64 = 96;
/// The most queries of one reader. Checking the answers takes most of the time, and another execution finds more than a longer one.
const MOST_ASKED: usize = 96;
const MOST_EDITS: usize = 96;
/// After this many failed checks, of some 50 ns each, the other thread counts as not running.
const AT_ONCE: usize = 64;
/// After this many checks a thread sleeps that waits for the other to begin (the first) or for a message (the second).
const BEFORE_SLEEP: usize = 256;
const BEFORE_SLEEP_LONG: usize = 2048;
/// The most calls to the readers.
const MOST_CALLS: usize = 4;
/// The value in place of a call that lets the readers begin.
const BEGIN: usize = usize::MAX;
/// The number of addresses of an iteration.
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

/// Decodes a query, and the number of turns to wait before it, so that queries are spread over the writer's edits.
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

/// Counts a failed check, and spins, or sleeps if there were many.
fn turn(turns: &mut usize) {
    *turns += 1;
    if turns.is_multiple_of(BEFORE_SLEEP) { thread::park() } else { hint::spin_loop() }
}

/// Receives from a channel: spins first, because the message usually comes soon, and then sleeps.
fn take<T>(from: &Receiver<T>) -> Option<T> {
    for _ in 0..BEFORE_SLEEP_LONG {
        match from.try_recv() {
            Err(TryRecvError::Empty) => hint::spin_loop(),
            taken => return taken.ok(),
        }
    }
    from.recv().ok()
}

/// Returns the cores that this process may use. First called before any thread is pinned.
fn cores() -> &'static [CoreId] {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// Pins the calling thread to a core. Two threads on one core do not overlap, and a busy system leaves them there.
fn stay(thread: usize) {
    if cores().len() > 1 {
        // Several fuzzers begin at different cores.
        core_affinity::set_for_current(cores()[(process::id() as usize + thread) % cores().len()]);
    }
}

/// One execution.
struct Play {
    map: RangeMap<u64>,
    asks: Vec<(Ask, u8)>,
    /// The versions that the edits make, computed before the edits.
    history: History,
    clock: Clock,
    writer: Thread,
    /// The writer's calls to its readers.
    calls: AtomicUsize,
    /// The number of readers' answers to the calls.
    answers: AtomicUsize,
}

impl Play {
    /// Calls the readers until they answer at once, so that each runs on its core, at most `MOST_CALLS` times. Then lets them begin.
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

    /// Answers calls until the queries begin.
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

    /// Makes queries until the writer has ended, and then checks the answers.
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

/// A reading thread for all executions, because starting one takes longer than its work.
struct Standing {
    plays: Sender<(Arc<Play>, usize)>,
    done: Receiver<()>,
    thread: Thread,
}

impl Standing {
    fn start(number: usize) -> Self {
        let (plays, taken) = channel::<(Arc<Play>, usize)>();
        let (tell, done) = channel();
        // It ends when the sender is dropped. A panic in it ends the process, by the fuzzer's hook.
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
    // Meanwhile the readers check their answers.
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
