//! Seeded bugs: faults that are built in on purpose, to check the checkers.
//!
//! Called wherever a fault can be switched on. `.ci/steps/42-seeded-bugs.sh` lists the faults, each with the check that must find it.

/// Returns whether the seeded bug of this name is switched on. Always false unless built with `--cfg vmaple_bugs`.
///
/// See `docs/verification.md`, "Seeded bugs".
#[inline(always)]
#[allow(clippy::inline_always, reason = "must fold to false in every build that is not a check of the checkers")]
pub(crate) fn seeded(bug: &str) -> bool {
    #[cfg(vmaple_bugs)]
    {
        static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        CHOSEN.get_or_init(|| std::env::var("VMAPLE_BUG").unwrap_or_default()) == bug
    }
    #[cfg(not(vmaple_bugs))]
    {
        let _ = bug;
        false
    }
}
