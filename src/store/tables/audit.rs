//! The audit chain and the typed notes that its entries refer to by hash.

pub(in crate::store) mod audit_heads;
pub(in crate::store) mod audit_reading;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::domain::audit::{AuditDraft, ChainHead, EntryLinks, SealedEntry};
use crate::domain::ids::{TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, PAGE_LIMIT, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::NoteWrite;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const ADD_ENTRIES: ManyRows = ManyRows {
    head: "INSERT INTO audit_entries (tenant, seq, at, action, subject, transition, body, hash) VALUES",
    width: 8,
    tail: "",
};
pub(in crate::store) const ADD_NOTES: ManyRows = ManyRows {
    head: "INSERT INTO notes (tenant, hash, salt, text) VALUES",
    width: 4,
    tail: "ON CONFLICT (tenant, hash) DO NOTHING",
};
pub(in crate::store) const HEAD: &str =
    "SELECT tenant, seq, hash FROM audit_entries WHERE tenant = $1 ORDER BY seq DESC LIMIT 1";
pub(in crate::store) const PUBLISHED_HEAD: &str =
    "SELECT tenant, seq, hash FROM audit_heads WHERE tenant = $1 ORDER BY seq DESC LIMIT 1";
pub(in crate::store) const ENTRIES: &str = "SELECT tenant, seq, at, action, subject, transition, body, hash FROM audit_entries WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3";
/// A page of a chain as one row, because passing each entry from the engine's thread to ours costs many times more than
/// checking it. Each text is preceded by its length, so that its content cannot be misread.
pub(in crate::store) const PACKED: &str = "SELECT COUNT(*) AS total, COALESCE(string_agg(entry, ''), '') AS entries FROM \
     (SELECT seq || ':' || at || ':' || octet_length(action) || ':' || action \
     || COALESCE(octet_length(subject) || ':' || subject, '-') \
     || COALESCE(octet_length(transition) || ':' || transition, '-') \
     || octet_length(body) || ':' || body AS entry \
     FROM audit_entries WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS page";
/// Counts the entries of a span whose hash equals the one at their place in a row of hashes.
pub(in crate::store) const SAME_HASHES: &str = "SELECT COUNT(*) AS total FROM audit_entries WHERE tenant = $1 AND seq > $2 \
     AND seq <= $3 AND hash = substr(COALESCE($4, hash), CAST(32 * (seq - $2) - 31 AS INTEGER), 32)";
pub(in crate::store) const ENTRIES_OF_TRANSITION: &str = "SELECT tenant, seq, at, action, subject, transition, body, hash FROM audit_entries WHERE tenant = $1 AND seq IN \
     (SELECT seq FROM audit_entries WHERE tenant = $1 AND transition = $2) ORDER BY seq LIMIT $3";
pub(in crate::store) const TENANTS: &str = "WITH RECURSIVE t(tenant) AS (SELECT MIN(tenant) FROM audit_entries UNION ALL \
     SELECT (SELECT MIN(a.tenant) FROM audit_entries a WHERE a.tenant > t.tenant) FROM t WHERE t.tenant IS NOT NULL) \
     SELECT tenant FROM t WHERE tenant IS NOT NULL ORDER BY tenant";
pub(in crate::store) const NOTE: &str = "SELECT tenant, hash, text FROM notes WHERE tenant = $1 AND hash = $2";

/// The number of entries packed into one row.
const PACKED_ENTRIES: i64 = 2_000;

/// A stored entry, not yet verified: see [`crate::domain::audit::ChainVerifier::verify_entry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The entry's number in the chain.
    pub seq: u64,
    /// The table's columns beside the body, which the hash does not cover.
    pub columns: EntryColumns,
    /// The body as stored.
    pub body: String,
    /// The hash as stored, of any length.
    pub hash: Vec<u8>,
}

/// The columns that lists and look-ups use: copies of values in the body, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryColumns {
    /// The time of the entry.
    pub at: UtcMicros,
    /// The action.
    pub action: String,
    /// The subject of the agent concerned.
    pub subject: Option<String>,
    /// The transition concerned.
    pub transition: Option<String>,
}

impl EntryColumns {
    /// Returns the first column that differs from the body.
    pub(in crate::store) fn first_difference(&self, body: &EntryLinks<'_>) -> Option<&'static str> {
        let Self { at, action, subject, transition } = self;
        first_difference(*at, action, subject.as_deref(), transition.as_deref(), body)
    }
}

fn first_difference(
    at: UtcMicros,
    action: &str,
    subject: Option<&str>,
    transition: Option<&str>,
    body: &EntryLinks<'_>,
) -> Option<&'static str> {
    [
        (at == body.at, "at"),
        (action == body.action, "action"),
        (subject == body.subject.as_deref(), "subject"),
        (transition == body.transition.as_deref(), "transition"),
    ]
    .into_iter()
    .find_map(|(same, column)| (!same).then_some(column))
}

/// Entries as packed by [`PACKED`].
pub(in crate::store) struct PackedEntries {
    pub(in crate::store) count: u64,
    text: String,
}

/// A packed entry, without its hash: see [`Reader::hashes_match`].
pub(in crate::store) struct PackedEntry<'p> {
    pub(in crate::store) seq: u64,
    at: UtcMicros,
    action: &'p str,
    subject: Option<&'p str>,
    transition: Option<&'p str>,
    pub(in crate::store) body: &'p str,
}

impl PackedEntries {
    /// Returns the entries, as far as the text is valid.
    pub(in crate::store) fn entries(&self) -> impl Iterator<Item = PackedEntry<'_>> {
        let mut rest = self.text.as_str();
        std::iter::from_fn(move || PackedEntry::parse_next(&mut rest))
    }
}

impl<'p> PackedEntry<'p> {
    fn parse_next(rest: &mut &'p str) -> Option<Self> {
        Some(Self {
            seq: take_number(rest)?,
            at: UtcMicros::from_micros(take_number(rest)?),
            action: take_text(rest)?,
            subject: if take_null(rest) { None } else { Some(take_text(rest)?) },
            transition: if take_null(rest) { None } else { Some(take_text(rest)?) },
            body: take_text(rest)?,
        })
    }

    /// Returns whether the columns equal the values in the body.
    pub(in crate::store) fn matches(&self, body: &EntryLinks<'_>) -> bool {
        first_difference(self.at, self.action, self.subject, self.transition, body).is_none()
    }
}

/// Parses digits up to a colon.
fn take_number<N: FromStr>(rest: &mut &str) -> Option<N> {
    let (digits, after) = rest.split_once(':')?;
    *rest = after;
    digits.parse().ok()
}

/// Parses a `-`, which stands for no text.
fn take_null(rest: &mut &str) -> bool {
    match rest.strip_prefix('-') {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

/// Parses a text with its length before it.
fn take_text<'p>(rest: &mut &'p str) -> Option<&'p str> {
    let length: usize = take_number(rest)?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text)
}

pub(in crate::store) async fn stored_head(
    connection: &mut AnyConnection,
    tenant: &TenantId,
) -> Result<ChainHead, CommitError> {
    for statement in [HEAD, PUBLISHED_HEAD] {
        if let Some(row) = batch::fetch_optional(connection, statement, Values::of(tenant)).await? {
            return read_head(&row).map_err(|error| CommitError::Broken(Arc::new(error)));
        }
    }
    Ok(ChainHead::default())
}

fn read_head(row: &AnyRow) -> Result<ChainHead, ReadError> {
    let cells = Cells::new("audit_entries", row);
    Ok(ChainHead { seq: cells.number("seq")?, hash: cells.hash("hash")? })
}

/// A draft and its entry in the chain.
pub(in crate::store) type Sealed<'a> = (&'a AuditDraft, SealedEntry);

/// Links the drafts to their chains, in order.
pub(in crate::store) fn seal<'a>(
    heads: &mut HashMap<TenantId, ChainHead>,
    drafts: impl Iterator<Item = &'a AuditDraft>,
) -> Result<Vec<Sealed<'a>>, CommitError> {
    let mut sealed = Vec::new();
    for draft in drafts {
        let entry = heads.entry(draft.tenant.clone()).or_default().seal(draft);
        sealed.push((draft, entry.map_err(|error| CommitError::Refused(Arc::new(error)))?));
    }
    Ok(sealed)
}

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, rows: &[Sealed<'_>]) -> Result<(), CommitError> {
    batch::run(transaction, &ADD_ENTRIES, rows, |(draft, sealed), values| {
        values
            .text(draft.tenant.as_str())
            .count(sealed.seq)
            .instant(draft.at)
            .text(draft.action)
            .text_or_null(draft.subject.map(|id| id.to_string()))
            .text_or_null(draft.transition.map(|id| id.to_string()))
            .text(&*sealed.body)
            .bytes(&sealed.hash.0)
    })
    .await
}

pub(in crate::store) async fn write_notes(
    transaction: &mut Transaction<'_>,
    notes: impl Iterator<Item = &NoteWrite>,
) -> Result<(), CommitError> {
    let rows: Vec<_> = notes.collect();
    batch::run(transaction, &ADD_NOTES, &rows, |note, values| {
        values.text(note.tenant.as_str()).bytes(&note.hash.0).bytes(&note.salt).text(&*note.text)
    })
    .await
}

impl Reader {
    /// Returns the tenants that have an audit chain.
    pub async fn audited_tenants(&self) -> Result<Vec<TenantId>, ReadError> {
        self.read_rows(TENANTS, Values::default(), |row| Ok(TenantId::new(row.try_get::<&str, _>(0)?))).await
    }

    /// Returns the head of a tenant's chain; that of an empty chain if there is none.
    pub async fn chain_head(&self, tenant: &TenantId) -> Result<ChainHead, ReadError> {
        Ok(self.read_row(HEAD, Values::of(tenant), read_head).await?.unwrap_or_default())
    }

    /// Returns the entries after number `after`, in order, at most `limit` (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn audit_entries(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        self.read_rows(ENTRIES, Values::of(tenant).count(after).page(limit), read_entry).await
    }

    /// Returns the packed entries after number `after`; `None` if there are none, or if one of them contains invalid
    /// text and cannot be packed.
    pub(in crate::store) async fn packed_entries(
        &self,
        tenant: &TenantId,
        after: u64,
    ) -> Result<Option<PackedEntries>, ReadError> {
        let values = Values::of(tenant).count(after).int(PACKED_ENTRIES);
        let row = match self.fetch_optional(PACKED, values).await {
            Err(error) if error.is_decode_error() => return Ok(None),
            other => other?,
        };
        let Some(row) = row else { return Ok(None) };
        let cells = Cells::new("audit_entries", &row);
        let packed = PackedEntries { count: cells.number("total")?, text: cells.text("entries")?.to_owned() };
        Ok((packed.count > 0).then_some(packed))
    }

    /// Returns whether all entries after number `after` have these hashes, of 32 bytes each.
    pub(in crate::store) async fn hashes_match(
        &self,
        tenant: &TenantId,
        after: u64,
        hashes: &[u8],
    ) -> Result<bool, ReadError> {
        let count = hashes.len() as u64 / 32;
        let values = Values::of(tenant).count(after).count(after + count).bytes(hashes);
        let read = |row: &AnyRow| Cells::new("audit_entries", row).number("total");
        Ok(self.read_row(SAME_HASHES, values, read).await? == Some(count))
    }

    /// Returns the entries about one transition, in order; at most [`crate::store::PAGE_LIMIT`].
    pub async fn audit_of_transition(
        &self,
        tenant: &TenantId,
        transition: TransitionId,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        self.read_rows(
            ENTRIES_OF_TRANSITION,
            Values::of(tenant).text(transition.to_string()).page(PAGE_LIMIT),
            read_entry,
        )
        .await
    }

    /// Returns the text of a note by its hash; `None` if it was erased.
    pub async fn note(&self, tenant: &TenantId, hash: crate::domain::audit::Hash) -> Result<Option<String>, ReadError> {
        let read = |row: &AnyRow| Cells::new("notes", row).text("text").map(str::to_owned);
        self.read_row(NOTE, Values::of(tenant).bytes(&hash.0), read).await
    }
}

pub(super) fn read_entry(row: &AnyRow) -> Result<StoredEntry, ReadError> {
    let cells = Cells::new("audit_entries", row);
    Ok(StoredEntry {
        seq: cells.number("seq")?,
        columns: EntryColumns {
            at: cells.instant("at")?,
            action: cells.text("action")?.to_owned(),
            subject: cells.text_or_null("subject")?.map(str::to_owned),
            transition: cells.text_or_null("transition")?.map(str::to_owned),
        },
        body: cells.text("body")?.to_owned(),
        hash: cells.bytes("hash")?.to_vec(),
    })
}
