//! `shiftkeeper demo`: two simulated contact centres and the daemon, on loopback.
//!
//! Both sides speak real HTTP with each other, and the platform figures of the summary are the simulator's own count.

mod access;
mod reports;
mod running;
mod staffing;
mod status;
mod summary;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::access::DemoAccess;
use self::running::Demo;
use super::log;
use super::simulate::Dialect;
use crate::app::{App, Importer, RuntimeEnvironment};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::Output;
use crate::clock::{Random as _, RealTime, SharedClock, Stopwatch, SystemClock, SystemRandom};
use crate::config::{Config, ConfigText, Environment, LoadedConfig};
use crate::domain::time::UtcMicros;
use crate::domain::time::span;
use crate::domain::wording::count_with_noun;
use crate::engine::operations::supervisor::SupervisorExit;
use crate::http::{ImportRequest, StaffingImportRequest, StaffingImporter as _};
use crate::sim::{Receiver, ReceiverOptions, ScheduleFile, SimOptions, SimState, Simulator, TenantDescription};

/// The start of simulated time: a Monday on which breaks, lunches and shift changes of five time zones coincide.
const START: &str = "2026-10-26T13:30:00Z";

/// The sample schedule, whose days include the start.
const SCHEDULE: &[u8] = include_bytes!("../../../config/samples/schedule-300.csv");
const SCHEDULE_NAME: &str = "schedule-300.csv";

/// The number of contact centres. Both have the same agents, so that data shown for the wrong one would be noticed.
const CENTRES: usize = 2;

/// The agents of each centre: the first of the sample schedule.
const AGENTS: usize = 150;

/// The rules that ship with Shiftkeeper, all enforcing in the demo.
const RULES: &str = include_str!("../../../config/rules.toml");

/// An analytics query of the platform for each centre, over a quarter of a year and repeated every simulated hour.
const ANALYTICS_QUERY: &str = r#"
[[tenants.analytics]]
id = "calls"
metrics = ["sum count", "avg duration"]
dimensions = ["channel"]
bucket = "DAY"
last = 90
cron = "40 * * * *"
"#;

/// The demo's webhook receiver fails the first attempt of every n-th delivery.
const FAIL_EVERY: u64 = 20;

/// The interval at which status lines are drawn, in real time.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Starts two simulated contact centres with 300 agents in total, and the daemon, on this machine and faster than real
/// time. Shows how the daemon keeps agents in adherence. Ctrl-C stops the demo and prints a summary.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper demo
  shiftkeeper demo --speed 60
  shiftkeeper demo --dialect incontact
  shiftkeeper demo --for 60s --output json")]
pub struct DemoArgs {
    /// Stop after this long, such as 60s or 5m.
    #[arg(long = "for", value_name = "SPAN", value_parser = span::parse)]
    run_time: Option<Duration>,
    /// The output format of the summary.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    /// The platform services that the centres have. `incontact` has no live feed and no analytics queries.
    #[arg(long, value_name = "DIALECT", value_enum, default_value_t)]
    dialect: Dialect,
    /// How many times faster than real time. The default is 20, or 60 with --for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=600))]
    speed: Option<u32>,
    /// The seed of the simulated agents' behaviour.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The folder for the database. The default is a new folder.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl DemoArgs {
    fn speed(&self) -> u32 {
        self.speed.unwrap_or(if self.run_time.is_some() { 60 } else { 20 })
    }
}

/// Runs the demo until its time is over or somebody stops it.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let watch = Stopwatch::start();
    let mut interrupt = signal(SignalKind::interrupt()).context("the process cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("the process cannot listen for signals")?;
    let start: UtcMicros = START.parse().context("the demo could not be started")?;
    let clock: SharedClock = Arc::new(SystemClock::scaled(Some(start), args.speed()));
    let folder = prepare_folder(&args)?;
    let simulator = start_simulator(&args, clock.clone()).await?;
    let (receiver, hook_secret) = start_receiver(&args).await?;
    let (loaded, text) = configuration(&args, &simulator, (&receiver, hook_secret), &folder)?;
    let shutdown = CancellationToken::new();
    let log = log::start(loaded.config.log).log;
    let environment = RuntimeEnvironment { log: Some(log), ..RuntimeEnvironment::system(clock.clone()) };
    let app = App::start_with_environment(environment, loaded.config.clone(), shutdown.clone()).await?;
    let tenants = loaded.config.tenants.iter().map(|tenant| tenant.id.clone()).collect();
    let store_url = loaded.config.store.connection_url().expose().to_owned();
    let demo = Demo { clock, tenants, start, store_url, simulator, receiver };
    import_schedules(&demo, &app, args.dialect).await?;
    let access = access::grant_access(&app, &folder, &text, app.listen).await?;
    print_introduction(&demo, &folder, app.listen, &args, &access);
    let mut lines = status::StatusLines::open(&demo, app.status(), args.output).await?;
    let daemon = app.run();
    tokio::pin!(daemon);
    let limit = RealTime::sleep(args.run_time.unwrap_or(Duration::MAX));
    tokio::pin!(limit);
    let stop = || {
        if !shutdown.is_cancelled() {
            print_message("stopping: finishing what is running, then writing the summary and the reports");
            shutdown.cancel();
        }
    };
    let ended = loop {
        tokio::select! {
            ended = &mut daemon => break ended,
            () = &mut limit, if !shutdown.is_cancelled() => stop(),
            _ = interrupt.recv() => stop(),
            _ = terminate.recv() => stop(),
            () = RealTime::sleep(STATUS_INTERVAL), if !shutdown.is_cancelled() => lines.draw(&demo).await?,
        }
    };
    let last = lines.close().await;
    if let SupervisorExit::TaskFailed(task) = ended {
        print_message(format!("error: {task} failed for good"));
        return Ok(Exit::Failed.into());
    }
    let summary = summary::collect(&demo, last, watch.elapsed()).await?;
    let files = reports::write_reports(&demo, &folder.join("reports")).await?;
    demo.simulator.stop().await;
    demo.receiver.stop().await;
    args.output.print(&summary, || summary.to_string())?;
    print_next_steps(files, &folder.join("reports"), &access);
    Ok(if summary.audit.verified { Exit::Done } else { Exit::Problems }.into())
}

fn prepare_folder(args: &DemoArgs) -> anyhow::Result<PathBuf> {
    let folder = args.data.clone().unwrap_or_else(|| {
        let name = format!("shiftkeeper-demo-{}", SystemRandom.random_id().simple());
        std::env::temp_dir().join(name)
    });
    // Paths in the configuration are relative to its own folder.
    let folder = std::path::absolute(folder).context("the current folder cannot be found")?;
    std::fs::create_dir_all(&folder).with_context(|| format!("the folder {} cannot be created", folder.display()))?;
    let database = folder.join("shiftkeeper.db");
    anyhow::ensure!(!database.exists(), "{} is there already: name a fresh folder with --data", database.display());
    Ok(folder)
}

/// Returns the rows of the sample schedule for a centre's agents, who have numbers at the published services.
fn sample_schedule(dialect: Dialect) -> Vec<u8> {
    let last = format!("u_{AGENTS:04}");
    let rows = SCHEDULE.split_inclusive(|byte| *byte == b'\n');
    let centre_rows =
        rows.filter(|row| !row.starts_with(b"u_") || row[..row.len().min(last.len())] <= *last.as_bytes());
    match dialect {
        Dialect::Guide => centre_rows.flatten().copied().collect(),
        Dialect::Incontact => {
            let renamed = |row: &[u8]| match row.strip_prefix(b"u_") {
                Some(rest) => [b"1", rest].concat(),
                None => row.to_vec(),
            };
            centre_rows.flat_map(renamed).collect()
        }
    }
}

async fn start_simulator(args: &DemoArgs, clock: SharedClock) -> anyhow::Result<Simulator> {
    let options = SimOptions {
        schedule: Some(ScheduleFile { name: SCHEDULE_NAME.to_owned(), bytes: sample_schedule(args.dialect) }),
        seed: args.seed,
        // The special users are for `simulate`; their break and absence are not in the sample schedule.
        special_users: false,
        agents: AGENTS,
        tenants: CENTRES,
        ..SimOptions::default()
    };
    Simulator::start(options, clock).await.context("the simulator failed")
}

/// Starts a webhook receiver and returns it with the key that it accepts.
async fn start_receiver(args: &DemoArgs) -> anyhow::Result<(Receiver, String)> {
    let random = SystemRandom;
    let key = [random.bytes(), random.bytes()].concat();
    let secret = format!("whsec_{}", STANDARD.encode(key));
    let options = ReceiverOptions {
        keys: vec![secret.clone()],
        fail_every: FAIL_EVERY,
        seed: args.seed,
        ..ReceiverOptions::default()
    };
    Ok((Receiver::start(options).await.context("the webhook receiver could not be started")?, secret))
}

/// Returns the demo's configuration and its TOML: what an operator would write, with the rules enforcing.
fn configuration(
    args: &DemoArgs,
    simulator: &Simulator,
    (receiver, hook_secret): (&Receiver, String),
    folder: &std::path::Path,
) -> anyhow::Result<(LoadedConfig, String)> {
    let write_secret =
        |name: &str, secret: &str| anyhow::Ok(access::write_secret(folder, name, secret)?.display().to_string());
    let description = simulator.description();
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nmetrics = \"open\"\n\
         [clock]\nspeed = {speed}\nstart = \"{START}\"\n\
         [store]\nurl = {url:?}\n\
         [log]\nlevel = \"warn\"\n\
         [[webhooks]]\nid = \"demo\"\nurl = {hooks:?}\nsecret = {{ file = {key:?} }}\nallow = [\"{target}\"]\n",
        speed = args.speed(),
        url = format!("sqlite://{}", folder.join("shiftkeeper.db").display()),
        hooks = receiver.url(),
        target = receiver.address(),
        key = write_secret("webhook.key", &hook_secret)?,
    );
    for tenant in &description.tenants {
        let secret = write_secret(&format!("{}.secret", tenant.id), &tenant.client_secret)?;
        let _ = write!(
            text,
            "[[tenants]]\nid = {id:?}\nbase_url = {base:?}\nclient_id = {client:?}\nclient_secret = {{ file = {secret:?} }}\n\
             {keys}[tenants.automation]\nenforce = [\"all\"]\n{queues}",
            id = tenant.id.as_str(),
            base = description.base_url,
            client = tenant.client_id,
            queues = staffing::team_queues(&sample_schedule(args.dialect))?,
            keys = match args.dialect {
                Dialect::Guide => guide_keys(tenant),
                Dialect::Incontact => incontact_keys(tenant),
            },
        );
    }
    text.push_str(RULES);
    let texts = [ConfigText { file: folder.join(access::CONFIG_FILE), text: text.clone() }];
    let loaded = Config::load_texts(&texts, &Environment::default(), &[])?;
    Ok((loaded, text))
}

/// Returns the keys of a tenant of the guides' services: skills to watch, and a query of the platform.
fn guide_keys(tenant: &TenantDescription) -> String {
    format!("{}{ANALYTICS_QUERY}", skill_keys(tenant))
}

/// Returns the skills to watch, and the series of one of them.
fn skill_keys(tenant: &TenantDescription) -> String {
    let skills: Vec<String> = tenant.skills.iter().map(|skill| skill.id.to_string()).collect();
    let watched = skills.first().map_or_else(String::new, |id| {
        format!("[[tenants.series]]\nid = \"first-line\"\nof = \"skill:{id}:contacts_queued\"\n")
    });
    format!("skills = {skills:?}\n{watched}")
}

/// Returns the keys of a tenant of the published services: its dialect and the codes that stand for states.
fn incontact_keys(tenant: &TenantDescription) -> String {
    let code = |(name, state): (&str, SimState)| {
        let code = tenant.codes.iter().find(|code| code.state == state)?;
        Some(format!("{name} = {}", code.id))
    };
    let states = [("NotReady", SimState::Unavailable), ("Paused", SimState::Paused), ("Idle", SimState::Idle)];
    let codes: Vec<String> = states.into_iter().filter_map(code).collect();
    let (skills, codes) = (skill_keys(tenant), codes.join(", "));
    format!("dialect = \"incontact\"\n{skills}[tenants.incontact]\ncodes = {{ {codes} }}\n")
}

/// Imports the sample schedule, and the agents required on three days, for each tenant.
async fn import_schedules(demo: &Demo, app: &App, dialect: Dialect) -> anyhow::Result<()> {
    let importer: Importer = app.importer();
    for tenant in &demo.tenants {
        let request = ImportRequest {
            tenant: tenant.clone(),
            name: SCHEDULE_NAME.to_owned(),
            bytes: sample_schedule(dialect).into(),
            profile: None,
            move_weeks: 0,
            is_complete: false,
            hash: None,
            actor: "person:demo".to_owned(),
        };
        importer.run(request).await.context("the sample schedule could not be imported")?;
        let midnight = demo.start - Duration::from_secs(demo.start.since(UtcMicros::EPOCH).as_secs() % (24 * 3600));
        let span = (midnight, midnight + Duration::from_hours(3 * 24));
        let request = StaffingImportRequest {
            tenant: tenant.clone(),
            name: staffing::NAME.to_owned(),
            bytes: staffing::required_agents(&sample_schedule(dialect), span)?.into_bytes().into(),
            zone: None,
            actor: "person:demo".to_owned(),
        };
        importer.import_staffing(request).await.context("the required staff could not be imported")?;
    }
    Ok(())
}

fn print_next_steps(files: usize, folder: &std::path::Path, access: &DemoAccess) {
    print_message(format!(
        "{} left in {}, each with its manifest. One is recomputed with\nSHIFTKEEPER_CONFIG={} shiftkeeper report verify {}",
        count_with_noun(files, "report"),
        folder.display(),
        access.configuration.display(),
        folder.join("adherence.csv").display(),
    ));
}

fn print_introduction(
    demo: &Demo,
    folder: &std::path::Path,
    listen: std::net::SocketAddr,
    args: &DemoArgs,
    access: &DemoAccess,
) {
    let speed = args.speed();
    print_message(format!(
        "Shiftkeeper demo: {centres} of {AGENTS} simulated agents each from {start}, {speed} times real speed.\n\
         Open http://{listen}{link} to sign in, once, within the hour; later as {name} with the password {password}.\n\
         Commands take SHIFTKEEPER_CONFIG={configuration}, as in `shiftkeeper agents --tenant acme`.\n\
         Database in {folder}; http://{listen}/readyz and /metrics say how it is. Ctrl-C stops it.",
        centres = count_with_noun(demo.tenants.len(), "centre"),
        start = demo.start,
        link = access.link,
        name = access::ACCOUNT_ID,
        password = access.password,
        configuration = access.configuration.display(),
        folder = folder.display(),
    ));
    if args.dialect == Dialect::Incontact {
        print_message("This dialect has no live feed and no analytics queries: the console's pages of them are empty.");
    }
}
