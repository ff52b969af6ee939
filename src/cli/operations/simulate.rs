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
use crate::sim::{FaultSpec, ScheduleFile, SimOptions, Simulator};

/// Runs a stand-in for the platform: a small contact centre on real HTTP, with agents that live, and faults on demand.
///
/// When it is ready it prints one line of JSON on standard output: where it listens, and each tenant's id, credentials and
/// agents. The same seed gives the same ids and secrets every time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  shiftkeeper simulate --agents 50 --speed 60
  shiftkeeper simulate --schedule config/samples/schedule-300.csv
  shiftkeeper simulate --agents 50 --fault status:on=state,code=503,probability=0.1")]
pub struct SimulateArgs {
    /// Where to listen; a loopback address, and port 0 for a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Agents of each tenant.
    #[arg(long, value_name = "N", default_value_t = 300)]
    agents: usize,
    /// Tenants: acme, bravo, charlie, …
    #[arg(long, value_name = "N", default_value_t = 1)]
    tenants: usize,
    /// Shifts from a CSV file instead of made-up ones, moved by whole weeks when its days do not hold the start.
    #[arg(long, value_name = "FILE")]
    schedule: Option<PathBuf>,
    /// Decides names, secrets, shifts and lives.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many times faster than real time it lives.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: u32,
    /// The instant to start at, such as 2026-10-28T14:00:00Z; now without it.
    #[arg(long, value_name = "INSTANT")]
    start: Option<UtcMicros>,
    /// What goes wrong, as `kind:key=value,…` or JSON; may be given several times.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<FaultSpec>,
    /// Requests a minute that each tenant may make.
    #[arg(long, value_name = "N", default_value_t = 100)]
    requests_per_minute: u32,
    /// Reads of figures and of the list of queues, and calls of aggregation queries, a minute that each tenant may make.
    #[arg(long, value_name = "N", default_value_t = 10)]
    reporting_per_minute: u32,
    /// Skills of each tenant, each with a queue.
    #[arg(long, value_name = "N", default_value_t = 5)]
    skills: usize,
    /// How long a token is good, by the simulator's clock.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "1h")]
    token_lifetime: Duration,
    /// How long a subscription lives, by the simulator's clock.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "24h")]
    subscription_lifetime: Duration,
    /// How long the agent in a mandatory break stays in it; for ever without it.
    #[arg(long, value_name = "MINUTES")]
    break_minutes: Option<u32>,
    /// Nobody does anything of their own accord.
    #[arg(long)]
    quiet: bool,
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
        seed: args.seed,
        requests_per_minute: args.requests_per_minute,
        reporting_per_minute: args.reporting_per_minute,
        skills: args.skills,
        token_lifetime: args.token_lifetime,
        subscription_lifetime: args.subscription_lifetime,
        faults: args.fault,
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
