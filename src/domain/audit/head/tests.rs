//! What is signed holds, what was changed does not, and heads are read back in every form in which they leave the host.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::audit::head_verifier::HeadVerifier;
use crate::domain::ids::EventId;
use crate::domain::webhooks::event::{Event, EventData, JobFailed};

fn key() -> HeadSigningKey {
    HeadSigningKey::from_seed([7; 32])
}

/// The hash of an entry that was never written.
fn hash(seq: u64) -> Hash {
    Hash::of(&seq.to_be_bytes())
}

fn head(after: u64, seq: u64) -> SignedHead {
    let claim = HeadClaim {
        tenant: "acme".into(),
        seq,
        previous_seq: after,
        hash: hash(seq),
        at: UtcMicros::from_micros(1_790_000_000_000_000),
        marks: (after + 1..=seq).flat_map(|seq| hash(seq).0[..MARK_BYTES].to_vec()).collect(),
        key: key().public_key(),
    };
    SignedHead::sign(claim, &key()).expect("its own key")
}

#[test]
fn the_signed_text_is_the_heads_own_canonical_json() {
    let head = head(3, 5);
    let mut value = head.to_value();
    let signature = value.as_object_mut().expect("an object").remove("signature").expect("signed");
    let text = serde_jcs::to_string(&value).expect("canonical");
    assert!(text.starts_with(r#"{"after":3,"at":"2026-09-21T14:13:20Z","hash":""#), "{text}");
    assert!(text.ends_with(r#"","seq":5,"tenant":"acme","v":1}"#), "{text}");
    let signature: [u8; 64] =
        STANDARD.decode(signature.as_str().expect("text")).expect("base64").try_into().expect("64");
    let public = VerifyingKey::from_bytes(head.claim.key.as_bytes()).expect("a key");
    public.verify_strict(text.as_bytes(), &Signature::from_bytes(&signature)).expect("anyone can check it");
}

#[test]
fn a_key_survives_its_file_and_only_the_named_key_signs_a_claim() {
    let pem = key().to_pem().expect("PEM");
    let text = String::from_utf8(pem.as_ref().to_vec()).expect("text");
    assert_eq!(HeadSigningKey::from_pem(&text).expect("a key").public_key(), key().public_key());
    let public = key().public_key();
    assert_eq!(PublicKey::from_base64(&public.to_string()), Some(public));
    assert!(public.pem().expect("PEM").starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(!format!("{:?}", key()).contains(text.lines().nth(1).expect("a body")));
    assert_eq!(SignedHead::sign(head(0, 1).claim, &HeadSigningKey::from_seed([8; 32])), None);
}

#[test]
fn heads_are_read_in_every_form_in_which_they_leave() {
    let heads = [head(0, 2), head(2, 5)];
    let values: Vec<Value> = heads.iter().map(SignedHead::to_value).collect();
    let body = |data: EventData| {
        let event = Event { id: EventId(uuid::Uuid::nil()), tenant: "acme".into(), at: UtcMicros::EPOCH, data };
        serde_json::to_string(&event.body()).expect("JSON")
    };
    let bodies: Vec<String> = heads.iter().map(|head| body(head.to_event().into())).collect();
    let other = body(JobFailed::example().into());
    let cloud_event =
        |data: &Value| json!({"specversion": "1.0", "type": "shiftkeeper.audit.head", "id": "1", "data": data});
    for text in [
        json!({ "heads": values }).to_string(),
        serde_json::to_string_pretty(&values).expect("JSON"),
        format!("{}\n{}\n", values[0], values[1]),
        format!("{}\n{other}\n{}", bodies[0], bodies[1]),
        format!("{}\n{}", cloud_event(&values[0]), cloud_event(&values[1])),
        format!(
            "2026-11-22 INFO serving\n2026-11-22 INFO audit head tenant=acme seq=2 head={}\nx head={}",
            values[0], values[1]
        ),
        format!(
            "{}\n{}",
            json!({"message": "x", "head": values[0].to_string()}),
            json!({"head": values[1].to_string()})
        ),
    ] {
        assert_eq!(read_heads(&text).as_deref(), Ok(&heads[..]), "{text}");
    }
    for text in ["", "{}", "[]", "no head", other.as_str()] {
        assert_eq!(read_heads(text), Err(ReadHeadsError::Empty), "{text}");
    }
    for (field, value) in [
        ("hash", json!("00")),
        ("keyId", json!("0000000000000000")),
        ("publicKey", json!("AAAA")),
        ("signature", json!("AAAA")),
        ("seq", json!(-1)),
        ("v", json!(2)),
        ("more", json!(1)),
    ] {
        let mut broken = values[1].clone();
        broken[field] = value;
        let read = read_heads(&format!("{}\n{broken}", values[0]));
        assert!(matches!(&read, Err(ReadHeadsError::Unreadable { number: 2, .. })), "{field}: {read:?}");
    }
}

#[test]
fn witnesses_name_the_first_entry_that_is_another() {
    let first_mismatch = |heads: &[SignedHead], forged: u64| {
        let mut verifier = HeadVerifier::default();
        for head in heads {
            verifier.add(head.claim.clone());
        }
        (1..=10).find_map(|seq| {
            let hash = if seq >= forged { hash(seq + 1000) } else { hash(seq) };
            verifier.verify_entry(ChainHead { seq, hash }).err()
        })
    };
    let all = [head(0, 3), head(3, 6), head(6, 8)];
    for forged in 1..=8 {
        assert_eq!(first_mismatch(&all, forged).map(|invalid| invalid.seq), Some(forged));
    }
    assert_eq!(first_mismatch(&all, 9), None, "no head covers it");
    let last_alone = first_mismatch(&all[2..], 2).expect("found");
    assert_eq!(last_alone.seq, 7);
    assert!(last_alone.reason.contains("entries 1 to 6 are not covered by an available head"), "{}", last_alone.reason);
    let mut verifier = HeadVerifier::default();
    all.iter().chain(&all).for_each(|head| verifier.add(head.claim.clone()));
    assert_eq!(verifier.verify_end(8), Ok(()));
    assert_eq!(verifier.verify_end(7).expect_err("cut").seq, 8);
}

proptest! {
    #[test]
    fn any_change_of_a_head_is_found(after in 0_u64..50, length in 1_u64..20, field in 0_u8..7, bit in 0_u8..8) {
        let whole = head(after, after + length);
        prop_assert!(whole.is_valid());
        let mut forged = whole.clone();
        match field {
            0 => forged.claim.seq ^= 1 << bit,
            1 => forged.claim.previous_seq ^= 1 << bit,
            2 => forged.claim.hash.0[usize::from(bit)] ^= 1 << bit,
            3 => forged.claim.at = forged.claim.at + std::time::Duration::from_micros(1 << bit),
            4 => forged.claim.marks[0] ^= 1 << bit,
            5 => forged.signature[usize::from(bit) * 8] ^= 1 << bit,
            _ => forged.claim.tenant = "bravo".into(),
        }
        prop_assert!(!forged.is_valid());
    }
}
