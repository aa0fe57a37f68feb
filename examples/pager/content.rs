//! The content of objects: bytes that depend on the object and the offset alone, so that a reader can check each.

use crate::memory::Page;
use vmaple::PAGE_SIZE;
use vmaple::mm::ObjectId;

/// Returns the word of an object at an offset.
pub(crate) fn word(object: ObjectId, offset: u64) -> u64 {
    let mixed = (object.number().rotate_left(40) ^ offset).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Makes a page of the object.
pub(crate) fn fill(page: &mut Page, object: ObjectId, offset: u64) {
    for (bytes, at) in page.chunks_exact_mut(8).zip((offset..offset + PAGE_SIZE).step_by(8)) {
        bytes.copy_from_slice(&word(object, at).to_ne_bytes());
    }
}
