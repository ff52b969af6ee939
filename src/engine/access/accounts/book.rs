//! Accounts, tokens and sessions in memory. It is what the store has, since nobody else writes the store: so a request is known
//! without a look into it, and what is revoked is revoked at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::domain::access::account::{Account, Grant, Session, StoredToken};
use crate::domain::access::rights::{Reach, Right, Role};
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;

/// How long sessions last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// Without use.
    pub idle: Duration,
    /// With it.
    pub longest: Duration,
}

/// What somebody is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A token of the configuration.
    Configured,
    /// A stored token.
    Token,
    /// An account.
    Account,
    /// The word of an identity proxy.
    Proxy,
}

/// What somebody has: who they are, what they may do, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Powers {
    /// As audit entries call them.
    pub id: Arc<str>,
    /// Their name for people.
    pub name: Arc<str>,
    /// What they are known by.
    pub kind: Kind,
    /// Their role, where their rights are those of one.
    pub role: Option<Role>,
    /// What they may do.
    pub rights: BTreeSet<Right>,
    /// Where.
    pub reach: Reach,
}

/// When a session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionEnds {
    /// At the latest.
    pub expires_at: UtcMicros,
    /// Unless it is used before.
    pub idle_until: UtcMicros,
}

pub(super) struct TokenEntry {
    pub(super) token: Arc<StoredToken>,
    powers: Option<Arc<Powers>>,
    /// Microseconds; 0 for never.
    used: AtomicI64,
}

pub(super) struct SessionEntry {
    pub(super) session: Session,
    seen: AtomicI64,
}

impl SessionEntry {
    /// When it was last used.
    pub(super) fn seen_at(&self) -> UtcMicros {
        UtcMicros::from_micros(self.seen.load(Ordering::Relaxed))
    }

    pub(super) fn ends(&self, limits: SessionLimits) -> SessionEnds {
        SessionEnds { expires_at: self.session.made_at + limits.longest, idle_until: self.seen_at() + limits.idle }
    }

    fn lasts(&self, limits: SessionLimits, now: UtcMicros) -> bool {
        let ends = self.ends(limits);
        now < ends.expires_at && now < ends.idle_until
    }
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) accounts: BTreeMap<Arc<str>, (Arc<Account>, Arc<Powers>)>,
    pub(super) tokens: BTreeMap<Arc<str>, TokenEntry>,
    tokens_by_hash: HashMap<Hash, Arc<str>>,
    pub(super) sessions: HashMap<Hash, SessionEntry>,
}

impl Book {
    pub(super) fn new(accounts: Vec<Account>, tokens: Vec<StoredToken>, sessions: Vec<Session>) -> Self {
        let mut book = Self::default();
        for account in accounts {
            book.put_account(account);
        }
        for token in tokens {
            book.put_token(token);
        }
        for session in sessions {
            book.put_session(session);
        }
        book
    }

    pub(super) fn put_account(&mut self, account: Account) {
        let powers = Powers {
            id: account.id.clone(),
            name: name_of(&account),
            kind: Kind::Account,
            role: Some(account.role),
            rights: account.role.rights(),
            reach: account.reach.clone(),
        };
        let id = account.id.clone();
        self.accounts.insert(id.clone(), (Arc::new(account), Arc::new(powers)));
        let acts_as = |entry: &&TokenEntry| matches!(&entry.token.grant, Grant::Account(account) if *account == id);
        let concerned: Vec<_> = self.tokens.values().filter(acts_as).map(|entry| entry.token.clone()).collect();
        for token in concerned {
            self.put_token(Arc::unwrap_or_clone(token));
        }
    }

    pub(super) fn put_token(&mut self, token: StoredToken) {
        let known = self.tokens.get(&token.id).map(|entry| entry.used.load(Ordering::Relaxed));
        let stored = token.last_used_at.map_or(0, UtcMicros::as_micros);
        let powers = self.powers_of(&token).map(Arc::new);
        self.tokens_by_hash.insert(token.hash, token.id.clone());
        let used = AtomicI64::new(known.unwrap_or(0).max(stored));
        self.tokens.insert(token.id.clone(), TokenEntry { token: Arc::new(token), powers, used });
    }

    fn powers_of(&self, token: &StoredToken) -> Option<Powers> {
        let (role, rights, reach) = match &token.grant {
            Grant::Role(role) => (Some(*role), role.rights(), token.reach.clone()),
            Grant::Rights(rights) => (None, rights.clone(), token.reach.clone()),
            Grant::Account(id) => {
                let (account, powers) = self.accounts.get(id).filter(|(account, _)| !account.disabled)?;
                (Some(account.role), powers.rights.clone(), powers.reach.meet(&token.reach))
            }
        };
        let (id, name) = (token.id.clone(), token.id.clone());
        Some(Powers { id, name, kind: Kind::Token, role, rights, reach })
    }

    pub(super) fn put_session(&mut self, session: Session) {
        // Somebody may have used it while the store was told of an earlier use.
        let known = self.sessions.get(&session.hash).map_or(0, |entry| entry.seen.load(Ordering::Relaxed));
        let seen = AtomicI64::new(session.seen_at.as_micros().max(known));
        self.sessions.insert(session.hash, SessionEntry { session, seen });
    }

    pub(super) fn forget_token(&mut self, id: &str) {
        if let Some(entry) = self.tokens.remove(id) {
            self.tokens_by_hash.remove(&entry.token.hash);
        }
    }

    /// What the holder of a token has.
    pub(super) fn token(&self, hash: &Hash, now: UtcMicros) -> Option<Arc<Powers>> {
        let entry = self.tokens.get(self.tokens_by_hash.get(hash)?)?;
        if !entry.token.counts_at(now) {
            return None;
        }
        entry.used.fetch_max(now.as_micros(), Ordering::Relaxed);
        entry.powers.clone()
    }

    /// What somebody who has signed in has.
    pub(super) fn session(&self, hash: &Hash, limits: SessionLimits, now: UtcMicros) -> Option<Arc<Powers>> {
        let entry = self.sessions.get(hash).filter(|entry| entry.lasts(limits, now))?;
        let (account, powers) = self.accounts.get(&entry.session.account)?;
        (!account.disabled).then(|| powers.clone())
    }

    /// A session is used.
    pub(super) fn touch(&self, hash: &Hash, now: UtcMicros) {
        if let Some(entry) = self.sessions.get(hash) {
            entry.seen.fetch_max(now.as_micros(), Ordering::Relaxed);
        }
    }

    pub(super) fn session_ends(&self, hash: &Hash, limits: SessionLimits) -> Option<SessionEnds> {
        self.sessions.get(hash).map(|entry| entry.ends(limits))
    }

    /// The sessions of an account, the longest unseen first.
    pub(super) fn sessions_of(&self, account: &str) -> Vec<Hash> {
        let of_account = self.sessions.values().filter(|entry| *entry.session.account == *account);
        let mut found: Vec<_> =
            of_account.map(|entry| (entry.seen.load(Ordering::Relaxed), entry.session.hash)).collect();
        found.sort_by_key(|(seen, _)| *seen);
        found.into_iter().map(|(_, hash)| hash).collect()
    }

    /// The sessions that are over.
    pub(super) fn ended_sessions(&self, limits: SessionLimits, now: UtcMicros) -> Vec<Hash> {
        let over = self.sessions.values().filter(|entry| !entry.lasts(limits, now));
        over.map(|entry| entry.session.hash).collect()
    }

    /// Sessions and tokens whose last use the store has wrong by more than `by`, as they are to be stored.
    pub(super) fn seen_since(&self, by: Duration) -> (Vec<Session>, Vec<StoredToken>) {
        let late = |stored: Option<UtcMicros>, seen: i64| seen > stored.map_or(0, |stored| (stored + by).as_micros());
        let sessions = self.sessions.values().filter_map(|entry| {
            let seen = entry.seen.load(Ordering::Relaxed);
            late(Some(entry.session.seen_at), seen)
                .then(|| Session { seen_at: UtcMicros::from_micros(seen), ..entry.session.clone() })
        });
        let tokens = self.tokens.values().filter_map(|entry| {
            let used = entry.used.load(Ordering::Relaxed);
            late(entry.token.last_used_at, used)
                .then(|| StoredToken { last_used_at: Some(UtcMicros::from_micros(used)), ..(*entry.token).clone() })
        });
        (sessions.collect(), tokens.collect())
    }
}

fn name_of(account: &Account) -> Arc<str> {
    if account.name.is_empty() { account.id.clone() } else { account.name.as_str().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TenantId;

    const LIMITS: SessionLimits = SessionLimits { idle: Duration::from_secs(10), longest: Duration::from_secs(60) };

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros::from_micros(seconds * 1_000_000)
    }

    fn account(disabled: bool) -> Account {
        Account {
            id: "ann".into(),
            name: String::new(),
            password: None,
            role: Role::Supervisor,
            reach: Reach::Only([(TenantId::from("acme"), Some(["Care".into()].into()))].into()),
            disabled,
            made_at: at(0),
            made_by: "person:ops".into(),
            changed_at: at(0),
            version: 1,
        }
    }

    fn session() -> Session {
        Session { hash: Hash([1; 32]), account: "ann".into(), made_at: at(0), seen_at: at(0), source: None }
    }

    fn token(grant: Grant) -> StoredToken {
        StoredToken {
            id: "ci".into(),
            hash: Hash([2; 32]),
            grant,
            reach: Reach::Everywhere,
            made_at: at(0),
            made_by: "person:ops".into(),
            expires_at: Some(at(100)),
            revoked_at: None,
            revoked_by: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_no_longer_than_that() {
        let book = Book::new(vec![account(false)], vec![], vec![session()]);
        let hash = session().hash;
        assert!(book.session(&hash, LIMITS, at(9)).is_some());
        assert!(book.session(&hash, LIMITS, at(10)).is_none(), "unused");
        for second in [9, 18, 27, 36, 45, 54] {
            assert!(book.session(&hash, LIMITS, at(second)).is_some());
            book.touch(&hash, at(second));
        }
        assert!(book.session(&hash, LIMITS, at(59)).is_some());
        assert!(book.session(&hash, LIMITS, at(60)).is_none(), "long enough");
        assert_eq!(book.ended_sessions(LIMITS, at(60)), [hash]);
        assert!(book.session(&Hash([9; 32]), LIMITS, at(1)).is_none());
    }

    #[test]
    fn a_token_that_acts_as_an_account_follows_it() {
        let mut book = Book::new(vec![account(false)], vec![token(Grant::Account("ann".into()))], vec![session()]);
        let powers = book.token(&Hash([2; 32]), at(1)).expect("counts");
        assert_eq!((powers.role, &powers.reach), (Some(Role::Supervisor), &account(false).reach));
        book.put_account(Account { role: Role::Viewer, ..account(false) });
        assert_eq!(book.token(&Hash([2; 32]), at(1)).expect("counts").role, Some(Role::Viewer));
        book.put_account(account(true));
        assert!(book.token(&Hash([2; 32]), at(1)).is_none());
        assert!(book.session(&Hash([1; 32]), LIMITS, at(1)).is_none());
    }

    #[test]
    fn a_token_ends_when_it_expires_is_revoked_or_forgotten() {
        let mut book = Book::new(vec![], vec![token(Grant::Role(Role::Viewer))], vec![]);
        let hash = Hash([2; 32]);
        assert!(book.token(&hash, at(99)).is_some());
        assert!(book.token(&hash, at(100)).is_none());
        book.put_token(StoredToken { revoked_at: Some(at(5)), ..token(Grant::Role(Role::Viewer)) });
        assert!(book.token(&hash, at(6)).is_none());
        book.forget_token("ci");
        assert!(book.tokens.is_empty() && book.tokens_by_hash.is_empty());
    }

    #[test]
    fn only_a_use_that_the_store_has_wrong_by_much_is_written() {
        let book = Book::new(vec![account(false)], vec![token(Grant::Role(Role::Viewer))], vec![session()]);
        let by = Duration::from_secs(5);
        assert_eq!(book.seen_since(by), (vec![], vec![]));
        book.touch(&session().hash, at(5));
        assert_eq!(book.seen_since(by), (vec![], vec![]));
        book.touch(&session().hash, at(8));
        book.touch(&session().hash, at(7));
        book.token(&Hash([2; 32]), at(9)).expect("counts");
        let (sessions, tokens) = book.seen_since(by);
        assert_eq!(sessions, [Session { seen_at: at(8), ..session() }]);
        assert_eq!(tokens[0].last_used_at, Some(at(9)));
    }
}
