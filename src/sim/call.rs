//! A parsed call of the platform, before anything is decided about it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;

use super::tokens::TokenBase;
use super::wire::TokenForm;

/// A parsed call. It does not implement `Debug`, since it holds secrets.
#[derive(Default)]
pub(super) struct Call {
    /// The simulator's own address.
    pub(super) base_url: Arc<str>,
    pub(super) path: String,
    /// The business unit under whose base the call came.
    pub(super) unit: Option<String>,
    /// The agent, team, subscription or query in the path.
    pub(super) subject: String,
    /// The text after `Bearer`; for a feed, the token in the query.
    pub(super) bearer: Option<String>,
    /// The text after `Basic`.
    pub(super) basic: Option<String>,
    /// The form of a token request.
    pub(super) form: Option<TokenForm>,
    pub(super) body: Bytes,
    /// The query as it was sent.
    pub(super) raw_query: Option<String>,
    /// The query parameters.
    pub(super) query: HashMap<String, String>,
    /// Whether the call asks for a WebSocket.
    pub(super) upgrade: bool,
}

impl Call {
    /// Returns the base under which the call came.
    pub(super) fn base(&self) -> TokenBase {
        if self.unit.is_some() { TokenBase::BusinessUnit } else { TokenBase::Root }
    }
}
