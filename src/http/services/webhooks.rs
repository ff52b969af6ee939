//! Replacing the signing keys of webhook endpoints.

use crate::clock::BoxFuture;
use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::CommitError;

/// Replaces the signing keys of webhook endpoints.
///
/// Defined here and implemented by `app`, because a request handler should not deal with files and the configuration.
pub trait KeyRotator: Send + Sync {
    /// Replaces the signing key of an endpoint.
    fn rotate(&self, request: KeyRotationRequest) -> BoxFuture<Result<KeyRotation, KeyRotationError>>;
}

/// A request to replace a signing key.
#[derive(Clone, Debug)]
pub struct KeyRotationRequest {
    /// The endpoint whose key is replaced.
    pub id: EndpointId,
    /// The tenant in whose audit log the change is recorded.
    pub tenant: TenantId,
    /// Whether the old key stops signing at once, because others may know it.
    pub drop_old: bool,
    /// Who makes the request.
    pub actor: String,
}

/// A signing key that was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyRotation {
    /// Until when the old key signs alongside the new one; `None` if it no longer does.
    pub previous_until: Option<UtcMicros>,
    /// Whether the daemon already signs with the new key; if not, it does so after reloading its configuration.
    pub in_force: bool,
}

/// Why a signing key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum KeyRotationError {
    /// The configuration has no such endpoint.
    #[error("the configuration has no such webhook")]
    UnknownEndpoint,
    /// The daemon cannot replace the key; the text says what to do.
    #[error("{0}")]
    NotRotatable(String),
    /// The key was replaced less than a day ago.
    #[error(
        "the key was changed less than a day ago, and receivers may still use the previous one, which signs until {0}: wait \
         until then, or drop the previous key (`drop_old`)"
    )]
    TooSoon(UtcMicros),
    /// The store did not accept the audit entry.
    #[error("the rotation could not be recorded: the key was not changed, or the audit chain lacks its change")]
    Store(#[source] CommitError),
}
