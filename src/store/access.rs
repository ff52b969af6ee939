//! What changes of accounts, stored tokens and sessions the writer takes.

use std::sync::Arc;

use crate::domain::access::account::{Account, Session, StoredToken};
use crate::domain::audit::Hash;

/// What became of those who may use the daemon.
#[derive(Clone, Debug, Default)]
pub struct AccessChange {
    /// Whole rows, inserted or replaced.
    pub accounts: Vec<Account>,
    /// Whole rows, inserted or replaced.
    pub tokens: Vec<StoredToken>,
    /// Tokens that ended long ago and go, by id.
    pub forgotten_tokens: Vec<Arc<str>>,
    /// Whole rows, inserted or replaced.
    pub sessions: Vec<Session>,
    /// Sessions that ended, by the hash of their cookie.
    pub ended_sessions: Vec<Hash>,
}

impl AccessChange {
    /// Nothing would be written.
    pub fn is_empty(&self) -> bool {
        let Self { accounts, tokens, forgotten_tokens, sessions, ended_sessions } = self;
        accounts.is_empty()
            && tokens.is_empty()
            && forgotten_tokens.is_empty()
            && sessions.is_empty()
            && ended_sessions.is_empty()
    }
}
