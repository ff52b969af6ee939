//! Verifies a stored audit chain, from its first entry or from a checkpoint, against itself and against its signed
//! heads: those stored beside it and those kept elsewhere.
//!
//! Entries are read packed, thousands in one row, and the next ones are read while these are hashed on another thread.
//! If something is wrong, they are checked again one by one, and the first bad one is reported. Memory is limited to a
//! few pages, whatever the length.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::ReadError;
use super::reader::Reader;
use super::tables::audit::audit_heads::StoredHead;
use super::tables::audit::{PackedEntries, StoredEntry};
use crate::domain::audit::head::{PublicKey, SignedHead};
use crate::domain::audit::head_verifier::HeadVerifier;
use crate::domain::audit::{AuditBody, ChainHead, ChainVerifier, Hash, InvalidEntry};
use crate::domain::ids::TenantId;

/// The action of the entry that records a pruning; its facts contain `below`.
pub const PRUNED_ACTION: &str = "audit.pruned";

/// The number of stored heads read at once: with all the marks they may have, 2 MB.
const HEADS_PAGE_SIZE: u32 = 64;

/// The maximum number of entries that [`Reader::verify_tail`] checks: all that one head can mark, and some more.
const MAX_TAIL_ENTRIES: u64 = 5_000;

/// The keys and heads that a verification trusts.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainTrust<'a> {
    /// The keys that may have signed heads. Without any, signatures only show that a head is intact, not who signed it.
    pub keys: &'a [PublicKey],
    /// Heads that were kept elsewhere; those of other tenants are ignored.
    pub heads: &'a [SignedHead],
}

/// An invalid signed head.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct BadHead {
    /// The number of the last entry that the head covers.
    pub seq: u64,
    /// Why the head is invalid.
    pub reason: String,
}

/// The result of verifying a chain.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChainVerdict {
    /// The first entry: 1, or the first one kept after pruning.
    pub from: u64,
    /// The number of checked entries, the bad one included.
    pub entries: u64,
    /// The first invalid entry; those after it were not checked.
    pub first_bad: Option<InvalidEntry>,
    /// The number of heads that the entries were compared with.
    pub heads: u64,
    /// The heads that are invalid or missing.
    pub bad_heads: Vec<BadHead>,
}

impl ChainVerdict {
    /// Returns whether no fault was found.
    pub fn is_valid(&self) -> bool {
        self.first_bad.is_none() && self.bad_heads.is_empty()
    }
}

/// The state of a verification.
struct ChainWalk {
    check: ChainVerifier,
    witnesses: HeadVerifier,
    /// The number of the first entry.
    from: u64,
    /// Whether the chain is complete or an entry records that those before `from` were pruned.
    is_pruning_recorded: bool,
}

impl Reader {
    /// Verifies a tenant's whole chain: numbers, links, hashes, that the table's columns equal the bodies, and that
    /// every entry matches the heads. Entries committed in the meantime are verified too.
    pub async fn verify_chain(&self, tenant: &TenantId, trust: ChainTrust<'_>) -> Result<ChainVerdict, ReadError> {
        let mut verdict = ChainVerdict { from: 1, ..ChainVerdict::default() };
        let stored_heads = StoredHeads::new(tenant.clone(), trust.keys);
        let mut walk = match self.chain_start(tenant).await? {
            Ok((start, from)) => {
                verdict.from = from;
                ChainWalk {
                    check: ChainVerifier::starting_at(tenant.clone(), start),
                    witnesses: HeadVerifier::default(),
                    from,
                    is_pruning_recorded: from == 1,
                }
            }
            Err(bad) => {
                verdict.first_bad = Some(bad);
                return Ok(verdict);
            }
        };
        for head in trust.heads.iter().filter(|head| head.claim.tenant == *tenant) {
            match distrust_reason(head, trust.keys) {
                None => {
                    verdict.heads += 1;
                    walk.witnesses.add(head.claim.clone());
                }
                Some(reason) => verdict.bad_heads.push(BadHead { seq: head.claim.seq, reason }),
            }
        }
        self.verify_from(tenant, walk, stored_heads, verdict).await
    }

    /// Verifies only the end of the chain, like [`Reader::verify_chain`]: the entries that the newest head marks and
    /// those after it, limited to a number that takes very little time.
    pub async fn verify_tail(&self, tenant: &TenantId, keys: &[PublicKey]) -> Result<ChainVerdict, ReadError> {
        let mut stored_heads = StoredHeads::new(tenant.clone(), keys);
        if let Some(newest) = self.last_audit_head(tenant).await? {
            stored_heads.last = newest.signed.map_or(newest.seq.saturating_sub(1), |signed| signed.claim.previous_seq);
        }
        let length = self.chain_head(tenant).await?.seq;
        // Entries below a checkpoint may be deleted.
        let checkpoint = self.audit_checkpoint(tenant).await?.map_or(0, |head| head.seq);
        let from = (stored_heads.last + 1).max(checkpoint).max(length.saturating_sub(MAX_TAIL_ENTRIES) + 1);
        let hash = match self.readable_entries(tenant, from - 1).await?.map(|page| page.into_iter().next()) {
            Ok(Some(entry)) if from > 1 => previous_hash(&entry),
            // An unreadable entry is the first one that the verification reaches.
            Ok(_) | Err(_) => Hash::default(),
        };
        let start = ChainHead { seq: from - 1, hash };
        let check = ChainVerifier::starting_at(tenant.clone(), start);
        let walk = ChainWalk { check, witnesses: HeadVerifier::default(), from, is_pruning_recorded: true };
        self.verify_from(tenant, walk, stored_heads, ChainVerdict { from, ..ChainVerdict::default() }).await
    }

    async fn verify_from(
        &self,
        tenant: &TenantId,
        walk: ChainWalk,
        mut stored_heads: StoredHeads<'_>,
        mut verdict: ChainVerdict,
    ) -> Result<ChainVerdict, ReadError> {
        stored_heads.first_entry = walk.from;
        let (walk, first_bad) = self.verify_all(tenant, walk, &mut stored_heads).await?;
        verdict.first_bad = first_bad;
        let reached = walk.check.head().seq;
        verdict.entries = (reached + 1).saturating_sub(walk.from)
            + u64::from(verdict.first_bad.as_ref().is_some_and(|bad| bad.seq > reached));
        verdict.heads += stored_heads.valid_count;
        verdict.bad_heads.extend(stored_heads.bad_heads);
        Ok(verdict)
    }

    /// Returns the entries after a number, up to the first unreadable one; a bad entry if that is the next one.
    async fn readable_entries(
        &self,
        tenant: &TenantId,
        after: u64,
    ) -> Result<Result<Vec<StoredEntry>, InvalidEntry>, ReadError> {
        let page = self.audit_entries(tenant, after, u32::MAX).await;
        if !page.as_ref().is_err_and(ReadError::is_decode_error) {
            return page.map(Ok);
        }
        let mut page: Vec<StoredEntry> = Vec::new();
        loop {
            let reached = page.last().map_or(after, |entry| entry.seq);
            match self.audit_entries(tenant, reached, 1).await {
                Ok(next) if next.is_empty() => return Ok(Ok(page)),
                Ok(next) => page.extend(next),
                Err(error) if error.is_decode_error() && page.is_empty() => {
                    let reason = format!("it holds what no entry holds: {}", root_cause(&error));
                    return Ok(Err(InvalidEntry { seq: after + 1, reason }));
                }
                Err(error) if error.is_decode_error() => return Ok(Ok(page)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the hash that the first entry links to, and the first entry's number.
    async fn chain_start(&self, tenant: &TenantId) -> Result<Result<(ChainHead, u64), InvalidEntry>, ReadError> {
        let first = match self.readable_entries(tenant, 0).await? {
            Ok(page) => page.into_iter().next(),
            Err(bad) => return Ok(Err(bad)),
        };
        if first.as_ref().is_some_and(|entry| entry.seq == 1) {
            return Ok(Ok((ChainHead::default(), 1)));
        }
        let checkpoint = self.audit_checkpoint(tenant).await?.map_or(0, |head| head.seq);
        let Some(entry) = first else {
            // A checkpoint's own entry is kept.
            return Ok(match checkpoint {
                0 => Ok((ChainHead::default(), 1)),
                seq => Err(InvalidEntry { seq, reason: "it is missing, and so is every other entry".to_owned() }),
            });
        };
        let seq = checkpoint.max(1);
        if entry.seq > seq {
            return Ok(Err(InvalidEntry { seq, reason: format!("it is missing: the first entry is {}", entry.seq) }));
        }
        Ok(Ok((ChainHead { seq: entry.seq - 1, hash: previous_hash(&entry) }, entry.seq)))
    }

    async fn verify_all(
        &self,
        tenant: &TenantId,
        mut walk: ChainWalk,
        stored_heads: &mut StoredHeads<'_>,
    ) -> Result<(ChainWalk, Option<InvalidEntry>), ReadError> {
        loop {
            let packed_result;
            (walk, packed_result) = self.verify_packed(tenant, walk, stored_heads).await?;
            if let Err(bad) = packed_result {
                return Ok((walk, Some(bad)));
            }
            let reached = walk.check.head().seq;
            let page = match self.readable_entries(tenant, reached).await? {
                Ok(page) => page,
                Err(bad) => return Ok((walk, Some(bad))),
            };
            if let Some(last) = page.last() {
                stored_heads.load(self, &mut walk.witnesses, last.seq).await?;
                if let Err(bad) = walk.check_page(&page) {
                    return Ok((walk, Some(bad)));
                }
                continue;
            }
            stored_heads.load(self, &mut walk.witnesses, reached + 1).await?;
            let Err(bad) = walk.witnesses.verify_end(reached) else { break };
            // Entries and their head may have been committed between the two reads.
            if self.readable_entries(tenant, reached).await?.is_ok_and(|page| page.is_empty()) {
                return Ok((walk, Some(bad)));
            }
        }
        let bad = (!walk.is_pruning_recorded).then(|| InvalidEntry {
            seq: walk.from - 1,
            reason: format!("it is missing, and no entry `{PRUNED_ACTION}` says that it was deleted"),
        });
        Ok((walk, bad))
    }

    /// Verifies packed entries as long as all of them are consistent. A bad entry is one that does not match the heads.
    async fn verify_packed(
        &self,
        tenant: &TenantId,
        mut walk: ChainWalk,
        stored_heads: &mut StoredHeads<'_>,
    ) -> Result<(ChainWalk, Result<(), InvalidEntry>), ReadError> {
        let mut next = self.packed_entries(tenant, walk.check.head().seq).await?;
        while let Some(packed) = next {
            let reached = walk.check.head().seq;
            let last = reached + packed.count;
            stored_heads.load(self, &mut walk.witnesses, last).await?;
            let (check, from) = (walk.check.clone(), walk.from);
            let (packed_check, read) = tokio::join!(
                tokio::task::spawn_blocking(move || PackedCheck::run(&packed, check, from)),
                self.packed_entries(tenant, last)
            );
            next = read?;
            let Some(packed_check) = packed_check.map_err(|error| ReadError::Broken(Arc::new(error)))? else { break };
            if !self.hashes_match(tenant, reached, &packed_check.hashes).await? {
                break;
            }
            if let Err(bad) = walk.apply_packed(&packed_check) {
                return Ok((walk, Err(bad)));
            }
        }
        Ok((walk, Ok(())))
    }
}

/// The hashes of packed entries that are consistent, not yet compared with the stored hashes.
struct PackedCheck {
    /// The hashes of the entries, concatenated.
    hashes: Vec<u8>,
    records_pruning: bool,
}

impl PackedCheck {
    fn run(packed: &PackedEntries, mut check: ChainVerifier, from: u64) -> Option<Self> {
        let (mut hashes, mut accounts_for_start) = (Vec::new(), false);
        let first = check.head().seq;
        for entry in packed.entries() {
            let links =
                check.verify_links_without_hash(entry.seq, entry.body).ok().filter(|links| entry.matches(links))?;
            accounts_for_start |= records_pruning_below(&links.action, entry.body, from);
            hashes.extend_from_slice(&check.head().hash.0);
        }
        (check.head().seq - first == packed.count).then_some(Self { hashes, records_pruning: accounts_for_start })
    }
}

/// Returns whether an entry records that those before `from` were pruned.
fn records_pruning_below(action: &str, body: &str, from: u64) -> bool {
    action == PRUNED_ACTION && {
        let body = serde_json::from_str::<AuditBody>(body).ok();
        body.and_then(|body| body.why.get("below")?.as_u64()).is_some_and(|below| below >= from)
    }
}

impl ChainWalk {
    /// Applies entries that are consistent among themselves.
    fn apply_packed(&mut self, packed: &PackedCheck) -> Result<(), InvalidEntry> {
        for hash in packed.hashes.chunks_exact(32).filter_map(Hash::from_slice) {
            self.check.skip_verified_entry(hash);
            self.witnesses.verify_entry(self.check.head())?;
        }
        self.is_pruning_recorded |= packed.records_pruning;
        Ok(())
    }

    fn check_page(&mut self, page: &[StoredEntry]) -> Result<(), InvalidEntry> {
        for entry in page {
            let links = self.check.verify_links(entry.seq, &entry.body, &entry.hash)?;
            if let Some(column) = entry.columns.first_difference(&links) {
                let reason = format!("its column `{column}` does not say what its body says");
                return Err(InvalidEntry { seq: entry.seq, reason });
            }
            self.witnesses.verify_entry(self.check.head())?;
            self.is_pruning_recorded |= records_pruning_below(&links.action, &entry.body, self.from);
        }
        Ok(())
    }
}

/// Returns the previous entry's hash, as recorded in an entry.
fn previous_hash(entry: &StoredEntry) -> Hash {
    let body = serde_json::from_str::<AuditBody>(&entry.body).ok();
    body.and_then(|body| Hash::from_hex(&body.prev)).unwrap_or_default()
}

/// Returns the root cause of an error.
fn root_cause(error: &ReadError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Returns the reason why a head is not trusted.
fn distrust_reason(head: &SignedHead, keys: &[PublicKey]) -> Option<String> {
    let key = head.claim.key;
    if !head.is_valid() {
        return Some("its signature is not over what it says".to_owned());
    }
    let is_foreign = !keys.is_empty() && !keys.contains(&key);
    is_foreign
        .then(|| format!("it is signed with the key {} ({key}), which is not one of those to be trusted", key.id()))
}

/// The stored heads, loaded as the verification reaches them.
struct StoredHeads<'a> {
    tenant: TenantId,
    keys: &'a [PublicKey],
    first_entry: u64,
    page: VecDeque<StoredHead>,
    /// The number of the last head that was loaded.
    last: u64,
    valid_count: u64,
    bad_heads: Vec<BadHead>,
}

impl<'a> StoredHeads<'a> {
    fn new(tenant: TenantId, keys: &'a [PublicKey]) -> Self {
        Self { tenant, keys, first_entry: 1, page: VecDeque::new(), last: 0, valid_count: 0, bad_heads: Vec::new() }
    }

    /// Loads heads until one marks entry `needed` or there are no more.
    async fn load(&mut self, reader: &Reader, witnesses: &mut HeadVerifier, needed: u64) -> Result<(), ReadError> {
        while self.last < needed {
            if self.page.is_empty() {
                self.page = reader.audit_heads(&self.tenant, self.last, HEADS_PAGE_SIZE).await?.into();
            }
            let Some(head) = self.page.pop_front() else { break };
            self.check_head(head, witnesses);
        }
        Ok(())
    }

    fn check_head(&mut self, head: StoredHead, witnesses: &mut HeadVerifier) {
        let StoredHead { seq, signed, .. } = head;
        let fault = match signed {
            None => Some("it is not a head at all".to_owned()),
            Some(signed) => {
                let distrust = distrust_reason(&signed, self.keys);
                let after = signed.claim.previous_seq;
                if distrust.is_none() {
                    self.valid_count += 1;
                    witnesses.add(signed.claim);
                }
                let is_next = after == self.last || (self.last == 0 && after < self.first_entry);
                distrust.or_else(|| (!is_next).then(|| format!("the head before it, of entry {after}, is missing")))
            }
        };
        self.bad_heads.extend(fault.map(|reason| BadHead { seq, reason }));
        self.last = seq;
    }
}
