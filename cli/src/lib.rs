//! What the program `vmaple` is made of: it records the memory map of a real process as it changes, rebuilds that
//! history in the library's index, and shows the map of a process that lives. `main.rs` only comes in here, and so do
//! tests and fuzz targets.
//!
//! One module is one verb of the command line ([`record`], [`replay`], [`run`], [`maps`], [`host`]); beside them stand what several verbs use: the
//! text of /proc/PID/maps, the look of tables.

pub mod args;
pub mod host;
pub mod maps;
pub mod procmaps;
pub mod record;
pub mod replay;
pub mod run;
mod table;
