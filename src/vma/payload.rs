//! What the embedder keeps with each VMA: how it is split, merged and moved, and who is told what becomes of pages.

use super::flags::VmaFlags;
use crate::addr::Span;
use std::sync::Arc;

/// What the embedder keeps with each VMA.
///
/// An operation of the layout asks it while it plans: whether two payloads may become one, and for the payloads of parts; nothing has
/// happened then, and a panic leaves all as it was. When the new layout is in the index, the hooks tell who keeps page tables what became
/// of pages, under the write guard still.
///
/// # Dropping
/// No payload is dropped while the mm lock is held, so its `Drop` may use the address space. A payload of a VMA that was unmapped is dropped
/// by a later writer, when no reader can reach it any more. Copies that an operation made while it planned are dropped when its guard has
/// released the lock, whether the operation was committed, refused or abandoned, or unwound; after a
/// [`downgrade`](crate::mm::MmWriteGuard::downgrade), when the read guard has. A panic in such a drop is contained.
///
/// A payload that the caller owns is the caller's to drop: that of a [`MapRequest`](crate::mm::MapRequest), or of a specification that a
/// [`MapError`](crate::mm::MapError) hands back. In `mm.write().mmap(&MapRequest::new(..))` the request is dropped before the guard.
///
/// # Panics
/// A hook that panics does not keep the hooks of other VMAs from being called. The first panic goes on when all were called; what later ones
/// panic with is leaked.
///
/// # Examples
/// ```
/// use vmaple::mm::{MapRequest, Payload};
/// use vmaple::{Mm, VmaFlags, VmaSpec};
///
/// /// Which NUMA node pages come from.
/// #[derive(Clone, Debug)]
/// struct Node(u8);
///
/// impl Payload for Node {
///     fn merges_with(&self, next: &Self) -> bool {
///         self.0 == next.0
///     }
/// }
///
/// let mm: Mm<Node> = Mm::builder().build();
/// let on = |node| MapRequest::new(0x2000, VmaSpec::anonymous(VmaFlags::READ).with_payload(Node(node)));
/// for node in [1, 1, 2] {
///     mm.write().mmap(&on(node))?;
/// }
/// // The first two merged; the third is of another node.
/// assert_eq!(mm.map_count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Payload: Clone {
    /// Whether this one, of the lower VMA, and `next`, of the one that touches it from above, may become one. Asked where all else agrees.
    fn merges_with(&self, next: &Self) -> bool;

    /// What the merged VMA has: as this one, unless said otherwise.
    #[must_use]
    fn merged(&self, next: &Self) -> Self {
        let _ = next;
        self.clone()
    }

    /// What a part of the VMA has that stays, or is changed: as the whole, unless said otherwise.
    #[must_use]
    fn part(&self, whole: Span, part: Span) -> Self {
        let _ = (whole, part);
        self.clone()
    }

    /// What a part has that is moved: as the whole, unless said otherwise.
    #[must_use]
    fn moved(&self, from: Span, to: Span) -> Self {
        let _ = (from, to);
        self.clone()
    }

    /// Whether the VMA of these addresses may be split so that its upper part begins at the address `at` (5.14). Where it may not be, the
    /// operation fails with `EINVAL`.
    ///
    /// # Examples
    /// Pages of a device that come four at a time:
    /// ```
    /// use vmaple::mm::{MapRequest, Payload};
    /// use vmaple::{Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};
    ///
    /// #[derive(Clone)]
    /// struct ByFours;
    ///
    /// impl Payload for ByFours {
    ///     fn merges_with(&self, _next: &Self) -> bool {
    ///         true
    ///     }
    ///     fn may_split(&self, whole: Span, at: u64) -> bool {
    ///         (at - whole.start()).is_multiple_of(4 * PAGE_SIZE)
    ///     }
    /// }
    ///
    /// let mm: Mm<ByFours> = Mm::builder().build();
    /// let at = mm.write().mmap(&MapRequest::new(8 * PAGE_SIZE, VmaSpec::anonymous(VmaFlags::READ).with_payload(ByFours)))?;
    /// assert!(mm.write().munmap(at, PAGE_SIZE).is_err_and(|error| error.errno() == 22)); // EINVAL
    /// assert!(mm.write().munmap(at, 4 * PAGE_SIZE).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn may_split(&self, whole: Span, at: u64) -> bool {
        let _ = (whole, at);
        true
    }

    /// Whether the VMA may vanish in a merge: not, where its end must be told (Linux's close hook, 5.12).
    fn may_vanish(&self) -> bool {
        true
    }

    /// Hook: these pages are mapped no more. Another mapping may be there already.
    fn unmapped(&self, pages: Span) {
        let _ = pages;
    }

    /// Hook: what may be done to these pages is another.
    fn protected(&self, pages: Span, flags: VmaFlags) {
        let _ = (pages, flags);
    }

    /// Hook: the pages that were mapped at `from` are mapped from `to` on, as many as both have.
    fn pages_moved(&self, from: Span, to: Span) {
        let _ = (from, to);
    }
}

macro_rules! merges_if_equal {
    ($($t:ty),*) => { $(
        impl Payload for $t {
            fn merges_with(&self, next: &Self) -> bool {
                self == next
            }
        }
    )* };
}

merges_if_equal!((), bool, char, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, &'static str, String);

/// The same value is shared, not an equal one.
impl<T: ?Sized> Payload for Arc<T> {
    fn merges_with(&self, next: &Self) -> bool {
        Self::ptr_eq(self, next)
    }
}

impl<T: Payload> Payload for Option<T> {
    fn merges_with(&self, next: &Self) -> bool {
        match (self, next) {
            (Some(one), Some(next)) => one.merges_with(next),
            (None, None) => true,
            _ => false,
        }
    }

    fn merged(&self, next: &Self) -> Self {
        self.as_ref().zip(next.as_ref()).map(|(one, next)| one.merged(next))
    }

    fn part(&self, whole: Span, part: Span) -> Self {
        self.as_ref().map(|payload| payload.part(whole, part))
    }

    fn moved(&self, from: Span, to: Span) -> Self {
        self.as_ref().map(|payload| payload.moved(from, to))
    }

    fn may_split(&self, whole: Span, at: u64) -> bool {
        self.as_ref().is_none_or(|payload| payload.may_split(whole, at))
    }

    fn may_vanish(&self) -> bool {
        self.as_ref().is_none_or(T::may_vanish)
    }

    fn unmapped(&self, pages: Span) {
        if let Some(payload) = self {
            payload.unmapped(pages);
        }
    }

    fn protected(&self, pages: Span, flags: VmaFlags) {
        if let Some(payload) = self {
            payload.protected(pages, flags);
        }
    }

    fn pages_moved(&self, from: Span, to: Span) {
        if let Some(payload) = self {
            payload.pages_moved(from, to);
        }
    }
}
