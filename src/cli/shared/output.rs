//! Output of commands: a table for people or JSON for programs.

use std::io::{self, Write as _};

use anyhow::Context as _;
use comfy_table::{Row, Table, presets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

/// The output format.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Output {
    /// A table.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

impl Output {
    /// Prints a result: `value` for programs, or else `text`.
    pub fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self {
            Self::Json => print_json(value),
            Self::Table => print(text()),
        }
    }
}

/// Whether anybody still reads the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PipeStatus {
    /// The pipe is open, as far as can be told.
    Open,
    /// The reader has closed the pipe.
    Closed,
}

/// Prints data and a newline to standard output. A closed pipe is no error: the command ends as usual.
pub fn print(text: impl AsRef<str>) -> anyhow::Result<()> {
    print_and_check(text).map(|_| ())
}

/// Prints like `print`, for a command that keeps printing and should end when nobody reads.
pub fn print_and_check(text: impl AsRef<str>) -> anyhow::Result<PipeStatus> {
    let mut out = io::stdout().lock();
    pipe_status(writeln!(out, "{}", text.as_ref().trim_end_matches('\n')).and_then(|()| out.flush()))
}

/// Prints one JSON document.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(serde_json::to_string(value)?)
}

/// Creates a table without borders and without a header.
pub fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

/// Creates a table without borders.
pub fn table_with_header(header: impl Into<Row>) -> Table {
    let mut table = plain_table();
    table.set_header(header);
    table
}

/// Returns the status of the pipe after a write to standard output.
pub fn pipe_status(written: io::Result<()>) -> anyhow::Result<PipeStatus> {
    match written {
        Ok(()) => Ok(PipeStatus::Open),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(PipeStatus::Closed),
        Err(error) => Err(error).context("standard output cannot be written"),
    }
}

/// Returns whether anybody still reads, for a command that has nothing to print right now.
pub fn poll_pipe_status() -> PipeStatus {
    let out = io::stdout();
    let mut pipe = [PollFd::new(&out, PollFlags::empty())];
    let polled = poll(&mut pipe, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let is_broken = pipe[0].revents().contains(PollFlags::ERR);
    if polled.is_ok() && is_broken { PipeStatus::Closed } else { PipeStatus::Open }
}
