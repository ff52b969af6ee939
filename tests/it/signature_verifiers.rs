//! Signatures before other hands' judges: the Standard Webhooks library for Rust, the one for Python, and the demo's receiver,
//! which is written on another library. A thousand random bodies each, and the other way round.

use std::io::Write as _;
use std::process::{Command, Stdio};

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use shiftkeeper::clock::{Random, RealTime, SeededRandom};
use shiftkeeper::domain::ids::EventId;
use shiftkeeper::domain::webhooks::cloud_event::WebhookFormat;
use shiftkeeper::domain::webhooks::signature::{Keyring, SignedHeaders, SigningKey, VerificationError, verify};
use shiftkeeper::domain::webhooks::target::Target;
use shiftkeeper::engine::webhooks::deliver::send::{DeliveryRequest, EndpointTarget, HttpPost, Network, Post};
use shiftkeeper::sim::{Receiver, ReceiverOptions};

/// Random bodies.
const CASES: usize = 1000;
/// The largest of them.
const MAX_BODY_BYTES: usize = 1 << 20;

struct Case {
    key: String,
    id: String,
    timestamp: i64,
    body: Vec<u8>,
    signature: String,
}

fn random_bytes(random: &SeededRandom, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 16);
    while bytes.len() < count {
        bytes.extend(random.bytes());
    }
    bytes.truncate(count);
    bytes
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a draw below 1 times a small number is a small positive number"
)]
fn below(random: &SeededRandom, limit: usize) -> usize {
    (random.unit() * limit as f64) as usize
}

/// Bodies of every kind: the empty one, one of 1 MiB, JSON, text, and bytes that are no text.
fn body(random: &SeededRandom, number: usize) -> Vec<u8> {
    let length = below(random, 2000);
    match number {
        0 => Vec::new(),
        1 => random_bytes(random, MAX_BODY_BYTES),
        2 => vec![b'a'; MAX_BODY_BYTES],
        _ if number.is_multiple_of(3) => random_bytes(random, length),
        _ if number.is_multiple_of(2) => {
            json!({"event": "X", "data": {"n": number, "s": STANDARD.encode(random_bytes(random, length)), "é": "\u{1f600}"}})
                .to_string()
                .into_bytes()
        }
        _ => STANDARD.encode(random_bytes(random, length)).into_bytes(),
    }
}

fn cases() -> Vec<Case> {
    let random = SeededRandom::new(20_261_122);
    let now = RealTime::now();
    let timestamp = now.as_micros() / 1_000_000;
    let case = |number| {
        let key = format!("whsec_{}", STANDARD.encode(random_bytes(&random, 24 + below(&random, 41))));
        let (id, body) = (random.random_id().to_string(), body(&random, number));
        let keys = Keyring::parse(&key).expect("a key");
        let signature = keys.sign(&id, &timestamp.to_string(), &body, now);
        Case { key, id, timestamp, body, signature }
    };
    (0..CASES).map(case).collect()
}

fn verify_with_receiver(case: &Case, signature: &str, body: &[u8]) -> Result<(), VerificationError> {
    let timestamp = case.timestamp.to_string();
    let headers = SignedHeaders { id: &case.id, timestamp: &timestamp, signature };
    verify(&[SigningKey::parse(&case.key).expect("a key")], headers, body, RealTime::now())
}

#[test]
fn the_reference_library_accepts_ours_and_ours_accepts_its() {
    let mut judged = 0;
    for case in cases() {
        let judge = standardwebhooks::Webhook::new(&case.key).expect("a key");
        // It refuses to look at what is no text; the other judges look at that.
        if std::str::from_utf8(&case.body).is_err() {
            continue;
        }
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", case.id.parse().expect("a header"));
        headers.insert("webhook-timestamp", case.timestamp.into());
        headers.insert("webhook-signature", case.signature.parse().expect("a header"));
        judge.verify(&case.body, &headers).expect("accepted");
        let longer = [case.body.as_slice(), b"x"].concat();
        assert!(judge.verify(&longer, &headers).is_err(), "a judge that can refuse");
        let theirs = judge.sign(&case.id, case.timestamp, &case.body).expect("signed");
        assert_eq!(verify_with_receiver(&case, &theirs, &case.body), Ok(()));
        assert_eq!(verify_with_receiver(&case, &theirs, &longer), Err(VerificationError::NoMatchingSignature));
        judged += 1;
    }
    assert!(judged > CASES / 2, "{judged}");
}

#[test]
fn the_library_in_python_accepts_ours_and_ours_accepts_its() {
    let Some(python) = python() else {
        println!(
            "skipped: SHIFTKEEPER_TEST_PYTHON names no Python with the package standardwebhooks; tests/run sets it"
        );
        return;
    };
    let cases = cases();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges/standard_webhooks.py");
    let mut asked = Vec::new();
    for case in &cases {
        let line = json!({"key": case.key, "id": case.id, "timestamp": case.timestamp, "signature": case.signature,
            "body": STANDARD.encode(&case.body)});
        writeln!(asked, "{line}").expect("memory");
    }
    let mut questions = tempfile::tempfile().expect("a file");
    questions.write_all(&asked).expect("written");
    std::io::Seek::rewind(&mut questions).expect("rewinds");
    let output = Command::new(python).arg(script).stdin(Stdio::from(questions)).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(answers.len(), CASES);
    for (case, answer) in cases.iter().zip(answers) {
        assert_eq!((&answer["accepted"], &answer["forged_accepted"]), (&json!(true), &json!(false)), "{}", case.id);
        assert_eq!(verify_with_receiver(case, answer["signature"].as_str().expect("a signature"), &case.body), Ok(()));
    }
}

/// A Python that has the library. `tests/run` sees to it; elsewhere the test says why it does nothing.
#[expect(clippy::disallowed_methods, reason = "how the tests are run is not for the configuration")]
fn python() -> Option<std::ffi::OsString> {
    std::env::var_os("SHIFTKEEPER_TEST_PYTHON").filter(|python| python != "none")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_accepts_what_the_sender_sends() {
    let cases = cases();
    let key = cases[0].key.clone();
    let options = ReceiverOptions { keys: vec![key.clone()], ..ReceiverOptions::default() };
    let receiver = Receiver::start(options).await.expect("listens");
    let allow = vec![Target::parse(&receiver.address().to_string()).expect("a target")];
    let post = |key: &str| {
        let (url, keys) = (receiver.url().parse().expect("a URL"), Keyring::parse(key).expect("a key"));
        let endpoint = EndpointTarget { url, keys, allow: allow.clone(), format: WebhookFormat::Guide };
        HttpPost::new(endpoint, &Network::system().expect("a network")).expect("a sender")
    };
    let (ours, other) = (post(&key), post(&cases[1].key));
    for case in &cases {
        let event_id = EventId(case.id.parse().expect("an id"));
        let outgoing = DeliveryRequest { event_id, tenant: "acme".into(), body: Bytes::from(case.body.clone()) };
        let attempt = ours.post(outgoing).await;
        assert_eq!(attempt.status_code, Some(204), "{attempt:?}");
    }
    let outgoing = DeliveryRequest { event_id: EventId(uuid::Uuid::nil()), tenant: "acme".into(), body: Bytes::new() };
    assert_eq!(other.post(outgoing).await.status_code, Some(401), "a judge that can refuse");
    let counts = receiver.counts();
    assert_eq!((counts.verified, counts.distinct, counts.bad_signature), (CASES as u64, CASES as u64, 1));
    receiver.stop().await;
}
