//! Audit entries and the chain that makes an edit show.
//!
//! An entry's hash is SHA-256 over its body, the entry as RFC 8785 JSON, which holds the hash of the entry before it; the
//! chain is per tenant and starts from 64 zeros. Bodies name agents by a random subject id and typed notes by a salted hash,
//! so that a person can be erased without touching the chain.

pub mod head;
pub mod witness;

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ids::{SubjectId, TenantId, TransitionId};
use super::time::UtcMicros;

/// The version of the body's shape.
const BODY_VERSION: u32 = 1;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash of some JSON in its canonical form (RFC 8785).
    ///
    /// # Errors
    /// It has no canonical form: a number that is not finite, or a map with keys that are not texts.
    pub fn of_json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_jcs::to_vec(value).map(|text| Self::of(&text))
    }

    /// From its 32 bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From its 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl Hash {
    /// Its 64 lower-case hexadecimal digits.
    fn hex(&self) -> [u8; 64] {
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        text
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.hex()))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash that stands for a typed note in the chain: SHA-256 over the note's own random salt and its text.
pub fn note_hash(salt: &[u8; 16], note: &str) -> Hash {
    Hash(Sha256::new().chain_update(salt).chain_update(note).finalize().into())
}

/// What is to be recorded; the chain gives it its number and its link.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditDraft {
    /// In whose chain.
    pub tenant: TenantId,
    /// When it happened.
    pub at: UtcMicros,
    /// Who or what, as [`super::changes::transition::Actor::label`] writes it.
    pub actor: String,
    /// What was done: `transition.accepted`, `schedule.imported`, …
    pub action: &'static str,
    /// The agent concerned.
    pub subject: Option<SubjectId>,
    /// The transition concerned.
    pub transition: Option<TransitionId>,
    /// The state before.
    pub before: Option<String>,
    /// The state wanted or reached.
    pub after: Option<String>,
    /// How it ended, where it ended.
    pub outcome: Option<String>,
    /// The facts; holds no id or name of an agent.
    pub why: Value,
    /// The salted hash of a typed note.
    pub note: Option<Hash>,
}

impl AuditDraft {
    /// About the tenant as a whole: no agent, no transition, no note.
    pub fn new(tenant: TenantId, at: UtcMicros, actor: impl Into<String>, action: &'static str, why: Value) -> Self {
        Self {
            tenant,
            at,
            actor: actor.into(),
            action,
            subject: None,
            transition: None,
            before: None,
            after: None,
            outcome: None,
            why,
            note: None,
        }
    }
}

/// An entry of the chain, as it is hashed. Read back from a stored body, it is exactly what the hash vouches for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditBody {
    /// The version of this shape.
    pub v: u32,
    /// In whose chain.
    pub tenant: TenantId,
    /// The number in the chain, from 1 without a gap.
    pub seq: u64,
    /// The hash of the entry before, in hexadecimal.
    pub prev: String,
    /// When it happened.
    pub at: UtcMicros,
    /// Who or what.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// The agent concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// The transition concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<TransitionId>,
    /// The state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state wanted or reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The facts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub why: Value,
    /// The salted hash of a typed note, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What of a body a check goes by; the rest is passed over, since the hash vouches for it. Texts are those of the stored body
/// wherever they need no unescaping.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryLinks<'b> {
    v: u32,
    #[serde(borrow)]
    tenant: Cow<'b, str>,
    seq: u64,
    /// The hash of the entry before, in hexadecimal.
    #[serde(borrow)]
    pub prev: Cow<'b, str>,
    /// When it happened.
    pub at: UtcMicros,
    #[serde(rename = "actor")]
    _actor: IgnoredAny,
    /// What was done.
    #[serde(borrow)]
    pub action: Cow<'b, str>,
    /// The agent concerned.
    #[serde(default, borrow)]
    pub subject: Option<Cow<'b, str>>,
    /// The transition concerned.
    #[serde(default, borrow)]
    pub transition: Option<Cow<'b, str>>,
    #[serde(default, rename = "before")]
    _before: IgnoredAny,
    #[serde(default, rename = "after")]
    _after: IgnoredAny,
    #[serde(default, rename = "outcome")]
    _outcome: IgnoredAny,
    #[serde(default, rename = "why")]
    _why: IgnoredAny,
    #[serde(default, rename = "note")]
    _note: IgnoredAny,
}

/// A linked entry, ready for the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedEntry {
    /// The number in the chain.
    pub seq: u64,
    /// The body as RFC 8785 JSON.
    pub body: String,
    /// SHA-256 of the body.
    pub hash: Hash,
}

/// The end of a chain: what the next entry links to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainHead {
    /// The number of the last entry; 0 for an empty chain.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A body that cannot be written as RFC 8785 JSON: its facts hold a number that is not finite, or a map with keys that are not
/// text.
#[derive(Debug, thiserror::Error)]
#[error("the facts of an audit entry cannot be written as canonical JSON")]
pub struct NotCanonical(#[source] serde_json::Error);

impl ChainHead {
    /// Links the next entry and moves the head to it.
    pub fn seal(&mut self, draft: &AuditDraft) -> Result<SealedEntry, NotCanonical> {
        let seq = self.seq + 1;
        let body = AuditBody {
            v: BODY_VERSION,
            tenant: draft.tenant.clone(),
            seq,
            prev: self.hash.to_string(),
            at: draft.at,
            actor: draft.actor.clone(),
            action: draft.action.to_owned(),
            subject: draft.subject,
            transition: draft.transition,
            before: draft.before.clone(),
            after: draft.after.clone(),
            outcome: draft.outcome.clone(),
            why: draft.why.clone(),
            note: draft.note.map(|hash| hash.to_string()),
        };
        let body = serde_jcs::to_string(&body).map_err(NotCanonical)?;
        let hash = Hash::of(body.as_bytes());
        *self = Self { seq, hash };
        Ok(SealedEntry { seq, body, hash })
    }
}

/// What is wrong with a chain, and where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub struct BadEntry {
    /// The number of the first entry that does not hold.
    pub seq: u64,
    /// What does not hold.
    pub reason: String,
}

/// Checks entries in order, from any point of a chain whose head up to there is known.
#[derive(Clone, Debug)]
pub struct ChainCheck {
    tenant: TenantId,
    head: ChainHead,
}

impl ChainCheck {
    /// Starts at `head`: the empty chain, or a checkpoint.
    pub fn from(tenant: TenantId, head: ChainHead) -> Self {
        Self { tenant, head }
    }

    /// Checks the next stored entry: its number, its hash, and what its body says of both and of the tenant. The hash is taken
    /// over the text as stored: what was written was canonical, and any other text has another hash.
    ///
    /// # Errors
    /// The entry does not hold; the check must not go on.
    pub fn links<'b>(&mut self, seq: u64, body: &'b str, hash: &[u8]) -> Result<EntryLinks<'b>, BadEntry> {
        self.links_with(seq, body, Some(hash))
    }

    /// [`ChainCheck::links`] without its hash, which the caller must hold against that of [`ChainCheck::head`] afterwards.
    ///
    /// # Errors
    /// As there.
    pub fn links_without_hash<'b>(&mut self, seq: u64, body: &'b str) -> Result<EntryLinks<'b>, BadEntry> {
        self.links_with(seq, body, None)
    }

    fn links_with<'b>(&mut self, seq: u64, body: &'b str, hash: Option<&[u8]>) -> Result<EntryLinks<'b>, BadEntry> {
        let expected = self.head.seq + 1;
        let bad = |reason: String| BadEntry { seq: expected.min(seq), reason };
        if seq != expected {
            return Err(bad(format!("entry {expected} should follow, entry {seq} does")));
        }
        let computed = Hash::of(body.as_bytes());
        if hash.is_some_and(|hash| hash != computed.0) {
            return Err(bad("its hash is not that of its body".to_owned()));
        }
        let read: EntryLinks<'b> =
            serde_json::from_str(body).map_err(|error| bad(format!("its body is not an audit entry: {error}")))?;
        if read.prev.as_bytes() != self.head.hash.hex() {
            return Err(bad("it does not link to the entry before it".to_owned()));
        }
        if read.seq != seq || read.tenant != self.tenant.as_str() || read.v != BODY_VERSION {
            return Err(bad("its body belongs to another place, tenant or version".to_owned()));
        }
        self.head = ChainHead { seq, hash: computed };
        Ok(read)
    }

    /// Goes past the next entry, whose hash this is, since another check found that it holds.
    pub fn go_on(&mut self, hash: Hash) {
        self.head = ChainHead { seq: self.head.seq + 1, hash };
    }

    /// [`ChainCheck::links`], and reads the whole body.
    ///
    /// # Errors
    /// As there.
    pub fn next(&mut self, seq: u64, body: &str, hash: &[u8]) -> Result<AuditBody, BadEntry> {
        self.links(seq, body, hash)?;
        serde_json::from_str(body)
            .map_err(|error| BadEntry { seq, reason: format!("its body is not an audit entry: {error}") })
    }

    /// The head after all entries checked so far.
    pub fn head(&self) -> ChainHead {
        self.head
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn draft(n: u32) -> AuditDraft {
        AuditDraft {
            tenant: "acme".into(),
            at: UtcMicros::from_micros(i64::from(n) * 1_000_000),
            actor: "rule:back-from-break".into(),
            action: "transition.accepted",
            subject: Some(SubjectId(uuid::Uuid::from_u128(u128::from(n)))),
            transition: None,
            before: Some("Paused".into()),
            after: Some("Ready".into()),
            outcome: None,
            why: json!({"planned": "work", "for_ms": n, "words": "é\u{1F600}\"\\\n"}),
            note: None,
        }
    }

    fn chain(length: u32) -> Vec<SealedEntry> {
        let mut head = ChainHead::default();
        (0..length).map(|n| head.seal(&draft(n)).expect("plain facts")).collect()
    }

    fn first_bad(entries: &[SealedEntry]) -> Option<u64> {
        let mut check = ChainCheck::from("acme".into(), ChainHead::default());
        entries.iter().find_map(|entry| check.next(entry.seq, &entry.body, &entry.hash.0).err()).map(|bad| bad.seq)
    }

    #[test]
    fn a_body_is_canonical_json_and_its_hash_is_sha256_of_it() {
        let entry = &chain(1)[0];
        let value: Value = serde_json::from_str(&entry.body).expect("JSON");
        let keys: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(keys, sorted);
        assert_eq!(serde_jcs::to_string(&value).expect("canonical"), entry.body);
        assert_eq!(value["prev"], "0".repeat(64));
        assert_eq!(Hash::from_hex(&entry.hash.to_string()), Some(entry.hash));
    }

    #[test]
    fn a_whole_chain_holds() {
        assert_eq!(first_bad(&chain(50)), None);
    }

    #[test]
    fn a_chain_of_another_tenant_does_not_hold() {
        let entries = chain(1);
        let mut check = ChainCheck::from("bravo".into(), ChainHead::default());
        assert!(check.next(1, &entries[0].body, &entries[0].hash.0).is_err());
    }

    proptest! {
        #[test]
        fn any_change_of_a_body_is_found_at_its_entry(victim in 0_usize..20, at in any::<prop::sample::Index>(), bit in 0_u8..7) {
            let mut entries = chain(20);
            let mut bytes = entries[victim].body.clone().into_bytes();
            let position = at.index(bytes.len());
            bytes[position] ^= 1 << bit;
            let Ok(body) = String::from_utf8(bytes) else { return Ok(()) };
            entries[victim].body = body;
            prop_assert_eq!(first_bad(&entries), Some(victim as u64 + 1));
        }

        #[test]
        fn a_missing_swapped_or_rechained_entry_is_found(victim in 0_usize..18) {
            let mut removed = chain(20);
            removed.remove(victim);
            prop_assert_eq!(first_bad(&removed), Some(victim as u64 + 1));

            let mut swapped = chain(20);
            swapped.swap(victim, victim + 1);
            prop_assert_eq!(first_bad(&swapped), Some(victim as u64 + 1));

            // An edit that is hashed anew breaks the link of the entry after it.
            let mut rehashed = chain(20);
            rehashed[victim].body = rehashed[victim].body.replace("Paused", "Idle");
            rehashed[victim].hash = Hash::of(rehashed[victim].body.as_bytes());
            prop_assert_eq!(first_bad(&rehashed), Some(victim as u64 + 2));
        }
    }
}
