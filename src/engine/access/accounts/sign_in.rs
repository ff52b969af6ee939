//! Signing in with a password or a link, and out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::gate::{Held, place_of};
use super::{AccountError, Accounts, By, Facts, Powers, locked, password};
use crate::domain::access::account::{Account, LONGEST_PASSWORD, Session, typed_id};
use crate::domain::access::rights::Asker;
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::changes::transition::Actor;
use crate::domain::time::UtcMicros;
use crate::store::{AccessChange, Commit, CommitError};

/// How long a sign-in link is good unless somebody says otherwise, in real time.
pub const LINK_LASTS: Duration = Duration::from_secs(15 * 60);

/// Links that nobody has used yet.
const MOST_LINKS: usize = 1000;

/// Sessions of one account at once; the one that was not used for the longest gives way.
const MOST_SESSIONS: usize = 20;

/// Somebody is in.
#[derive(Debug)]
pub struct SignedIn {
    /// The value of the cookie.
    pub cookie: Secret,
    /// What he has.
    pub powers: Arc<Powers>,
}

/// Why somebody is not in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SignInError {
    /// No such account, another password, or an account that is disabled: who asks is not told which.
    #[error("the name or the password is wrong")]
    Wrong,
    /// The link was used, has expired, or never was.
    #[error("this link was used already, or its time is over")]
    Link,
    /// Too many were wrong.
    #[error("too many tries for this account or from this address; try again in {} s", .0.as_secs())]
    Slow(Duration),
    /// Too many passwords are looked at.
    #[error("too many people sign in just now; try again in a few seconds")]
    Busy,
    /// The store did not take it.
    #[error("the sign-in could not be recorded")]
    Store(#[source] CommitError),
}

impl From<Held> for SignInError {
    fn from(held: Held) -> Self {
        match held {
            Held::Slow(wait) => Self::Slow(wait),
            Held::Busy => Self::Busy,
        }
    }
}

impl Accounts {
    /// Signs in with a password.
    pub async fn sign_in(&self, name: &str, typed: Secret, from: Option<IpAddr>) -> Result<SignedIn, SignInError> {
        let account = self.proved(&typed_id(name), typed, from).await?.ok_or(SignInError::Wrong)?;
        self.begin_session(&account, from, "password").await
    }

    /// The account whose password this is, as often as somebody may try from there. Whether there is such an account, and whether it is
    /// disabled, makes no difference that could be seen.
    pub(super) async fn proved(
        &self,
        id: &str,
        typed: Secret,
        from: Option<IpAddr>,
    ) -> Result<Option<Arc<Account>>, Held> {
        let (gate, real) = (&self.0.gate, &self.0.parts.real);
        let one = gate.admit(id, place_of(from), real.monotonic())?;
        let turn = match gate.turn(&one).await {
            Ok(turn) => turn,
            Err(held) => {
                gate.take_back(&one, real.monotonic());
                return Err(held);
            }
        };
        let account = self.book().accounts.get(id).map(|(account, _)| account.clone());
        let hash = account.as_ref().and_then(|account| account.password.clone());
        let hash = hash.unwrap_or_else(|| Secret::new(password::NOBODYS));
        let is_right = tokio::task::spawn_blocking(move || {
            typed.expose().len() <= LONGEST_PASSWORD && password::matches(typed.expose(), hash.expose())
        });
        let is_right = is_right.await.unwrap_or(false);
        drop(turn);
        let account = account.filter(|account| is_right && !account.disabled);
        if let Some(account) = &account {
            gate.succeed(&one, &account.id, real.monotonic());
        } else {
            // What was typed as the name is not logged: it may be the password.
            tracing::info!(source = from.map(tracing::field::display), "a password was refused");
        }
        Ok(account)
    }

    /// A link with which somebody signs in once, without a password, within `lasts`. The answer is its secret part.
    pub async fn make_link(&self, id: &str, lasts: Duration, by: &By) -> Result<Secret, AccountError> {
        let account = self.account(by, id)?;
        if let Some(powers) = &by.powers
            && !account.role.rights().is_subset(&powers.rights)
        {
            return Err(AccountError::BeyondOwn);
        }
        let facts = Facts::of_account(id).with("lasts_s", lasts.as_secs());
        self.store(self.entries(&account.reach, "account.link_made", by, &facts)).await?;
        let code = self.secret();
        let now = self.0.parts.real.now();
        let mut links = locked(&self.0.links);
        links.retain(|_, (_, until)| *until > now);
        if links.len() >= MOST_LINKS {
            return Err(AccountError::TooMany(MOST_LINKS));
        }
        links.insert(Hash::of(code.as_bytes()), (account.id.clone(), now + lasts));
        Ok(Secret::new(code))
    }

    /// Whether a link would do. Looking at it does not use it up: mail programs and browsers look by themselves.
    pub fn is_link(&self, code: &str) -> bool {
        let now = self.0.parts.real.now();
        locked(&self.0.links).get(&Hash::of(code.as_bytes())).is_some_and(|(_, until)| now < *until)
    }

    /// Signs in with a link, which is used up by that.
    pub async fn sign_in_once(&self, code: &str, from: Option<IpAddr>) -> Result<SignedIn, SignInError> {
        let found: Option<(Arc<str>, UtcMicros)> = locked(&self.0.links).remove(&Hash::of(code.as_bytes()));
        let now = self.0.parts.real.now();
        let id = found.filter(|(_, until)| now < *until).map(|(id, _)| id);
        let account = id.and_then(|id| self.book().accounts.get(&id).map(|(account, _)| account.clone()));
        let account = account.filter(|account| !account.disabled).ok_or(SignInError::Link)?;
        self.0.gate.learn(&account.id, place_of(from));
        self.begin_session(&account, from, "link").await
    }

    /// Ends a session. One that is over already is as well.
    pub async fn sign_out(&self, hash: Hash, from: Option<IpAddr>) -> Result<(), CommitError> {
        let _turn = self.0.turn.lock().await;
        let account = self.book().sessions.get(&hash).map(|entry| entry.session.account.clone());
        let Some(account) = account else { return Ok(()) };
        self.end_session(hash, &account, "account.signed_out", from).await
    }

    /// Ends a session of an account, with an entry. The turn is held.
    pub(super) async fn end_session(
        &self,
        hash: Hash,
        account: &Arc<str>,
        action: &'static str,
        from: Option<IpAddr>,
    ) -> Result<(), CommitError> {
        let reach = self.book().accounts.get(account).map(|(account, _)| account.reach.clone());
        let by = self_of(account, from);
        let entries = reach.map(|reach| self.entries(&reach, action, &by, &Facts::of_account(account)));
        let access = AccessChange { ended_sessions: vec![hash], ..AccessChange::default() };
        self.0.parts.writer.commit(Commit { access, ..entries.unwrap_or_default() }).await?;
        self.book_to_write().sessions.remove(&hash);
        self.tell_news();
        Ok(())
    }

    async fn begin_session(
        &self,
        known: &Account,
        from: Option<IpAddr>,
        how: &'static str,
    ) -> Result<SignedIn, SignInError> {
        let _turn = self.0.turn.lock().await;
        let (account, powers) = self.book().accounts.get(&known.id).cloned().ok_or(SignInError::Wrong)?;
        // It may have been disabled, or given another password, while this one was looked at.
        if account.disabled || account.password != known.password {
            return Err(SignInError::Wrong);
        }
        let mut ended = self.book().sessions_of(&account.id);
        ended.truncate((ended.len() + 1).saturating_sub(MOST_SESSIONS));
        let (cookie, now) = (self.secret(), self.0.parts.real.now());
        let session = Session {
            hash: Hash::of(cookie.as_bytes()),
            account: account.id.clone(),
            made_at: now,
            seen_at: now,
            source: from,
        };
        let facts = Facts::of_account(&account.id).with("how", how);
        let entries = self.entries(&account.reach, "account.signed_in", &self_of(&account.id, from), &facts);
        let access =
            AccessChange { sessions: vec![session.clone()], ended_sessions: ended.clone(), ..AccessChange::default() };
        self.0.parts.writer.commit(Commit { access, ..entries }).await.map_err(SignInError::Store)?;
        let mut book = self.book_to_write();
        for hash in &ended {
            book.sessions.remove(hash);
        }
        book.put_session(session);
        drop(book);
        if !ended.is_empty() {
            self.tell_news();
        }
        Ok(SignedIn { cookie: Secret::new(cookie), powers })
    }
}

/// Whoever signs in or out does so himself.
pub(super) fn self_of(id: &Arc<str>, source: Option<IpAddr>) -> By {
    By {
        actor: Actor::Person { id: id.clone() }.label(),
        asker: Asker { id: id.clone(), source },
        powers: None,
        reason: None,
    }
}
