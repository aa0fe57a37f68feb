//! A sequence that shows a difference, with what is not needed for that left out: greedily, from large pieces to single steps. `fuzz`
//! comes in.

use super::play::replay;
use super::step::Step;
use crate::space::Refusal;
use vmaple_trace::Record;

/// The records of the shortest that was found; none where the sequence does not differ at all.
pub(super) fn shortest(steps: &[Step]) -> Result<Option<Vec<Record>>, Refusal> {
    let mut kept = steps.to_vec();
    let Some(mut best) = replay(&kept)? else { return Ok(None) };
    let mut piece = kept.len().div_ceil(2);
    loop {
        let (mut at, before) = (0, kept.len());
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + piece).min(fewer.len()));
            // what cannot be executed shows nothing
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
