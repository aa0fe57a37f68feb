//! The library and the running kernel in step, as in `vmaple run --fuzz`, with operations that the fuzzer chooses. Its generator makes
//! them, and takes its choices from the input instead of a seed. A difference is a panic with the scenario that shows it, for `vmaple
//! run --diff`.
//!
//! A process is forked for each input. It runs without `AddressSanitizer`, because `mlockall` would lock the sanitizer's shadow memory, and
//! the target has no unsafe code for it to check.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmaple_scenario::fuzz::in_step;

fuzz_target!(|bytes: &[u8]| match in_step(bytes) {
    Ok(None) => {}
    Ok(Some(scenario)) => panic!("the library differs from the kernel in the last record of\n{scenario}"),
    Err(error) => panic!("{error:#}"),
});
