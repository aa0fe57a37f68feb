//! Threads, children and programs: how they begin and replace each other, and which address space each is in. Called by `tracer`, and by
//! `ends` at their ends.
//!
//! A trace begins for each program of each process, and for each child with an address space of its own. A new thread is announced by the
//! thread that made it, and stops for the first time; either may be reported first. If its maker is killed before the announcement, the new
//! thread is an orphan, and is adopted without one.

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::abi::UNTRACED;
use super::call::Call;
use super::error::RecordError;
use super::image::Image;
use super::layout;
use super::space::{Heritage, Origin, Space};
use super::stop;
use super::sys::{self, Resume};
use super::task::{Phase, SpaceId, Stage, Stop, Task, Unannounced};
use super::tracer::Tracer;
use vmaple_trace::{ForkOutcome, Name, Record};

impl Tracer {
    /// Handles the announcement of a new thread or process, which stops for the first time soon or has done so.
    pub(super) fn announced(&mut self, tid: Pid, usually_shares: bool) -> Result<(), RecordError> {
        // it may have been adopted without an announcement, and may have ended
        let is_new = |child: &Pid| !self.tasks.contains_key(child) && !layout::is_dead(*child);
        if let Some(child) = message(tid).filter(is_new) {
            let parent_space = self.tasks.get(&tid).and_then(|task| task.space);
            let shares = sys::same_space(tid, child).unwrap_or(usually_shares);
            let process = layout::process_of(child).unwrap_or(child);
            let space = if shares { parent_space } else { None };
            if let Some(space) = space.and_then(|space| self.spaces.get_mut(&space)) {
                space.users.insert(child);
            }
            self.tasks.insert(child, Task { process, space, call: None, stage: Stage::Expected });
            if !shares {
                self.forked(tid, child)?;
            }
            if let Some(unannounced) = self.unannounced.remove(&child) {
                self.begin_at(child, unannounced.stop)?;
            }
        }
        let how = if self.tasks.get(&tid).is_some_and(|task| task.call.is_some()) { Resume::ToCallExit } else { Resume::Run };
        self.resume(tid, how, 0)
    }

    /// A thread is about to create one with `CLONE_UNTRACED`. The recorder clears the bit and follows the new thread, because the filter that
    /// it inherits would otherwise refuse its memory calls. (Its own copy of the flags is without the bit. A leak checker, whose thread this
    /// usually is, then reports that it cannot trace its program, and ends.)
    pub(super) fn follow_untraced(&mut self, tid: Pid, mut registers: libc::user_regs_struct) -> Result<(), RecordError> {
        let flags = registers.rdi;
        registers.rdi &= !u64::from(UNTRACED);
        // killed meanwhile, if this fails: the kernel will report its end
        if ptrace::setregs(tid, registers).is_ok()
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.call = Some(Call::Followed { flags });
        }
        self.resume(tid, Resume::ToCallExit, 0)
    }

    /// Handles the stop of a thread that no event has announced.
    pub(super) fn unknown(&mut self, tid: Pid, stop: Stop) -> Result<(), RecordError> {
        let process = layout::process_of(tid).unwrap_or(tid);
        let maker = if process == tid { layout::parent_of(tid).unwrap_or(tid) } else { process };
        self.unannounced.insert(tid, Unannounced { stop, process, maker });
        self.adopt_orphans()
    }

    /// Adopts the threads whose creator can no longer announce them.
    pub(super) fn adopt_orphans(&mut self) -> Result<(), RecordError> {
        let alive = |process: Pid| self.tasks.values().any(|task| task.process == process && task.stage != Stage::Leaving);
        // with `CLONE_PARENT` the parent of the creator is reported as the child's parent
        let may_report = |maker: Pid| alive(maker) || (maker == Pid::this() && !self.tasks.is_empty());
        let orphan = |(tid, new): &(&Pid, &Unannounced)| {
            // a thread at its last stop keeps a new program of its process waiting
            let in_the_way = new.stop == Stop::Last && new.process != **tid;
            in_the_way || !may_report(new.maker)
        };
        let orphans: Vec<Pid> = self.unannounced.iter().filter(orphan).map(|(tid, _)| *tid).collect();
        for tid in orphans {
            let Some(Unannounced { stop, process, .. }) = self.unannounced.remove(&tid) else {
                continue;
            };
            self.tasks.insert(tid, Task { process, space: None, call: None, stage: Stage::Expected });
            // another thread of a killed process does nothing that could be recorded
            let stop = if process == tid { stop } else { Stop::Last };
            self.begin_at(tid, stop)?;
        }
        Ok(())
    }

    fn begin_at(&mut self, tid: Pid, stop: Stop) -> Result<(), RecordError> {
        match stop {
            Stop::First => self.newborn(tid),
            Stop::Last => self.leaving(tid),
        }
    }

    /// Writes a child to its parent's trace, and keeps what it inherits.
    fn forked(&mut self, tid: Pid, child: Pid) -> Result<(), RecordError> {
        self.drain_faults();
        let stamp = self.stamp(tid)?;
        let Some(space) = self.tasks.get(&tid).and_then(|task| self.spaces.get_mut(&task.space?)) else {
            return Ok(());
        };
        if let Some(name) = Name::new(format!("p{child}").as_bytes()) {
            space.image.stamped(Some(stamp), &Record::Fork(ForkOutcome::Child(name)));
        }
        let heritage = Heritage { base: space.base, brk: space.brk, keys: Some(space.keys) };
        self.heritages.insert(child, heritage);
        Ok(())
    }

    /// Handles the first stop of a thread, before it has done anything.
    pub(super) fn newborn(&mut self, tid: Pid) -> Result<(), RecordError> {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        task.stage = Stage::Running;
        // while threads are gathered it is not known yet whose address space it is in
        if task.space.is_none() && tid != self.root && !matches!(self.phase, Phase::Gathering { .. }) {
            let heritage = self.heritages.remove(&tid).unwrap_or_default();
            self.begin_space(tid, Origin::Forked(heritage));
        }
        self.resume(tid, Resume::Run, 0)
    }

    /// Begins the trace of an address space that only `tid` lives in.
    pub(super) fn begin_space(&mut self, tid: Pid, origin: Origin) -> SpaceId {
        let id = self.next_space;
        self.next_space += 1;
        let Some(task) = self.tasks.get_mut(&tid) else {
            return id;
        };
        let number = self.programs.entry(task.process).and_modify(|number| *number += 1).or_insert(1);
        let image = Image::begin(&self.files, task.process, tid, *number);
        task.space = Some(id);
        let process = task.process;
        self.spaces.insert(id, Space::begin(image, process, tid, &mut self.objects, origin));
        id
    }

    /// Handles a new program in a process: all its other threads have ended, and so has its address space.
    pub(super) fn replaced(&mut self, tid: Pid) -> Result<(), RecordError> {
        self.drain_faults();
        // the thread that called takes over the number of the process
        let replacing = |task: &Task| task.process == tid && matches!(task.call, Some(Call::Exec));
        let caller = || self.tasks.iter().find(|(_, task)| replacing(task)).map(|(thread, _)| *thread);
        let former = message(tid).or_else(caller).unwrap_or(tid);
        let old = self.tasks.get(&former).and_then(|task| task.space);
        let vanished: Vec<Pid> = self.tasks.iter().filter(|(_, task)| task.process == tid).map(|(thread, _)| *thread).collect();
        if let Some(space) = old.and_then(|old| self.spaces.get_mut(&old)) {
            for thread in vanished.iter().chain([&former]) {
                space.users.remove(thread);
                space.inside.retain(|(inside, _)| inside != thread);
                space.waiting.retain(|waiting| waiting != thread);
            }
        }
        for thread in &vanished {
            self.tasks.remove(thread);
        }
        let task = Task { process: tid, space: None, call: None, stage: Stage::Running };
        self.tasks.insert(tid, task);
        if let Some(old) = old {
            if self.spaces.get(&old).is_some_and(|space| space.users.is_empty()) {
                self.end_space(old, &[]);
            } else {
                // a child that shared its parent's address space until now
                if let Some(space) = self.spaces.get_mut(&old) {
                    space.last_layout = None;
                }
                self.admit(old)?;
            }
        }
        self.begin_space(tid, Origin::Program);
        self.resume(tid, Resume::Run, 0)
    }
}

/// Returns the thread that an event of another reports.
fn message(tid: Pid) -> Option<Pid> {
    stop::message(tid).and_then(|number| i32::try_from(number).ok()).map(Pid::from_raw)
}
