//! An address space as a program without this library would have it: a `BTreeMap` of VMAs by first address under a reader-writer lock, with plain
//! edits of ranges: cut, remove, insert, merge. It has no accounts, no limits and no plans.

use crate::calls::{Backing, Call, Flags, Place, Setup, Target, What};
use crate::regions::PAGE;
use crate::subject::{Forks, Resolves, Space};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A VMA, except its first address, which is the map's key.
#[derive(Clone, Copy, Debug)]
struct Vma {
    end: u64,
    flags: Flags,
    backing: Behind,
    /// The owner's word.
    value: u64,
}

/// The backing of a VMA, which is equal for all its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Anonymous,
    /// Offset minus address, wrapping.
    Private(u32, u64),
    Shared(u32, u64),
}

impl Behind {
    fn of(backing: Backing, start: u64) -> Self {
        match backing {
            Backing::Anonymous => Self::Anonymous,
            Backing::Private(object, offset) => Self::Private(object, offset.wrapping_sub(start)),
            Backing::Shared(object, offset) => Self::Shared(object, offset.wrapping_sub(start)),
        }
    }

    fn moved(self, from: u64, to: u64) -> Self {
        let moved = |linear: u64| linear.wrapping_add(from).wrapping_sub(to);
        match self {
            Self::Anonymous => Self::Anonymous,
            Self::Private(object, linear) => Self::Private(object, moved(linear)),
            Self::Shared(object, linear) => Self::Shared(object, moved(linear)),
        }
    }
}

impl Vma {
    fn is_like(&self, other: &Self) -> bool {
        self.flags == other.flags && self.backing == other.backing && self.value == other.value
    }
}

#[derive(Debug, Default)]
struct Layout {
    vmas: BTreeMap<u64, Vma>,
    top: u64,
    heap: u64,
    brk: u64,
}

impl Layout {
    /// Cuts the VMA that has addresses on both sides of `at`.
    fn cut(&mut self, at: u64) {
        if let Some((_, low)) = self.vmas.range_mut(..at).next_back().filter(|(_, vma)| vma.end > at) {
            let high = *low;
            low.end = at;
            self.vmas.insert(at, high);
        }
    }

    /// Removes everything in a range.
    fn remove(&mut self, start: u64, end: u64) {
        self.cut(start);
        self.cut(end);
        while let Some((&at, _)) = self.vmas.range(start..end).next() {
            self.vmas.remove(&at);
        }
    }

    /// Inserts a VMA in a free range, merged with its neighbours.
    fn insert(&mut self, start: u64, mut vma: Vma) {
        if let Some(next) = self.vmas.get(&vma.end).filter(|next| next.is_like(&vma)) {
            let end = next.end;
            self.vmas.remove(&vma.end);
            vma.end = end;
        }
        match self.vmas.range_mut(..start).next_back() {
            Some((_, prev)) if prev.end == start && prev.is_like(&vma) => prev.end = vma.end,
            _ => _ = self.vmas.insert(start, vma),
        }
    }

    fn map(&mut self, start: u64, len: u64, what: What) -> u64 {
        self.insert(start, Vma { end: start + len, flags: what.flags, backing: Behind::of(what.backing, start), value: 0 });
        start
    }

    fn protect(&mut self, start: u64, end: u64, access: Flags) {
        self.cut(start);
        self.cut(end);
        let mut at = start;
        while let Some((&from, vma)) = self.vmas.range_mut(at..end).next() {
            vma.flags = vma.flags.with_access(access);
            at = vma.end;
            self.merge_before(from);
        }
        assert_eq!(at, end, "there is a gap in what is protected");
        self.merge_before(end);
    }

    /// Merges the VMA that starts there with the one before, if they are alike.
    fn merge_before(&mut self, at: u64) {
        let Some(vma) = self.vmas.get(&at).copied() else { return };
        if let Some((_, prev)) = self.vmas.range_mut(..at).next_back().filter(|(_, prev)| prev.end == at && prev.is_like(&vma)) {
            prev.end = vma.end;
            self.vmas.remove(&at);
        }
    }

    fn remap(&mut self, at: u64, old: u64, new: u64, target: Target) -> u64 {
        let (_, vma) = self.vmas.range(..=at).next_back().expect("what is remapped is mapped");
        let vma = *vma;
        if let Target::There(to) = target {
            self.remove(to, to + new);
            self.remove(at, at + old);
            self.insert(to, Vma { end: to + new, backing: vma.backing.moved(at, to), ..vma });
            return to;
        }
        if new < old {
            self.remove(at + new, at + old);
        } else if new > old {
            self.insert(at + old, Vma { end: at + new, ..vma });
        }
        at
    }

    fn brk(&mut self, brk: u64) -> u64 {
        if brk >= self.heap {
            let (old, new) = (self.brk.next_multiple_of(PAGE), brk.next_multiple_of(PAGE));
            if new < old {
                self.remove(new, old);
            } else if new > old {
                self.map(old, new - old, What::anonymous(Flags::DATA));
            }
            self.brk = brk;
        }
        self.brk
    }

    /// Returns the highest gap below the top.
    fn room(&self, len: u64) -> u64 {
        let mut end = self.top;
        for (&start, vma) in self.vmas.range(..self.top).rev() {
            if end - vma.end >= len {
                break;
            }
            end = start;
        }
        end - len
    }

    fn is_free(&self, start: u64, end: u64) -> bool {
        self.vmas.range(..end).next_back().is_none_or(|(_, vma)| vma.end <= start)
    }
}

/// The address space.
#[derive(Debug)]
pub struct LockedSpace(RwLock<Layout>);

impl LockedSpace {
    /// All VMAs: first address, end, access.
    #[cfg(test)]
    pub(super) fn layout(&self) -> Vec<(u64, u64, u8)> {
        self.0.read().vmas.iter().map(|(&start, vma)| (start, vma.end, vma.flags.access().0)).collect()
    }
}

impl Space for LockedSpace {
    const NAME: &'static str = super::BASE;

    fn new(setup: &Setup) -> Self {
        Self(RwLock::new(Layout { top: setup.top, ..Layout::default() }))
    }

    #[inline]
    fn call(&self, call: &Call) -> u64 {
        let mut layout = self.0.write();
        match *call {
            Call::Map(Place::Anywhere, len, what) => {
                let at = layout.room(len);
                layout.map(at, len, what)
            }
            Call::Map(Place::Near(at), len, what) => {
                assert!(layout.is_free(at, at + len), "the place is free");
                layout.map(at, len, what)
            }
            Call::Map(Place::Fixed(at), len, what) => {
                layout.remove(at, at + len);
                layout.map(at, len, what)
            }
            Call::Unmap(at, len) => {
                layout.remove(at, at + len);
                0
            }
            Call::Protect(at, len, access) => {
                layout.protect(at, at + len, access);
                0
            }
            Call::Remap(at, old, new, target) => layout.remap(at, old, new, target),
            Call::Brk(brk) => layout.brk(brk),
            Call::Heap(start) => {
                (layout.heap, layout.brk) = (start, start);
                start
            }
        }
    }
}

impl Resolves for LockedSpace {
    #[inline]
    fn is_mapped(&self, address: u64) -> bool {
        self.0.read().vmas.range(..=address).next_back().is_some_and(|(_, vma)| vma.end > address)
    }
}

impl Forks for LockedSpace {
    fn fork(&self) -> Duration {
        let layout = self.0.write();
        let begin = Instant::now();
        let child = Self(RwLock::new(Layout { vmas: layout.vmas.clone(), ..*layout }));
        let took = begin.elapsed();
        drop(layout);
        drop(child);
        took
    }
}
