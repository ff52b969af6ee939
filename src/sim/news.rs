//! What a live feed says (guide 000): the messages, their text, and how faults garble it. Pure.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::faults::Kind;
use super::state::SimState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;

/// One message of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum News {
    /// An agent came into a state.
    AgentStateChange {
        /// The agent.
        agent: AgentId,
        /// The state.
        state: SimState,
        /// When the agent came into it. The message itself only says how many whole seconds ago that is.
        entered: UtcMicros,
    },
    /// A contact waits for an agent.
    ContactQueued {
        /// The skill that it wants.
        skill: u32,
    },
    /// A contact waits no longer: an agent has it, or it gave up.
    ContactDequeued {
        /// The skill that it wanted.
        skill: u32,
    },
    /// The line's sign of life, which the client answers.
    Heartbeat,
}

impl News {
    /// The agent that it is about.
    pub(super) fn agent(&self) -> Option<&AgentId> {
        match self {
            Self::AgentStateChange { agent, .. } => Some(agent),
            Self::ContactQueued { .. } | Self::ContactDequeued { .. } | Self::Heartbeat => None,
        }
    }

    /// The message's text at an instant. `spoilt` are the kinds of faults that garble it; `turn` chooses in which way.
    pub(super) fn text(&self, at: UtcMicros, spoilt: Option<Kind>, turn: u64) -> String {
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
        match spoilt {
            Some(Kind::WrongTypes) => set(&mut value, mistyped(turn)),
            Some(Kind::Nonsense) => set(&mut value, untrue(turn)),
            Some(_) | None => {}
        }
        let mut text = value.to_string();
        if spoilt == Some(Kind::Truncated) {
            let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
            text.truncate(half);
        }
        text
    }
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_secs()
}

fn set(message: &mut Value, (key, value): (&str, Value)) {
    if let Some(fields) = message.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

/// A field with a value of a type that it must not have.
fn mistyped(turn: u64) -> (&'static str, Value) {
    match turn % 5 {
        0 => ("agentId", json!(turn)),
        1 => ("state", json!({ "name": "available" })),
        2 => ("stateDuration", json!("a while")),
        3 => ("state", Value::Null),
        _ => ("type", json!(4)),
    }
}

/// A field with a value that cannot be true.
fn untrue(turn: u64) -> (&'static str, Value) {
    match turn % 5 {
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

    fn change() -> News {
        News::AgentStateChange { agent: "ü_1".into(), state: SimState::OnContact, entered: UtcMicros::EPOCH }
    }

    #[test]
    fn a_message_tells_whole_seconds_and_is_garbled_on_demand() {
        let at = UtcMicros::EPOCH + Duration::from_millis(7_900);
        let said: Value = serde_json::from_str(&change().text(at, None, 0)).expect("JSON");
        assert_eq!(
            said,
            json!({ "type": "agentStateChange", "agentId": "ü_1", "state": "on_contact", "stateDuration": 7 })
        );
        for turn in 0..5 {
            for kind in [Kind::WrongTypes, Kind::Nonsense] {
                let garbled: Value = serde_json::from_str(&change().text(at, Some(kind), turn)).expect("JSON");
                assert_ne!(garbled, said, "{kind:?} {turn}");
            }
        }
        let cut = change().text(at, Some(Kind::Truncated), 0);
        assert!(cut.starts_with('{') && serde_json::from_str::<Value>(&cut).is_err());
    }
}
