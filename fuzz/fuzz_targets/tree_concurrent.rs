//! A writer with edits that the fuzzer invents, and one or two readers beside it with questions that it invents: every answer must have
//! been true at one of the versions between which it was given.
//!
//! The first byte says how many readers there are, how the map begins, and how the rest is shared out: edits of three bytes, questions of
//! two. A reader asks its questions over and over until the writer has ended.
#![no_main]

#[allow(dead_code, reason = "what the integration tests alone use of it")]
#[path = "../../tests/it/versions.rs"]
mod versions;

use libfuzzer_sys::fuzz_target;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use versions::{Clock, Edit, Flat, History, Noted, Question, Walked, Way, flat};
use vmaple::RangeMap;

/// Few addresses, so that all meet; the fan-out is 4 here, and the tree three and four levels high.
const SIDE: u64 = 96;
/// More than this is not asked by one reader: what costs is to check the answers, and another execution tells more than a longer one.
const MOST_ASKED: usize = 96;
const MOST_EDITS: usize = 96;
/// Of how many addresses an iteration is.
const WALKED: u64 = SIDE / 4;

fn edit([verb, a, b]: [u8; 3]) -> Edit {
    let start = u64::from(a) % SIDE;
    let last = start + u64::from(b % 8);
    let far = start + u64::from(b) % SIDE;
    match verb % 12 {
        0..3 => Edit::Insert(start, last),
        3 | 4 => Edit::Replace(start, last),
        5 => Edit::Replace(start, far),
        6 => Edit::Remove(start, last),
        7 => Edit::Remove(start, far),
        8 => Edit::RemoveEntry(start),
        9 | 10 => Edit::ExtendDown(start, start.saturating_sub(u64::from(b % 8))),
        _ => Edit::ExtendUp(start, last),
    }
}

#[derive(Clone, Copy)]
enum Ask {
    One(Question, u64),
    Walk(Way, u64),
}

fn ask([what, a]: [u8; 2]) -> Ask {
    let a = u64::from(a) % (SIDE + 4);
    match what % 16 {
        0 => Ask::Walk(Way::Up, a),
        1 => Ask::Walk(Way::Down, a),
        what => Ask::One(Question::ALL[usize::from(what % 4)], a),
    }
}

struct Shared {
    map: RangeMap<u64>,
    clock: Clock,
    /// How many are not there yet; all begin together, so that they meet.
    missing: AtomicUsize,
}

impl Shared {
    fn begin(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
        for turn in 1.. {
            if self.missing.load(Ordering::Acquire) == 0 {
                return;
            }
            if turn % 16 == 0 { thread::yield_now() } else { hint::spin_loop() }
        }
    }

    fn read(&self, asks: &[Ask]) -> Told {
        let (mut notes, mut walks) = (Vec::new(), Vec::new());
        let mut reader = self.map.reader();
        self.begin();
        for &ask in asks.iter().cycle().take(MOST_ASKED) {
            match ask {
                Ask::One(question, address) => {
                    let (told, window) = self.clock.during(|| question.ask(reader.view(), address));
                    notes.push(Noted { question, address, told, window });
                }
                Ask::Walk(way, start) => walks.push(Walked::through(&self.clock, reader.view(), (start, start + WALKED), way)),
            }
            if self.clock.has_ended() && notes.len() + walks.len() >= asks.len() {
                break;
            }
        }
        (notes, walks)
    }
}

type Told = (Vec<Noted>, Vec<Walked>);

/// A thread that reads for one execution after the other: to start one costs more than what it has to do.
struct Standing {
    jobs: Sender<(Arc<Shared>, Vec<Ask>)>,
    told: Receiver<Told>,
}

impl Standing {
    fn start() -> Self {
        let (jobs, taken) = channel::<(Arc<Shared>, Vec<Ask>)>();
        let (tell, told) = channel();
        // It ends when the sender of its jobs is gone. A panic in it ends the process, as the fuzzer's hook has it.
        thread::spawn(move || taken.iter().try_for_each(|(shared, asks)| tell.send(shared.read(&asks))));
        Self { jobs, told }
    }
}

thread_local! {
    static STANDING: [Standing; 2] = [Standing::start(), Standing::start()];
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let (edits, questions) = bytes.split_at(bytes.len() * (1 + usize::from(how >> 2 & 3)) / 6);
    let edits: Vec<Edit> = edits.as_chunks().0.iter().take(MOST_EDITS).copied().map(edit).collect();
    let asks: Vec<Ask> = questions.as_chunks().0.iter().copied().map(ask).collect();
    let readers = 1 + usize::from(how & 1);
    let first: Vec<Flat> = if how & 2 == 0 { Vec::new() } else { (0..SIDE / 3).map(|i| (3 * i, 3 * i + i % 3, 0)).collect() };

    let entries = first.iter().map(|&(start, last, value)| (start..=last, value));
    let map = RangeMap::builder().private_epochs().build_from(entries).expect("sorted");
    let shared = Arc::new(Shared { map, clock: Clock::default(), missing: AtomicUsize::new(readers + 1) });
    let give = |i: usize, reader: &Standing| {
        let mut asks = asks.clone();
        let half = asks.len() / 2;
        asks.rotate_left(i * half);
        reader.jobs.send((Arc::clone(&shared), asks)).expect("the reader waits for it");
    };
    STANDING.with(|standing| standing[..readers].iter().enumerate().for_each(|(i, reader)| give(i, reader)));
    shared.begin();
    let done: Vec<(Edit, bool)> = edits
        .iter()
        .enumerate()
        .map(|(before, &edit)| (edit, shared.clock.write(before + 1, || edit.apply(&shared.map, before as u64 + 1))))
        .collect();
    shared.clock.end();
    let told: Vec<Told> =
        STANDING.with(|standing| standing[..readers].iter().map(|reader| reader.told.recv().expect("the reader ran to its end")).collect());

    let history = History::of(first, &done);
    let writer = shared.map.write();
    writer.validate().expect("the invariants hold");
    assert_eq!(writer.iter().map(flat).collect::<Vec<_>>(), history.end());
    for (notes, walks) in &told {
        history.check_all(notes, walks);
    }
});
