//! The plainest possible model of a map, a sorted list, and a driver that applies operations to both and compares.
//!
//! Called by `index::sequences` and by the fuzz target `tree_ops`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use vmaple::map::{Entry, ExtendError, GapError, GapQuery, InsertCause, RemoveError, ReplaceCause, Segment, SetCause, SpliceCause};
use vmaple::{RangeMap, Span};

/// The number of coordinates. Most lie at the bottom of the address space, and the rest at its top, so that tests reach both ends.
pub(crate) const SIDE: u8 = 128;
const TOP: u8 = 24;

/// Each check asks about one in this many coordinates, and the next check about others. It is more than 1 where checks are slow.
const ASKED_ONE_IN: u8 = if cfg!(fuzzing) {
    16
} else if cfg!(miri) {
    7
} else {
    1
};

/// Returns the address of a coordinate.
pub(crate) fn address(coordinate: u8) -> u64 {
    let c = coordinate % SIDE;
    if c < SIDE - TOP { u64::from(c) } else { u64::MAX - u64::from(SIDE - 1 - c) }
}

/// One operation, in coordinates. It is well-formed, unless it tests that the map refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `insert` over the range of two coordinates.
    Insert(u8, u8),
    /// `set`.
    Set(u8),
    /// `replace`.
    Replace(u8, u8),
    /// `replace_entries`.
    ReplaceEntries(u8, u8),
    /// `splice` over a range. The third number says how many entries to splice, and those that do not fit are left out; the bits of the
    /// last are their lengths and distances.
    Splice(u8, u8, u8, u8),
    /// `splice_entries` with one entry over the whole range.
    SpliceEntries(u8, u8),
    /// `remove`.
    Remove(u8, u8),
    /// `remove_entries`.
    RemoveEntries(u8, u8),
    /// `remove_entry`.
    RemoveEntry(u8),
    /// `extend_down` of the entry at the first to the second.
    ExtendDown(u8, u8),
    /// `extend_up`.
    ExtendUp(u8, u8),
    /// `find_gap` in a window, with a size. The last number modulo 5 is the logarithm of the alignment; its top bit means the highest gap.
    Gap(u8, u8, u8, u8),
    /// Iterates over a range from both ends, in the order that the bits of the last number say.
    Iterate(u8, u8, u8),
    /// `segments`, `gaps` and `is_covered` of a range.
    Segments(u8, u8),
    /// Exchanges the map for its `dup`.
    Dup,
    /// Exchanges the map for one built of its entries.
    Rebuild,
    /// `reclaim`.
    Reclaim,
}

/// Operations that print themselves as a test.
#[derive(Clone)]
pub(crate) struct Ops(pub(crate) Vec<Op>);

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n#[test]\nfn found_by_quickcheck() {{\n    use Op::*;\n    replay(&[")?;
        for op in &self.0 {
            writeln!(f, "        {op:?},")?;
        }
        writeln!(f, "    ]);\n}}")
    }
}

/// The number of tokens that live.
#[derive(Debug, Default)]
pub(crate) struct Census(AtomicIsize);

/// A value that is counted. Its clones are counted, too, and have the same number.
#[derive(Debug)]
pub(crate) struct Token {
    number: u64,
    census: Arc<Census>,
}

impl Token {
    fn boxed(number: u64, census: &Arc<Census>) -> Box<Self> {
        census.0.fetch_add(1, Ordering::Relaxed);
        Box::new(Self { number, census: Arc::clone(census) })
    }
}

impl Clone for Token {
    fn clone(&self) -> Self {
        self.census.0.fetch_add(1, Ordering::Relaxed);
        Self { number: self.number, census: Arc::clone(&self.census) }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.census.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Flat = (u64, u64, u64);

/// A map and its model, in step.
#[derive(Debug)]
pub(crate) struct Pair {
    map: RangeMap<Box<Token>>,
    model: Vec<Flat>,
    census: Arc<Census>,
    fresh: u64,
}

fn ends(a: u8, b: u8) -> (u64, u64) {
    let (a, b) = (address(a), address(b));
    (a.min(b), a.max(b))
}

fn plain(entry: Entry<'_, Box<Token>>) -> Flat {
    (entry.start(), entry.last(), entry.value().number)
}

impl Default for Pair {
    fn default() -> Self {
        Self { map: RangeMap::builder().private_epochs().build(), model: Vec::new(), census: Arc::default(), fresh: 0 }
    }
}

impl Pair {
    /// Applies one operation to both and compares.
    pub(crate) fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(a, b) => self.insert(ends(a, b)),
            Op::Set(a) => self.set(address(a)),
            Op::Replace(a, b) => self.replace(ends(a, b)),
            Op::ReplaceEntries(a, b) => self.replace_entries(ends(a, b), false),
            Op::Splice(a, b, count, shape) => self.splice(ends(a, b), count, shape),
            Op::SpliceEntries(a, b) => self.replace_entries(ends(a, b), true),
            Op::Remove(a, b) => self.remove(ends(a, b)),
            Op::RemoveEntries(a, b) => self.remove_entries(ends(a, b)),
            Op::RemoveEntry(a) => self.remove_entry(address(a)),
            Op::ExtendDown(a, b) => self.extend_down(address(a), address(b)),
            Op::ExtendUp(a, b) => self.extend_up(address(a), address(b)),
            Op::Gap(a, b, size, how) => self.gap(ends(a, b), u64::from(size), how),
            Op::Iterate(a, b, turns) => self.iterate(ends(a, b), turns),
            Op::Segments(a, b) => self.segments(ends(a, b)),
            Op::Dup => {
                let copy = self.map.read().dup().expect("memory");
                self.map = copy;
            }
            Op::Rebuild => {
                let entries: Vec<_> = self.map.pin().iter().map(|e| (e.span(), e.value().clone())).collect();
                self.map = RangeMap::builder().private_epochs().build_from(entries).expect("sorted");
            }
            Op::Reclaim => assert_eq!(self.map.reclaim(), 0, "no reader is pinned"),
        }
        self.check();
    }

    fn number(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }

    fn overlapping(&self, (start, last): (u64, u64)) -> Vec<Flat> {
        self.model.iter().copied().filter(|e| e.0 <= last && e.1 >= start).collect()
    }

    /// Takes the range out of the model; what sticks out stays.
    fn clear(&mut self, (start, last): (u64, u64)) {
        let mut kept = Vec::new();
        for &(s, l, v) in &self.model {
            if l < start || s > last {
                kept.push((s, l, v));
                continue;
            }
            if s < start {
                kept.push((s, start - 1, v));
            }
            if l > last {
                kept.push((last + 1, l, v));
            }
        }
        self.model = kept;
    }

    fn put(&mut self, entry: Flat) {
        let at = self.model.partition_point(|e| e.0 < entry.0);
        self.model.insert(at, entry);
    }

    fn insert(&mut self, (start, last): (u64, u64)) {
        let number = self.number();
        let in_the_way = self.overlapping((start, last)).first().copied();
        let got = self.map.write().insert(start..=last, Token::boxed(number, &self.census));
        match (got, in_the_way) {
            (Ok(()), None) => self.put((start, last, number)),
            (Err(error), Some((s, l, _))) => {
                let (asked, by) = (Span::new(start, last).expect("a range"), Span::new(s, l).expect("a range"));
                assert_eq!(error.cause, InsertCause::Occupied { asked, by });
                assert_eq!(error.value.number, number, "the value is handed back");
            }
            (got, way) => panic!("insert {start:#x}..={last:#x}: {got:?}, in the way: {way:x?}"),
        }
    }

    fn replace(&mut self, range: (u64, u64)) {
        let number = self.number();
        let expected = self.overlapping(range);
        let mut writer = self.map.write();
        let removed = writer.replace(range.0..=range.1, Token::boxed(number, &self.census)).expect("memory");
        check_removed(&removed, range, &expected);
        drop(writer);
        self.clear(range);
        self.put((range.0, range.1, number));
    }

    fn set(&mut self, at: u64) {
        let number = self.number();
        let mut writer = self.map.write();
        let got = writer.set(at, Token::boxed(number, &self.census));
        let Some(i) = self.model.iter().position(|e| e.0 <= at && at <= e.1) else {
            let refused = got.expect_err("no entry is there");
            assert_eq!((refused.cause, refused.value.number), (SetCause::Absent { at }, number), "the value is handed back");
            return;
        };
        let old = got.expect("memory");
        assert_eq!((old.start(), old.last(), old.value().number), self.model[i]);
        self.model[i].2 = number;
    }

    /// The first entry that an edit of the range would cut.
    fn cut(&self, (start, last): (u64, u64)) -> Option<Span> {
        let cut = self.overlapping((start, last)).into_iter().find(|e| e.0 < start || e.1 > last)?;
        Some(Span::new(cut.0, cut.1).expect("a range"))
    }

    /// `replace_entries`, or `splice_entries` with one entry over the whole range.
    fn replace_entries(&mut self, range: (u64, u64), spliced: bool) {
        let (number, expected, cut) = (self.number(), self.overlapping(range), self.cut(range));
        let (asked, value) = (Span::new(range.0, range.1).expect("a range"), Token::boxed(number, &self.census));
        let mut writer = self.map.write();
        let got = if spliced {
            writer.splice_entries(asked, [(asked, value)]).map_err(|mut refused| {
                let (span, value) = refused.value.next().expect("the entry is handed back");
                assert!(span == asked && refused.value.next().is_none());
                let SpliceCause::Cut { asked, entry } = refused.cause else { panic!("{refused:?}") };
                (ReplaceCause::Cut { asked, entry }, value.number)
            })
        } else {
            writer.replace_entries(asked, value).map_err(|refused| (refused.cause, refused.value.number))
        };
        if let Some(entry) = cut {
            assert_eq!(got.expect_err("it cuts"), (ReplaceCause::Cut { asked, entry }, number), "the value is handed back");
            return;
        }
        check_removed(&got.expect("memory"), range, &expected);
        drop(writer);
        self.clear(range);
        self.put((range.0, range.1, number));
    }

    fn splice(&mut self, range: (u64, u64), count: u8, shape: u8) {
        let (len, apart) = (u64::from(shape % 4), u64::from(shape / 4 % 4));
        let mut fresh: Vec<Flat> = Vec::new();
        let mut start = Some(range.0 + u64::from(shape / 16 % 2).min(range.1 - range.0));
        while let Some(from) = start.filter(|_| fresh.len() < usize::from(count)) {
            let Some(last) = from.checked_add(len).filter(|last| *last <= range.1) else { break };
            fresh.push((from, last, self.number()));
            start = last.checked_add(1 + apart);
        }
        let expected = self.overlapping(range);
        let mut writer = self.map.write();
        let tokens = |fresh: &[Flat]| -> Vec<_> {
            fresh.iter().map(|&(s, l, n)| (Span::new(s, l).expect("a range"), Token::boxed(n, &self.census))).collect()
        };
        if let [first, .., last] = fresh[..] {
            let numbers =
                |back: vmaple::map::Unspliced<_, std::vec::IntoIter<(Span, Box<Token>)>>| back.map(|v| v.1.number).collect::<Vec<_>>();
            let back = numbers(writer.splice(range.0..=range.1, tokens(&[last, first])).expect_err("not in order").value);
            assert_eq!(back, [last.2, first.2], "all are handed back");
            let back = numbers(writer.splice(range.0..=first.1, tokens(&fresh)).expect_err("not inside").value);
            assert_eq!(back.len(), fresh.len(), "all are handed back");
        }
        let removed = writer.splice(range.0..=range.1, tokens(&fresh)).expect("memory");
        check_removed(&removed, range, &expected);
        drop(writer);
        self.clear(range);
        for entry in fresh {
            self.put(entry);
        }
    }

    fn remove(&mut self, range: (u64, u64)) {
        let expected = self.overlapping(range);
        let mut writer = self.map.write();
        let removed = writer.remove(range.0..=range.1).expect("memory");
        check_removed(&removed, range, &expected);
        drop(writer);
        self.clear(range);
    }

    fn remove_entries(&mut self, range: (u64, u64)) {
        let (expected, cut) = (self.overlapping(range), self.cut(range));
        let mut writer = self.map.write();
        let got = writer.remove_entries(range.0..=range.1);
        if let Some(entry) = cut {
            let asked = Span::new(range.0, range.1).expect("a range");
            assert_eq!(got.expect_err("it cuts"), RemoveError::Cut { asked, entry });
            return;
        }
        check_removed(&got.expect("memory"), range, &expected);
        drop(writer);
        self.clear(range);
    }

    fn remove_entry(&mut self, at: u64) {
        let expected = self.overlapping((at, at));
        let range = expected.first().map_or((at, at), |e| (e.0, e.1));
        let mut writer = self.map.write();
        let removed = writer.remove_entry(at).expect("memory");
        check_removed(&removed, range, &expected);
        drop(writer);
        self.clear(range);
    }

    fn extend_down(&mut self, at: u64, start: u64) {
        let got = self.map.write().extend_down(at, start);
        let Some(i) = self.model.iter().position(|e| e.0 <= at && at <= e.1) else {
            assert_eq!(got, Err(ExtendError::Absent { at }));
            return;
        };
        let (s, l, _) = self.model[i];
        let asked = Span::new(start.min(s), l).expect("a range");
        match i.checked_sub(1).map(|before| self.model[before]).filter(|before| start <= before.1) {
            Some((s, l, _)) if start < asked.start() || start < self.model[i].0 => {
                assert_eq!(got, Err(ExtendError::Blocked { asked, by: Span::new(s, l).expect("a range") }));
            }
            _ => {
                assert_eq!(got, Ok(asked));
                self.model[i].0 = asked.start();
            }
        }
    }

    fn extend_up(&mut self, at: u64, last: u64) {
        let got = self.map.write().extend_up(at, last);
        let Some(i) = self.model.iter().position(|e| e.0 <= at && at <= e.1) else {
            assert_eq!(got, Err(ExtendError::Absent { at }));
            return;
        };
        let (s, l, _) = self.model[i];
        let asked = Span::new(s, last.max(l)).expect("a range");
        if let Some(&(s, l, _)) = self.model.get(i + 1).filter(|after| last > l && last >= after.0) {
            assert_eq!(got, Err(ExtendError::Blocked { asked, by: Span::new(s, l).expect("a range") }));
        } else {
            assert_eq!(got, Ok(asked));
            self.model[i].1 = asked.last();
        }
    }

    /// By trying every address there is.
    fn gap(&self, (min, max): (u64, u64), size: u64, how: u8) {
        let align = 1u64 << (how % 5);
        let query = GapQuery::new(size).within(min..=max).aligned_to(align);
        let got = self.map.write().find_gap(&if how & 128 == 0 { query.lowest() } else { query.highest() });
        let window = Span::new(min, max).expect("a range");
        let expected = if size == 0 {
            Err(GapError::ZeroSize)
        } else if size - 1 > max - min {
            Err(GapError::SmallWindow { size, window })
        } else {
            // Every hole's two ends decide: the lowest aligned start in each, the highest in each.
            let mut candidates: Vec<u64> = Vec::new();
            let mut low = Some(0);
            let ends = self.model.iter().map(|e| (e.0.checked_sub(1), e.1.checked_add(1))).chain([(Some(u64::MAX), None)]);
            for hole_end in ends {
                if let (Some(low), (Some(high), _)) = (low, hole_end) {
                    let (from, to) = (low.max(min), high.min(max));
                    let room = (from..=to).take(64).chain((to.saturating_sub(64).max(from)..=to).filter(|_| from <= to));
                    candidates.extend(room.filter(|a| a % align == 0 && a.checked_add(size - 1).is_some_and(|last| last <= to)));
                }
                low = hole_end.1;
            }
            let best = if how & 128 == 0 { candidates.iter().min() } else { candidates.iter().max() };
            best.map(|&start| Span::new(start, start + (size - 1)).expect("a range")).ok_or(GapError::NotFound { size, align, window })
        };
        assert_eq!(got, expected, "gap of {size:#x} aligned to {align:#x} in {window}, {how}");
    }

    fn iterate(&self, (start, last): (u64, u64), turns: u8) {
        let mut expected: std::collections::VecDeque<Flat> = self.overlapping((start, last)).into();
        let pin = self.map.pin();
        let mut range = pin.range(start..=last).expect("a range");
        for turn in 0.. {
            let mut rest = Vec::new();
            range.clone().for_each(|e| rest.push(plain(e)));
            assert_eq!(expected, rest, "what is left, leaf by leaf");
            let from_back = turns >> (turn % 8) & 1 == 1;
            let (got, want) = if from_back { (range.next_back(), expected.pop_back()) } else { (range.next(), expected.pop_front()) };
            assert_eq!(got.map(plain), want);
            if want.is_none() {
                break;
            }
        }
        assert!(range.next().is_none() && range.next_back().is_none(), "fused");
    }

    fn segments(&self, (start, last): (u64, u64)) {
        let (mut expected, mut at) = (Vec::new(), Some(start));
        for (s, l, number) in self.overlapping((start, last)) {
            expected.extend(at.filter(|at| *at < s).map(|at| (at, s - 1, None)));
            expected.push((s.max(start), l.min(last), Some(number)));
            at = l.checked_add(1);
        }
        expected.extend(at.filter(|at| *at <= last).map(|at| (at, last, None)));
        let pin = self.map.pin();
        let segment = |s: Segment<'_, Box<Token>>| (s.span().start(), s.span().last(), s.entry().map(|e| e.value().number));
        assert_eq!(pin.segments(start..=last).expect("a range").map(segment).collect::<Vec<_>>(), expected);
        let gaps: Vec<_> = pin.gaps(start..=last).expect("a range").map(|gap| (gap.start(), gap.last(), None)).collect();
        expected.retain(|segment| segment.2.is_none());
        assert_eq!((pin.is_covered(start..=last), gaps), (Ok(expected.is_empty()), expected));
    }

    /// Compares everything that can be asked.
    pub(crate) fn check(&self) {
        let writer = self.map.write();
        writer.validate().expect("the invariants hold");
        assert!(writer.iter().map(plain).eq(self.model.iter().copied()), "{:?} is not {:x?}", *writer, self.model);
        assert_eq!(self.map.len(), self.model.len());
        drop(writer);
        let pin = self.map.pin();
        let mut reader = self.map.reader();
        let first = u8::try_from(self.fresh % u64::from(ASKED_ONE_IN)).expect("below it");
        let asked: Vec<u64> = (first..SIDE).step_by(usize::from(ASKED_ONE_IN)).map(address).collect();
        let mut answers = vec![None; asked.len()];
        pin.lookup_many(&asked, &mut answers);
        for (&a, many) in asked.iter().zip(answers) {
            let find = self.model.iter().find(|e| e.1 >= a).copied();
            let lookup = find.filter(|e| e.0 <= a);
            let next = self.model.iter().find(|e| e.0 > a).copied();
            let prev = self.model.iter().rev().find(|e| e.1 < a).copied();
            assert_eq!(pin.find(a).map(plain), find, "find {a:#x}");
            assert_eq!(pin.lookup(a).map(plain), lookup, "lookup {a:#x}");
            assert_eq!(many.map(plain), lookup, "lookup_many {a:#x}");
            assert_eq!(pin.next(a).map(plain), next, "next {a:#x}");
            assert_eq!(pin.prev(a).map(plain), prev, "prev {a:#x}");
            let gap = lookup.is_none().then(|| prev.map_or(0, |e| e.1 + 1)..=next.map_or(u64::MAX, |e| e.0 - 1));
            assert_eq!(pin.gap_at(a).map(Into::into), gap, "gap_at {a:#x}");
            assert_eq!(reader.lookup(a).map(plain), lookup, "Reader::lookup {a:#x}");
        }
        if first != 0 {
            return; // a step of a cursor is a question
        }
        let mut cursor = reader.cursor(..).expect("a range");
        let seen: Vec<Flat> = std::iter::from_fn(|| cursor.next().map(plain)).collect();
        assert_eq!(seen, self.model);
    }

    /// Ends the map; every value must be gone.
    pub(crate) fn finish(self) {
        let Self { map, census, .. } = self;
        drop(map);
        assert_eq!(census.0.load(Ordering::Relaxed), 0, "values dropped once each");
    }
}

fn check_removed(removed: &vmaple::map::Removed<'_, Box<Token>>, range: (u64, u64), expected: &[Flat]) {
    let got: Vec<Flat> = removed.iter().map(|r| (r.entry().start(), r.entry().last(), r.value().number)).collect();
    assert_eq!((got.as_slice(), removed.iter().len()), (expected, removed.iter().rev().count()));
    for r in removed {
        let part = (r.removed().start(), r.removed().last());
        assert_eq!(part, (r.entry().start().max(range.0), r.entry().last().min(range.1)));
        assert_eq!(r.was_cut(), part != (r.entry().start(), r.entry().last()));
    }
}

/// Applies all of them, checking after each.
pub(crate) fn replay(ops: &[Op]) {
    let mut pair = Pair::default();
    for &op in ops {
        pair.apply(op);
    }
    pair.finish();
}
