//! The system call `membarrier`.
//!
//! Called by `fences`. The call goes through the C library that std itself is linked with on Linux.

#![allow(unsafe_code, reason = "a system call")]

/// Whether this build has the system call. The kernel may lack it all the same.
pub(super) const IS_KNOWN: bool = cfg!(all(
    feature = "std",
    target_os = "linux",
    any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "x86",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv64"
    )
));

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED`.
const PRIVATE_EXPEDITED: i32 = 1 << 3;
/// `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`.
const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;

/// Registers the process for [`on_all_processors`]. Returns whether the kernel accepted that.
pub(super) fn register() -> bool {
    call(REGISTER_PRIVATE_EXPEDITED)
}

/// Executes a full barrier on each processor that runs a thread of the process. Returns whether that happened.
pub(super) fn on_all_processors() -> bool {
    call(PRIVATE_EXPEDITED)
}

#[cfg(all(feature = "std", target_os = "linux"))]
fn call(command: i32) -> bool {
    use core::ffi::{c_int, c_long};

    const NUMBER: c_long = if cfg!(target_arch = "x86_64") {
        324
    } else if cfg!(target_arch = "x86") {
        375
    } else if cfg!(target_arch = "arm") {
        389
    } else {
        283
    };
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    let (command, flags, processor): (c_int, c_int, c_int) = (command, 0, 0);
    // SAFETY: the call takes three integers and accesses no memory of the process.
    IS_KNOWN && unsafe { syscall(NUMBER, command, flags, processor) } == 0
}

#[cfg(not(all(feature = "std", target_os = "linux")))]
fn call(_command: i32) -> bool {
    false
}
