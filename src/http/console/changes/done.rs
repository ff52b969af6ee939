//! Changes of agents' states as pages list them: of one agent, and of one rule.

use serde::Deserialize;

use crate::domain::changes::transition::{Status, Transition};
use crate::http::ApiState;
use crate::http::api::changes::transitions;
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::read::{Want, read};
use crate::http::console::shared::words;

/// Changes of one page.
const CHANGES: &str = "50";

/// A change of an agent's state, with who or what and why.
#[derive(Deserialize)]
pub(in crate::http::console) struct Change(pub(in crate::http::console) Transition);

/// A page of changes, the newest first.
#[derive(Deserialize)]
pub(in crate::http::console) struct Changes {
    #[serde(rename = "transitions")]
    pub(in crate::http::console) changes: Vec<Change>,
    /// The cursor of the next page.
    pub(in crate::http::console) next: Option<String>,
}

impl Changes {
    /// Those that the query asks for.
    pub(in crate::http::console) async fn read(
        state: &ApiState,
        ask: &Ask,
        query: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let query: Vec<_> = query.iter().copied().chain([("limit", CHANGES)]).collect();
        let want = Want { route: "/api/v1/transitions", id: None, query: &query };
        read(state, ask, want, transitions::list).await
    }
}

impl Change {
    pub(in crate::http::console) fn to(&self) -> String {
        words::state_label(&self.0.target)
    }

    pub(in crate::http::console) fn actor(&self) -> String {
        self.0.actor.label()
    }

    /// The facts that led to it, or the person's own words.
    pub(in crate::http::console) fn because(&self) -> &str {
        let facts = self.0.explanation.get("because").and_then(serde_json::Value::as_str);
        self.0.note.as_deref().or(facts).unwrap_or_default()
    }

    /// Where it stands, and who or what decided that.
    pub(in crate::http::console) fn standing(&self) -> String {
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
