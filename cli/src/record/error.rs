//! Why a recording fails. Returned through every file of `record`.

use nix::errno::Errno;
use nix::unistd::Pid;
use std::io;
use std::path::PathBuf;

/// Why a recording failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The directory for the traces cannot be created.
    #[error("cannot create the directory {}: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The command could not be started.
    #[error("cannot run {command}: {error}")]
    Start {
        /// The command's name.
        command: String,
        /// The reason.
        error: io::Error,
    },
    /// The recorder cannot attach to a running process.
    #[error("cannot attach to process {process}: {error}{hint}", hint = permission(error))]
    Attach {
        /// The process.
        process: Pid,
        /// The reason.
        error: io::Error,
    },
    /// Something that a recording needs is not permitted or does not exist.
    #[error("cannot {what}: {error}")]
    Setup {
        /// The action that failed.
        what: &'static str,
        /// The reason.
        error: io::Error,
    },
    /// The kernel refused something while the command ran.
    #[error("cannot {what} thread {tid}: {errno}")]
    Trace {
        /// The action that failed.
        what: &'static str,
        /// The thread.
        tid: Pid,
        /// The reason.
        errno: Errno,
    },
}

/// Returns the usual reasons for a "not permitted", because the system does not say which.
fn permission(error: &io::Error) -> &'static str {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return "";
    }
    " (it may be traced already, belong to another user, or be protected by kernel.yama.ptrace_scope)"
}
