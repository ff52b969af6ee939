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

/// Subcommands of `db`.
#[derive(clap::Subcommand, Debug)]
pub enum DbCommand {
    /// Check the database: damage, audit chains, version and write-ahead log.
    Check(CheckArgs),
    /// Back up the database, with or without a running daemon, and verify the copy.
    Backup(BackupArgs),
    /// Restore a copy and keep what was there. The daemon must not be running.
    Restore(RestoreArgs),
    /// Show rows, size and age of every table.
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
