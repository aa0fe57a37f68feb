//! `mprotect`: goes from area to area and stops at the first one that refuses. The areas before that stay changed.

use super::super::layout_model::{Bounds, Region};
use super::super::packed::PackedAttrs;
use super::builder::Builder;
use anyhow::Result;
use vmaple_trace::{AreaFlags, Object, Outcome, Perm, Prot};

/// Returns the permissions of a protection, without `shared`.
pub(super) fn letters(prot: Prot) -> Perm {
    let mut perm = Perm::NONE;
    for (bit, letter) in [(Prot::READ, Perm::READ), (Prot::WRITE, Perm::WRITE), (Prot::EXEC, Perm::EXEC)] {
        if prot.contains(bit) {
            perm = perm.union(letter);
        }
    }
    perm
}

impl Builder {
    /// `mprotect`, whose key is -1, and `pkey_mprotect`.
    pub(super) fn mprotect(&mut self, addr: u64, len: u64, prot: Prot, key: i32, outcome: Outcome) -> Result<()> {
        let extent = match outcome {
            Outcome::Failed(_) => self.extent(addr, len).unwrap_or_default(),
            Outcome::Value(_) | Outcome::Unchecked => self.extent(addr, len)?,
        };
        let Some(mut extent) = extent else { return Ok(()) };
        if prot.contains(Prot::GROWSDOWN)
            && let Some(area) = self.model().intersecting(extent).next()
        {
            extent.start = area.start;
        }
        if prot.contains(Prot::GROWSUP)
            && let Some(area) = self.model().lookup(extent.last)
        {
            extent.last = area.last;
        }
        let reached = match outcome {
            Outcome::Value(_) | Outcome::Unchecked => Some(extent),
            Outcome::Failed(errno) => self.reached(extent, prot, errno.name()),
        };
        match reached {
            Some(reached) => {
                let rekey = self.rekey(prot, key);
                self.rewrite(reached, |attrs| {
                    let was_exec_alone = attrs.perm().bits() & 7 == Perm::EXEC.bits();
                    with_letters(attrs, prot).with_key(rekey(was_exec_alone, attrs.key()))
                })
            }
            None => Ok(()),
        }
    }

    /// Returns the part of the range that a call changed before it failed. If the recording does not show what stopped it, nothing was changed.
    fn reached(&self, extent: Bounds, prot: Prot, errno: &str) -> Option<Bounds> {
        match errno {
            // a hole stopped it; without a hole a limit refused it, before the first change
            "ENOMEM" => self.before_hole(extent).filter(|reached| *reached != extent),
            "EPERM" => self.before(extent, |area| area.attrs.has(AreaFlags::SEALED)),
            // what may not be written is a file that was opened for reading and is mapped shared
            "EACCES" if prot.contains(Prot::WRITE) => self.before(extent, |area| {
                let file = matches!(self.history.backings.object(area.attrs.backing()), Object::File(_));
                file && area.attrs.perm().contains(Perm::SHARED) && !area.attrs.perm().contains(Perm::WRITE)
            }),
            _ => None,
        }
    }

    /// Returns the part of a range before the first area of a kind, or `None` if there is no such area or nothing before it.
    fn before(&self, extent: Bounds, stops: impl Fn(&Region) -> bool) -> Option<Bounds> {
        let stopped = self.model().intersecting(extent).find(stops)?;
        let last = stopped.start.checked_sub(1).filter(|last| *last >= extent.start)?;
        Some(Bounds { start: extent.start, last })
    }
}

fn with_letters(attrs: PackedAttrs, prot: Prot) -> PackedAttrs {
    let shared = if attrs.perm().contains(Perm::SHARED) { Perm::SHARED } else { Perm::NONE };
    attrs.with_perm(letters(prot).union(shared))
}
