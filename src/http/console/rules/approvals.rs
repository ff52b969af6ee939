//! The approvals page: changes that rules propose and people approve or deny.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::domain::agents::state::AgentState;
use crate::domain::schedules::offer::OfferStatus;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::http::api::rules::approvals;
use crate::http::api::schedules::offers::{self, OffersResponse};
use crate::http::auth::Right;
use crate::http::console::changes;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::console::shared::wording::{self, Chip};
use crate::http::state::ApiState;

/// The number of decisions per page.
const DECISIONS_PER_PAGE: &str = "20";

/// A change that waits for approval, as the API returns it.
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
        self.state.as_ref().map_or_else(wording::no_state, wording::state)
    }

    pub(in crate::http::console) fn to(&self) -> Chip {
        wording::state(&self.to)
    }
}

#[derive(Deserialize)]
struct ApprovalList {
    approvals: Vec<Approval>,
    next: Option<String>,
}

/// A decision, as the API returns it.
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

/// Returns the label of a state, by its name in messages.
fn state_text(name: &str) -> String {
    AgentState::from_name(name).map_or_else(|| name.to_owned(), |state| wording::state_label(&state))
}

/// Returns the class and the text of a change's status.
fn status_text(name: &str) -> (&'static str, String) {
    changes::transition_label(name)
}

#[derive(Deserialize)]
struct DecisionList {
    decisions: Vec<Decision>,
    next: Option<u64>,
}

#[derive(Template)]
#[template(path = "rules/approvals.html")]
struct ApprovalsPage {
    shell: Shell,
    /// How many offers that rules proposed wait, in words; `None` if none does.
    offers: Option<String>,
    approvals: Vec<Approval>,
    more: bool,
    may: bool,
    decisions: Vec<Decision>,
    /// The address of the page with earlier decisions.
    older: Option<String>,
    /// Whether this is not the page with the newest decisions.
    is_further: bool,
}

/// Loads the approvals that wait for one agent.
pub(in crate::http::console) async fn load_for_agent(
    state: &ApiState,
    request: &PageRequest,
    agent: &str,
) -> Result<Vec<Approval>, PageError> {
    let ApprovalList { approvals, .. } =
        request.api("/api/v1/approvals").query(&[("agent", agent)]).call(state, approvals::list).await?;
    Ok(approvals)
}

/// `GET /approvals?decided=`: what waits, and what was decided before an entry of the audit log.
pub(in crate::http) async fn list(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let ApprovalList { approvals, next: more } = request.api("/api/v1/approvals").call(&state, approvals::list).await?;
    let query = [("limit", "100")];
    let OffersResponse { offers, .. } =
        request.api("/api/v1/schedule-offers").query(&query).call(&state, offers::list).await?;
    let waiting = offers.iter().filter(|offer| offer.status == OfferStatus::Proposed.name()).count();
    let offers = (waiting > 0).then(|| count_with_noun(waiting, "offer"));
    let cursor = request.value("decided").unwrap_or_default();
    let query = [("cursor", cursor), ("limit", DECISIONS_PER_PAGE)];
    let DecisionList { decisions, next } =
        request.api("/api/v1/approvals/decided").query(&query).call(&state, approvals::decisions).await?;
    let is_further = !cursor.is_empty();
    let (shell, may) = (request.shell(ConsolePage::Approvals, "Approvals"), request.has_right(Right::Change));
    let older = next.map(|next| format!("{}&decided={next}#decided", shell.to(ConsolePage::Approvals.path())));
    let more = more.is_some();
    Ok(render_page(&ApprovalsPage { shell, offers, approvals, more, may, decisions, older, is_further }))
}
