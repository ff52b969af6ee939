//! Accounts, API tokens and sessions.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::domain::access::account::{Account, Grant, Session, StoredToken};
use crate::domain::access::rights::{Reach, Right, Role};
use crate::domain::access::secret::Secret;
use crate::domain::audit::Hash;
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Script};
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
pub(in crate::store) const FORGET_TOKENS: ManyRows =
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

pub(in crate::store) async fn write(
    connection: &mut AnyConnection,
    script: &mut Script,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let changes = || commits.iter().map(|commit| &commit.access);
    let accounts = super::last_of_each(changes().flat_map(|change| &change.accounts), |row| &row.id);
    batch::run(connection, script, &SET_ACCOUNTS, &accounts, |row, values| {
        values
            .text(&*row.id)
            .text(row.role.name())
            .text(json_of(&row.reach))
            .int(i64::from(row.disabled))
            .int(row.made_at.as_micros())
            .text(&*row.made_by)
            .int(row.changed_at.as_micros())
            .count(row.version)
            .text(&*row.name)
            .text_or_null(row.password.as_ref().map(Secret::expose));
    })
    .await?;
    let tokens = super::last_of_each(changes().flat_map(|change| &change.tokens), |row| &row.id);
    batch::run(connection, script, &SET_TOKENS, &tokens, |row, values| {
        let (role, may, account) = match &row.grant {
            Grant::Role(role) => (Some(role.name()), None, None),
            Grant::Rights(rights) => (None, Some(names_of(rights)), None),
            Grant::Account(account) => (None, None, Some(&**account)),
        };
        values
            .text(&*row.id)
            .bytes(&row.hash.0)
            .text_or_null(role)
            .text_or_null(may)
            .text_or_null(account)
            .text(json_of(&row.reach))
            .int(row.made_at.as_micros())
            .text(&*row.made_by)
            .int_or_null(row.expires_at.map(UtcMicros::as_micros))
            .int_or_null(row.revoked_at.map(UtcMicros::as_micros))
            .text_or_null(row.revoked_by.as_deref())
            .int_or_null(row.last_used_at.map(UtcMicros::as_micros));
    })
    .await?;
    let forgotten: Vec<_> = changes().flat_map(|change| &change.forgotten_tokens).collect();
    batch::run(connection, script, &FORGET_TOKENS, &forgotten, |id, values| {
        values.text(&***id);
    })
    .await?;
    let sessions = super::last_of_each(changes().flat_map(|change| &change.sessions), |row| row.hash);
    batch::run(connection, script, &SET_SESSIONS, &sessions, |row, values| {
        values
            .bytes(&row.hash.0)
            .text(&*row.account)
            .int(row.made_at.as_micros())
            .int(row.seen_at.as_micros())
            .text_or_null(row.source.map(|source| source.to_string()));
    })
    .await?;
    let ended: Vec<_> = changes().flat_map(|change| &change.ended_sessions).collect();
    batch::run(connection, script, &END_SESSIONS, &ended, |hash, values| {
        values.bytes(&hash.0);
    })
    .await
}

/// Texts of strings always have a JSON form.
fn json_of(reach: &Reach) -> String {
    serde_json::to_string(reach).unwrap_or_else(|_| "{}".to_owned())
}

fn names_of(rights: &BTreeSet<Right>) -> String {
    rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(",")
}

fn rights_of(names: &str) -> Option<BTreeSet<Right>> {
    names.split(',').filter(|name| !name.is_empty()).map(Right::named).collect()
}

impl Reader {
    /// Every account, by id.
    pub async fn accounts(&self) -> Result<Vec<Account>, ReadError> {
        let rows = self.all(ACCOUNTS, batch::Values::default()).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("accounts", row);
                Ok(Account {
                    id: Arc::from(cells.text("id")?),
                    name: cells.text("name")?.to_owned(),
                    password: cells.text_or_null("password")?.map(Secret::new),
                    role: cells.word("role", Role::named)?,
                    reach: cells.json("reach")?,
                    disabled: cells.int("disabled")? != 0,
                    made_at: cells.instant("made_at")?,
                    made_by: cells.text("made_by")?.to_owned(),
                    changed_at: cells.instant("changed_at")?,
                    version: cells.number("version")?,
                })
            })
            .collect()
    }

    /// Every stored API token, by id; also those that ended.
    pub async fn api_tokens(&self) -> Result<Vec<StoredToken>, ReadError> {
        self.all(TOKENS, batch::Values::default()).await?.iter().map(token).collect()
    }

    /// Every session, by account; also those that nobody used in time.
    pub async fn sessions(&self) -> Result<Vec<Session>, ReadError> {
        let rows = self.all(SESSIONS, batch::Values::default()).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("sessions", row);
                Ok(Session {
                    hash: hash(&cells)?,
                    account: Arc::from(cells.text("account")?),
                    made_at: cells.instant("made_at")?,
                    seen_at: cells.instant("seen_at")?,
                    source: cells.parsed_or_null("source")?,
                })
            })
            .collect()
    }
}

fn token(row: &AnyRow) -> Result<StoredToken, ReadError> {
    let cells = Cells::of("api_tokens", row);
    let grant = if cells.text_or_null("role")?.is_some() {
        Grant::Role(cells.word("role", Role::named)?)
    } else if let Some(account) = cells.text_or_null("account")? {
        Grant::Account(Arc::from(account))
    } else {
        Grant::Rights(cells.word("may", rights_of)?)
    };
    Ok(StoredToken {
        id: Arc::from(cells.text("id")?),
        hash: hash(&cells)?,
        grant,
        reach: cells.json("reach")?,
        made_at: cells.instant("made_at")?,
        made_by: cells.text("made_by")?.to_owned(),
        expires_at: cells.instant_or_null("expires_at")?,
        revoked_at: cells.instant_or_null("revoked_at")?,
        revoked_by: cells.text_or_null("revoked_by")?.map(str::to_owned),
        last_used_at: cells.instant_or_null("last_used_at")?,
    })
}

fn hash(cells: &Cells<'_>) -> Result<Hash, ReadError> {
    cells.hash("hash")
}
