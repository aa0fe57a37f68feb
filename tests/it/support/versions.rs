//! The states of a map with one writer, and the answers of concurrent readers, each of which must have been true at one of the versions
//! between which it was given.
//!
//! With one writer the check is exact and cheap, because the states have one order. They are computed from the edits alone, by the plainest
//! model, so that noting an edit costs the writer two stores. Called by `index::history` and by the fuzz target `tree_concurrent`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use vmaple::RangeMap;
use vmaple::map::{Entry, View};

/// Start, last, value.
pub(crate) type Flat = (u64, u64, u64);

/// An entry, flat.
pub(crate) fn flat(e: Entry<'_, u64>) -> Flat {
    (e.start(), e.last(), *e.value())
}

/// One edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Insert(u64, u64),
    /// Of the entry at an address.
    Set(u64),
    Replace(u64, u64),
    ReplaceEntries(u64, u64),
    Remove(u64, u64),
    RemoveEntry(u64),
    /// The entry at an address, to a start.
    ExtendDown(u64, u64),
    /// The entry at an address, to a last address.
    ExtendUp(u64, u64),
}

impl Edit {
    /// Edits the map, and returns whether that succeeded.
    pub(crate) fn apply(self, map: &RangeMap<u64>, value: u64) -> bool {
        let mut writer = map.write();
        match self {
            Self::Insert(start, last) => writer.insert(start..=last, value).is_ok(),
            Self::Set(at) => writer.set(at, value).is_ok(),
            Self::Replace(start, last) => writer.replace(start..=last, value).is_ok(),
            Self::ReplaceEntries(start, last) => writer.replace_entries(start..=last, value).is_ok(),
            Self::Remove(start, last) => writer.remove(start..=last).is_ok(),
            Self::RemoveEntry(at) => writer.remove_entry(at).is_ok(),
            Self::ExtendDown(at, start) => writer.extend_down(at, start).is_ok(),
            Self::ExtendUp(at, last) => writer.extend_up(at, last).is_ok(),
        }
    }

    /// Edits a sorted list, and returns whether that succeeded.
    pub(crate) fn model(self, state: &mut Vec<Flat>, value: u64) -> bool {
        match self {
            Self::Insert(start, last) if state.iter().any(|e| e.0 <= last && e.1 >= start) => return false,
            Self::Insert(start, last) => put(state, (start, last, value)),
            Self::Set(at) => {
                let Some(entry) = state.iter_mut().find(|e| e.0 <= at && at <= e.1) else { return false };
                entry.2 = value;
            }
            Self::ReplaceEntries(start, last) if state.iter().any(|e| e.0 <= last && e.1 >= start && (e.0 < start || e.1 > last)) => {
                return false;
            }
            Self::Replace(start, last) | Self::ReplaceEntries(start, last) => {
                clear(state, start, last);
                put(state, (start, last, value));
            }
            Self::Remove(start, last) => clear(state, start, last),
            Self::RemoveEntry(at) => state.retain(|e| !(e.0 <= at && at <= e.1)),
            Self::ExtendDown(at, start) => {
                let Some(i) = state.iter().position(|e| e.0 <= at && at <= e.1) else { return false };
                if start < state[i].0 {
                    if i > 0 && start <= state[i - 1].1 {
                        return false;
                    }
                    state[i].0 = start;
                }
            }
            Self::ExtendUp(at, last) => {
                let Some(i) = state.iter().position(|e| e.0 <= at && at <= e.1) else { return false };
                if last > state[i].1 {
                    if state.get(i + 1).is_some_and(|after| last >= after.0) {
                        return false;
                    }
                    state[i].1 = last;
                }
            }
        }
        true
    }
}

fn put(state: &mut Vec<Flat>, entry: Flat) {
    state.insert(state.partition_point(|e| e.0 < entry.0), entry);
}

/// Takes a range out; what sticks out stays.
fn clear(state: &mut Vec<Flat>, start: u64, last: u64) {
    let low = state.partition_point(|e| e.1 < start);
    let high = state.partition_point(|e| e.0 <= last);
    if low == high {
        return;
    }
    let (first, end) = (state[low], state[high - 1]);
    let below = (first.0 < start).then(|| (first.0, start - 1, first.2));
    let above = (end.1 > last).then(|| (last + 1, end.1, end.2));
    state.splice(low..high, below.into_iter().chain(above));
}

/// A question about one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Lookup,
    Find,
    Next,
    Prev,
    /// `gap_at`. The gap is noted like an entry of value 0.
    GapAt,
}

impl Question {
    pub(crate) const ALL: [Self; 5] = [Self::Lookup, Self::Find, Self::Next, Self::Prev, Self::GapAt];

    pub(crate) fn ask(self, view: &View<u64>, a: u64) -> Option<Flat> {
        match self {
            Self::Lookup => view.lookup(a),
            Self::Find => view.find(a),
            Self::Next => view.next(a),
            Self::Prev => view.prev(a),
            Self::GapAt => return view.gap_at(a).map(|gap| (gap.start(), gap.last(), 0)),
        }
        .map(flat)
    }

    /// The answer in a state that stands still.
    pub(crate) fn truth(self, state: &[Flat], a: u64) -> Option<Flat> {
        let find = state.partition_point(|e| e.1 < a);
        let prev = find.checked_sub(1).map(|i| &state[i]);
        match self {
            Self::GapAt => {
                let above = state.get(find).map_or(u64::MAX, |e| e.0.saturating_sub(1));
                return state.get(find).is_none_or(|e| e.0 > a).then_some((prev.map_or(0, |e| e.1 + 1), above, 0));
            }
            Self::Lookup => state.get(find).filter(|e| e.0 <= a),
            Self::Find => state.get(find),
            Self::Next => state.get(state.partition_point(|e| e.0 <= a)),
            Self::Prev => prev,
        }
        .copied()
    }
}

/// The versions that can have been seen: the last one done before, the last one begun after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) since: usize,
    pub(crate) until: usize,
}

impl Window {
    /// Returns whether a write was in progress at some moment between them.
    pub(crate) fn overlaps_a_write(self) -> bool {
        self.since < self.until
    }
}

/// The versions that the writer has begun and finished, which readers load.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    begun: AtomicUsize,
    done: AtomicUsize,
    ended: AtomicBool,
}

impl Clock {
    /// Executes an edit as a version.
    pub(crate) fn write<T>(&self, version: usize, edit: impl FnOnce() -> T) -> T {
        // Relaxed: a reader that sees the edit sees by its ordering (O1, O2) that it was begun. A stronger ordering could hide
        // that the index's own is too weak.
        self.begun.store(version, Ordering::Relaxed);
        let answer = edit();
        // Release: pairs with `during`; a reader that sees the version done sees the edit.
        self.done.store(version, Ordering::Release);
        answer
    }

    /// Executes a reader's question, and returns the versions between which it was answered.
    pub(crate) fn during<T>(&self, ask: impl FnOnce() -> T) -> (T, Window) {
        // Acquire: pairs with `write`.
        let since = self.done.load(Ordering::Acquire);
        let answer = ask();
        // Relaxed: as the store. Nothing of `ask` comes after it: the index is read by Acquire loads.
        let until = self.begun.load(Ordering::Relaxed).max(since);
        (answer, Window { since, until })
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// A reader's question, its answer, and when it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    pub(crate) question: Question,
    pub(crate) address: u64,
    pub(crate) answer: Option<Flat>,
    pub(crate) window: Window,
}

/// An iteration over a range: the entries it yielded in order of addresses, from which end, and when.
#[derive(Clone, Debug)]
pub(crate) struct Walked {
    pub(crate) range: (u64, u64),
    pub(crate) way: Way,
    pub(crate) answer: Vec<Flat>,
    pub(crate) window: Window,
}

/// The end or ends from which an iteration comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
    /// From both ends in turn, from below first.
    Both,
    /// From below, by the segments of the range: entries are cut to it.
    Segments,
}

impl Walked {
    /// Iterates over a range of a view in one of the ways.
    pub(crate) fn through(clock: &Clock, view: &View<u64>, range: (u64, u64), way: Way) -> Self {
        let (mut answer, window) = clock.during(|| {
            let mut entries = view.range(range.0..=range.1).expect("a range");
            match way {
                Way::Up => {
                    let mut low = Vec::new();
                    entries.for_each(|entry| low.push(flat(entry)));
                    low
                }
                Way::Down => entries.rev().map(flat).collect(),
                Way::Segments => entries_of_segments(view, range),
                Way::Both => {
                    let (mut low, mut high) = (Vec::new(), Vec::new());
                    while let Some(entry) = entries.next() {
                        low.push(flat(entry));
                        high.extend(entries.next_back().map(flat));
                    }
                    high.reverse();
                    low.append(&mut high);
                    low
                }
            }
        });
        if way == Way::Down {
            answer.reverse();
        }
        Self { range, way, answer, window }
    }

    /// Returns the parts of the range, first to last, without an entry in the answer.
    fn unanswered(&self) -> Vec<(u64, u64)> {
        let (mut from, last) = self.range;
        let mut parts = Vec::new();
        for answer in &self.answer {
            if from < answer.0 {
                parts.push((from, last.min(answer.0 - 1)));
            }
            if answer.1 >= last {
                return parts;
            }
            from = from.max(answer.1 + 1);
        }
        parts.push((from, last));
        parts
    }

    /// Returns the entries next to entry `i`, below and above, that the iteration yielded before it: entry `i` is clamped to them.
    fn answered_before(&self, i: usize) -> (Option<Flat>, Option<Flat>) {
        let (answer, n) = (&self.answer, self.answer.len());
        let (below, above) = (i.checked_sub(1).map(|i| answer[i]), answer.get(i + 1).copied());
        match self.way {
            Way::Up | Way::Segments => (below, None),
            Way::Down => (None, above),
            // From below first, so of an odd number from below one more.
            Way::Both if i < n - n / 2 => (below, i.checked_sub(1).map(|turn| answer[n - 1 - turn])),
            Way::Both => (Some(answer[n - 1 - i]), above),
        }
    }
}

/// The states that one writer made, by version; version 0 is what it began with.
#[derive(Debug)]
pub(crate) struct History {
    /// Of all states, one after the other.
    entries: Vec<Flat>,
    /// Where in `entries` each state begins, and the last one ends.
    bounds: Vec<usize>,
    /// What each edit must return to its writer: whether it succeeded.
    goes: Vec<bool>,
}

impl History {
    /// Makes the states of edits that have not run yet; version `n` puts in the value `n`.
    pub(crate) fn predict(first: Vec<Flat>, edits: impl IntoIterator<Item = Edit>) -> Self {
        let (mut state, mut history) = (first, Self { entries: Vec::new(), bounds: vec![0], goes: Vec::new() });
        history.note(&state);
        for (value, edit) in (1..).zip(edits) {
            history.goes.push(edit.model(&mut state, value));
            history.note(&state);
        }
        history
    }

    /// Makes the states of edits that have run, each with what it returned to its writer.
    pub(crate) fn of(first: Vec<Flat>, edits: &[(Edit, bool)]) -> Self {
        let history = Self::predict(first, edits.iter().map(|&(edit, _)| edit));
        history.check_edits(edits);
        history
    }

    fn note(&mut self, state: &[Flat]) {
        self.entries.extend_from_slice(state);
        self.bounds.push(self.entries.len());
    }

    /// The last state.
    pub(crate) fn end(&self) -> &[Flat] {
        self.state(self.goes.len())
    }

    fn state(&self, version: usize) -> &[Flat] {
        &self.entries[self.bounds[version]..self.bounds[version + 1]]
    }

    fn window(&self, window: Window) -> impl Iterator<Item = &[Flat]> {
        (window.since..=window.until).map(|version| self.state(version))
    }

    /// Panics unless each edit returned to its writer what it must.
    pub(crate) fn check_edits(&self, edits: &[(Edit, bool)]) {
        assert_eq!(edits.len(), self.goes.len());
        for (before, (&(edit, went), &goes)) in edits.iter().zip(&self.goes).enumerate() {
            assert_eq!(went, goes, "{edit:?}, in {:?}", self.state(before));
        }
    }

    /// Whether the answer was true at one of its versions.
    pub(crate) fn explains(&self, note: &Noted) -> bool {
        self.window(note.window).any(|state| note.question.truth(state, note.address) == note.answer)
    }

    /// Fails unless all of them are explained.
    pub(crate) fn check_all(&self, notes: &[Noted], walks: &[Walked]) {
        for note in notes {
            self.check(note);
        }
        for walk in walks {
            self.explains_walk(walk).unwrap_or_else(|why| panic!("{walk:?}: {why}"));
        }
    }

    fn check(&self, note: &Noted) {
        let Noted { question, address, answer, window } = note;
        assert!(self.explains(note), "{question:?}({address}) was answered {answer:?}, true at no version in {window:?}");
    }

    /// Whether the iteration was in order, yielded only what was there at some moment, and missed no address that was mapped
    /// throughout.
    pub(crate) fn explains_walk(&self, walk: &Walked) -> Result<(), String> {
        if let Some(w) = walk.answer.windows(2).find(|w| w[0].1 >= w[1].0) {
            return Err(format!("out of order: {w:?}"));
        }
        for (i, &answer) in walk.answer.iter().enumerate() {
            // Of an entry that had grown over what was yielded before, only the rest is yielded.
            let (below, above) = walk.answered_before(i);
            let (mut floor, mut ceiling) = (below.map_or(0, |below| below.1 + 1), above.map_or(u64::MAX, |above| above.0 - 1));
            if walk.way == Way::Segments {
                (floor, ceiling) = (floor.max(walk.range.0), ceiling.min(walk.range.1));
            }
            let was = |e: Flat| (e.0.max(floor), e.1.min(ceiling), e.2) == answer;
            let meets = answer.0 <= walk.range.1 && answer.1 >= walk.range.0;
            if !meets || !self.window(walk.window).any(|state| Question::Lookup.truth(state, answer.0).is_some_and(was)) {
                return Err(format!("{answer:?} was there at no moment"));
            }
        }
        // What of the range is not in the answer, and of that what is mapped in each state in turn.
        let mut missed = walk.unanswered();
        for state in self.window(walk.window) {
            if missed.is_empty() {
                return Ok(());
            }
            missed = missed.iter().flat_map(|&range| mapped_in(state, range)).collect();
        }
        missed.first().map_or(Ok(()), |missed| Err(format!("{} was mapped throughout and missed", missed.0)))
    }
}

/// Returns the entries among the segments of a range, which must be the whole range, without two gaps next to each other. (What is in no
/// entry is then in a gap, and the check of the iteration finds an address there that was mapped throughout.)
fn entries_of_segments(view: &View<u64>, range: (u64, u64)) -> Vec<Flat> {
    let (mut entries, mut next, mut was_gap) = (Vec::new(), Some(range.0), false);
    for segment in view.segments(range.0..=range.1).expect("a range") {
        let span = segment.span();
        assert_eq!(next, Some(span.start()), "{segment:?} follows");
        assert!(!was_gap || segment.entry().is_some(), "two gaps, the second {segment:?}");
        (next, was_gap) = (span.end(), segment.entry().is_none());
        entries.extend(segment.entry().map(flat));
    }
    assert_eq!(next, range.1.checked_add(1), "the segments end with the range");
    entries
}

/// The parts of a range, first to last, that a state maps.
fn mapped_in(state: &[Flat], (start, last): (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
    let from = state.partition_point(|e| e.1 < start);
    state[from..].iter().take_while(move |e| e.0 <= last).map(move |e| (e.0.max(start), e.1.min(last)))
}
