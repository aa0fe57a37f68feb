//! Shortens a sequence that shows a difference: leaves out what is not needed for it, greedily, from large pieces down to single steps.
//! Called by `fuzz`.

use super::play::replay;
use super::step::Step;
use crate::space::Refusal;
use vmaple_trace::Record;

/// Returns the records of the shortest sequence that was found; `None` if the sequence shows no difference.
pub(super) fn shortest(steps: &[Step]) -> Result<Option<Vec<Record>>, Refusal> {
    let mut kept = steps.to_vec();
    let Some(mut best) = replay(&kept)? else { return Ok(None) };
    let mut piece = kept.len().div_ceil(2);
    loop {
        let (mut at, before) = (0, kept.len());
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + piece).min(fewer.len()));
            // a sequence that cannot be executed shows nothing
            match replay(&fewer) {
                Ok(Some(records)) => (kept, best) = (fewer, records),
                Ok(None) | Err(_) => at += piece,
            }
        }
        if piece == 1 && kept.len() == before {
            return Ok(Some(best));
        }
        piece = piece.div_ceil(2).max(1);
    }
}
