//! `db restore`: puts a copy in the store's place.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use crate::app::{clock_for, identity};
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::{CommandFailure, Exit};
use crate::cli::shared::finding::bytes_text;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::Output;
use crate::clock::RealTime;
use crate::config::Config;
use crate::domain::audit::AuditDraft;
use crate::domain::wording::count_with_noun;
use crate::http::file_name;
use crate::store::{Commit, OpenError, ProcessRole, RestoreError, RestoreResult, Store, restore};

/// Options of `db restore`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The file is first verified (damage, version, audit chains) and then copied. The replaced database is kept beside it, with \
its write-ahead log, as NAME.replaced-TIME. Stop the daemon before, and start it again afterwards. Use pg_restore for a \
PostgreSQL database.

Examples:
  shiftkeeper db restore backups/shiftkeeper-20261122T023000Z.db
  shiftkeeper db restore found.db --force --output json"
)]
pub struct RestoreArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The copy, written by `shiftkeeper db backup` or the backup job, or a database file with its -wal file beside it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Accept a database file without its write-ahead log if it is otherwise intact. The last changes are lost.
    #[arg(long)]
    force: bool,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let restored = restore(config.store.connection_url().expose(), &args.file, args.force, RealTime::now()).await;
    let restored = restored.map_err(|error| restore_failure(error, &args.file))?;
    if restored.without_log {
        print_message(format!(
            "WARNING: {} lacked its write-ahead log. The last commits before the copy was made are lost: changes, audit entries \
             and events that people and receivers may have seen. Inform everybody who relies on the audit log.",
            args.file.display()
        ));
    }
    if let Err(error) = record_restore(&config, &restored, &args.file).await {
        print_message(format!(
            "warning: the restore could not be recorded in the audit log ({error:#}); note it elsewhere"
        ));
    }
    let value = json!({
        "path": restored.path,
        "from": args.file,
        "bytes": restored.bytes,
        "entries": restored.entries,
        "set_aside": restored.replaced_files,
        "without_log": restored.without_log,
    });
    args.output.print(&value, || restore_summary(&restored, &args))?;
    Ok(Exit::Done.into())
}

/// Records in every chain that it continues from a copy, which explains why heads signed after the copy was made are
/// no longer valid.
async fn record_restore(config: &Config, restored: &RestoreResult, file: &Path) -> anyhow::Result<()> {
    let clock = clock_for(config).await;
    let store =
        Store::open(config.store.connection_url().expose(), ProcessRole::Import, clock.clone(), &identity()).await?;
    let result = async {
        let mut audit = Vec::new();
        for tenant in store.reader().audited_tenants().await? {
            let entries = store.reader().chain_head(&tenant).await?.seq;
            audit.push(AuditDraft::new(
                tenant,
                clock.now(),
                "person:command line".to_owned(),
                "store.restored",
                json!({
                    "copy": file_name(file), "entries": entries, "without_log": restored.without_log,
                }),
            ));
        }
        store.writer().commit(Commit { audit, ..Commit::default() }).await.map_err(anyhow::Error::from)
    }
    .await;
    store.close().await;
    result.map(drop)
}

/// Converts the error into one about the named file, since that is at fault rather than the store.
fn restore_failure(error: RestoreError, file: &Path) -> anyhow::Error {
    match error {
        RestoreError::Open(OpenError::WithoutLog { place }) => CommandFailure::with_exit(
            Exit::Problems,
            format!(
                "{place} is a copy of a running store's main file without its write-ahead log: what was committed last is not in \
                 it. Put {place}-wal beside it if there is one, or name a copy that `shiftkeeper db backup` made; \
                 `shiftkeeper db restore {} --force` takes it without the last changes",
                file.display()
            ),
        ),
        RestoreError::Open(error @ (OpenError::Newer { .. } | OpenError::DifferentBuild { .. })) => {
            CommandFailure::with_exit(Exit::Problems, error.to_string())
        }
        RestoreError::Open(error) => error.into(),
        RestoreError::Damaged { .. } | RestoreError::Empty { .. } => {
            CommandFailure::with_exit(Exit::Problems, error.to_string())
        }
        RestoreError::Unsupported { .. }
        | RestoreError::NoSuchFile { .. }
        | RestoreError::IsFolder { .. }
        | RestoreError::Copy(_)
        | RestoreError::Write { .. } => error.into(),
    }
}

fn restore_summary(restored: &RestoreResult, args: &RestoreArgs) -> String {
    let mut lines = vec![format!(
        "{} is restored from {}: {} with {}, checked",
        restored.path.display(),
        args.file.display(),
        bytes_text(restored.bytes),
        count_with_noun(restored.entries, "audit entry"),
    )];
    lines.extend(restored.replaced_files.iter().map(|path| format!("kept {}", path.display())));
    lines.join("\n")
}
