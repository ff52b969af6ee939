//! `db check`: damage, rows that point nowhere, audit chains, version, the write-ahead log.

use std::process::ExitCode;

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::finding::{Finding, Group, bytes_text, report};
use crate::cli::shared::output::Output;
use crate::domain::words::count;
use crate::store::{ChainTrust, Inspection, OpenError, Store, inspect};

/// A log beyond this is not folded in as it should be: it is cut to 64 MiB at every fold.
const LARGE_LOG: u64 = 256 << 20;

/// Options of `db check`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Ends with 0 when nothing is wrong, with 4 when something is. Every page is read; beside a running daemon too.

Examples:
  shiftkeeper db check
  shiftkeeper db check --output json --set store.url=sqlite://copies/20261122T023000Z.db"
)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let url = config.store.connection_url();
    let findings = match inspect(url.expose(), true).await {
        Ok(seen) => look(url.expose(), &seen).await?,
        Err(error) => unopened(error)?,
    };
    Ok(report(&findings, args.output)?.into())
}

/// A store that says itself what is wrong with it is a finding; one that cannot be asked is an error.
fn unopened(error: OpenError) -> anyhow::Result<Vec<Finding>> {
    let mut group = Group::new("database");
    let (id, advice) = match &error {
        OpenError::Corrupt { .. } => ("damage", "restore a backup: shiftkeeper db restore FILE"),
        OpenError::WithoutLog { .. } => ("write-ahead log", "restore a backup: shiftkeeper db restore FILE"),
        OpenError::Newer { .. } | OpenError::Foreign { .. } => ("version", "run the version that wrote it"),
        OpenError::Url { .. }
        | OpenError::NotFound { .. }
        | OpenError::ReadOnly { .. }
        | OpenError::Older { .. }
        | OpenError::Held { .. }
        | OpenError::Full { .. }
        | OpenError::EngineTooOld { .. }
        | OpenError::Unreachable { .. } => return Err(error.into()),
    };
    group.wrong(id, error.to_string(), advice);
    Ok(group.done())
}

async fn look(url: &str, seen: &Inspection) -> anyhow::Result<Vec<Finding>> {
    let mut group = Group::new("database");
    group.ok("place", format!("{}, engine {}", seen.place, seen.engine));
    if seen.is_file {
        damage(&mut group, seen);
        log(&mut group, seen);
    } else {
        group.skipped("damage", "PostgreSQL's own business: amcheck and your provider's tools look for it");
        group.skipped("write-ahead log", "PostgreSQL's own business");
    }
    let (found, known) = seen.migrations;
    if found == known {
        group.ok("version", format!("migration {found} of {known}"));
        chains(&mut group, url).await?;
    } else {
        group.warning(
            "version",
            format!("migration {found} of {known}"),
            "start the daemon once, which brings it up to date",
        );
        group.skipped("audit", "not looked at before it is up to date");
    }
    Ok(group.done())
}

fn damage(group: &mut Group, seen: &Inspection) {
    match seen.damage.first() {
        None => group.ok("damage", "none: integrity_check says ok"),
        Some(first) => {
            let more = seen.damage.len() - 1;
            let more = if more > 0 { format!(", and {}", count(more, "more fault")) } else { String::new() };
            group.wrong("damage", format!("{first}{more}"), "restore a backup: shiftkeeper db restore FILE");
        }
    }
    if seen.dangling.is_empty() {
        group.ok("foreign keys", "every row points to one that is there");
    } else {
        let tables = seen.dangling.join(", ");
        group.wrong("foreign keys", format!("rows of {tables} point nowhere"), "restore a backup, and report it");
    }
}

fn log(group: &mut Group, seen: &Inspection) {
    let size = format!("{} beside the file", bytes_text(seen.log_bytes));
    if seen.log_bytes > LARGE_LOG {
        let advice = "a reader that stays open keeps it from being folded in: end reports and copies that hang";
        group.warning("write-ahead log", size, advice);
    } else {
        group.ok("write-ahead log", size);
    }
}

async fn chains(group: &mut Group, url: &str) -> anyhow::Result<()> {
    let reader = Store::read(url).await?;
    let looked = async {
        let tenants = reader.audited_tenants().await?;
        if tenants.is_empty() {
            group.ok("audit", "no entries yet");
        }
        for tenant in tenants {
            let verdict = reader.verify_chain(&tenant, ChainTrust::default()).await?;
            if let Some(head) = verdict.bad_heads.first() {
                group.wrong(
                    format!("audit heads {tenant}"),
                    format!("the head of entry {} does not hold: {}", head.seq, head.reason),
                    "see `shiftkeeper audit verify`",
                );
            }
            match verdict.first_bad {
                None => group.ok(format!("audit {tenant}"), format!("{}, verified", count(verdict.entries, "entry"))),
                Some(bad) => group.wrong(
                    format!("audit {tenant}"),
                    format!("entry {} does not hold: {}", bad.seq, bad.reason),
                    "keep the file as it is for whoever looks into it, and compare it with a backup and with the heads that left \
                     the host",
                ),
            }
        }
        Ok(())
    }
    .await;
    reader.close().await;
    looked
}
