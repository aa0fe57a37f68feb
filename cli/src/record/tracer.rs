//! The recorder's loop: waits for stops of the traced threads and passes each to the file that handles it. Called by `record::run`.
//!
//! `calls` handles the entry and the end of memory calls, `lifecycle` threads, children and programs, `ends` their ends. Everything runs in
//! one thread, because the kernel accepts requests only from the thread that began to trace.
//!
//! The order of a trace is the order of the calls, because at most one thread of an address space is inside a memory call: the others are
//! held at its entry. See `calls`.

use std::collections::HashMap;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::call::Call;
use super::clock::Clock;
use super::error::RecordError;
use super::faults::Faults;
use super::filter;
use super::image::{Files, Report};
use super::objects::Objects;
use super::space::{Heritage, Space};
use super::stop::{self, EVENT_CLONE, EVENT_EXEC, EVENT_EXIT, EVENT_FORK, EVENT_SECCOMP, EVENT_STOP, EVENT_VFORK};
use super::sys::{self, Resume};
use super::task::{Parked, Phase, SpaceId, Stage, Stop, Task, Unannounced, Watch};
use vmaple_trace::{Context, Stamp};

/// The longest time between two checks of held threads.
const TICK_MS: u8 = 50;
/// The longest time between two readings of the rings of faults.
const FAULT_TICK_MS: u8 = 10;

/// The state of a recording.
#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) files: Files,
    /// The number of calls between two intermediate layouts; `None` for no such layouts.
    pub(super) snapshots: Option<u64>,
    pub(super) clock: Clock,
    pub(super) objects: Objects,
    pub(super) tasks: HashMap<Pid, Task>,
    pub(super) spaces: HashMap<SpaceId, Space>,
    pub(super) next_space: SpaceId,
    /// What children inherit, until they stop for the first time.
    pub(super) heritages: HashMap<Pid, Heritage>,
    /// Threads that stopped before the event that announces them.
    pub(super) unannounced: HashMap<Pid, Unannounced>,
    /// The number of programs that each process has run.
    pub(super) programs: HashMap<Pid, u32>,
    pub(super) root: Pid,
    pub(super) root_status: Option<i32>,
    pub(super) faults: Option<Faults>,
    pub(super) reports: Vec<Report>,
    pub(super) notes: Notes,
    pub(super) phase: Phase,
    pub(super) watch: Watch,
    /// Threads that are kept stopped, in every phase except [`Phase::Following`].
    pub(super) parked: HashMap<Pid, Parked>,
}

/// Counts that are reported at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes {
    /// Calls that were let in beside a call that took too long.
    pub(super) crowded: u64,
    /// Calls of 32-bit programs, which are not recorded.
    pub(super) foreign: u64,
    /// Faults of unknown threads.
    pub(super) stray_faults: u64,
}

impl Tracer {
    /// Returns the state in which only the command is known, before it begins.
    pub(super) fn new(root: Pid, clock: Clock, files: Files) -> Self {
        let begun = Task { process: root, space: None, call: None, stage: Stage::Running };
        Self {
            files,
            snapshots: None,
            clock,
            objects: Objects::default(),
            tasks: HashMap::from([(root, begun)]),
            spaces: HashMap::new(),
            next_space: 0,
            heritages: HashMap::new(),
            unannounced: HashMap::new(),
            programs: HashMap::new(),
            root,
            root_status: None,
            faults: None,
            reports: Vec::new(),
            notes: Notes::default(),
            phase: Phase::Following,
            watch: Watch::Filter,
            parked: HashMap::new(),
        }
    }

    /// Handles stops until all traced processes have ended, or until the end of a phase in which the threads are stopped.
    pub(super) fn run(&mut self) -> Result<(), RecordError> {
        let signals = signal_descriptor()?;
        loop {
            loop {
                match sys::wait_any() {
                    Ok(Some((tid, status))) => self.changed(tid, status)?,
                    Ok(None) => break,
                    Err(Errno::ECHILD) => return Ok(()),
                    Err(Errno::EINTR) => {}
                    Err(errno) => {
                        return Err(RecordError::Trace { what: "wait for", tid: self.root, errno });
                    }
                }
            }
            self.drain_faults();
            self.relieve()?;
            self.relieve_witnesses()?;
            if self.is_phase_over() {
                return Ok(());
            }
            self.sleep(&signals)?;
        }
    }

    /// Waits for a stop or a signal, for a limited time.
    fn sleep(&mut self, signals: &SignalFd) -> Result<(), RecordError> {
        let root = self.root;
        let failed = |errno| RecordError::Trace { what: "wait for", tid: root, errno };
        let mut watched = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let tick_ms = if self.faults.is_some() { FAULT_TICK_MS } else { TICK_MS };
        match poll(&mut watched, PollTimeout::from(tick_ms)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
        while let Some(info) = signals.read_signal().map_err(failed)? {
            let Ok(signal) = Signal::try_from(i32::try_from(info.ssi_signo).unwrap_or(0)) else { continue };
            if self.watch == Watch::EveryCall && signal != Signal::SIGCHLD {
                // the process was there before the recorder, and has nothing to do with its end
                self.begin_parting()?;
            } else if let Signal::SIGTERM | Signal::SIGHUP = signal {
                // a signal of the terminal has reached the command, too; one that was sent to the recorder alone is passed on
                match kill(root, signal) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(failed(errno)),
                }
            }
        }
        Ok(())
    }

    /// Handles an event of a thread.
    fn changed(&mut self, tid: Pid, status: i32) -> Result<(), RecordError> {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            return self.gone(tid, status);
        }
        if !libc::WIFSTOPPED(status) {
            return Ok(());
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        let Some(task) = self.tasks.get_mut(&tid) else {
            return self.unknown(tid, if event == EVENT_EXIT { Stop::Last } else { Stop::First });
        };
        if event == EVENT_EXIT {
            return self.leaving(tid);
        }
        if task.stage == Stage::Expected {
            return self.newborn(tid);
        }
        match event {
            EVENT_SECCOMP => self.entered(tid, filter::verdict_of(stop::message(tid))),
            EVENT_FORK | EVENT_VFORK | EVENT_CLONE => self.announced(tid, event != EVENT_FORK),
            EVENT_EXEC => self.replaced(tid),
            // stopped by a signal together with its group, until it is continued
            EVENT_STOP if signal != libc::SIGTRAP => self.resume(tid, Resume::Listen, 0),
            EVENT_STOP => self.resume(tid, Resume::Run, 0),
            _ if signal == libc::SIGTRAP | 0x80 && self.watch == Watch::EveryCall => self.called(tid),
            _ if signal == libc::SIGTRAP | 0x80 => self.ended(tid),
            _ => {
                let how = if task.call.is_some() { Resume::ToCallExit } else { Resume::Run };
                self.resume(tid, how, signal)
            }
        }
    }

    /// Returns the stamp of this moment for a record of the thread.
    pub(super) fn stamp(&self, tid: Pid) -> Result<Stamp, RecordError> {
        let time_ns = self.clock.elapsed_ns().map_err(|errno| RecordError::Trace { what: "time", tid, errno })?;
        Ok(Stamp { tid: tid.as_raw().cast_unsigned(), time_ns })
    }

    /// Writes the faults that happened so far. Called before a call is written, because the faults in the rings happened before the call ended.
    pub(super) fn drain_faults(&mut self) {
        let Some(faults) = &mut self.faults else {
            return;
        };
        for fault in faults.drain() {
            let tid = Pid::from_raw(fault.tid.cast_signed());
            let task = self.tasks.get(&tid);
            let space = task.and_then(|task| self.spaces.get_mut(&task.space?));
            match space {
                // the kernel prepares the address space of the next program, which has no trace yet
                Some(_) if fault.context == Context::Kernel && matches!(task, Some(Task { call: Some(Call::Exec), .. })) => {}
                Some(space) => {
                    let stamp = Stamp { tid: fault.tid, time_ns: self.clock.since_start_ns(fault.monotonic_ns) };
                    space.image.fault(stamp, fault.address, fault.access, fault.context);
                    space.grow_after_fault(tid, fault.address);
                }
                // the child on its way to the command: the recorder's own memory
                None if tid == self.root => {}
                // the kernel for a child that has not begun: its first layout will show it
                None if fault.context == Context::Kernel => {}
                None => self.notes.stray_faults += 1,
            }
        }
    }
}

/// The signals that the recorder reads instead of being interrupted by them.
pub(super) fn blocked_signals() -> SigSet {
    let signals = [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP];
    signals.into_iter().collect()
}

fn signal_descriptor() -> Result<SignalFd, RecordError> {
    SignalFd::with_flags(&blocked_signals(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(|errno| RecordError::Setup { what: "read signals", error: errno.into() })
}
