//! Changes of accounts, stored tokens and sessions.

use std::sync::Arc;

use crate::domain::access::account::{Account, Session, StoredToken};
use crate::domain::audit::Hash;

/// The changes of accounts, tokens and sessions in a commit.
#[derive(Clone, Debug, Default)]
pub struct AccessChange {
    /// Accounts to insert or replace, as whole rows.
    pub accounts: Vec<Account>,
    /// Tokens to insert or replace, as whole rows.
    pub tokens: Vec<StoredToken>,
    /// The ids of tokens to delete, which ended long ago.
    pub deleted_tokens: Vec<Arc<str>>,
    /// Sessions to insert or replace, as whole rows.
    pub sessions: Vec<Session>,
    /// The cookie hashes of sessions that ended.
    pub ended_sessions: Vec<Hash>,
}

impl AccessChange {
    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self { accounts, tokens, deleted_tokens, sessions, ended_sessions } = self;
        accounts.is_empty()
            && tokens.is_empty()
            && deleted_tokens.is_empty()
            && sessions.is_empty()
            && ended_sessions.is_empty()
    }
}
