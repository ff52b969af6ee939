//! One message of the relay, encoded once for all viewers.
//!
//! The text is that of an event stream; the message on a WebSocket is the JSON in it. What the messages hold is `message`'s.

use std::io::Write as _;

use bytes::Bytes;
use serde::Serialize;

/// What a message tells; the name stands in its `type` and is the name of the event in an event stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The picture as it is, or a part of it.
    Snapshot,
    /// An agent as he is now.
    Agent,
    /// An agent who left the roster.
    Gone,
    /// A verdict or a planned activity that became another one.
    Adherence,
    /// A transition as it stands now.
    Transition,
    /// Newer figures of a skill.
    Skill,
    /// Newer figures of a queue.
    Queue,
    /// What viewers know does not lead up to what comes.
    Reset,
    /// The line lives, and so old is the picture.
    Heartbeat,
    /// The line ends.
    End,
}

impl Kind {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Agent => "agent",
            Self::Gone => "gone",
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
    /// Encodes a message. `id` is that of the history row that it tells.
    pub fn new(kind: Kind, id: Option<u64>, message: &impl Serialize) -> Self {
        let mut json = Vec::with_capacity(512);
        if let Err(error) = serde_json::to_writer(&mut json, message) {
            // The shapes are ours and have text for keys.
            tracing::error!(kind = kind.name(), %error, "defect: a message of the relay cannot be encoded");
            json = b"{}".to_vec();
        }
        Self::of_json(kind, id, id.map(|id| id.to_string()).as_deref(), &json)
    }

    /// Around JSON that is encoded already; `id_text` is what the event stream has for the id.
    pub(super) fn of_json(kind: Kind, id: Option<u64>, id_text: Option<&str>, json: &[u8]) -> Self {
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

    /// The same with another text for the id.
    #[must_use]
    pub(super) fn with_id_text(&self, id_text: &str) -> Self {
        Self::of_json(self.kind, self.id, Some(id_text), &self.json())
    }

    /// As an event of an event stream.
    pub const fn event(&self) -> &Bytes {
        &self.text
    }

    /// The JSON alone.
    pub fn json(&self) -> Bytes {
        self.text.slice(self.json_at..self.text.len() - END.len())
    }

    /// What it tells.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The id of the history row that it tells, where it tells one.
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
        assert_eq!(Frame::new(Kind::Gone, None, &message).event(), &format!("event: gone\ndata: {json}\n\n"));
    }
}
