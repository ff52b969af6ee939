//! Accounts, stored API tokens and sessions: who may use the daemon beside the tokens of the configuration. What a request needs to
//! know is in memory (`book`); every change is one commit with an entry in the audit chain of each tenant that it reaches.
//!
//! It knows nothing of HTTP: cookies, headers and pages are the face's. What expires goes by real time, whatever the daemon's clock.

mod book;
mod gate;
mod manage;
mod own;
mod password;
mod sign_in;
#[cfg(test)]
mod tests;
pub mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tokio::sync::watch;

use self::book::Book;
use self::gate::{Gate, Held, place_of};
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::access::account::{Account, BadField, StoredToken};
use crate::domain::access::rights::{Asker, BadReach, Reach};
use crate::domain::audit::{AuditDraft, Hash, note_hash};
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::operations::tenants::Tenants;
use crate::store::{Commit, CommitError, NoteWrite, ReadError, Reader, Writer};

pub use book::{Kind, Powers, SessionEnds, SessionLimits};
pub use manage::{AccountChanges, NewAccount, NewToken};
pub use own::OwnSession;
pub use sign_in::{LINK_LASTS, SignInError, SignedIn};

/// The most accounts.
pub const MOST_ACCOUNTS: usize = 10_000;

/// The most stored tokens that count.
pub const MOST_TOKENS: usize = 10_000;

/// What `Accounts` works with.
pub struct AccountsParts {
    /// The one writer.
    pub writer: Writer,
    /// The daemon's clock, for audit entries.
    pub clock: SharedClock,
    /// Real time, for what expires.
    pub real: SharedClock,
    /// Secrets and salts.
    pub random: SharedRandom,
    /// The tenants in whose chains is written.
    pub tenants: Tenants,
    /// How long sessions last; a reload may change it.
    pub limits: watch::Receiver<SessionLimits>,
    /// The ids of the configuration's tokens, which nobody else may have; a reload may change them.
    pub taken: watch::Receiver<Arc<[Arc<str>]>>,
}

/// All who may use the daemon beside the configuration's tokens. Cheap to clone; clones share what is in it.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    parts: AccountsParts,
    book: RwLock<Book>,
    /// Counts up whenever somebody may have lost a right.
    news: watch::Sender<u64>,
    /// Held over each change, from the look at what is to the commit.
    turn: tokio::sync::Mutex<()>,
    gate: Gate,
    /// Sign-in links by hash: whose, and until when.
    links: Mutex<HashMap<Hash, (Arc<str>, UtcMicros)>>,
    /// Sessions that are over and still stand in the store.
    over: Mutex<Vec<Hash>>,
}

/// How an account stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// There is none of that id.
    Nobody,
    /// It is disabled.
    Disabled,
    /// It gives this.
    Counts(Arc<Powers>),
}

/// Why an account or a token was not made, changed or found. Nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccountError {
    /// An id, a name or a password will not do.
    #[error("{0}")]
    Field(#[from] BadField),
    /// The reach will not do.
    #[error("{0}")]
    Reach(#[from] BadReach),
    /// The tenant is not served.
    #[error("there is no tenant {0} within reach")]
    NoTenant(TenantId),
    /// Somebody has the id.
    #[error("the id {0} is taken, by an account or a token: choose another")]
    Taken(Arc<str>),
    /// Nobody has the id.
    #[error("there is no account {0} within reach")]
    NoAccount(String),
    /// No token has the id.
    #[error("there is no token {0} within reach")]
    NoToken(String),
    /// There are too many.
    #[error("there are {0} already, which is the most: disable or revoke some first")]
    TooMany(usize),
    /// It would give more than who asks has.
    #[error("nobody can give rights, tenants or teams that he does not have himself")]
    BeyondOwn,
    /// It would take the own right away.
    #[error(
        "nobody can disable or demote his own account: ask somebody else who may, or stop the daemon and use the command line"
    )]
    Own,
    /// A token would act as two things.
    #[error("a token has a role, rights by name or an account: give it one of them")]
    Grant,
    /// The account was changed meanwhile.
    #[error("the account was changed meanwhile: it is at version {now}")]
    Changed {
        /// Its version.
        now: u64,
    },
    /// It is in the past, or too far away.
    #[error("a token expires in 1 to 3650 days")]
    Expiry,
    /// The account has no such session, or it is over.
    #[error("there is no session {0} of this account; it may be over")]
    NoSession(String),
    /// The password that was to be replaced is another one.
    #[error(
        "the present password is another one, or there is none: who forgot it asks for a link to sign in, and for a new one"
    )]
    WrongPassword,
    /// Too many were wrong.
    #[error("too many wrong passwords; try again in {} s", .0.as_secs())]
    Slow(Duration),
    /// Too many passwords are looked at.
    #[error("too many passwords are being looked at just now; try again in a few seconds")]
    Busy,
    /// The store did not take it.
    #[error("it could not be stored; nothing was changed")]
    Store(#[source] CommitError),
}

impl From<Held> for AccountError {
    fn from(held: Held) -> Self {
        match held {
            Held::Slow(wait) => Self::Slow(wait),
            Held::Busy => Self::Busy,
        }
    }
}

/// Who changes something, for the audit chain, and how far that may go.
#[derive(Clone, Debug)]
pub struct By {
    /// As the audit chain calls him, with the kind: `person:ann`.
    pub actor: String,
    /// From where.
    pub asker: Asker,
    /// What he has himself; nothing bounds whoever has the store's file.
    pub powers: Option<Arc<Powers>>,
    /// Why, in his own words.
    pub reason: Option<String>,
}

impl By {
    /// Somebody who asks over the network.
    pub fn person(asker: Asker, powers: Arc<Powers>, reason: Option<String>) -> Self {
        Self { actor: Actor::Person { id: asker.id.clone() }.label(), asker, powers: Some(powers), reason }
    }

    /// The command line, on a store that no daemon has.
    pub fn command(name: &str, reason: Option<String>) -> Self {
        Self { actor: format!("command:{name}"), asker: Asker::named(name), powers: None, reason }
    }

    fn reaches(&self, reach: &Reach) -> bool {
        self.powers.as_ref().is_none_or(|powers| powers.reach.covers(reach))
    }
}

impl Accounts {
    /// Reads all there are.
    pub async fn load(parts: AccountsParts, reader: &Reader) -> Result<Self, ReadError> {
        let (accounts, tokens, sessions) =
            (reader.accounts().await?, reader.api_tokens().await?, reader.sessions().await?);
        let gate = Gate::new();
        for session in &sessions {
            gate.learn(&session.account, place_of(session.source));
        }
        Ok(Self(Arc::new(Inner {
            parts,
            book: RwLock::new(Book::new(accounts, tokens, sessions)),
            news: watch::Sender::new(0),
            turn: tokio::sync::Mutex::default(),
            gate,
            links: Mutex::default(),
            over: Mutex::default(),
        })))
    }

    /// What the holder of a stored token has; `None` for a text that is none, or none any more.
    pub fn token(&self, text: &str) -> Option<(Hash, Arc<Powers>)> {
        let hash = Hash::of(text.as_bytes());
        self.token_of(&hash).map(|powers| (hash, powers))
    }

    /// The same, of a token that was known before.
    pub fn token_of(&self, hash: &Hash) -> Option<Arc<Powers>> {
        self.book().token(hash, self.0.parts.real.now())
    }

    /// What somebody has who has signed in, by the value of the cookie. Counts as use.
    pub fn session(&self, cookie: &str) -> Option<(Hash, Arc<Powers>)> {
        let hash = Hash::of(cookie.as_bytes());
        let powers = self.session_of(&hash)?;
        self.touch(&hash);
        Some((hash, powers))
    }

    /// The same, of a session that was known before. Is no use.
    pub fn session_of(&self, hash: &Hash) -> Option<Arc<Powers>> {
        self.book().session(hash, self.limits(), self.0.parts.real.now())
    }

    /// Somebody still looks.
    pub fn touch(&self, session: &Hash) {
        self.book().touch(session, self.0.parts.real.now());
    }

    /// When a session ends.
    pub fn session_ends(&self, hash: &Hash) -> Option<SessionEnds> {
        self.book().session_ends(hash, self.limits())
    }

    /// How an account stands, by its id, whoever asks.
    pub fn standing(&self, id: &str) -> Standing {
        match self.book().accounts.get(id) {
            None => Standing::Nobody,
            Some((account, _)) if account.disabled => Standing::Disabled,
            Some((_, powers)) => Standing::Counts(powers.clone()),
        }
    }

    /// Told whenever somebody may have lost a right.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// How long a cookie may last.
    pub fn limits(&self) -> SessionLimits {
        *self.0.parts.limits.borrow()
    }

    /// The accounts after an id that somebody may see, at most `limit`.
    pub fn accounts(&self, by: &By, after: Option<&str>, limit: usize) -> Vec<Arc<Account>> {
        let book = self.book();
        let all = book.accounts.values().map(|(account, _)| account);
        let page = all.filter(|account| after.is_none_or(|after| &*account.id > after) && by.reaches(&account.reach));
        page.take(limit).cloned().collect()
    }

    /// One account that somebody may see.
    pub fn account(&self, by: &By, id: &str) -> Result<Arc<Account>, AccountError> {
        let found = self.book().accounts.get(id).map(|(account, _)| account.clone());
        found.filter(|account| by.reaches(&account.reach)).ok_or_else(|| AccountError::NoAccount(id.to_owned()))
    }

    /// The tokens after an id that somebody may see, at most `limit`; also those that ended not long ago.
    pub fn tokens(&self, by: &By, after: Option<&str>, limit: usize) -> Vec<Arc<StoredToken>> {
        let book = self.book();
        let all = book.tokens.values().map(|entry| &entry.token);
        let page = all.filter(|token| after.is_none_or(|after| &*token.id > after) && by.reaches(&token.reach));
        page.take(limit).cloned().collect()
    }

    fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.0.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn book_to_write(&self) -> RwLockWriteGuard<'_, Book> {
        self.0.book.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_news(&self) {
        self.0.news.send_modify(|news| *news = news.wrapping_add(1));
    }

    /// Thirty-two random bytes as text.
    fn secret(&self) -> String {
        let random = &self.0.parts.random;
        URL_SAFE_NO_PAD.encode([random.bytes(), random.bytes()].concat())
    }

    /// An entry for the chain of each served tenant that `reach` has, with the note where a reason was given.
    fn entries(&self, reach: &Reach, action: &'static str, by: &By, facts: &Facts) -> Commit {
        let mut commit = Commit::default();
        for tenant in self.0.parts.tenants.ids().into_iter().filter(|tenant| reach.has(tenant)) {
            let note = by.reason.as_ref().map(|reason| {
                let salt = self.0.parts.random.bytes();
                let hash = note_hash(&salt, reason);
                commit.notes.push(NoteWrite { tenant: tenant.clone(), hash, salt, text: reason.clone() });
                hash
            });
            let (at, why) = (self.0.parts.clock.now(), facts.of(&tenant, by));
            commit.audit.push(AuditDraft { note, ..AuditDraft::new(tenant, at, &*by.actor, action, why) });
        }
        commit
    }

    async fn store(&self, commit: Commit) -> Result<(), AccountError> {
        self.0.parts.writer.commit(commit).await.map(|_| ()).map_err(AccountError::Store)
    }
}

/// What an entry tells beside who and when.
#[derive(Default)]
struct Facts {
    plain: Map<String, Value>,
    /// Of this, the part that is about the chain's tenant.
    reach: Option<Reach>,
}

impl Facts {
    fn of_account(id: &str) -> Self {
        Self::default().with("account", id)
    }

    fn of_token(id: &str) -> Self {
        Self::default().with("token", id)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.plain.insert(name.to_owned(), value.into());
        self
    }

    fn reaching(self, reach: &Reach) -> Self {
        Self { reach: Some(reach.clone()), ..self }
    }

    fn of(&self, tenant: &TenantId, by: &By) -> Value {
        let mut facts = self.plain.clone();
        if let Some(reach) = &self.reach {
            let teams = match reach.teams(tenant) {
                _ if !reach.has(tenant) => Vec::<&str>::new().into(),
                None => Value::from("*"),
                Some(teams) => teams.iter().map(TeamName::as_str).collect::<Vec<_>>().into(),
            };
            facts.insert("teams".to_owned(), teams);
        }
        if let Some(source) = by.asker.source {
            facts.insert("source".to_owned(), source.to_string().into());
        }
        Value::Object(facts)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long uses may stand in memory alone before the store is told.
const TOLD_WITHIN: Duration = Duration::from_secs(300);
