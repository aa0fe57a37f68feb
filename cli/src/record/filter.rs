//! Which system calls stop: a filter in the kernel, so that all others run at full speed.
//!
//! `launch` installs it in the child; the numbers must agree with what `call` understands.

use std::slice;
use std::sync::LazyLock;

use seccompiler::{BpfProgram, sock_filter};

use super::abi::{Arguments, SYS_MAP_SHADOW_STACK, SYS_SET_MEMPOLICY_HOME_NODE, UNTRACED, low};
use super::{prctl, userfault};
use vmaple_trace::Advice;

/// `AUDIT_ARCH_X86_64`, by which a filter sees in which table a call is numbered.
const ARCH_X86_64: u32 = 0xc000_003e;
/// Calls of the x32 table have this bit.
const X32_BIT: u32 = 0x4000_0000;
/// Offsets in the data that the kernel gives a filter. `ARGUMENTS` is the offset of the lower half of the first argument.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Stops the thread and notifies its tracer.
const STOP: u32 = 0x7ff0_0000;
const ALLOW: u32 = 0x7fff_0000;

/// The data of a stop at a call whose number is not from the table of 64-bit programs.
const FOREIGN: u16 = 1;

/// The calls that change a layout, a limit, or the whole address space. Other calls do so for some values of an argument, and have a [`Rule`].
const CALLS: [i64; 33] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_pkey_mprotect,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_munlock,
    libc::SYS_mlockall,
    libc::SYS_munlockall,
    libc::SYS_mseal,
    libc::SYS_shmat,
    libc::SYS_shmdt,
    libc::SYS_io_setup,
    libc::SYS_io_destroy,
    libc::SYS_remap_file_pages,
    SYS_MAP_SHADOW_STACK,
    libc::SYS_setrlimit,
    libc::SYS_prlimit64,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_setuid,
    libc::SYS_setreuid,
    libc::SYS_setresuid,
    libc::SYS_capset,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mbind,
    SYS_SET_MEMPOLICY_HOME_NODE,
    libc::SYS_personality,
];

/// A call that stops for some values of an argument. The lower half of the argument is compared.
struct Rule {
    number: i64,
    /// The index of the argument, from 0.
    argument: usize,
    values: Values,
}

/// The values of an argument for which a call stops.
enum Values {
    Are(Vec<u32>),
    HaveBit(u32),
}

impl Values {
    fn contain(&self, value: u32) -> bool {
        match self {
            Self::Are(values) => values.contains(&value),
            Self::HaveBit(bit) => value & bit != 0,
        }
    }
}

/// The frequent calls, which are let through where they change no layout. Of the advices, those that only drop pages are.
static RULES: LazyLock<[Rule; 6]> = LazyLock::new(|| {
    let changes = |number: &u32| Advice::from_number(u64::from(*number)).is_some_and(Advice::changes_layout);
    let advices: Vec<u32> = (0..=u32::from(u8::MAX)).filter(changes).collect();
    [
        Rule { number: libc::SYS_madvise, argument: 2, values: Values::Are(advices.clone()) },
        Rule { number: libc::SYS_process_madvise, argument: 3, values: Values::Are(advices) },
        Rule { number: libc::SYS_ioctl, argument: 1, values: Values::Are(userfault::REQUESTS.to_vec()) },
        Rule { number: libc::SYS_prctl, argument: 0, values: Values::Are(prctl::OPTIONS.to_vec()) },
        // A thread without a tracer would have its memory calls refused (ENOSYS). (The flags of `clone3` are in memory, which no filter reads.)
        Rule { number: libc::SYS_clone, argument: 0, values: Values::HaveBit(UNTRACED) },
        Rule { number: libc::SYS_arch_prctl, argument: 0, values: Values::Are(prctl::ARCH_OPTIONS.to_vec()) },
    ]
});

/// What the filter decides for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The call does not stop.
    Allow,
    /// The call stops, because it may change the layout.
    Stop,
    /// The call stops, and its number is from another table.
    Foreign,
}

/// Returns what the filter decided, from the data of a stop.
pub(super) fn verdict_of(message: Option<i64>) -> Verdict {
    if message == Some(i64::from(FOREIGN)) { Verdict::Foreign } else { Verdict::Stop }
}

/// Returns what the filter decides for a call, for threads that cannot get the filter.
pub(super) fn verdict(arch: u32, number: u64, arguments: Arguments) -> Verdict {
    if arch != ARCH_X86_64 || number >= u64::from(X32_BIT) {
        return Verdict::Foreign;
    }
    let number = number.cast_signed();
    let holds = |rule: &Rule| number == rule.number && rule.values.contain(low(arguments[rule.argument]));
    if CALLS.contains(&number) || RULES.iter().any(holds) { Verdict::Stop } else { Verdict::Allow }
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Skips `when_true` or `when_false` statements.
fn jump(code: u16, k: u32, when_true: u8, when_false: u8) -> sock_filter {
    sock_filter { code, jt: when_true, jf: when_false, k }
}

/// The filter as the kernel takes it.
pub(super) fn program() -> BpfProgram {
    let mut program = vec![
        statement(LOAD_WORD, ARCH),
        jump(JUMP_EQUAL, ARCH_X86_64, 1, 0),
        statement(RETURN, STOP | u32::from(FOREIGN)),
        statement(LOAD_WORD, NUMBER),
        jump(JUMP_AT_LEAST, X32_BIT, 0, 1),
        statement(RETURN, STOP | u32::from(FOREIGN)),
    ];
    for number in CALLS.into_iter().filter_map(|number| u32::try_from(number).ok()) {
        program.push(jump(JUMP_EQUAL, number, 0, 1));
        program.push(statement(RETURN, STOP));
    }
    for Rule { number, argument, values } in &*RULES {
        let (code, values) = match values {
            Values::Are(values) => (JUMP_EQUAL, values.as_slice()),
            Values::HaveBit(bit) => (JUMP_ANY_BIT, slice::from_ref(bit)),
        };
        // past the load, two statements for each value, and the end
        let rest = u8::try_from(2 * values.len() + 2).unwrap_or(u8::MAX);
        program.push(jump(JUMP_EQUAL, u32::try_from(*number).unwrap_or(u32::MAX), 0, rest));
        program.push(statement(LOAD_WORD, ARGUMENTS + 8 * u32::try_from(*argument).unwrap_or(0)));
        for value in values {
            program.extend([jump(code, *value, 0, 1), statement(RETURN, STOP)]);
        }
        program.push(statement(RETURN, ALLOW));
    }
    program.push(statement(RETURN, ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::{ALLOW, ARCH_X86_64, Arguments, FOREIGN, STOP, Verdict, program};

    /// Returns what the kernel would do with a call, by a small model of its filter machine.
    fn verdict(arch: u32, number: i64, arguments: Arguments) -> u32 {
        let load = |offset: u32| match offset {
            0 => u32::try_from(number).expect("a number"),
            4 => arch,
            at => {
                let place = usize::try_from((at - super::ARGUMENTS) / 8).expect("small");
                u32::try_from(arguments[place] & 0xffff_ffff).expect("a half")
            }
        };
        let program = program();
        let (mut place, mut word) = (0, 0);
        loop {
            let step = &program[place];
            let taken = match step.code {
                super::LOAD_WORD => {
                    word = load(step.k);
                    false
                }
                super::JUMP_EQUAL => word == step.k,
                super::JUMP_AT_LEAST => word >= step.k,
                super::JUMP_ANY_BIT => word & step.k != 0,
                super::RETURN => return step.k,
                other => panic!("no such code {other}"),
            };
            place += 1 + usize::from(if taken { step.jt } else { step.jf });
        }
    }

    #[test]
    fn memory_calls_stop_and_others_do_not() {
        for number in super::CALLS {
            assert_eq!(verdict(ARCH_X86_64, number, [0; 6]), STOP, "{number}");
        }
        for number in [libc::SYS_read, libc::SYS_openat, libc::SYS_futex, libc::SYS_exit_group, 0x3fff_ffff] {
            assert_eq!(verdict(ARCH_X86_64, number, [10; 6]), ALLOW, "{number}");
        }
    }

    #[test]
    fn calls_stop_by_their_arguments() {
        let high = 1 << 32;
        for (number, argument, stops, goes) in [
            (libc::SYS_madvise, 2, &[0, 10, 19, 23, 102][..], &[3, 4, 8, 20, 25, 103][..]),
            (libc::SYS_process_madvise, 3, &[10, 102], &[4, 20]),
            (libc::SYS_ioctl, 1, &[0xc020_aa00, 0x8010_aa01, 0xc028_aa05], &[0x5401, 0xc018_aa3f]),
            (libc::SYS_prctl, 0, &[35, 67, 0x5356_4d41], &[15, 38]),
            (libc::SYS_arch_prctl, 0, &[0x2003, 0x5001], &[0x1002]),
            (libc::SYS_clone, 0, &[0x80_0000, 0x80_0f11], &[0x7f_ffff, 0x11]),
        ] {
            for (values, expected) in [(stops, STOP), (goes, ALLOW)] {
                for value in values {
                    let mut arguments = [7; 6];
                    arguments[argument] = value | high;
                    assert_eq!(verdict(ARCH_X86_64, number, arguments), expected, "{number} {value:#x}");
                }
            }
        }
    }

    #[test]
    fn calls_of_other_tables_are_distinguished() {
        assert_eq!(verdict(0x4000_0003, libc::SYS_mmap, [0; 6]), STOP | u32::from(FOREIGN), "32-bit");
        assert_eq!(verdict(ARCH_X86_64, libc::SYS_mmap | 0x4000_0000, [0; 6]), STOP | u32::from(FOREIGN), "x32");
    }

    #[test]
    fn the_recorder_judges_as_the_filter_does() {
        for (arch, offset) in [(ARCH_X86_64, 0), (ARCH_X86_64, 0x4000_0000), (0x4000_0003, 0)] {
            for number in 0..1000 {
                for value in [0, 2, 3, 9, 10, 19, 20, 22, 23, 24, 35, 67, 101, 102, 103, 0x2001, 0x8010_aa01, 0x5356_4d41, 0x80_0f00] {
                    let number = number + offset;
                    let by_filter = match verdict(arch, number, [value; 6]) {
                        ALLOW => Verdict::Allow,
                        STOP => Verdict::Stop,
                        _ => Verdict::Foreign,
                    };
                    assert_eq!(super::verdict(arch, number.cast_unsigned(), [value; 6]), by_filter, "{arch:#x} {number} {value}");
                }
            }
        }
    }
}
