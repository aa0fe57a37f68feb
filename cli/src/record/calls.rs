//! Memory calls of the traced threads: their entry, their end, and the threads that wait meanwhile. Called by `tracer`.
//!
//! Only one thread of an address space is inside a memory call. Others are held where they enter one, in order of arrival. A call that
//! takes very long may wait for a held thread (for example the one that serves userfaultfd events), so others are then let in beside it,
//! and the trace says so.

use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::abi;
use super::abi::PAGE;
use super::call::Call;
use super::decode::decode;
use super::error::RecordError;
use super::filter::Verdict;
use super::layout::{self, Detail, Seen};
use super::objects;
use super::objects::Source;
use super::space::{Reason, pages_within};
use super::sys::Resume;
use super::task::{SpaceId, Stage, Task};
use super::tracer::Tracer;
use super::userfault::{self, Request};
use vmaple_trace::{Extent, MapFlags, Operation, Record};

/// How long other threads are held for one call.
const PATIENCE: Duration = Duration::from_millis(500);

/// Errors that a request of a userfaultfd ends with when it was done, at least in part.
const EAGAIN: u64 = 11;
const EEXIST: u64 = 17;
/// Nothing is registered there: the request was not done, but the area where it would have begun has an owner now.
const ENOENT: u64 = 2;

/// How often a snapshot is repeated because a stack grew meanwhile. After that it is written without the counters.
const LOOKS: usize = 8;

impl Tracer {
    /// Handles the stop of a thread at the entry of a call that the filter stops.
    pub(super) fn entered(&mut self, tid: Pid, verdict: Verdict) -> Result<(), RecordError> {
        if verdict == Verdict::Foreign {
            self.notes.foreign += 1;
            if let Some(space) = self.tasks.get(&tid).and_then(|task| self.spaces.get_mut(&task.space?)) {
                space.leaves_out("32-bit-program");
            }
            return self.resume(tid, Resume::Run, 0);
        }
        if let Ok(registers) = ptrace::getregs(tid)
            && registers.orig_rax.cast_signed() == libc::SYS_clone
        {
            return self.follow_untraced(tid, registers);
        }
        let Some(space) = self.tasks.get(&tid).and_then(|task| task.space) else {
            return self.resume(tid, Resume::Run, 0);
        };
        let Some(state) = self.spaces.get_mut(&space) else {
            return self.resume(tid, Resume::Run, 0);
        };
        if (state.inside.is_empty() && state.waiting.is_empty()) || userfault::brings_pages(tid) {
            return self.enter(tid, space);
        }
        state.waiting.push_back(tid);
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.stage = Stage::Held;
        }
        Ok(())
    }

    /// Lets a thread into its call.
    fn enter(&mut self, tid: Pid, space: SpaceId) -> Result<(), RecordError> {
        // a stack that grew by one of these may be cut by the call
        self.drain_faults();
        let Ok(registers) = ptrace::getregs(tid) else {
            // it was killed meanwhile, and the kernel will report its end
            return Ok(());
        };
        let decoded = decode(tid, registers.orig_rax.cast_signed(), abi::arguments(&registers));
        let Some(mut call) = decoded else {
            self.set_stage(tid, Stage::Running);
            self.resume(tid, Resume::Run, 0)?;
            return self.admit(space);
        };
        match &mut call {
            Call::Known(known) => {
                if let Some(state) = self.spaces.get_mut(&space) {
                    state.imply(&mut known.operation);
                    if let Source::Descriptor(descriptor) = known.source {
                        known.open = state.opens.open(tid, descriptor);
                    }
                }
                if let Source::Descriptor(descriptor) = known.source
                    && let Operation::Mmap { flags, .. } = &mut known.operation
                    && let Some(bytes) = objects::huge_page(tid, descriptor)
                {
                    // the file decides whether it consists of huge pages
                    *flags = flags.without_huge_pages().union(MapFlags::of_huge_pages(bytes));
                }
                if let Source::Descriptor(descriptor) = known.source
                    && let Operation::Mmap { object, .. } = &mut known.operation
                    && let Some(known_object) = self.objects.of_descriptor(tid, descriptor)
                {
                    *object = known_object;
                    known.source = Source::Nothing;
                }
            }
            Call::Exec => self.before_exec(tid, space),
            Call::Userfault(Request::Registers { descriptor }) => {
                if let Some(state) = self.spaces.get_mut(&space) {
                    state.userfault.word = userfault::word(tid, *descriptor);
                }
            }
            Call::Opaque(_)
            | Call::Remapped { .. }
            | Call::Attached
            | Call::Userfault(Request::Fills { .. })
            | Call::Advised { .. }
            | Call::Heap { .. }
            | Call::LeftOut { .. }
            | Call::Personality
            | Call::Credentials
            | Call::Followed { .. }
            | Call::Limits(_) => {}
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.call = Some(call);
            task.stage = Stage::Running;
        }
        if let Some(state) = self.spaces.get_mut(&space) {
            state.inside.push((tid, Instant::now()));
        }
        self.resume(tid, Resume::ToCallExit, 0)
    }

    /// Keeps the layout of a program that may be about to be replaced, because afterwards it cannot be read.
    fn before_exec(&mut self, tid: Pid, space: SpaceId) {
        let Some(process) = self.tasks.get(&tid).map(|task| task.process) else {
            return;
        };
        let Some(state) = self.spaces.get_mut(&space) else {
            return;
        };
        let alone = state.users.iter().all(|user| self.tasks.get(user).is_some_and(|task| task.process == process));
        // the layout of a child between fork and exec is not needed at each try of a search, because its trace will not be kept
        let used = state.image.tally().changes() != 0;
        state.last_layout = (alone && (used || process == self.root)).then(|| layout::read(tid, Detail::Flags).ok()).flatten();
    }

    /// Handles the stop of a thread at the end of its call.
    pub(super) fn ended(&mut self, tid: Pid) -> Result<(), RecordError> {
        if let Ok(mut registers) = ptrace::getregs(tid) {
            if let Some(&Call::Followed { flags }) = self.tasks.get(&tid).and_then(|task| task.call.as_ref()) {
                registers.rdi = flags;
                // killed meanwhile, if this fails: the kernel will report its end
                _ = ptrace::setregs(tid, registers);
            }
            self.finish_call(tid, registers.rax)?;
        }
        self.resume(tid, Resume::Run, 0)?;
        self.leave_call(tid)
    }

    /// Records the call that a thread was in.
    pub(super) fn finish_call(&mut self, tid: Pid, register: u64) -> Result<(), RecordError> {
        let Some(call) = self.tasks.get_mut(&tid).and_then(|task| task.call.take()) else {
            return Ok(());
        };
        let stamp = self.stamp(tid)?;
        self.drain_faults();
        let result = abi::result(register);
        let Some(space) = self.tasks.get(&tid).and_then(|task| self.spaces.get_mut(&task.space?)) else {
            return Ok(());
        };
        match call {
            Call::Known(known) => space.complete(tid, stamp, known, result, &mut self.objects),
            Call::Opaque(name) => {
                if result.is_ok() {
                    space.look_after(tid, stamp, name, &mut self.objects);
                }
            }
            Call::Remapped { addr, len } => {
                if result.is_ok() {
                    space.mapped_anew(tid, stamp, "remap_file_pages", |_| pages_within(addr, len), &mut self.objects);
                }
            }
            Call::Attached => {
                if let Ok(at) = result {
                    let whole = |seen: &[Seen]| seen.iter().find(|area| area.extent.contains(at)).map(|area| area.extent);
                    space.mapped_anew(tid, stamp, "shmat", whole, &mut self.objects);
                }
            }
            Call::Userfault(Request::Registers { .. }) => space.look_after(tid, stamp, "an ioctl of a userfaultfd", &mut self.objects),
            Call::Userfault(Request::Fills { destination }) => {
                // in part, or because the page was there already
                if matches!(result, Ok(_) | Err(EAGAIN | EEXIST)) {
                    space.image.record(&Record::Own(destination));
                } else if result == Err(ENOENT)
                    && let Some(first) = Extent::new(destination.start, destination.start.saturating_add(PAGE))
                {
                    space.image.record(&Record::Own(first));
                }
            }
            Call::Advised { parts, advice } => space.advised(stamp, &parts, advice, result),
            Call::Heap { brk } => {
                if result.is_ok() {
                    space.refresh_heap(tid, brk);
                }
            }
            Call::LeftOut { what, lasts } => {
                if result.is_ok() {
                    space.leaves_out(what);
                    space.lasting = if lasts { Some(what) } else { space.lasting.filter(|lasting| *lasting != what) };
                }
            }
            Call::Followed { .. } => {}
            Call::Personality => space.refresh_personality(tid),
            Call::Credentials => space.refresh_capabilities(tid),
            // it failed: a success is reported as an event of its own
            Call::Exec => space.last_layout = None,
            Call::Limits(process) => {
                if result.is_ok() {
                    self.limits_changed(tid, process);
                }
            }
        }
        self.snapshot_if_due(tid);
        Ok(())
    }

    fn limits_changed(&mut self, tid: Pid, process: Pid) {
        let of = |task: &Task| (task.process, task.space);
        let changed = if process.as_raw() == 0 {
            self.tasks.get(&tid).map(of)
        } else {
            self.tasks.values().find(|task| task.process == process).map(of)
        };
        if let Some((process, Some(space))) = changed
            && let Some(space) = self.spaces.get_mut(&space)
        {
            space.refresh_limits(process);
        }
    }

    /// Writes an intermediate layout if the interval since the last one has passed.
    fn snapshot_if_due(&mut self, tid: Pid) {
        let Some(interval) = self.snapshots else {
            return;
        };
        let Some(space) = self.tasks.get(&tid).and_then(|task| self.spaces.get_mut(&task.space?)) else {
            return;
        };
        // another call may have taken effect already, and its record would come after the layout
        if space.calls_since_snapshot < interval || space.inside.len() > 1 {
            return;
        }
        space.calls_since_snapshot = 0;
        // No thread makes calls meanwhile, but another thread's stack may grow: the two must be of one moment.
        for _ in 0..LOOKS {
            let before = layout::counts(tid).ok();
            let Ok(seen) = space.look(tid, &mut self.objects, Reason::Snapshot) else { return };
            let after = layout::counts(tid).ok();
            if before == after {
                space.write_maps(&seen, &mut self.objects);
                space.write_counts(after);
                return;
            }
        }
    }

    /// Notes that a thread has left its call or has ended, so that a waiting thread may enter.
    pub(super) fn leave_call(&mut self, tid: Pid) -> Result<(), RecordError> {
        let Some(id) = self.tasks.get(&tid).and_then(|task| task.space) else {
            return Ok(());
        };
        if let Some(space) = self.spaces.get_mut(&id) {
            space.inside.retain(|(inside, _)| *inside != tid);
            space.waiting.retain(|waiting| *waiting != tid);
        }
        self.admit(id)
    }

    /// Lets the first waiting thread into its call, if no thread is inside one.
    pub(super) fn admit(&mut self, space: SpaceId) -> Result<(), RecordError> {
        let Some(state) = self.spaces.get_mut(&space) else {
            return Ok(());
        };
        if !state.inside.is_empty() {
            return Ok(());
        }
        match state.waiting.pop_front() {
            Some(tid) => self.enter(tid, space),
            None => Ok(()),
        }
    }

    /// Lets the threads that were held for too long into their calls.
    pub(super) fn relieve(&mut self) -> Result<(), RecordError> {
        let now = Instant::now();
        let overdue = |state: &super::space::Space| {
            !state.waiting.is_empty() && state.inside.iter().all(|(_, since)| now.duration_since(*since) > PATIENCE)
        };
        let overdue: Vec<SpaceId> = self.spaces.iter().filter(|(_, state)| overdue(state)).map(|(id, _)| *id).collect();
        for id in overdue {
            let Some(state) = self.spaces.get_mut(&id) else {
                continue;
            };
            let Some(tid) = state.waiting.pop_front() else {
                continue;
            };
            if !state.inside.is_empty() {
                self.notes.crowded += 1;
                state.image.comment("a call takes long; the order of the calls around here is not certain");
            }
            self.enter(tid, id)?;
        }
        Ok(())
    }

    fn set_stage(&mut self, tid: Pid, stage: Stage) {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.stage = stage;
        }
    }
}
