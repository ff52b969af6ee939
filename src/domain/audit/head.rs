//! Signed heads: what leaves the host every few minutes, so that whoever owns the database cannot take the chain back unseen.
//!
//! A head names the chain's last entry and its hash, and bears an ed25519 signature over its own RFC 8785 JSON. It also holds
//! a mark, the first eight bytes of the hash, of each entry since the head before it: the hash alone would show that a
//! rewritten chain is another one, the marks show from which entry on. Nothing here reads files or knows where heads go.

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

/// The version of a head's shape.
const HEAD_VERSION: u32 = 1;

/// Bytes of a mark. Enough that nobody finds another entry with the same one; the whole hash stands at the head itself.
pub const MARK_BYTES: usize = 8;

/// A head marks at most so many entries: 43 KiB of text.
pub const MOST_MARKS: usize = 4096;

/// The public half of a key that signs heads.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From its 32 bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From base64, as it is shown.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text.trim()).ok().and_then(|bytes| Self::from_slice(&bytes))
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its short name: the first 16 hexadecimal digits of its SHA-256.
    pub fn id(&self) -> String {
        let mut text = Hash::of(&self.0).to_string();
        text.truncate(16);
        text
    }

    /// As `openssl` and others take it.
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

/// A key that signs heads. Shows itself as its public half alone.
#[derive(Clone)]
pub struct HeadKey(SigningKey);

impl HeadKey {
    /// The key of 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// From PKCS#8 PEM, as [`HeadKey::to_pem`] or `openssl genpkey -algorithm ed25519` writes it; `None` for anything else.
    pub fn from_pem(text: &str) -> Option<Self> {
        SigningKey::from_pkcs8_pem(text).ok().map(Self)
    }

    /// As PKCS#8 PEM of version 1, the one that `openssl` reads.
    pub fn to_pem(&self) -> Option<impl AsRef<[u8]> + use<>> {
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).ok().map(|text| text.as_bytes().to_vec())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, claim: &HeadClaim) -> Option<[u8; 64]> {
        claim.signed_text().map(|text| self.0.sign(text.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadKey({})", self.public().id())
    }
}

/// What a head says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadClaim {
    /// Of whose chain.
    pub tenant: TenantId,
    /// The number of the chain's last entry.
    pub seq: u64,
    /// The number that the head before it ended at; 0 for the first.
    pub after: u64,
    /// The hash of the last entry.
    pub hash: Hash,
    /// When it was made.
    pub at: UtcMicros,
    /// The marks of the last entries up to `seq`, one after the other.
    pub marks: Vec<u8>,
    /// Which key signs it.
    pub key: PublicKey,
}

/// A head with its signature; not yet checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedHead {
    /// What it says.
    pub claim: HeadClaim,
    /// The signature over the claim as canonical JSON.
    pub signature: [u8; 64],
}

/// A signed head of the tenant's audit chain, every five minutes or 1,000 entries where the chain grows (`[audit]`). Keep it
/// away from the daemon's host: `audit verify --head` holds the chain against it (`docs/audit.md`).
// As JSON; without the signature it is the text that is signed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditHead {
    /// The version of this shape.
    v: u32,
    /// Whose chain it is.
    tenant: TenantId,
    /// The number of the chain's last entry.
    seq: u64,
    /// The number that the head before it ended at; 0 for the first.
    after: u64,
    /// The SHA-256 of the last entry, in hexadecimal.
    hash: String,
    /// When the head was made.
    at: UtcMicros,
    /// The first eight bytes of the hash of each of the last entries up to `seq`, one after the other, in base64.
    marks: String,
    /// The short name of the key: the first 16 hexadecimal digits of the SHA-256 of `publicKey`.
    key_id: String,
    /// The ed25519 key that signs, 32 bytes in base64.
    public_key: String,
    /// The signature over the RFC 8785 JSON of everything else here, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    signature: Option<String>,
}

impl Details for AuditHead {
    fn example() -> Self {
        let key = HeadKey::from_seed([7; 32]);
        let hash = Hash::of(b"an entry");
        let claim = HeadClaim {
            tenant: "acme".into(),
            seq: 1042,
            after: 1041,
            hash,
            at: EXAMPLE_AT,
            marks: hash.0.iter().take(MARK_BYTES).copied().collect(),
            key: key.public(),
        };
        SignedHead { signature: key.sign(&claim).unwrap_or([0; 64]), claim }.to_event()
    }
}

impl HeadClaim {
    fn wire(&self) -> AuditHead {
        AuditHead {
            v: HEAD_VERSION,
            tenant: self.tenant.clone(),
            seq: self.seq,
            after: self.after,
            hash: self.hash.to_string(),
            at: self.at,
            marks: STANDARD.encode(&self.marks),
            key_id: self.key.id(),
            public_key: self.key.to_string(),
            signature: None,
        }
    }

    /// The text that the signature is over: the head's RFC 8785 JSON without `signature`.
    fn signed_text(&self) -> Option<String> {
        serde_jcs::to_string(&self.wire()).ok()
    }

    /// The first entry that it marks.
    pub fn first_marked(&self) -> u64 {
        let marks = (self.marks.len() / MARK_BYTES) as u64;
        self.seq.saturating_add(1).saturating_sub(marks)
    }

    /// The mark of an entry, where it has one.
    pub fn mark_of(&self, seq: u64) -> Option<&[u8]> {
        let place = usize::try_from(seq.checked_sub(self.first_marked())?).ok()?;
        self.marks.chunks_exact(MARK_BYTES).nth(place)
    }

    /// The head of the chain that it vouches for.
    pub fn chain_head(&self) -> ChainHead {
        ChainHead { seq: self.seq, hash: self.hash }
    }
}

impl SignedHead {
    /// Signs; `None` when `key` is not the one that the claim names.
    pub fn sign(claim: HeadClaim, key: &HeadKey) -> Option<Self> {
        let signature = (claim.key == key.public()).then(|| key.sign(&claim)).flatten()?;
        Some(Self { claim, signature })
    }

    /// Whether the key that it names has signed it, and its parts fit together. Whether that key is to be trusted is another
    /// question.
    pub fn holds(&self) -> bool {
        let claim = &self.claim;
        let marks = claim.marks.len();
        let is_sound = claim.after < claim.seq
            && marks.is_multiple_of(MARK_BYTES)
            && (1..=MOST_MARKS * MARK_BYTES).contains(&marks)
            && claim.first_marked() > claim.after
            && claim.mark_of(claim.seq) == claim.hash.0.get(..MARK_BYTES);
        let signed = || {
            let key = VerifyingKey::from_bytes(claim.key.as_bytes()).ok()?;
            let signature = Signature::from_bytes(&self.signature);
            key.verify_strict(claim.signed_text()?.as_bytes(), &signature).ok()
        };
        is_sound && signed().is_some()
    }

    /// The data of its event.
    pub fn to_event(&self) -> AuditHead {
        AuditHead { signature: Some(STANDARD.encode(self.signature)), ..self.claim.wire() }
    }

    /// The same as JSON: a line of a file, what [`read_heads`] takes.
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
                after: wire.after,
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

/// A text that should hold heads and does not, or not well.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoHeads {
    /// It holds none.
    #[error(
        "it holds no head: expected are heads as `audit heads --output json`, a webhook or the log gave them, one JSON document \
         or one a line"
    )]
    None,
    /// One of them cannot be read.
    #[error("head {number} in it cannot be read: {reason}")]
    Unreadable {
        /// The how-manieth, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the heads of a text, as they were received: one or many, alone or in lists, as bodies of webhooks of either format, as
/// lines of a log. Other events and lines between them are passed over.
pub fn read_heads(text: &str) -> Result<Vec<SignedHead>, NoHeads> {
    let mut heads = Vec::new();
    let whole: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    if let Ok(values) = whole {
        values.into_iter().try_for_each(|value| gather(value, &mut heads))?;
    } else {
        for line in text.lines() {
            // A line of the log for people has words before the head.
            let value = line.find('{').and_then(|start| serde_json::from_str(&line[start..]).ok());
            value.map_or(Ok(()), |value| gather(value, &mut heads))?;
        }
    }
    if heads.is_empty() { Err(NoHeads::None) } else { Ok(heads) }
}

fn gather(value: Value, heads: &mut Vec<SignedHead>) -> Result<(), NoHeads> {
    match value {
        Value::Array(values) => values.into_iter().try_for_each(|value| gather(value, heads)),
        Value::Object(mut object) => {
            if object.contains_key("signature") && object.contains_key("hash") {
                let number = heads.len() + 1;
                let head = SignedHead::from_value(Value::Object(object));
                heads.push(head.map_err(|reason| NoHeads::Unreadable { number, reason })?);
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
                Some(Value::String(text)) => serde_json::from_str(&text).map_or(Ok(()), |value| gather(value, heads)),
                Some(inner) => gather(inner, heads),
                None => Ok(()),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
