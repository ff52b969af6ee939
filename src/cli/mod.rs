//! One file per subcommand.

pub mod check;
pub mod config_args;
pub mod exit;
pub mod simulate;
