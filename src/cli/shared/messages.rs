//! Messages of a command besides its data, on standard error, without secrets and with advice.

use std::io::Write as _;

use super::daemon::DaemonError;
use super::exit::{CommandFailure, Exit};
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
    if let Some(error) = error.downcast_ref::<DaemonError>() {
        return error.exit();
    }
    match error.downcast_ref::<OpenError>() {
        Some(OpenError::InUse { .. }) => return Exit::TryLater,
        Some(OpenError::Unreachable { .. }) => return Exit::Unreachable,
        Some(OpenError::Url { .. }) => return Exit::BadConfiguration,
        Some(_) | None => {}
    }
    Exit::Failed
}
