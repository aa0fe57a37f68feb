//! Tests and cases that are left out because the machine lacks what they need. Each is named on standard error when it is left out, bypassing
//! the test harness, which hides the output of tests that pass; at the end of the process their number is printed.

#![allow(unsafe_code, reason = "a function that runs when the process ends")]

use crate::{Host, Need};
use std::fmt::Display;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

static LEFT_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Names something that is left out, and counts it.
pub fn leave_out(name: &str, needs: impl Display) {
    let line = format!("left out: {name} needs {needs}");
    tell(&line);
    let mut all = LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    if all.is_empty() {
        // SAFETY: the function may run at any time; where it cannot be registered nothing is counted.
        unsafe { libc::atexit(count) };
    }
    all.push(line);
}

/// Returns whether a test is to be left out because the machine lacks one of the needs, and names it if so. Called by
/// [`test_needs!`](crate::test_needs).
///
/// # Panics
/// If a need has an unknown word.
#[must_use]
pub fn left_out_of_test(name: &str, needs: &[&str]) -> bool {
    let needs = needs.iter().map(|word| word.parse::<Need>().unwrap_or_else(|unknown| panic!("{name}: {unknown}")));
    let missing = Host::probe().first_missing(needs);
    if let Some(missing) = missing {
        leave_out(name, missing);
    }
    missing.is_some()
}

extern "C" fn count() {
    let all = LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    tell(&format!("left out: {} in all", all.len()));
}

/// Writes one line to standard error in one piece.
fn tell(line: &str) {
    // an error is ignored, because there is nowhere to report it
    _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Returns from the current test if the machine lacks something that the test needs: `test_needs!("keys", "cap:ipc_lock");`.
///
/// A test that is left out is named on standard error, and counted at the end.
#[macro_export]
macro_rules! test_needs {
    ($($need:expr),+ $(,)?) => {{
        fn here() {}
        let name = ::std::any::type_name_of_val(&here);
        if $crate::left_out_of_test(name.strip_suffix("::here").unwrap_or(name), &[$($need),+]) {
            return;
        }
    }};
}
