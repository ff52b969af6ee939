//! Messages of a command besides its data, on standard error, without secrets and with advice.

use std::io::Write as _;

use super::exit::Exit;
use crate::config::ConfigError;
use crate::store::OpenError;

/// Prints a message to standard error.
pub fn print_message(text: impl AsRef<str>) {
    // Nobody can be told if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// Prints an error with its causes.
pub fn print_error(error: &anyhow::Error) {
    if let Some(refused) = error.downcast_ref::<ConfigError>() {
        print_message(refused.to_string());
        return;
    }
    print_message(format!("error: {error:#}"));
}

/// Returns the exit code for an error.
pub fn exit_for_error(error: &anyhow::Error) -> Exit {
    if error.downcast_ref::<ConfigError>().is_some() {
        return Exit::BadConfiguration;
    }
    if let Some(known) = error.downcast_ref::<CommandFailure>() {
        return known.exit;
    }
    match error.downcast_ref::<OpenError>() {
        Some(OpenError::InUse { .. }) => return Exit::TryLater,
        Some(OpenError::Unreachable { .. }) => return Exit::Unreachable,
        Some(OpenError::Url { .. }) => return Exit::BadConfiguration,
        Some(_) | None => {}
    }
    Exit::Failed
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
