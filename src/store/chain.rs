//! Checks a stored chain, from its first entry or from a checkpoint on, against itself and against the heads that were signed
//! of it: those stored beside it and those that were kept elsewhere.
//!
//! Entries come packed, thousands in a row, and the next are read while these are hashed on another thread. Where something does
//! not hold there, they are looked at again one by one, and the first bad one is named. Memory is a few pages, whatever the length.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::ReadError;
use super::reader::Reader;
use super::tables::audit::audit_heads::StoredHead;
use super::tables::audit::{Packed, StoredEntry};
use crate::domain::audit::head::{PublicKey, SignedHead};
use crate::domain::audit::witness::Witnesses;
use crate::domain::audit::{AuditBody, BadEntry, ChainCheck, ChainHead, Hash};
use crate::domain::ids::TenantId;

/// The action of the entry that says that earlier ones were let go; its facts hold `below`.
pub const PRUNED: &str = "audit.pruned";

/// Stored heads read at a time: with all the marks that they may have, 2 MB.
const HEADS_PAGE: u32 = 64;

/// Entries at the end of a chain that [`Reader::verify_tail`] goes over at most: all that one head can mark, and some more.
const TAIL: u64 = 5_000;

/// What a check believes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainTrust<'a> {
    /// The keys that may have signed heads. With none, signatures show only that a head is whole, not whose it is.
    pub keys: &'a [PublicKey],
    /// Heads that were kept elsewhere; those of other tenants are passed over.
    pub heads: &'a [SignedHead],
}

/// A head that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct BadHead {
    /// The entry that it ends at.
    pub seq: u64,
    /// What does not hold.
    pub reason: String,
}

/// How far a chain holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChainVerdict {
    /// The first entry there is: 1, or what a checkpoint has left.
    pub from: u64,
    /// Entries that were looked at, the bad one included.
    pub entries: u64,
    /// The first that does not hold; the rest was not looked at.
    pub first_bad: Option<BadEntry>,
    /// Heads that the entries were held against.
    pub heads: u64,
    /// Heads that do not hold, or are missing.
    pub bad_heads: Vec<BadHead>,
}

impl ChainVerdict {
    /// Nothing is wrong.
    pub fn holds(&self) -> bool {
        self.first_bad.is_none() && self.bad_heads.is_empty()
    }
}

/// Where a walk stands.
struct Walk {
    check: ChainCheck,
    witnesses: Witnesses,
    /// The first entry.
    from: u64,
    /// An entry was found that says that those before `from` were let go.
    is_accounted_for: bool,
}

impl Reader {
    /// Checks a tenant's whole chain: numbers, links, hashes, that the table's own columns say what the bodies say, and that
    /// every entry is the one that heads speak of. What is committed meanwhile is checked too.
    pub async fn verify_chain(&self, tenant: &TenantId, trust: ChainTrust<'_>) -> Result<ChainVerdict, ReadError> {
        let mut verdict = ChainVerdict { from: 1, ..ChainVerdict::default() };
        let stored = StoredHeads::new(tenant.clone(), trust.keys);
        let mut walk = match self.start_of(tenant).await? {
            Ok((start, from)) => {
                verdict.from = from;
                Walk {
                    check: ChainCheck::from(tenant.clone(), start),
                    witnesses: Witnesses::default(),
                    from,
                    is_accounted_for: from == 1,
                }
            }
            Err(bad) => {
                verdict.first_bad = Some(bad);
                return Ok(verdict);
            }
        };
        for head in trust.heads.iter().filter(|head| head.claim.tenant == *tenant) {
            match doubt(head, trust.keys) {
                None => {
                    verdict.heads += 1;
                    walk.witnesses.add(head.claim.clone());
                }
                Some(reason) => verdict.bad_heads.push(BadHead { seq: head.claim.seq, reason }),
            }
        }
        self.judge(tenant, walk, stored, verdict).await
    }

    /// As [`Reader::verify_chain`], of the end of the chain alone: what the newest head speaks of and what came after it, at most
    /// so many entries that it takes no time to speak of.
    pub async fn verify_tail(&self, tenant: &TenantId, keys: &[PublicKey]) -> Result<ChainVerdict, ReadError> {
        let mut stored = StoredHeads::new(tenant.clone(), keys);
        if let Some(newest) = self.last_audit_head(tenant).await? {
            stored.last = newest.signed.map_or(newest.seq.saturating_sub(1), |signed| signed.claim.after);
        }
        let length = self.chain_head(tenant).await?.seq;
        // Below a checkpoint entries may be gone.
        let checkpoint = self.audit_checkpoint(tenant).await?.map_or(0, |head| head.seq);
        let from = (stored.last + 1).max(checkpoint).max(length.saturating_sub(TAIL) + 1);
        let hash = match self.entries(tenant, from - 1).await?.map(|page| page.into_iter().next()) {
            Ok(Some(entry)) if from > 1 => linked_to(&entry),
            // What cannot be read is the first that the walk comes to.
            Ok(_) | Err(_) => Hash::default(),
        };
        let start = ChainHead { seq: from - 1, hash };
        let check = ChainCheck::from(tenant.clone(), start);
        let walk = Walk { check, witnesses: Witnesses::default(), from, is_accounted_for: true };
        self.judge(tenant, walk, stored, ChainVerdict { from, ..ChainVerdict::default() }).await
    }

    async fn judge(
        &self,
        tenant: &TenantId,
        walk: Walk,
        mut stored: StoredHeads<'_>,
        mut verdict: ChainVerdict,
    ) -> Result<ChainVerdict, ReadError> {
        stored.first_entry = walk.from;
        let (walk, first_bad) = self.walk(tenant, walk, &mut stored).await?;
        verdict.first_bad = first_bad;
        let reached = walk.check.head().seq;
        verdict.entries = (reached + 1).saturating_sub(walk.from)
            + u64::from(verdict.first_bad.as_ref().is_some_and(|bad| bad.seq > reached));
        verdict.heads += stored.sound;
        verdict.bad_heads.extend(stored.bad);
        Ok(verdict)
    }

    /// Entries after a number, up to one whose values are none that an entry has; a bad entry, where that is the next.
    async fn entries(&self, tenant: &TenantId, after: u64) -> Result<Result<Vec<StoredEntry>, BadEntry>, ReadError> {
        let page = self.audit_entries(tenant, after, u32::MAX).await;
        if !page.as_ref().is_err_and(ReadError::is_of_a_value) {
            return page.map(Ok);
        }
        let mut page: Vec<StoredEntry> = Vec::new();
        loop {
            let reached = page.last().map_or(after, |entry| entry.seq);
            match self.audit_entries(tenant, reached, 1).await {
                Ok(next) if next.is_empty() => return Ok(Ok(page)),
                Ok(next) => page.extend(next),
                Err(error) if error.is_of_a_value() && page.is_empty() => {
                    let reason = format!("it holds what no entry holds: {}", root_of(&error));
                    return Ok(Err(BadEntry { seq: after + 1, reason }));
                }
                Err(error) if error.is_of_a_value() => return Ok(Ok(page)),
                Err(error) => return Err(error),
            }
        }
    }

    /// What the first entry links to, and its number.
    async fn start_of(&self, tenant: &TenantId) -> Result<Result<(ChainHead, u64), BadEntry>, ReadError> {
        let first = match self.entries(tenant, 0).await? {
            Ok(page) => page.into_iter().next(),
            Err(bad) => return Ok(Err(bad)),
        };
        if first.as_ref().is_some_and(|entry| entry.seq == 1) {
            return Ok(Ok((ChainHead::default(), 1)));
        }
        let checkpoint = self.audit_checkpoint(tenant).await?.map_or(0, |head| head.seq);
        let Some(entry) = first else {
            // A checkpoint's own entry stays.
            return Ok(match checkpoint {
                0 => Ok((ChainHead::default(), 1)),
                seq => Err(BadEntry { seq, reason: "it is missing, and so is every other entry".to_owned() }),
            });
        };
        let seq = checkpoint.max(1);
        if entry.seq > seq {
            return Ok(Err(BadEntry { seq, reason: format!("it is missing: the first entry is {}", entry.seq) }));
        }
        Ok(Ok((ChainHead { seq: entry.seq - 1, hash: linked_to(&entry) }, entry.seq)))
    }

    async fn walk(
        &self,
        tenant: &TenantId,
        mut walk: Walk,
        stored: &mut StoredHeads<'_>,
    ) -> Result<(Walk, Option<BadEntry>), ReadError> {
        loop {
            let held;
            (walk, held) = self.stride(tenant, walk, stored).await?;
            if let Err(bad) = held {
                return Ok((walk, Some(bad)));
            }
            let reached = walk.check.head().seq;
            let page = match self.entries(tenant, reached).await? {
                Ok(page) => page,
                Err(bad) => return Ok((walk, Some(bad))),
            };
            if let Some(last) = page.last() {
                stored.load(self, &mut walk.witnesses, last.seq).await?;
                if let Err(bad) = walk.check_page(&page) {
                    return Ok((walk, Some(bad)));
                }
                continue;
            }
            stored.load(self, &mut walk.witnesses, reached + 1).await?;
            let Err(bad) = walk.witnesses.confirm_end(reached) else { break };
            // Entries and the head that speaks of them may have been committed between the two looks.
            if self.entries(tenant, reached).await?.is_ok_and(|page| page.is_empty()) {
                return Ok((walk, Some(bad)));
            }
        }
        let bad = (!walk.is_accounted_for).then(|| BadEntry {
            seq: walk.from - 1,
            reason: format!("it is missing, and no entry `{PRUNED}` says that it was let go"),
        });
        Ok((walk, bad))
    }

    /// Goes on over packed entries as long as all of them hold among themselves. A bad entry is one that heads do not know.
    async fn stride(
        &self,
        tenant: &TenantId,
        mut walk: Walk,
        stored: &mut StoredHeads<'_>,
    ) -> Result<(Walk, Result<(), BadEntry>), ReadError> {
        let mut next = self.packed_entries(tenant, walk.check.head().seq).await?;
        while let Some(packed) = next {
            let reached = walk.check.head().seq;
            let last = reached + packed.count;
            stored.load(self, &mut walk.witnesses, last).await?;
            let (check, from) = (walk.check.clone(), walk.from);
            let (glance, read) = tokio::join!(
                tokio::task::spawn_blocking(move || Glance::at(&packed, check, from)),
                self.packed_entries(tenant, last)
            );
            next = read?;
            let Some(glance) = glance.map_err(|error| ReadError::Broken(Arc::new(error)))? else { break };
            if !self.have_hashes(tenant, reached, &glance.hashes).await? {
                break;
            }
            if let Err(bad) = walk.take(&glance) {
                return Ok((walk, Err(bad)));
            }
        }
        Ok((walk, Ok(())))
    }
}

/// What packed entries come to that hold among themselves, but for what the store says their hashes are.
struct Glance {
    /// Of each entry, one behind the other.
    hashes: Vec<u8>,
    accounts_for_start: bool,
}

impl Glance {
    fn at(packed: &Packed, mut check: ChainCheck, from: u64) -> Option<Self> {
        let (mut hashes, mut accounts_for_start) = (Vec::new(), false);
        let first = check.head().seq;
        for entry in packed.entries() {
            let links = check.links_without_hash(entry.seq, entry.body).ok().filter(|links| entry.is_like(links))?;
            accounts_for_start |= accounts_for(&links.action, entry.body, from);
            hashes.extend_from_slice(&check.head().hash.0);
        }
        (check.head().seq - first == packed.count).then_some(Self { hashes, accounts_for_start })
    }
}

/// Whether an entry says that those before `from` were let go.
fn accounts_for(action: &str, body: &str, from: u64) -> bool {
    action == PRUNED && {
        let body = serde_json::from_str::<AuditBody>(body).ok();
        body.and_then(|body| body.why.get("below")?.as_u64()).is_some_and(|below| below >= from)
    }
}

impl Walk {
    /// Goes over entries that hold among themselves.
    fn take(&mut self, glance: &Glance) -> Result<(), BadEntry> {
        for hash in glance.hashes.chunks_exact(32).filter_map(Hash::from_slice) {
            self.check.go_on(hash);
            self.witnesses.confirm(self.check.head())?;
        }
        self.is_accounted_for |= glance.accounts_for_start;
        Ok(())
    }

    fn check_page(&mut self, page: &[StoredEntry]) -> Result<(), BadEntry> {
        for entry in page {
            let links = self.check.links(entry.seq, &entry.body, &entry.hash)?;
            if let Some(column) = entry.columns.first_unlike(&links) {
                let reason = format!("its column `{column}` does not say what its body says");
                return Err(BadEntry { seq: entry.seq, reason });
            }
            self.witnesses.confirm(self.check.head())?;
            self.is_accounted_for |= accounts_for(&links.action, &entry.body, self.from);
        }
        Ok(())
    }
}

/// The hash that an entry says the one before it has.
fn linked_to(entry: &StoredEntry) -> Hash {
    let body = serde_json::from_str::<AuditBody>(&entry.body).ok();
    body.and_then(|body| Hash::from_hex(&body.prev)).unwrap_or_default()
}

/// What lies at the bottom of an error.
fn root_of(error: &ReadError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Why a head is not believed.
fn doubt(head: &SignedHead, keys: &[PublicKey]) -> Option<String> {
    let key = head.claim.key;
    if !head.holds() {
        return Some("its signature is not over what it says".to_owned());
    }
    let is_foreign = !keys.is_empty() && !keys.contains(&key);
    is_foreign
        .then(|| format!("it is signed with the key {} ({key}), which is not one of those to be trusted", key.id()))
}

/// The stored heads, taken in as the walk reaches them.
struct StoredHeads<'a> {
    tenant: TenantId,
    keys: &'a [PublicKey],
    first_entry: u64,
    page: VecDeque<StoredHead>,
    /// The number of the last that was taken in.
    last: u64,
    sound: u64,
    bad: Vec<BadHead>,
}

impl<'a> StoredHeads<'a> {
    fn new(tenant: TenantId, keys: &'a [PublicKey]) -> Self {
        Self { tenant, keys, first_entry: 1, page: VecDeque::new(), last: 0, sound: 0, bad: Vec::new() }
    }

    /// Takes in heads until one speaks of entry `needed` or there is none.
    async fn load(&mut self, reader: &Reader, witnesses: &mut Witnesses, needed: u64) -> Result<(), ReadError> {
        while self.last < needed {
            if self.page.is_empty() {
                self.page = reader.audit_heads(&self.tenant, self.last, HEADS_PAGE).await?.into();
            }
            let Some(head) = self.page.pop_front() else { break };
            self.take(head, witnesses);
        }
        Ok(())
    }

    fn take(&mut self, head: StoredHead, witnesses: &mut Witnesses) {
        let StoredHead { seq, signed, .. } = head;
        let bad = match signed {
            None => Some("it is not a head at all".to_owned()),
            Some(signed) => {
                let doubt = doubt(&signed, self.keys);
                let after = signed.claim.after;
                if doubt.is_none() {
                    self.sound += 1;
                    witnesses.add(signed.claim);
                }
                let is_next = after == self.last || (self.last == 0 && after < self.first_entry);
                doubt.or_else(|| (!is_next).then(|| format!("the head before it, of entry {after}, is missing")))
            }
        };
        self.bad.extend(bad.map(|reason| BadHead { seq, reason }));
        self.last = seq;
    }
}
