//! What all commands share: options, the client of the daemon, output and exit codes.

pub(super) mod caller;
pub mod config_args;
pub mod daemon;
pub mod exit;
pub mod finding;
pub mod output;
pub mod scope;
pub mod talk;
