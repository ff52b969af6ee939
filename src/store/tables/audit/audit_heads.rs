//! Signed heads of audit chains, and the pruning of entries below a checkpoint.

use crate::domain::audit::Hash;
use crate::domain::audit::head::{HeadClaim, PublicKey, SignedHead};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::Commit;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const ADD: ManyRows = ManyRows {
    head: "INSERT INTO audit_heads (tenant, seq, after_seq, hash, at, marks, public_key, signature) VALUES",
    width: 8,
    tail: "",
};
/// Rows: tenant, number of the checkpoint.
pub(in crate::store) const MARK_CHECKPOINTS: ManyRows = ManyRows {
    head: "UPDATE audit_heads SET prunes_below = 1 WHERE prunes_below = 0 AND EXISTS (SELECT 1 FROM (VALUES",
    width: 2,
    tail: ") AS v WHERE audit_heads.tenant = v.column1 AND audit_heads.seq = v.column2)",
};
/// Rows: tenant, number below which entries are deleted.
pub(in crate::store) const PRUNE_ENTRIES: ManyRows = ManyRows {
    head: "DELETE FROM audit_entries WHERE (tenant, seq) IN (SELECT a.tenant, a.seq FROM (VALUES",
    width: 2,
    tail: ") AS v JOIN audit_entries AS a ON a.tenant = v.column1 AND a.seq < v.column2)",
};
/// Rows: tenant, number below which heads are deleted.
pub(in crate::store) const PRUNE_HEADS: ManyRows = ManyRows {
    head: "DELETE FROM audit_heads WHERE (tenant, seq) IN (SELECT a.tenant, a.seq FROM (VALUES",
    width: 2,
    tail: ") AS v JOIN audit_heads AS a ON a.tenant = v.column1 AND a.seq < v.column2)",
};

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, seq, after_seq, hash, at, marks, public_key, signature, prunes_below FROM audit_heads \
             WHERE tenant = $1 ",
            $rest
        )
    };
}

pub(in crate::store) const AFTER: &str = selecting!("AND seq > $2 ORDER BY seq LIMIT $3");
pub(in crate::store) const LAST: &str = selecting!("ORDER BY seq DESC LIMIT 1");
pub(in crate::store) const LAST_BEFORE: &str = selecting!("AND at < $2 ORDER BY seq DESC LIMIT 1");
pub(in crate::store) const CHECKPOINT: &str = selecting!("AND prunes_below = 1 ORDER BY seq DESC LIMIT 1");

/// A head as stored, which may have been tampered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHead {
    /// The number of the entry that it ends at.
    pub seq: u64,
    /// Whether it is a checkpoint, below which entries may have been deleted.
    pub is_checkpoint: bool,
    /// The head; `None` if its parts have invalid lengths.
    pub signed: Option<SignedHead>,
}

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let heads: Vec<_> = commits.iter().flat_map(|commit| &commit.audit_heads).collect();
    batch::run(transaction, &ADD, &heads, |SignedHead { claim, signature }, values| {
        values
            .text(claim.tenant.as_str())
            .count(claim.seq)
            .count(claim.previous_seq)
            .bytes(&claim.hash.0)
            .instant(claim.at)
            .bytes(&claim.marks)
            .bytes(claim.key.as_bytes())
            .bytes(signature)
    })
    .await?;
    let pruned: Vec<_> = commits.iter().flat_map(|commit| &commit.audit_prunes).collect();
    batch::run(transaction, &MARK_CHECKPOINTS, &pruned, |prune, values| {
        values.text(prune.tenant.as_str()).count(prune.checkpoint)
    })
    .await?;
    for statement in [&PRUNE_ENTRIES, &PRUNE_HEADS] {
        batch::run(transaction, statement, &pruned, |prune, values| {
            values.text(prune.tenant.as_str()).count(prune.below)
        })
        .await?;
    }
    Ok(())
}

impl Reader {
    /// Returns a tenant's heads after number `after`, in order, at most `limit` (capped at
    /// [`crate::store::PAGE_LIMIT`]).
    pub async fn audit_heads(&self, tenant: &TenantId, after: u64, limit: u32) -> Result<Vec<StoredHead>, ReadError> {
        self.read_rows(AFTER, Values::of(tenant).count(after).page(limit), read_head).await
    }

    /// Returns a tenant's last head.
    pub async fn last_audit_head(&self, tenant: &TenantId) -> Result<Option<StoredHead>, ReadError> {
        self.read_row(LAST, Values::of(tenant), read_head).await
    }

    /// Returns a tenant's last head that was signed before a given time.
    pub async fn last_audit_head_before(
        &self,
        tenant: &TenantId,
        at: UtcMicros,
    ) -> Result<Option<StoredHead>, ReadError> {
        self.read_row(LAST_BEFORE, Values::of(tenant).instant(at), read_head).await
    }

    /// Returns the checkpoint from which the rest of a pruned chain is verified.
    pub async fn audit_checkpoint(&self, tenant: &TenantId) -> Result<Option<StoredHead>, ReadError> {
        self.read_row(CHECKPOINT, Values::of(tenant), read_head).await
    }
}

fn read_head(row: &sqlx::any::AnyRow) -> Result<StoredHead, ReadError> {
    let cells = Cells::new("audit_heads", row);
    let seq: u64 = cells.number("seq")?;
    let (hash, key) = (Hash::from_slice(cells.bytes("hash")?), PublicKey::from_slice(cells.bytes("public_key")?));
    let signature = cells.bytes("signature")?.try_into().ok();
    let after = u64::try_from(cells.int("after_seq")?).ok();
    let (at, marks) = (cells.instant("at")?, cells.bytes("marks")?.to_vec());
    let tenant = TenantId::new(cells.text("tenant")?);
    let signed = || {
        let claim = HeadClaim { tenant, seq, previous_seq: after?, hash: hash?, at, marks, key: key? };
        Some(SignedHead { claim, signature: signature? })
    };
    Ok(StoredHead { seq, is_checkpoint: cells.int("prunes_below")? == 1, signed: signed() })
}
