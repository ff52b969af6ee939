//! What the change of one agent and bulk changes have in common: how options are read and sent to the daemon.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::OnContact;

/// What to do while an agent is on a contact.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenOnContact {
    /// Send the change at once.
    Now,
    /// Wait until the contact is over.
    After,
    /// Do not change the agent.
    Skip,
}

impl From<WhenOnContact> for OnContact {
    fn from(when: WhenOnContact) -> Self {
        match when {
            WhenOnContact::Now => Self::Now,
            WhenOnContact::After => Self::After,
            WhenOnContact::Skip => Self::Skip,
        }
    }
}

/// Parses a state by its name in any case, with or without separators.
pub(super) fn parse_state(text: &str) -> Result<AgentState, String> {
    let plain = |text: &str| text.replace(['_', '-', ' '], "").to_ascii_lowercase();
    let found = AgentState::KNOWN.into_iter().find(|state| plain(state.name()) == plain(text));
    found.ok_or_else(|| {
        let known: Vec<_> = AgentState::KNOWN.iter().map(AgentState::name).collect();
        format!("there is no such state; there are {}", known.join(", "))
    })
}

/// Parses a duration such as `90s`, `30m` or `1h30m`.
pub(in crate::cli) fn parse_span(text: &str) -> Result<Duration, String> {
    let span = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    span.ok_or_else(|| "write a span such as 90s, 30m or 1h30m".to_owned())
}

/// Adds the option to the body only if it is set, since an older daemon does not know it.
pub(super) fn with_even_if_in_state(mut body: Value, even_if_in_state: bool) -> Value {
    if let Some(fields) = body.as_object_mut().filter(|_| even_if_in_state) {
        fields.insert("even_if_in_state".to_owned(), json!(true));
    }
    body
}

/// Returns a duration in seconds, rounded up.
pub(super) fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
