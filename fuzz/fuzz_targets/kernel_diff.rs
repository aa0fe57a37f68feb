//! The library and the running kernel in step, as `vmaple run --fuzz` has them, with operations that the fuzzer chooses: the same ones,
//! made by the same generator, which takes its choices from the input instead of a seed. A difference is a panic with the scenario that
//! shows it, for `vmaple run --diff`.
//!
//! The fuzzer comes in with the choices. A process is forked for each input. Without `AddressSanitizer`: its shadow would be locked in memory
//! by `mlockall`, and what it looks for the safe code of the target cannot have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmaple_scenario::fuzz::in_step;

fuzz_target!(|bytes: &[u8]| match in_step(bytes) {
    Ok(None) => {}
    Ok(Some(scenario)) => panic!("the library differs from the kernel in the last record of\n{scenario}"),
    Err(error) => panic!("{error:#}"),
});
