//! What is brought to be verified: audit entries, signed heads, keys.

use shiftkeeper::domain::audit::head::{HeadSigningKey, PublicKey, read_heads};
use shiftkeeper::domain::audit::{ChainHead, ChainVerifier, Hash};
use shiftkeeper::domain::ids::TenantId;

/// Reads the bytes as heads, as a chain of entries (one a line) and as keys.
///
/// A head that was read reads as itself again and holds with its own signature alone; an entry holds only with its own hash and only once; a key is the one that it says.
pub fn read(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(heads) = read_heads(text) {
        for head in heads {
            let again = read_heads(&head.to_value().to_string());
            assert_eq!(again.as_deref(), Ok(std::slice::from_ref(&head)), "a head does not read as itself");
            let mut forged = head.clone();
            forged.signature[0] ^= 1;
            assert!(!head.is_valid() || !forged.is_valid(), "a head holds with another signature");
        }
    }
    chain(text);
    if let Some(key) = PublicKey::from_base64(text.trim()) {
        assert!(key.id().len() < 100);
        drop(key.pem());
    }
    if let Some(key) = HeadSigningKey::from_pem(text) {
        let pem = key.to_pem().expect("a key that was read");
        let again = HeadSigningKey::from_pem(std::str::from_utf8(pem.as_ref()).expect("text")).expect("its own text");
        assert_eq!(again.public_key(), key.public_key());
    }
}

fn chain(text: &str) {
    let mut check = ChainVerifier::starting_at(TenantId::new("acme"), ChainHead::default());
    for line in text.lines() {
        let seq = check.head().seq + 1;
        let hash = Hash::of(line.as_bytes());
        let mut wrong = hash.0;
        wrong[0] ^= 1;
        assert!(check.clone().verify_entry(seq, line, &wrong).is_err(), "an entry holds without its hash");
        assert!(check.clone().verify_entry(seq + 1, line, &hash.0).is_err(), "an entry holds in another's place");
        let before = check.head();
        match check.verify_entry(seq, line, &hash.0) {
            Ok(_) => {
                assert_eq!(check.head(), ChainHead { seq, hash });
                assert!(check.clone().verify_entry(seq + 1, line, &hash.0).is_err(), "an entry holds twice");
            }
            Err(bad) => {
                assert!(bad.seq == seq && !bad.reason.is_empty(), "{bad:?}");
                // Its links may have held before its whole body was found bad.
                assert!(check.head() == before || check.head() == ChainHead { seq, hash });
                return;
            }
        }
    }
}
