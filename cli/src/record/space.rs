//! One address space while it is recorded: its trace, the model of its layout, and the threads in a call. Called by `calls`, `effect`,
//! `ends` and `lifecycle`.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Instant;

use nix::unistd::Pid;
use vmaple_host::Host;

use super::abi::PAGE;
use super::base::Base;
use super::coverage::{Coverage, CoverageDifference};
use super::image::Image;
use super::keys::Keys;
use super::layout::{self, Detail, GIVEN, Seen};
use super::marks::Userfault;
use super::objects::Objects;
use super::opens::Opens;
use super::task::Witness;
use vmaple_scenario::area::has_kept_promise;
use vmaple_scenario::placement::{task_size, unusual};
use vmaple_trace::{
    Advice, Area, AreaFlags, Capabilities, Errno, Expected, Extent, Limit, MapFlags, MarkKind, Name, Object, Offset, Operation, Outcome,
    Overcommit, Perm, Prot, Record, Resource, Setting, Stamp, VmCounts, With,
};

/// After a fault at most this far below a stack, the layout is read to see whether the stack grew. Other growth shows in the next layout.
const MAX_GROWTH: u64 = 64 << 20;

/// An address space and its trace.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) image: Image,
    /// The process that began the address space.
    pub(super) process: Pid,
    pub(super) coverage: Coverage,
    /// The break that the last `brk` returned.
    pub(super) brk: Option<u64>,
    /// The threads that use it.
    pub(super) users: BTreeSet<Pid>,
    /// The threads inside a call, and since when. There is more than one only if a call takes so long that others could not be held.
    pub(super) inside: Vec<(Pid, Instant)>,
    /// The thread that is kept at its last stop until the others have left the address space.
    pub(super) witness: Option<Witness>,
    /// The threads that are held at the entry of a call, in order of arrival.
    pub(super) waiting: VecDeque<Pid>,
    /// The layout before an `execve`.
    pub(super) last_layout: Option<Vec<Seen>>,
    pub(super) base: Base,
    /// Its protection keys.
    pub(super) keys: Keys,
    limits: Vec<(Resource, Limit)>,
    /// Whether it has had memory of huge pages.
    pub(super) has_huge_pages: bool,
    /// Areas that grow down: those of the last layout that was read, and what was mapped since.
    pub(super) stacks: Vec<Extent>,
    pub(super) calls_since_snapshot: u64,
    /// The capabilities at the last call.
    capabilities: Capabilities,
    /// Whether `unrecorded` was written since the last layout.
    has_left_out: bool,
    /// The name of a lasting effect that is not recorded, so that each layout may differ by it.
    pub(super) lasting: Option<&'static str>,
    pub(super) userfault: Userfault,
    pub(super) opens: Opens,
    /// Whether reading implies executing.
    pub(super) implies_exec: bool,
}

/// What a forked child inherits and no file in /proc shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heritage {
    pub(super) base: Base,
    pub(super) brk: Option<u64>,
    pub(super) keys: Option<Keys>,
}

/// The origin of an address space whose trace begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// A program has just been loaded into it.
    Program,
    /// It was copied from a parent.
    Forked(Heritage),
    /// It has been in use for some time.
    Running,
}

/// Why a layout is compared with the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Only the layout shows the effect of a call.
    Call(Stamp),
    /// A layout is about to be written.
    Snapshot,
}

impl Space {
    /// Begins the trace of an address space whose threads are all stopped: header and starting layout.
    pub(super) fn begin(mut image: Image, process: Pid, tid: Pid, objects: &mut Objects, origin: Origin) -> Self {
        let seen = layout::read(tid, Detail::Flags).unwrap_or_else(|error| {
            image.comment(&format!("the starting layout cannot be read: {error}"));
            Vec::new()
        });
        // a child inherits everything that it has at first
        let inherited = if matches!(origin, Origin::Forked(_)) { AreaFlags::INHERITED } else { AreaFlags::EMPTY };
        let heritage = match origin {
            Origin::Forked(heritage) => heritage,
            Origin::Program => Heritage { base: Base::of_program(tid, &seen), ..Heritage::default() },
            // no file shows the break to the byte; the end of the heap is in the same page
            Origin::Running => {
                Heritage { base: Base::of_running(tid, &seen), brk: heap_end(&seen).or_else(|| layout::brk_start(tid)), keys: None }
            }
        };
        let limits = layout::limits(tid).unwrap_or_default();
        let keys = heritage.keys.unwrap_or_else(|| Keys::of(&seen));
        for setting in settings(tid, heritage.base, &limits).into_iter().chain(keys.settings()) {
            image.record(&Record::Set(setting));
        }
        let mut userfault = Userfault::default();
        for area in &seen {
            let object = objects.of_area(area);
            let has_owner = area.flags.contains(AreaFlags::FAULTED) || has_kept_promise(area.perm, area.flags, &object);
            image.record(&Record::Area(Area {
                extent: area.extent,
                perm: area.perm,
                flags: area.flags.union(given(area)).union(if has_owner { inherited } else { AreaFlags::EMPTY }),
                marks: userfault.marks_of(area),
                offset: offset(area, &object),
                object,
            }));
        }
        if let Some(brk) = heritage.brk {
            // not a call: it shows where the break is
            image.record(&Record::Operation(Operation::Brk { addr: 0 }, Outcome::Value(brk)));
        }
        Self {
            image,
            process,
            coverage: Coverage::of(seen.iter().map(|area| (area.extent, area.perm))),
            brk: heritage.brk,
            users: BTreeSet::from([tid]),
            inside: Vec::new(),
            witness: None,
            waiting: VecDeque::new(),
            last_layout: None,
            base: heritage.base,
            keys,
            limits,
            has_huge_pages: seen.iter().any(|area| area.flags.contains(AreaFlags::HUGETLB)),
            stacks: seen.iter().filter(|area| area.flags.contains(AreaFlags::GROWSDOWN)).map(|area| area.extent).collect(),
            calls_since_snapshot: 0,
            capabilities: layout::capabilities(tid),
            has_left_out: false,
            lasting: None,
            userfault,
            opens: if matches!(origin, Origin::Program) { Opens::of_program(&seen) } else { Opens::default() },
            implies_exec: layout::reading_implies_executing(tid),
        }
    }

    /// Adds `PROT_EXEC` to an operation if reading implies executing.
    pub(super) fn imply(&self, operation: &mut Operation) {
        if let Operation::Mmap { prot, .. } | Operation::Mprotect { prot, .. } | Operation::PkeyMprotect { prot, .. } = operation
            && self.implies_exec
            && prot.contains(Prot::READ)
        {
            *prot = prot.union(Prot::EXEC);
        }
    }

    /// Follows a change of whether reading implies executing.
    pub(super) fn refresh_personality(&mut self, tid: Pid) {
        self.implies_exec = layout::reading_implies_executing(tid);
    }

    /// Writes where the heap is after a call that moved it.
    pub(super) fn refresh_heap(&mut self, tid: Pid, brk: Option<u64>) {
        self.brk = brk.or(self.brk);
        let settings =
            [layout::brk_start(tid).map(Setting::BrkStart), self.brk.map(Setting::Brk), layout::loaded_data(tid).map(Setting::LoadedData)];
        for setting in settings.into_iter().flatten() {
            self.image.record(&Record::Set(setting));
        }
    }

    /// Writes an advice for each part that a call did, and for the part at which it failed.
    pub(super) fn advised(&mut self, stamp: Stamp, parts: &[(u64, u64)], advice: Advice, result: Result<u64, u64>) {
        let mut left = result.unwrap_or(0);
        for &(addr, len) in parts {
            let is_done = result.is_ok() && left >= len;
            let outcome = match (is_done, result) {
                (true, _) => Outcome::Value(0),
                (false, Err(number)) => Errno::from_number(number).map_or(Outcome::Unchecked, Outcome::Failed),
                (false, Ok(_)) => Outcome::Unchecked,
            };
            self.image.operation(Some(stamp), Operation::Madvise { addr, len, advice }, outcome);
            if !is_done {
                return;
            }
            left -= len;
        }
    }

    /// Writes the effect of a call, as the layout shows it.
    pub(super) fn look_after(&mut self, tid: Pid, stamp: Stamp, what: &str, objects: &mut Objects) {
        self.image.comment(&format!("{what}; its effect:"));
        if let Err(error) = self.look(tid, objects, Reason::Call(stamp)) {
            self.image.comment(&format!("the layout cannot be read: {error}"));
        }
    }

    /// Handles an `execve` that failed: drops the layout that was kept for it, unless this is the only thread.
    pub(super) fn forget_kept_layout(&mut self) {
        if self.users.len() > 1 {
            self.last_layout = None;
        }
    }

    /// Writes that something is not recorded, at most once before each layout.
    pub(super) fn leaves_out(&mut self, what: &str) {
        if !std::mem::replace(&mut self.has_left_out, true)
            && let Some(what) = Name::new(what.as_bytes())
        {
            self.image.record(&Record::Unrecorded(what));
        }
    }

    /// Writes the thread's capabilities if they have changed.
    pub(super) fn refresh_capabilities(&mut self, tid: Pid) {
        let now = layout::capabilities(tid);
        if now != self.capabilities {
            self.capabilities = now;
            self.image.record(&Record::Set(Setting::Capabilities(now)));
        }
    }

    /// Writes what a call mapped in a range, as mappings that would have had that effect according to the layout, and its other effects.
    pub(super) fn mapped_anew(
        &mut self,
        tid: Pid,
        stamp: Stamp,
        what: &str,
        range: impl FnOnce(&[Seen]) -> Option<Extent>,
        objects: &mut Objects,
    ) {
        self.image.comment(&format!("{what}; its effect:"));
        let seen = match layout::read(tid, Detail::Flags) {
            Ok(seen) => seen,
            Err(error) => return self.image.comment(&format!("the layout cannot be read: {error}")),
        };
        self.opens.follow(&seen);
        if let Some(extent) = range(&seen) {
            let changed = CoverageDifference { extent, expected: None, found: Some(Perm::NONE) };
            for operation in explain(&changed, &seen, objects) {
                let Operation::Mmap { addr, .. } = operation else { continue };
                let flags = seen.iter().find(|area| area.extent.contains(addr)).map_or(AreaFlags::EMPTY, given);
                let mut with = With { flags, ..With::default() };
                with.marks.set(MarkKind::Open, self.opens.mark_at(addr));
                self.write_with(with);
                self.image.operation(Some(stamp), operation, Outcome::Value(addr));
            }
            self.coverage.unmap(extent);
            for area in &seen {
                if let Some(part) = area.extent.common(extent) {
                    self.coverage.map(part, area.perm);
                }
            }
        }
        self.settle(&seen, objects, Reason::Call(stamp));
    }

    /// Writes the limits that changed.
    pub(super) fn refresh_limits(&mut self, process: Pid) {
        let Ok(limits) = layout::limits(process) else {
            return;
        };
        for (resource, limit) in &limits {
            if !self.limits.contains(&(*resource, *limit)) {
                self.image.record(&Record::Set(Setting::Limit(*resource, *limit)));
            }
        }
        self.limits = limits;
    }

    /// Reads the layout, and writes what it shows beyond the recorded calls.
    pub(super) fn look(&mut self, tid: Pid, objects: &mut Objects, reason: Reason) -> io::Result<Vec<Seen>> {
        let seen = layout::read(tid, Detail::Flags)?;
        self.has_huge_pages |= seen.iter().any(|area| area.flags.contains(AreaFlags::HUGETLB));
        self.opens.follow(&seen);
        self.settle(&seen, objects, reason);
        Ok(seen)
    }

    /// Writes what a layout shows beyond the recorded calls: growth first, then everything else as calls that would have done it.
    pub(super) fn settle(&mut self, seen: &[Seen], objects: &mut Objects, reason: Reason) {
        if let Some(what) = self.lasting {
            self.leaves_out(what);
        }
        self.grow(seen);
        let stamp = if let Reason::Call(stamp) = reason { Some(stamp) } else { None };
        for mark in self.userfault.follow(seen) {
            self.image.operation(stamp, mark, Outcome::Value(0));
        }
        let found = Coverage::of(seen.iter().map(|area| (area.extent, area.perm)));
        let differences = self.coverage.differences(&found);
        if differences.is_empty() {
            return;
        }
        match reason {
            Reason::Snapshot if self.has_left_out => self.image.comment("the layout shows what is not recorded:"),
            Reason::Snapshot => self.image.comment("the layout shows what no call explains:"),
            Reason::Call(_) => {}
        }
        for difference in &differences {
            for operation in explain(difference, seen, objects) {
                let outcome = match operation {
                    Operation::Mmap { addr, .. } => Outcome::Value(addr),
                    _ => Outcome::Value(0),
                };
                if let Operation::Mmap { addr, .. } = operation
                    && let Some(area) = seen.iter().find(|area| area.extent.contains(addr))
                {
                    self.write_with(With { flags: given(area), ..With::default() });
                }
                match reason {
                    Reason::Call(stamp) => self.image.operation(Some(stamp), operation, outcome),
                    Reason::Snapshot if self.has_left_out => self.image.operation(None, operation, outcome),
                    Reason::Snapshot => self.image.unexplained(operation, outcome),
                }
            }
        }
        self.coverage = found;
    }

    /// Writes the attributes of the next mapping that its arguments do not give.
    fn write_with(&mut self, with: With) {
        if !with.is_empty() {
            self.image.record(&Record::With(with));
        }
    }

    /// Writes the growth that a layout shows.
    fn grow(&mut self, seen: &[Seen]) {
        let stacks = std::mem::take(&mut self.stacks);
        for area in seen.iter().filter(|area| area.flags.contains(AreaFlags::GROWSDOWN)) {
            self.stacks.push(area.extent);
            // an area that a call is creating did not grow
            let is_known = stacks.iter().any(|stack| stack.overlaps(area.extent));
            let pieces = if is_known { self.coverage.pieces(area.extent) } else { Vec::new() };
            let known = pieces.first().map(|(extent, _)| extent.start);
            if let Some(grown) = known.and_then(|known| Extent::new(area.extent.start, known)) {
                self.coverage.map(grown, area.perm);
                self.image.grew(area.extent);
            }
        }
    }

    /// Writes the growth that a fault at `address` caused, if it caused one. The fault was written before.
    pub(super) fn grow_after_fault(&mut self, tid: Pid, address: u64) {
        let below = |stack: &Extent| address < stack.start && stack.start - address < MAX_GROWTH;
        if !self.stacks.iter().any(below) || self.coverage.maps(address) {
            return;
        }
        if let Ok(seen) = layout::read(tid, Detail::Flags) {
            self.grow(&seen);
        }
    }

    /// Writes the exact list of areas.
    pub(super) fn write_maps(&mut self, seen: &[Seen], objects: &mut Objects) {
        self.has_left_out = false;
        self.image.record(&Record::Maps);
        for area in seen {
            let object = objects.of_area(area);
            let offset = (object != Object::Anon).then(|| offset(area, &object));
            let line = Expected { extent: area.extent, perm: Some(area.perm), flags: Some(area.flags), object: Some(object), offset };
            self.image.record(&Record::Expected(line));
        }
        self.image.record(&Record::End);
    }

    /// Writes the counters.
    pub(super) fn write_counts(&mut self, counts: Option<VmCounts>) {
        if let Some(counts) = counts
            && counts != VmCounts::default()
        {
            self.image.record(&Record::Vm(counts));
        }
    }
}

/// Returns calls that would lead from the model to the layout in a range where they differ.
fn explain(difference: &CoverageDifference, seen: &[Seen], objects: &mut Objects) -> Vec<Operation> {
    let Extent { start, end } = difference.extent;
    let len = difference.extent.len_bytes();
    match (difference.expected, difference.found) {
        (_, None) => vec![Operation::Munmap { addr: start, len }],
        (Some(expected), Some(found)) if expected.contains(Perm::SHARED) == found.contains(Perm::SHARED) => {
            vec![Operation::Mprotect { addr: start, len, prot: prot(found) }]
        }
        (_, Some(_)) => {
            let overlapping = seen.iter().filter(|area| area.extent.start < end && area.extent.end > start);
            overlapping
                .map(|area| {
                    let addr = area.extent.start.max(start);
                    let object = objects.of_area(area);
                    let offset = match offset(area, &object) {
                        Offset::Default => Offset::Default,
                        Offset::Bytes(bytes) => Offset::Bytes(bytes.wrapping_add(addr - area.extent.start)),
                    };
                    let len = area.extent.end.min(end) - addr;
                    let pages = area.flags.huge_page_bytes().map_or(MapFlags::EMPTY, MapFlags::of_huge_pages);
                    let flags = flags(area.perm, &object, offset).union(pages);
                    Operation::Mmap { addr, len, prot: prot(area.perm), flags, object, offset }
                })
                .collect()
        }
    }
}

fn prot(perm: Perm) -> Prot {
    Prot::from_bits(u32::from(perm.bits() & 7)).0
}

fn flags(perm: Perm, object: &Object, offset: Offset) -> MapFlags {
    let kind = if perm.contains(Perm::SHARED) { MapFlags::SHARED } else { MapFlags::PRIVATE };
    // the call creates shared anonymous memory, and maps it from its beginning
    let is_part = matches!(object, Object::Shm(_)) && !matches!(offset, Offset::Default | Offset::Bytes(0));
    let anonymous = if is_part || matches!(object, Object::File(_)) { MapFlags::EMPTY } else { MapFlags::ANONYMOUS };
    kind.union(MapFlags::FIXED).union(anonymous)
}

/// Returns the flags that an area has from its object: those of a driver, and for System V segments the hook that counts mappings.
fn given(area: &Seen) -> AreaFlags {
    let counts = if area.path.starts_with(b"/SYSV") { AreaFlags::HOOK } else { AreaFlags::EMPTY };
    area.flags.intersection(GIVEN).union(counts)
}

/// Returns the offset of an area in its object. /proc shows 0 for private anonymous memory, which is not its offset.
fn offset(area: &Seen, object: &Object) -> Offset {
    if *object == Object::Anon { Offset::Default } else { Offset::Bytes(area.offset) }
}

/// Returns a range with its start and its length rounded down to whole pages.
pub(super) fn pages_within(start: u64, len: u64) -> Option<Extent> {
    let start = start & !(PAGE - 1);
    Extent::new(start, start.checked_add(len & !(PAGE - 1))?)
}

/// Returns the end of the heap.
fn heap_end(seen: &[Seen]) -> Option<u64> {
    seen.iter().rev().find(|area| area.path == b"[heap]").map(|area| area.extent.end)
}

fn settings(tid: Pid, base: Base, limits: &[(Resource, Limit)]) -> Vec<Setting> {
    // a recording is of the machine as it is: the kernel hides nothing from the recorded process
    let host = Host::as_it_is();
    let known = [
        Some(Setting::Page(PAGE)),
        Some(Setting::TaskSize(task_size(host))),
        host.mmap_min_addr.map(Setting::MmapMinAddr),
        layout::brk_start(tid).map(Setting::BrkStart),
        layout::loaded_data(tid).map(Setting::LoadedData),
        Some(Setting::GuardGap(256)),
        host.max_map_count.map(Setting::MaxMapCount),
        host.overcommit.mode.and_then(|mode| Overcommit::from_number(mode.into())).map(Setting::Overcommit),
    ];
    let limits = limits.iter().map(|(resource, limit)| Setting::Limit(*resource, *limit));
    let placements = unusual(host).into_iter().map(Setting::Placement);
    known
        .into_iter()
        .flatten()
        .chain(base.settings())
        .chain(placements)
        .chain(limits)
        .chain([Setting::Capabilities(layout::capabilities(tid))])
        .collect()
}
