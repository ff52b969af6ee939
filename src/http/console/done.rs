//! Changes of agents' states as pages list them: of one agent, and of one rule.

use serde::Deserialize;

use super::ask::Ask;
use super::failure::Failure;
use super::read::{Want, read};
use super::words;
use crate::domain::changes::transition::{Status, Transition};
use crate::http::ApiState;
use crate::http::api::changes::transitions;

/// Changes of one page.
const CHANGES: &str = "50";

/// A change of an agent's state, with who or what and why.
#[derive(Deserialize)]
pub(super) struct Change(pub(super) Transition);

/// A page of changes, the newest first.
#[derive(Deserialize)]
pub(super) struct Changes {
    #[serde(rename = "transitions")]
    pub(super) changes: Vec<Change>,
    /// The cursor of the next page.
    pub(super) next: Option<String>,
}

impl Changes {
    /// Those that the query asks for.
    pub(super) async fn read(state: &ApiState, ask: &Ask, query: &[(&str, &str)]) -> Result<Self, Failure> {
        let query: Vec<_> = query.iter().copied().chain([("limit", CHANGES)]).collect();
        let want = Want { route: "/api/v1/transitions", id: None, query: &query };
        read(state, ask, want, transitions::list).await
    }
}

impl Change {
    pub(super) fn to(&self) -> String {
        words::state_label(&self.0.target)
    }

    pub(super) fn actor(&self) -> String {
        self.0.actor.label()
    }

    /// The facts that led to it, or the person's own words.
    pub(super) fn because(&self) -> &str {
        let facts = self.0.explanation.get("because").and_then(serde_json::Value::as_str);
        self.0.note.as_deref().or(facts).unwrap_or_default()
    }

    /// Where it stands, and who or what decided that.
    pub(super) fn standing(&self) -> String {
        let approved = self.0.explanation.get("approved_by").and_then(|approved| approved.get("by"));
        let approved = approved.and_then(serde_json::Value::as_str).map(|by| format!("approved by {by}"));
        let outcome = match &self.0.status {
            Status::Cancelled { by } => Some(by.clone()),
            _ => self.0.outcome(),
        };
        let more: Vec<String> = outcome.into_iter().chain(approved).collect();
        let name = self.0.status.name();
        if more.is_empty() { name.to_owned() } else { format!("{name}: {}", more.join("; ")) }
    }
}
