//! VMAs, their records and their locks: part 3 of `docs/semantics.md`.

use crate::mm_lock;

mod locks;

pub(crate) use locks::{DOWN, RW, UP, layout, map_all, mm_of, mm_with, page};
