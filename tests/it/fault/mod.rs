//! Page faults and growth: parts 1 and 2 of `docs/semantics.md`.

mod growth;
mod path;
mod sequences;
