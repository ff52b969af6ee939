//! The seam to what sends: one POST of one event, and how it ended.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::BoxFuture;
use crate::domain::ids::{EventId, TenantId};

/// Sends to one endpoint. It never retries and never follows a redirect; an attempt ends by itself within its time limit.
pub trait Post: Send + Sync {
    /// One attempt.
    fn post(&self, request: Outgoing) -> BoxFuture<Attempt>;
}

/// What is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The same at every attempt.
    pub event_id: EventId,
    /// Whose event it is.
    pub tenant: TenantId,
    /// Exactly as it is signed and sent.
    pub body: Bytes,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// The HTTP status, where there was one.
    pub status_code: Option<u16>,
    /// Real milliseconds to the end.
    pub latency_ms: u64,
    /// The first kilobyte of the answer, as far as it is text.
    pub answer: String,
    /// What went wrong, for a person to read.
    pub error: Option<String>,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}
