//! Signing and verification of deliveries according to Standard Webhooks.
//!
//! The signed text is `ID.TIMESTAMP.BODY`, with HMAC-SHA256. A signature is `v1,` and its base64; while a key is being
//! replaced there are several, separated by spaces. This module reads no clock, and keys are never shown.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::domain::time::UtcMicros;

/// The header with the id of the event, which is the same in every attempt.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of signing, in seconds since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// The largest difference in either direction between a timestamp and the verifier's clock (source: Standard Webhooks).
pub const TIMESTAMP_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The allowed length of a key in bytes (source: Standard Webhooks).
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// How long the previous key continues to sign beside the new one.
pub const KEY_OVERLAP: Duration = Duration::from_secs(24 * 3600);

const KEY_PREFIX: &str = "whsec_";
const VERSION: &str = "v1";

/// The text between a key and the instant at which it ends, in a key file.
const UNTIL_SEPARATOR: &str = " until ";

/// An invalid key. The error never contains the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum KeyError {
    /// The prefix `whsec_` is missing.
    #[error("a signing key must begin with whsec_")]
    Prefix,
    /// The rest is not base64; write the key again.
    #[error("the part after whsec_ is not base64")]
    Encoding,
    /// The key has a wrong length in bytes; make a new one.
    #[error("a signing key must have 24 to 64 bytes, not {0}")]
    Length(usize),
    /// The second line is not `whsec_OLD until INSTANT`; correct or remove it.
    #[error("the line after the key must have the previous key and its end, as in whsec_… until 2026-11-23T10:00:00Z")]
    Previous,
    /// There are more than two lines; remove the others.
    #[error("the file has more than a key and the previous key")]
    TooMany,
}

/// A signing key. It is printed as `***`.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Parses `whsec_` followed by the base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(KEY_PREFIX).ok_or(KeyError::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| KeyError::Encoding)?;
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| KeyError::Length(bytes.len()))
    }

    /// Returns the text of a new key made of random bytes.
    pub fn encode_key(bytes: &[u8; 32]) -> String {
        format!("{KEY_PREFIX}{}", STANDARD.encode(bytes))
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }

    /// Returns one signature, as `v1,BASE64`.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut text = String::with_capacity(48);
        self.append_signature(&mut text, id, timestamp, body);
        text
    }

    fn append_signature(&self, text: &mut String, id: &str, timestamp: &str, body: &[u8]) {
        text.push_str(VERSION);
        text.push(',');
        STANDARD.encode_string(self.mac(id, timestamp, body).finalize().into_bytes(), text);
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The keys of an endpoint: the current one, and for some time the previous one.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: SigningKey,
    previous: Option<(SigningKey, UtcMicros)>,
}

impl Keyring {
    /// Creates a keyring that signs with `current`, and with `previous` until its end.
    pub const fn new(current: SigningKey, previous: Option<(SigningKey, UtcMicros)>) -> Self {
        Self { current, previous }
    }

    /// Parses a key and, on an optional second line, the previous key: `whsec_OLD until 2026-11-23T10:00:00Z`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut lines = text.lines().map(str::trim_end);
        let current = SigningKey::parse(lines.next().unwrap_or_default())?;
        let previous = match lines.next() {
            None | Some("") => None,
            Some(line) => {
                let (key, until) = line.split_once(UNTIL_SEPARATOR).ok_or(KeyError::Previous)?;
                Some((SigningKey::parse(key)?, until.parse().map_err(|_| KeyError::Previous)?))
            }
        };
        if lines.any(|line| !line.is_empty()) { Err(KeyError::TooMany) } else { Ok(Self { current, previous }) }
    }

    /// Returns the text of a key and the previous key, as read by [`Keyring::parse`].
    pub fn format_keys(current: &str, previous: &str, until: UtcMicros) -> String {
        format!("{current}\n{previous}{UNTIL_SEPARATOR}{until}\n")
    }

    /// Returns the instant until which the previous key signs; `None` if it does not sign at `now`.
    pub fn overlap_until(&self, now: UtcMicros) -> Option<UtcMicros> {
        self.previous.as_ref().map(|(_, until)| *until).filter(|until| now < *until)
    }

    /// Returns the signatures of an attempt sent at `now`, for the header. `timestamp` is the value of the timestamp
    /// header.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8], now: UtcMicros) -> String {
        let mut text = String::with_capacity(96);
        self.current.append_signature(&mut text, id, timestamp, body);
        if let Some((previous, until)) = &self.previous
            && now < *until
        {
            text.push(' ');
            previous.append_signature(&mut text, id, timestamp, body);
        }
        text
    }
}

/// The three headers of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct SignedHeaders<'a> {
    /// The value of [`ID_HEADER`].
    pub id: &'a str,
    /// The value of [`TIMESTAMP_HEADER`].
    pub timestamp: &'a str,
    /// The value of [`SIGNATURE_HEADER`].
    pub signature: &'a str,
}

/// The reason why a delivery is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum VerificationError {
    /// The id is empty or contains a `.`, which would allow another body to match the signature.
    #[error("webhook-id is empty or has a full stop")]
    Id,
    /// The timestamp is not a plain number of seconds.
    #[error("webhook-timestamp is not a number of seconds")]
    Timestamp,
    /// It was signed more than [`TIMESTAMP_TOLERANCE`] ago.
    #[error("the delivery is too old")]
    TooOld,
    /// It was signed more than [`TIMESTAMP_TOLERANCE`] in the future.
    #[error("the delivery is from the future")]
    SignedInFuture,
    /// No signature is of version 1 and made with one of the keys.
    #[error("no signature matches")]
    NoMatchingSignature,
}

/// Verifies a delivery at `now`. Signatures are compared in constant time.
pub fn verify(
    keys: &[SigningKey],
    headers: SignedHeaders<'_>,
    body: &[u8],
    now: UtcMicros,
) -> Result<(), VerificationError> {
    if headers.id.is_empty() || headers.id.contains('.') {
        return Err(VerificationError::Id);
    }
    if headers.timestamp.is_empty() || !headers.timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VerificationError::Timestamp);
    }
    let seconds: i64 = headers.timestamp.parse().map_err(|_| VerificationError::Timestamp)?;
    let signed_at = UtcMicros::from_micros(seconds.checked_mul(1_000_000).ok_or(VerificationError::Timestamp)?);
    if now.since(signed_at) > TIMESTAMP_TOLERANCE {
        return Err(VerificationError::TooOld);
    }
    if signed_at.since(now) > TIMESTAMP_TOLERANCE {
        return Err(VerificationError::SignedInFuture);
    }
    let expected: Vec<_> =
        keys.iter().map(|key| key.mac(headers.id, headers.timestamp, body).finalize().into_bytes()).collect();
    let is_valid = |signature: &str| {
        let text = signature.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(','));
        let Some(Ok(bytes)) = text.map(|text| STANDARD.decode(text)) else { return false };
        expected.iter().any(|made| bool::from(made.as_slice().ct_eq(&bytes)))
    };
    if headers.signature.split(' ').any(is_valid) { Ok(()) } else { Err(VerificationError::NoMatchingSignature) }
}

#[cfg(test)]
mod tests;
