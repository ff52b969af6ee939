//! What a command says beside its data: on standard error, without secrets, with the way out.

use std::io::Write as _;

use super::exit::Exit;
use crate::config::ConfigRefused;
use crate::store::OpenError;

/// Says something.
pub fn say(text: impl AsRef<str>) {
    // Nobody to tell when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// Says what went wrong, with its causes.
pub fn complain(error: &anyhow::Error) {
    if let Some(refused) = error.downcast_ref::<ConfigRefused>() {
        say(refused.to_string());
        return;
    }
    say(format!("error: {error:#}"));
}

/// How the process ends for an error.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if error.downcast_ref::<ConfigRefused>().is_some() {
        return Exit::BadConfiguration;
    }
    if let Some(known) = error.downcast_ref::<Failure>() {
        return known.exit;
    }
    match error.downcast_ref::<OpenError>() {
        Some(OpenError::Held { .. }) => return Exit::TryLater,
        Some(OpenError::Unreachable { .. }) => return Exit::Unreachable,
        Some(OpenError::Url { .. }) => return Exit::BadConfiguration,
        Some(_) | None => {}
    }
    Exit::Failed
}

/// An error that ends the process in a way of its own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// How it ends.
    pub exit: Exit,
    /// What to say.
    pub text: String,
}

impl Failure {
    /// An error that ends the process with `exit`.
    pub fn because(exit: Exit, text: impl Into<String>) -> anyhow::Error {
        Self { exit, text: text.into() }.into()
    }
}
