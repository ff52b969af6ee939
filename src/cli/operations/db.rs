//! `shiftkeeper db`: checks, copies, restores and measures the database.
//!
//! It works on the store itself, and beside a running daemon where that does no harm; `restore` refuses while a
//! daemon has the store.

mod backup;
mod check;
mod restore;
mod stats;

use std::process::ExitCode;

use self::backup::BackupArgs;
use self::check::CheckArgs;
use self::restore::RestoreArgs;
use self::stats::StatsArgs;

/// What to do with the database.
#[derive(clap::Subcommand, Debug)]
pub enum DbCommand {
    /// Check it: damage, audit chains, version, write-ahead log.
    Check(CheckArgs),
    /// Copy it, beside a running daemon or without one, and check the copy.
    Backup(BackupArgs),
    /// Put a copy in its place; what was there is kept. No daemon may be running.
    Restore(RestoreArgs),
    /// Show rows, bytes and age of every table.
    Stats(StatsArgs),
}

/// Runs a subcommand.
pub async fn run(command: DbCommand) -> anyhow::Result<ExitCode> {
    match command {
        DbCommand::Check(args) => check::run(args).await,
        DbCommand::Backup(args) => backup::run(args).await,
        DbCommand::Restore(args) => restore::run(args).await,
        DbCommand::Stats(args) => stats::run(args).await,
    }
}
