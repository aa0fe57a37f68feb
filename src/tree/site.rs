//! WRITER: where the edit under way is: a range, and the way from the root to the leaf that routes its first address.
//!
//! `edit` comes in to find a place, `splice` and `publish` to change what is there, `gap` and the guards above to look around in it.

use super::edit::Editor;
use super::node::{LeafRef, Node, NodePtr};
use super::walk::Entry;
use crate::addr::Span;
use crate::sync::seeded;
use crate::value::Value;
use smallvec::SmallVec;

/// One step of a descent: an inner node, and the child taken.
#[derive(Debug)]
pub(super) struct Step<V> {
    pub(super) node: NodePtr<V>,
    pub(super) index: usize,
}

impl<V> Clone for Step<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Step<V> {}

/// The way from the root to the leaf that routes an address. The leaf is null in an empty tree.
#[derive(Debug)]
pub(super) struct Route<V> {
    pub(super) steps: SmallVec<[Step<V>; 12]>,
    leaf: NodePtr<V>,
}

impl<V> Clone for Route<V> {
    fn clone(&self) -> Self {
        Self { steps: SmallVec::from_slice(&self.steps), leaf: self.leaf }
    }
}

impl<V> Route<V> {
    pub(super) fn depth(&self) -> usize {
        self.steps.len()
    }

    pub(super) fn leaf(&self) -> NodePtr<V> {
        self.leaf
    }

    /// The step to the leaf, or `None` if the leaf is the root.
    pub(super) fn parent(&self) -> Option<Step<V>> {
        self.steps.last().copied()
    }

    /// The steps above a depth, nearest first.
    pub(super) fn steps_above(&self, depth: usize) -> impl DoubleEndedIterator<Item = Step<V>> + '_ {
        self.steps[..depth].iter().rev().copied()
    }

    /// Whether what hangs at a depth is the last of its level.
    pub(super) fn is_right_edge(&self, depth: usize) -> bool {
        self.steps[..depth].iter().all(|step| step.index + 1 == step.node.len())
    }
}

/// Where the edit under way is: a range, and the route of its first address. The writer has one, which each edit sets by `locate`: it is
/// large to move. Until an edit is published the route is good for all addresses of its leaf, so who looks there first has gone the way.
#[derive(Debug)]
pub(super) struct Site<V> {
    pub(super) span: Span,
    pub(super) route: Route<V>,
    /// What the route's leaf routes: from `low` to its key, `bound`; nothing where that lies below.
    pub(super) low: u64,
    pub(super) bound: u64,
}

impl<V> Default for Site<V> {
    fn default() -> Self {
        let (low, bound) = NOWHERE;
        Self { span: Span::ALL, route: Route { steps: SmallVec::new(), leaf: NodePtr::NULL }, low, bound }
    }
}

/// What a site routes that is not anywhere.
const NOWHERE: (u64, u64) = (u64::MAX, 0);

impl<V> Site<V> {
    /// Its route leads nowhere any more: an edit was published.
    pub(super) fn forget(&mut self) {
        if !seeded("site_kept") {
            self.route.leaf = NodePtr::NULL;
            (self.low, self.bound) = NOWHERE;
        }
    }

    /// Whether it is at an address.
    pub(super) fn is_at(&self, address: u64) -> bool {
        (self.low..=self.bound).contains(&address)
    }
}

impl<V: Value> Editor<'_, V> {
    /// Goes down to the first address of a range, where the site is not there yet: the site of the edit to come.
    pub(crate) fn locate(&mut self, span: Span) {
        if !self.writer.site.is_at(span.start()) {
            (self.writer.site.low, self.writer.site.bound) = self.descend(span.start());
        }
        self.writer.site.span = span;
    }

    /// Goes down the route of an address, the site's from now on; tells what the leaf routes.
    fn descend(&mut self, address: u64) -> (u64, u64) {
        let (mut node, mut low, mut bound) = (self.root.slot.owner_load(), 0, u64::MAX);
        self.writer.site.route.steps.clear();
        while !node.is_null() {
            let Node::Inner(inner) = self.node(node) else { break };
            let index = inner.rank(address);
            self.writer.site.route.steps.push(Step { node, index });
            low = if index > 0 { inner.last(index - 1) + 1 } else { low };
            (node, bound) = (inner.owner_child(index), inner.last(index));
        }
        self.writer.site.route.leaf = node;
        (low, bound)
    }

    /// Whether the site, if it is anywhere, is where what it routes leads to from the root.
    pub(super) fn is_site_good(&self) -> bool {
        let Site { ref route, low, bound, .. } = self.writer.site;
        let mut node = self.root.slot.owner_load();
        let mut leads = |step: &Step<V>| {
            let Some(inner) = (step.node == node).then(|| self.inner(node)) else { return false };
            node = inner.owner_child(step.index);
            inner.rank(low) == step.index && inner.rank(bound) == step.index
        };
        (low, bound) == NOWHERE || route.steps.iter().all(&mut leads) && node == route.leaf
    }

    /// Shows the entries in the site's range, in order.
    pub(crate) fn each_located<'e, E>(&'e self, mut see: impl FnMut(Entry<'e, V>) -> Result<(), E>) -> Result<(), E> {
        let Site { span, ref route, bound, .. } = self.writer.site;
        debug_assert!(self.writer.site.is_at(span.start()), "nothing was published since `locate`");
        let Some(leaf) = self.leaf(route.leaf) else { return Ok(()) };
        for i in leaf.rank(span.start())..leaf.len() {
            let entry = Entry::new(entry_span(leaf, i), leaf.value(i));
            if entry.start() > span.last() {
                return Ok(());
            }
            see(entry)?;
        }
        // No entry sticks out of what a leaf routes: the next begins behind.
        if bound < span.last() { self.view().within(Span::from_entry(bound + 1, span.last())).try_for_each(see) } else { Ok(()) }
    }

    /// The route of the site's last address.
    pub(super) fn right_route(&mut self) -> Route<V> {
        let Site { span, ref route, bound, .. } = self.writer.site;
        let left = route.clone();
        if span.last() <= bound {
            return left;
        }
        self.descend(span.last());
        let right = core::mem::replace(&mut self.writer.site.route, left);
        if seeded("shared_right_side") && self.leaf(right.leaf).is_some_and(|leaf| span.last() < leaf.owner_start(0)) {
            // T8 broken on purpose: what routes the end of the range but holds nothing of it is left as it is.
            return self.writer.site.route.clone();
        }
        right
    }

    /// The first entry in the site's range.
    pub(super) fn first_in(&self) -> Option<Span> {
        let site = &self.writer.site;
        let leaf = self.leaf(site.route.leaf)?;
        let i = leaf.rank(site.span.start());
        // Where the leaf routes less than the range, its last entry ends inside the range: so none here is none at all.
        (i < leaf.len() && leaf.owner_start(i) <= site.span.last()).then(|| entry_span(leaf, i))
    }
}

pub(super) fn entry_span<V>(leaf: LeafRef<'_, V>, i: usize) -> Span {
    Span::from_entry(leaf.owner_start(i), leaf.last(i))
}
