//! Accounts, API tokens and sessions.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::access::account::{Account, Session, StoredToken, TokenGrant};
use crate::domain::access::rights::{Right, Role, Scope};
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::Commit;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const SET_ACCOUNTS: ManyRows = ManyRows {
    head: "INSERT INTO accounts (id, role, reach, disabled, made_at, made_by, changed_at, version, name, password) VALUES",
    width: 10,
    tail: "ON CONFLICT (id) DO UPDATE SET role = excluded.role, reach = excluded.reach, disabled = excluded.disabled, \
           changed_at = excluded.changed_at, version = excluded.version, name = excluded.name, password = excluded.password",
};
pub(in crate::store) const SET_TOKENS: ManyRows = ManyRows {
    head: "INSERT INTO api_tokens (id, hash, role, may, account, reach, made_at, made_by, expires_at, revoked_at, revoked_by, \
           last_used_at) VALUES",
    width: 12,
    tail: "ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, revoked_by = excluded.revoked_by, \
           last_used_at = excluded.last_used_at",
};
pub(in crate::store) const DELETE_TOKENS: ManyRows =
    ManyRows { head: "DELETE FROM api_tokens WHERE id IN (VALUES", width: 1, tail: ")" };
pub(in crate::store) const SET_SESSIONS: ManyRows = ManyRows {
    head: "INSERT INTO sessions (hash, account, made_at, seen_at, source) VALUES",
    width: 5,
    tail: "ON CONFLICT (hash) DO UPDATE SET seen_at = excluded.seen_at",
};
pub(in crate::store) const END_SESSIONS: ManyRows =
    ManyRows { head: "DELETE FROM sessions WHERE hash IN (VALUES", width: 1, tail: ")" };
pub(in crate::store) const ACCOUNTS: &str = "SELECT id, role, reach, disabled, made_at, made_by, changed_at, version, name, password \
     FROM accounts ORDER BY id";
pub(in crate::store) const TOKENS: &str = "SELECT id, made_by, hash, role, may, account, reach, made_at, expires_at, revoked_at, \
     revoked_by, last_used_at FROM api_tokens ORDER BY id";
pub(in crate::store) const SESSIONS: &str =
    "SELECT account, made_at, hash, seen_at, source FROM sessions ORDER BY account, made_at";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let changes = || commits.iter().map(|commit| &commit.access);
    let accounts = batch::last_of_each(changes().flat_map(|change| &change.accounts), |row| &row.id);
    batch::run(transaction, &SET_ACCOUNTS, &accounts, |row, values| {
        values
            .text(&*row.id)
            .text(row.role.name())
            .text(to_json(&row.scope))
            .int(i64::from(row.disabled))
            .instant(row.created_at)
            .text(&*row.created_by)
            .instant(row.changed_at)
            .count(row.version)
            .text(&*row.name)
            .text_or_null(row.password_hash.as_ref().map(Secret::expose))
    })
    .await?;
    let tokens = batch::last_of_each(changes().flat_map(|change| &change.tokens), |row| &row.id);
    batch::run(transaction, &SET_TOKENS, &tokens, |row, values| {
        let (role, may, account) = match &row.grant {
            TokenGrant::Role(role) => (Some(role.name()), None, None),
            TokenGrant::Rights(rights) => (None, Some(join_names(rights)), None),
            TokenGrant::Account(account) => (None, None, Some(&**account)),
        };
        values
            .text(&*row.id)
            .bytes(&row.hash.0)
            .text_or_null(role)
            .text_or_null(may)
            .text_or_null(account)
            .text(to_json(&row.scope))
            .instant(row.created_at)
            .text(&*row.created_by)
            .instant_or_null(row.expires_at)
            .instant_or_null(row.revoked_at)
            .text_or_null(row.revoked_by.as_deref())
            .instant_or_null(row.last_used_at)
    })
    .await?;
    let deleted: Vec<_> = changes().flat_map(|change| &change.deleted_tokens).collect();
    batch::run(transaction, &DELETE_TOKENS, &deleted, |id, values| values.text(&***id)).await?;
    let sessions = batch::last_of_each(changes().flat_map(|change| &change.sessions), |row| row.hash);
    batch::run(transaction, &SET_SESSIONS, &sessions, |row, values| {
        values
            .bytes(&row.hash.0)
            .text(&*row.account)
            .instant(row.created_at)
            .instant(row.last_used_at)
            .text_or_null(row.source_address.map(|source| source.to_string()))
    })
    .await?;
    let ended: Vec<_> = changes().flat_map(|change| &change.ended_sessions).collect();
    batch::run(transaction, &END_SESSIONS, &ended, |hash, values| values.bytes(&hash.0)).await
}

/// A list of strings always has a JSON form.
fn to_json(reach: &Scope) -> String {
    serde_json::to_string(reach).unwrap_or_else(|_| "{}".to_owned())
}

fn join_names(rights: &BTreeSet<Right>) -> String {
    rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(",")
}

fn parse_rights(names: &str) -> Option<BTreeSet<Right>> {
    names.split(',').filter(|name| !name.is_empty()).map(Right::from_name).collect()
}

impl Reader {
    /// Returns all accounts, ordered by id.
    pub async fn accounts(&self) -> Result<Vec<Account>, ReadError> {
        self.read_rows(ACCOUNTS, Values::default(), |row| {
            let cells = Cells::new("accounts", row);
            Ok(Account {
                id: Arc::from(cells.text("id")?),
                name: cells.text("name")?.to_owned(),
                password_hash: cells.text_or_null("password")?.map(Secret::new),
                role: cells.known_value("role", Role::from_name)?,
                scope: cells.json("reach")?,
                disabled: cells.int("disabled")? != 0,
                created_at: cells.instant("made_at")?,
                created_by: cells.text("made_by")?.to_owned(),
                changed_at: cells.instant("changed_at")?,
                version: cells.number("version")?,
            })
        })
        .await
    }

    /// Returns all stored API tokens, ordered by id; ended ones included.
    pub async fn api_tokens(&self) -> Result<Vec<StoredToken>, ReadError> {
        self.read_rows(TOKENS, Values::default(), read_token).await
    }

    /// Returns all sessions, ordered by account; expired ones included.
    pub async fn sessions(&self) -> Result<Vec<Session>, ReadError> {
        self.read_rows(SESSIONS, Values::default(), |row| {
            let cells = Cells::new("sessions", row);
            Ok(Session {
                hash: read_hash(&cells)?,
                account: Arc::from(cells.text("account")?),
                created_at: cells.instant("made_at")?,
                last_used_at: cells.instant("seen_at")?,
                source_address: cells.parsed_or_null("source")?,
            })
        })
        .await
    }
}

fn read_token(row: &AnyRow) -> Result<StoredToken, ReadError> {
    let cells = Cells::new("api_tokens", row);
    let grant = if cells.text_or_null("role")?.is_some() {
        TokenGrant::Role(cells.known_value("role", Role::from_name)?)
    } else if let Some(account) = cells.text_or_null("account")? {
        TokenGrant::Account(Arc::from(account))
    } else {
        TokenGrant::Rights(cells.known_value("may", parse_rights)?)
    };
    Ok(StoredToken {
        id: Arc::from(cells.text("id")?),
        hash: read_hash(&cells)?,
        grant,
        scope: cells.json("reach")?,
        created_at: cells.instant("made_at")?,
        created_by: cells.text("made_by")?.to_owned(),
        expires_at: cells.instant_or_null("expires_at")?,
        revoked_at: cells.instant_or_null("revoked_at")?,
        revoked_by: cells.text_or_null("revoked_by")?.map(str::to_owned),
        last_used_at: cells.instant_or_null("last_used_at")?,
    })
}

fn read_hash(cells: &Cells<'_>) -> Result<Hash, ReadError> {
    cells.hash("hash")
}
