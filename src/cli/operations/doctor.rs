//! `shiftkeeper doctor`: checks that everything the daemon needs is there and works, with a file per kind of check.
//!
//! It changes nothing: the store is only read, no event is sent, no agent's state is changed (but with `--write`, for
//! one test agent), and no secret is printed.

mod audit;
mod configuration;
mod context;
mod daemon;
mod disk;
mod figures;
mod incontact;
mod platform;
mod schedules;
mod store;
mod webhooks;
mod zones;

use std::process::ExitCode;

use self::context::CheckContext;
use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::finding::{Finding, report_findings};
use crate::cli::shared::output::Output;
use crate::cli::shared::scope::{one_tenant, open_reader, usage_error};
use crate::config::{Dialect, Tenant};
use crate::domain::ids::{AgentId, TenantId};

/// Options of `doctor`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Each line is `ok` or says what to do. If a daemon is running, it calls the platform, so that its budget counts the calls. \
Otherwise, doctor makes two or three calls that no budget counts. With --tenant, it checks only that tenant's platform; with the dialect \
incontact, that takes one read of each list and one per team, as far as the budget of this minute allows, and shows what only your \
platform can tell. Exit codes: 0 if there is no problem, 4 if there is one.

Examples:
  shiftkeeper doctor
  shiftkeeper doctor --offline
  shiftkeeper doctor --tenant acme
  shiftkeeper doctor --tenant acme --write 10001 --set tenants.acme.mode=live
  shiftkeeper doctor --output json | jq '.checks[] | select(.status == \"wrong\")'"
)]
pub struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check only the platform of this tenant.
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,
    /// Prove a state change with this test agent (dialect incontact): set a state that has a code, wait until the platform
    /// shows it, and set the former state again.
    #[arg(long, value_name = "AGENT", requires = "tenant", conflicts_with = "offline")]
    write: Option<AgentId>,
    /// Skip the confirmation of --write.
    #[arg(long, requires = "write")]
    yes: bool,
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
    let selected = match &args.tenant {
        Some(id) => Some(one_tenant(&config, Some(id))?.clone()),
        None => None,
    };
    // The store's own check reports a store that cannot be read; the others run without it.
    let reader = open_reader(&config).await.ok();
    let mut context = CheckContext { config, has_secrets, offline: args.offline, reader, daemon: None };
    let (daemon, daemon_findings) = daemon::check(&context).await;
    context.daemon = daemon;
    match &selected {
        Some(tenant) => findings.extend(check_tenant(&context, tenant, &args).await?),
        None => findings.extend(check_all(&context, daemon_findings).await),
    }
    if let Some(reader) = context.reader {
        reader.close().await;
    }
    Ok(report_findings(&findings, args.output)?.into())
}

async fn check_all(context: &CheckContext, daemon_findings: Vec<Finding>) -> Vec<Finding> {
    let mut findings = store::check(context).await;
    findings.extend(audit::check(context).await);
    findings.extend(disk::check(&context.config));
    findings.extend(zones::check(context).await);
    findings.extend(daemon_findings);
    for tenant in &context.config.tenants {
        findings.extend(match tenant.dialect {
            Dialect::Guide => platform::check(context, tenant).await,
            Dialect::Incontact => incontact::refer(context, tenant),
        });
        findings.extend(figures::check(context, tenant).await);
        findings.extend(schedules::check(context, tenant).await);
    }
    findings.extend(webhooks::check(context).await);
    findings
}

async fn check_tenant(context: &CheckContext, tenant: &Tenant, args: &DoctorArgs) -> anyhow::Result<Vec<Finding>> {
    if let Some(agent) = &args.write {
        if tenant.dialect != Dialect::Incontact {
            return Err(usage_error("--write needs a tenant with the dialect incontact".to_owned()));
        }
        incontact::confirm(agent, args.yes)?;
    }
    let mut findings = match tenant.dialect {
        Dialect::Guide => platform::check(context, tenant).await,
        Dialect::Incontact => incontact::check(context, tenant, args.write.as_ref()).await,
    };
    findings.extend(figures::check(context, tenant).await);
    Ok(findings)
}
