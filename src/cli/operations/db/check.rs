//! `db check`: damage, dangling references, audit chains, version and the write-ahead log.

use std::process::ExitCode;

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::finding::{Finding, FindingGroup, bytes_text, report_findings};
use crate::cli::shared::output::Output;
use crate::domain::wording::count_with_noun;
use crate::store::{ChainTrust, Inspection, OpenError, Store, inspect};

/// The size beyond which the write-ahead log is not checkpointed as it should be: each checkpoint cuts it to 64 MiB.
const LOG_WARNING_BYTES: u64 = 256 << 20;

/// Options of `db check`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Reads every page, and can run beside the daemon. Exit codes: 0 if there is no problem, 4 if there is one.

Examples:
  shiftkeeper db check
  shiftkeeper db check --output json --set store.url=sqlite://copies/20261122T023000Z.db"
)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    let url = config.store.connection_url();
    let findings = match inspect(url.expose(), true).await {
        Ok(inspection) => check_store(url.expose(), &inspection).await?,
        Err(error) => open_error_findings(error)?,
    };
    Ok(report_findings(&findings, args.output)?.into())
}

/// Turns an error that describes a fault of the store into a finding. Other errors are returned.
fn open_error_findings(error: OpenError) -> anyhow::Result<Vec<Finding>> {
    let mut group = FindingGroup::new("database");
    let (id, advice) = match &error {
        OpenError::Corrupt { .. } => ("damage", "restore a backup: shiftkeeper db restore FILE"),
        OpenError::WithoutLog { .. } => ("write-ahead log", "restore a backup: shiftkeeper db restore FILE"),
        OpenError::Newer { .. } | OpenError::DifferentBuild { .. } => ("version", "run the version that wrote it"),
        OpenError::Url { .. }
        | OpenError::NotFound { .. }
        | OpenError::ReadOnly { .. }
        | OpenError::Older { .. }
        | OpenError::InUse { .. }
        | OpenError::Full { .. }
        | OpenError::EngineTooOld { .. }
        | OpenError::Unreachable { .. } => return Err(error.into()),
    };
    group.wrong(id, error.to_string(), advice);
    Ok(group.into_findings())
}

async fn check_store(url: &str, inspection: &Inspection) -> anyhow::Result<Vec<Finding>> {
    let mut group = FindingGroup::new("database");
    group.ok("place", format!("{}, engine {}", inspection.location, inspection.engine));
    if inspection.is_file {
        check_damage(&mut group, inspection);
        check_log(&mut group, inspection);
    } else {
        group.skipped("damage", "PostgreSQL's own business: amcheck and your provider's tools look for it");
        group.skipped("write-ahead log", "PostgreSQL's own business");
    }
    let (found, known) = inspection.migrations;
    if found == known {
        group.ok("version", format!("migration {found} of {known}"));
        check_chains(&mut group, url).await?;
    } else {
        group.warning(
            "version",
            format!("migration {found} of {known}"),
            "start the daemon once, which brings it up to date",
        );
        group.skipped("audit", "not checked before it is up to date");
    }
    Ok(group.into_findings())
}

fn check_damage(group: &mut FindingGroup, inspection: &Inspection) {
    match inspection.damage.first() {
        None => group.ok("damage", "none: integrity_check says ok"),
        Some(first) => {
            let more = inspection.damage.len() - 1;
            let more = if more > 0 { format!(", and {}", count_with_noun(more, "more fault")) } else { String::new() };
            group.wrong("damage", format!("{first}{more}"), "restore a backup: shiftkeeper db restore FILE");
        }
    }
    if inspection.dangling_tables.is_empty() {
        group.ok("foreign keys", "every row refers to an existing row");
    } else {
        let tables = inspection.dangling_tables.join(", ");
        group.wrong("foreign keys", format!("rows of {tables} point nowhere"), "restore a backup, and report it");
    }
}

fn check_log(group: &mut FindingGroup, inspection: &Inspection) {
    let size = format!("{} beside the file", bytes_text(inspection.log_bytes));
    if inspection.log_bytes > LOG_WARNING_BYTES {
        let advice = "a reader that stays open keeps it from being folded in: end reports and copies that hang";
        group.warning("write-ahead log", size, advice);
    } else {
        group.ok("write-ahead log", size);
    }
}

async fn check_chains(group: &mut FindingGroup, url: &str) -> anyhow::Result<()> {
    let reader = Store::read(url).await?;
    let result = async {
        let tenants = reader.audited_tenants().await?;
        if tenants.is_empty() {
            group.ok("audit", "no entries yet");
        }
        for tenant in tenants {
            let verdict = reader.verify_chain(&tenant, ChainTrust::default()).await?;
            if let Some(head) = verdict.bad_heads.first() {
                group.wrong(
                    format!("audit heads {tenant}"),
                    format!("the head of entry {} is invalid: {}", head.seq, head.reason),
                    "see `shiftkeeper audit verify`",
                );
            }
            match verdict.first_bad {
                None => group.ok(format!("audit {tenant}"), format!("{}, verified", count_with_noun(verdict.entries, "entry"))),
                Some(bad) => group.wrong(
                    format!("audit {tenant}"),
                    format!("entry {} is invalid: {}", bad.seq, bad.reason),
                    "keep the file unchanged for an investigation, and compare it with a backup and with heads kept on other \
                     hosts",
                ),
            }
        }
        Ok(())
    }
    .await;
    reader.close().await;
    result
}
