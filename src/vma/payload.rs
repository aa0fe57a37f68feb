//! The trait of what an embedder keeps with each VMA: how it is split, merged and moved, and hooks for changes of pages.
//!
//! Called by the operations of `mm`.

use super::flags::VmaFlags;
use crate::addr::Span;
use alloc::string::String;
use alloc::sync::Arc;

/// What the embedder keeps with each VMA.
///
/// While an operation plans, it calls `merges_with`, `merged`, `part`, `moved`, `may_split` and `may_vanish`. Nothing has changed then, so
/// a panic leaves everything as it was. When the new layout is in the index, it calls the hooks `unmapped`, `protected` and `pages_moved`,
/// which tell an embedder's page tables what became of pages. All of them are called while the mm lock is held for writing.
///
/// # Dropping
/// No payload is dropped while the mm lock is held, so its `Drop` may use the address space. The payload of an unmapped VMA is dropped by
/// this or a later writer, once no reader can reach it, or by the last clone of the record. Copies that an operation made while it planned are
/// dropped after its guard has released the lock, whether the operation was committed, refused or abandoned, or has unwound; after a
/// [`downgrade`](crate::mm::MmWriteGuard::downgrade), after the read guard has. A panic in such a drop is caught.
///
/// A payload that the caller owns is dropped by the caller: that of a [`MapRequest`](crate::mm::MapRequest), or of a specification that a
/// [`InsertVmaError`](crate::mm::InsertVmaError) returns. In `mm.write().mmap(&MapRequest::new(..))` the request is dropped before the guard.
///
/// # Panics
/// If a hook panics, the hooks of other VMAs are called nevertheless. Then the first panic continues; the payloads of later panics are
/// leaked.
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
/// assert_eq!(mm.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Payload: Clone {
    /// Returns whether a VMA with this payload may merge with the adjacent VMA above it, whose payload is `next`. Called only if the flags,
    /// the backings, the offsets and the owners of the two allow the merge (5.7, 5.9).
    fn merges_with(&self, next: &Self) -> bool;

    /// Returns the payload of a merged VMA. By default a clone of this one.
    #[must_use]
    fn merged(&self, next: &Self) -> Self {
        let _ = next;
        self.clone()
    }

    /// Returns the payload of a part of the VMA, when the rest is unmapped or changed. By default a clone of this one.
    #[must_use]
    fn part(&self, whole: Span, part: Span) -> Self {
        let _ = (whole, part);
        self.clone()
    }

    /// Returns the payload of a part that is moved. By default a clone of this one.
    #[must_use]
    fn moved(&self, from: Span, to: Span) -> Self {
        let _ = (from, to);
        self.clone()
    }

    /// Returns whether the VMA may be split so that its upper part begins at `at` (5.14). If not, the operation fails with `EINVAL`. By
    /// default true.
    ///
    /// # Examples
    /// Pages of a device that come four at a time:
    /// ```
    /// use vmaple::mm::{MapRequest, Payload};
    /// use vmaple::{ErrorCode, Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};
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

    /// Returns whether the VMA may disappear in a merge. Not if its end must be noticed (Linux's close hook, 5.12). By default true.
    fn may_vanish(&self) -> bool {
        true
    }

    /// Hook: these pages were unmapped. Another mapping may already be in their place. By default does nothing.
    fn unmapped(&self, pages: Span) {
        let _ = pages;
    }

    /// Hook: the access that these pages allow has changed. By default does nothing.
    fn protected(&self, pages: Span, flags: VmaFlags) {
        let _ = (pages, flags);
    }

    /// Hook: the pages at `from` were moved to the start of `to`, as many as fit both. By default does nothing.
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

/// Merges if both share one value. Equal values do not merge.
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
