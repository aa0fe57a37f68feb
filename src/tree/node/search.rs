//! Counts ranks inside one node: an array of keys in, an index out. Called by `refs`, and by `read` to choose how to count.
//!
//! The keys never change after publication, so they are plain memory and can be loaded as vectors.

use super::super::layout::FANOUT;
use crate::sync::CpuFeature;

/// The number of keys that the second step compares.
const GROUP: usize = 4;
const _: () = assert!(FANOUT.is_multiple_of(GROUP), "whole groups");

/// A way to count ranks. All ways return the same.
pub(in crate::tree) trait Ranks: Copy {
    /// Returns the number of keys below the address, which is the index of the first entry that ends at or after it.
    ///
    /// Keys are sorted and padded with `u64::MAX`. No padding key is below an address, so the length is not needed.
    fn rank(self, lasts: &[u64; FANOUT], address: u64) -> usize;
}

/// Counts in two steps, without a branch that could be mispredicted: first the groups that lie wholly below the address (the last group
/// need not be compared), then the keys of the next group.
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

/// Compares all keys at once. Made by [`by_vectors`], and only on a machine that can.
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

/// Detects AVX-512. Until it is called no search uses that.
pub(super) fn look_for_vectors() {
    if !AVX512.is_detected() && vector::run_here() {
        AVX512.set_detected();
    }
}

/// Returns the way by vectors if the machine has them. Called once per lookup, because once per node would cost half of what it saves.
#[inline]
pub(in crate::tree) fn by_vectors() -> Option<ByVectors> {
    (vector::BUILT && FANOUT == vector::KEYS && AVX512.is_detected()).then_some(ByVectors(()))
}

/// Ranks by AVX-512. Needs std, which asks the processor. (Without std, in a kernel for example, the registers may belong to other code.)
#[cfg(all(feature = "std", target_arch = "x86_64", target_pointer_width = "64", not(any(miri, vmaple_portable))))]
mod vector {
    use core::arch::asm;

    pub(super) const BUILT: bool = true;
    pub(super) const KEYS: usize = 16;

    /// Whether the machine has AVX-512 and is fast with it. `vpopcntdq` is not used: the machines that have it (Ice Lake, Zen 4 and later)
    /// are those that do not slow down.
    pub(super) fn run_here() -> bool {
        std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512vpopcntdq")
            && std::is_x86_feature_detected!("popcnt")
    }

    /// Returns the number of keys below the address.
    ///
    /// Written in assembler, because a function with target features of its own cannot be inlined, and a call would cost as much as this
    /// saves. It uses `zmm16` and not a lower register, because then no `vzeroupper` is needed.
    ///
    /// # Safety
    /// `run_here` returned true.
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

/// A build or a machine without vector instructions.
#[cfg(not(all(feature = "std", target_arch = "x86_64", target_pointer_width = "64", not(any(miri, vmaple_portable)))))]
mod vector {
    pub(super) const BUILT: bool = false;
    pub(super) const KEYS: usize = 16;

    pub(super) fn run_here() -> bool {
        false
    }

    /// # Safety
    /// `run_here` returned true, which it never does.
    #[allow(unsafe_code, reason = "the face of the other")]
    pub(super) unsafe fn rank(_: &[u64; KEYS], _: u64) -> usize {
        unreachable!("there are no vectors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    /// Whether a rank is right among these keys, sorted. With `small`, some keys are equal.
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
            // Passes where there are no vector instructions.
            !vector::run_here() || is_right(rank, &keys, address, small)
        }
    }
}
