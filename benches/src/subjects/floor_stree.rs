//! Lower bound: a static S-tree with sixteen keys per node, built once over the same keys, without pin and atomics: the cost of a search alone.
//!
//! A node is two cache lines of sorted keys. The rank in a node takes one or two vector comparisons if the machine has them. The kind of
//! comparison is chosen when the tree is built, and is the same for a whole chunk of lookups.

#![allow(unsafe_code, reason = "calls of functions that need a feature of the machine, which was looked for before")]

use crate::regions::Region;
use crate::subject::{Index, Lookups, Tally};

/// The number of keys of a node.
const FANOUT: usize = 16;

/// At least every address of a region set, also for a signed comparison.
const PADDING: u64 = i64::MAX.cast_unsigned();

/// Sorted keys, padded with the greatest.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Node([u64; FANOUT]);

/// The vectors that the machine has.
#[derive(Clone, Copy, Debug)]
enum Vectors {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// The tree: levels from the root to the leaves, whose keys are all last addresses in order.
#[derive(Debug)]
pub struct FloorStree {
    levels: Vec<Box<[Node]>>,
    rest: Box<[(u64, u64)]>,
    vectors: Vectors,
}

/// Returns how many keys of a node are below the address.
#[inline]
fn rank_portable(node: &Node, address: u64) -> usize {
    node.0.iter().map(|&key| usize::from(key < address)).sum()
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,popcnt")]
fn rank_avx512(node: &Node, address: u64) -> usize {
    use core::arch::x86_64::{_mm512_cmplt_epu64_mask, _mm512_loadu_si512, _mm512_set1_epi64};
    let address = _mm512_set1_epi64(address.cast_signed());
    let (low, high) = node.0.split_at(FANOUT / 2);
    // SAFETY: eight keys of 8 bytes lie there.
    let low = unsafe { _mm512_loadu_si512(low.as_ptr().cast()) };
    // SAFETY: as above.
    let high = unsafe { _mm512_loadu_si512(high.as_ptr().cast()) };
    let below = |keys| _mm512_cmplt_epu64_mask(keys, address).count_ones();
    (below(low) + below(high)) as usize
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn rank_avx2(node: &Node, address: u64) -> usize {
    use core::arch::x86_64::{_mm256_castsi256_pd, _mm256_cmpgt_epi64, _mm256_loadu_si256, _mm256_movemask_pd, _mm256_set1_epi64x};
    // Signed comparison: all keys are below 2^63, or 2^63 - 1 (`PADDING`).
    let address = _mm256_set1_epi64x(address.cast_signed());
    let mut below = 0;
    for keys in node.0.chunks_exact(4) {
        // SAFETY: four keys of 8 bytes lie there.
        let keys = unsafe { _mm256_loadu_si256(keys.as_ptr().cast()) };
        let mask = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(address, keys)));
        below += mask.count_ones();
    }
    below as usize
}

impl FloorStree {
    /// Descends with this rank function.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "into functions that have a feature enabled: only inlined it has it too")]
    fn descend(&self, address: u64, rank: impl Fn(&Node, u64) -> usize) -> Option<Region> {
        let mut i = 0;
        let (leaves, inners) = self.levels.split_last()?;
        for level in inners {
            i = i * FANOUT + rank(&level[i], address);
        }
        let leaf = &leaves[i];
        let i = i * FANOUT + rank(leaf, address);
        let &(start, value) = self.rest.get(i)?;
        (start <= address).then_some(Region { start, last: leaf.0[i % FANOUT], value })
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "as above")]
    fn descend_all(&self, addresses: &[u64], rank: impl Fn(&Node, u64) -> usize + Copy) -> Tally {
        let mut tally = Tally::default();
        for &address in addresses {
            tally.note(self.descend(address, rank));
        }
        tally
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,popcnt")]
    fn lookups_avx512(&self, addresses: &[u64]) -> Tally {
        self.descend_all(addresses, |node, address| rank_avx512(node, address))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,popcnt")]
    fn lookup_avx512(&self, address: u64) -> Option<Region> {
        self.descend(address, |node, address| rank_avx512(node, address))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn lookups_avx2(&self, addresses: &[u64]) -> Tally {
        self.descend_all(addresses, |node, address| rank_avx2(node, address))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn lookup_avx2(&self, address: u64) -> Option<Region> {
        self.descend(address, |node, address| rank_avx2(node, address))
    }
}

fn vectors() -> Vectors {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("popcnt") {
            return Vectors::Avx512;
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("popcnt") {
            return Vectors::Avx2;
        }
    }
    Vectors::Portable
}

/// Packs keys into nodes.
fn nodes(keys: impl ExactSizeIterator<Item = u64>) -> Box<[Node]> {
    let mut nodes = vec![Node([PADDING; FANOUT]); keys.len().div_ceil(FANOUT)];
    for (i, key) in keys.enumerate() {
        nodes[i / FANOUT].0[i % FANOUT] = key;
    }
    nodes.into()
}

impl Index for FloorStree {
    const NAME: &'static str = "floor-stree";
    type Reader<'i> = &'i Self;

    fn of(regions: &[Region]) -> Self {
        let mut regions = regions.to_vec();
        regions.sort_unstable_by_key(|region| region.last);
        let mut levels = vec![nodes(regions.iter().map(|region| region.last))];
        while let Some(top) = levels.last().filter(|top| top.len() > 1) {
            // The right edge routes every address, so that a rank in an inner node is always that of a child.
            let key = |(i, node): (usize, &Node)| if i + 1 == top.len() { PADDING } else { node.0[FANOUT - 1] };
            let above = nodes(top.iter().enumerate().map(key));
            levels.push(above);
        }
        levels.reverse();
        Self { levels, rest: regions.iter().map(|region| (region.start, region.value)).collect(), vectors: vectors() }
    }

    fn reader(&self) -> &Self {
        self
    }
}

impl Lookups for &FloorStree {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        match self.vectors {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the machine has it, by `vectors`.
            Vectors::Avx512 => unsafe { self.lookup_avx512(address) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Vectors::Avx2 => unsafe { self.lookup_avx2(address) },
            Vectors::Portable => self.descend(address, rank_portable),
        }
    }

    fn lookups(&mut self, addresses: &[u64]) -> Tally {
        match self.vectors {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the machine has it, by `vectors`.
            Vectors::Avx512 => unsafe { self.lookups_avx512(addresses) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Vectors::Avx2 => unsafe { self.lookups_avx2(addresses) },
            Vectors::Portable => self.descend_all(addresses, rank_portable),
        }
    }
}
