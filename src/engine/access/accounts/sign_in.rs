//! Signing in with a password or a link, and signing out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::throttle::{Rejected, address_prefix};
use super::{AccountError, Accounts, AuditDetails, Author, Permissions, locked, password};
use crate::domain::access::account::{Account, MAX_PASSWORD_BYTES, Session, normalized_id};
use crate::domain::access::rights::Requester;
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::changes::transition::Actor;
use crate::domain::time::UtcMicros;
use crate::store::{AccessChange, Commit, CommitError};

/// The default lifetime of a sign-in link, in real time.
pub const LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The largest number of unused links.
const MAX_LINKS: usize = 1000;

/// The largest number of sessions per account; a further one replaces the least recently used.
const MAX_SESSIONS_PER_ACCOUNT: usize = 20;

/// A successful sign-in.
#[derive(Debug)]
pub struct SignedIn {
    /// The value of the session cookie.
    pub cookie: Secret,
    /// The permissions of the account.
    pub permissions: Arc<Permissions>,
}

/// Why a sign-in failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SignInError {
    /// The account does not exist or is disabled, or the password is wrong; the client is not told which.
    #[error("the name or the password is wrong")]
    WrongPassword,
    /// The link was used, has expired or never existed.
    #[error("this link has been used or has expired; ask for a new one")]
    InvalidLink,
    /// Too many wrong passwords; how long to wait.
    #[error("too many attempts for this account or from this address; try again in {} s", .0.as_secs())]
    Throttled(Duration),
    /// Too many passwords are being checked.
    #[error("too many people are signing in at the moment; try again in a few seconds")]
    Busy,
    /// The session could not be stored.
    #[error("the sign-in could not be recorded")]
    Store(#[source] CommitError),
}

impl From<Rejected> for SignInError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Throttled(wait) => Self::Throttled(wait),
            Rejected::Busy => Self::Busy,
        }
    }
}

impl Accounts {
    /// Signs in with a password.
    pub async fn sign_in(&self, name: &str, password: Secret, source: Option<IpAddr>) -> Result<SignedIn, SignInError> {
        let account =
            self.verify_password(&normalized_id(name), password, source).await?.ok_or(SignInError::WrongPassword)?;
        self.start_session(&account, source, "password").await
    }

    /// Returns the account if the password is right, within the limits on attempts. Timing and errors do not reveal
    /// whether the account exists or is disabled.
    pub(super) async fn verify_password(
        &self,
        id: &str,
        typed: Secret,
        source: Option<IpAddr>,
    ) -> Result<Option<Arc<Account>>, Rejected> {
        let (throttle, real_clock) = (&self.0.throttle, &self.0.services.real_clock);
        let attempt = throttle.admit(id, address_prefix(source), real_clock.monotonic())?;
        let permit = match throttle.acquire(&attempt).await {
            Ok(turn) => turn,
            Err(rejected) => {
                throttle.refund(&attempt, real_clock.monotonic());
                return Err(rejected);
            }
        };
        let account = self.directory().accounts.get(id).map(|(account, _)| account.clone());
        let hash = account.as_ref().and_then(|account| account.password_hash.clone());
        let hash = hash.unwrap_or_else(|| Secret::new(password::DUMMY_HASH));
        let is_correct = tokio::task::spawn_blocking(move || {
            typed.expose().len() <= MAX_PASSWORD_BYTES && password::matches(typed.expose(), hash.expose())
        });
        let is_correct = is_correct.await.unwrap_or(false);
        drop(permit);
        let account = account.filter(|account| is_correct && !account.disabled);
        if let Some(account) = &account {
            throttle.record_success(&attempt, &account.id, real_clock.monotonic());
        } else {
            // The typed name is not logged, since it may be a password.
            tracing::info!(source = source.map(tracing::field::display), "a password was refused");
        }
        Ok(account)
    }

    /// Creates a link that allows signing in once without a password within `lifetime`, and returns its secret part.
    pub async fn create_link(&self, id: &str, lifetime: Duration, by: &Author) -> Result<Secret, AccountError> {
        let account = self.account(by, id)?;
        if let Some(permissions) = &by.permissions
            && !account.role.rights().is_subset(&permissions.rights)
        {
            return Err(AccountError::BeyondOwnRights);
        }
        let details = AuditDetails::of_account(id).with("lasts_s", lifetime.as_secs());
        self.store(self.audit_entries(&account.scope, "account.link_made", by, &details)).await?;
        let code = self.0.services.random.secret();
        let now = self.0.services.real_clock.now();
        let mut links = locked(&self.0.sign_in_links);
        links.retain(|_, (_, until)| *until > now);
        if links.len() >= MAX_LINKS {
            return Err(AccountError::TooMany(MAX_LINKS));
        }
        links.insert(Hash::of(code.as_bytes()), (account.id.clone(), now + lifetime));
        Ok(Secret::new(code))
    }

    /// Returns whether a link is valid, without using it up, since mail programs and browsers open links by themselves.
    pub fn is_valid_link(&self, code: &str) -> bool {
        let now = self.0.services.real_clock.now();
        locked(&self.0.sign_in_links).get(&Hash::of(code.as_bytes())).is_some_and(|(_, until)| now < *until)
    }

    /// Signs in with a link and uses it up.
    pub async fn sign_in_by_link(&self, code: &str, source: Option<IpAddr>) -> Result<SignedIn, SignInError> {
        let found: Option<(Arc<str>, UtcMicros)> = locked(&self.0.sign_in_links).remove(&Hash::of(code.as_bytes()));
        let now = self.0.services.real_clock.now();
        let id = found.filter(|(_, until)| now < *until).map(|(id, _)| id);
        let account = id.and_then(|id| self.directory().accounts.get(&id).map(|(account, _)| account.clone()));
        let account = account.filter(|account| !account.disabled).ok_or(SignInError::InvalidLink)?;
        self.0.throttle.remember_address(&account.id, address_prefix(source));
        self.start_session(&account, source, "link").await
    }

    /// Ends a session. Succeeds if it has already ended.
    pub async fn sign_out(&self, hash: Hash, source: Option<IpAddr>) -> Result<(), CommitError> {
        let _guard = self.0.change_lock.lock().await;
        let account = self.directory().sessions.get(&hash).map(|entry| entry.session.account.clone());
        let Some(account) = account else { return Ok(()) };
        self.end_session(hash, &account, "account.signed_out", source).await
    }

    /// Ends a session of an account and adds an audit entry. The caller holds the change lock.
    pub(super) async fn end_session(
        &self,
        hash: Hash,
        account: &Arc<str>,
        action: &'static str,
        source: Option<IpAddr>,
    ) -> Result<(), CommitError> {
        let scope = self.directory().accounts.get(account).map(|(account, _)| account.scope.clone());
        let by = self_author(account, source);
        let entries = scope.map(|reach| self.audit_entries(&reach, action, &by, &AuditDetails::of_account(account)));
        let access = AccessChange { ended_sessions: vec![hash], ..AccessChange::default() };
        self.0.services.writer.commit(Commit { access, ..entries.unwrap_or_default() }).await?;
        self.directory_mut().sessions.remove(&hash);
        self.notify_update();
        Ok(())
    }

    async fn start_session(
        &self,
        verified_account: &Account,
        source: Option<IpAddr>,
        method: &'static str,
    ) -> Result<SignedIn, SignInError> {
        let _guard = self.0.change_lock.lock().await;
        let (account, permissions) =
            self.directory().accounts.get(&verified_account.id).cloned().ok_or(SignInError::WrongPassword)?;
        // The account may have been disabled or its password changed while this one was being checked.
        if account.disabled || account.password_hash != verified_account.password_hash {
            return Err(SignInError::WrongPassword);
        }
        let mut ended_sessions = self.directory().sessions_of(&account.id);
        ended_sessions.truncate((ended_sessions.len() + 1).saturating_sub(MAX_SESSIONS_PER_ACCOUNT));
        let (cookie, now) = (self.0.services.random.secret(), self.0.services.real_clock.now());
        let session = Session {
            hash: Hash::of(cookie.as_bytes()),
            account: account.id.clone(),
            created_at: now,
            last_used_at: now,
            source_address: source,
        };
        let details = AuditDetails::of_account(&account.id).with("how", method);
        let entries =
            self.audit_entries(&account.scope, "account.signed_in", &self_author(&account.id, source), &details);
        let access = AccessChange {
            sessions: vec![session.clone()],
            ended_sessions: ended_sessions.clone(),
            ..AccessChange::default()
        };
        self.0.services.writer.commit(Commit { access, ..entries }).await.map_err(SignInError::Store)?;
        let mut directory = self.directory_mut();
        for hash in &ended_sessions {
            directory.sessions.remove(hash);
        }
        directory.put_session(session);
        drop(directory);
        if !ended_sessions.is_empty() {
            self.notify_update();
        }
        Ok(SignedIn { cookie: Secret::new(cookie), permissions })
    }
}

/// Returns the author for people who sign in or out.
pub(super) fn self_author(id: &Arc<str>, source: Option<IpAddr>) -> Author {
    Author {
        actor: Actor::Person { id: id.clone() }.label(),
        requester: Requester { id: id.clone(), source },
        permissions: None,
        reason: None,
    }
}
