//! Lookup, find, next and prev: descents with one load per level, which write nothing and wait for nothing. Called through a [`View`].
//!
//! A writer may be changing the tree meanwhile. That nodes stay readable was promised when the [`View`] was made (`Tree::view`).
//! `docs/linearizability.md` proves the answers right.

use super::super::node::{ByGroups, InnerRef, LeafRef, Node, NodePtr, Ranks, ReaderRole, Root, by_vectors};
use super::entry::Entry;
use crate::addr::Span;
use crate::sync::seeded;
use core::fmt;
use core::ops;
use core::ptr;

/// How many descents `lookup_many` runs at once: enough to cover the latency of memory, and few enough for the processor's line-fill
/// buffers.
const IN_FLIGHT: usize = 16;

/// The lookups and iterations of a map. Every guard of a map dereferences to it, and a [`Reader`](crate::map::Reader) lends one.
///
/// A view through a pin is not a snapshot: two lookups may see two states, and so may two steps of an iteration. A view through a lock guard
/// shows one state.
///
/// # Concurrency
/// Takes no lock and writes nothing. [`lookup`](Self::lookup) and [`find`](Self::find) are wait-free: they take as many steps as
/// the tree is high, and never retry. So is [`next`](Self::next), unless the address is in the last entry of a leaf. Then it, and
/// [`prev`](Self::prev), [`gap_at`](Self::gap_at) and a step backward of an iteration to another leaf, are lock-free: they retry only if the
/// writer has changed that leaf, or the entry below it, meanwhile. Each answer is linearizable: it was true at one moment during the call.
/// What an iteration returns was true at one moment since it began.
#[repr(transparent)]
pub struct View<V> {
    root: Root<V>,
}

impl<V: fmt::Debug> fmt::Debug for View<V> {
    /// Shows all entries, as a map from spans to values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|entry| (entry.span(), entry.value()))).finish()
    }
}

/// The end of a descent: the leaf, the key of the nearest subtree to the left (`None` on the left edge), and the leaf's parent with the
/// leaf's index there (`None` if the leaf is the root).
pub(in crate::tree) struct Arrival<'g, V> {
    pub(in crate::tree) leaf: LeafRef<'g, V, ReaderRole>,
    pub(in crate::tree) below: Option<u64>,
    pub(in crate::tree) parent: Option<(InnerRef<'g, V, ReaderRole>, usize)>,
}

impl<V> View<V> {
    /// Makes the view of a root. Called by `Tree::view`.
    #[allow(unsafe_code, reason = "a transparent wrapper")]
    pub(in crate::tree) fn of(root: &Root<V>) -> &Self {
        // SAFETY: `View` is `Root`, transparently.
        unsafe { &*ptr::from_ref(root).cast::<Self>() }
    }

    #[inline]
    #[allow(unsafe_code, reason = "the reader's one step into a node")]
    fn node(&self, node: NodePtr<V>) -> Node<'_, V, ReaderRole> {
        // SAFETY: not null, by the callers; loaded from a slot under this view, whose maker keeps retired nodes from reuse (T7, O3).
        unsafe { node.get() }
    }

    /// Returns the leaf that routes the address, or `None` in an empty tree.
    #[inline]
    pub(in crate::tree) fn leaf(&self, address: u64) -> Option<LeafRef<'_, V, ReaderRole>> {
        self.leaf_by(ByGroups, address)
    }

    /// [`leaf`](Self::leaf), with a way to count ranks.
    #[inline]
    fn leaf_by(&self, way: impl Ranks, address: u64) -> Option<LeafRef<'_, V, ReaderRole>> {
        let mut node = self.root.0.load();
        if node.is_null() {
            return None;
        }
        loop {
            match self.node(node) {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Inner(inner) => node = inner.child(inner.rank_by(way, address)),
            }
        }
    }

    /// Returns child `i` of a node whose children are leaves.
    #[inline]
    pub(in crate::tree) fn leaf_at<'g>(&'g self, parent: InnerRef<'g, V, ReaderRole>, i: usize) -> LeafRef<'g, V, ReaderRole> {
        match self.node(parent.child(i)) {
            Node::Leaf(leaf) => leaf,
            Node::Inner(_) => unreachable!("T3: all leaves are at one depth"),
        }
    }

    /// Descends to the leaf that routes the address, and notes the nearest key to the left of the path, and the leaf's parent.
    pub(in crate::tree) fn arrive(&self, address: u64) -> Option<Arrival<'_, V>> {
        let mut node = self.root.0.load();
        let mut below = None;
        let mut parent = None;
        if node.is_null() {
            return None;
        }
        loop {
            match self.node(node) {
                Node::Leaf(leaf) => return Some(Arrival { leaf, below, parent }),
                Node::Inner(inner) => {
                    let i = inner.rank(address);
                    // T2: the key of the nearest subtree to the left is the last address that is mapped below this subtree.
                    below = if i > 0 { Some(inner.last(i - 1)) } else { below };
                    parent = Some((inner, i));
                    node = inner.child(i);
                }
            }
        }
    }

    /// Returns the entry that contains the address, or `None` if there is none.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map = RangeMap::new();
    /// map.write().insert(0x1000..0x3000, 7u64).unwrap();
    /// assert_eq!(map.pin().lookup(0x2fff).map(|entry| *entry.value()), Some(7));
    /// assert!(map.pin().lookup(0x3000).is_none());
    /// ```
    #[inline(always)]
    #[must_use]
    #[allow(clippy::inline_always, reason = "both ways of counting ranks make it look long; a call for each question costs a fifth of one")]
    pub fn lookup(&self, address: u64) -> Option<Entry<'_, V>> {
        self.find(address).filter(|entry| entry.start() <= address)
    }

    /// Returns the entry that contains the address, or else the first one above it. `None` if there is neither.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map = RangeMap::new();
    /// map.write().insert(0x1000..0x3000, 7u64).unwrap();
    /// assert_eq!(map.pin().find(0).map(|entry| entry.start()), Some(0x1000));
    /// assert!(map.pin().find(0x3000).is_none());
    /// ```
    #[inline(always)]
    #[must_use]
    #[allow(clippy::inline_always, reason = "both ways of counting ranks make it look long; a call for each question costs a fifth of one")]
    pub fn find(&self, address: u64) -> Option<Entry<'_, V>> {
        match by_vectors() {
            Some(way) => self.find_by(way, address),
            None => self.find_by(ByGroups, address),
        }
    }

    #[inline]
    fn find_by(&self, way: impl Ranks, address: u64) -> Option<Entry<'_, V>> {
        let leaf = self.leaf_by(way, address)?;
        let i = leaf.rank_by(way, address);
        (i < leaf.len()).then(|| entry(leaf, i))
    }

    /// Returns the first entry that starts after the address, or `None` if there is none.
    #[must_use]
    pub fn next(&self, address: u64) -> Option<Entry<'_, V>> {
        loop {
            let leaf = self.leaf(address)?;
            let i = leaf.rank(address);
            if i == leaf.len() {
                return None;
            }
            let here = entry(leaf, i);
            if here.start() > address {
                return Some(here);
            }
            if i + 1 < leaf.len() {
                return Some(entry(leaf, i + 1));
            }
            let after = here.last().checked_add(1)?;
            let next = self.find(after);
            // `next` is the answer if `here` was still an entry at that moment, and it was if its leaf was live then.
            if self.is_leaf_of(leaf, address) {
                return next;
            }
        }
    }

    /// Returns the last entry that lies wholly below the address, or `None` if there is none.
    #[must_use]
    pub fn prev(&self, address: u64) -> Option<Entry<'_, V>> {
        self.last_below(address, Containing::No).map(|(leaf, i, start)| entry_from(leaf, i, start))
    }

    /// Returns the gap that contains the address: all addresses from the entry below it to the entry above. `None` if an entry contains the
    /// address.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{RangeMap, Span};
    /// let map = RangeMap::builder().build_from([(0x1000..0x3000, 'a'), (0x5000..0x6000, 'b')]).unwrap();
    /// assert_eq!(map.pin().gap_at(0x4000), Some(Span::new(0x3000, 0x4fff)?));
    /// assert_eq!(map.pin().gap_at(0x2000), None);
    /// # Ok::<(), vmaple::RangeError>(())
    /// ```
    #[must_use]
    pub fn gap_at(&self, address: u64) -> Option<Span> {
        loop {
            let Some(Arrival { leaf, below, .. }) = self.arrive(address) else { return Some(Span::ALL) };
            let i = leaf.rank(address);
            let above = (i < leaf.len()).then(|| leaf.start(i));
            if above.is_some_and(|start| start <= address) {
                return None;
            }
            // The entry below is in this leaf, or ends at `below` in the leaf to the left. Then the gap is true at the moment at which that
            // entry is found: the start above is the same before and after, and the leaf is still live (docs/linearizability.md).
            let below = if i > 0 { Some(leaf.last(i - 1)) } else { below };
            let is_settled =
                i > 0 || below.is_none_or(|below| self.ends_at(below) && Some(leaf.start(0)) == above && self.is_leaf_of(leaf, address));
            if is_settled {
                return Some(Span::from_entry(below.map_or(0, |below| below + 1), above.map_or(u64::MAX, |start| start - 1)));
            }
        }
    }

    /// Returns whether an entry ends at the address.
    fn ends_at(&self, address: u64) -> bool {
        self.find(address).is_some_and(|entry| entry.last() == address)
    }

    /// Returns whether the leaf routes the address now. If so, it was live since it was first reached, because a leaf never comes back.
    fn is_leaf_of(&self, leaf: LeafRef<'_, V, ReaderRole>, address: u64) -> bool {
        self.leaf(address).is_some_and(|now| now.is(leaf))
    }

    /// Finds the last entry below the address, or, with `Containing::Yes`, the entry that contains it. Returns its leaf, its index there
    /// and its start.
    pub(super) fn last_below(&self, address: u64, containing: Containing) -> Option<(LeafRef<'_, V, ReaderRole>, usize, u64)> {
        loop {
            let Arrival { leaf, below, .. } = self.arrive(address)?;
            let i = leaf.rank(address);
            if contains_at(leaf, i, address, containing) {
                return Some((leaf, i, leaf.start(i)));
            }
            if i > 0 {
                return Some((leaf, i - 1, leaf.start(i - 1)));
            }
            // Nothing in this leaf is below the address. If there is an answer, it ends at `below`, in the leaf to the left.
            let below = below?;
            let left = self.leaf(below)?;
            let k = left.rank(below);
            if k == left.len() || left.last(k) != below {
                continue;
            }
            // Loaded before the check below, because after it another entry may become the answer, and this one may grow down.
            let start = left.start(k);
            // It was the answer if the leaf was live meanwhile: then the leaf's lower boundary only fell (T8), and `left` would show that
            // it fell. Nor may an entry have grown down over the address.
            let is_live = self.is_leaf_of(leaf, address);
            if is_live && !contains_at(leaf, i, address, containing) {
                return Some((left, k, if seeded("prev_start_after_check") { left.start(k) } else { start }));
            }
        }
    }

    /// Looks up many addresses at once, several descents at a time, so that their cache misses overlap.
    ///
    /// Sets `answers[i]` to the result of `lookup(addresses[i])`.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn lookup_many<'g>(&'g self, addresses: &[u64], answers: &mut [Option<Entry<'g, V>>]) {
        assert_eq!(addresses.len(), answers.len(), "lookup_many needs one answer for each address");
        match by_vectors() {
            Some(way) => self.lookup_many_by(way, addresses, answers),
            None => self.lookup_many_by(ByGroups, addresses, answers),
        }
    }

    fn lookup_many_by<'g>(&'g self, way: impl Ranks, addresses: &[u64], answers: &mut [Option<Entry<'g, V>>]) {
        for (addresses, answers) in addresses.chunks(IN_FLIGHT).zip(answers.chunks_mut(IN_FLIGHT)) {
            let mut nodes = [self.root.0.load(); IN_FLIGHT];
            if nodes[0].is_null() {
                answers.fill(None);
                continue;
            }
            // All start at one root and all leaves are at one depth (T3), so they arrive together.
            loop {
                let mut moving = false;
                for (&address, node) in addresses.iter().zip(&mut nodes) {
                    if let Node::Inner(inner) = self.node(*node) {
                        *node = inner.child(inner.rank_by(way, address));
                        node.prefetch();
                        moving = true;
                    }
                }
                if !moving {
                    break;
                }
            }
            for ((&address, node), answer) in addresses.iter().zip(nodes).zip(answers) {
                let Node::Leaf(leaf) = self.node(node) else { unreachable!("every descent ended at a leaf") };
                let i = leaf.rank_by(way, address);
                *answer = (i < leaf.len()).then(|| entry(leaf, i)).filter(|entry| entry.start() <= address);
            }
        }
    }
}

/// Whether an entry that contains the address counts as one below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tree) enum Containing {
    Yes,
    No,
}

fn contains_at<V>(leaf: LeafRef<'_, V, ReaderRole>, i: usize, address: u64, containing: Containing) -> bool {
    containing == Containing::Yes && i < leaf.len() && leaf.start(i) <= address
}

/// Iterates over some entries of a leaf, each as it is when its turn comes.
#[inline]
pub(in crate::tree) fn entries<V>(leaf: LeafRef<'_, V, ReaderRole>, range: ops::Range<usize>) -> impl Iterator<Item = Entry<'_, V>> {
    leaf.read(range).map(|(start, last, value)| Entry::new(Span::from_entry(start, last), value))
}

/// Returns entry `i` of a leaf, as it is now.
#[inline]
pub(in crate::tree) fn entry<V>(leaf: LeafRef<'_, V, ReaderRole>, i: usize) -> Entry<'_, V> {
    entry_from(leaf, i, leaf.start(i))
}

/// Returns entry `i` of a leaf, with a start that it had.
#[inline]
fn entry_from<V>(leaf: LeafRef<'_, V, ReaderRole>, i: usize, start: u64) -> Entry<'_, V> {
    Entry::new(Span::from_entry(start, leaf.last(i)), leaf.value(i))
}
