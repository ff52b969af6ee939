//! Event bodies as `CloudEvents` 1.0 envelopes in structured mode. The guide's `data` is included byte for byte.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::event::EventKind;
use crate::domain::ids::{AgentId, EventId, TenantId};
use crate::domain::time::UtcMicros;

/// The format of a delivery's body.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WebhookFormat {
    /// The format of guide 003: `{"event", "timestamp", "data"}`.
    Guide,
    /// A `CloudEvents` 1.0 envelope.
    CloudEvents,
}

impl WebhookFormat {
    /// Returns the content type of the body.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Guide => "application/json",
            Self::CloudEvents => "application/cloudevents+json",
        }
    }
}

/// The metadata of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventMetadata<'a> {
    /// The id, which is the same in every delivery.
    pub id: EventId,
    /// The tenant. Its id comes from the configuration and needs no escaping in a URI.
    pub tenant: &'a TenantId,
    /// When it happened.
    pub at: UtcMicros,
    /// The kind.
    pub kind: EventKind,
    /// The agent concerned.
    pub agent: Option<&'a AgentId>,
    /// The number among the agent's events.
    pub sequence: Option<u64>,
}

/// The part of the guide's body that goes into the envelope.
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
    /// The event's id, which is the same in every attempt.
    id: EventId,
    /// `/shiftkeeper/` and the tenant.
    source: String,
    /// The kind of event, as endpoints select it.
    #[serde(rename = "type")]
    kind: &'static str,
    /// When it happened, by the daemon's clock.
    time: UtcMicros,
    /// The agent that the event is about; absent in other events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    subject: Option<&'a str>,
    /// `application/json`.
    datacontenttype: &'static str,
    /// The `CloudEvents` extension of that name: the number among the agent's events, with leading zeros so that it sorts as
    /// text; absent in other events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    sequence: Option<String>,
    /// The data of the event; its fields depend on the kind and are listed below.
    #[schema(value_type = Object)]
    data: &'a RawValue,
}

/// The first character of a valid body. An array is refused because serde would fill a struct from it.
const OBJECT_START: char = '{';

/// Returns the envelope of an event whose stored body is `guide_body`. Fails if that is not a valid body.
pub fn cloud_event(metadata: &EventMetadata<'_>, guide_body: &str) -> Result<Vec<u8>, serde_json::Error> {
    if !guide_body.starts_with(OBJECT_START) {
        return Err(serde::de::Error::custom("the body is not an object"));
    }
    let GuideBody { data } = serde_json::from_str(guide_body)?;
    serde_json::to_vec(&Envelope {
        specversion: "1.0",
        id: metadata.id,
        source: format!("/shiftkeeper/{}", metadata.tenant),
        kind: metadata.kind.selector(),
        time: metadata.at,
        // Attributes that are present must not be empty.
        subject: metadata.agent.map(AgentId::as_str).filter(|agent| !agent.is_empty()),
        datacontenttype: "application/json",
        sequence: metadata.sequence.map(|sequence| format!("{sequence:020}")),
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata<'a>(tenant: &'a TenantId, agent: Option<&'a AgentId>) -> EventMetadata<'a> {
        EventMetadata {
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
        let envelope = cloud_event(&metadata(&tenant, Some(&agent)), body).expect("an envelope");
        insta::assert_snapshot!(String::from_utf8(envelope).expect("text"), @r#"{"specversion":"1.0","id":"01990000-0000-7000-8000-000000000001","source":"/shiftkeeper/acme","type":"agent.state_changed","time":"2026-10-26T08:00:00.25Z","subject":"u_0001","datacontenttype":"application/json","sequence":"00000000000000000012","data":{"newState":"Ready","sequence":12,"userId":"u_0001"}}"#);
    }

    #[test]
    fn data_passes_byte_for_byte_and_an_event_without_an_agent_has_neither_subject_nor_sequence() {
        let tenant = TenantId::from("acme");
        let body = "{\"event\":\"AUDIT_HEAD\",\"timestamp\":0,\"data\": {\"b\" :1.50, \"a\":\"\\u00e4\"} }";
        let envelope = cloud_event(&metadata(&tenant, None), body).expect("an envelope");
        let text = String::from_utf8(envelope).expect("text");
        assert!(text.ends_with(",\"data\":{\"b\" :1.50, \"a\":\"\\u00e4\"}}"), "{text}");
        assert!(!text.contains("subject") && !text.contains("sequence\""), "{text}");
    }

    #[test]
    fn what_is_no_body_of_ours_is_an_error() {
        let tenant = TenantId::from("acme");
        for body in ["", "{}", "[1]", "{\"data\":"] {
            assert!(cloud_event(&metadata(&tenant, None), body).is_err(), "{body}");
        }
    }
}
