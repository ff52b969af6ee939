//! `shiftkeeper simulate`: the platform simulator on its own, until it is stopped.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::changes::change::parse_span;
use crate::cli::shared::output::print_json;
use crate::clock::{SharedClock, SystemClock};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::sim::{AgentIds, FaultSpec, ScheduleFile, SimOptions, Simulator, Trap};

/// Runs a simulator of the platform: a small contact centre over real HTTP, with simulated agents, and faults on
/// demand.
///
/// When it is ready, it prints one line of JSON on standard output with its address and each tenant's id, credentials
/// and agents. The same seed always gives the same ids and secrets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  shiftkeeper simulate --agents 50 --speed 60
  shiftkeeper simulate --schedule config/samples/schedule-300.csv
  shiftkeeper simulate --agents 50 --fault status:on=state,code=503,probability=0.1
  shiftkeeper simulate --dialect incontact --trap small_pages --trap team_codes")]
pub struct SimulateArgs {
    /// The address to listen on. It must be a loopback address; port 0 chooses a free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Number agents as this dialect does. The simulator answers the calls of both.
    #[arg(long, value_name = "DIALECT", value_enum, default_value_t)]
    dialect: Dialect,
    /// The number of agents per tenant.
    #[arg(long, value_name = "N", default_value_t = 300)]
    agents: usize,
    /// The number of tenants: acme, bravo, charlie, …
    #[arg(long, value_name = "N", default_value_t = 1)]
    tenants: usize,
    /// Take shifts from this CSV file. If its days do not include the start, they are moved by whole weeks.
    #[arg(long, value_name = "FILE")]
    schedule: Option<PathBuf>,
    /// The seed of names, secrets, shifts and behaviour.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many times faster than real time the clock runs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: u32,
    /// The instant to start at, such as 2026-10-28T14:00:00Z. The default is now.
    #[arg(long, value_name = "INSTANT")]
    start: Option<UtcMicros>,
    /// A fault to simulate, as `kind:key=value,…` or JSON. May be given more than once.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<FaultSpec>,
    /// Let the published services differ from their documents in this way. May be given more than once; the simulator's
    /// page in the documentation has the names.
    #[arg(long, value_name = "NAME")]
    trap: Vec<Trap>,
    /// The number of requests per minute that each tenant may make.
    #[arg(long, value_name = "N", default_value_t = 100)]
    requests_per_minute: u32,
    /// The number of reads of figures, queue lists and aggregation queries per minute that each tenant may make.
    #[arg(long, value_name = "N", default_value_t = 10)]
    reporting_per_minute: u32,
    /// The number of skills per tenant, each with a queue.
    #[arg(long, value_name = "N", default_value_t = 5)]
    skills: usize,
    /// How long a token is valid, by the simulator's clock.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "1h")]
    token_lifetime: Duration,
    /// How long a subscription lasts, by the simulator's clock.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "24h")]
    subscription_lifetime: Duration,
    /// How long an agent stays in a mandatory break. The default is without end.
    #[arg(long, value_name = "MINUTES")]
    break_minutes: Option<u32>,
    /// Agents do nothing on their own.
    #[arg(long)]
    quiet: bool,
}

/// A dialect of the platform.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Dialect {
    /// The services of the vendor's guides.
    #[default]
    Guide,
    /// The published REST services.
    Incontact,
}

/// Runs until SIGINT or SIGTERM.
pub async fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let clock: SharedClock = Arc::new(SystemClock::scaled(args.start, args.speed));
    let options = sim_options(args).await?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let simulator = Simulator::start(options, clock).await?;
    print_startup(&simulator);
    print_json(&simulator.description())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    let _ = writeln!(std::io::stderr(), "simulator: stopping");
    simulator.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn sim_options(args: SimulateArgs) -> anyhow::Result<SimOptions> {
    let schedule = match args.schedule {
        None => None,
        Some(path) => {
            let bytes = tokio::fs::read(&path).await.with_context(|| format!("cannot read {}", path.display()))?;
            Some(ScheduleFile { name: path.display().to_string(), bytes })
        }
    };
    Ok(SimOptions {
        listen: args.listen,
        agents: args.agents,
        tenants: args.tenants,
        schedule,
        agent_ids: match args.dialect {
            Dialect::Guide => AgentIds::Text,
            Dialect::Incontact => AgentIds::Numbers,
        },
        seed: args.seed,
        requests_per_minute: args.requests_per_minute,
        reporting_per_minute: args.reporting_per_minute,
        skills: args.skills,
        token_lifetime: args.token_lifetime,
        subscription_lifetime: args.subscription_lifetime,
        faults: args.fault,
        traps: args.trap,
        autonomous_agents: !args.quiet,
        break_duration: args.break_minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60)),
        ..SimOptions::default()
    })
}

fn print_startup(simulator: &Simulator) {
    let mut err = std::io::stderr();
    // The simulator runs even if nobody can read this message.
    let _ = writeln!(err, "simulator: listening on http://{}, faults and log under /_sim/", simulator.address());
    if let Some(weeks) = simulator.moved_weeks().filter(|weeks| *weeks != 0) {
        let way = if weeks > 0 { "later" } else { "earlier" };
        let _ = writeln!(
            err,
            "simulator: the schedule is moved {} {way}, so that its days hold now",
            count_with_noun(weeks.abs(), "week")
        );
    }
}
