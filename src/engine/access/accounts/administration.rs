//! Creating, changing and revoking accounts and tokens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{AccountError, Accounts, AuditDetails, Author, MAX_ACCOUNTS, MAX_TOKENS, password};
use crate::domain::access::account::{
    Account, StoredToken, TOKEN_PREFIX, TokenGrant, check_id, check_name, check_password,
};
use crate::domain::access::rights::{Right, Role, Scope, ScopeRequest};
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::ids::TenantId;
use crate::store::{AccessChange, Commit};

/// The longest lifetime of a token, in days.
const MAX_LIFETIME_DAYS: u32 = 3650;

/// An account to create.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The name that the owner signs in with.
    pub id: String,
    /// The owner's name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The tenants and teams that it may access.
    pub scope: ScopeRequest,
    /// The password; `None` if the owner signs in by link only.
    pub password: Option<Secret>,
}

/// The new values of an account.
#[derive(Clone, Debug)]
pub struct AccountChanges {
    /// The owner's name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The tenants and teams that it may access; `None` leaves them as they are.
    pub scope: Option<ScopeRequest>,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// The version that the change is based on; `None` skips the check.
    pub version: Option<u64>,
}

/// A token to create.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The token's id.
    pub id: String,
    /// A role whose rights the token has.
    pub role: Option<Role>,
    /// Individual rights.
    pub rights: BTreeSet<Right>,
    /// An account whose current rights the token has.
    pub account: Option<String>,
    /// The tenants and teams that it may access.
    pub scope: ScopeRequest,
    /// The lifetime in days.
    pub expires_in_days: Option<u32>,
}

impl Accounts {
    /// Creates an account.
    pub async fn add_account(&self, new: NewAccount, by: &Author) -> Result<Arc<Account>, AccountError> {
        check_id(&new.id)?;
        check_name(&new.name)?;
        let scope = new.scope.to_scope(Some(new.role))?;
        self.check_scope(&scope, None)?;
        check_within_own_rights(by, &new.role.rights(), &scope)?;
        let hash = match &new.password {
            None => None,
            Some(password) => {
                check_password(password.expose(), &new.id, &new.name)?;
                Some(self.hash_password(password.clone()).await?)
            }
        };
        let _guard = self.0.change_lock.lock().await;
        self.check_id_is_free(&new.id)?;
        if self.directory().accounts.len() >= MAX_ACCOUNTS {
            return Err(AccountError::TooMany(MAX_ACCOUNTS));
        }
        let now = self.0.services.real_clock.now();
        let account = Account {
            id: new.id.into(),
            name: new.name,
            password_hash: hash,
            role: new.role,
            scope,
            disabled: false,
            created_at: now,
            created_by: by.actor.clone(),
            changed_at: now,
            version: 1,
        };
        let details =
            AuditDetails::of_account(&account.id).with("role", account.role.name()).with_scope(&account.scope);
        let entries = self.audit_entries(&account.scope, "account.added", by, &details);
        self.store_account(account, entries, Vec::new()).await
    }

    /// Changes an account. The new rights apply at once to its sessions.
    pub async fn change_account(
        &self,
        id: &str,
        changes: AccountChanges,
        by: &Author,
    ) -> Result<Arc<Account>, AccountError> {
        check_name(&changes.name)?;
        let _guard = self.0.change_lock.lock().await;
        let before = self.account(by, id)?;
        if changes.version.is_some_and(|version| version != before.version) {
            return Err(AccountError::Changed { now: before.version });
        }
        let scope = match &changes.scope {
            Some(requested) => requested.to_scope(Some(changes.role))?,
            None => before.scope.clone(),
        };
        self.check_scope(&scope, Some(&before.scope))?;
        check_within_own_rights(by, &changes.role.rights(), &scope)?;
        check_within_own_rights(by, &before.role.rights(), &before.scope)?;
        let is_own = *by.requester.id == *before.id && by.permissions.is_some();
        if is_own && (changes.disabled || changes.role != before.role) {
            return Err(AccountError::OwnAccount);
        }
        let account = Account {
            name: changes.name,
            role: changes.role,
            scope,
            disabled: changes.disabled,
            changed_at: self.0.services.real_clock.now(),
            version: before.version + 1,
            ..(*before).clone()
        };
        let details = AuditDetails::of_account(id)
            .with("role", account.role.name())
            .with("role_before", before.role.name())
            .with("disabled", account.disabled)
            .with_scope(&account.scope);
        let mut entries = self.audit_entries(&account.scope, "account.changed", by, &details);
        // Tenants that the account can no longer access get an entry as well.
        let lost_access = self.audit_entries(&before.scope, "account.changed", by, &details);
        let (audit, notes) = (lost_access.audit.into_iter(), lost_access.notes.into_iter());
        entries.audit.extend(audit.filter(|entry| !account.scope.covers_tenant(&entry.tenant)));
        entries.notes.extend(notes.filter(|note| !account.scope.covers_tenant(&note.tenant)));
        let ended_sessions = if account.disabled { self.directory().sessions_of(id) } else { Vec::new() };
        self.store_account(account, entries, ended_sessions).await
    }

    /// Sets an account's password and ends its sessions.
    pub async fn set_password(&self, id: &str, new: Secret, by: &Author) -> Result<Arc<Account>, AccountError> {
        let account = self.account(by, id)?;
        check_within_own_rights(by, &account.role.rights(), &account.scope)?;
        check_password(new.expose(), &account.id, &account.name)?;
        let hash = self.hash_password(new).await?;
        let _guard = self.0.change_lock.lock().await;
        let before = self.account(by, id)?;
        let ended_sessions = self.directory().sessions_of(id);
        self.store_password(&before, hash, ended_sessions, by).await
    }

    /// Stores an already hashed password and ends the given sessions. The caller holds the change lock.
    pub(super) async fn store_password(
        &self,
        before: &Account,
        hash: Secret,
        ended_sessions: Vec<Hash>,
        by: &Author,
    ) -> Result<Arc<Account>, AccountError> {
        let account = Account {
            password_hash: Some(hash),
            changed_at: self.0.services.real_clock.now(),
            version: before.version + 1,
            ..before.clone()
        };
        let details = AuditDetails::of_account(&account.id).with("sessions_ended", ended_sessions.len());
        let entries = self.audit_entries(&account.scope, "account.password_set", by, &details);
        self.store_account(account, entries, ended_sessions).await
    }

    /// Creates a token. Its secret is in the result and nowhere else.
    pub async fn add_token(&self, new: NewToken, by: &Author) -> Result<(Arc<StoredToken>, Secret), AccountError> {
        check_id(&new.id)?;
        let grant = self.grant(&new, by)?;
        let role = match grant {
            TokenGrant::Role(role) => Some(role),
            TokenGrant::Rights(_) | TokenGrant::Account(_) => None,
        };
        let scope = new.scope.to_scope(role)?;
        self.check_scope(&scope, None)?;
        check_within_own_rights(by, &self.grant_rights(&grant), &scope)?;
        let now = self.0.services.real_clock.now();
        let expires_at = match new.expires_in_days {
            None => None,
            Some(days @ 1..=MAX_LIFETIME_DAYS) => Some(now + Duration::from_secs(u64::from(days) * 86_400)),
            Some(_) => return Err(AccountError::InvalidExpiry),
        };
        let _guard = self.0.change_lock.lock().await;
        self.check_id_is_free(&new.id)?;
        if self.directory().tokens.values().filter(|entry| entry.token.is_valid_at(now)).count() >= MAX_TOKENS {
            return Err(AccountError::TooMany(MAX_TOKENS));
        }
        let text = format!("{TOKEN_PREFIX}{}", self.0.services.random.secret());
        let token = StoredToken {
            id: new.id.into(),
            hash: Hash::of(text.as_bytes()),
            grant,
            scope,
            created_at: now,
            created_by: by.actor.clone(),
            expires_at,
            revoked_at: None,
            revoked_by: None,
            last_used_at: None,
        };
        let mut details = AuditDetails::of_token(&token.id).with_scope(&token.scope);
        details = match &token.grant {
            TokenGrant::Role(role) => details.with("role", role.name()),
            TokenGrant::Rights(rights) => {
                details.with("may", rights.iter().map(|right| right.name()).collect::<Vec<_>>())
            }
            TokenGrant::Account(account) => details.with("account", &**account),
        };
        let entries = self.audit_entries(&token.scope, "token.created", by, &details);
        Ok((self.store_token(token, entries).await?, Secret::new(text)))
    }

    /// Revokes a token and ends the streams that it holds open. Revoking it again changes nothing.
    pub async fn revoke_token(&self, id: &str, by: &Author) -> Result<Arc<StoredToken>, AccountError> {
        let _guard = self.0.change_lock.lock().await;
        let token = self.directory().tokens.get(id).map(|entry| entry.token.clone());
        let token = token.filter(|token| by.covers(&token.scope));
        let before = token.ok_or_else(|| AccountError::NoToken(id.to_owned()))?;
        if before.revoked_at.is_some() {
            return Ok(before);
        }
        let token = StoredToken {
            revoked_at: Some(self.0.services.real_clock.now()),
            revoked_by: Some(by.actor.clone()),
            ..(*before).clone()
        };
        let entries = self.audit_entries(&token.scope, "token.revoked", by, &AuditDetails::of_token(id));
        self.store_token(token, entries).await
    }

    fn grant(&self, new: &NewToken, by: &Author) -> Result<TokenGrant, AccountError> {
        match (new.role, new.rights.is_empty(), &new.account) {
            (Some(role), true, None) => Ok(TokenGrant::Role(role)),
            (None, false, None) => Ok(TokenGrant::Rights(new.rights.clone())),
            (None, true, Some(account)) => Ok(TokenGrant::Account(self.account(by, account)?.id.clone())),
            _ => Err(AccountError::AmbiguousGrant),
        }
    }

    fn grant_rights(&self, grant: &TokenGrant) -> BTreeSet<Right> {
        match grant {
            TokenGrant::Role(role) => role.rights(),
            TokenGrant::Rights(rights) => rights.clone(),
            TokenGrant::Account(id) => {
                self.directory().accounts.get(id).map(|(_, permissions)| permissions.rights.clone()).unwrap_or_default()
            }
        }
    }

    /// Checks that every tenant in a scope is served, or was already in the scope before.
    fn check_scope(&self, scope: &Scope, before: Option<&Scope>) -> Result<(), AccountError> {
        let Scope::Only(tenants) = scope else { return Ok(()) };
        let is_known = |tenant: &TenantId| {
            self.0.services.tenants.contains(tenant)
                || before.is_some_and(|before| *before != Scope::Everywhere && before.covers_tenant(tenant))
        };
        match tenants.keys().find(|tenant| !is_known(tenant)) {
            None => Ok(()),
            Some(tenant) => Err(AccountError::NoTenant(tenant.clone())),
        }
    }

    fn check_id_is_free(&self, id: &str) -> Result<(), AccountError> {
        let directory = self.directory();
        let configured = self.0.services.reserved_ids.borrow().iter().any(|taken| **taken == *id);
        if configured || directory.accounts.contains_key(id) || directory.tokens.contains_key(id) {
            return Err(AccountError::IdInUse(id.into()));
        }
        Ok(())
    }

    pub(super) async fn hash_password(&self, password: Secret) -> Result<Secret, AccountError> {
        let _permit = self.0.throttle.acquire_known().await?;
        let salt = self.0.services.random.bytes();
        let hashed = tokio::task::spawn_blocking(move || password::hash(password.expose(), &salt)).await;
        hashed.ok().flatten().ok_or(AccountError::Busy)
    }

    async fn store_account(
        &self,
        account: Account,
        entries: Commit,
        ended_sessions: Vec<Hash>,
    ) -> Result<Arc<Account>, AccountError> {
        let access = AccessChange {
            accounts: vec![account.clone()],
            ended_sessions: ended_sessions.clone(),
            ..AccessChange::default()
        };
        self.store(Commit { access, ..entries }).await?;
        let mut directory = self.directory_mut();
        for hash in &ended_sessions {
            directory.sessions.remove(hash);
        }
        directory.put_account(account.clone());
        drop(directory);
        self.notify_update();
        Ok(Arc::new(account))
    }

    async fn store_token(&self, token: StoredToken, entries: Commit) -> Result<Arc<StoredToken>, AccountError> {
        let access = AccessChange { tokens: vec![token.clone()], ..AccessChange::default() };
        self.store(Commit { access, ..entries }).await?;
        self.directory_mut().put_token(token.clone());
        self.notify_update();
        Ok(Arc::new(token))
    }
}

fn check_within_own_rights(by: &Author, rights: &BTreeSet<Right>, scope: &Scope) -> Result<(), AccountError> {
    let within = by
        .permissions
        .as_ref()
        .is_none_or(|permissions| rights.is_subset(&permissions.rights) && permissions.scope.covers(scope));
    if within { Ok(()) } else { Err(AccountError::BeyondOwnRights) }
}
