//! A password for a command: typed without being shown, or read from standard input or a file. Never an option's value, which other
//! users of the host can see.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::shared::exit::Exit;
use crate::cli::shared::talk::Failure;
use crate::domain::access::secret::Secret;

/// No password is longer, in bytes.
const LONGEST: u64 = 4096;

/// Where a password comes from.
#[derive(clap::Args, Debug)]
pub struct PasswordArgs {
    /// A file with the password on its first line; without it, it is asked for, or read from standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// Reads it.
    pub fn read(&self) -> anyhow::Result<Secret> {
        match &self.password_file {
            Some(path) => of_file(path),
            None if io::stdin().is_terminal() => typed(),
            None => first_line(io::stdin().lock()).context("no password came on standard input"),
        }
    }
}

fn of_file(path: &Path) -> anyhow::Result<Secret> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    first_line(io::BufReader::new(file)).with_context(|| format!("{} holds no password", path.display()))
}

fn first_line(from: impl io::BufRead) -> anyhow::Result<Secret> {
    let mut line = String::new();
    from.take(LONGEST).read_line(&mut line)?;
    let line = line.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(!line.is_empty(), "its first line is empty");
    Ok(Secret::new(line))
}

/// Asks twice, since nobody sees what was typed.
fn typed() -> anyhow::Result<Secret> {
    let first = ask("Password: ")?;
    let again = ask("The same again: ")?;
    if first != again {
        return Err(Failure::because(Exit::Failed, "the two are not the same; nothing was changed"));
    }
    Ok(first)
}

fn ask(prompt: &str) -> anyhow::Result<Secret> {
    let mut out = io::stderr();
    write!(out, "{prompt}")?;
    out.flush()?;
    let hidden = Hidden::begin()?;
    let line = first_line(io::stdin().lock());
    drop(hidden);
    writeln!(out)?;
    line
}

/// While it lives, the terminal does not show what is typed.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("the terminal cannot be told to hide the password")?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)
            .context("the terminal cannot be told to hide the password")?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone shows nothing either.
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
