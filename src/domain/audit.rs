//! Audit entries and the hash chain that reveals changes to them.
//!
//! The hash of an entry is the SHA-256 of its body, which is the entry as RFC 8785 JSON including the hash of the entry
//! before. Each tenant has its own chain, which starts from 64 zeros. Bodies refer to agents by a random subject id and
//! to typed notes by a salted hash, so that a person can be erased without touching the chain.

pub mod head;
pub mod head_verifier;

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ids::{SubjectId, TenantId, TransitionId};
use super::time::UtcMicros;

/// The version of the body format.
const BODY_VERSION: u32 = 1;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Returns the hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the hash of a value's canonical JSON (RFC 8785).
    ///
    /// # Errors
    /// Returns an error if the value has no canonical JSON: it holds a number that is not finite, or a map whose keys
    /// are not text.
    pub fn of_json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_jcs::to_vec(value).map(|text| Self::of(&text))
    }

    /// Creates a hash from its 32 bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Parses a hash from its 64 lower-case hexadecimal digits.
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
    /// Returns the 64 lower-case hexadecimal digits.
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

/// Returns the hash of a typed note for the chain: the SHA-256 of the note's own random salt and its text.
pub fn note_hash(salt: &[u8; 16], note: &str) -> Hash {
    Hash(Sha256::new().chain_update(salt).chain_update(note).finalize().into())
}

/// A new audit entry; the chain adds its number and the link to the entry before.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditDraft {
    /// The tenant whose chain gets the entry.
    pub tenant: TenantId,
    /// When it happened.
    pub at: UtcMicros,
    /// Who or what acted, as written by [`super::changes::transition::Actor::label`].
    pub actor: String,
    /// What was done: `transition.accepted`, `schedule.imported`, …
    pub action: &'static str,
    /// The agent concerned.
    pub subject: Option<SubjectId>,
    /// The transition concerned.
    pub transition: Option<TransitionId>,
    /// The agent's state before.
    pub before: Option<String>,
    /// The state requested or reached.
    pub after: Option<String>,
    /// The outcome, if there is one yet.
    pub outcome: Option<String>,
    /// The facts, without any id or name of an agent.
    pub facts: Value,
    /// The salted hash of a typed note.
    pub note_hash: Option<Hash>,
}

impl AuditDraft {
    /// Creates an entry about the tenant as a whole, without agent, transition or note.
    pub fn new(tenant: TenantId, at: UtcMicros, actor: impl Into<String>, action: &'static str, facts: Value) -> Self {
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
            facts,
            note_hash: None,
        }
    }
}

/// An entry of the chain, exactly as it is hashed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditBody {
    /// The version of this format.
    pub v: u32,
    /// The tenant that the chain belongs to.
    pub tenant: TenantId,
    /// The number in the chain, starting at 1 without gaps.
    pub seq: u64,
    /// The hash of the entry before, in hexadecimal.
    pub prev: String,
    /// When it happened.
    pub at: UtcMicros,
    /// Who or what acted.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// The agent concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// The transition concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<TransitionId>,
    /// The agent's state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state requested or reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The facts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub why: Value,
    /// The salted hash of a typed note, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The parts of a body needed to verify it. The hash protects the rest. Texts are borrowed from the stored body where
/// they need no unescaping.
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

/// An entry with its link and hash, ready to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedEntry {
    /// The number in the chain.
    pub seq: u64,
    /// The body as RFC 8785 JSON.
    pub body: String,
    /// SHA-256 of the body.
    pub hash: Hash,
}

/// The end of a chain, which the next entry links to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainHead {
    /// The number of the last entry; 0 for an empty chain.
    pub seq: u64,
    /// The hash of the last entry.
    pub hash: Hash,
}

/// The error for a body that has no RFC 8785 JSON: its facts hold a number that is not finite, or a map whose keys are
/// not text.
#[derive(Debug, thiserror::Error)]
#[error("the facts of an audit entry cannot be written as canonical JSON")]
pub struct NotCanonicalError(#[source] serde_json::Error);

impl ChainHead {
    /// Links the next entry and moves the head to it.
    pub fn seal(&mut self, draft: &AuditDraft) -> Result<SealedEntry, NotCanonicalError> {
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
            why: draft.facts.clone(),
            note: draft.note_hash.map(|hash| hash.to_string()),
        };
        let body = serde_jcs::to_string(&body).map_err(NotCanonicalError)?;
        let hash = Hash::of(body.as_bytes());
        *self = Self { seq, hash };
        Ok(SealedEntry { seq, body, hash })
    }
}

/// The first invalid entry of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub struct InvalidEntry {
    /// The number of the entry.
    pub seq: u64,
    /// What is wrong with the entry.
    pub reason: String,
}

/// Verifies entries in order, from any point of the chain with a known head.
#[derive(Clone, Debug)]
pub struct ChainVerifier {
    tenant: TenantId,
    head: ChainHead,
}

impl ChainVerifier {
    /// Creates a verifier that starts at `head`: the empty chain or a checkpoint.
    pub fn starting_at(tenant: TenantId, head: ChainHead) -> Self {
        Self { tenant, head }
    }

    /// Verifies the next stored entry: its number, its hash, and the number, link and tenant in its body. The text is
    /// hashed as stored: what was written is canonical, and any other text has a different hash.
    ///
    /// # Errors
    /// Returns an error if the entry is invalid; verification must then stop.
    pub fn verify_links<'b>(&mut self, seq: u64, body: &'b str, hash: &[u8]) -> Result<EntryLinks<'b>, InvalidEntry> {
        self.check_links(seq, body, Some(hash))
    }

    /// Does the same as [`ChainVerifier::verify_links`] without a stored hash, which the caller must compare with
    /// [`ChainVerifier::head`] afterwards.
    ///
    /// # Errors
    /// Returns an error if the entry is invalid.
    pub fn verify_links_without_hash<'b>(&mut self, seq: u64, body: &'b str) -> Result<EntryLinks<'b>, InvalidEntry> {
        self.check_links(seq, body, None)
    }

    fn check_links<'b>(
        &mut self,
        seq: u64,
        body: &'b str,
        hash: Option<&[u8]>,
    ) -> Result<EntryLinks<'b>, InvalidEntry> {
        let expected = self.head.seq + 1;
        let invalid = |reason: String| InvalidEntry { seq: expected.min(seq), reason };
        if seq != expected {
            return Err(invalid(format!("entry {expected} should follow, entry {seq} does")));
        }
        let computed = Hash::of(body.as_bytes());
        if hash.is_some_and(|hash| hash != computed.0) {
            return Err(invalid("its hash is not that of its body".to_owned()));
        }
        let entry: EntryLinks<'b> =
            serde_json::from_str(body).map_err(|error| invalid(format!("its body is not an audit entry: {error}")))?;
        if entry.prev.as_bytes() != self.head.hash.hex() {
            return Err(invalid("it does not link to the entry before it".to_owned()));
        }
        if entry.seq != seq || entry.tenant != self.tenant.as_str() || entry.v != BODY_VERSION {
            return Err(invalid("its body belongs to another place, tenant or version".to_owned()));
        }
        self.head = ChainHead { seq, hash: computed };
        Ok(entry)
    }

    /// Skips the next entry, which has this hash and was verified elsewhere.
    pub fn skip_verified_entry(&mut self, hash: Hash) {
        self.head = ChainHead { seq: self.head.seq + 1, hash };
    }

    /// Does the same as [`ChainVerifier::verify_links`] and reads the whole body.
    ///
    /// # Errors
    /// Returns an error if the entry is invalid.
    pub fn verify_entry(&mut self, seq: u64, body: &str, hash: &[u8]) -> Result<AuditBody, InvalidEntry> {
        self.verify_links(seq, body, hash)?;
        serde_json::from_str(body)
            .map_err(|error| InvalidEntry { seq, reason: format!("its body is not an audit entry: {error}") })
    }

    /// Returns the head after all entries verified so far.
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
            facts: json!({"planned": "work", "for_ms": n, "words": "é\u{1F600}\"\\\n"}),
            note_hash: None,
        }
    }

    fn chain(length: u32) -> Vec<SealedEntry> {
        let mut head = ChainHead::default();
        (0..length).map(|n| head.seal(&draft(n)).expect("plain facts")).collect()
    }

    fn first_invalid(entries: &[SealedEntry]) -> Option<u64> {
        let mut verifier = ChainVerifier::starting_at("acme".into(), ChainHead::default());
        entries
            .iter()
            .find_map(|entry| verifier.verify_entry(entry.seq, &entry.body, &entry.hash.0).err())
            .map(|bad| bad.seq)
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
        assert_eq!(first_invalid(&chain(50)), None);
    }

    #[test]
    fn a_chain_of_another_tenant_does_not_hold() {
        let entries = chain(1);
        let mut verifier = ChainVerifier::starting_at("bravo".into(), ChainHead::default());
        assert!(verifier.verify_entry(1, &entries[0].body, &entries[0].hash.0).is_err());
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
            prop_assert_eq!(first_invalid(&entries), Some(victim as u64 + 1));
        }

        #[test]
        fn a_missing_swapped_or_rechained_entry_is_found(victim in 0_usize..18) {
            let mut removed = chain(20);
            removed.remove(victim);
            prop_assert_eq!(first_invalid(&removed), Some(victim as u64 + 1));

            let mut swapped = chain(20);
            swapped.swap(victim, victim + 1);
            prop_assert_eq!(first_invalid(&swapped), Some(victim as u64 + 1));

            // An edited entry that is hashed again breaks the link of the next entry.
            let mut rehashed = chain(20);
            rehashed[victim].body = rehashed[victim].body.replace("Paused", "Idle");
            rehashed[victim].hash = Hash::of(rehashed[victim].body.as_bytes());
            prop_assert_eq!(first_invalid(&rehashed), Some(victim as u64 + 2));
        }
    }
}
