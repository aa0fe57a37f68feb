//! A process that runs already: how it is attached to, and how it is let go.
//!
//! `record::run` and `tracer` call this; `stop`, `sys` and `ends` are called.
//!
//! A running process cannot be given the filter of `filter`: the filter would outlive the recorder, and without a tracer the calls that
//! it stops would fail. So every system call stops, and `filter::verdict` chooses in the recorder. Nothing else is left in the process:
//! when the recorder ends, in whatever way, the kernel detaches it, and the process goes on from wherever it was.
//!
//! Both the first and the last layout are read while all threads stand still:
//!
//! ```text
//! Gathering   every thread is seized and interrupted; it stays where it stops
//!     |       all stand still: the starting layout is written
//! Following   as for a command
//!     |       Ctrl-C: every thread outside of a memory call is interrupted; one inside of one stops at its end
//! Parting     it stays where it stops
//!     |       all stand still: the last layout is written
//!   (gone)    every thread is detached
//! ```

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::filter::{self, Verdict};
use super::space::{Heritage, Origin};
use super::stop;
use super::sys::{self, Resume};
use super::tracer::{SpaceId, Stage, Task, Tracer};
use super::{RecordError, layout};

/// How long threads are waited for that do not stop. Only a thread in a sleep that no signal ends takes longer, as the parent of a child
/// of `vfork` does; it is let go when the recorder ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far the recording of an address space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Threads that stop stay where they are, until all have.
    Gathering,
    /// Threads run.
    Following,
    /// Threads that stop stay where they are, and are detached when all have, or at the latest some time after this moment.
    Parting { since: Instant },
}

/// How memory calls are made to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// By the filter that the command took.
    Filter,
    /// Every system call stops.
    EveryCall,
}

/// How a thread that stays where it stopped is to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    how: Resume,
    signal: i32,
}

/// What the tracer wants to be told. Unlike a command, a process that ran before outlives the recorder.
fn options() -> ptrace::Options {
    ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_TRACEFORK
        | ptrace::Options::PTRACE_O_TRACEVFORK
        | ptrace::Options::PTRACE_O_TRACEEXEC
        | ptrace::Options::PTRACE_O_TRACEEXIT
}

/// Seizes and interrupts all threads of a process.
///
/// A thread that is seized has its new threads seized by the kernel. One that is not seized yet may make others, which the next look at
/// the list shows; a look that shows nothing new ends it.
pub(super) fn attach(process: Pid) -> Result<BTreeSet<Pid>, RecordError> {
    let refused = |error: io::Error| RecordError::Attach { process, error };
    if layout::process_of(process) != Some(process) {
        return Err(refused(match layout::process_of(process) {
            Some(of) => io::Error::other(format!("it is a thread of process {of}")),
            None => io::ErrorKind::NotFound.into(),
        }));
    }
    let mut seized = BTreeSet::new();
    loop {
        let listed: Vec<Pid> = threads(process).map_err(refused)?.into_iter().filter(|tid| !seized.contains(tid)).collect();
        let before = seized.len();
        for tid in listed {
            match ptrace::seize(tid, options()) {
                Ok(()) => {
                    seized.insert(tid);
                    interrupt(tid)?;
                }
                // gone meanwhile, or seized by the kernel together with its maker, and then it stops by itself
                Err(Errno::ESRCH) => {}
                Err(_) if layout::is_dead(tid) || layout::tracer_of(tid) == Some(Pid::this()) => {}
                Err(errno) => return Err(refused(errno.into())),
            }
        }
        if seized.len() == before {
            break;
        }
    }
    if seized.is_empty() { Err(refused(io::ErrorKind::NotFound.into())) } else { Ok(seized) }
}

fn threads(process: Pid) -> io::Result<Vec<Pid>> {
    let entries = fs::read_dir(format!("/proc/{process}/task"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(names.map(Pid::from_raw).collect())
}

fn interrupt(tid: Pid) -> Result<(), RecordError> {
    match ptrace::interrupt(tid) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(RecordError::Trace { what: "interrupt", tid, errno }),
    }
}

impl Tracer {
    /// Takes in the threads of a process that is being attached to.
    pub(super) fn gather(&mut self, threads: &BTreeSet<Pid>) {
        (self.phase, self.watch) = (Phase::Gathering, Watch::EveryCall);
        let task = |tid: &Pid| (*tid, Task { process: self.root, space: None, call: None, stage: Stage::Running });
        self.tasks = threads.iter().map(task).collect();
    }

    /// Lets a thread go on, or has it stay where it is while threads are gathered or let go. One inside of a memory call goes on to its
    /// end in any case.
    pub(super) fn resume(&mut self, tid: Pid, how: Resume, signal: i32) -> Result<(), RecordError> {
        if self.phase != Phase::Following && how != Resume::ToCallExit {
            self.parked.insert(tid, Parked { how, signal });
            return Ok(());
        }
        self.go_on(tid, Parked { how, signal })
    }

    fn go_on(&self, tid: Pid, Parked { how, signal }: Parked) -> Result<(), RecordError> {
        let how = if how == Resume::Run && self.watch == Watch::EveryCall { Resume::ToCall } else { how };
        stop::resume(tid, how, signal)
    }

    /// A thread stopped at the entry or the end of a system call, where every call stops.
    pub(super) fn called(&mut self, tid: Pid) -> Result<(), RecordError> {
        if self.tasks.get(&tid).is_some_and(|task| task.call.is_some()) {
            return self.ended(tid);
        }
        let is_entry = ptrace::syscall_info(tid).is_ok_and(|info| info.op == libc::PTRACE_SYSCALL_INFO_ENTRY);
        // Of what is entered while threads are let go, nothing is recorded any more: it waits at the entry, too.
        if is_entry && self.phase == Phase::Following {
            let verdict = match (ptrace::syscall_info(tid), ptrace::getregs(tid)) {
                (Ok(info), Ok(registers)) => filter::verdict(info.arch, registers.orig_rax, registers.rdx),
                _ => Verdict::Allow,
            };
            if verdict != Verdict::Allow {
                return self.entered(tid, verdict);
            }
        }
        self.resume(tid, Resume::Run, 0)
    }

    /// Whether the phase is over, because all threads stand still, or because they were waited for long enough.
    pub(super) fn is_phase_over(&self) -> bool {
        match self.phase {
            Phase::Following => false,
            Phase::Gathering => self.all_stand(),
            Phase::Parting { since } => self.all_stand() || since.elapsed() > PATIENCE,
        }
    }

    /// Whether each thread is where it stays. One on its way out does nothing to its address space any more.
    fn all_stand(&self) -> bool {
        self.tasks.iter().all(|(tid, task)| task.stage == Stage::Leaving || self.parked.contains_key(tid))
    }

    /// All stand still: the trace begins with the layout that there is now.
    pub(super) fn follow(&mut self) -> Result<(), RecordError> {
        self.phase = Phase::Following;
        let mut homeless: Vec<Pid> = self.tasks.iter().filter(|(_, task)| task.space.is_none()).map(|(tid, _)| *tid).collect();
        homeless.sort_unstable_by_key(|tid| (*tid != self.root, *tid));
        homeless.retain(|tid| self.parked.contains_key(tid));
        for tid in homeless {
            let id = match self.space_of(tid) {
                Some(id) => id,
                None if self.tasks.get(&tid).is_some_and(|task| task.process == self.root) => self.begin_space(tid, Origin::Running),
                // a child that was made meanwhile
                None => self.begin_space(tid, Origin::Forked(Heritage::default())),
            };
            if let Some(task) = self.tasks.get_mut(&tid) {
                task.space = Some(id);
            }
            if let Some(space) = self.spaces.get_mut(&id) {
                space.users.insert(tid);
            }
        }
        eprintln!("vmaple: recording process {} until it ends, or until Ctrl-C", self.root);
        let parked = std::mem::take(&mut self.parked);
        parked.into_iter().try_for_each(|(tid, parked)| self.go_on(tid, parked))
    }

    /// The address space of a thread, if another one lives in it.
    fn space_of(&self, tid: Pid) -> Option<SpaceId> {
        let shares = |user: &Pid| sys::same_space(tid, *user) == Some(true);
        self.spaces.iter().find(|(_, space)| space.users.iter().next().is_some_and(shares)).map(|(id, _)| *id)
    }

    /// Begins to let the process go: every thread is to stop, those inside of a memory call at its end.
    pub(super) fn begin_parting(&mut self) -> Result<(), RecordError> {
        if matches!(self.phase, Phase::Parting { .. }) {
            return Ok(());
        }
        self.phase = Phase::Parting { since: Instant::now() };
        for space in self.spaces.values_mut() {
            for tid in space.waiting.drain(..) {
                self.parked.insert(tid, Parked { how: Resume::Run, signal: 0 });
            }
        }
        let runs = |(tid, task): &(&Pid, &Task)| task.stage == Stage::Running && task.call.is_none() && !self.parked.contains_key(*tid);
        self.tasks.iter().filter(runs).try_for_each(|(tid, _)| interrupt(*tid))
    }

    /// Writes the last layouts and detaches every thread. One that did not stop is detached when the recorder ends.
    pub(super) fn part(&mut self) -> Result<(), RecordError> {
        self.drain_faults();
        let parked: HashMap<Pid, Parked> = std::mem::take(&mut self.parked);
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for id in spaces {
            let asked: Vec<Pid> = self.spaces.get(&id).into_iter().flat_map(|space| &space.users).copied().collect();
            let asked: Vec<Pid> = asked.into_iter().filter(|user| parked.contains_key(user)).collect();
            self.end_space(id, &asked);
        }
        for (tid, Parked { signal, .. }) in parked {
            match sys::detach(tid, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(RecordError::Trace { what: "detach from", tid, errno }),
            }
        }
        Ok(())
    }
}
