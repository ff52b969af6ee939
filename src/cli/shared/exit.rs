//! The exit codes of every command, by which scripts can tell what to do next.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// The command succeeded.
    Done = 0,
    /// The command failed.
    Failed = 1,
    /// The usage is wrong; clap uses the same code.
    Usage = 2,
    /// Some items failed.
    Partial = 3,
    /// A check found problems.
    Problems = 4,
    /// The platform or the daemon is not reachable.
    Unreachable = 69,
    /// Try again later: locked, or over the budget.
    TryLater = 75,
    /// Not permitted.
    NotPermitted = 77,
    /// The configuration is wrong.
    BadConfiguration = 78,
}

impl Exit {
    /// Returns the number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct CommandFailure {
    /// The exit code.
    pub exit: Exit,
    /// The message.
    pub text: String,
}

impl CommandFailure {
    /// Creates an error that ends the process with `exit`.
    pub fn with_exit(exit: Exit, text: impl Into<String>) -> anyhow::Error {
        Self { exit, text: text.into() }.into()
    }
}
