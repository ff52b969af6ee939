//! `shiftkeeper doctor`: checks that everything the daemon needs is there and works, with a file per kind of check.
//!
//! It changes nothing: the store is only read, no event is sent, no agent's state is changed, and no secret is
//! printed.

mod audit;
mod configuration;
mod context;
mod daemon;
mod disk;
mod figures;
mod platform;
mod store;
mod webhooks;
mod zones;

use std::process::ExitCode;

use self::context::CheckContext;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::finding::report_findings;
use crate::cli::shared::output::Output;
use crate::cli::shared::scope::open_reader;

/// Options of `doctor`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Each line is `ok` or says what to do. If a daemon is running, it calls the platform, so that its budget counts the calls. \
Otherwise, doctor makes two or three calls that no budget counts. Exit codes: 0 if there is no problem, 4 if there is one.

Examples:
  shiftkeeper doctor
  shiftkeeper doctor --offline
  shiftkeeper doctor --output json | jq '.checks[] | select(.status == \"wrong\")'"
)]
pub struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Skip all checks that use the network.
    #[arg(long)]
    offline: bool,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Runs every check and prints the findings. Returns the exit code.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let (loaded, mut findings) = configuration::check(&args.config);
    let Some((config, has_secrets)) = loaded else { return Ok(report_findings(&findings, args.output)?.into()) };
    // The store's own check reports a store that cannot be read; the others run without it.
    let reader = open_reader(&config).await.ok();
    let mut context = CheckContext { config, has_secrets, offline: args.offline, reader, daemon: None };
    let (daemon, daemon_findings) = daemon::check(&context).await;
    context.daemon = daemon;
    findings.extend(store::check(&context).await);
    findings.extend(audit::check(&context).await);
    findings.extend(disk::check(&context.config));
    findings.extend(zones::check(&context).await);
    findings.extend(daemon_findings);
    for tenant in &context.config.tenants {
        findings.extend(platform::check(&context, tenant).await);
        findings.extend(figures::check(&context, tenant).await);
    }
    findings.extend(webhooks::check(&context).await);
    if let Some(reader) = context.reader {
        reader.close().await;
    }
    Ok(report_findings(&findings, args.output)?.into())
}
