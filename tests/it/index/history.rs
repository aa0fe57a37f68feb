//! Linearizability: one writer makes versions without a pause, readers note each answer with the versions between which it was given, and
//! every answer must have been true at one of these versions.
//!
//! `VMAPLE_ANSWERS` sets how many answers are checked (10^5 by default). They are checked round by round, so that memory stays bounded. At
//! least half of them overlap a write, because the writer does nothing between two writes.

use crate::support::versions::{Clock, Edit, Flat, History, Noted, Question, Walked, Way, Window, flat};
use std::sync::{Barrier, Mutex};
use std::thread;
use vmaple::RangeMap;

/// The number of addresses. It is small, so that edits and answers meet everywhere.
const UNIVERSE: u64 = if cfg!(miri) { 24 } else { 1500 };
const WRITES_A_ROUND: usize = if cfg!(miri) { 10 } else { 1500 };
const READERS: usize = 2;

/// The largest number of answers that a reader notes in one round.
const NOTES_A_ROUND: usize = 200_000;

/// The number of questions about one address between two iterations.
const QUESTIONS_A_TURN: usize = if cfg!(miri) { 8 } else { 64 };

/// A small generator of random numbers. It is part of the test, so that a seed gives the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("an index")]
    }

    fn edit(&mut self) -> Edit {
        let start = self.below(UNIVERSE);
        let last = start + self.below(6);
        match self.below(18) {
            0..5 => Edit::Insert(start, last),
            5..8 => Edit::Replace(start, last),
            8..10 => Edit::Remove(start, last),
            10 => Edit::Remove(start, start + self.below(UNIVERSE / 6)),
            11 => Edit::RemoveEntry(start),
            12 => Edit::Replace(start, start + self.below(UNIVERSE / 8)),
            13..15 => Edit::ExtendDown(last, start.saturating_sub(3)),
            15 => Edit::Set(start),
            16 => Edit::ReplaceEntries(start, last),
            _ => Edit::ExtendUp(start, last + 2),
        }
    }
}

#[derive(Default)]
struct Notes {
    answers: Vec<Noted>,
    walks: Vec<Walked>,
}

struct Round {
    map: RangeMap<u64>,
    clock: Clock,
    start: Barrier,
}

impl Round {
    /// Makes the edits of one round, without a pause between them.
    fn write(&self, edits: &[Edit]) -> Vec<(Edit, bool)> {
        let mut done = Vec::with_capacity(edits.len());
        self.start.wait();
        for (before, &edit) in edits.iter().enumerate() {
            let version = before + 1;
            done.push((edit, self.clock.write(version, || edit.apply(&self.map, version as u64))));
        }
        self.clock.end();
        done
    }

    fn read(&self, dice: &mut Dice) -> Notes {
        let mut notes = Notes::default();
        let mut reader = self.map.reader();
        self.start.wait();
        let mut before = None;
        while !self.clock.has_ended() && notes.answers.len() < NOTES_A_ROUND {
            let ((), now) = self.clock.during(|| ());
            if before.replace(now) == Some(now) {
                // The writer does not run: it has not begun, or was preempted. More questions about this version would find nothing.
                thread::yield_now();
                if now.until == 0 {
                    continue;
                }
            }
            for _ in 0..QUESTIONS_A_TURN {
                let (question, address) = (dice.pick(&Question::ALL), dice.below(UNIVERSE + 8));
                let by_pin = dice.below(8) == 0;
                let (answer, window) = self
                    .clock
                    .during(|| if by_pin { question.ask(&self.map.pin(), address) } else { question.ask(reader.view(), address) });
                notes.answers.push(Noted { question, address, answer, window });
            }
            let addresses: [u64; 4] = std::array::from_fn(|_| dice.below(UNIVERSE + 8));
            let (answer, window) = self.clock.during(|| {
                let mut answer = [None; 4];
                reader.view().lookup_many(&addresses, &mut answer);
                answer.map(|entry| entry.map(flat))
            });
            notes.answers.extend(addresses.into_iter().zip(answer).map(|(address, answer)| Noted {
                question: Question::Lookup,
                address,
                answer,
                window,
            }));
            let start = dice.below(UNIVERSE);
            let range = (start, start + dice.below(UNIVERSE / 8));
            notes.walks.push(match dice.below(5) {
                0 => Walked::through(&self.clock, reader.view(), range, Way::Up),
                1 => Walked::through(&self.clock, reader.view(), range, Way::Down),
                2 => Walked::through(&self.clock, reader.view(), range, Way::Both),
                3 => Walked::through(&self.clock, reader.view(), range, Way::Segments),
                _ => {
                    let (answer, window) = self.clock.during(|| {
                        let mut cursor = reader.cursor(range.0..=range.1).expect("a range");
                        std::iter::from_fn(|| cursor.next().map(flat)).collect()
                    });
                    Walked { range, way: Way::Up, answer, window }
                }
            });
        }
        notes
    }
}

/// The numbers of what was checked.
#[derive(Default)]
struct Tally {
    answers: usize,
    overlapping: usize,
    walks: usize,
}

fn play_round(dice: &mut Dice, first: Vec<Flat>, tally: &mut Tally) {
    let entries = first.iter().map(|&(start, last, value)| (start..=last, value));
    let map = RangeMap::builder().private_epochs().build_from(entries).expect("sorted");
    let round = Round { map, clock: Clock::default(), start: Barrier::new(READERS + 1) };
    let edits: Vec<Edit> = (0..WRITES_A_ROUND).map(|_| dice.edit()).collect();
    let seeds: [u64; READERS] = std::array::from_fn(|_| dice.below(u64::MAX) | 1);
    let noted = Mutex::new(Vec::new());
    let done = thread::scope(|scope| {
        for seed in seeds {
            let (round, noted) = (&round, &noted);
            scope.spawn(move || {
                let answer = round.read(&mut Dice(seed));
                noted.lock().expect("no panic while noting").push(answer);
            });
        }
        round.write(&edits)
    });
    let history = History::of(first, &done);
    let writer = round.map.write();
    writer.validate().expect("the invariants hold");
    assert_eq!(writer.iter().map(flat).collect::<Vec<_>>(), history.end());
    for Notes { answers, walks } in noted.into_inner().expect("no panic while noting") {
        history.check_all(&answers, &walks);
        tally.answers += answers.len();
        tally.overlapping += answers.iter().filter(|note| note.window.overlaps_a_write()).count();
        tally.walks += walks.len();
    }
}

#[test]
fn every_answer_was_true_at_a_moment_inside_its_call() {
    let wanted: usize = std::env::var("VMAPLE_ANSWERS").ok().and_then(|n| n.parse().ok()).unwrap_or(if cfg!(miri) { 50 } else { 100_000 });
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut tally = Tally::default();
    // More than was wanted if fewer than half of the answers overlap a write, which depends on the scheduler.
    while tally.answers < wanted || (tally.overlapping < tally.answers / 2 && tally.answers < 8 * wanted) {
        // The map is empty and fills, or is full of small entries, three levels high, and thins out.
        let dense = if dice.below(2) == 0 { 0 } else { UNIVERSE / 2 };
        play_round(&mut dice, (0..dense).map(|i| (2 * i, 2 * i + i % 2, 0)).collect(), &mut tally);
    }
    let Tally { answers, overlapping, walks } = tally;
    println!("{answers} answers and {walks} iterations checked, {overlapping} answers overlapped a write");
    assert!(overlapping >= answers / 2, "only {overlapping} of {answers} answers overlapped a write");
}

/// An iteration with edits between its steps continues from leaves and parents that were replaced meanwhile.
#[test]
fn an_iteration_goes_on_from_what_was_replaced() {
    let mut dice = Dice(0xb5ad_4ece_da1c_e2a9);
    for _ in 0..if cfg!(miri) { 2 } else { 300 } {
        let dense = UNIVERSE / (1 + dice.below(8)) / 2;
        let first: Vec<Flat> = (0..dense).map(|i| (2 * i, 2 * i + i % 2, 0)).collect();
        let entries = first.iter().map(|&(start, last, value)| (start..=last, value));
        let map = RangeMap::builder().private_epochs().build_from(entries).expect("sorted");
        let mut done = Vec::new();
        let edit = |edit: Edit, done: &mut Vec<_>| done.push((edit, edit.apply(&map, done.len() as u64 + 1)));
        let pin = map.pin();
        let way = dice.pick(&[Way::Up, Way::Both]);
        let (mut entries, mut low, mut high) = (pin.iter(), Vec::new(), Vec::new());
        while let Some(entry) = entries.next() {
            low.push(flat(entry));
            (0..dice.below(3)).for_each(|_| edit(dice.edit(), &mut done));
            // An edit near the iteration.
            if dice.below(4) == 0 {
                edit(Edit::Replace(entry.start(), entry.last() + dice.below(40)), &mut done);
            }
            if way == Way::Both {
                high.extend(entries.next_back().map(flat));
            }
        }
        high.reverse();
        low.append(&mut high);
        let window = Window { since: 0, until: done.len() };
        let walk = Walked { range: (0, 2 * UNIVERSE), way, answer: low, window };
        History::of(first, &done).explains_walk(&walk).unwrap_or_else(|why| panic!("{walk:?}: {why}"));
    }
}

/// The checker refuses answers that were true only before the call, only after it, or never.
#[test]
fn the_checker_refuses_what_was_never_true() {
    let edits = [(Edit::Replace(5, 9), true), (Edit::Remove(5, 9), true), (Edit::Insert(0, 1), false), (Edit::Insert(6, 9), true)];
    let history = History::of(vec![(0, 9, 7)], &edits);
    assert_eq!(history.end(), [(0, 4, 7), (6, 9, 4)]);
    let note = |answer, since, until| Noted { question: Question::Lookup, address: 7, answer, window: Window { since, until } };
    assert!(history.explains(&note(Some((0, 9, 7)), 0, 4)));
    assert!(!history.explains(&note(Some((0, 9, 7)), 1, 4)), "true only before");
    assert!(!history.explains(&note(Some((6, 9, 4)), 0, 3)), "true only after");
    assert!(!history.explains(&note(None, 0, 1)), "a mapped address missed");
    assert!(history.explains(&note(None, 0, 2)));
    assert!(!history.explains(&note(Some((5, 9, 4)), 0, 4)), "never true");
    let gap = |answer, since, until| Noted { question: Question::GapAt, ..note(answer, since, until) };
    assert!(history.explains(&gap(Some((5, u64::MAX, 0)), 2, 3)) && history.explains(&gap(None, 0, 1)));
    assert!(!history.explains(&gap(Some((5, u64::MAX, 0)), 0, 1)) && !history.explains(&gap(Some((5, 5, 0)), 0, 4)));
    let walk = |way, answer: &[Flat], since, until| {
        let walk = Walked { range: (0, 9), way, answer: answer.to_vec(), window: Window { since, until } };
        history.explains_walk(&walk).is_ok()
    };
    assert!(walk(Way::Up, &[(0, 4, 7)], 2, 3));
    assert!(walk(Way::Up, &[(0, 4, 7), (5, 9, 7)], 0, 1), "the rest of what had grown over it");
    assert!(!walk(Way::Down, &[(0, 4, 7), (5, 9, 7)], 0, 1), "but not from above");
    assert!(walk(Way::Down, &[(0, 4, 7), (5, 9, 1)], 0, 1));
    assert!(walk(Way::Both, &[(0, 4, 7), (5, 9, 1)], 0, 1));
    assert!(walk(Way::Both, &[(0, 4, 7), (5, 9, 7)], 0, 1), "the rest of what had grown over it, from above");
    assert!(!walk(Way::Both, &[(0, 4, 1), (5, 9, 1)], 0, 1), "but not from below first");
    assert!(!walk(Way::Up, &[(0, 3, 7)], 0, 4), "4 is mapped throughout");
    assert!(!walk(Way::Up, &[(6, 9, 4)], 0, 4), "so is 0");
    assert!(!walk(Way::Up, &[(0, 4, 7), (4, 9, 7)], 0, 4), "an address twice");
    assert!(!walk(Way::Up, &[(0, 4, 2)], 0, 4), "a value that was never there");
    let part = |way| Walked { range: (2, 8), way, answer: vec![(2, 4, 7), (5, 8, 1)], window: Window { since: 1, until: 1 } };
    assert!(history.explains_walk(&part(Way::Segments)).is_ok(), "cut to the range");
    assert!(history.explains_walk(&part(Way::Up)).is_err(), "but only by segments");
}
