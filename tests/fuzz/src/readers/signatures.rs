//! Webhook keys and signatures, and the envelope of events.

use shiftkeeper::domain::ids::{EventId, TenantId};
use shiftkeeper::domain::webhooks::cloud_event::{EventMetadata, cloud_event};
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::domain::webhooks::signature::{Keyring, SignedHeaders, SigningKey, verify};
use shiftkeeper::domain::webhooks::target::Target;

use super::wire::NOW;

/// Five parts, each up to a NUL: key, id, timestamp, signatures, body. What is left out is empty.
///
/// Nothing that was not made with the key is believed, and what is made with it is.
pub fn read(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts = text.splitn(5, '\0');
    let mut next = || parts.next().unwrap_or_default();
    let (key, id, timestamp, signature, body) = (next(), next(), next(), next(), next());
    if let Ok(target) = Target::parse(key) {
        assert_eq!(Target::parse(&target.to_string()).as_ref(), Ok(&target), "a target does not read as itself");
    }
    if let Ok(ring) = Keyring::parse(key) {
        let made = ring.sign(id, timestamp, body.as_bytes(), NOW);
        assert!((1..=2).contains(&made.split(' ').count()), "{made}");
    }
    if let Ok(key) = SigningKey::parse(key) {
        let made = key.sign(id, timestamp, body.as_bytes());
        let headers = SignedHeaders { id, timestamp, signature };
        let judged = verify(std::slice::from_ref(&key), headers, body.as_bytes(), NOW);
        if judged.is_ok() {
            assert!(signature.split(' ').any(|one| one == made), "believed without the key");
        }
        let own = verify(&[key], SignedHeaders { signature: &made, ..headers }, body.as_bytes(), NOW);
        let another = verify(&[], SignedHeaders { signature: &made, ..headers }, body.as_bytes(), NOW);
        assert!(another.is_err(), "believed without any key");
        assert!(judged.is_err() || own.is_ok(), "its own signature is not believed");
    }
    envelope(id, body);
}

/// The envelope around a body is an object, with the body's `data` in it as it is.
fn envelope(tenant: &str, body: &str) {
    let facts = EventMetadata {
        id: EventId(uuid::Uuid::nil()),
        tenant: &TenantId::new(tenant),
        at: NOW,
        kind: EventKind::AuditHead,
        agent: None,
        sequence: None,
    };
    if let Ok(bytes) = cloud_event(&facts, body) {
        let whole: serde_json::Value = serde_json::from_slice(&bytes).expect("an envelope is JSON");
        let inner: serde_json::Value = serde_json::from_str(body).expect("its body is JSON");
        assert_eq!(whole["data"], inner["data"]);
    }
}
