//! An event's body as a `CloudEvents` 1.0 envelope in the structured mode: the guide's `data`, byte for byte, among the
//! attributes that every consumer of `CloudEvents` knows.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::event::EventKind;
use crate::domain::ids::{AgentId, EventId, TenantId};
use crate::domain::time::UtcMicros;

/// The shape of a delivery's body.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WebhookFormat {
    /// `{"event", "timestamp", "data"}` as guide 003 has it.
    Guide,
    /// A `CloudEvents` 1.0 envelope.
    CloudEvents,
}

impl WebhookFormat {
    /// What the body is declared as.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Guide => "application/json",
            Self::CloudEvents => "application/cloudevents+json",
        }
    }
}

/// What is known of an event beside its body.
#[derive(Clone, Copy, Debug)]
pub struct EventFacts<'a> {
    /// Its id, the same at every delivery.
    pub id: EventId,
    /// Whose; an id of the configuration, so that it needs no escapes in a URI.
    pub tenant: &'a TenantId,
    /// When it happened.
    pub at: UtcMicros,
    /// What kind.
    pub kind: EventKind,
    /// The agent concerned.
    pub agent: Option<&'a AgentId>,
    /// The number among the agent's events.
    pub sequence: Option<u64>,
}

/// What of the guide's body goes into the envelope.
#[derive(Deserialize)]
struct GuideBody<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The body of a delivery with `format = "cloudevents"`.
#[derive(Serialize, ToSchema)]
pub struct Envelope<'a> {
    /// `1.0`.
    specversion: &'static str,
    /// The event's id, the same at every delivery.
    id: EventId,
    /// `/shiftkeeper/` and the tenant.
    source: String,
    /// The kind of event, as endpoints select it.
    #[serde(rename = "type")]
    kind: &'static str,
    /// When it happened, by the daemon's clock.
    time: UtcMicros,
    /// The agent whom the event is about; not there in others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    subject: Option<&'a str>,
    /// `application/json`.
    datacontenttype: &'static str,
    /// The extension of that name: the number among the agent's events, with leading zeros, so that the order as text is the order
    /// of the events; not there in events about no agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    sequence: Option<String>,
    /// What is told, by the kind of event: below.
    #[schema(value_type = Object)]
    data: &'a RawValue,
}

/// What a body of ours begins with. An array is none, although serde would fill a struct from it.
const OBJECT: char = '{';

/// The envelope of an event whose body, as stored, is `guide_body`. An error means that the body is not one of ours.
pub fn cloud_event(facts: &EventFacts<'_>, guide_body: &str) -> Result<Vec<u8>, serde_json::Error> {
    if !guide_body.starts_with(OBJECT) {
        return Err(serde::de::Error::custom("the body is not an object"));
    }
    let GuideBody { data } = serde_json::from_str(guide_body)?;
    serde_json::to_vec(&Envelope {
        specversion: "1.0",
        id: facts.id,
        source: format!("/shiftkeeper/{}", facts.tenant),
        kind: facts.kind.selector(),
        time: facts.at,
        // An attribute that is there is not empty.
        subject: facts.agent.map(AgentId::as_str).filter(|agent| !agent.is_empty()),
        datacontenttype: "application/json",
        sequence: facts.sequence.map(|sequence| format!("{sequence:020}")),
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(tenant: &'a TenantId, agent: Option<&'a AgentId>) -> EventFacts<'a> {
        EventFacts {
            id: EventId(uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001)),
            tenant,
            at: "2026-10-26T08:00:00.25Z".parse().expect("an instant"),
            kind: EventKind::AgentStateChanged,
            agent,
            sequence: agent.map(|_| 12),
        }
    }

    #[test]
    fn the_envelope_has_the_attributes_of_cloudevents_1_0() {
        let (tenant, agent) = (TenantId::from("acme"), AgentId::from("u_0001"));
        let body = r#"{"data":{"newState":"Ready","sequence":12,"userId":"u_0001"},"event":"AGENT_STATE_CHANGED","timestamp":"2026-10-26T08:00:00.25Z"}"#;
        let envelope = cloud_event(&facts(&tenant, Some(&agent)), body).expect("an envelope");
        insta::assert_snapshot!(String::from_utf8(envelope).expect("text"), @r#"{"specversion":"1.0","id":"01990000-0000-7000-8000-000000000001","source":"/shiftkeeper/acme","type":"agent.state_changed","time":"2026-10-26T08:00:00.25Z","subject":"u_0001","datacontenttype":"application/json","sequence":"00000000000000000012","data":{"newState":"Ready","sequence":12,"userId":"u_0001"}}"#);
    }

    #[test]
    fn data_passes_byte_for_byte_and_an_event_without_an_agent_has_neither_subject_nor_sequence() {
        let tenant = TenantId::from("acme");
        let body = "{\"event\":\"AUDIT_HEAD\",\"timestamp\":0,\"data\": {\"b\" :1.50, \"a\":\"\\u00e4\"} }";
        let envelope = cloud_event(&facts(&tenant, None), body).expect("an envelope");
        let text = String::from_utf8(envelope).expect("text");
        assert!(text.ends_with(",\"data\":{\"b\" :1.50, \"a\":\"\\u00e4\"}}"), "{text}");
        assert!(!text.contains("subject") && !text.contains("sequence\""), "{text}");
    }

    #[test]
    fn what_is_no_body_of_ours_is_an_error() {
        let tenant = TenantId::from("acme");
        for body in ["", "{}", "[1]", "{\"data\":"] {
            assert!(cloud_event(&facts(&tenant, None), body).is_err(), "{body}");
        }
    }
}
