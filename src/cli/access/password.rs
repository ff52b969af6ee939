//! A password for a command: typed without echo, or read from standard input or a file. It is never an option's
//! value, which other users of the host can see.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::domain::access::secret::Secret;

/// The longest password, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// Options for a password.
#[derive(clap::Args, Debug)]
pub struct PasswordArgs {
    /// A file with the password on its first line. Without it, the command asks for the password, or reads it from
    /// standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// Reads the password.
    pub fn read(&self) -> anyhow::Result<Secret> {
        match &self.password_file {
            Some(path) => read_from_file(path),
            None if io::stdin().is_terminal() => read_from_terminal(),
            None => first_line(io::stdin().lock()).context("standard input has no password"),
        }
    }
}

fn read_from_file(path: &Path) -> anyhow::Result<Secret> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    first_line(io::BufReader::new(file)).with_context(|| format!("{} has no password", path.display()))
}

fn first_line(from: impl io::BufRead) -> anyhow::Result<Secret> {
    let mut line = String::new();
    from.take(MAX_PASSWORD_BYTES).read_line(&mut line)?;
    let line = line.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(!line.is_empty(), "its first line is empty");
    Ok(Secret::new(line))
}

/// Reads the password twice from the terminal, since it is not shown.
fn read_from_terminal() -> anyhow::Result<Secret> {
    let first = prompt_hidden("Password: ")?;
    let again = prompt_hidden("The same again: ")?;
    if first != again {
        return Err(CommandFailure::with_exit(Exit::Failed, "the two passwords differ; nothing was changed"));
    }
    Ok(first)
}

fn prompt_hidden(prompt: &str) -> anyhow::Result<Secret> {
    let mut out = io::stderr();
    write!(out, "{prompt}")?;
    out.flush()?;
    let hidden = EchoGuard::disable_echo()?;
    let line = first_line(io::stdin().lock());
    drop(hidden);
    writeln!(out)?;
    line
}

/// A guard that turns off the terminal's echo while it lives.
struct EchoGuard(Termios);

impl EchoGuard {
    fn disable_echo() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("the terminal cannot hide the password")?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).context("the terminal cannot hide the password")?;
        Ok(Self(before))
    }
}

impl Drop for EchoGuard {
    fn drop(&mut self) {
        // A terminal that is gone does not echo either.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password_whatever_ends_it() {
        for (text, expected) in [
            ("correct horse\n", Some("correct horse")),
            ("correct horse\r\nbattery", Some("correct horse")),
            (" spaces count ", Some(" spaces count ")),
            ("\nlater", None),
            ("", None),
        ] {
            let read = first_line(text.as_bytes()).ok();
            assert_eq!(read.as_ref().map(Secret::expose), expected, "{text:?}");
        }
    }
}
