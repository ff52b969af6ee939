//! Makes signed heads of the audit chains and publishes them: as events in the outbox, as log lines and, if configured,
//! in a folder. Also deletes entries below a head, for retention.
//!
//! A head is signed only after its entries were verified to link to the head before it, so that the daemon never signs
//! a chain that somebody has rewritten.

pub mod key;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, SharedRandom};
use crate::domain::audit::head::{HeadClaim, HeadSigningKey, MARK_BYTES, MAX_MARKS, SignedHead};
use crate::domain::audit::{AuditDraft, ChainHead, ChainVerifier};
use crate::domain::ids::{EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::Event;
use crate::engine::operations::tenants::Tenants;
use crate::store::{AuditPrune, Commit, PAGE_LIMIT, PRUNED_ACTION, Reader, Writer};

/// The number of entries deleted in one commit, so that no other change waits long.
const PRUNE_BATCH_ENTRIES: u64 = 2000;

/// The dependencies for making heads.
#[derive(Clone, Debug)]
pub struct HeadParts {
    /// The store's writer, for heads and their events.
    pub writer: Writer,
    /// The store's reader, for the chains.
    pub reader: Reader,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The source of event ids.
    pub random: SharedRandom,
    /// The signing key.
    pub key: HeadSigningKey,
    /// The tenants whose chains are signed.
    pub tenants: Tenants,
    /// How often heads are made and where they are written.
    pub settings: HeadSettings,
    /// Held while a head is made: the worker and the job would otherwise sign the same entries, and the store accepts
    /// only one of the two heads.
    pub signing_lock: Arc<tokio::sync::Mutex<()>>,
}

/// How often heads are made, and where they are written.
#[derive(Clone, Debug)]
pub struct HeadSettings {
    /// The number of unsigned entries at which a head is made. The job `audit-head` signs regardless of the number.
    pub entries: u64,
    /// The folder where heads are appended as lines of JSON, in one file per tenant and day.
    pub folder: Option<PathBuf>,
}

/// The result of a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassResult {
    /// The number of heads made.
    pub made: usize,
    /// The number of new entries before any tenant can need a head again.
    pub entries_left: u64,
}

/// Makes heads at once, then whenever [`HeadSettings::entries`] unsigned entries have gathered, and a last time when
/// `soft` is cancelled.
pub async fn run(parts: HeadParts, soft: CancellationToken) -> anyhow::Result<()> {
    let mut appended = parts.writer.audit_appended();
    let mut least = 1;
    loop {
        // Read before the pass, so that entries appended during it are signed by a last pass.
        let is_last = soft.is_cancelled();
        let appended_count = *appended.borrow_and_update();
        let entries_left = match pass(&parts, least).await {
            Ok(passed) => passed.entries_left,
            // A damaged chain must not stop the daemon's work for agents.
            Err(error) => {
                tracing::error!("{error:#}");
                parts.settings.entries
            }
        };
        if is_last {
            return Ok(());
        }
        let due = appended_count + entries_left;
        tokio::select! {
            () = soft.cancelled() => least = 1,
            reached = appended.wait_for(|count| *count >= due) => {
                reached.context("the writer has stopped")?;
                least = parts.settings.entries;
            }
        }
    }
}

/// Makes a head of a tenant's chain, or several for many entries; none if nothing was appended. Returns the number
/// made.
///
/// # Errors
///
/// See [`pass`].
pub async fn make_heads(parts: &HeadParts, tenant: &TenantId) -> anyhow::Result<usize> {
    make_heads_if_due(parts, tenant, 1).await.map(|(made, _)| made)
}

/// Makes a head for each tenant with at least `least` unsigned entries; none where nothing was appended.
///
/// # Errors
///
/// Fails if the store fails or a chain is invalid. Nothing is signed for that tenant; the others get their heads.
pub async fn pass(parts: &HeadParts, least: u64) -> anyhow::Result<PassResult> {
    let mut passed = PassResult { made: 0, entries_left: parts.settings.entries };
    let mut fault = None;
    for tenant in parts.tenants.ids() {
        match make_heads_if_due(parts, &tenant, least).await {
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

/// Makes heads if at least `least` entries are unsigned. Returns the number of heads made and of entries still
/// unsigned.
async fn make_heads_if_due(parts: &HeadParts, tenant: &TenantId, least: u64) -> anyhow::Result<(usize, u64)> {
    let _turn = parts.signing_lock.lock().await;
    let mut head = last_head(&parts.reader, tenant).await?;
    let waiting = parts.reader.chain_head(tenant).await?.seq.saturating_sub(head.seq);
    if waiting < least.max(1) {
        return Ok((0, waiting));
    }
    let mut check = ChainVerifier::starting_at(tenant.clone(), head);
    let (mut marks, mut made) = (Vec::new(), 0);
    loop {
        let page = parts.reader.audit_entries(tenant, check.head().seq, PAGE_LIMIT).await?;
        for entry in &page {
            check.verify_links(entry.seq, &entry.body, &entry.hash).map_err(|bad| {
                anyhow!(
                    "no audit head is signed for tenant {tenant}: entry {} does not hold ({}); see `audit verify`",
                    bad.seq,
                    bad.reason
                )
            })?;
            marks.extend_from_slice(&check.head().hash.0[..MARK_BYTES]);
            if marks.len() == MAX_MARKS * MARK_BYTES {
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

/// Returns where the last head of a tenant ends.
async fn last_head(reader: &Reader, tenant: &TenantId) -> anyhow::Result<ChainHead> {
    let Some(stored) = reader.last_audit_head(tenant).await? else { return Ok(ChainHead::default()) };
    match stored.signed {
        Some(signed) if signed.is_valid() => Ok(signed.claim.chain_head()),
        Some(_) | None => bail!(
            "no audit head is signed for tenant {tenant}: the stored head of entry {} does not hold; see `audit verify`",
            stored.seq
        ),
    }
}

/// Signs a head, commits it with its event, and publishes it.
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
        previous_seq: before.seq,
        hash: head.hash,
        at,
        marks,
        key: parts.key.public_key(),
    };
    let signed = SignedHead::sign(claim, &parts.key).context("the audit head could not be signed")?;
    let data = signed.to_value();
    let id = EventId(parts.random.time_ordered_id(at));
    let event = Event { id, tenant: tenant.clone(), at, data: signed.to_event().into() };
    let commit = Commit { audit_heads: vec![signed], events: vec![event], ..Commit::default() };
    parts.writer.commit(commit).await.context("the audit head could not be stored")?;
    tracing::info!(%tenant, seq = head.seq, head = %data, "audit head");
    if let Some(folder) = &parts.settings.folder
        && let Err(error) = append_to_folder(folder, tenant, at, &data.to_string())
    {
        tracing::warn!(%tenant, seq = head.seq, folder = %folder.display(), %error, "an audit head could not be put into its folder");
    }
    Ok(head)
}

/// Appends a line to the tenant's file of the day.
fn append_to_folder(folder: &Path, tenant: &TenantId, at: UtcMicros, line: &str) -> std::io::Result<()> {
    let day: String = at.to_string().chars().take_while(|letter| *letter != 'T').collect();
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{tenant}-{day}.jsonl"));
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

/// Deletes a tenant's entries below the last head that was made before `before`: marks that head as a checkpoint,
/// records this in the chain, and deletes in slices. The checkpoint's own entry stays. Returns the number of entries
/// deleted.
pub async fn prune_entries(parts: &HeadParts, tenant: &TenantId, before: UtcMicros) -> anyhow::Result<u64> {
    let (writer, reader) = (&parts.writer, &parts.reader);
    let Some(checkpoint) = reader.last_audit_head_before(tenant, before).await? else { return Ok(0) };
    let checkpoint = checkpoint.seq;
    let Some(first) = reader.audit_entries(tenant, 0, 1).await?.first().map(|entry| entry.seq) else { return Ok(0) };
    if first >= checkpoint {
        return Ok(0);
    }
    let entry = AuditDraft::new(
        tenant.clone(),
        parts.clock.now(),
        "daemon".to_owned(),
        PRUNED_ACTION,
        serde_json::json!({ "below": checkpoint, "entries_before": before }),
    );
    let prune = |below| AuditPrune { tenant: tenant.clone(), checkpoint, below };
    let marked = Commit { audit: vec![entry], audit_prunes: vec![prune(0)], ..Commit::default() };
    writer.commit(marked).await.context("the audit checkpoint could not be stored")?;
    let mut below = first;
    while below < checkpoint {
        below = checkpoint.min(below + PRUNE_BATCH_ENTRIES);
        let slice = Commit { audit_prunes: vec![prune(below)], ..Commit::default() };
        writer.commit(slice).await.context("old audit entries could not be deleted")?;
    }
    Ok(checkpoint - first)
}
