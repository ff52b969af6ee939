//! What somebody who has signed in does about his own account: another password, and the sessions that are open.

use std::net::IpAddr;
use std::sync::Arc;

use super::book::SessionEnds;
use super::sign_in::self_of;
use super::{AccountError, Accounts};
use crate::domain::access::account::{Account, check_password};
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// A session as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnSession {
    /// Names it among the account's; says nothing of the cookie.
    pub id: String,
    /// When somebody signed in, in real time.
    pub made_at: UtcMicros,
    /// When it was last used, in real time.
    pub seen_at: UtcMicros,
    /// The address that it was made from.
    pub source: Option<IpAddr>,
    /// When it ends.
    pub ends: SessionEnds,
    /// It is the one that asks.
    pub is_this: bool,
}

/// As much of a cookie's hash as tells the sessions of an account apart.
pub(super) fn name_of(session: &Hash) -> String {
    session.to_string().chars().take(16).collect()
}

impl Accounts {
    /// The sessions of whoever has this one, the last used first.
    pub fn own_sessions(&self, session: &Hash) -> Vec<OwnSession> {
        let Ok(account) = self.owner_of(session) else { return Vec::new() };
        let (book, limits) = (self.book(), self.limits());
        let of_account = book.sessions_of(&account.id).into_iter().rev();
        let entries = of_account.filter_map(|hash| book.sessions.get(&hash));
        let shown = entries.map(|entry| OwnSession {
            id: name_of(&entry.session.hash),
            made_at: entry.session.made_at,
            seen_at: entry.seen_at(),
            source: entry.session.source,
            ends: entry.ends(limits),
            is_this: entry.session.hash == *session,
        });
        shown.collect()
    }

    /// Whether whoever has this session has a password.
    pub fn has_password(&self, session: &Hash) -> bool {
        self.owner_of(session).is_ok_and(|account| account.password.is_some())
    }

    /// Ends a session of whoever has this one, which may be the same.
    pub async fn end_own_session(&self, session: &Hash, id: &str, from: Option<IpAddr>) -> Result<(), AccountError> {
        let _turn = self.0.turn.lock().await;
        let account = self.owner_of(session)?;
        let found = self.book().sessions_of(&account.id).into_iter().find(|hash| name_of(hash) == id);
        let hash = found.ok_or_else(|| AccountError::NoSession(id.to_owned()))?;
        self.end_session(hash, &account.id, "account.session_ended", from).await.map_err(AccountError::Store)
    }

    /// Gives whoever has this session another password; whoever else is signed in with the account is out. How often the old one may
    /// be wrong is bounded as it is for signing in, so that a session that was left open is no way to find it out.
    pub async fn change_own_password(
        &self,
        session: &Hash,
        old: Secret,
        new: Secret,
        from: Option<IpAddr>,
    ) -> Result<(), AccountError> {
        let known = self.owner_of(session)?;
        check_password(new.expose(), &known.id, &known.name)?;
        let proved = self.proved(&known.id, old, from).await?.ok_or(AccountError::WrongPassword)?;
        let hash = self.hash(new).await?;
        let _turn = self.0.turn.lock().await;
        let before = self.owner_of(session)?;
        // Somebody may have given it another one while this one was looked at.
        if before.password != proved.password {
            return Err(AccountError::WrongPassword);
        }
        let mut ended = self.book().sessions_of(&before.id);
        ended.retain(|hash| hash != session);
        self.put_password(&before, hash, ended, &self_of(&before.id, from)).await.map(|_| ())
    }

    fn owner_of(&self, session: &Hash) -> Result<Arc<Account>, AccountError> {
        let powers = self.session_of(session);
        let book = self.book();
        let account = powers.and_then(|powers| book.accounts.get(&powers.id).map(|(account, _)| account.clone()));
        account.ok_or_else(|| AccountError::NoSession(name_of(session)))
    }
}
