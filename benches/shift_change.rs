//! The shift change of 500 agents under 100 requests a minute, judged by the simulator's log (design: numbers to meet).
//!
//! Four runs. In the first a person changes all of them at once: how long until the last POST, how many 429, none lost. In the
//! second the rules do it, and nobody asks for anything: how many have left when. In the third the rules do it, and a person's
//! change comes in the middle: how long until it leaves. The fourth is the first on the published services. The clock runs
//! `SHIFTKEEPER_BENCH_SPEED` times as fast as real time, 20 without it; the window of the budget scales with it, the network's
//! latency does not.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::ToSpan as _;
use shiftkeeper::app::App;
use shiftkeeper::clock::{RealTime, SharedClock, SystemClock};
use shiftkeeper::config::{Config, ConfigText, Environment};
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::ids::{AgentId, TenantId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::engine::changes::request::ChangeRequest;
use shiftkeeper::http::ImportRequest;
use shiftkeeper::sim::{ScheduleFile, SimOptions, Simulator};
use tokio_util::sync::CancellationToken;

const AGENTS: usize = 500;
const SECRET: &str = "SHIFTKEEPER_BENCH_SECRET";

/// The whole roster is ready and has to leave it at once.
const RULE: &str = r#"
[[rules]]
id = "all-hands"
when = { planned = "work", state = "Ready" }
then = { set_state = "NotReady", reason = "BREAK" }
mode = "enforce"
"#;

/// The keys of a tenant on the published services.
const PUBLISHED: &str = r#"
dialect = "incontact"
[tenants.incontact]
roster = false
codes = { NotReady = 11, Paused = 12, Idle = 13 }
"#;

struct Bench {
    clock: SharedClock,
    simulator: Simulator,
    tenant: TenantId,
    app: App,
    soft: CancellationToken,
    _folder: tempfile::TempDir,
}

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` asks every bench to show that it starts.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let speed = speed();
        println!("shift change of {AGENTS} agents, 100 requests/min, clock at {speed} times real time");
        by_a_person(speed, "").await?;
        by_rules(speed).await?;
        by_rules_with_an_urgent_change(speed).await?;
        println!("the same by a person on the published services, whose polls count in the budget");
        by_a_person(speed, PUBLISHED).await
    })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's own switch, no setting of the product")]
fn speed() -> u32 {
    std::env::var("SHIFTKEEPER_BENCH_SPEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

async fn by_a_person(speed: u32, tenant_keys: &str) -> anyhow::Result<()> {
    let bench = start(speed, tenant_keys, "").await?;
    let (door, tenant) = (bench.app.importer().keeper_client, bench.tenant.clone());
    let daemon = run(bench.app);
    // The subscription that a start makes is a call of the first window: this is the daemon of every day.
    bench.clock.sleep(Duration::from_secs(65)).await;
    let asked_at = bench.clock.now();
    door.request_changes(&tenant, request(agents())).await.context("the request")?;
    let posts = wait_for(&bench.clock, &bench.simulator, &tenant, AGENTS as u64).await?;
    let last = posts.iter().map(|(at, _)| *at).max().context("a POST")?;
    let counts = bench.simulator.counts(&tenant);
    let took = last.since(asked_at).as_secs_f64();
    // Every other call that counts leaves that much less for changes.
    let others = bench.simulator.log(0, usize::MAX).requests.into_iter().filter(|call| {
        call.at >= asked_at
            && call.at <= last
            && call.path.starts_with("/incontactapi/")
            && !call.path.ends_with("/state")
    });
    let calls = counts.state_posts + u64::try_from(others.count())?;
    // A minute's calls leave at its beginning.
    let limit = (calls - 1) / 100 * 60;
    println!(
        "  by a person: {took:.1} s to the last POST (the {calls} calls that count leave {limit} s at least; of 255 s to \
         meet without polls); {} POSTs, {} applied, {} answers 429",
        counts.state_posts, counts.applied_changes, counts.throttled
    );
    stop(bench.soft, daemon, bench.simulator).await
}

async fn by_rules(speed: u32) -> anyhow::Result<()> {
    let bench = start(speed, "", RULE).await?;
    let daemon = run(bench.app);
    let posts = wait_for(&bench.clock, &bench.simulator, &bench.tenant, AGENTS as u64).await?;
    let mut left: Vec<UtcMicros> = posts.iter().map(|(at, _)| *at).collect();
    left.sort_unstable();
    let first = *left.first().context("a POST")?;
    let left_by = |seconds| left.partition_point(|at| at.since(first) <= Duration::from_secs(seconds));
    println!(
        "  by rules, and nobody asks: {} of {AGENTS} POSTs within 240 s, {} within 255 s, the last after {:.1} s (limit 298 s); \
         {} answers 429",
        left_by(240),
        left_by(255),
        left.last().context("a POST")?.since(first).as_secs_f64(),
        bench.simulator.counts(&bench.tenant).throttled
    );
    stop(bench.soft, daemon, bench.simulator).await
}

async fn by_rules_with_an_urgent_change(speed: u32) -> anyhow::Result<()> {
    let bench = start(speed, "", RULE).await?;
    let (door, tenant) = (bench.app.importer().keeper_client, bench.tenant.clone());
    let urgent: AgentId = agents().pop().context("an agent")?;
    let daemon = run(bench.app);
    wait_for(&bench.clock, &bench.simulator, &tenant, 90).await?;
    bench.clock.sleep(Duration::from_secs(20)).await;
    let asked_at = bench.clock.now();
    let mut wanted = request(vec![urgent.clone()]);
    wanted.target = AgentState::Idle;
    door.request_changes(&tenant, wanted).await.context("the urgent request")?;
    let posts = wait_for(&bench.clock, &bench.simulator, &tenant, AGENTS as u64).await?;
    let first = posts.iter().map(|(at, _)| *at).min().context("a POST")?;
    let last = posts.iter().map(|(at, _)| *at).max().context("a POST")?;
    let left = posts.iter().find(|(at, agent)| *agent == urgent && *at >= asked_at).context("the urgent POST")?.0;
    let counts = bench.simulator.counts(&tenant);
    println!(
        "  by rules: {:.1} s from first to last POST with 2 slots kept free for what is urgent; the urgent change left after \
         {:.2} s (to meet 2 s); {} answers 429",
        last.since(first).as_secs_f64(),
        left.since(asked_at).as_secs_f64(),
        counts.throttled
    );
    stop(bench.soft, daemon, bench.simulator).await
}

fn run(app: App) -> tokio::task::JoinSet<()> {
    let mut daemon = tokio::task::JoinSet::new();
    daemon.spawn(async move {
        app.run().await;
    });
    daemon
}

async fn start(speed: u32, tenant_keys: &str, rules: &str) -> anyhow::Result<Bench> {
    let begin: UtcMicros = "2026-10-26T08:00:00Z".parse()?;
    let clock: SharedClock = Arc::new(SystemClock::scaled(Some(begin), speed));
    let shifts = schedule(begin)?;
    let file = ScheduleFile { name: "bench.csv".to_owned(), bytes: shifts.clone().into_bytes() };
    let options = SimOptions {
        agents: AGENTS,
        schedule: Some(file),
        autonomous_agents: false,
        special_users: false,
        ..SimOptions::default()
    };
    let simulator = Simulator::start(options, clock.clone()).await?;
    let folder = tempfile::tempdir()?;
    let description = simulator.description();
    let made = description.tenants.first().context("a tenant")?;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[clock]\nspeed = {speed}\n[store]\nurl = {:?}\n\
         [[tenants]]\nid = {:?}\nbase_url = {:?}\nclient_id = {:?}\nclient_secret = {{ env = \"{SECRET}\" }}\n{tenant_keys}\n{rules}",
        format!("sqlite://{}", folder.path().join("bench.db").display()),
        made.id.as_str(),
        description.base_url,
        made.client_id,
    );
    let environment: Environment = [(SECRET.to_owned(), made.client_secret.clone())].into_iter().collect();
    let loaded = Config::load_texts(&[ConfigText { file: "bench.toml".into(), text }], &environment, &[])?;
    let soft = CancellationToken::new();
    let app = App::start(loaded.config, clock.clone(), soft.clone()).await?;
    let tenant = TenantId::new(made.id.as_str());
    let wanted = ImportRequest {
        tenant: tenant.clone(),
        name: "bench.csv".to_owned(),
        bytes: shifts.into_bytes().into(),
        profile: None,
        move_weeks: 0,
        is_complete: false,
        hash: None,
        actor: "person:bench".to_owned(),
    };
    app.importer().run(wanted).await?;
    Ok(Bench { clock, simulator, tenant, app, soft, _folder: folder })
}

fn agents() -> Vec<AgentId> {
    (1..=AGENTS).map(|n| AgentId::new(format!("u_{n:04}"))).collect()
}

/// Everybody works from an hour ago on.
fn schedule(now: UtcMicros) -> anyhow::Result<String> {
    use std::fmt::Write as _;
    let local = now.timestamp().to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let (start, end) = (local.checked_sub(1.hour())?, local.checked_add(8.hours())?);
    let mut text = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n".to_owned();
    for n in 1..=AGENTS {
        let (start, end) = (start.strftime("%Y-%m-%dT%H:%M"), end.strftime("%Y-%m-%dT%H:%M"));
        writeln!(text, "u_{n:04},Agent {n},Team {},UTC,shift,{start},{end},false", n % 12)?;
    }
    Ok(text)
}

fn request(agents: Vec<AgentId>) -> ChangeRequest {
    ChangeRequest {
        agents,
        target: AgentState::Paused,
        reason: None,
        even_if_in_state: false,
        on_contact: None,
        deadline: Some(Duration::from_secs(3600)),
        note: None,
        actor: "bench".into(),
        idempotency: None,
    }
}

/// State POSTs as the simulator saw them arrive, once there are so many; at most 15 simulated minutes from now.
async fn wait_for(
    clock: &SharedClock,
    simulator: &Simulator,
    tenant: &TenantId,
    wanted: u64,
) -> anyhow::Result<Vec<(UtcMicros, AgentId)>> {
    let limit = clock.now() + Duration::from_secs(900);
    while simulator.counts(tenant).state_posts < wanted {
        ensure!(clock.now() < limit, "only {} POSTs came", simulator.counts(tenant).state_posts);
        RealTime::sleep(Duration::from_millis(10)).await;
    }
    let page = simulator.log(0, usize::MAX);
    let posts = page.requests.iter().filter(|request| request.method == "POST" && request.path.ends_with("/state"));
    Ok(posts.filter_map(|request| Some((request.at, request.agent.clone()?))).collect())
}

async fn stop(
    soft: CancellationToken,
    mut daemon: tokio::task::JoinSet<()>,
    simulator: Simulator,
) -> anyhow::Result<()> {
    soft.cancel();
    while daemon.join_next().await.is_some() {}
    simulator.stop().await;
    Ok(())
}
