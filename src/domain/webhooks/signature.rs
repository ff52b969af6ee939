//! Signing deliveries as Standard Webhooks has it, and judging such signatures.
//!
//! What is signed is `ID.TIMESTAMP.BODY`, by HMAC-SHA256; a signature is `v1,` and its base64, and several stand beside each
//! other with a space between while a key is changed. Time is an argument: this reads no clock. A key is never shown.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::domain::time::UtcMicros;

/// The header that names the event, the same at every try.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the seconds since the Unix epoch at which the attempt was signed.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// How far a timestamp may lie from the verifier's clock, either way (source: Standard Webhooks).
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Bytes of a key (source: Standard Webhooks).
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// How long the key before goes on signing beside the new one.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);

const KEY_PREFIX: &str = "whsec_";
const VERSION: &str = "v1";

/// Between a key and the instant at which it ends, in a file of keys.
const UNTIL: &str = " until ";

/// A text that is no key. It never holds the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum KeyError {
    /// Put `whsec_` before it.
    #[error("a signing key begins with whsec_")]
    Prefix,
    /// Write it anew.
    #[error("what follows whsec_ is not base64")]
    Encoding,
    /// Make a new one.
    #[error("a signing key has 24 to 64 bytes, not {0}")]
    Length(usize),
    /// Write the second line of the file as `whsec_OLD until INSTANT`, or remove it.
    #[error("the line after the key must be the key before and its end, as in whsec_… until 2026-11-23T10:00:00Z")]
    Previous,
    /// Remove what follows.
    #[error("more than a key and the key before stands there")]
    TooMany,
}

/// One key, ready to sign. It prints as stars.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(KEY_PREFIX).ok_or(KeyError::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| KeyError::Encoding)?;
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| KeyError::Length(bytes.len()))
    }

    /// The text of a new key made of these random bytes.
    pub fn text_of(bytes: &[u8; 32]) -> String {
        format!("{KEY_PREFIX}{}", STANDARD.encode(bytes))
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }

    /// One signature: `v1,BASE64`.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut text = String::with_capacity(48);
        self.sign_onto(&mut text, id, timestamp, body);
        text
    }

    fn sign_onto(&self, text: &mut String, id: &str, timestamp: &str, body: &[u8]) {
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

/// The keys of an endpoint: the one that signs, and for a while the one before.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: SigningKey,
    previous: Option<(SigningKey, UtcMicros)>,
}

impl Keyring {
    /// Signs with `current`, and with `previous` until its instant.
    pub const fn new(current: SigningKey, previous: Option<(SigningKey, UtcMicros)>) -> Self {
        Self { current, previous }
    }

    /// Reads a key and, on a second line, the key before: `whsec_OLD until 2026-11-23T10:00:00Z`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut lines = text.lines().map(str::trim_end);
        let current = SigningKey::parse(lines.next().unwrap_or_default())?;
        let previous = match lines.next() {
            None | Some("") => None,
            Some(line) => {
                let (key, until) = line.split_once(UNTIL).ok_or(KeyError::Previous)?;
                Some((SigningKey::parse(key)?, until.parse().map_err(|_| KeyError::Previous)?))
            }
        };
        if lines.any(|line| !line.is_empty()) { Err(KeyError::TooMany) } else { Ok(Self { current, previous }) }
    }

    /// The text of a key and the key before, as [`Keyring::parse`] reads it.
    pub fn text_of(current: &str, previous: &str, until: UtcMicros) -> String {
        format!("{current}\n{previous}{UNTIL}{until}\n")
    }

    /// Until when the key before signs, if it still does at `now`.
    pub fn overlap_until(&self, now: UtcMicros) -> Option<UtcMicros> {
        self.previous.as_ref().map(|(_, until)| *until).filter(|until| now < *until)
    }

    /// The signatures of an attempt that leaves at `now`, for the header; `timestamp` is its other header.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8], now: UtcMicros) -> String {
        let mut text = String::with_capacity(96);
        self.current.sign_onto(&mut text, id, timestamp, body);
        if let Some((previous, until)) = &self.previous
            && now < *until
        {
            text.push(' ');
            previous.sign_onto(&mut text, id, timestamp, body);
        }
        text
    }
}

/// The three headers of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct SignedHeaders<'a> {
    /// [`ID_HEADER`].
    pub id: &'a str,
    /// [`TIMESTAMP_HEADER`].
    pub timestamp: &'a str,
    /// [`SIGNATURE_HEADER`].
    pub signature: &'a str,
}

/// Why a delivery is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Disbelief {
    /// It has no id, or one with a `.`, with which another body could be made to fit.
    #[error("webhook-id is empty or holds a full stop")]
    Id,
    /// Its timestamp is not a plain count of seconds.
    #[error("webhook-timestamp is not a count of seconds")]
    Timestamp,
    /// It was signed more than [`TOLERANCE`] ago.
    #[error("the delivery is too old")]
    TooOld,
    /// It claims to have been signed more than [`TOLERANCE`] from now.
    #[error("the delivery is from the future")]
    FromTheFuture,
    /// None of its signatures is of version 1 and made with one of the keys.
    #[error("no signature fits")]
    Forged,
}

/// Judges a delivery at `now`. Each signature is compared in constant time.
pub fn verify(keys: &[SigningKey], headers: SignedHeaders<'_>, body: &[u8], now: UtcMicros) -> Result<(), Disbelief> {
    if headers.id.is_empty() || headers.id.contains('.') {
        return Err(Disbelief::Id);
    }
    if headers.timestamp.is_empty() || !headers.timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Disbelief::Timestamp);
    }
    let seconds: i64 = headers.timestamp.parse().map_err(|_| Disbelief::Timestamp)?;
    let signed_at = UtcMicros::from_micros(seconds.checked_mul(1_000_000).ok_or(Disbelief::Timestamp)?);
    if now.since(signed_at) > TOLERANCE {
        return Err(Disbelief::TooOld);
    }
    if signed_at.since(now) > TOLERANCE {
        return Err(Disbelief::FromTheFuture);
    }
    let made: Vec<_> =
        keys.iter().map(|key| key.mac(headers.id, headers.timestamp, body).finalize().into_bytes()).collect();
    let fits = |signature: &str| {
        let text = signature.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(','));
        let Some(Ok(bytes)) = text.map(|text| STANDARD.decode(text)) else { return false };
        made.iter().any(|made| bool::from(made.as_slice().ct_eq(&bytes)))
    };
    if headers.signature.split(' ').any(fits) { Ok(()) } else { Err(Disbelief::Forged) }
}

#[cfg(test)]
mod tests;
