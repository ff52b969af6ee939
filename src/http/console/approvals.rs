//! Approvals: what rules want and a person decides.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::ask::Ask;
use super::failure::Failure;
use super::read::{Want, read};
use super::shell::{Place, Shell, page};
use super::times::{Stamp, Times};
use super::words::{self, Chip};
use crate::domain::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::approvals;
use crate::http::auth::Right;

#[derive(Deserialize)]
struct Approval {
    transition: String,
    agent: String,
    name: Option<String>,
    team: Option<String>,
    state: Option<AgentState>,
    to: AgentState,
    reason: String,
    rule: String,
    because: String,
    asked_at: UtcMicros,
    expires_at: UtcMicros,
}

impl Approval {
    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.agent)
    }

    fn state(&self) -> Chip {
        self.state.as_ref().map_or_else(words::no_state, words::state)
    }

    fn to(&self) -> Chip {
        words::state(&self.to)
    }
}

#[derive(Deserialize)]
struct Approvals {
    approvals: Vec<Approval>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalsPage {
    shell: Shell,
    times: Times,
    approvals: Vec<Approval>,
    more: bool,
    may: bool,
}

impl ApprovalsPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }
}

/// `GET /approvals`.
pub(in crate::http) async fn list(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let want = Want { route: "/api/v1/approvals", id: None, query: &[] };
    let Approvals { approvals, next } = read(&state, &ask, want, approvals::list).await?;
    let (shell, may) = (ask.shell(Place::Approvals, "Approvals"), ask.has(Right::Change));
    Ok(page(&ApprovalsPage { shell, times: ask.times, approvals, more: next.is_some(), may }))
}
