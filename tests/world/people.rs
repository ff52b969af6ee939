//! What people do in a world beside asking for single states, through the daemon's own API: each as a task of the daemon's runtime, so
//! that a kill cuts it off like any client.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use shiftkeeper::domain::ids::{AgentId, TenantId};
use shiftkeeper::domain::time::UtcMicros;

use crate::daemon::{ApiClient, Daemon, RequestOptions, Response};
use crate::plan::Break;
use crate::simulation::START;

/// A rule that an analyst adds while the daemon runs.
const EXTRA_RULE: &str = r#"
[[rules]]
id = "extra"
when = { planned = "work", state = "Paused", for = "45s" }
then = { set_state = "Idle" }
mode = "enforce"
cooldown = "2m"
"#;

/// An answer to a request under an idempotency key.
#[derive(Clone, Debug)]
pub struct KeyedAnswer {
    pub key: u64,
    pub response: Response,
}

/// What people remember of what they did.
#[derive(Clone, Debug, Default)]
pub struct SharedHistory(Arc<Mutex<PeopleHistory>>);

#[derive(Debug, Default)]
struct PeopleHistory {
    started_set: Option<String>,
    keyed: Vec<KeyedAnswer>,
    /// How many of the longer tasks came to their end.
    completed: u64,
}

impl SharedHistory {
    pub fn keyed(&self) -> Vec<KeyedAnswer> {
        self.0.lock().expect("a lock").keyed.clone()
    }

    pub fn completed(&self) -> u64 {
        self.0.lock().expect("a lock").completed
    }

    fn record_completed(&self) {
        self.0.lock().expect("a lock").completed += 1;
    }
}

/// The people of one tenant.
#[derive(Clone, Debug)]
pub struct PersonActions {
    pub tenant: TenantId,
    pub history: SharedHistory,
}

impl PersonActions {
    pub fn request_with_key(&self, daemon: &Daemon, agent: &str, to: &'static str, key: u64) {
        let body = json!({"tenant": self.tenant, "agents": [agent], "to": to});
        let memory = self.history.clone();
        run_as_client(daemon, async move |person| {
            let key_text = format!("key-{key}");
            let with = RequestOptions { idempotency_key: Some(&key_text), ..RequestOptions::json(&body) };
            let said = person.send(Method::POST, "/api/v1/transitions", with).await;
            memory.0.lock().expect("a lock").keyed.push(KeyedAnswer { key, response: said });
        });
    }

    /// Previews a change of these agents and starts it.
    pub fn change_set(&self, daemon: &Daemon, agents: &[&AgentId], to: &'static str) {
        let body = json!({"tenant": self.tenant, "select": {"agents": agents}, "to": to});
        let people = self.clone();
        run_as_client(daemon, async move |person| {
            let preview = person.send(Method::POST, "/api/v1/change-sets", RequestOptions::json(&body)).await;
            people.start(&person, &preview).await;
        });
    }

    /// Undoes the change set that was started last.
    pub fn undo_change_set(&self, daemon: &Daemon) {
        let Some(id) = self.history.0.lock().expect("a lock").started_set.clone() else { return };
        let people = self.clone();
        run_as_client(daemon, async move |person| {
            let body = json!({"tenant": people.tenant});
            let path = format!("/api/v1/change-sets/{id}/undo");
            let preview = person.send(Method::POST, &path, RequestOptions::json(&body)).await;
            people.start(&person, &preview).await;
        });
    }

    async fn start(&self, person: &ApiClient, preview: &Response) {
        let (Some(id), Some(hash)) = (preview.body["id"].as_str(), preview.body["hash"].as_str()) else { return };
        let body = json!({"tenant": self.tenant, "hash": hash});
        let started =
            person.send(Method::POST, &format!("/api/v1/change-sets/{id}/start"), RequestOptions::json(&body)).await;
        if started.status == 202 {
            self.history.0.lock().expect("a lock").started_set = Some(id.to_owned());
            self.history.record_completed();
        }
    }

    /// Adds the extra rule, or removes it where it is there.
    pub fn edit_rule(&self, daemon: &Daemon) {
        let people = self.clone();
        run_as_client(daemon, async move |person| {
            let path = format!("/api/v1/rules/extra?tenant={}", people.tenant);
            let known = person.send(Method::GET, &path, RequestOptions::default()).await;
            let said = if known.status == 404 {
                let body = json!({"tenant": people.tenant, "text": EXTRA_RULE, "reason": "a trial"});
                let with = RequestOptions { if_match: Some("0"), ..RequestOptions::json(&body) };
                person.send(Method::PUT, "/api/v1/rules/extra", with).await
            } else {
                person.send(Method::DELETE, &format!("{path}&reason=over"), RequestOptions::default()).await
            };
            if matches!(said.status, 200 | 201) {
                people.history.record_completed();
            }
        });
    }

    /// Excuses an agent from `now` on.
    pub fn approve_exception(&self, daemon: &Daemon, agent: &str, now: UtcMicros, span: Duration) {
        let body = json!({"tenant": self.tenant, "agents": [agent], "from": now.to_string(),
            "to": (now + span).to_string(), "reason": "a fire drill"});
        let people = self.clone();
        run_as_client(daemon, async move |person| {
            let said = person.send(Method::POST, "/api/v1/exceptions", RequestOptions::json(&body)).await;
            if said.status == 201 {
                people.history.record_completed();
            }
        });
    }

    /// Imports a schedule with these breaks.
    pub fn import(&self, daemon: &Daemon, breaks: &[Break]) {
        let (people, csv) = (self.clone(), schedule(breaks));
        run_as_client(daemon, async move |person| {
            let path = format!("/api/v1/schedule-imports?tenant={}&name=schedule.csv", people.tenant);
            let with = RequestOptions {
                body: Some(Body::from(csv)),
                content_type: Some("text/csv"),
                ..RequestOptions::default()
            };
            if person.send(Method::POST, &path, with).await.status == 200 {
                people.history.record_completed();
            }
        });
    }
}

/// Has somebody do some work, where the daemon serves.
fn run_as_client<F>(daemon: &Daemon, work: impl FnOnce(ApiClient) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    if let Some(person) = daemon.api_client() {
        daemon.runtime.spawn(work(person));
    }
}

/// From when to when a break lies in a schedule file, which has whole minutes.
pub fn break_in_minutes((from, long, _): Break) -> (UtcMicros, UtcMicros) {
    let start: UtcMicros = START.parse().expect("an instant");
    let minutes = |span: Duration| Duration::from_secs(span.as_secs() / 60 * 60);
    (start + minutes(from), start + minutes(from + long + Duration::from_secs(60)))
}

/// A schedule of the world's day in the daemon's own CSV format.
pub fn schedule(breaks: &[Break]) -> String {
    let mut csv = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n".to_owned();
    for (index, planned) in breaks.iter().enumerate() {
        let who = format!("u_{:04},Agent {index},Team {},UTC", index + 1, index % 2);
        let minute = |at: UtcMicros| at.to_string().chars().take(16).collect::<String>();
        let _ = writeln!(csv, "{who},shift,2026-10-26T10:30,2026-10-26T16:30,false");
        let (from, to) = break_in_minutes(*planned);
        let _ = writeln!(csv, "{who},break,{},{},{}", minute(from), minute(to), planned.2);
    }
    csv
}

/// The ids of the transitions that an answer names.
pub fn transitions(response: &Response) -> Vec<&str> {
    let rows = response.body["transitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().filter_map(|row: &Value| row["id"].as_str()).collect()
}
