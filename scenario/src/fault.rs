//! Page faults and growth: a `fault` as a machine's fault handler takes it, and a `grew` as the recording saw it. Called by `model`.

use crate::area::{Rider, extent_of};
use crate::space::Answer;
use vmaple::mm::KeyRights;
use vmaple::mm::fault::{ExpandError, FaultError};
use vmaple::{FaultContext, Interrupt, Mm, Span, VmaFlags};
use vmaple_trace::{Access, Context, Extent};

/// Handles a fault and returns the area that serves it.
///
/// If the area before the address grows up, it handles the fault as a machine with such stacks does, whose handler tries that first (1.11,
/// 1.13). Otherwise it takes the path by the VMA's lock and then the helper (1.14, 1.1 to 1.10).
pub(super) fn handle(mm: &Mm<Rider>, addr: u64, access: Access, rights: KeyRights, context: Context) -> Answer {
    let killed = Interrupt::new();
    let context = match context {
        Context::User => FaultContext::User(&killed),
        Context::Kernel => FaultContext::KernelWithFixup(&killed),
        Context::KernelNofixup => FaultContext::KernelWithoutFixup,
    };
    let access = match access {
        Access::Read => vmaple::Access::Read,
        Access::Write => vmaple::Access::Write,
        Access::Exec => vmaple::Access::Exec,
    };
    let answer = if has_upward_stack_below(mm, addr) {
        mm.read().expand_stack(addr, context).and_then(|found| {
            let vma = found.vma();
            let (flags, key) = (vma.flags(), vma.flags().pkey());
            if !rights.allows(key, access, mm.execute_only_key()) {
                return Err(FaultError::DeniedByKey { at: addr, access, vma: vma.span(), key });
            }
            if flags.allows(access) { Ok(vma.span()) } else { Err(FaultError::Denied { at: addr, access, vma: vma.span() }) }
        })
    } else {
        mm.handle_fault(addr, access.with_rights(rights), context).map(|found| found.vma().span())
    };
    if answer.is_ok() && access == vmaple::Access::Write {
        // a write gives a private mapping a page of its own
        mm.read().own(addr);
    }
    answer.map(extent_of).map_err(|fault| Some(fault.to_string()))
}

/// Returns whether nothing is at the address, and the VMA before it grows up.
fn has_upward_stack_below(mm: &Mm<Rider>, addr: u64) -> bool {
    let reader = mm.read();
    reader.lookup(addr).is_none() && reader.prev(addr).is_some_and(|vma| vma.flags().contains(VmaFlags::GROWSUP))
}

/// Grows the first area that overlaps the range, in its direction, up to the end of the range there.
pub(super) fn grow(mm: &Mm<Rider>, to: Extent) -> Answer {
    let found = mm.pin().find(to.start).filter(|vma| vma.start() < to.end).map(|vma| vma.flags());
    let mut writer = mm.write();
    let grown: Result<Span, ExpandError> = match found {
        None => return Err(None),
        Some(flags) if flags.contains(VmaFlags::GROWSUP) => writer.expand_up(to.last()),
        Some(_) => writer.expand_down(to.start),
    };
    grown.map(extent_of).map_err(|error| Some(error.to_string()))
}
