//! Lists of changes of agent states: of one agent, and of one rule.

use serde::Deserialize;

use crate::domain::changes::transition::{Transition, TransitionStatus};
use crate::http::api::changes::transitions;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::wording;
use crate::http::state::ApiState;

/// The number of changes per page.
const PAGE_SIZE: &str = "50";

/// A change of an agent's state, with who or what made it and why.
#[derive(Deserialize)]
pub(in crate::http::console) struct AgentChange(pub(in crate::http::console) Transition);

/// A page of changes, the newest first.
#[derive(Deserialize)]
pub(in crate::http::console) struct AgentChangeList {
    #[serde(rename = "transitions")]
    pub(in crate::http::console) changes: Vec<AgentChange>,
    /// The cursor of the next page.
    pub(in crate::http::console) next: Option<String>,
}

impl AgentChangeList {
    /// Reads the changes that match a query.
    pub(in crate::http::console) async fn read(
        state: &ApiState,
        request: &PageRequest,
        query: &[(&str, &str)],
    ) -> Result<Self, PageError> {
        let query: Vec<_> = query.iter().copied().chain([("limit", PAGE_SIZE)]).collect();
        request.api("/api/v1/transitions").query(&query).call(state, transitions::list).await
    }
}

impl AgentChange {
    pub(in crate::http::console) fn to(&self) -> String {
        wording::state_label(&self.0.target)
    }

    pub(in crate::http::console) fn actor(&self) -> String {
        self.0.actor.label()
    }

    /// Returns the person's note, or else the facts that led to the change.
    pub(in crate::http::console) fn because(&self) -> &str {
        let facts = self.0.explanation.get("because").and_then(serde_json::Value::as_str);
        self.0.note.as_deref().or(facts).unwrap_or_default()
    }

    /// Returns the status of the change, with its outcome or who cancelled it, and with who approved it.
    pub(in crate::http::console) fn standing(&self) -> String {
        let approved = self.0.explanation.get("approved_by").and_then(|approved| approved.get("by"));
        let approved = approved.and_then(serde_json::Value::as_str).map(|by| format!("approved by {by}"));
        let outcome = match &self.0.status {
            TransitionStatus::Cancelled { by } => Some(by.clone()),
            _ => self.0.outcome_text(),
        };
        let details: Vec<String> = outcome.into_iter().chain(approved).collect();
        let name = self.0.status.name();
        if details.is_empty() { name.to_owned() } else { format!("{name}: {}", details.join("; ")) }
    }
}
