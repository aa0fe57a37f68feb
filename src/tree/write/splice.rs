//! The one edit: replaces everything in a range. Called by `edit`, and in two steps by `prepared`.
//!
//! The index changes in no other way, except that a start may be lowered in place. The replacement is built privately, by `leaf_edit` if it
//! is one leaf and by `groups` otherwise; then `publish` makes it visible.

use super::super::memory::Charge;
use super::super::node::RawEntry;
use super::pending::Retire;
use super::position::Position;
use super::publish::Replacement;
use crate::error::ResourceError;
use crate::unwind::{self, Panic};
use crate::value::Value;
use core::ptr::NonNull;

impl<'t, V: Value> Position<'_, 't, V> {
    /// Replaces everything in the range by `inserted` (in order, inside the range), and keeps the parts of cut entries that stick out.
    /// `cut` makes the second value if an entry is cut in two. If it panics, nothing has happened.
    ///
    /// Afterwards the writer's pending edit has the entries that were in the range, until the next edit.
    #[inline]
    pub(super) fn splice(
        mut self,
        inserted: &[RawEntry<V>],
        retire: Retire,
        charge: Charge,
        cut: impl FnOnce(&V) -> V,
    ) -> Result<(), ResourceError> {
        let replacement = self.replacement(inserted, retire, charge)?;
        // The embedder's clone comes after everything else that can fail, so that no clone is made for a splice that fails.
        if let Some((value, hole)) = self.editor.writer.pending.hole {
            match clone_of(value, cut) {
                Ok(clone) => self.editor.fill(hole, clone),
                Err(panic) => {
                    self.editor.abandon();
                    unwind::resume(panic);
                }
            }
        }
        self.editor.publish(replacement);
        Ok(())
    }

    /// Builds the replacement and prepares all that publishing it needs. If that fails, what was built is abandoned.
    pub(super) fn replacement(
        &mut self,
        inserted: &[RawEntry<V>],
        retire: Retire,
        charge: Charge,
    ) -> Result<Replacement<'t, V>, ResourceError> {
        let pending = &mut self.editor.writer.pending;
        pending.clear();
        pending.retire = retire;
        let built = self.build(inserted, charge);
        if built.is_err() {
            self.editor.abandon();
        }
        built
    }

    #[inline]
    fn build(&mut self, inserted: &[RawEntry<V>], charge: Charge) -> Result<Replacement<'t, V>, ResourceError> {
        let replacement = if let Some(replacement) = self.edit_leaf(inserted)? {
            replacement
        } else {
            let (left, right) = (&mut self.path().clone(), &mut self.right_path());
            self.editor.build_groups(self.span, left, right, inserted)?
        };
        self.editor.admit(charge)?;
        if self.editor.writer.pending.hole.is_some() {
            // For the inserted values, in case the clone panics.
            self.editor.writer.limbo.reserve_droppable(inserted.len())?;
        }
        Ok(replacement)
    }
}

/// Calls the embedder's clone for a value of a leaf.
fn clone_of<V>(value: NonNull<V>, cut: impl FnOnce(&V) -> V) -> Result<V, Panic> {
    #[allow(unsafe_code, reason = "lends a value of a leaf to the embedder's clone")]
    // SAFETY: the leaf is live until this edit is published, and the writer does nothing else meanwhile.
    let value = unsafe { value.as_ref() };
    unwind::catch(|| cut(value))
}
