//! Signed heads, which leave the host every few minutes so that whoever controls the database cannot rewrite the chain
//! unnoticed.
//!
//! A head names the chain's last entry and its hash, and carries an ed25519 signature over its own RFC 8785 JSON. It
//! also holds a mark, the first eight bytes of the hash, for each entry since the head before. The hash alone would
//! show that a chain was rewritten; the marks show from which entry on. This module reads no files and does not know
//! where heads go.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{ChainHead, Hash};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{Details, EXAMPLE_AT, EventKind};

/// The version of the head format.
const HEAD_VERSION: u32 = 1;

/// The length of a mark in bytes. Long enough that nobody finds another entry with the same mark; the head holds the
/// full hash of the last entry.
pub const MARK_BYTES: usize = 8;

/// The largest number of marks in a head: 43 KiB of text.
pub const MAX_MARKS: usize = 4096;

/// The public key that verifies signed heads.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Creates a key from its 32 bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Parses a key from base64.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text.trim()).ok().and_then(|bytes| Self::from_slice(&bytes))
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the short id: the first 16 hexadecimal digits of the SHA-256 of the key.
    pub fn id(&self) -> String {
        let mut text = Hash::of(&self.0).to_string();
        text.truncate(16);
        text
    }

    /// Returns the key as PEM, as `openssl` and others read it.
    pub fn pem(&self) -> Option<String> {
        VerifyingKey::from_bytes(&self.0).ok()?.to_public_key_pem(LineEnding::LF).ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The private key that signs heads. `Debug` shows only its public key.
#[derive(Clone)]
pub struct HeadSigningKey(SigningKey);

impl HeadSigningKey {
    /// Creates a key from 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// Reads PKCS#8 PEM, as written by [`HeadSigningKey::to_pem`] or `openssl genpkey -algorithm ed25519`; `None` for
    /// anything else.
    pub fn from_pem(text: &str) -> Option<Self> {
        SigningKey::from_pkcs8_pem(text).ok().map(Self)
    }

    /// Returns the key as PKCS#8 PEM of version 1, which `openssl` reads.
    pub fn to_pem(&self) -> Option<impl AsRef<[u8]> + use<>> {
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).ok().map(|text| text.as_bytes().to_vec())
    }

    /// Returns the public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, claim: &HeadClaim) -> Option<[u8; 64]> {
        claim.signed_text().map(|text| self.0.sign(text.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for HeadSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadKey({})", self.public_key().id())
    }
}

/// The content of a head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadClaim {
    /// The tenant that the chain belongs to.
    pub tenant: TenantId,
    /// The number of the chain's last entry.
    pub seq: u64,
    /// The number of the last entry of the head before; 0 for the first head.
    pub previous_seq: u64,
    /// The hash of the last entry.
    pub hash: Hash,
    /// When the head was created.
    pub at: UtcMicros,
    /// The marks of the last entries up to `seq`, concatenated.
    pub marks: Vec<u8>,
    /// The key that signs the head.
    pub key: PublicKey,
}

/// A head with its signature, not verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedHead {
    /// The content.
    pub claim: HeadClaim,
    /// The signature over the claim's canonical JSON.
    pub signature: [u8; 64],
}

/// A signed head of the tenant's audit chain. While the chain grows, one is sent every five minutes and every 1,000 entries
/// (`[audit]`). Keep heads away from the daemon's host: `audit verify --head` compares the chain with them (`docs/audit.md`).
// The JSON form; without the signature, its canonical JSON is the signed text.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditHead {
    /// The version of this format.
    v: u32,
    /// The tenant of the chain.
    tenant: TenantId,
    /// The number of the chain's last entry.
    seq: u64,
    /// The `seq` of the previous head; 0 for the first head.
    after: u64,
    /// The SHA-256 of the last entry, in hexadecimal.
    hash: String,
    /// When the head was created.
    at: UtcMicros,
    /// The first eight bytes of the hash of each of the latest entries up to `seq`, concatenated, in base64.
    marks: String,
    /// The id of the key: the first 16 hexadecimal digits of the SHA-256 of `publicKey`.
    key_id: String,
    /// The ed25519 public key, 32 bytes in base64.
    public_key: String,
    /// The signature over the RFC 8785 JSON of all other fields, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    signature: Option<String>,
}

impl Details for AuditHead {
    fn example() -> Self {
        let key = HeadSigningKey::from_seed([7; 32]);
        let hash = Hash::of(b"an entry");
        let claim = HeadClaim {
            tenant: "acme".into(),
            seq: 1042,
            previous_seq: 1041,
            hash,
            at: EXAMPLE_AT,
            marks: hash.0.iter().take(MARK_BYTES).copied().collect(),
            key: key.public_key(),
        };
        SignedHead { signature: key.sign(&claim).unwrap_or([0; 64]), claim }.to_event()
    }
}

impl HeadClaim {
    fn to_audit_head(&self) -> AuditHead {
        AuditHead {
            v: HEAD_VERSION,
            tenant: self.tenant.clone(),
            seq: self.seq,
            after: self.previous_seq,
            hash: self.hash.to_string(),
            at: self.at,
            marks: STANDARD.encode(&self.marks),
            key_id: self.key.id(),
            public_key: self.key.to_string(),
            signature: None,
        }
    }

    /// Returns the signed text: the head's RFC 8785 JSON without `signature`.
    fn signed_text(&self) -> Option<String> {
        serde_jcs::to_string(&self.to_audit_head()).ok()
    }

    /// Returns the number of the first entry with a mark.
    pub fn first_marked_seq(&self) -> u64 {
        let marks = (self.marks.len() / MARK_BYTES) as u64;
        self.seq.saturating_add(1).saturating_sub(marks)
    }

    /// Returns the mark of an entry, if it has one.
    pub fn mark_of(&self, seq: u64) -> Option<&[u8]> {
        let index = usize::try_from(seq.checked_sub(self.first_marked_seq())?).ok()?;
        self.marks.chunks_exact(MARK_BYTES).nth(index)
    }

    /// Returns the chain head that the signature covers.
    pub fn chain_head(&self) -> ChainHead {
        ChainHead { seq: self.seq, hash: self.hash }
    }
}

impl SignedHead {
    /// Signs a claim; `None` if `key` is not the key that the claim names.
    pub fn sign(claim: HeadClaim, key: &HeadSigningKey) -> Option<Self> {
        let signature = (claim.key == key.public_key()).then(|| key.sign(&claim)).flatten()?;
        Some(Self { claim, signature })
    }

    /// Returns whether the named key signed the head and its parts are consistent. Whether that key can be trusted is
    /// not checked.
    pub fn is_valid(&self) -> bool {
        let claim = &self.claim;
        let marks = claim.marks.len();
        let is_consistent = claim.previous_seq < claim.seq
            && marks.is_multiple_of(MARK_BYTES)
            && (1..=MAX_MARKS * MARK_BYTES).contains(&marks)
            && claim.first_marked_seq() > claim.previous_seq
            && claim.mark_of(claim.seq) == claim.hash.0.get(..MARK_BYTES);
        let verified = || {
            let key = VerifyingKey::from_bytes(claim.key.as_bytes()).ok()?;
            let signature = Signature::from_bytes(&self.signature);
            key.verify_strict(claim.signed_text()?.as_bytes(), &signature).ok()
        };
        is_consistent && verified().is_some()
    }

    /// Returns the data of the head's event.
    pub fn to_event(&self) -> AuditHead {
        AuditHead { signature: Some(STANDARD.encode(self.signature)), ..self.claim.to_audit_head() }
    }

    /// Returns the head as JSON, which [`read_heads`] can read.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self.to_event()).unwrap_or_default()
    }

    fn from_value(value: Value) -> Result<Self, String> {
        let wire: AuditHead = serde_json::from_value(value).map_err(|error| error.to_string())?;
        let bytes = |text: &str, name: &str| STANDARD.decode(text).map_err(|_| format!("`{name}` is not base64"));
        if wire.v != HEAD_VERSION {
            return Err(format!("version {} is not known here", wire.v));
        }
        let signature = bytes(&wire.signature.unwrap_or_default(), "signature")?;
        let head = Self {
            claim: HeadClaim {
                tenant: wire.tenant,
                seq: wire.seq,
                previous_seq: wire.after,
                hash: Hash::from_hex(&wire.hash).ok_or("`hash` is not SHA-256 in hexadecimal")?,
                at: wire.at,
                marks: bytes(&wire.marks, "marks")?,
                key: PublicKey::from_base64(&wire.public_key).ok_or("`publicKey` is not 32 bytes in base64")?,
            },
            signature: signature.try_into().map_err(|_| "`signature` is not 64 bytes in base64")?,
        };
        if head.claim.key.id() == wire.key_id { Ok(head) } else { Err("`keyId` is not that of `publicKey`".to_owned()) }
    }
}

/// The error for a text without heads, or with one that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadHeadsError {
    /// The text holds no head.
    #[error(
        "it has no head: expected are heads from `audit heads --output json`, a webhook or the log, as one JSON document \
         or one per line"
    )]
    Empty,
    /// A head cannot be read.
    #[error("head {number} in it cannot be read: {reason}")]
    Unreadable {
        /// The position of the head, starting at 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the heads in a text as received: single or in lists, in webhook bodies of either format, or in lines of a log.
/// Other events and lines are skipped.
pub fn read_heads(text: &str) -> Result<Vec<SignedHead>, ReadHeadsError> {
    let mut heads = Vec::new();
    let whole: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    if let Ok(values) = whole {
        values.into_iter().try_for_each(|value| collect_heads(value, &mut heads))?;
    } else {
        for line in text.lines() {
            // A line of the human-readable log has words before the head.
            let value = line.find('{').and_then(|start| serde_json::from_str(&line[start..]).ok());
            value.map_or(Ok(()), |value| collect_heads(value, &mut heads))?;
        }
    }
    if heads.is_empty() { Err(ReadHeadsError::Empty) } else { Ok(heads) }
}

fn collect_heads(value: Value, heads: &mut Vec<SignedHead>) -> Result<(), ReadHeadsError> {
    match value {
        Value::Array(values) => values.into_iter().try_for_each(|value| collect_heads(value, heads)),
        Value::Object(mut object) => {
            if object.contains_key("signature") && object.contains_key("hash") {
                let number = heads.len() + 1;
                let head = SignedHead::from_value(Value::Object(object));
                heads.push(head.map_err(|reason| ReadHeadsError::Unreadable { number, reason })?);
                return Ok(());
            }
            let name = |key: &str| object.get(key).and_then(Value::as_str);
            let is_other = name("event").is_some_and(|name| name != EventKind::AuditHead.wire_name());
            if is_other {
                return Ok(());
            }
            let inner = ["heads", "head", "data"].into_iter().find_map(|key| object.remove(key));
            match inner {
                // A log of JSON lines holds the head as text.
                Some(Value::String(text)) => {
                    serde_json::from_str(&text).map_or(Ok(()), |value| collect_heads(value, heads))
                }
                Some(inner) => collect_heads(inner, heads),
                None => Ok(()),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
