//! Decodes a system call from its number and arguments.
//!
//! Called by `calls` at the entry of a call. It knows the same numbers as `filter`, which decides which calls stop.

use super::abi::{Arguments, PAGE, SYS_MAP_SHADOW_STACK, SYS_SET_MEMPOLICY_HOME_NODE, descriptor, low};
use super::call::{Call, Known};
use super::objects::Source;
use super::{layout, memory, prctl, userfault};
use nix::unistd::Pid;
use vmaple_trace::{Advice, LockAllFlags, LockFlags, MapFlags, MarkKind, Name, Object, Offset, Operation, Prot, RemapFlags};

/// Decodes a system call. Returns `None` if it does not matter to a recording.
pub(super) fn decode(tid: Pid, number: i64, arguments: Arguments) -> Option<Call> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let (addr, len) = (first, second);
    let known = |operation| Some(Call::Known(Known { operation, source: Source::Nothing, open: None, odd: false }));
    let perhaps = |operation, odd| Some(Call::Known(Known { operation, source: Source::Nothing, open: None, odd }));
    match number {
        libc::SYS_mmap => Some(Call::Known(mmap(addr, len, third, fourth, descriptor(fifth), sixth))),
        libc::SYS_munmap => known(Operation::Munmap { addr, len }),
        libc::SYS_mprotect => {
            let (prot, odd) = Prot::from_bits(low(third));
            perhaps(Operation::Mprotect { addr, len, prot }, odd != 0)
        }
        libc::SYS_pkey_mprotect => {
            let (prot, odd) = Prot::from_bits(low(third));
            perhaps(Operation::PkeyMprotect { addr, len, prot, key: descriptor(fourth) }, odd != 0)
        }
        libc::SYS_pkey_alloc => known(Operation::PkeyAlloc { flags: first, rights: second }),
        libc::SYS_pkey_free => known(Operation::PkeyFree { key: descriptor(first) }),
        libc::SYS_mremap => {
            let (flags, odd) = RemapFlags::from_bits(low(fourth));
            // the kernel reads the fifth argument only with these flags
            let has_target = flags.contains(RemapFlags::FIXED) || flags.contains(RemapFlags::DONTUNMAP);
            let new_addr = has_target.then_some(fifth);
            perhaps(Operation::Mremap { addr, old_len: len, new_len: third, flags, new_addr }, odd != 0)
        }
        libc::SYS_brk => known(Operation::Brk { addr }),
        libc::SYS_madvise => {
            let advice = Advice::from_number(u64::from(low(third))).filter(|advice| advice.changes_layout())?;
            known(Operation::Madvise { addr, len, advice })
        }
        libc::SYS_mlock => known(Operation::Mlock { addr, len }),
        libc::SYS_mlock2 => {
            let (flags, odd) = LockFlags::from_bits(low(third));
            perhaps(Operation::Mlock2 { addr, len, flags }, odd != 0)
        }
        libc::SYS_munlock => known(Operation::Munlock { addr, len }),
        libc::SYS_mlockall => {
            let (flags, odd) = LockAllFlags::from_bits(low(first));
            perhaps(Operation::Mlockall { flags }, odd != 0)
        }
        libc::SYS_munlockall => known(Operation::Munlockall),
        libc::SYS_mseal => perhaps(Operation::Mseal { addr, len }, third != 0),
        libc::SYS_shmat => Some(Call::Attached),
        libc::SYS_shmdt => Some(Call::Opaque("shmdt")),
        libc::SYS_io_setup => Some(Call::Opaque("io_setup")),
        libc::SYS_io_destroy => Some(Call::Opaque("io_destroy")),
        libc::SYS_remap_file_pages => Some(Call::Remapped { addr, len }),
        libc::SYS_setuid | libc::SYS_setreuid | libc::SYS_setresuid | libc::SYS_capset | libc::SYS_unshare | libc::SYS_setns => {
            Some(Call::Credentials)
        }
        libc::SYS_mbind => {
            // a length that cannot be rounded up wraps around to 0
            let len = len.checked_next_multiple_of(PAGE).map_or(0, |_| len);
            known(Operation::Mark { addr, len, kind: MarkKind::Policy, word: policy(tid, low(third), fourth) })
        }
        SYS_SET_MEMPOLICY_HOME_NODE => Some(Call::LeftOut { what: "set_mempolicy_home_node", lasts: false }),
        libc::SYS_ioctl => userfault::request(tid, descriptor(first), low(second), third).map(Call::Userfault),
        libc::SYS_process_madvise => {
            let advice = Advice::from_number(u64::from(low(fourth))).filter(|advice| advice.changes_layout())?;
            // the kernel refuses this advice for another process, and any flags
            if low(fifth) != 0 || !is_itself(tid, descriptor(first)) {
                return None;
            }
            Some(Call::Advised { parts: parts(tid, second, third)?, advice })
        }
        libc::SYS_prctl => prctl::decode(tid, arguments),
        libc::SYS_arch_prctl => Some(Call::Opaque("arch_prctl")),
        libc::SYS_personality => Some(Call::Personality),
        SYS_MAP_SHADOW_STACK => Some(Call::Opaque("map_shadow_stack")),
        libc::SYS_execve | libc::SYS_execveat => Some(Call::Exec),
        libc::SYS_setrlimit => Some(Call::Limits(Pid::from_raw(0))),
        // without new limits it only returns the present ones
        libc::SYS_prlimit64 => (third != 0).then(|| Call::Limits(Pid::from_raw(descriptor(first)))),
        _ => None,
    }
}

fn mmap(addr: u64, len: u64, prot: u64, flags: u64, descriptor: i32, offset: u64) -> Known {
    // the kernel ignores bits that the trace format does not have, except with `shared_validate`; but it distinguishes `PROT_EXEC` alone from
    // `PROT_EXEC` with another bit
    let (prot, more) = Prot::from_bits(low(prot));
    let prot = if more != 0 && prot == Prot::EXEC { prot.union(Prot::SEM) } else { prot };
    let (flags, odd) = MapFlags::from_bits(low(flags));
    let source = if !flags.contains(MapFlags::ANONYMOUS) {
        Source::Descriptor(descriptor)
    } else if flags.is_shared() {
        Source::Layout
    } else {
        Source::Nothing
    };
    // anonymous memory of huge pages has a file without a name, and an offset inside a page is always refused
    let has_offset = source != Source::Nothing || flags.contains(MapFlags::HUGETLB) && offset != 0 || !offset.is_multiple_of(PAGE);
    let offset = if has_offset { Offset::Bytes(offset) } else { Offset::Default };
    let odd = odd != 0 && flags.contains(MapFlags::SHARED_VALIDATE);
    Known { operation: Operation::Mmap { addr, len, prot, flags, object: Object::Anon, offset }, source, open: None, odd }
}

/// Returns the mark of a memory policy: its mode, and as many of its nodes as one word holds. `None` for the default policy, which is mode 0.
fn policy(tid: Pid, mode: u32, nodes: u64) -> Option<Name> {
    let [nodes] = memory::words(tid, nodes).unwrap_or([0]);
    Name::new(format!("{mode}:{nodes:x}").as_bytes()).filter(|_| mode != 0)
}

/// Returns whether a descriptor of a process refers to the caller's own process.
fn is_itself(tid: Pid, pidfd: i32) -> bool {
    // `PIDFD_SELF_THREAD` and `PIDFD_SELF_THREAD_GROUP`, which the C library does not know yet
    const SELF: [i32; 2] = [-10_000, -10_001];
    let text = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{pidfd}")).unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok()).map(Pid::from_raw);
    SELF.contains(&pidfd) || named.is_some_and(|named| layout::process_of(named) == layout::process_of(tid))
}

/// Returns the parts of memory in a vector, or `None` if there are more than the kernel takes.
fn parts(tid: Pid, vector: u64, count: u64) -> Option<Vec<(u64, u64)>> {
    const MOST: u64 = 1024;
    let part = |place: u64| memory::words(tid, vector.checked_add(16 * place)?).map(|[start, len]| (start, len));
    if count > MOST { None } else { (0..count).map(part).collect() }
}

#[cfg(test)]
mod tests {
    use super::{Call, Known, Source, decode};
    use nix::unistd::Pid;

    fn shown(number: i64, arguments: [u64; 6]) -> (String, bool, Source) {
        let Some(Call::Known(Known { operation, odd, source, .. })) = decode(Pid::from_raw(0), number, arguments) else {
            panic!("call {number} is not known");
        };
        (operation.to_string(), odd, source)
    }

    #[test]
    fn calls_are_read_from_registers() {
        let minus_one = u64::from(u32::MAX);
        for (number, arguments, text, source) in [
            (libc::SYS_mmap, [0, 4096, 3, 0x22, minus_one, 0], "mmap 0x0 0x1000 rw private,anonymous anon -", Source::Nothing),
            (libc::SYS_mmap, [0x1000, 10, 5, 0x12, 7, 0x2000], "mmap 0x1000 0xa rx private,fixed anon 0x2000", Source::Descriptor(7)),
            (libc::SYS_mmap, [0, 1, 0x44, 0x22, 0, 0], "mmap 0x0 0x1 x,sem private,anonymous anon -", Source::Nothing),
            (libc::SYS_mmap, [0, 1, 0, 0x21, 0, 0], "mmap 0x0 0x1 none shared,anonymous anon 0", Source::Layout),
            (libc::SYS_mmap, [0, 1, 0, 0x4_0022, 0, 0x1000], "mmap 0x0 0x1 none private,anonymous,hugetlb anon 0x1000", Source::Nothing),
            (libc::SYS_mremap, [0x1000, 1, 2, 1, 0xdead, 0], "mremap 0x1000 0x1 0x2 maymove", Source::Nothing),
            (libc::SYS_mremap, [0x1000, 1, 2, 3, 0x5000, 0], "mremap 0x1000 0x1 0x2 maymove,fixed 0x5000", Source::Nothing),
            (libc::SYS_pkey_mprotect, [0x1000, 1, 1, 3, 0, 0], "pkey_mprotect 0x1000 0x1 r 3", Source::Nothing),
            (libc::SYS_pkey_mprotect, [0x1000, 1, 4, minus_one, 0, 0], "pkey_mprotect 0x1000 0x1 x -1", Source::Nothing),
            (libc::SYS_pkey_alloc, [0, 3, 0, 0, 0, 0], "pkey_alloc 0x0 0x3", Source::Nothing),
            (libc::SYS_pkey_free, [7, 0, 0, 0, 0, 0], "pkey_free 7", Source::Nothing),
            (libc::SYS_madvise, [0x1000, 1, 10, 0, 0, 0], "madvise 0x1000 0x1 dontfork", Source::Nothing),
        ] {
            assert_eq!(shown(number, arguments), (text.to_owned(), false, source));
        }
        assert!(shown(libc::SYS_mprotect, [0, 1, 0x40, 0, 0, 0]).1, "a bit without a word");
        assert!(decode(Pid::from_raw(0), libc::SYS_madvise, [0, 1, 4, 0, 0, 0]).is_none(), "dontneed changes no layout");
        assert!(decode(Pid::from_raw(0), libc::SYS_prlimit64, [0, 3, 0, 0x1000, 0, 0]).is_none(), "only asks");
        let other = decode(Pid::from_raw(0), libc::SYS_prlimit64, [9, 3, 0x1000, 0, 0, 0]);
        assert!(matches!(other, Some(Call::Limits(pid)) if pid == Pid::from_raw(9)));
    }
}
