//! The options of `prctl` and `arch_prctl` that change areas or move the heap. Called by `filter` and `decode`.

use nix::unistd::Pid;

use super::abi::{Arguments, low};
use super::call::{Call, Known};
use super::memory;
use super::objects::Source;
use vmaple_trace::{MarkKind, Name, Operation};

const SET_MM: u32 = libc::PR_SET_MM.cast_unsigned();
const SET_VMA: u32 = libc::PR_SET_VMA.cast_unsigned();
/// `PR_SET_MEMORY_MERGE`: equal pages of all areas, future ones included, may be merged from now on.
const SET_MEMORY_MERGE: u32 = 67;

/// The options of `prctl` that stop.
pub(super) const OPTIONS: [u32; 3] = [SET_MM, SET_VMA, SET_MEMORY_MERGE];

/// The options of `arch_prctl` that stop: `ARCH_MAP_VDSO_X32`, `_32` and `_64`, `ARCH_SHSTK_ENABLE` and `_DISABLE`.
pub(super) const ARCH_OPTIONS: [u32; 5] = [0x2001, 0x2002, 0x2003, 0x5001, 0x5002];

/// The longest name of anonymous memory, with the zero that ends it.
const MAX_NAME: usize = 80;

/// Returns what a `prctl` means for a recording, or `None` if it does not matter.
pub(super) fn decode(tid: Pid, [option, second, third, fourth, fifth, _]: Arguments) -> Option<Call> {
    match low(option) {
        SET_MM => Some(Call::Heap {
            brk: match low(second).cast_signed() {
                libc::PR_SET_MM_BRK => Some(third),
                // after the bounds of code and data, and the start
                libc::PR_SET_MM_MAP => memory::words(tid, third).map(|[_, _, _, _, _, brk]| brk),
                _ => None,
            },
        }),
        SET_MEMORY_MERGE => Some(Call::LeftOut { what: "prctl(PR_SET_MEMORY_MERGE)", lasts: second != 0 }),
        SET_VMA if low(second) == libc::PR_SET_VMA_ANON_NAME.cast_unsigned() => {
            let word = if fifth == 0 { None } else { Some(Name::new(&memory::text(tid, fifth, MAX_NAME)?)?) };
            let operation = Operation::Mark { addr: third, len: fourth, kind: MarkKind::Name, word };
            Some(Call::Known(Known { operation, source: Source::Nothing, open: None, odd: false }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::record::call::{Call, Known};
    use nix::unistd::Pid;

    #[test]
    fn arguments_are_read_where_they_point_to() {
        let name = c"an arena";
        let heap = [0_u64, 0, 0, 0, 7, 9];
        let at = |address: usize| address as u64;
        let set = |option: i32, second: i32, third: u64, fifth: u64| {
            decode(Pid::this(), [option.cast_unsigned().into(), second.cast_unsigned().into(), third, 0x2000, fifth, 0])
        };
        let named = |fifth: u64| match set(libc::PR_SET_VMA, libc::PR_SET_VMA_ANON_NAME, 0x1000, fifth) {
            Some(Call::Known(Known { operation, .. })) => operation.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(named(at(name.as_ptr().expose_provenance())), "mark 0x1000 0x2000 name an%20arena");
        assert_eq!(named(0), "mark 0x1000 0x2000 name -");
        assert!(set(libc::PR_SET_VMA, libc::PR_SET_VMA_ANON_NAME, 0x1000, 8).is_none(), "nothing is there");
        let brk = |second: i32, third: u64| match set(libc::PR_SET_MM, second, third, 0) {
            Some(Call::Heap { brk }) => brk,
            other => panic!("{other:?}"),
        };
        assert_eq!(brk(libc::PR_SET_MM_BRK, 0x5000), Some(0x5000));
        assert_eq!(brk(libc::PR_SET_MM_MAP, at(heap.as_ptr().expose_provenance())), Some(9));
        assert_eq!(brk(libc::PR_SET_MM_START_CODE, 0x5000), None);
    }
}
