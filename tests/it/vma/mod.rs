//! VMAs, their records and their locks: part 3 of `docs/semantics.md`.

mod flags;
mod locks;
mod view;
