//! The messages and other events of a live feed (guide 000), the messages' text, and how faults garble it. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::faults::FaultKind;
use super::state::SimState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;

/// One message of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FeedMessage {
    /// An agent entered a state.
    AgentStateChange {
        /// The agent.
        agent: AgentId,
        /// The state.
        state: SimState,
        /// The instant at which the agent entered it. The message itself gives only whole seconds since then.
        entered: UtcMicros,
    },
    /// A contact waits for an agent.
    ContactQueued {
        /// The contact's skill.
        skill: u32,
    },
    /// A contact no longer waits: an agent took it, or it was abandoned.
    ContactDequeued {
        /// The contact's skill.
        skill: u32,
    },
    /// A sign of life, which the client answers.
    Heartbeat,
}

/// An event of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum FeedEvent {
    /// The feed was opened.
    Connected,
    /// The client subscribed to these skills; changes of agents are sent from now on.
    Subscribed {
        /// The skills.
        skills: BTreeSet<u32>,
    },
    /// A message was sent, unless the fault says otherwise.
    Said {
        /// The message.
        #[serde(flatten)]
        news: FeedMessage,
        /// The fault that affected it.
        fault: Option<FaultKind>,
    },
    /// The client answered a heartbeat.
    Answered,
    /// The feed ended.
    Closed {
        /// The reason.
        why: FeedEndReason,
    },
}

/// The reason why a feed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedEndReason {
    /// The client closed it or is gone.
    Client,
    /// Its token expired or was revoked.
    Token,
    /// The client did not answer heartbeats.
    Unanswered,
    /// The client sent something that cannot be read.
    Unreadable,
    /// The client reads too slowly.
    Slow,
    /// A fault ended it.
    Fault,
    /// The simulator stopped.
    Stopped,
}

impl FeedMessage {
    /// Returns the agent concerned.
    pub(super) fn agent(&self) -> Option<&AgentId> {
        match self {
            Self::AgentStateChange { agent, .. } => Some(agent),
            Self::ContactQueued { .. } | Self::ContactDequeued { .. } | Self::Heartbeat => None,
        }
    }

    /// Returns the message's text at an instant. `fault` is the kind of fault that garbles it, and `variant` chooses
    /// how.
    pub(super) fn text(&self, at: UtcMicros, fault: Option<FaultKind>, variant: u64) -> String {
        let mut value = match self {
            Self::AgentStateChange { agent, state, entered } => json!({
                "type": "agentStateChange",
                "agentId": agent,
                "state": state,
                "stateDuration": whole_seconds(at.since(*entered)),
            }),
            Self::ContactQueued { skill } => json!({ "type": "contactQueued", "skillId": skill }),
            Self::ContactDequeued { skill } => json!({ "type": "contactDequeued", "skillId": skill }),
            Self::Heartbeat => json!({ "type": "heartbeat" }),
        };
        match fault {
            Some(FaultKind::WrongTypes) => set_field(&mut value, mistyped_field(variant)),
            Some(FaultKind::Nonsense) => set_field(&mut value, impossible_field(variant)),
            Some(_) | None => {}
        }
        let mut text = value.to_string();
        if fault == Some(FaultKind::Truncated) {
            let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
            text.truncate(half);
        }
        text
    }
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_secs()
}

fn set_field(message: &mut Value, (key, value): (&str, Value)) {
    if let Some(fields) = message.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

/// Returns a field with a value of a wrong type.
fn mistyped_field(variant: u64) -> (&'static str, Value) {
    match variant % 5 {
        0 => ("agentId", json!(variant)),
        1 => ("state", json!({ "name": "available" })),
        2 => ("stateDuration", json!("a while")),
        3 => ("state", Value::Null),
        _ => ("type", json!(4)),
    }
}

/// Returns a field with an impossible value.
fn impossible_field(variant: u64) -> (&'static str, Value) {
    match variant % 5 {
        0 => ("state", json!("hovering")),
        1 => ("agentId", json!("nobody\u{0}")),
        2 => ("stateDuration", json!(-90)),
        3 => ("stateDuration", json!(9.0e15)),
        _ => ("type", json!("agentTeleported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> FeedMessage {
        FeedMessage::AgentStateChange { agent: "ü_1".into(), state: SimState::OnContact, entered: UtcMicros::EPOCH }
    }

    #[test]
    fn a_message_tells_whole_seconds_and_is_garbled_on_demand() {
        let at = UtcMicros::EPOCH + Duration::from_millis(7_900);
        let parsed: Value = serde_json::from_str(&change().text(at, None, 0)).expect("JSON");
        assert_eq!(
            parsed,
            json!({ "type": "agentStateChange", "agentId": "ü_1", "state": "on_contact", "stateDuration": 7 })
        );
        for turn in 0..5 {
            for kind in [FaultKind::WrongTypes, FaultKind::Nonsense] {
                let garbled: Value = serde_json::from_str(&change().text(at, Some(kind), turn)).expect("JSON");
                assert_ne!(garbled, parsed, "{kind:?} {turn}");
            }
        }
        let cut = change().text(at, Some(FaultKind::Truncated), 0);
        assert!(cut.starts_with('{') && serde_json::from_str::<Value>(&cut).is_err());
    }
}
