//! The HTTP face with a certificate of its own: cookies, a new certificate without a restart, and connections that never agree.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use shiftkeeper::domain::access::rights::{Role, ScopeRequest};
use shiftkeeper::domain::access::secret::Secret;
use shiftkeeper::engine::access::accounts::{Author, NewAccount};
use shiftkeeper::platform::client::install_tls_provider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{Scenario, Setup, WAIT_TIMEOUT, wait_until};

/// A new certificate for `keeper.example` in its files.
pub(super) fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["keeper.example".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("tls.key"), pem("PRIVATE KEY", &made.signing_key.serialize_der())).expect("written");
    std::fs::write(folder.join("tls.crt"), pem("CERTIFICATE", made.cert.der())).expect("written");
    made.cert.der().clone()
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// Asks once, trusting one certificate; gives the whole answer, or why there was none.
async fn send_request(address: SocketAddr, trusted: &CertificateDer<'static>, request: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from("keeper.example").expect("a name");
    let mut stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    // The end of the connection may come without a goodbye.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).map_err(|error| error.to_string())
}

const HEALTH_REQUEST: &str = "GET /healthz HTTP/1.1\r\nhost: keeper.example\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_secures_everything_and_is_replaced_without_a_restart() {
    install_tls_provider();
    let files = tempfile::tempdir().expect("a folder");
    let first = certificate(files.path());
    let tables = format!(
        "[server.tls]\ncertificate = {:?}\nkey = {:?}\n",
        files.path().join("tls.crt"),
        files.path().join("tls.key")
    );
    let scenario = Scenario::start(Setup { webhooks: tables, ..Setup::default() }).await;
    let reach = ScopeRequest { everywhere: true, tenants: Vec::new() };
    let password = Some(Secret::new("correct horse battery"));
    let ann = NewAccount { id: "ann".into(), name: String::new(), role: Role::Viewer, scope: reach, password };
    scenario.accounts().add_account(ann, &Author::command_line("scenario", None)).await.expect("made");
    let address = scenario.address();

    let alive = send_request(address, &first, HEALTH_REQUEST).await.expect("answered");
    assert!(alive.starts_with("HTTP/1.1 200 OK") && alive.contains("strict-transport-security: max-age="), "{alive}");
    let form = "name=ann&password=correct+horse+battery";
    let sign_in = format!(
        "POST /sign-in HTTP/1.1\r\nhost: keeper.example\r\norigin: https://keeper.example\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    let signed_in = send_request(address, &first, &sign_in).await.expect("answered");
    assert!(signed_in.contains("set-cookie: __Host-shiftkeeper=") && signed_in.contains("; Secure"), "{signed_in}");

    let mut plain = TcpStream::connect(address).await.expect("connects");
    plain.write_all(HEALTH_REQUEST.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "nothing is said in clear");

    let second = certificate(files.path());
    wait_until("the new certificate is in force", WAIT_TIMEOUT, || async {
        send_request(address, &second, HEALTH_REQUEST).await.map(|_| ())
    })
    .await;
    assert!(send_request(address, &first, HEALTH_REQUEST).await.is_err(), "the old one is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_agrees_on_tls_is_ended() {
    let files = tempfile::tempdir().expect("a folder");
    certificate(files.path());
    let tables = format!(
        "[server.tls]\ncertificate = {:?}\nkey = {:?}\n",
        files.path().join("tls.crt"),
        files.path().join("tls.key")
    );
    let scenario = Scenario::start(Setup { webhooks: tables, ..Setup::default() }).await;
    let mut silent = TcpStream::connect(scenario.address()).await.expect("connects");
    let ended = tokio::time::timeout(Duration::from_secs(30), silent.read(&mut [0; 16])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
}
