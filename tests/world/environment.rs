//! What is there before the daemon is: the platform, the receiver of webhooks, the folder and the configuration.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use shiftkeeper::clock::Clock as _;
use shiftkeeper::sim::{ScheduleFile, SimOptions, Simulator};
use tempfile::TempDir;

use crate::daemon::{HOOK_KEY, OPERATOR, Slot, config_text};
use crate::host::Host;
use crate::network::{Network, Route};
use crate::people::schedule;
use crate::plan::{Plan, ReceiverMode};
use crate::runtime::SteppedRuntime;
use crate::simulation::REQUEST_TIMEOUT;

/// Rules that act on minutes, so that a short world sees them act.
const RULES: &str = r#"
[[rules]]
id = "break-due"
when = { planned = "break", mandatory = true, break = "due" }
unless = { on_contact = true }
then = { set_state = "NotReady", reason = "BREAK" }
mode = "enforce"
priority = "mandatory_break"
cooldown = "1m"

[[rules]]
id = "start-of-break"
when = { planned = "break", mandatory = false, state = "Ready", planned_for = "30s" }
then = { set_state = "NotReady", reason = "BREAK" }
mode = "enforce"

[[rules]]
id = "back"
when = { planned = "work", state = ["NotReady", "Paused", "Idle"], for = "90s" }
then = { set_state = "Ready" }
mode = "enforce"
cooldown = "1m"
"#;

pub fn folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

pub fn simulator(others: &SteppedRuntime, plan: &Plan, clock: &Host) -> Simulator {
    let options = SimOptions {
        agents: plan.agents,
        schedule: Some(ScheduleFile { name: "schedule.csv".to_owned(), bytes: schedule(&plan.breaks).into_bytes() }),
        seed: plan.seed,
        requests_per_minute: plan.requests_per_minute,
        skills: 2,
        token_lifetime: plan.token_lifetime,
        reversal_share: 0.1,
        special_users: false,
        ..SimOptions::default()
    };
    let (slot, clock) = (Slot::<Simulator>::default(), clock.clone());
    let started = Arc::clone(&slot);
    others.spawn(async move {
        let simulator = Simulator::start(options, Arc::new(clock)).await.expect("a simulator");
        *started.lock().expect("a lock") = Some(simulator);
    });
    others.step(Duration::ZERO);
    let simulator = slot.lock().expect("a lock").take();
    simulator.expect("it starts at once")
}

pub fn serve_platform(others: &SteppedRuntime, network: &Network, sim: &Simulator) {
    let (mut arrivals, port) = (network.arrivals(Route::Platform), sim.virtual_port());
    others.spawn(async move {
        while let Some(end) = arrivals.recv().await {
            #[expect(clippy::disallowed_methods, reason = "a server of the world's own")]
            tokio::spawn(port.serve(Box::new(end)));
        }
    });
}

/// A delivery as the receiver saw it.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "part of the trace, by its `Debug`")]
pub struct ReceivedDelivery {
    pub at: Duration,
    pub id: String,
    pub agent: Option<String>,
    pub sequence: Option<u64>,
    pub accepted: bool,
    pub answered: bool,
}

/// What the receiver does, and what it saw.
#[derive(Debug)]
pub struct ReceiverState {
    pub mode: ReceiverMode,
    pub deliveries: Vec<ReceivedDelivery>,
}

/// Starts the receiver of webhooks, which accepts everything until its mode is changed.
pub fn serve_receiver(runtime: &SteppedRuntime, network: &Network, clock: &Host) -> Arc<Mutex<ReceiverState>> {
    let inbox = Arc::new(Mutex::new(ReceiverState { mode: ReceiverMode::Accept, deliveries: Vec::new() }));
    let (mut arrivals, state, clock) = (network.arrivals(Route::Receiver), Arc::clone(&inbox), clock.clone());
    runtime.spawn(async move {
        while let Some(end) = arrivals.recv().await {
            let (state, clock) = (Arc::clone(&state), clock.clone());
            let service = service_fn(move |request| answer_delivery(request, Arc::clone(&state), clock.clone()));
            #[expect(clippy::disallowed_methods, reason = "a server of the world's own")]
            tokio::spawn(async move {
                // The recorded deliveries show how it ended.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(end), service).await;
            });
        }
    });
    inbox
}

async fn answer_delivery(
    request: hyper::Request<hyper::body::Incoming>,
    inbox: Arc<Mutex<ReceiverState>>,
    clock: Host,
) -> Result<hyper::Response<Full<Bytes>>, std::io::Error> {
    let id = request.headers().get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let event: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let conduct = inbox.lock().expect("a lock").mode;
    let (taken, answered) = match conduct {
        ReceiverMode::Accept => (true, true),
        ReceiverMode::Refuse(_) => (false, true),
        ReceiverMode::Silent | ReceiverMode::Disconnect => (true, false),
    };
    let receipt = ReceivedDelivery {
        at: clock.steady().expect("always told"),
        id,
        agent: event["data"]["userId"].as_str().map(str::to_owned),
        sequence: event["data"]["sequence"].as_u64(),
        accepted: taken,
        answered,
    };
    inbox.lock().expect("a lock").deliveries.push(receipt);
    match conduct {
        ReceiverMode::Accept => Ok(answer(204)),
        ReceiverMode::Refuse(status) => Ok(answer(status)),
        ReceiverMode::Disconnect => Err(std::io::ErrorKind::ConnectionReset.into()),
        ReceiverMode::Silent => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

fn answer(status: u16) -> hyper::Response<Full<Bytes>> {
    hyper::Response::builder().status(status).body(Full::default()).expect("an answer")
}

pub fn configuration(
    plan: &Plan,
    sim: &Simulator,
    folder: &TempDir,
) -> (Vec<shiftkeeper::config::ConfigText>, Vec<(String, String)>) {
    let description = sim.description();
    let tenant = &description.tenants[0];
    let skills: Vec<String> = tenant.skills.iter().map(|skill| skill.id.to_string()).collect();
    let main = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[[server.tokens]]
id = "operator"
token = {{ env = "OPERATOR" }}
may = ["read", "change", "import", "edit_schedules", "excuse", "edit_rules", "audit"]
[store]
url = "sqlite://{database}"
[log]
level = "error"
# Reports are written by a thread of their own, which the world does not hold still.
[[jobs]]
id = "report"
enabled = false
[[webhooks]]
id = "receiver"
url = "http://127.0.0.1:9/hook"
secret = {{ env = "HOOK" }}
allow = ["127.0.0.1:9"]
[[tenants]]
id = "{id}"
base_url = "{base}"
client_id = "{client}"
client_secret = {{ env = "SECRET" }}
request_timeout = "{timeout}ms"
requests_per_minute = {budget}
urgent_reserve = 1
agents = {agents}
skills = {skills}
[tenants.feed]
enabled = {feed}
[tenants.automation]
max_changes_per_agent_hour = 30
leave_alone = "3m"
"#,
        database = folder.path().join("world.db").display(),
        id = tenant.id,
        base = description.base_url,
        client = tenant.client_id,
        timeout = REQUEST_TIMEOUT.as_millis(),
        budget = plan.requests_per_minute,
        agents = json!(tenant.agents),
        skills = json!(skills),
        feed = plan.feed,
    );
    let environment = vec![
        ("OPERATOR".to_owned(), OPERATOR.to_owned()),
        ("HOOK".to_owned(), HOOK_KEY.to_owned()),
        ("SECRET".to_owned(), tenant.client_secret.clone()),
    ];
    (vec![config_text("world.toml", main), config_text("rules.toml", RULES.to_owned())], environment)
}
