//! How commands print: as a table for people or as JSON for programs.

use std::io::{self, Write as _};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

/// How to print.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// Whether somebody still reads what is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// As far as anybody can tell.
    Reads,
    /// The reader of the pipe has gone.
    Gone,
}

/// Prints data to standard output, with a line's end. A reader that has gone away is no error: the command ends as it would have.
pub fn print(text: impl AsRef<str>) -> anyhow::Result<()> {
    print_on(text).map(|_| ())
}

/// The same for a command that goes on printing, which should end when nobody reads.
pub fn print_on(text: impl AsRef<str>) -> anyhow::Result<Audience> {
    let mut out = io::stdout().lock();
    audience(writeln!(out, "{}", text.as_ref().trim_end_matches('\n')).and_then(|()| out.flush()))
}

/// Prints one JSON document.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(serde_json::to_string(value)?)
}

/// What came of writing to standard output.
pub fn audience(written: io::Result<()>) -> anyhow::Result<Audience> {
    match written {
        Ok(()) => Ok(Audience::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Audience::Gone),
        Err(error) => Err(error).context("standard output cannot be written"),
    }
}

/// Whether somebody still reads, for a command that has nothing to print just now.
pub fn look_for_audience() -> Audience {
    let out = io::stdout();
    let mut pipe = [PollFd::new(&out, PollFlags::empty())];
    let looked = poll(&mut pipe, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let is_broken = pipe[0].revents().contains(PollFlags::ERR);
    if looked.is_ok() && is_broken { Audience::Gone } else { Audience::Reads }
}
