//! One file per subcommand.

pub mod check;
pub mod exit;
pub mod simulate;
