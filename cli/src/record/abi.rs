//! The ABI of Linux on x86-64, the one machine that is recorded: pages, and the numbers, arguments and results of system calls.
//!
//! Called by everything that reads the registers of a stopped thread.

/// The size of a page in bytes.
pub(super) const PAGE: u64 = 4096;

/// `map_shadow_stack`, which the C library does not define.
pub(super) const SYS_MAP_SHADOW_STACK: i64 = 453;
/// `set_mempolicy_home_node`, which the C library does not define.
pub(super) const SYS_SET_MEMPOLICY_HOME_NODE: i64 = 450;

/// `CLONE_UNTRACED`: no tracer follows the new thread.
pub(super) const UNTRACED: u32 = 0x0080_0000;

/// The six arguments of a system call.
pub(super) type Arguments = [u64; 6];

/// Returns the arguments of the call that a stopped thread is in.
pub(super) fn arguments(registers: &libc::user_regs_struct) -> Arguments {
    [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9]
}

/// Returns the low half of a register, which is an argument of type `int`.
pub(super) fn low(register: u64) -> u32 {
    let [a, b, c, d, ..] = register.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Returns a file descriptor or another signed `int`.
pub(super) fn descriptor(register: u64) -> i32 {
    low(register).cast_signed()
}

/// Returns the result of a finished call: its value, or the positive number of its error.
pub(super) fn result(register: u64) -> Result<u64, u64> {
    const MAX_ERRNO: u64 = 4095;
    let negative = register.wrapping_neg();
    if (1..=MAX_ERRNO).contains(&negative) { Err(negative) } else { Ok(register) }
}

#[cfg(test)]
mod tests {
    use super::result;

    #[test]
    fn results_are_addresses_or_errors() {
        assert_eq!(result(0), Ok(0));
        assert_eq!(result(0xffff_ffff_ffff_f000), Ok(0xffff_ffff_ffff_f000));
        assert_eq!(result((-12_i64).cast_unsigned()), Err(12));
    }
}
