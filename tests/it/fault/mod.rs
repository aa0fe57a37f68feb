//! Page faults and growth: parts 1 and 2 of `docs/semantics.md`.

use crate::{mm_lock, vma};

mod growth;
mod path;
mod sequences;
