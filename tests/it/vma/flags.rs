//! What the flags of a VMA allow.

use crate::support::address_space::{DOWN, RW, UP};
use vmaple::{Access, VmaFlags};

#[test]
fn flags_say_what_is_allowed() {
    for bits in 0..8 {
        let flags = VmaFlags::from_bits_retain(bits);
        assert_eq!(flags.allows(Access::Read), bits != 0, "any way in is a way to read");
        assert_eq!(flags.allows(Access::Write), flags.contains(VmaFlags::WRITE));
        assert_eq!(flags.allows(Access::Exec), flags.contains(VmaFlags::EXEC));
        assert_eq!(flags.is_accessible(), bits != 0);
    }
    assert!(RW.is_data() && !DOWN.is_data() && !(RW | VmaFlags::SHARED).is_data() && !VmaFlags::READ.is_data());
    assert!(DOWN.is_stack() && UP.is_stack() && !RW.is_stack());
}
