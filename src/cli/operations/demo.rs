//! `shiftkeeper demo`: two simulated contact centres and the daemon beside them, on this machine's own address.
//!
//! Both sides speak real HTTP with each other; the summary's platform figures are the simulator's own count.

mod reports;
mod status;
mod summary;
mod visitor;

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

use self::visitor::Visitor;
use super::log;
use crate::app::{App, Importer, Surroundings};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::output::{Output, print, print_json};
use crate::cli::shared::talk::say;
use crate::clock::{Random as _, RealTime, SharedClock, Stopwatch, SystemClock, SystemRandom};
use crate::config::{Config, ConfigText, Environment, Loaded};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::domain::time::span;
use crate::domain::words::count;
use crate::engine::operations::supervisor::Ended;
use crate::http::WantedImport;
use crate::sim::{Receiver, ReceiverOptions, ScheduleFile, SimOptions, Simulator};

/// Where simulated time starts: a Monday on which breaks, lunches and shift changes of five time zones fall together.
const START: &str = "2026-10-26T13:30:00Z";

/// The sample schedule; its days hold the start.
const SCHEDULE: &[u8] = include_bytes!("../../../config/samples/schedule-300.csv");
const SCHEDULE_NAME: &str = "schedule-300.csv";

/// Centres, the same agents in each: what of one showed with the other would be seen.
const CENTRES: usize = 2;

/// Agents of each centre: the first of the sample schedule.
const AGENTS: usize = 150;

/// The rules that ship, all of them enforced here.
const RULES: &str = include_str!("../../../config/rules.toml");

/// A query of the platform's analytics for each centre: what a quarter of a year brought, asked anew each simulated hour.
const QUERY: &str = r#"
[[tenants.analytics]]
id = "calls"
metrics = ["sum count", "avg duration"]
dimensions = ["channel"]
bucket = "DAY"
last = 90
cron = "40 * * * *"
"#;

/// The demo's webhook receiver fails the first try of one delivery in so many.
const FAIL_EVERY: u64 = 20;

/// How often the status lines are drawn, in real time.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Starts two simulated contact centres, 300 agents together, and the daemon on this machine, faster than real time, and shows
/// how it keeps them in adherence. Ctrl-C stops it and prints a summary.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper demo
  shiftkeeper demo --speed 60
  shiftkeeper demo --for 60s --output json")]
pub struct DemoArgs {
    /// Stop after this long, as in 60s or 5m.
    #[arg(long = "for", value_name = "SPAN", value_parser = span::parse)]
    for_: Option<Duration>,
    /// How to print the summary.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    /// How many times faster than real time; 20 by default, at which a person can read along, and 60 with --for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=600))]
    speed: Option<u32>,
    /// Decides the agents' lives.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The folder for the database; a new one without it.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl DemoArgs {
    fn speed(&self) -> u32 {
        self.speed.unwrap_or(if self.for_.is_some() { 60 } else { 20 })
    }
}

/// A demo that runs.
struct Demo {
    clock: SharedClock,
    tenants: Vec<TenantId>,
    start: UtcMicros,
    store_url: String,
    simulator: Simulator,
    receiver: Receiver,
}

/// Runs it until the time is over or somebody stops it.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let watch = Stopwatch::start();
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be listened to")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be listened to")?;
    let start: UtcMicros = START.parse().context("the demo's start")?;
    let clock: SharedClock = Arc::new(SystemClock::scaled(Some(start), args.speed()));
    let folder = folder(&args)?;
    let simulator = start_simulator(&args, clock.clone()).await?;
    let (receiver, hook_secret) = start_receiver(&args).await?;
    let (loaded, text) = configuration(&args, &simulator, (&receiver, hook_secret), &folder)?;
    let soft = CancellationToken::new();
    let log = log::start(loaded.config.log).log;
    let surroundings = Surroundings { log: Some(log), ..Surroundings::system(clock.clone()) };
    let app = App::start_in(surroundings, loaded.config.clone(), soft.clone()).await?;
    let tenants = loaded.config.tenants.iter().map(|tenant| tenant.id.clone()).collect();
    let store_url = loaded.config.store.connection_url().expose().to_owned();
    let demo = Demo { clock, tenants, start, store_url, simulator, receiver };
    import(&demo, &app).await?;
    let visitor = visitor::admit(&app, &folder, &text, app.listen).await?;
    introduce(&demo, &folder, app.listen, args.speed(), &visitor);
    let mut lines = status::StatusLines::open(&demo, app.status(), args.output).await?;
    let daemon = app.run();
    tokio::pin!(daemon);
    let limit = RealTime::sleep(args.for_.unwrap_or(Duration::MAX));
    tokio::pin!(limit);
    let stop = || {
        if !soft.is_cancelled() {
            say("stopping: finishing what is running, then writing the summary and the reports");
            soft.cancel();
        }
    };
    let ended = loop {
        tokio::select! {
            ended = &mut daemon => break ended,
            () = &mut limit, if !soft.is_cancelled() => stop(),
            _ = interrupt.recv() => stop(),
            _ = terminate.recv() => stop(),
            () = RealTime::sleep(STATUS_EVERY), if !soft.is_cancelled() => lines.draw(&demo).await?,
        }
    };
    let last = lines.close().await;
    if let Ended::TaskFailed(task) = ended {
        say(format!("error: {task} failed for good"));
        return Ok(Exit::Failed.into());
    }
    let summary = summary::collect(&demo, last, watch.elapsed()).await?;
    let files = reports::leave(&demo, &folder.join("reports")).await?;
    demo.simulator.stop().await;
    demo.receiver.stop().await;
    match args.output {
        Output::Json => print_json(&summary)?,
        Output::Table => print(summary.to_string())?,
    }
    say_what_is_left(files, &folder.join("reports"), &visitor);
    Ok(if summary.audit.verified { Exit::Done } else { Exit::Problems }.into())
}

fn folder(args: &DemoArgs) -> anyhow::Result<PathBuf> {
    let folder = args.data.clone().unwrap_or_else(|| {
        let name = format!("shiftkeeper-demo-{}", SystemRandom.opaque_id().simple());
        std::env::temp_dir().join(name)
    });
    std::fs::create_dir_all(&folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let database = folder.join("shiftkeeper.db");
    anyhow::ensure!(!database.exists(), "{} is there already: name a fresh folder with --data", database.display());
    Ok(folder)
}

/// The rows of the sample schedule that are about a centre's agents.
fn schedule() -> Vec<u8> {
    let last = format!("u_{AGENTS:04}");
    let rows = SCHEDULE.split_inclusive(|byte| *byte == b'\n');
    let kept = rows.filter(|row| !row.starts_with(b"u_") || row[..row.len().min(last.len())] <= *last.as_bytes());
    kept.flatten().copied().collect()
}

async fn start_simulator(args: &DemoArgs, clock: SharedClock) -> anyhow::Result<Simulator> {
    let options = SimOptions {
        schedule: Some(ScheduleFile { name: SCHEDULE_NAME.to_owned(), bytes: schedule() }),
        seed: args.seed,
        // Their break and their absence are not in the sample schedule: they are for `simulate`.
        special_users: false,
        agents: AGENTS,
        tenants: CENTRES,
        ..SimOptions::default()
    };
    Simulator::start(options, clock).await.context("the simulator")
}

/// A receiver for webhooks, and the key that it believes.
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
    Ok((Receiver::start(options).await.context("the webhook receiver")?, secret))
}

/// The configuration of the demo, with its TOML: what an operator would write, with the rules enforced.
fn configuration(
    args: &DemoArgs,
    simulator: &Simulator,
    (receiver, hook_secret): (&Receiver, String),
    folder: &std::path::Path,
) -> anyhow::Result<(Loaded, String)> {
    let keep = |name: &str, secret: &str| anyhow::Ok(visitor::keep(folder, name, secret)?.display().to_string());
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
        key = keep("webhook.key", &hook_secret)?,
    );
    for tenant in &description.tenants {
        let skills: Vec<String> = tenant.skills.iter().map(|skill| skill.id.to_string()).collect();
        let watched = skills.first().map_or_else(String::new, |id| {
            format!("[[tenants.series]]\nid = \"first-line\"\nof = \"skill:{id}:contacts_queued\"\n")
        });
        let _ = write!(
            text,
            "[[tenants]]\nid = {id:?}\nbase_url = {base:?}\nclient_id = {client:?}\nclient_secret = {{ file = {secret:?} }}\n\
             skills = {skills:?}\n\
             [tenants.automation]\nenforce = [\"all\"]\n{watched}{QUERY}",
            id = tenant.id.as_str(),
            base = description.base_url,
            client = tenant.client_id,
            secret = keep(&format!("{}.secret", tenant.id), &tenant.client_secret)?,
        );
    }
    text.push_str(RULES);
    let texts = [ConfigText { file: folder.join(visitor::CONFIGURATION), text: text.clone() }];
    let loaded = Config::load_texts(&texts, &Environment::default(), &[])?;
    Ok((loaded, text))
}

/// Each tenant has the sample schedule.
async fn import(demo: &Demo, app: &App) -> anyhow::Result<()> {
    let importer: Importer = app.importer();
    for tenant in &demo.tenants {
        let wanted = WantedImport {
            tenant: tenant.clone(),
            name: SCHEDULE_NAME.to_owned(),
            bytes: schedule().into(),
            move_weeks: 0,
            whole: false,
            actor: "person:demo".to_owned(),
        };
        importer.run(wanted).await.context("the sample schedule")?;
    }
    Ok(())
}

fn say_what_is_left(files: usize, folder: &std::path::Path, visitor: &Visitor) {
    say(format!(
        "{} left in {}, each with its manifest. One is recomputed with\nSHIFTKEEPER_CONFIG={} shiftkeeper report verify {}",
        count(files, "report"),
        folder.display(),
        visitor.configuration.display(),
        folder.join("adherence.csv").display(),
    ));
}

fn introduce(demo: &Demo, folder: &std::path::Path, listen: std::net::SocketAddr, speed: u32, visitor: &Visitor) {
    say(format!(
        "Shiftkeeper demo: {centres} of {AGENTS} simulated agents each from {start}, {speed} times real speed.\n\
         Open http://{listen}{link} to sign in, once, within the hour; later as {name} with the password {password}.\n\
         Commands take SHIFTKEEPER_CONFIG={configuration}, as in `shiftkeeper agents --tenant acme`.\n\
         Database in {folder}; http://{listen}/readyz and /metrics say how it is. Ctrl-C stops it.",
        centres = count(demo.tenants.len(), "centre"),
        start = demo.start,
        link = visitor.link,
        name = visitor::NAME,
        password = visitor.password,
        configuration = visitor.configuration.display(),
        folder = folder.display(),
    ));
}
