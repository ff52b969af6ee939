//! What signatures must be, and what must not be believed. Other hands' implementations judge them in `tests/it/signature_verifiers.rs`.

use proptest::prelude::*;

use super::*;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &[u8] = b"{\"test\": 2432232314}";

fn key(text: &str) -> SigningKey {
    SigningKey::parse(text).expect("a key")
}

fn at(seconds: i64) -> UtcMicros {
    UtcMicros::from_micros(seconds * 1_000_000)
}

fn verify_example(id: &str, timestamp: &str, signature: &str, body: &[u8], now: i64) -> Result<(), VerificationError> {
    verify(&[key(KEY)], SignedHeaders { id, timestamp, signature }, body, at(now))
}

const SIGNED_AT: i64 = 1_614_265_330;

/// The example of the Standard Webhooks documentation.
const EXAMPLE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

#[test]
fn the_documented_example_is_signed_as_documented() {
    assert_eq!(key(KEY).sign(ID, "1614265330", BODY), EXAMPLE);
    assert_eq!(verify_example(ID, "1614265330", EXAMPLE, BODY, SIGNED_AT), Ok(()));
}

#[test]
fn keys_are_whsec_and_the_base64_of_24_to_64_bytes() {
    let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
    for (text, expected) in [
        (of(24), None),
        (of(64), None),
        (of(23), Some(KeyError::Length(23))),
        (of(65), Some(KeyError::Length(65))),
        ("whsec_".to_owned(), Some(KeyError::Length(0))),
        (String::new(), Some(KeyError::Prefix)),
        (STANDARD.encode([7; 32]), Some(KeyError::Prefix)),
        ("whsec_not base64!".to_owned(), Some(KeyError::Encoding)),
        (format!("{} ", of(32)), Some(KeyError::Encoding)),
    ] {
        let error = SigningKey::parse(&text).err();
        assert_eq!(error, expected, "{text}");
        assert!(error.is_none_or(|error| text.len() < 10 || !error.to_string().contains(&text[6..])), "not the key");
    }
    assert_eq!(format!("{:?}", Keyring::new(key(KEY), Some((key(OTHER), at(0))))).matches("***").count(), 2);
    assert!(SigningKey::parse(&SigningKey::encode_key(&[9; 32])).is_ok());
}

#[test]
fn what_is_forged_truncated_old_early_or_of_another_version_is_not_believed() {
    let truncated = &EXAMPLE[..EXAMPLE.len() - 4];
    let unpadded = EXAMPLE.trim_end_matches('=');
    let other = key(OTHER).sign(ID, "1614265330", BODY);
    let v2 = EXAMPLE.replace("v1,", "v2,");
    let v1a = EXAMPLE.replace("v1,", "v1a,");
    let forged = EXAMPLE.replace("g0hM", "h0hM");
    for (signature, valid) in [
        (EXAMPLE, true),
        (&format!("{other} {EXAMPLE}"), true),
        (&format!("v1,!!! v2,{other} {EXAMPLE}"), true),
        (&format!("{EXAMPLE} {other}"), true),
        (truncated, false),
        (unpadded, false),
        (&v2, false),
        (&v1a, false),
        (&forged, false),
        (&other, false),
        (&format!("{EXAMPLE},{EXAMPLE}"), false),
        ("v1,", false),
        ("v1", false),
        ("", false),
        (EXAMPLE.trim_start_matches("v1,"), false),
    ] {
        let expected = if valid { Ok(()) } else { Err(VerificationError::NoMatchingSignature) };
        assert_eq!(verify_example(ID, "1614265330", signature, BODY, SIGNED_AT), expected, "{signature}");
    }
    assert_eq!(
        verify_example("msg_other", "1614265330", EXAMPLE, BODY, SIGNED_AT),
        Err(VerificationError::NoMatchingSignature),
        "another id"
    );
    assert_eq!(
        verify_example(ID, "1614265331", EXAMPLE, BODY, SIGNED_AT),
        Err(VerificationError::NoMatchingSignature),
        "another time"
    );
    assert_eq!(
        verify_example(ID, "1614265330", EXAMPLE, &BODY[1..], SIGNED_AT),
        Err(VerificationError::NoMatchingSignature),
        "another body"
    );
    assert_eq!(
        verify(&[], headers(EXAMPLE), BODY, at(SIGNED_AT)),
        Err(VerificationError::NoMatchingSignature),
        "no key fits nothing"
    );
}

fn headers(signature: &str) -> SignedHeaders<'_> {
    SignedHeaders { id: ID, timestamp: "1614265330", signature }
}

#[test]
fn a_signature_of_the_empty_key_opens_nothing() {
    let empty = SigningKey(Hmac::new_from_slice(b"").expect("any length"));
    let signature = empty.sign(ID, "1614265330", BODY);
    assert_eq!(
        verify_example(ID, "1614265330", &signature, BODY, SIGNED_AT),
        Err(VerificationError::NoMatchingSignature)
    );
    assert_eq!(SigningKey::parse("whsec_").expect_err("empty"), KeyError::Length(0));
}

#[test]
fn the_timestamp_counts_for_five_minutes_either_way() {
    for (now, expected) in [
        (SIGNED_AT, Ok(())),
        (SIGNED_AT + 300, Ok(())),
        (SIGNED_AT - 300, Ok(())),
        (SIGNED_AT + 301, Err(VerificationError::TooOld)),
        (SIGNED_AT - 301, Err(VerificationError::SignedInFuture)),
    ] {
        assert_eq!(verify_example(ID, "1614265330", EXAMPLE, BODY, now), expected, "{now}");
    }
    for malformed in
        ["", "+1614265330", "-1", "1614265330.0", " 1614265330", "1e9", "99999999999999999999", "9223372036854775807"]
    {
        assert_eq!(
            verify_example(ID, malformed, EXAMPLE, BODY, SIGNED_AT),
            Err(VerificationError::Timestamp),
            "{malformed}"
        );
    }
    for malformed in ["", "a.b"] {
        assert_eq!(
            verify_example(malformed, "1614265330", EXAMPLE, BODY, SIGNED_AT),
            Err(VerificationError::Id),
            "{malformed}"
        );
    }
}

#[test]
fn two_keys_sign_until_the_instant_and_one_after_it() {
    let keys = Keyring::parse(&Keyring::format_keys(KEY, OTHER, at(1000))).expect("two lines");
    let both = keys.sign("e", "1", b"x", at(999));
    assert_eq!(both, format!("{} {}", key(KEY).sign("e", "1", b"x"), key(OTHER).sign("e", "1", b"x")));
    assert_eq!(keys.sign("e", "1", b"x", at(1000)), key(KEY).sign("e", "1", b"x"));
    assert_eq!((keys.overlap_until(at(999)), keys.overlap_until(at(1000))), (Some(at(1000)), None));
}

#[test]
fn a_file_of_keys_has_one_line_or_two() {
    for (text, expected) in [
        (format!("{KEY}\n"), None),
        (format!("{KEY}\r\n{OTHER} until 2026-11-23T10:00:00Z\r\n\n"), None),
        (format!("{KEY}\n{OTHER}\n"), Some(KeyError::Previous)),
        (format!("{KEY}\n{OTHER} until tomorrow\n"), Some(KeyError::Previous)),
        (format!("{KEY}\n whsec_x until 2026-11-23T10:00:00Z\n"), Some(KeyError::Prefix)),
        (format!("{KEY}\n{OTHER} until 2026-11-23T10:00:00Z\n{KEY}\n"), Some(KeyError::TooMany)),
        (format!("\n{KEY}\n"), Some(KeyError::Prefix)),
        (String::new(), Some(KeyError::Prefix)),
    ] {
        assert_eq!(Keyring::parse(&text).err(), expected, "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_was_signed_is_believed_and_any_other_body_is_not(
        bytes in prop::collection::vec(any::<u8>(), 24..=64),
        body in prop::collection::vec(any::<u8>(), 0..300),
        other in prop::collection::vec(any::<u8>(), 0..300),
        seconds in 0_i64..4_000_000_000,
    ) {
        let key = SigningKey::parse(&format!("whsec_{}", STANDARD.encode(&bytes))).expect("a key");
        let (timestamp, now) = (seconds.to_string(), at(seconds));
        let signature = key.sign("id", &timestamp, &body);
        let headers = SignedHeaders { id: "id", timestamp: &timestamp, signature: &signature };
        prop_assert_eq!(verify(std::slice::from_ref(&key), headers, &body, now), Ok(()));
        if other != body {
            prop_assert_eq!(verify(&[key], headers, &other, now), Err(VerificationError::NoMatchingSignature));
        }
    }

    #[test]
    fn the_verifier_answers_whatever_it_is_asked(id in ".*", timestamp in ".*", signature in ".*", now in any::<i64>()) {
        let headers = SignedHeaders { id: &id, timestamp: &timestamp, signature: &signature };
        prop_assert!(verify(&[key(KEY)], headers, BODY, UtcMicros::from_micros(now)).is_err());
    }
}
