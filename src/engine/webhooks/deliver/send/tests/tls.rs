//! TLS: the certificate must be of the endpoint's name and of somebody who is trusted, before anything is sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::harness::{self, DialTo, RawServer, endpoint_at, names, no_tls, outgoing};
use super::*;

/// A server for `hooks.example`, what trusts it, and the count of requests that it read.
async fn server() -> (RawServer, ClientConfig, Arc<AtomicUsize>) {
    harness::no_tls();
    let made = rcgen::generate_simple_self_signed(["hooks.example".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a server");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let trusting = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let (acceptor, seen) = (TlsAcceptor::from(Arc::new(config)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&seen);
    let server = RawServer::scripted(move |stream| {
        let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut bytes = [0; 4096];
            while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = stream.flush().await;
            }
        }
    })
    .await;
    (server, trusting, seen)
}

#[tokio::test]
async fn only_the_named_and_trusted_one_is_spoken_to() {
    let (server, trusting, seen) = server().await;
    let known = names(&[("hooks.example", &["93.184.215.14"]), ("other.example", &["93.184.215.14"])]);
    for (url, tls, status) in [
        ("https://hooks.example/", trusting.clone(), Some(204)),
        ("https://other.example/", trusting.clone(), None),
        ("https://93.184.215.14/", trusting, None),
        ("https://hooks.example/", no_tls(), None),
    ] {
        let before = seen.load(Ordering::SeqCst);
        let network = Network::new(known.clone(), Arc::new(DialTo::new(server.address)), tls);
        let attempt = HttpPost::new(endpoint_at(url), &network).expect("a sender").post(outgoing(b"x")).await;
        assert_eq!(attempt.status_code, status, "{url}: {attempt:?}");
        let error = attempt.error.unwrap_or_default();
        assert_eq!(error.starts_with("TLS cannot be agreed on: "), status.is_none(), "{url}: {error}");
        assert_eq!(seen.load(Ordering::SeqCst) - before, usize::from(status.is_some()), "{url}");
    }
}

#[tokio::test]
async fn a_secured_connection_is_kept_too() {
    let (server, trusting, seen) = server().await;
    let known = names(&[("hooks.example", &["93.184.215.14"])]);
    let network = Network::new(known, Arc::new(DialTo::new(server.address)), trusting);
    let post = HttpPost::new(endpoint_at("https://hooks.example/"), &network).expect("a sender");
    for _ in 0..3 {
        assert_eq!(post.post(outgoing(b"x")).await.error, None);
    }
    assert_eq!((server.accepted(), seen.load(Ordering::SeqCst)), (1, 3));
}

#[tokio::test]
async fn a_server_without_tls_is_reported() {
    let server = RawServer::scripted(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await;
    let known = names(&[("hooks.example", &["93.184.215.14"])]);
    let network = Network::new(known, Arc::new(DialTo::new(server.address)), no_tls());
    let attempt =
        HttpPost::new(endpoint_at("https://hooks.example/"), &network).expect("a sender").post(outgoing(b"x")).await;
    assert_eq!(attempt.status_code, None);
    assert!(attempt.error.is_some_and(|error| error.starts_with("TLS cannot be agreed on: ")));
}
