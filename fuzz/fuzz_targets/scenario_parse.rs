//! Arbitrary scenarios, executed as `vmaple run` does: each ends with answers, with differences or with a refusal, and leaves address
//! spaces whose invariants hold. The fuzzer's bytes are the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use vmaple_scenario::against_library;
use vmaple_trace::Reader;

fuzz_target!(|bytes: &[u8]| {
    let mut output = Vec::new();
    let broken = against_library(Reader::new("fuzz", Cursor::new(bytes.to_vec())), &mut output);
    assert!(matches!(broken, Ok(0) | Err(_)), "{}", String::from_utf8_lossy(&output));
});
