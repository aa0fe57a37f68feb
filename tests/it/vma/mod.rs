//! VMAs, their records and their locks: part 3 of `docs/semantics.md`.

mod locks;
mod view;
