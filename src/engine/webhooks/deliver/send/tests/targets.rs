//! Nothing is opened towards a target that is not permitted, however it is written and whatever leads there. What would see a
//! socket is tried first: the same listener and the same count see the one that `allow` names.

use std::sync::Mutex;

use tokio::net::TcpListener;

use super::harness::{self, DialTo, RawServer, endpoint_at, names, no_tls, outgoing};
use super::*;

const SPELLINGS: &str = include_str!("../../../../../../tests/data/forbidden_targets.txt");

/// Opens real sockets and counts them.
#[derive(Clone, Debug, Default)]
struct CountingDial(Arc<Mutex<Vec<std::net::SocketAddr>>>);

impl CountingDial {
    fn opened(&self) -> usize {
        self.0.lock().expect("log").len()
    }
}

impl Dial for CountingDial {
    fn dial(
        &self,
        address: std::net::SocketAddr,
    ) -> BoxFuture<std::io::Result<crate::engine::webhooks::deliver::guard::Socket>> {
        self.0.lock().expect("log").push(address);
        SystemDial.dial(address)
    }
}

fn without_allow(url: &str) -> Option<EndpointTarget> {
    let url: Url = url.parse().ok()?;
    let keys = Keyring::parse(harness::KEY).expect("a key");
    Some(EndpointTarget { url, keys, allow: Vec::new(), format: WebhookFormat::Guide })
}

/// Whether a connection comes to a listener in time. One that was opened before is there at once.
async fn has_visitor(listener: &TcpListener, within: Duration) -> bool {
    tokio::time::timeout(within, listener.accept()).await.is_ok()
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_target_opens_a_socket() {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let dial = CountingDial::default();
    let network = Network::new(Arc::new(SystemResolver), Arc::new(dial.clone()), no_tls());
    let limits = Limits { time: Duration::from_millis(500), ..Limits::default() };

    // The control: what is allowed is dialled, and the listener sees it.
    for url in
        [format!("http://127.0.0.1:{port}/"), format!("http://0x7f.1:{port}/"), format!("http://localhost:{port}/")]
    {
        let before = dial.opened();
        let post = HttpPost::with_limits(endpoint_at(&url), &network, limits).expect("a sender");
        let (attempt, seen) = tokio::join!(post.post(outgoing(b"x")), has_visitor(&listener, Duration::from_secs(10)));
        assert!(dial.opened() > before && seen, "{url} is seen: {attempt:?}");
    }

    let before = dial.opened();
    let spellings: Vec<_> = SPELLINGS.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(spellings.len() >= 250, "{}", spellings.len());
    let (mut no_url, mut refused) = (0, 0);
    for spelling in spellings {
        let url = spelling.replace("PORT", &port.to_string());
        let Some(Ok(post)) = without_allow(&url).map(|endpoint| HttpPost::with_limits(endpoint, &network, limits))
        else {
            no_url += 1;
            continue;
        };
        let attempt = post.post(outgoing(b"x")).await;
        let error = attempt.error.expect("refused");
        assert!(error.contains(" leads to "), "{url}: {error}");
        assert_eq!(attempt.status_code, None);
        refused += 1;
    }
    assert!(refused >= 250, "{refused} were held against the law, {no_url} are no URLs");
    assert_eq!(dial.opened(), before, "no socket was opened");
    assert!(!has_visitor(&listener, Duration::from_millis(20)).await, "and nobody came");
}

#[tokio::test]
async fn characters_that_a_url_drops_do_not_hide_a_target() {
    let dial = CountingDial::default();
    let network = Network::new(Arc::new(SystemResolver), Arc::new(dial.clone()), no_tls());
    for url in [
        "http://127.0.\t0.1:9/",
        "http://127.0.\n0.1:9/",
        " http://127.0.0.1:9/ ",
        "ht\ttp://127.0.0.1:9/",
        "http://local\r\nhost:9/",
    ] {
        let post = HttpPost::new(without_allow(url).expect("a URL"), &network).expect("a sender");
        assert!(post.post(outgoing(b"x")).await.error.is_some_and(|error| error.contains(" leads to ")), "{url:?}");
    }
    assert_eq!(dial.opened(), 0);
}

#[tokio::test]
async fn no_answer_of_the_resolver_leads_to_a_forbidden_address() {
    let server = RawServer::start(|_| Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await;
    let (known, dial) = (names(&[]), DialTo::new(server.address));
    let network = Network::new(known.clone(), Arc::new(dial.clone()), no_tls());
    let post = HttpPost::new(without_allow("http://hooks.example/").expect("a URL"), &network).expect("a sender");
    for address in [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.9.9",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        known.set("hooks.example", &[address]);
        let attempt = post.post(outgoing(b"x")).await;
        let error = attempt.error.expect("refused");
        assert!(error.starts_with("hooks.example:80 leads to ") && attempt.status_code.is_none(), "{address}: {error}");
    }
    assert!(dial.dialled().is_empty(), "{:?}", dial.dialled());

    // Among others, it is left out.
    known.set("hooks.example", &["10.0.0.1", "93.184.215.14", "169.254.169.254"]);
    assert_eq!(post.post(outgoing(b"x")).await.status_code, Some(204));
    assert_eq!(dial.dialled(), ["93.184.215.14:80".parse().expect("an address")]);
    // A name that moves is asked again at every connect.
    server.close_connections().await;
    known.set("hooks.example", &["127.0.0.1"]);
    assert!(post.post(outgoing(b"x")).await.error.is_some_and(|error| error.contains("leads to 127.0.0.1")));
    assert_eq!(dial.dialled().len(), 1);
}

#[tokio::test]
async fn allow_lets_through_what_it_names_and_no_more() {
    let server = RawServer::start(|_| Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await;
    let known = names(&[
        ("hooks.example", &["10.0.0.7"]),
        ("meta.example", &["169.254.169.254"]),
        ("box.internal", &["10.0.0.8"]),
    ]);
    for (url, allow, passes) in [
        ("http://hooks.example:8080/", "hooks.example:8080", true),
        ("http://hooks.example:8080/", "10.0.0.7:8080", true),
        ("http://hooks.example:8080/", "hooks.example:8081", false),
        ("http://hooks.example:8080/", "other.example:8080", false),
        ("http://box.internal:8080/", "box.internal:8080", true),
        ("http://box.internal:8080/", "10.0.0.8:8080", false),
        ("http://meta.example/", "meta.example:80", false),
        ("http://meta.example/", "169.254.169.254:80", true),
    ] {
        let dial = DialTo::new(server.address);
        let network = Network::new(known.clone(), Arc::new(dial.clone()), no_tls());
        let endpoint = EndpointTarget {
            allow: vec![Target::parse(allow).expect("a target")],
            ..without_allow(url).expect("a URL")
        };
        let attempt = HttpPost::new(endpoint, &network).expect("a sender").post(outgoing(b"x")).await;
        assert_eq!(
            (attempt.status_code == Some(204), dial.dialled().len()),
            (passes, usize::from(passes)),
            "{url} by {allow}"
        );
    }
}

/// A proxy's variables are read by libraries at their first use, so this runs itself again in a process that has them.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test is about the environment")]
async fn no_proxy_of_the_environment_is_used() {
    const INSIDE: &str = "SHIFTKEEPER_TEST_INSIDE_PROXY";
    let server = RawServer::start(|_| Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await;
    if std::env::var(INSIDE).is_ok() {
        assert!(std::env::var("http_proxy").is_ok_and(|proxy| proxy.starts_with("http://127.0.0.1:")));
        assert_eq!(harness::sender(&server).post(outgoing(b"x")).await.status_code, Some(204));
        return;
    }
    let proxy = format!("http://{}", server.address);
    let this = std::env::current_exe().expect("a test");
    let name = "engine::webhooks::deliver::send::tests::targets::no_proxy_of_the_environment_is_used";
    let mut command = std::process::Command::new(this);
    command.args(["--exact", name]).env(INSIDE, "1").env("no_proxy", "");
    for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(variable, &proxy);
    }
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "it ran");
    assert_eq!(server.accepted(), 0, "nobody went through the proxy");
}
