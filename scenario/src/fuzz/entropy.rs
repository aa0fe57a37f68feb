//! The source of the generator's choices: a seeded random generator, or the bytes of a fuzzer. Called by `generate`.

/// A source of choices.
pub(super) trait Entropy {
    /// Returns a number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64;

    /// Returns whether no choices are left.
    fn is_spent(&self) -> bool;
}

impl Entropy for fastrand::Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.u64(0..bound)
    }

    fn is_spent(&self) -> bool {
        false
    }
}

/// Bytes, taken from first to last, as many per choice as it needs. When they are used up, every choice is 0.
#[derive(Debug)]
pub(super) struct Bytes<'b>(pub(super) &'b [u8]);

impl Entropy for Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let wanted = match bound {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 8,
        };
        let (taken, left) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = left;
        taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % bound
    }

    fn is_spent(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Entropy as _};

    #[test]
    fn bytes_are_taken_as_they_are_needed() {
        let mut bytes = Bytes(&[7, 255, 1, 2, 9, 0, 0, 0, 0, 0, 0, 0, 5, 3]);
        assert_eq!([bytes.below(256), bytes.below(10), bytes.below(1000)], [7, 5, 0x102]);
        assert_eq!(bytes.below(u64::MAX), 0x0900_0000_0000_0000);
        assert!(!bytes.is_spent());
        assert_eq!([bytes.below(0x101), bytes.below(7), bytes.below(1)], [0x503 % 0x101, 0, 0]);
        assert!(bytes.is_spent());
    }
}
