//! Accounts, stored API tokens and sessions: who may use the daemon besides the configured tokens. Everything that a
//! request needs is in memory (`directory`); each change is one commit with an entry in the audit chain of each tenant
//! that it affects.
//!
//! This module knows nothing of HTTP; cookies, headers and pages belong to the HTTP layer. Expiry uses real time,
//! whatever the daemon's clock says.

mod administration;
mod directory;
pub mod maintenance;
mod own_account;
mod password;
mod sign_in;
#[cfg(test)]
mod tests;
mod throttle;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;

use self::directory::Directory;
use self::throttle::{Rejected, SignInThrottle, address_prefix};
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::access::account::{Account, FieldError, StoredToken};
use crate::domain::access::rights::{Requester, Scope, ScopeError};
use crate::domain::audit::{AuditDraft, Hash, note_hash};
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::operations::tenants::Tenants;
use crate::store::{Commit, CommitError, NoteWrite, ReadError, Reader, Writer};

pub use administration::{AccountChanges, NewAccount, NewToken};
pub use directory::{CredentialKind, Permissions, SessionExpiry, SessionLimits};
pub use own_account::OwnSession;
pub use sign_in::{LINK_LIFETIME, SignInError, SignedIn};

/// The largest number of accounts.
pub const MAX_ACCOUNTS: usize = 10_000;

/// The largest number of valid stored tokens.
pub const MAX_TOKENS: usize = 10_000;

/// The services that `Accounts` uses.
pub struct AccountServices {
    /// The store's writer.
    pub writer: Writer,
    /// The daemon's clock, for audit entries.
    pub clock: SharedClock,
    /// Real time, for expiry.
    pub real_clock: SharedClock,
    /// The source of secrets and salts.
    pub random: SharedRandom,
    /// The tenants whose audit chains are written.
    pub tenants: Tenants,
    /// How long sessions last; may change on reload.
    pub limits: watch::Receiver<SessionLimits>,
    /// The ids of the configured tokens, which nobody else may use; may change on reload.
    pub reserved_ids: watch::Receiver<Arc<[Arc<str>]>>,
}

/// All accounts, stored tokens and sessions. Cheap to clone; clones share the same data.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    services: AccountServices,
    directory: RwLock<Directory>,
    /// Incremented whenever somebody may have lost a right.
    updates: watch::Sender<u64>,
    /// Held during each change, from reading the current values to the commit.
    change_lock: tokio::sync::Mutex<()>,
    throttle: SignInThrottle,
    /// Sign-in links by hash, with the account and the time of expiry.
    sign_in_links: Mutex<HashMap<Hash, (Arc<str>, UtcMicros)>>,
    /// Ended sessions that are still in the store.
    ended_sessions: Mutex<Vec<Hash>>,
}

/// The status of an account.
#[derive(Clone, Debug)]
pub enum AccountStatus {
    /// There is no account with this id.
    NotFound,
    /// The account is disabled.
    Disabled,
    /// The account is active and has these permissions.
    Active(Arc<Permissions>),
}

/// Why a request about an account or a token failed. Nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccountError {
    /// An id, a name or a password is not acceptable.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// The scope is not acceptable.
    #[error("{0}")]
    Scope(#[from] ScopeError),
    /// The tenant is not served.
    #[error("there is no tenant {0}, or you cannot access it")]
    NoTenant(TenantId),
    /// The id is already in use.
    #[error("the id {0} is taken, by an account or a token: choose another")]
    IdInUse(Arc<str>),
    /// No account has the id.
    #[error("there is no account {0}, or you cannot access it")]
    NoAccount(String),
    /// No token has the id.
    #[error("there is no token {0}, or you cannot access it")]
    NoToken(String),
    /// There are already as many as there may be.
    #[error("there are already {0}, which is the limit: disable or revoke some first")]
    TooMany(usize),
    /// The change would grant more than the requester has.
    #[error("you cannot grant rights, tenants or teams that you do not have yourself")]
    BeyondOwnRights,
    /// The requester would lose their own access.
    #[error(
        "you cannot disable or demote your own account: ask another administrator, or stop the daemon and use the command line"
    )]
    OwnAccount,
    /// The token is given more than one of role, rights and account.
    #[error("a token needs exactly one of a role, individual rights and an account")]
    AmbiguousGrant,
    /// The account has been changed since it was read.
    #[error("the account was changed in the meantime and is now at version {now}: read it again and repeat the change")]
    Changed {
        /// The current version.
        now: u64,
    },
    /// The expiry is in the past or too far in the future.
    #[error("a token expires in 1 to 3650 days")]
    InvalidExpiry,
    /// The account has no such session, or it has ended.
    #[error("this account has no session {0}; it may have ended")]
    NoSession(String),
    /// The current password is wrong.
    #[error(
        "the current password is wrong, or there is none: if you have forgotten it, ask an administrator for a sign-in link"
    )]
    WrongPassword,
    /// Too many wrong passwords; how long to wait.
    #[error("too many wrong passwords; try again in {} s", .0.as_secs())]
    Throttled(Duration),
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked at the moment; try again in a few seconds")]
    Busy,
    /// The change could not be stored.
    #[error("the change could not be stored; nothing was changed")]
    Store(#[source] CommitError),
}

impl From<Rejected> for AccountError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Throttled(wait) => Self::Throttled(wait),
            Rejected::Busy => Self::Busy,
        }
    }
}

/// Who makes a change, for the audit chain, and with which permissions.
#[derive(Clone, Debug)]
pub struct Author {
    /// The actor in the audit chain, with its kind: `person:ann`.
    pub actor: String,
    /// The requester, with the address.
    pub requester: Requester,
    /// Their own permissions; `None` means no limit, for the command line with access to the store's file.
    pub permissions: Option<Arc<Permissions>>,
    /// Why, in their own words.
    pub reason: Option<String>,
}

impl Author {
    /// Creates the author for a request over the network.
    pub fn person(requester: Requester, permissions: Arc<Permissions>, reason: Option<String>) -> Self {
        Self {
            actor: Actor::Person { id: requester.id.clone() }.label(),
            requester,
            permissions: Some(permissions),
            reason,
        }
    }

    /// Creates the author for the command line, which works on a store that no daemon uses.
    pub fn command_line(name: &str, reason: Option<String>) -> Self {
        Self { actor: format!("command:{name}"), requester: Requester::without_source(name), permissions: None, reason }
    }

    fn covers(&self, scope: &Scope) -> bool {
        self.permissions.as_ref().is_none_or(|powers| powers.scope.covers(scope))
    }
}

impl Accounts {
    /// Reads all accounts, tokens and sessions from the store.
    pub async fn load(services: AccountServices, reader: &Reader) -> Result<Self, ReadError> {
        let (accounts, tokens, sessions) =
            (reader.accounts().await?, reader.api_tokens().await?, reader.sessions().await?);
        let throttle = SignInThrottle::new();
        for session in &sessions {
            throttle.remember_address(&session.account, address_prefix(session.source_address));
        }
        Ok(Self(Arc::new(Inner {
            services,
            directory: RwLock::new(Directory::new(accounts, tokens, sessions)),
            updates: watch::Sender::new(0),
            change_lock: tokio::sync::Mutex::default(),
            throttle,
            sign_in_links: Mutex::default(),
            ended_sessions: Mutex::default(),
        })))
    }

    /// Authenticates a stored token by its text; `None` if it is unknown or no longer valid.
    pub fn authenticate_token(&self, text: &str) -> Option<(Hash, Arc<Permissions>)> {
        let hash = Hash::of(text.as_bytes());
        self.token_permissions(&hash).map(|permissions| (hash, permissions))
    }

    /// Returns the permissions of a stored token by its hash; `None` if it is unknown or no longer valid.
    pub fn token_permissions(&self, hash: &Hash) -> Option<Arc<Permissions>> {
        self.directory().token_permissions(hash, self.0.services.real_clock.now())
    }

    /// Authenticates a session by the value of its cookie, and records the use.
    pub fn authenticate_session(&self, cookie: &str) -> Option<(Hash, Arc<Permissions>)> {
        let hash = Hash::of(cookie.as_bytes());
        let permissions = self.session_permissions(&hash)?;
        self.record_session_use(&hash);
        Some((hash, permissions))
    }

    /// Returns the permissions of a session by its hash, without recording a use.
    pub fn session_permissions(&self, hash: &Hash) -> Option<Arc<Permissions>> {
        self.directory().session_permissions(hash, self.limits(), self.0.services.real_clock.now())
    }

    /// Records the use of a session.
    pub fn record_session_use(&self, session: &Hash) {
        self.directory().record_session_use(session, self.0.services.real_clock.now());
    }

    /// Returns when a session ends.
    pub fn session_expiry(&self, hash: &Hash) -> Option<SessionExpiry> {
        self.directory().session_expiry(hash, self.limits())
    }

    /// Returns the status of an account, regardless of who asks.
    pub fn status(&self, id: &str) -> AccountStatus {
        match self.directory().accounts.get(id) {
            None => AccountStatus::NotFound,
            Some((account, _)) if account.disabled => AccountStatus::Disabled,
            Some((_, permissions)) => AccountStatus::Active(permissions.clone()),
        }
    }

    /// Returns a receiver that changes whenever somebody may have lost a right.
    pub fn updates(&self) -> watch::Receiver<u64> {
        self.0.updates.subscribe()
    }

    /// Returns how long sessions last.
    pub fn limits(&self) -> SessionLimits {
        *self.0.services.limits.borrow()
    }

    /// Returns at most `limit` accounts after the id `after` that the author may see.
    pub fn accounts(&self, by: &Author, after: Option<&str>, limit: usize) -> Vec<Arc<Account>> {
        let directory = self.directory();
        let all = directory.accounts.values().map(|(account, _)| account);
        let page = all.filter(|account| after.is_none_or(|after| &*account.id > after) && by.covers(&account.scope));
        page.take(limit).cloned().collect()
    }

    /// Returns one account, if the author may see it.
    pub fn account(&self, by: &Author, id: &str) -> Result<Arc<Account>, AccountError> {
        let found = self.directory().accounts.get(id).map(|(account, _)| account.clone());
        found.filter(|account| by.covers(&account.scope)).ok_or_else(|| AccountError::NoAccount(id.to_owned()))
    }

    /// Returns at most `limit` tokens after the id `after` that the author may see, including recently ended ones.
    pub fn tokens(&self, by: &Author, after: Option<&str>, limit: usize) -> Vec<Arc<StoredToken>> {
        let directory = self.directory();
        let all = directory.tokens.values().map(|entry| &entry.token);
        let page = all.filter(|token| after.is_none_or(|after| &*token.id > after) && by.covers(&token.scope));
        page.take(limit).cloned().collect()
    }

    /// Returns the tokens that are valid now and that the author can access, ordered by id.
    pub fn valid_tokens(&self, by: &Author) -> Vec<Arc<StoredToken>> {
        let now = self.0.services.real_clock.now();
        let mut tokens = self.tokens(by, None, usize::MAX);
        tokens.retain(|token| token.is_valid_at(now));
        tokens
    }

    fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.0.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.0.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify_update(&self) {
        self.0.updates.send_modify(|news| *news = news.wrapping_add(1));
    }

    /// Returns an audit entry for each served tenant in `scope`, with a note if a reason was given.
    fn audit_entries(&self, scope: &Scope, action: &'static str, by: &Author, details: &AuditDetails) -> Commit {
        let mut commit = Commit::default();
        for tenant in self.0.services.tenants.ids().into_iter().filter(|tenant| scope.covers_tenant(tenant)) {
            let note = by.reason.as_ref().map(|reason| {
                let salt = self.0.services.random.bytes();
                let hash = note_hash(&salt, reason);
                commit.notes.push(NoteWrite { tenant: tenant.clone(), hash, salt, text: reason.clone() });
                hash
            });
            let (at, entry_details) = (self.0.services.clock.now(), details.for_tenant(&tenant, by));
            commit
                .audit
                .push(AuditDraft { note_hash: note, ..AuditDraft::new(tenant, at, &*by.actor, action, entry_details) });
        }
        commit
    }

    async fn store(&self, commit: Commit) -> Result<(), AccountError> {
        self.0.services.writer.commit(commit).await.map(|_| ()).map_err(AccountError::Store)
    }
}

/// The details of an audit entry.
#[derive(Default)]
struct AuditDetails {
    fields: Map<String, Value>,
    /// The scope, of which each entry shows the part for its own tenant.
    scope: Option<Scope>,
}

impl AuditDetails {
    fn of_account(id: &str) -> Self {
        Self::default().with("account", id)
    }

    fn of_token(id: &str) -> Self {
        Self::default().with("token", id)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    fn with_scope(self, scope: &Scope) -> Self {
        Self { scope: Some(scope.clone()), ..self }
    }

    fn for_tenant(&self, tenant: &TenantId, by: &Author) -> Value {
        let mut details = self.fields.clone();
        if let Some(scope) = &self.scope {
            let teams = match scope.teams(tenant) {
                _ if !scope.covers_tenant(tenant) => Vec::<&str>::new().into(),
                None => Value::from("*"),
                Some(teams) => teams.iter().map(TeamName::as_str).collect::<Vec<_>>().into(),
            };
            details.insert("teams".to_owned(), teams);
        }
        if let Some(source) = by.requester.source {
            details.insert("source".to_owned(), source.to_string().into());
        }
        Value::Object(details)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long last uses may be kept in memory before they are stored.
const MAX_UNSAVED_USE: Duration = Duration::from_secs(300);
