//! Attaches to a running process, and detaches from it. Called by `record::run` and `tracer`.
//!
//! The filter of `filter` cannot be installed in a running process: it would outlive the recorder, and without a tracer the calls that it
//! stops would fail. So every system call stops, and `filter::verdict` chooses in the recorder. Nothing else stays in the process: when the
//! recorder ends, for whatever reason, the kernel detaches the process, and it continues from wherever it was.
//!
//! The first and the last layout are read while all threads are stopped:
//!
//! ```text
//! Gathering   every thread is seized and interrupted; it stays where it stops
//!     |       all are stopped, and /proc lists no other: the starting layout is written
//! Following   as for a command
//!     |       Ctrl-C: every thread outside a memory call is interrupted; one inside stops at the call's end
//! Parting     it stays where it stops
//!     |       all are stopped: the last layout is written
//!   (gone)    every thread is detached
//! ```
//!
//! Ctrl-C while threads are gathered leads to Parting at once, because there is no layout to wait for.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::abi;
use super::error::RecordError;
use super::filter::{self, Verdict};
use super::layout;
use super::space::{Heritage, Origin};
use super::stop;
use super::sys::{self, Resume};
use super::task::{Parked, Phase, SpaceId, Stage, Task, Watch};
use super::tracer::Tracer;

/// How long the recorder waits for threads that do not stop. Only a thread in an uninterruptible sleep takes longer, for example the parent
/// of a `vfork`. Such a thread is detached when the recorder ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the recorder waits for the last threads while it gathers all. If one does not stop, there is no starting layout.
const GATHERING_PATIENCE: Duration = Duration::from_secs(5);

/// Checks that there is a process with this number that can be attached to.
pub(super) fn check(process: Pid) -> Result<(), RecordError> {
    let refused = |error: io::Error| Err(RecordError::Attach { process, error });
    match layout::process_of(process) {
        Some(of) if of == process => Ok(()),
        Some(of) => refused(io::Error::other(format!("it is a thread of process {of}"))),
        None => refused(Errno::ESRCH.into()),
    }
}

/// The result of listing the threads of a process.
enum Listing {
    /// Threads that were not known. They are seized and interrupted now.
    New(Vec<Pid>),
    /// The listing may have missed some, because threads ended meanwhile.
    Unsure,
    /// All threads are known, or will be announced by the threads that create them.
    Complete,
}

/// Lists the threads of a process, and seizes and interrupts those that are not known.
///
/// The kernel seizes the threads that a seized thread creates, and the creating thread announces them.
fn seize_others(process: Pid, known: &HashMap<Pid, Task>) -> Result<Listing, RecordError> {
    let refused = |error: io::Error| RecordError::Attach { process, error };
    let listed = threads(process).map_err(refused)?;
    // a listing ends early at a thread that ends at that moment
    let mut is_sure = layout::thread_count(process) == Some(listed.len());
    let mut seized = Vec::new();
    for tid in listed.into_iter().filter(|tid| !known.contains_key(tid)) {
        match ptrace::seize(tid, stop::options()) {
            Ok(()) => {
                interrupt(tid)?;
                seized.push(tid);
            }
            // the kernel seized it together with its creator, and it stops by itself; or the first thread has ended before the others
            Err(_) if layout::tracer_of(tid) == Some(Pid::this()) || (tid == process && layout::is_dead(tid)) => {}
            // it has ended meanwhile, and may have created another
            Err(_) if layout::is_dead(tid) => is_sure = false,
            Err(errno) => return Err(refused(errno.into())),
        }
    }
    Ok(match (seized.is_empty(), is_sure) {
        (false, _) => Listing::New(seized),
        (true, false) => Listing::Unsure,
        (true, true) => Listing::Complete,
    })
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
    /// Attaches to all threads of the process, and waits until all are stopped.
    ///
    /// A thread that is not seized yet may create others, and a listing may miss some while threads end. So the threads are listed again until
    /// a listing that is made while all known threads are stopped finds no other.
    pub(super) fn gather(&mut self) -> Result<(), RecordError> {
        self.watch = Watch::EveryCall;
        self.tasks.clear();
        let failed = |process, why: String| Err(RecordError::Attach { process, error: io::Error::other(why) });
        let mut last_new = Instant::now();
        loop {
            let new = match seize_others(self.root, &self.tasks)? {
                Listing::New(new) => new,
                Listing::Unsure if last_new.elapsed() > GATHERING_PATIENCE => {
                    return failed(self.root, "its threads change too fast to be listed".to_owned());
                }
                Listing::Unsure => continue,
                Listing::Complete if self.tasks.is_empty() => return failed(self.root, "it has ended".to_owned()),
                Listing::Complete => return Ok(()),
            };
            last_new = Instant::now();
            self.phase = Phase::Gathering { since: last_new };
            let task = |tid: Pid| (tid, Task { process: self.root, space: None, call: None, stage: Stage::Running });
            self.tasks.extend(new.into_iter().map(task));
            self.run()?;
            if matches!(self.phase, Phase::Parting { .. }) {
                return failed(self.root, "interrupted".to_owned());
            }
            if let Some((tid, _)) = self.tasks.iter().find(|task| !self.stands(task)) {
                return failed(self.root, format!("its thread {tid} does not stop"));
            }
        }
    }

    /// Resumes a thread, or keeps it stopped while threads are gathered or detached. A thread inside a memory call is resumed to the end of the
    /// call in any case.
    pub(super) fn resume(&mut self, tid: Pid, how: Resume, signal: i32) -> Result<(), RecordError> {
        if let Phase::Gathering { since } = &mut self.phase {
            *since = Instant::now();
        }
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

    /// Handles the stop of a thread at the entry or the end of a system call, if every call stops.
    pub(super) fn called(&mut self, tid: Pid) -> Result<(), RecordError> {
        if self.tasks.get(&tid).is_some_and(|task| task.call.is_some()) {
            return self.ended(tid);
        }
        // A call that is entered while threads are detached is no longer recorded: it waits at the entry, too.
        if self.phase == Phase::Following
            && let Ok(info) = ptrace::syscall_info(tid)
            && info.op == libc::PTRACE_SYSCALL_INFO_ENTRY
            && let Ok(registers) = ptrace::getregs(tid)
        {
            let verdict = filter::verdict(info.arch, registers.orig_rax, abi::arguments(&registers));
            if verdict != Verdict::Allow {
                return self.entered(tid, verdict);
            }
        }
        self.resume(tid, Resume::Run, 0)
    }

    /// Returns whether the phase is over: all threads are stopped, or the time to wait for them has passed.
    pub(super) fn is_phase_over(&self) -> bool {
        match self.phase {
            Phase::Following => false,
            Phase::Gathering { since } => self.all_stand() || since.elapsed() > GATHERING_PATIENCE,
            // without an address space there is no layout to wait for
            Phase::Parting { since } => self.spaces.is_empty() || self.all_stand() || since.elapsed() > PATIENCE,
        }
    }

    fn all_stand(&self) -> bool {
        self.tasks.iter().all(|task| self.stands(&task))
    }

    /// Returns whether a thread is stopped, or ends and no longer acts on its address space.
    fn stands(&self, (tid, task): &(&Pid, &Task)) -> bool {
        task.stage == Stage::Leaving || self.parked.contains_key(tid)
    }

    /// Begins the trace with the present layout. All threads are stopped.
    pub(super) fn follow(&mut self) -> Result<(), RecordError> {
        self.phase = Phase::Following;
        let mut homeless: Vec<Pid> = self.tasks.iter().filter(|(_, task)| task.space.is_none()).map(|(tid, _)| *tid).collect();
        homeless.sort_unstable_by_key(|tid| (*tid != self.root, *tid));
        homeless.retain(|tid| self.parked.contains_key(tid));
        for tid in homeless {
            let id = match self.space_of(tid) {
                Some(id) => id,
                None if self.tasks.get(&tid).is_some_and(|task| task.process == self.root) => self.begin_space(tid, Origin::Running),
                // a child that was created meanwhile
                None => self.begin_space(tid, Origin::Forked(Heritage::default())),
            };
            if let Some(task) = self.tasks.get_mut(&tid) {
                task.space = Some(id);
            }
            if let Some(space) = self.spaces.get_mut(&id) {
                space.users.insert(tid);
            }
        }
        eprintln!("vmaple: recording process {}, until it and all its children have ended, or until Ctrl-C", self.root);
        let parked = std::mem::take(&mut self.parked);
        parked.into_iter().try_for_each(|(tid, parked)| self.go_on(tid, parked))
    }

    /// Returns the address space of a thread if it is known. All threads of a process have the same; for others the kernel compares.
    fn space_of(&self, tid: Pid) -> Option<SpaceId> {
        let process = self.tasks.get(&tid)?.process;
        let of_process = |user: &Pid| self.tasks.get(user).is_some_and(|task| task.process == process);
        let shares = |user: &Pid| of_process(user) || sys::same_space(tid, *user) == Some(true);
        self.spaces.iter().find(|(_, space)| space.users.iter().any(shares)).map(|(id, _)| *id)
    }

    /// Begins to detach: every thread is interrupted, except those inside a memory call, which stop at its end.
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
        let mut ended = Ok(());
        for (tid, Parked { signal, .. }) in parked {
            match sys::detach(tid, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                // the others are detached all the same
                Err(errno) => ended = Err(RecordError::Trace { what: "detach from", tid, errno }),
            }
        }
        ended
    }
}
