//! One live message, encoded once for all viewers.
//!
//! The text is an event of an event stream; a WebSocket sends the JSON in it. The contents are defined in `message`.

use std::io::Write as _;

use bytes::Bytes;
use serde::Serialize;

/// The kind of a message. Its name is the `type` in the JSON and the event name in an event stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The live view, or a part of it.
    Snapshot,
    /// An agent's current state.
    Agent,
    /// An agent who left the roster.
    AgentLeft,
    /// A change of an agent's verdict or planned activity.
    Adherence,
    /// A transition's current status.
    Transition,
    /// Newer figures of a skill.
    Skill,
    /// Newer figures of a queue.
    Queue,
    /// The messages that a viewer has received do not connect to the following ones.
    Reset,
    /// The connection is alive; includes the age of the live view.
    Heartbeat,
    /// The connection ends.
    End,
}

impl Kind {
    /// Returns the name used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Agent => "agent",
            Self::AgentLeft => "gone",
            Self::Adherence => "adherence",
            Self::Transition => "transition",
            Self::Skill => "skill",
            Self::Queue => "queue",
            Self::Reset => "reset",
            Self::Heartbeat => "heartbeat",
            Self::End => "end",
        }
    }
}

/// An encoded message. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `event: agent\nid: 12\ndata: {…}\n\n`.
    text: Bytes,
    json_at: usize,
    kind: Kind,
    id: Option<u64>,
}

/// What ends an event.
const END: &[u8] = b"\n\n";

impl Frame {
    /// Encodes a message. `id` is that of the history row it contains.
    pub fn new(kind: Kind, id: Option<u64>, message: &impl Serialize) -> Self {
        let mut json = Vec::with_capacity(512);
        if let Err(error) = serde_json::to_writer(&mut json, message) {
            // These are our own types and all their map keys are strings.
            tracing::error!(kind = kind.name(), %error, "defect: a message of the relay cannot be encoded");
            json = b"{}".to_vec();
        }
        Self::from_json(kind, id, id.map(|id| id.to_string()).as_deref(), &json)
    }

    /// Wraps JSON that is already encoded; `id_text` is the id in the event stream.
    pub(super) fn from_json(kind: Kind, id: Option<u64>, id_text: Option<&str>, json: &[u8]) -> Self {
        let mut text = Vec::with_capacity(json.len() + 64);
        // Writing to a Vec cannot fail.
        let _ = writeln!(text, "event: {}", kind.name());
        if let Some(id) = id_text {
            let _ = writeln!(text, "id: {id}");
        }
        text.extend_from_slice(b"data: ");
        let json_at = text.len();
        text.extend_from_slice(json);
        text.extend_from_slice(END);
        Self { text: text.into(), json_at, kind, id }
    }

    /// Returns the frame with another id text.
    #[must_use]
    pub(super) fn with_id_text(&self, id_text: &str) -> Self {
        Self::from_json(self.kind, self.id, Some(id_text), &self.json())
    }

    /// Returns the message as an event of an event stream.
    pub const fn event(&self) -> &Bytes {
        &self.text
    }

    /// Returns the JSON alone.
    pub fn json(&self) -> Bytes {
        self.text.slice(self.json_at..self.text.len() - END.len())
    }

    /// Returns the kind of the message.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the id of the history row in the message, if there is one.
    pub const fn id(&self) -> Option<u64> {
        self.id
    }

    pub(super) fn size(&self) -> usize {
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_names_its_kind_and_its_id_and_holds_the_json_in_one_line() {
        let message = json!({"type": "agent", "name": "Ann\nB"});
        let frame = Frame::new(Kind::Agent, Some(12), &message);
        let json = r#"{"name":"Ann\nB","type":"agent"}"#;
        assert_eq!(frame.event(), &format!("event: agent\nid: 12\ndata: {json}\n\n"));
        assert_eq!(frame.json(), json);
        let compound = frame.with_id_text("acme:12,beta:7");
        assert_eq!(compound.event(), &format!("event: agent\nid: acme:12,beta:7\ndata: {json}\n\n"));
        assert_eq!((compound.json(), compound.id()), (frame.json(), Some(12)));
        assert_eq!(Frame::new(Kind::AgentLeft, None, &message).event(), &format!("event: gone\ndata: {json}\n\n"));
    }
}
