//! `shiftkeeper doctor`: is everything there that the daemon needs, and does it work. One file per kind of check.
//!
//! It changes nothing: the store is only read, no event is sent, no agent's state is touched, and no secret is printed.

mod audit;
mod configuration;
mod daemon;
mod disk;
mod figures;
mod platform;
mod store;
mod webhooks;
mod zones;

use std::process::ExitCode;

use self::platform::Way;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::finding::report;
use crate::cli::shared::output::Output;
use crate::cli::shared::scope::open_reader;
use crate::config::Config;

/// Options of `doctor`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Each line is `ok` or says what to do. Ends with 0 when nothing is wrong, with 4 when something is. A running daemon \
asks the platform itself, so that its budget counts the calls; without one, two or three calls are made past it.

Examples:
  shiftkeeper doctor
  shiftkeeper doctor --offline
  shiftkeeper doctor --output json | jq '.checks[] | select(.status == \"wrong\")'"
)]
pub struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Skips everything that goes over the network.
    #[arg(long)]
    offline: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// What the checks look at.
struct Desk {
    config: Config,
    /// Whether the secrets that only the daemon uses are at hand.
    secrets: bool,
    offline: bool,
}

/// Runs every check, prints what was found, and says how it went.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let (read, mut findings) = configuration::look(&args.config);
    let Some((config, secrets)) = read else { return Ok(report(&findings, args.output)?.into()) };
    let desk = Desk { config, secrets, offline: args.offline };
    // A store that cannot be read is told of by its own check; the others do without it.
    let reader = open_reader(&desk.config).await.ok();
    let (running, told) = daemon::look(&desk, reader.as_ref()).await;
    findings.extend(store::look(&desk, running.as_ref()).await);
    findings.extend(audit::look(&desk.config, reader.as_ref()).await);
    findings.extend(disk::look(&desk.config));
    findings.extend(zones::look(&desk.config, reader.as_ref()).await);
    findings.extend(told);
    let way = Way { daemon: running.as_ref(), reader: reader.as_ref() };
    for tenant in &desk.config.tenants {
        findings.extend(platform::look(&desk, tenant, way).await);
        findings.extend(figures::look(&desk, tenant, way).await);
    }
    findings.extend(webhooks::look(&desk, way).await);
    if let Some(reader) = reader {
        reader.close().await;
    }
    Ok(report(&findings, args.output)?.into())
}
