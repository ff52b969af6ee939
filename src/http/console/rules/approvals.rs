//! Approvals: what rules want and a person decides.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::rules::approvals;
use crate::http::auth::Right;
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::read::{Want, read};
use crate::http::console::shared::shell::{Place, Shell, page};
use crate::http::console::shared::times::{Stamp, Times};
use crate::http::console::shared::words::{self, Chip};

/// Decisions of one page.
const DECISIONS: &str = "20";

/// A change that waits for a person, as the API shows it.
#[derive(Deserialize)]
pub(in crate::http::console) struct Approval {
    pub(in crate::http::console) transition: String,
    agent: String,
    name: Option<String>,
    team: Option<String>,
    state: Option<AgentState>,
    to: AgentState,
    pub(in crate::http::console) reason: String,
    pub(in crate::http::console) rule: String,
    pub(in crate::http::console) because: String,
    pub(in crate::http::console) asked_at: UtcMicros,
    pub(in crate::http::console) expires_at: UtcMicros,
}

impl Approval {
    pub(in crate::http::console) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.agent)
    }

    pub(in crate::http::console) fn state(&self) -> Chip {
        self.state.as_ref().map_or_else(words::no_state, words::state)
    }

    pub(in crate::http::console) fn to(&self) -> Chip {
        words::state(&self.to)
    }
}

#[derive(Deserialize)]
struct Approvals {
    approvals: Vec<Approval>,
    next: Option<String>,
}

/// What was decided, as the API shows it.
#[derive(Deserialize)]
struct Decision {
    seq: u64,
    at: UtcMicros,
    by: String,
    approved: bool,
    note: Option<String>,
    agent: Option<String>,
    name: Option<String>,
    rule: Option<String>,
    because: Option<String>,
    to: Option<String>,
    status: Option<String>,
}

impl Decision {
    fn label(&self) -> &str {
        self.name.as_deref().or(self.agent.as_deref()).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Decisions {
    decisions: Vec<Decision>,
    next: Option<u64>,
}

#[derive(Template)]
#[template(path = "rules/approvals.html")]
struct ApprovalsPage {
    shell: Shell,
    times: Times,
    approvals: Vec<Approval>,
    more: bool,
    may: bool,
    decisions: Vec<Decision>,
    /// The address of the decisions before these.
    older: Option<String>,
    /// These are not the newest decisions.
    is_further: bool,
}

impl ApprovalsPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }
}

/// What waits for a decision about one agent.
pub(in crate::http::console) async fn of_agent(
    state: &ApiState,
    ask: &Ask,
    agent: &str,
) -> Result<Vec<Approval>, Failure> {
    let want = Want { route: "/api/v1/approvals", id: None, query: &[("agent", agent)] };
    let Approvals { approvals, .. } = read(state, ask, want, approvals::list).await?;
    Ok(approvals)
}

/// `GET /approvals?decided=`: what waits, and what was decided before an entry of the chain.
pub(in crate::http) async fn list(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let want = Want { route: "/api/v1/approvals", id: None, query: &[] };
    let Approvals { approvals, next: more } = read(&state, &ask, want, approvals::list).await?;
    let cursor = ask.value("decided").unwrap_or_default();
    let query = [("cursor", cursor), ("limit", DECISIONS)];
    let want = Want { route: "/api/v1/approvals/decided", id: None, query: &query };
    let Decisions { decisions, next } = read(&state, &ask, want, approvals::decided).await?;
    let is_further = !cursor.is_empty();
    let (shell, may) = (ask.shell(Place::Approvals, "Approvals"), ask.has(Right::Change));
    let older = next.map(|next| format!("{}&decided={next}#decided", shell.to(Place::Approvals.path())));
    let more = more.is_some();
    Ok(page(&ApprovalsPage { shell, times: ask.times, approvals, more, may, decisions, older, is_further }))
}
