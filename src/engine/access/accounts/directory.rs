//! Accounts, tokens and sessions in memory. Nobody else writes these to the store, so a request is authenticated
//! without reading the store, and a revocation takes effect at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::access::account::{Account, Session, StoredToken, TokenGrant};
use crate::domain::access::rights::{Right, Role, Scope};
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// How long sessions last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// The longest time without use.
    pub idle: Duration,
    /// The longest time in total.
    pub absolute: Duration,
}

/// How somebody was authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialKind {
    /// By a token of the configuration.
    Configured,
    /// By a stored token.
    Token,
    /// By an account.
    Account,
    /// By an identity proxy.
    Proxy,
}

/// Who somebody is, and what they may do where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permissions {
    /// The id used in audit entries.
    pub id: Arc<str>,
    /// The name shown to people.
    pub name: Arc<str>,
    /// How they were authenticated.
    pub kind: CredentialKind,
    /// The role, if the rights are those of a role.
    pub role: Option<Role>,
    /// The rights.
    pub rights: BTreeSet<Right>,
    /// The tenants and teams that they may access.
    pub scope: Scope,
}

/// When a session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpiry {
    /// The latest end.
    pub expires_at: UtcMicros,
    /// The end unless the session is used before.
    pub idle_until: UtcMicros,
}

pub(super) struct TokenEntry {
    pub(super) token: Arc<StoredToken>,
    permissions: Option<Arc<Permissions>>,
    /// In microseconds; 0 means never.
    last_used: AtomicI64,
}

pub(super) struct SessionEntry {
    pub(super) session: Session,
    last_used: AtomicI64,
}

impl SessionEntry {
    /// Returns when the session was last used.
    pub(super) fn last_used_at(&self) -> UtcMicros {
        UtcMicros::from_micros(self.last_used.load(Ordering::Relaxed))
    }

    pub(super) fn expiry(&self, limits: SessionLimits) -> SessionExpiry {
        SessionExpiry {
            expires_at: self.session.created_at + limits.absolute,
            idle_until: self.last_used_at() + limits.idle,
        }
    }

    fn is_valid(&self, limits: SessionLimits, now: UtcMicros) -> bool {
        let expiry = self.expiry(limits);
        now < expiry.expires_at && now < expiry.idle_until
    }
}

#[derive(Default)]
pub(super) struct Directory {
    pub(super) accounts: BTreeMap<Arc<str>, (Arc<Account>, Arc<Permissions>)>,
    pub(super) tokens: BTreeMap<Arc<str>, TokenEntry>,
    tokens_by_hash: HashMap<Hash, Arc<str>>,
    pub(super) sessions: HashMap<Hash, SessionEntry>,
}

impl Directory {
    pub(super) fn new(accounts: Vec<Account>, tokens: Vec<StoredToken>, sessions: Vec<Session>) -> Self {
        let mut directory = Self::default();
        for account in accounts {
            directory.put_account(account);
        }
        for token in tokens {
            directory.put_token(token);
        }
        for session in sessions {
            directory.put_session(session);
        }
        directory
    }

    pub(super) fn put_account(&mut self, account: Account) {
        let permissions = Permissions {
            id: account.id.clone(),
            name: display_name(&account),
            kind: CredentialKind::Account,
            role: Some(account.role),
            rights: account.role.rights(),
            scope: account.scope.clone(),
        };
        let id = account.id.clone();
        self.accounts.insert(id.clone(), (Arc::new(account), Arc::new(permissions)));
        let acts_as =
            |entry: &&TokenEntry| matches!(&entry.token.grant, TokenGrant::Account(account) if *account == id);
        let affected_tokens: Vec<_> = self.tokens.values().filter(acts_as).map(|entry| entry.token.clone()).collect();
        for token in affected_tokens {
            self.put_token(Arc::unwrap_or_clone(token));
        }
    }

    pub(super) fn put_token(&mut self, token: StoredToken) {
        let known = self.tokens.get(&token.id).map(|entry| entry.last_used.load(Ordering::Relaxed));
        let stored = token.last_used_at.map_or(0, UtcMicros::as_micros);
        let permissions = self.permissions_of_token(&token).map(Arc::new);
        self.tokens_by_hash.insert(token.hash, token.id.clone());
        let last_used = AtomicI64::new(known.unwrap_or(0).max(stored));
        self.tokens.insert(token.id.clone(), TokenEntry { token: Arc::new(token), permissions, last_used });
    }

    fn permissions_of_token(&self, token: &StoredToken) -> Option<Permissions> {
        let (role, rights, scope) = match &token.grant {
            TokenGrant::Role(role) => (Some(*role), role.rights(), token.scope.clone()),
            TokenGrant::Rights(rights) => (None, rights.clone(), token.scope.clone()),
            TokenGrant::Account(id) => {
                let (account, permissions) = self.accounts.get(id).filter(|(account, _)| !account.disabled)?;
                (Some(account.role), permissions.rights.clone(), permissions.scope.intersection(&token.scope))
            }
        };
        let (id, name) = (token.id.clone(), token.id.clone());
        Some(Permissions { id, name, kind: CredentialKind::Token, role, rights, scope })
    }

    pub(super) fn put_session(&mut self, session: Session) {
        // The session may have been used while an earlier use was being stored.
        let known = self.sessions.get(&session.hash).map_or(0, |entry| entry.last_used.load(Ordering::Relaxed));
        let last_used = AtomicI64::new(session.last_used_at.as_micros().max(known));
        self.sessions.insert(session.hash, SessionEntry { session, last_used });
    }

    pub(super) fn remove_token(&mut self, id: &str) {
        if let Some(entry) = self.tokens.remove(id) {
            self.tokens_by_hash.remove(&entry.token.hash);
        }
    }

    /// Returns the permissions of a token; `None` if the token is unknown or no longer valid.
    pub(super) fn token_permissions(&self, hash: &Hash, now: UtcMicros) -> Option<Arc<Permissions>> {
        let entry = self.tokens.get(self.tokens_by_hash.get(hash)?)?;
        if !entry.token.is_valid_at(now) {
            return None;
        }
        entry.last_used.fetch_max(now.as_micros(), Ordering::Relaxed);
        entry.permissions.clone()
    }

    /// Returns the permissions of a session; `None` if the session is unknown or has ended.
    pub(super) fn session_permissions(
        &self,
        hash: &Hash,
        limits: SessionLimits,
        now: UtcMicros,
    ) -> Option<Arc<Permissions>> {
        let entry = self.sessions.get(hash).filter(|entry| entry.is_valid(limits, now))?;
        let (account, permissions) = self.accounts.get(&entry.session.account)?;
        (!account.disabled).then(|| permissions.clone())
    }

    /// Records the use of a session.
    pub(super) fn record_session_use(&self, hash: &Hash, now: UtcMicros) {
        if let Some(entry) = self.sessions.get(hash) {
            entry.last_used.fetch_max(now.as_micros(), Ordering::Relaxed);
        }
    }

    pub(super) fn session_expiry(&self, hash: &Hash, limits: SessionLimits) -> Option<SessionExpiry> {
        self.sessions.get(hash).map(|entry| entry.expiry(limits))
    }

    /// Returns the sessions of an account, least recently used first.
    pub(super) fn sessions_of(&self, account: &str) -> Vec<Hash> {
        let of_account = self.sessions.values().filter(|entry| *entry.session.account == *account);
        let mut found: Vec<_> =
            of_account.map(|entry| (entry.last_used.load(Ordering::Relaxed), entry.session.hash)).collect();
        found.sort_by_key(|(last_used, _)| *last_used);
        found.into_iter().map(|(_, hash)| hash).collect()
    }

    /// Returns the sessions that have ended.
    pub(super) fn ended_sessions(&self, limits: SessionLimits, now: UtcMicros) -> Vec<Hash> {
        let ended = self.sessions.values().filter(|entry| !entry.is_valid(limits, now));
        ended.map(|entry| entry.session.hash).collect()
    }

    /// Returns the sessions and tokens whose stored last use is out of date by more than `tolerance`, with the values
    /// to store.
    pub(super) fn unsaved_uses(&self, tolerance: Duration) -> (Vec<Session>, Vec<StoredToken>) {
        let is_outdated = |stored: Option<UtcMicros>, last_used: i64| {
            last_used > stored.map_or(0, |stored| (stored + tolerance).as_micros())
        };
        let sessions = self.sessions.values().filter_map(|entry| {
            let last_used = entry.last_used.load(Ordering::Relaxed);
            is_outdated(Some(entry.session.last_used_at), last_used)
                .then(|| Session { last_used_at: UtcMicros::from_micros(last_used), ..entry.session.clone() })
        });
        let tokens = self.tokens.values().filter_map(|entry| {
            let last_used = entry.last_used.load(Ordering::Relaxed);
            is_outdated(entry.token.last_used_at, last_used).then(|| StoredToken {
                last_used_at: Some(UtcMicros::from_micros(last_used)),
                ..(*entry.token).clone()
            })
        });
        (sessions.collect(), tokens.collect())
    }
}

fn display_name(account: &Account) -> Arc<str> {
    if account.name.is_empty() { account.id.clone() } else { account.name.as_str().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TenantId;

    const LIMITS: SessionLimits = SessionLimits { idle: Duration::from_secs(10), absolute: Duration::from_secs(60) };

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros::from_micros(seconds * 1_000_000)
    }

    fn account(disabled: bool) -> Account {
        Account {
            id: "ann".into(),
            name: String::new(),
            password_hash: None,
            role: Role::Supervisor,
            scope: Scope::Only([(TenantId::from("acme"), Some(["Care".into()].into()))].into()),
            disabled,
            created_at: at(0),
            created_by: "person:ops".into(),
            changed_at: at(0),
            version: 1,
        }
    }

    fn session() -> Session {
        Session {
            hash: Hash([1; 32]),
            account: "ann".into(),
            created_at: at(0),
            last_used_at: at(0),
            source_address: None,
        }
    }

    fn token(grant: TokenGrant) -> StoredToken {
        StoredToken {
            id: "ci".into(),
            hash: Hash([2; 32]),
            grant,
            scope: Scope::Everywhere,
            created_at: at(0),
            created_by: "person:ops".into(),
            expires_at: Some(at(100)),
            revoked_at: None,
            revoked_by: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_no_longer_than_that() {
        let directory = Directory::new(vec![account(false)], vec![], vec![session()]);
        let hash = session().hash;
        assert!(directory.session_permissions(&hash, LIMITS, at(9)).is_some());
        assert!(directory.session_permissions(&hash, LIMITS, at(10)).is_none(), "unused");
        for second in [9, 18, 27, 36, 45, 54] {
            assert!(directory.session_permissions(&hash, LIMITS, at(second)).is_some());
            directory.record_session_use(&hash, at(second));
        }
        assert!(directory.session_permissions(&hash, LIMITS, at(59)).is_some());
        assert!(directory.session_permissions(&hash, LIMITS, at(60)).is_none(), "long enough");
        assert_eq!(directory.ended_sessions(LIMITS, at(60)), [hash]);
        assert!(directory.session_permissions(&Hash([9; 32]), LIMITS, at(1)).is_none());
    }

    #[test]
    fn a_token_that_acts_as_an_account_follows_it() {
        let mut directory =
            Directory::new(vec![account(false)], vec![token(TokenGrant::Account("ann".into()))], vec![session()]);
        let permissions = directory.token_permissions(&Hash([2; 32]), at(1)).expect("counts");
        assert_eq!((permissions.role, &permissions.scope), (Some(Role::Supervisor), &account(false).scope));
        directory.put_account(Account { role: Role::Viewer, ..account(false) });
        assert_eq!(directory.token_permissions(&Hash([2; 32]), at(1)).expect("counts").role, Some(Role::Viewer));
        directory.put_account(account(true));
        assert!(directory.token_permissions(&Hash([2; 32]), at(1)).is_none());
        assert!(directory.session_permissions(&Hash([1; 32]), LIMITS, at(1)).is_none());
    }

    #[test]
    fn a_token_ends_when_it_expires_is_revoked_or_forgotten() {
        let mut directory = Directory::new(vec![], vec![token(TokenGrant::Role(Role::Viewer))], vec![]);
        let hash = Hash([2; 32]);
        assert!(directory.token_permissions(&hash, at(99)).is_some());
        assert!(directory.token_permissions(&hash, at(100)).is_none());
        directory.put_token(StoredToken { revoked_at: Some(at(5)), ..token(TokenGrant::Role(Role::Viewer)) });
        assert!(directory.token_permissions(&hash, at(6)).is_none());
        directory.remove_token("ci");
        assert!(directory.tokens.is_empty() && directory.tokens_by_hash.is_empty());
    }

    #[test]
    fn only_a_use_that_the_store_has_wrong_by_much_is_written() {
        let directory =
            Directory::new(vec![account(false)], vec![token(TokenGrant::Role(Role::Viewer))], vec![session()]);
        let tolerance = Duration::from_secs(5);
        assert_eq!(directory.unsaved_uses(tolerance), (vec![], vec![]));
        directory.record_session_use(&session().hash, at(5));
        assert_eq!(directory.unsaved_uses(tolerance), (vec![], vec![]));
        directory.record_session_use(&session().hash, at(8));
        directory.record_session_use(&session().hash, at(7));
        directory.token_permissions(&Hash([2; 32]), at(9)).expect("counts");
        let (sessions, tokens) = directory.unsaved_uses(tolerance);
        assert_eq!(sessions, [Session { last_used_at: at(8), ..session() }]);
        assert_eq!(tokens[0].last_used_at, Some(at(9)));
    }
}
