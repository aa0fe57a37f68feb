//! A small number that spreads threads, so that those that run at once seldom write to one cache line.
//!
//! Called by `mm::stats` and, without std, by `slots`.

use core::ptr;

/// Returns a number below `count` that depends on the calling thread's stack. A thread at another depth of its stack may get another one.
#[inline]
pub(crate) fn stripe(count: usize) -> usize {
    let on_stack = 0_u8;
    let mixed = (ptr::from_ref(&on_stack).addr() >> 14).wrapping_mul(0x9e37_79b9);
    (mixed >> 16) % count
}
