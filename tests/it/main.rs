//! The integration tests, one binary, arranged by subject: `tests/README.md` says where a test goes.

mod fault;
mod index;
// It reads the repository and runs no code of the library, so Miri would find nothing.
#[cfg(not(miri))]
mod layering;
mod lock;
mod memory;
mod mm;
mod support;
mod vma;
