//! Answers of webhook receivers, whole with head and body.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use shiftkeeper::clock::BoxFuture;
use shiftkeeper::domain::ids::{EventId, TenantId};
use shiftkeeper::domain::webhooks::cloud_event::WebhookFormat;
use shiftkeeper::domain::webhooks::delivery::ResponseKind;
use shiftkeeper::domain::webhooks::signature::Keyring;
use shiftkeeper::engine::webhooks::deliver::guard::Resolve;
use shiftkeeper::engine::webhooks::deliver::send::{
    Attempt, DeliveryRequest, EndpointTarget, HttpPost, Network, Post as _,
};
use shiftkeeper::platform::client::install_tls_provider;

use super::wire::{Wire, run};

/// The path, which may be a secret.
const PATH: &str = "path-of-the-receiver";

/// Of each answer so many bytes are kept, each as one character at most.
const MOST_KEPT: usize = 1024;

/// The first byte says how often the same answer comes, so that what is left on a connection meets another attempt; the rest is the
/// answer.
///
/// An attempt always ends, tells what came or what is wrong, and keeps little of it that the store cannot keep.
pub fn read(bytes: &[u8]) {
    let Some((choice, answer)) = bytes.split_first() else { return };
    let answer = answer.to_vec();
    let wire = Wire::new(move |_| answer.clone());
    install_tls_provider();
    let tls =
        rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let network = Network::new(Arc::new(Anywhere), Arc::new(wire), tls);
    let endpoint = EndpointTarget {
        url: format!("http://hooks.test/{PATH}").parse().expect("a URL"),
        keys: Keyring::parse("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").expect("a key"),
        allow: Vec::new(),
        format: WebhookFormat::Guide,
    };
    let post = HttpPost::new(endpoint, &network).expect("a sender");
    run(async {
        for _ in 0..=choice % 2 {
            let attempt = post.post(outgoing()).await;
            check(&attempt);
        }
    });
}

fn check(attempt: &Attempt) {
    if let Some(status) = attempt.status_code {
        // An interim answer is none, but a switch to another protocol ends the request.
        assert!(status == 101 || (200..=999).contains(&status), "{attempt:?}");
    } else {
        assert!(attempt.error.is_some(), "neither an answer nor an error: {attempt:?}");
        assert_eq!(ResponseKind::from_status_code(attempt.status_code), ResponseKind::Failed);
    }
    assert!(attempt.answer.chars().count() <= MOST_KEPT && !attempt.answer.contains('\0'), "{attempt:?}");
    assert!(attempt.error.as_ref().is_none_or(|error| !error.contains(PATH) && error.len() < 1024), "{attempt:?}");
}

fn outgoing() -> DeliveryRequest {
    DeliveryRequest {
        event_id: EventId(uuid::Uuid::nil()),
        tenant: TenantId::new("acme"),
        body: bytes::Bytes::from_static(b"{\"event\":\"X\"}"),
    }
}

/// Every name is at one public address.
#[derive(Debug)]
struct Anywhere;

impl Resolve for Anywhere {
    fn resolve(&self, _: &str) -> BoxFuture<io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))]) })
    }
}
