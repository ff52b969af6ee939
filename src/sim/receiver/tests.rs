//! The receiver, asked by a plain HTTP client with signatures of the Standard Webhooks library.

use standardwebhooks::Webhook;

use super::*;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn client() -> reqwest::Client {
    // Another test of this process may have done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client")
}

struct Delivery<'a> {
    key: &'a str,
    id: &'a str,
    age_s: i64,
    body: &'a str,
}

async fn deliver(receiver: &Receiver, delivery: &Delivery<'_>) -> reqwest::Response {
    try_to_deliver(receiver, delivery).await.expect("an answer")
}

async fn try_to_deliver(receiver: &Receiver, delivery: &Delivery<'_>) -> reqwest::Result<reqwest::Response> {
    let at = RealTime::now().as_micros() / 1_000_000 - delivery.age_s;
    let signature = Webhook::new(delivery.key).expect("a key").sign(delivery.id, at, delivery.body.as_bytes());
    client()
        .post(receiver.url())
        .header("webhook-id", delivery.id)
        .header("webhook-timestamp", at)
        .header("webhook-signature", signature.expect("signed"))
        .body(delivery.body.to_owned())
        .send()
        .await
}

async fn delivery_status(receiver: &Receiver, id: &str, body: &str) -> u16 {
    deliver(receiver, &Delivery { key: KEY, id, age_s: 0, body }).await.status().as_u16()
}

async fn receiver(options: ReceiverOptions) -> Receiver {
    Receiver::start(ReceiverOptions { keys: vec![OTHER.to_owned(), KEY.to_owned()], ..options }).await.expect("listens")
}

fn body(agent: &str, sequence: u64) -> String {
    format!("{{\"event\":\"X\",\"data\":{{\"userId\":\"{agent}\",\"sequence\":{sequence}}}}}")
}

#[tokio::test]
async fn only_what_is_signed_now_with_a_key_it_knows_is_taken() {
    let receiver = receiver(ReceiverOptions::default()).await;
    let unknown = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (key, age_s, status) in
        [(KEY, 0, 204), (OTHER, 0, 204), (unknown, 0, 401), (KEY, 310, 401), (KEY, -310, 401), (KEY, 290, 204)]
    {
        let delivery = Delivery { key, id: &format!("{key}{age_s}"), age_s, body: "{}" };
        assert_eq!(deliver(&receiver, &delivery).await.status(), status, "{age_s}");
    }
    assert_eq!(client().post(receiver.url()).body("{}").send().await.expect("an answer").status(), 401);
    let counts = receiver.counts();
    assert_eq!((counts.received, counts.verified, counts.bad_signature, counts.distinct), (7, 3, 4, 3));
    receiver.stop().await;
}

#[tokio::test]
async fn an_id_is_taken_once_and_an_agents_events_are_held_against_their_numbers() {
    let receiver = receiver(ReceiverOptions::default()).await;
    for (id, agent, sequence) in
        [("1", "a", 5), ("2", "b", 1), ("3", "a", 6), ("1", "a", 5), ("4", "a", 8), ("5", "a", 7), ("6", "b", 2)]
    {
        assert_eq!(delivery_status(&receiver, id, &body(agent, sequence)).await, 204);
    }
    assert_eq!(delivery_status(&receiver, "7", "not JSON").await, 204);
    let counts = receiver.counts();
    assert_eq!((counts.distinct, counts.duplicates, counts.out_of_sequence), (7, 1, 2), "a hole and a step back");
    let log = receiver.log(3, 1);
    assert_eq!((log[0].number, log[0].duplicate, log[0].sequence), (4, true, Some(5)));
}

#[tokio::test]
async fn it_fails_by_turn_and_counts_what_it_takes_later_once() {
    let receiver = receiver(ReceiverOptions { fail_every: 3, ..ReceiverOptions::default() }).await;
    let mut answers = Vec::new();
    for (id, sequence) in [("1", 1), ("2", 2), ("3", 3), ("3", 3)] {
        answers.push(delivery_status(&receiver, id, &body("a", sequence)).await);
    }
    assert_eq!(answers, [204, 204, 500, 204]);
    let counts = receiver.counts();
    assert_eq!((counts.failed, counts.distinct, counts.duplicates, counts.out_of_sequence), (1, 3, 0, 0));
}

/// What it did with a few deliveries that were each tried until they were answered with 2xx.
async fn random_failures() -> Vec<(String, u16, bool, bool)> {
    let receiver = receiver(ReceiverOptions { fail_share: 0.7, seed: 7, ..ReceiverOptions::default() }).await;
    for id in ["1", "2", "3", "4", "5", "6"] {
        let delivery = Delivery { key: KEY, id, age_s: 0, body: "{}" };
        while !try_to_deliver(&receiver, &delivery).await.is_ok_and(|answer| answer.status() == 204) {}
    }
    let counts = receiver.counts();
    assert_eq!((counts.distinct, counts.received), (6, counts.failed + 6), "{counts:?}");
    receiver.log(0, 100).into_iter().map(|one| (one.id, one.status, one.taken, one.duplicate)).collect()
}

#[tokio::test]
async fn it_fails_by_dice_with_refusals_and_with_resets_before_and_after_it_has_taken_something() {
    let (seen, again) = tokio::join!(random_failures(), random_failures());
    assert_eq!(seen, again, "the same seed fails the same ones");
    for id in ["1", "2", "3", "4", "5", "6"] {
        let of_it: Vec<_> = seen.iter().filter(|one| one.0 == id).collect();
        assert!(of_it.len() <= 5, "never so often that the sender gives up: {of_it:?}");
        assert_eq!(of_it.iter().filter(|one| one.2).count(), 1, "{of_it:?}");
    }
    for kind in [(503, false), (0, false), (0, true)] {
        assert!(seen.iter().any(|one| (one.1, one.2) == kind), "{kind:?}: {seen:?}");
    }
}

#[tokio::test]
async fn it_behaves_badly_when_told_and_well_again() {
    let receiver = receiver(ReceiverOptions::default()).await;
    receiver.set_mode(ReceiverMode::Gone);
    assert_eq!(delivery_status(&receiver, "1", "{}").await, 410);
    receiver.set_mode(ReceiverMode::Refuse(422));
    assert_eq!(delivery_status(&receiver, "1", "{}").await, 422);
    receiver.set_mode(ReceiverMode::TooManyRequests(17));
    let answer = deliver(&receiver, &Delivery { key: KEY, id: "1", age_s: 0, body: "{}" }).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &HeaderValue::from_static("17")));
    receiver.set_mode(ReceiverMode::Silent);
    let silence = tokio::time::timeout(Duration::from_millis(100), delivery_status(&receiver, "1", "{}")).await;
    assert!(silence.is_err());
    receiver.set_mode(ReceiverMode::Slow(Duration::from_millis(20)));
    assert_eq!(delivery_status(&receiver, "1", "{}").await, 204);
    receiver.set_mode(ReceiverMode::Accept);
    assert_eq!(delivery_status(&receiver, "2", "{}").await, 204);
    assert_eq!(receiver.counts().distinct, 2);
}

#[tokio::test]
async fn it_listens_on_loopback_alone_and_wants_keys_that_are_keys() {
    let wide = ReceiverOptions { listen: Some(SocketAddr::from(([0, 0, 0, 0], 0))), ..ReceiverOptions::default() };
    assert!(Receiver::start(wide).await.is_err());
    for key in ["", "whsec_", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
        let options = ReceiverOptions { keys: vec![key.to_owned()], ..ReceiverOptions::default() };
        assert!(Receiver::start(options).await.is_err(), "{key}");
    }
}
