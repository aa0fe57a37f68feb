//! A model of the limits, which are read without a lock while another thread replaces them (`src/sync/newest.rs`).
//!
//! For loom each of the two slots is a cell of its own, so it reports a slot that is read while it is written.

use super::{explore, thread};
use std::sync::Arc;
use vmaple::Mm;
use vmaple::mm::Limits;

fn numbered(number: u64) -> Limits {
    let mut limits = Limits::default();
    (limits.data_bytes, limits.commit_bytes) = (number << 20, number << 20);
    limits
}

fn number(limits: &Limits) -> u64 {
    assert_eq!(limits.data_bytes, limits.commit_bytes, "parts of two values");
    limits.data_bytes >> 20
}

/// Two replacements: the second writes to the slot where a reader may be that began before the first.
#[test]
fn limits_replaced_twice_beside_a_reader() {
    explore([1, 2, 3], || {
        let mm: Arc<Mm> = Arc::new(Mm::builder().limits(numbered(1)).expect("limits that mean something").build());
        let reader = {
            let mm = Arc::clone(&mm);
            thread::spawn(move || number(&mm.limits()))
        };
        mm.set_limits(numbered(2)).expect("limits that mean something");
        mm.set_limits(numbered(3)).expect("limits that mean something");
        assert_eq!(number(&mm.limits()), 3, "the thread sees its own replacement");
        vec![reader.join().expect("no panic in a model")]
    });
}
