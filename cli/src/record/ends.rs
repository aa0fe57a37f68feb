//! The ends of threads and address spaces, so that a trace ends with the last layout. Called by `tracer`.
//!
//! Each thread stops once more before it ends, and its address space can be read at that stop. One case cannot be excluded: the last stop
//! of a thread that is killed at the moment when it is resumed from another stop is not reported. So the first thread of a process that
//! dies as a whole is kept at its last stop, as a witness, until the others have left the address space. Only if no thread could be kept,
//! the trace ends with a note instead of a layout.

use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::call::Call;
use super::error::RecordError;
use super::image::{Ending, Keep};
use super::layout::{self, Seen};
use super::objects::Source;
use super::space::{Reason, Space};
use super::stop::{self, release};
use super::task::{SpaceId, Stage, Task, Witness};
use super::tracer::Tracer;

/// How long a witness is kept. Only a core dump that begins after the last stops waits for the witness.
const PATIENCE: Duration = Duration::from_secs(5);

impl Tracer {
    /// Handles the last stop of a thread, which still has its address space.
    pub(super) fn leaving(&mut self, tid: Pid) -> Result<(), RecordError> {
        let call = self.tasks.get(&tid).and_then(|task| task.call.as_ref());
        let replacing = matches!(call, Some(Call::Exec));
        if call.is_some() {
            // it was killed inside a call: the register shows whether the call had been done
            let result = ptrace::getregs(tid).map(|registers| registers.rax).ok();
            let not_done = (-i64::from(libc::ENOSYS)).cast_unsigned();
            match result {
                Some(result) if result != not_done && !replacing => self.finish_call(tid, result)?,
                _ => {
                    if let Some(task) = self.tasks.get_mut(&tid) {
                        task.call = None;
                    }
                }
            }
        }
        if replacing && let Some(space) = self.tasks.get(&tid).and_then(|task| self.spaces.get_mut(&task.space?)) {
            space.forget_kept_layout();
        }
        self.drain_faults();
        self.heritages.remove(&tid);
        self.leave_call(tid)?;
        let whole = self.ends_whole_process(tid);
        let place = self.tasks.get_mut(&tid).and_then(|task| {
            task.stage = Stage::Leaving;
            Some((task.space.take()?, task.process))
        });
        let kept = match place {
            // its address space may already be that of the next program
            Some((id, _)) if replacing => self.depart(tid, id, None).map(|()| false)?,
            Some((id, process)) if whole && self.is_awaited(id, process, tid) => self.keep_witness(tid, id, process),
            Some((id, _)) => self.depart(tid, id, Some(tid)).map(|()| false)?,
            None => false,
        };
        if !kept {
            release(tid)?;
        }
        self.adopt_orphans()
    }

    /// Handles the end of a thread.
    pub(super) fn gone(&mut self, tid: Pid, status: i32) -> Result<(), RecordError> {
        if tid == self.root {
            self.root_status = Some(status);
        }
        self.unannounced.remove(&tid);
        for space in self.spaces.values_mut().filter(|space| space.witness.is_some_and(|witness| witness.tid == tid)) {
            space.witness = None;
        }
        self.vanish(tid)?;
        self.tasks.remove(&tid);
        self.heritages.remove(&tid);
        self.adopt_orphans()
    }

    /// Releases the witnesses that have waited for too long, and those that wait for a thread whose end the kernel reports after their own.
    pub(super) fn relieve_witnesses(&mut self) -> Result<(), RecordError> {
        let kept: Vec<(SpaceId, Witness)> =
            self.spaces.iter().filter_map(|(id, space)| space.witness.map(|witness| (*id, witness))).collect();
        for (id, witness) in kept {
            // the kernel reports the end of a process's first thread after those of all others
            let first = self.tasks.get(&witness.process).is_some_and(|task| task.space == Some(id));
            if first && layout::is_dead(witness.process) {
                self.vanish(witness.process)?;
            } else if witness.since.elapsed() > PATIENCE {
                if let Some(space) = self.spaces.get_mut(&id) {
                    space.witness = None;
                }
                release(witness.tid)?;
            }
        }
        Ok(())
    }

    /// Completes the traces of address spaces whose end was never reported.
    pub(super) fn end_spaces(&mut self) {
        let mut rest: Vec<SpaceId> = self.spaces.keys().copied().collect();
        rest.sort_unstable();
        for id in rest {
            self.end_space(id, &[]);
        }
    }

    /// Returns whether all other threads of the process end, too: it was killed, or this thread ended all.
    fn ends_whole_process(&self, tid: Pid) -> bool {
        let signal = stop::exit_status(tid).map_or(0, |status| libc::WTERMSIG(status));
        if signal != 0 {
            // a filter may kill one thread alone
            return signal != libc::SIGSYS;
        }
        let ended_all = ptrace::getregs(tid).is_ok_and(|registers| registers.orig_rax.cast_signed() == libc::SYS_exit_group);
        let process = self.tasks.get(&tid).map(|task| task.process);
        let replacing = |task: &Task| Some(task.process) == process && matches!(task.call, Some(Call::Exec));
        // another thread may have called `execve`, which waits for the end of this one
        ended_all && !self.tasks.values().any(replacing)
    }

    /// Returns whether another thread of the process is still in the address space.
    fn is_awaited(&self, id: SpaceId, process: Pid, tid: Pid) -> bool {
        let of_process = |user: &Pid| *user != tid && self.tasks.get(user).is_some_and(|task| task.process == process);
        self.spaces.get(&id).is_some_and(|space| space.users.iter().any(of_process))
    }

    /// Keeps a thread at its last stop as the witness, unless there is one already.
    fn keep_witness(&mut self, tid: Pid, id: SpaceId, process: Pid) -> bool {
        let Some(space) = self.spaces.get_mut(&id) else {
            return false;
        };
        space.users.remove(&tid);
        if space.witness.is_some() {
            return false;
        }
        space.witness = Some(Witness { tid, process, since: Instant::now() });
        true
    }

    /// Handles the end of a thread whose last stop was not reported.
    fn vanish(&mut self, tid: Pid) -> Result<(), RecordError> {
        self.drain_faults();
        self.settle_lost_call(tid)?;
        self.leave_call(tid)?;
        match self.tasks.get_mut(&tid).and_then(|task| task.space.take()) {
            Some(id) => self.depart(tid, id, None),
            None => Ok(()),
        }
    }

    /// Writes the effect of the call in which a thread ended, if the layout can still be read through another thread.
    fn settle_lost_call(&mut self, tid: Pid) -> Result<(), RecordError> {
        let Some(call) = self.tasks.get_mut(&tid).and_then(|task| task.call.take()) else {
            return Ok(());
        };
        let stamp = self.stamp(tid)?;
        let Some(space) = self.tasks.get(&tid).and_then(|task| self.spaces.get_mut(&task.space?)) else {
            return Ok(());
        };
        let what = match call {
            Call::Known(known) if known.source == Source::Nothing => known.operation.to_string(),
            // the object of the call is not known
            Call::Known(_) => "mmap".to_owned(),
            Call::Opaque(name) => name.to_owned(),
            Call::Remapped { .. } => "remap_file_pages".to_owned(),
            Call::Attached => "shmat".to_owned(),
            Call::Exec => {
                space.forget_kept_layout();
                return Ok(());
            }
            Call::Userfault(_) => "an ioctl of a userfaultfd".to_owned(),
            Call::Advised { .. } => "process_madvise".to_owned(),
            Call::Limits(_) | Call::Credentials | Call::Followed { .. } | Call::Heap { .. } | Call::LeftOut { .. } | Call::Personality => {
                return Ok(());
            }
        };
        let others = space.witness.map(|witness| witness.tid).into_iter().chain(space.users.iter().copied());
        let others: Vec<Pid> = others.filter(|other| *other != tid).collect();
        match others.into_iter().find_map(|other| layout::read(other, layout::Detail::Flags).ok()) {
            Some(seen) => {
                space.image.comment(&format!("thread {tid} was killed inside `{what}`; its effect, if it had one:"));
                space.settle(&seen, &mut self.objects, Reason::Call(stamp));
            }
            None => space.image.comment(&format!("thread {tid} was killed inside `{what}`: its effect is not known")),
        }
        Ok(())
    }

    /// Removes a thread from its address space, and ends the address space with the last one. The layout can be read through `asked`.
    fn depart(&mut self, tid: Pid, id: SpaceId, asked: Option<Pid>) -> Result<(), RecordError> {
        let Some(space) = self.spaces.get_mut(&id) else {
            return Ok(());
        };
        space.users.remove(&tid);
        let witness = space.witness;
        if space.users.is_empty() {
            let asked: Vec<Pid> = witness.map(|witness| witness.tid).into_iter().chain(asked).collect();
            self.end_space(id, &asked);
        }
        match witness {
            Some(witness) if !self.is_awaited(id, witness.process, witness.tid) => {
                if let Some(space) = self.spaces.get_mut(&id) {
                    space.witness = None;
                }
                release(witness.tid)
            }
            _ => Ok(()),
        }
    }

    /// Ends the trace of an address space with its last layout, read through one of `asked` if possible.
    pub(super) fn end_space(&mut self, id: SpaceId, asked: &[Pid]) {
        let Some(mut space) = self.spaces.remove(&id) else {
            return;
        };
        let ending = match last_layout(&mut space, asked) {
            Some(seen) => {
                space.settle(&seen, &mut self.objects, Reason::Snapshot);
                space.write_maps(&seen, &mut self.objects);
                if let Some(tid) = asked.first() {
                    space.write_counts(layout::counts(*tid).ok());
                }
                Ending::Layout
            }
            None => Ending::Note,
        };
        let keep = if space.process == self.root { Keep::Always } else { Keep::IfUsed };
        self.reports.extend(space.image.finish(ending, keep));
    }
}

fn last_layout(space: &mut Space, asked: &[Pid]) -> Option<Vec<Seen>> {
    let read = |tid: &Pid| layout::read(*tid, layout::Detail::Flags).ok();
    asked.iter().find_map(read).or_else(|| space.last_layout.take())
}

#[cfg(test)]
mod tests;
