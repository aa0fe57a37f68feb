//! Lists that report a lack of memory instead of aborting. Called wherever the library keeps a list that may grow.

use crate::error::ResourceError;
use alloc::vec::Vec;
use smallvec::SmallVec;

/// Appends an item.
///
/// # Errors
/// [`ResourceError::OutOfMemory`]; the item is dropped then.
#[inline]
pub(crate) fn push<T, const N: usize>(list: &mut SmallVec<[T; N]>, item: T) -> Result<(), ResourceError> {
    if list.len() == list.capacity() {
        list.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)?;
    }
    list.push(item);
    Ok(())
}

/// Makes room for `more` items, which there usually is already.
///
/// # Errors
/// [`ResourceError::OutOfMemory`].
#[inline]
pub(crate) fn reserve<T>(list: &mut Vec<T>, more: usize) -> Result<(), ResourceError> {
    if list.capacity() - list.len() < more {
        list.try_reserve(more).map_err(|_| ResourceError::OutOfMemory)?;
    }
    Ok(())
}

/// Frees the memory of a list if the list is empty. To shrink a list that is not empty would be an allocation, which could fail.
pub(crate) fn release<T>(list: &mut Vec<T>) {
    if list.is_empty() {
        *list = Vec::new();
    }
}

/// Frees the memory of a list if the list is empty and the memory is large.
pub(crate) fn trim<T>(list: &mut Vec<T>) {
    const KEEP: usize = 4096;
    if list.capacity() > KEEP {
        release(list);
    }
}
