//! Makes signed heads of the audit chains and sends them off: as events in the outbox, as lines of the log, and into a folder
//! where one is named. Also lets go of entries under a head, for retention.
//!
//! A head is signed only over entries that were found to link to the head before it, so that the daemon lends its key to no
//! chain that somebody has rewritten since.

pub mod key;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, SharedRandom};
use crate::domain::audit::head::{HeadClaim, HeadKey, MARK_BYTES, MOST_MARKS, SignedHead};
use crate::domain::audit::{AuditDraft, ChainCheck, ChainHead};
use crate::domain::ids::{EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::Event;
use crate::engine::operations::tenants::Tenants;
use crate::store::{AuditPrune, Commit, PAGE_LIMIT, PRUNED, Reader, Writer};

/// Entries that go in one commit, so that no other change waits long.
const PRUNED_AT_ONCE: u64 = 2000;

/// What heads are made from and with.
#[derive(Clone, Debug)]
pub struct HeadParts {
    /// Writes heads and their events.
    pub writer: Writer,
    /// Reads the chains.
    pub reader: Reader,
    /// The daemon's.
    pub clock: SharedClock,
    /// For the ids of events.
    pub random: SharedRandom,
    /// Signs.
    pub key: HeadKey,
    /// Whose chains.
    pub tenants: Tenants,
    /// How often.
    pub settings: HeadSettings,
    /// One head is made at a time: the worker and the job would sign the same entries, and the store takes one of two.
    pub turn: Arc<tokio::sync::Mutex<()>>,
}

/// How often heads are made, and where they are put.
#[derive(Clone, Debug)]
pub struct HeadSettings {
    /// As soon as there are so many entries without one; the job `audit-head` does not wait for so many.
    pub entries: u64,
    /// Lines of JSON are appended to a file per tenant and day here.
    pub folder: Option<PathBuf>,
}

/// What a pass did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Heads that were made.
    pub made: usize,
    /// No tenant needs one before so many more entries were appended.
    pub entries_left: u64,
}

/// Makes heads at once, whenever [`HeadSettings::entries`] have gathered, and once more when `soft` is cancelled.
pub async fn run(parts: HeadParts, soft: CancellationToken) -> anyhow::Result<()> {
    let mut appended = parts.writer.audit_appended();
    let mut least = 1;
    loop {
        // Looked at before the pass, so that nothing appended while it ran goes without a last one.
        let is_last = soft.is_cancelled();
        let seen = *appended.borrow_and_update();
        let entries_left = match pass(&parts, least).await {
            Ok(passed) => passed.entries_left,
            // A chain that somebody was at must not stop what the daemon does for agents.
            Err(error) => {
                tracing::error!("{error:#}");
                parts.settings.entries
            }
        };
        if is_last {
            return Ok(());
        }
        let due = seen + entries_left;
        tokio::select! {
            () = soft.cancelled() => least = 1,
            reached = appended.wait_for(|count| *count >= due) => {
                reached.context("the writer is gone")?;
                least = parts.settings.entries;
            }
        }
    }
}

/// Makes a head of a tenant's chain, or several where it is long; none where nothing was appended. Gives how many.
///
/// # Errors
/// As [`pass`] has them.
pub async fn make(parts: &HeadParts, tenant: &TenantId) -> anyhow::Result<usize> {
    of_tenant(parts, tenant, 1).await.map(|(made, _)| made)
}

/// Makes a head for each tenant that has at least `least` entries without one; none where nothing was appended.
///
/// # Errors
/// The store failed, or a chain does not hold: then nothing is signed for that tenant, and the others have theirs.
pub async fn pass(parts: &HeadParts, least: u64) -> anyhow::Result<Passed> {
    let mut passed = Passed { made: 0, entries_left: parts.settings.entries };
    let mut fault = None;
    for tenant in parts.tenants.ids() {
        match of_tenant(parts, &tenant, least).await {
            Ok((made, waiting)) => {
                passed.made += made;
                passed.entries_left = passed.entries_left.min(parts.settings.entries.saturating_sub(waiting).max(1));
            }
            Err(error) => {
                fault.get_or_insert(error);
            }
        }
    }
    fault.map_or(Ok(passed), Err)
}

/// Heads that were made, and entries that still have none.
async fn of_tenant(parts: &HeadParts, tenant: &TenantId, least: u64) -> anyhow::Result<(usize, u64)> {
    let _turn = parts.turn.lock().await;
    let mut head = last_head(&parts.reader, tenant).await?;
    let waiting = parts.reader.chain_head(tenant).await?.seq.saturating_sub(head.seq);
    if waiting < least.max(1) {
        return Ok((0, waiting));
    }
    let mut check = ChainCheck::from(tenant.clone(), head);
    let (mut marks, mut made) = (Vec::new(), 0);
    loop {
        let page = parts.reader.audit_entries(tenant, check.head().seq, PAGE_LIMIT).await?;
        for entry in &page {
            check.links(entry.seq, &entry.body, &entry.hash).map_err(|bad| {
                anyhow!(
                    "no audit head is signed for tenant {tenant}: entry {} does not hold ({}); see `audit verify`",
                    bad.seq,
                    bad.reason
                )
            })?;
            marks.extend_from_slice(&check.head().hash.0[..MARK_BYTES]);
            if marks.len() == MOST_MARKS * MARK_BYTES {
                head = publish(parts, tenant, head, check.head(), std::mem::take(&mut marks)).await?;
                made += 1;
            }
        }
        if page.is_empty() {
            break;
        }
    }
    if !marks.is_empty() {
        publish(parts, tenant, head, check.head(), marks).await?;
        made += 1;
    }
    Ok((made, 0))
}

/// Where the last head of a tenant ends.
async fn last_head(reader: &Reader, tenant: &TenantId) -> anyhow::Result<ChainHead> {
    let Some(stored) = reader.last_audit_head(tenant).await? else { return Ok(ChainHead::default()) };
    match stored.signed {
        Some(signed) if signed.holds() => Ok(signed.claim.chain_head()),
        Some(_) | None => bail!(
            "no audit head is signed for tenant {tenant}: the stored head of entry {} does not hold; see `audit verify`",
            stored.seq
        ),
    }
}

/// Signs, commits the head with its event, and lets it leave.
async fn publish(
    parts: &HeadParts,
    tenant: &TenantId,
    before: ChainHead,
    head: ChainHead,
    marks: Vec<u8>,
) -> anyhow::Result<ChainHead> {
    let at = parts.clock.now();
    let claim = HeadClaim {
        tenant: tenant.clone(),
        seq: head.seq,
        after: before.seq,
        hash: head.hash,
        at,
        marks,
        key: parts.key.public(),
    };
    let signed = SignedHead::sign(claim, &parts.key).context("the audit head could not be signed")?;
    let data = signed.to_value();
    let id = EventId(parts.random.id_at(at));
    let event = Event { id, tenant: tenant.clone(), at, data: signed.to_event().into() };
    let commit = Commit { heads: vec![signed], events: vec![event], ..Commit::default() };
    parts.writer.commit(commit).await.context("storing an audit head")?;
    tracing::info!(%tenant, seq = head.seq, head = %data, "audit head");
    if let Some(folder) = &parts.settings.folder
        && let Err(error) = drop_into(folder, tenant, at, &data.to_string())
    {
        tracing::warn!(%tenant, seq = head.seq, folder = %folder.display(), %error, "an audit head could not be put into its folder");
    }
    Ok(head)
}

/// Appends a line to the tenant's file of the day.
fn drop_into(folder: &Path, tenant: &TenantId, at: UtcMicros, line: &str) -> std::io::Result<()> {
    let day: String = at.to_string().chars().take_while(|letter| *letter != 'T').collect();
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{tenant}-{day}.jsonl"));
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

/// Lets go of a tenant's entries before the last head that was made before `before`: marks that head as checkpoint, says so in
/// the chain, and deletes in slices. The checkpoint's own entry stays. Gives the number of entries that went.
pub async fn let_go(parts: &HeadParts, tenant: &TenantId, before: UtcMicros) -> anyhow::Result<u64> {
    let (writer, reader) = (&parts.writer, &parts.reader);
    let Some(checkpoint) = reader.last_audit_head_before(tenant, before).await? else { return Ok(0) };
    let checkpoint = checkpoint.seq;
    let Some(first) = reader.audit_entries(tenant, 0, 1).await?.first().map(|entry| entry.seq) else { return Ok(0) };
    if first >= checkpoint {
        return Ok(0);
    }
    let said = AuditDraft::new(
        tenant.clone(),
        parts.clock.now(),
        "daemon".to_owned(),
        PRUNED,
        serde_json::json!({ "below": checkpoint, "entries_before": before }),
    );
    let prune = |below| AuditPrune { tenant: tenant.clone(), checkpoint, below };
    let marked = Commit { audit: vec![said], pruned: vec![prune(0)], ..Commit::default() };
    writer.commit(marked).await.context("marking an audit checkpoint")?;
    let mut below = first;
    while below < checkpoint {
        below = checkpoint.min(below + PRUNED_AT_ONCE);
        let slice = Commit { pruned: vec![prune(below)], ..Commit::default() };
        writer.commit(slice).await.context("letting go of audit entries")?;
    }
    Ok(checkpoint - first)
}
