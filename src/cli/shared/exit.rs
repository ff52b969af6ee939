//! The exit codes of every command (design.md part 8), so that scripts can tell what to do next.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage; clap's own.
    Usage = 2,
    /// Done in part: some items failed.
    Partly = 3,
    /// A check found problems.
    Problems = 4,
    /// The platform or the daemon is not reachable.
    Unreachable = 69,
    /// Try later: locked, or over the budget.
    TryLater = 75,
    /// Not permitted.
    NotPermitted = 77,
    /// The configuration is bad.
    BadConfiguration = 78,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
