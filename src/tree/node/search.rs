//! Rank inside one node: safe slices in, an index out. Nothing else of the tree is known here.
//!
//! The keys are plain memory that never changes once published, so that they may be read as vectors.

use super::super::layout::FANOUT;
use crate::sync::CpuFeature;

/// Keys that are compared together at the second step.
const GROUP: usize = 4;
const _: () = assert!(FANOUT.is_multiple_of(GROUP), "whole groups");

/// A way of counting ranks. The outcome is the same with each.
pub(in crate::tree) trait Ranks: Copy {
    /// How many keys lie below the address: the index of the first entry that ends at or after it.
    ///
    /// Keys are sorted and padded with `u64::MAX`, so a padding key is never below an address and the length is not needed.
    fn rank(self, lasts: &[u64; FANOUT], address: u64) -> usize;
}

/// Two steps without a branch that a predictor could miss: how many groups lie below the address whole (but for the last group, of which
/// that need not be known), then how many keys of the group after those.
#[derive(Clone, Copy, Debug)]
pub(in crate::tree) struct ByGroups;

impl Ranks for ByGroups {
    #[inline]
    fn rank(self, lasts: &[u64; FANOUT], address: u64) -> usize {
        let (groups, _) = lasts.as_chunks::<GROUP>();
        let whole: usize = groups[..groups.len() - 1].iter().map(|group| usize::from(group[GROUP - 1] < address)).sum();
        let within: usize = groups[whole].iter().map(|&last| usize::from(last < address)).sum();
        GROUP * whole + within
    }
}

/// All keys at once. There is one only where the machine can: [`by_vectors`] makes it.
#[derive(Clone, Copy, Debug)]
pub(in crate::tree) struct ByVectors(());

impl Ranks for ByVectors {
    #[inline]
    #[allow(unsafe_code, reason = "calls what only some machines have")]
    fn rank(self, lasts: &[u64; FANOUT], address: u64) -> usize {
        let Some(keys) = lasts.first_chunk() else { unreachable!("`by_vectors` compares the fan-out") };
        // SAFETY: there is a `ByVectors`, so the machine was found to have them.
        unsafe { vector::rank(keys, address) }
    }
}

/// Whether the processor has AVX-512.
static AVX512: CpuFeature = CpuFeature::undetected();

/// Detects it. Until then no search uses it.
pub(in crate::tree) fn look_for_vectors() {
    if vector::run_here() {
        AVX512.set_detected();
    }
}

/// The way by vectors, where the machine has them. To be asked once a question: once a node would cost half of what is won.
#[inline]
pub(in crate::tree) fn by_vectors() -> Option<ByVectors> {
    (vector::BUILT && FANOUT == vector::KEYS && AVX512.is_detected()).then_some(ByVectors(()))
}

/// By AVX-512.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(any(miri, vmaple_portable))))]
mod vector {
    use core::arch::asm;

    pub(super) const BUILT: bool = true;
    pub(super) const KEYS: usize = 16;

    /// `vpopcntdq` is not used: it tells the machines that have AVX-512 (Ice Lake, Zen 4 and later) from those that become slow by it.
    pub(super) fn run_here() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vpopcntdq") && is_x86_feature_detected!("popcnt")
    }

    /// How many keys lie below the address. They are sorted, so those that do come first, and to count them is enough.
    ///
    /// In assembler: a function that is compiled for more than the crate is cannot be inlined, and a call would cost what is won. `zmm16`
    /// and up are unknown to older vector code, which therefore does not have to be told (`vzeroupper`) that they were used.
    ///
    /// # Safety
    /// `run_here` has said so.
    #[inline]
    #[allow(unsafe_code, reason = "six instructions that Rust has no inlinable words for")]
    pub(super) unsafe fn rank(keys: &[u64; KEYS], address: u64) -> usize {
        let below: usize;
        // SAFETY: it reads the sixteen keys and no more; the machine has the instructions, by the caller's promise.
        unsafe {
            asm!(
                "vpbroadcastq zmm16, {address}",
                "vpcmpnleuq k1, zmm16, [{keys}]",
                "vpcmpnleuq k2, zmm16, [{keys} + 64]",
                "kunpckbw k1, k2, k1",
                "kmovw {below:e}, k1",
                "popcnt {below:e}, {below:e}",
                address = in(reg) address,
                keys = in(reg) keys,
                below = lateout(reg) below,
                out("xmm16") _,
                out("k1") _,
                out("k2") _,
                options(pure, readonly, nostack),
            );
        }
        below
    }
}

/// No vectors: not on this machine, or not in this build.
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(any(miri, vmaple_portable)))))]
mod vector {
    pub(super) const BUILT: bool = false;
    pub(super) const KEYS: usize = 16;

    pub(super) fn run_here() -> bool {
        false
    }

    /// # Safety
    /// `run_here` has said so: it never does.
    #[allow(unsafe_code, reason = "the face of the other")]
    pub(super) unsafe fn rank(_: &[u64; KEYS], _: u64) -> usize {
        unreachable!("there are no vectors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    /// Whether a rank is right: among sorted keys, small ones where some are to be equal.
    fn is_right<const N: usize>(rank: impl Fn(&[u64; N], u64) -> usize, keys: &[u64], address: u64, small: bool) -> bool {
        let of = |key: u64| if small { key % 8 } else { key };
        let mut lasts = [u64::MAX; N];
        for (slot, &key) in lasts.iter_mut().zip(keys) {
            *slot = of(key);
        }
        lasts.sort_unstable();
        rank(&lasts, of(address)) == lasts.partition_point(|&last| last < of(address))
    }

    quickcheck! {
        fn rank_counts_the_keys_below(keys: Vec<u64>, address: u64, small: bool) -> bool {
            is_right(|lasts, address| ByGroups.rank(lasts, address), &keys, address, small)
        }

        fn vectors_count_the_same(keys: Vec<u64>, address: u64, small: bool) -> bool {
            #[allow(unsafe_code, reason = "what only some machines have")]
            // SAFETY: called where they run.
            let rank = |lasts: &_, address| unsafe { vector::rank(lasts, address) };
            // Nothing to see where they do not.
            !vector::run_here() || is_right(rank, &keys, address, small)
        }
    }
}
