//! The parts of the program `vmaple`. It records the memory map of a process as it changes, rebuilds that history in the library's index
//! and address space, executes scenarios, and shows the map of a running process. Called by `main.rs` and by the program's tests.
//!
//! Each module is one command ([`record`], [`replay`], [`run`], [`maps`], [`host`]). Several commands share the reader of /proc/PID/maps
//! and the style of tables.

pub mod args;
pub mod host;
pub mod maps;
pub mod procmaps;
pub mod record;
pub mod replay;
pub mod run;
mod table;
