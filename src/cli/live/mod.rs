//! The live view in a terminal.

pub mod watch;
