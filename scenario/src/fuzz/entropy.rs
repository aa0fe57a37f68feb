//! Where the choices of the generator come from: a seeded generator of numbers, or the bytes that a fuzzer makes up. `generate` asks.

/// Says which, of so many.
pub(super) trait Entropy {
    /// A number below that, which is not 0.
    fn below(&mut self, bound: u64) -> u64;

    /// Whether there is nothing left to choose by.
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

/// Bytes, from first to last: as many for a choice as it needs. When they are spent it is the first of all there are.
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
