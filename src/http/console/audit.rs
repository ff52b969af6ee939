//! Audit: the chain page by page, narrowed, and a check of it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::ask::Ask;
use super::failure::Failure;
use super::read::{Want, read};
use super::shell::{Place, Shell, page};
use super::times::{Stamp, Times};
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::audit;
use crate::http::auth::Right;

/// Entries of one page.
const PAGE: &str = "50";

/// An entry as the API shows it.
#[derive(Deserialize)]
struct Entry {
    seq: u64,
    at: UtcMicros,
    actor: Option<String>,
    action: String,
    agent: Option<String>,
    agent_name: Option<String>,
    before: Option<String>,
    after: Option<String>,
    outcome: Option<String>,
    why: serde_json::Value,
    note: Option<String>,
    hash: String,
}

impl Entry {
    fn label(&self) -> &str {
        self.agent_name.as_deref().or(self.agent.as_deref()).unwrap_or_default()
    }

    /// What became what.
    fn change(&self) -> String {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (None, Some(after)) => format!("→ {after}"),
            (Some(before), None) => before.clone(),
            (None, None) => String::new(),
        }
    }

    fn facts(&self) -> String {
        if self.why.is_null() { String::new() } else { serde_json::to_string_pretty(&self.why).unwrap_or_default() }
    }
}

#[derive(Deserialize)]
struct End {
    seq: u64,
    hash: String,
}

#[derive(Deserialize)]
struct Answer {
    entries: Vec<Entry>,
    next: Option<u64>,
    last: End,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    times: Times,
    entries: Vec<Entry>,
    last: End,
    action: String,
    agent: String,
    older: Option<String>,
    export: String,
}

impl AuditPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }
}

/// `GET /audit?action=&agent=&cursor=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Audit)?;
    let value = |key: &str| ask.value(key).unwrap_or_default().to_owned();
    let (action, agent, cursor) = (value("action"), value("agent"), value("cursor"));
    let narrowed = [("action", action.as_str()), ("agent", agent.as_str())];
    let query = [narrowed[0], narrowed[1], ("cursor", cursor.as_str()), ("limit", PAGE)];
    let want = Want { route: "/api/v1/audit", id: None, query: &query };
    let Answer { entries, next, last } = read(&state, &ask, want, audit::list).await?;
    let shell = ask.shell(Place::Audit, "Audit");
    let older = next.map(|next| {
        let start = shell.to("/audit") + "&";
        let mut pairs = url::form_urlencoded::Serializer::for_suffix(start.clone(), start.len());
        pairs.extend_pairs(narrowed.iter().filter(|(_, value)| !value.is_empty()));
        pairs.append_pair("cursor", &next.to_string()).finish()
    });
    let export = shell.to("/api/v1/audit/export");
    Ok(page(&AuditPage { shell, times: ask.times, entries, last, action, agent, older, export }))
}
