//! What signed-in people do with their own account: changing the password and managing sessions.

use std::net::IpAddr;
use std::sync::Arc;

use super::directory::SessionExpiry;
use super::sign_in::self_author;
use super::{AccountError, Accounts};
use crate::domain::access::account::{Account, check_password};
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// A session as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnSession {
    /// Identifies the session within the account, and reveals nothing about the cookie.
    pub id: String,
    /// When the session was started, in real time.
    pub created_at: UtcMicros,
    /// When it was last used, in real time.
    pub last_used_at: UtcMicros,
    /// The address from which the session was started.
    pub source: Option<IpAddr>,
    /// When it ends.
    pub expiry: SessionExpiry,
    /// Whether it is the session that asks.
    pub is_current: bool,
}

/// Returns the part of the cookie's hash that identifies a session within an account.
pub(super) fn session_id(session: &Hash) -> String {
    session.to_string().chars().take(16).collect()
}

impl Accounts {
    /// Returns all sessions of this session's owner, most recently used first.
    pub fn own_sessions(&self, session: &Hash) -> Vec<OwnSession> {
        let Ok(account) = self.session_owner(session) else { return Vec::new() };
        let (directory, limits) = (self.directory(), self.limits());
        let of_account = directory.sessions_of(&account.id).into_iter().rev();
        let entries = of_account.filter_map(|hash| directory.sessions.get(&hash));
        let sessions = entries.map(|entry| OwnSession {
            id: session_id(&entry.session.hash),
            created_at: entry.session.created_at,
            last_used_at: entry.last_used_at(),
            source: entry.session.source_address,
            expiry: entry.expiry(limits),
            is_current: entry.session.hash == *session,
        });
        sessions.collect()
    }

    /// Returns whether this session's owner has a password.
    pub fn has_password(&self, session: &Hash) -> bool {
        self.session_owner(session).is_ok_and(|account| account.password_hash.is_some())
    }

    /// Ends a session of this session's owner, which may be this one.
    pub async fn end_own_session(&self, session: &Hash, id: &str, source: Option<IpAddr>) -> Result<(), AccountError> {
        let _guard = self.0.change_lock.lock().await;
        let account = self.session_owner(session)?;
        let found = self.directory().sessions_of(&account.id).into_iter().find(|hash| session_id(hash) == id);
        let hash = found.ok_or_else(|| AccountError::NoSession(id.to_owned()))?;
        self.end_session(hash, &account.id, "account.session_ended", source).await.map_err(AccountError::Store)
    }

    /// Sets the password of this session's owner and ends all their other sessions. Wrong passwords are limited as for
    /// signing in, so that an open session cannot be used to guess the password.
    pub async fn change_own_password(
        &self,
        session: &Hash,
        old: Secret,
        new: Secret,
        source: Option<IpAddr>,
    ) -> Result<(), AccountError> {
        let account = self.session_owner(session)?;
        check_password(new.expose(), &account.id, &account.name)?;
        let verified = self.verify_password(&account.id, old, source).await?.ok_or(AccountError::WrongPassword)?;
        let hash = self.hash_password(new).await?;
        let _guard = self.0.change_lock.lock().await;
        let before = self.session_owner(session)?;
        // The password may have been changed while this one was being checked.
        if before.password_hash != verified.password_hash {
            return Err(AccountError::WrongPassword);
        }
        let mut ended_sessions = self.directory().sessions_of(&before.id);
        ended_sessions.retain(|hash| hash != session);
        self.store_password(&before, hash, ended_sessions, &self_author(&before.id, source)).await.map(|_| ())
    }

    fn session_owner(&self, session: &Hash) -> Result<Arc<Account>, AccountError> {
        let permissions = self.session_permissions(session);
        let directory = self.directory();
        let account =
            permissions.and_then(|powers| directory.accounts.get(&powers.id).map(|(account, _)| account.clone()));
        account.ok_or_else(|| AccountError::NoSession(session_id(session)))
    }
}
