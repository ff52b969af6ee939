//! Accounts and tokens made, changed and revoked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{AccountError, Accounts, By, Facts, MOST_ACCOUNTS, MOST_TOKENS, password};
use crate::domain::access::account::{Account, Grant, StoredToken, TOKEN_PREFIX, check_id, check_name, check_password};
use crate::domain::access::rights::{Reach, Right, Role, WantedReach};
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::ids::TenantId;
use crate::store::{AccessChange, Commit};

/// The longest life of a token.
const LONGEST_LIFE_DAYS: u32 = 3650;

/// An account to make.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// What its owner signs in as.
    pub id: String,
    /// Its owner's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where.
    pub reach: WantedReach,
    /// The password; none for one who signs in by link alone.
    pub password: Option<Secret>,
}

/// What an account is to be.
#[derive(Clone, Debug)]
pub struct AccountChanges {
    /// Its owner's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where; `None` leaves that as it is.
    pub reach: Option<WantedReach>,
    /// Whether nobody can use it.
    pub disabled: bool,
    /// The version that this is a change of, where that matters.
    pub version: Option<u64>,
}

/// A token to make.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is called.
    pub id: String,
    /// The rights of a role.
    pub role: Option<Role>,
    /// Rights by name.
    pub may: BTreeSet<Right>,
    /// The rights of an account, as they are at the time.
    pub account: Option<String>,
    /// Where.
    pub reach: WantedReach,
    /// For how many days.
    pub expires_in_days: Option<u32>,
}

impl Accounts {
    /// Makes an account.
    pub async fn add_account(&self, new: NewAccount, by: &By) -> Result<Arc<Account>, AccountError> {
        check_id(&new.id)?;
        check_name(&new.name)?;
        let reach = new.reach.reach(Some(new.role))?;
        self.check_reach(&reach, None)?;
        check_given(by, &new.role.rights(), &reach)?;
        let hash = match &new.password {
            None => None,
            Some(password) => {
                check_password(password.expose(), &new.id, &new.name)?;
                Some(self.hash(password.clone()).await?)
            }
        };
        let _turn = self.0.turn.lock().await;
        self.check_free(&new.id)?;
        if self.book().accounts.len() >= MOST_ACCOUNTS {
            return Err(AccountError::TooMany(MOST_ACCOUNTS));
        }
        let now = self.0.parts.real.now();
        let account = Account {
            id: new.id.into(),
            name: new.name,
            password: hash,
            role: new.role,
            reach,
            disabled: false,
            made_at: now,
            made_by: by.actor.clone(),
            changed_at: now,
            version: 1,
        };
        let facts = Facts::of_account(&account.id).with("role", account.role.name()).reaching(&account.reach);
        let entries = self.entries(&account.reach, "account.added", by, &facts);
        self.put_account(account, entries, Vec::new()).await
    }

    /// Changes an account; who has signed in with it has what it gives from then on.
    pub async fn change_account(&self, id: &str, to: AccountChanges, by: &By) -> Result<Arc<Account>, AccountError> {
        check_name(&to.name)?;
        let _turn = self.0.turn.lock().await;
        let before = self.account(by, id)?;
        if to.version.is_some_and(|version| version != before.version) {
            return Err(AccountError::Changed { now: before.version });
        }
        let reach = match &to.reach {
            Some(wanted) => wanted.reach(Some(to.role))?,
            None => before.reach.clone(),
        };
        self.check_reach(&reach, Some(&before.reach))?;
        check_given(by, &to.role.rights(), &reach)?;
        check_given(by, &before.role.rights(), &before.reach)?;
        let is_own = *by.asker.id == *before.id && by.powers.is_some();
        if is_own && (to.disabled || to.role != before.role) {
            return Err(AccountError::Own);
        }
        let account = Account {
            name: to.name,
            role: to.role,
            reach,
            disabled: to.disabled,
            changed_at: self.0.parts.real.now(),
            version: before.version + 1,
            ..(*before).clone()
        };
        let facts = Facts::of_account(id)
            .with("role", account.role.name())
            .with("role_before", before.role.name())
            .with("disabled", account.disabled)
            .reaching(&account.reach);
        let mut entries = self.entries(&account.reach, "account.changed", by, &facts);
        // Where it reaches no more, that is to be seen as well.
        let lost = self.entries(&before.reach, "account.changed", by, &facts);
        let (audit, notes) = (lost.audit.into_iter(), lost.notes.into_iter());
        entries.audit.extend(audit.filter(|entry| !account.reach.has(&entry.tenant)));
        entries.notes.extend(notes.filter(|note| !account.reach.has(&note.tenant)));
        let ended = if account.disabled { self.book().sessions_of(id) } else { Vec::new() };
        self.put_account(account, entries, ended).await
    }

    /// Gives an account another password; whoever has signed in with it is out.
    pub async fn set_password(&self, id: &str, new: Secret, by: &By) -> Result<Arc<Account>, AccountError> {
        let known = self.account(by, id)?;
        check_given(by, &known.role.rights(), &known.reach)?;
        check_password(new.expose(), &known.id, &known.name)?;
        let hash = self.hash(new).await?;
        let _turn = self.0.turn.lock().await;
        let before = self.account(by, id)?;
        let ended = self.book().sessions_of(id);
        self.put_password(&before, hash, ended, by).await
    }

    /// The same of a password that is hashed already, with the sessions that end by it. The turn is held.
    pub(super) async fn put_password(
        &self,
        before: &Account,
        hash: Secret,
        ended: Vec<Hash>,
        by: &By,
    ) -> Result<Arc<Account>, AccountError> {
        let account = Account {
            password: Some(hash),
            changed_at: self.0.parts.real.now(),
            version: before.version + 1,
            ..before.clone()
        };
        let facts = Facts::of_account(&account.id).with("sessions_ended", ended.len());
        let entries = self.entries(&account.reach, "account.password_set", by, &facts);
        self.put_account(account, entries, ended).await
    }

    /// Makes a token; its text is in the answer and nowhere else.
    pub async fn add_token(&self, new: NewToken, by: &By) -> Result<(Arc<StoredToken>, Secret), AccountError> {
        check_id(&new.id)?;
        let grant = self.grant(&new, by)?;
        let role = match grant {
            Grant::Role(role) => Some(role),
            Grant::Rights(_) | Grant::Account(_) => None,
        };
        let reach = new.reach.reach(role)?;
        self.check_reach(&reach, None)?;
        check_given(by, &self.rights_of(&grant), &reach)?;
        let now = self.0.parts.real.now();
        let expires_at = match new.expires_in_days {
            None => None,
            Some(days @ 1..=LONGEST_LIFE_DAYS) => Some(now + Duration::from_secs(u64::from(days) * 86_400)),
            Some(_) => return Err(AccountError::Expiry),
        };
        let _turn = self.0.turn.lock().await;
        self.check_free(&new.id)?;
        if self.book().tokens.values().filter(|entry| entry.token.counts_at(now)).count() >= MOST_TOKENS {
            return Err(AccountError::TooMany(MOST_TOKENS));
        }
        let text = format!("{TOKEN_PREFIX}{}", self.secret());
        let token = StoredToken {
            id: new.id.into(),
            hash: Hash::of(text.as_bytes()),
            grant,
            reach,
            made_at: now,
            made_by: by.actor.clone(),
            expires_at,
            revoked_at: None,
            revoked_by: None,
            last_used_at: None,
        };
        let mut facts = Facts::of_token(&token.id).reaching(&token.reach);
        facts = match &token.grant {
            Grant::Role(role) => facts.with("role", role.name()),
            Grant::Rights(rights) => facts.with("may", rights.iter().map(|right| right.name()).collect::<Vec<_>>()),
            Grant::Account(account) => facts.with("account", &**account),
        };
        let entries = self.entries(&token.reach, "token.created", by, &facts);
        Ok((self.put_token(token, entries).await?, Secret::new(text)))
    }

    /// Ends a token; what it holds open ends too. Once more changes nothing.
    pub async fn revoke_token(&self, id: &str, by: &By) -> Result<Arc<StoredToken>, AccountError> {
        let _turn = self.0.turn.lock().await;
        let known = self.book().tokens.get(id).map(|entry| entry.token.clone());
        let known = known.filter(|token| by.reaches(&token.reach));
        let before = known.ok_or_else(|| AccountError::NoToken(id.to_owned()))?;
        if before.revoked_at.is_some() {
            return Ok(before);
        }
        let token = StoredToken {
            revoked_at: Some(self.0.parts.real.now()),
            revoked_by: Some(by.actor.clone()),
            ..(*before).clone()
        };
        let entries = self.entries(&token.reach, "token.revoked", by, &Facts::of_token(id));
        self.put_token(token, entries).await
    }

    fn grant(&self, new: &NewToken, by: &By) -> Result<Grant, AccountError> {
        match (new.role, new.may.is_empty(), &new.account) {
            (Some(role), true, None) => Ok(Grant::Role(role)),
            (None, false, None) => Ok(Grant::Rights(new.may.clone())),
            (None, true, Some(account)) => Ok(Grant::Account(self.account(by, account)?.id.clone())),
            _ => Err(AccountError::Grant),
        }
    }

    fn rights_of(&self, grant: &Grant) -> BTreeSet<Right> {
        match grant {
            Grant::Role(role) => role.rights(),
            Grant::Rights(rights) => rights.clone(),
            Grant::Account(id) => {
                self.book().accounts.get(id).map(|(_, powers)| powers.rights.clone()).unwrap_or_default()
            }
        }
    }

    /// Tenants are named that are served, or that were named before.
    fn check_reach(&self, reach: &Reach, before: Option<&Reach>) -> Result<(), AccountError> {
        let Reach::Only(tenants) = reach else { return Ok(()) };
        let known = |tenant: &TenantId| {
            self.0.parts.tenants.has(tenant)
                || before.is_some_and(|before| *before != Reach::Everywhere && before.has(tenant))
        };
        match tenants.keys().find(|tenant| !known(tenant)) {
            None => Ok(()),
            Some(tenant) => Err(AccountError::NoTenant(tenant.clone())),
        }
    }

    fn check_free(&self, id: &str) -> Result<(), AccountError> {
        let book = self.book();
        let configured = self.0.parts.taken.borrow().iter().any(|taken| **taken == *id);
        if configured || book.accounts.contains_key(id) || book.tokens.contains_key(id) {
            return Err(AccountError::Taken(id.into()));
        }
        Ok(())
    }

    pub(super) async fn hash(&self, new: Secret) -> Result<Secret, AccountError> {
        let _turn = self.0.gate.turn_of_known().await?;
        let salt = self.0.parts.random.bytes();
        let hashed = tokio::task::spawn_blocking(move || password::hash(new.expose(), &salt)).await;
        hashed.ok().flatten().ok_or(AccountError::Busy)
    }

    async fn put_account(
        &self,
        account: Account,
        entries: Commit,
        ended: Vec<Hash>,
    ) -> Result<Arc<Account>, AccountError> {
        let access =
            AccessChange { accounts: vec![account.clone()], ended_sessions: ended.clone(), ..AccessChange::default() };
        self.store(Commit { access, ..entries }).await?;
        let mut book = self.book_to_write();
        for hash in &ended {
            book.sessions.remove(hash);
        }
        book.put_account(account.clone());
        drop(book);
        self.tell_news();
        Ok(Arc::new(account))
    }

    async fn put_token(&self, token: StoredToken, entries: Commit) -> Result<Arc<StoredToken>, AccountError> {
        let access = AccessChange { tokens: vec![token.clone()], ..AccessChange::default() };
        self.store(Commit { access, ..entries }).await?;
        self.book_to_write().put_token(token.clone());
        self.tell_news();
        Ok(Arc::new(token))
    }
}

fn check_given(by: &By, rights: &BTreeSet<Right>, reach: &Reach) -> Result<(), AccountError> {
    let within = by.powers.as_ref().is_none_or(|powers| rights.is_subset(&powers.rights) && powers.reach.covers(reach));
    if within { Ok(()) } else { Err(AccountError::BeyondOwn) }
}
