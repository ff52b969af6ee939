//! Raw servers on loopback that count what reaches them, and a network of made-up names.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::BoxFuture;
use crate::domain::webhooks::cloud_event::WebhookFormat;
use crate::domain::webhooks::signature::Keyring;
use crate::domain::webhooks::target::Target;
use crate::engine::webhooks::deliver::guard::{Dial, Resolve, SystemDial, SystemResolver};
use crate::engine::webhooks::deliver::send::{DeliveryRequest, EndpointTarget, HttpPost, Network};
use crate::platform::client::install_tls_provider;

pub const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const OTHER_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Reads one request; `None` when the connection ends before it does.
pub async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).expect("text");
    let mut lines = text.split("\r\n");
    let line = lines.next().expect("a request line").to_owned();
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { line, headers, body: bytes[head + 4..].to_vec() })
}

/// A server that answers each request with raw bytes, or never. It ends with its struct.
pub struct RawServer {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: watch::Receiver<usize>,
    requests: Arc<Mutex<Vec<Request>>>,
    close: watch::Sender<u32>,
    _task: JoinSet<()>,
}

impl RawServer {
    /// Answers requests with what `answer` gives; with `None` never.
    pub async fn start(answer: impl Fn(Request) -> Option<Vec<u8>> + Send + Sync + Clone + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        Self::with(requests, move |mut stream, mut closed: watch::Receiver<u32>| {
            let (answer, log) = (answer.clone(), Arc::clone(&log));
            Box::pin(async move {
                let serve = async {
                    while let Some(request) = read_request(&mut stream).await {
                        log.lock().expect("log").push(request.clone());
                        match answer(request) {
                            Some(bytes) => {
                                let _ = stream.write_all(&bytes).await;
                            }
                            // The other side's end is all that can come.
                            None => while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {},
                        }
                    }
                };
                tokio::select! {
                    () = serve => {}
                    _ = closed.changed() => {}
                }
            })
        })
        .await
    }

    /// Treats each connection as `script` does.
    pub async fn scripted<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(Arc::default(), move |stream, _| Box::pin(script(stream))).await
    }

    async fn with(
        requests: Arc<Mutex<Vec<Request>>>,
        serve: impl Fn(TcpStream, watch::Receiver<u32>) -> BoxFuture<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, (open_in, open), (close, closing)) = (Arc::clone(&accepted), watch::channel(0), watch::channel(0));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Some(_) = connections.join_next() => open_in.send_modify(|open| *open -= 1),
                    Ok((stream, _)) = listener.accept() => {
                        count.fetch_add(1, Ordering::SeqCst);
                        open_in.send_modify(|open| *open += 1);
                        let mut closing = closing.clone();
                        closing.mark_unchanged();
                        connections.spawn(serve(stream, closing));
                    }
                }
            }
        });
        Self { address, accepted, open, requests, close, _task: task }
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("log").clone()
    }

    /// Closes every connection, and waits until that is done.
    pub async fn close_connections(&self) {
        self.close.send_modify(|times| *times += 1);
        self.until_closed().await;
    }

    /// Waits until there was a connection and there is none any more.
    pub async fn until_closed(&self) {
        self.open.clone().wait_for(|open| *open == 0).await.expect("the server runs");
        assert!(self.accepted() > 0);
    }
}

/// Names with their addresses.
#[derive(Debug)]
pub struct Names(Mutex<HashMap<String, Vec<IpAddr>>>);

impl Names {
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.0.lock().expect("names").insert(name.to_owned(), addresses);
    }
}

impl Resolve for Names {
    fn resolve(&self, name: &str) -> BoxFuture<io::Result<Vec<IpAddr>>> {
        let found = self.0.lock().expect("names").get(name).cloned();
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// A resolver that knows these names alone.
pub fn names(known: &[(&str, &[&str])]) -> Arc<Names> {
    let names = Arc::new(Names(Mutex::default()));
    for (name, addresses) in known {
        names.set(name, addresses);
    }
    names
}

/// Sockets that remember where they were to go and go to one server instead.
#[derive(Clone, Debug)]
pub struct DialTo {
    server: SocketAddr,
    dead: Vec<SocketAddr>,
    dialled: Arc<Mutex<Vec<SocketAddr>>>,
}

impl DialTo {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, dead: Vec::new(), dialled: Arc::default() }
    }

    /// With an address that does not accept connections.
    pub fn without(mut self, dead: SocketAddr) -> Self {
        self.dead.push(dead);
        self
    }

    /// Where it was to go, in order.
    pub fn dialled(&self) -> Vec<SocketAddr> {
        self.dialled.lock().expect("log").clone()
    }
}

impl Dial for DialTo {
    fn dial(&self, address: SocketAddr) -> BoxFuture<io::Result<crate::engine::webhooks::deliver::guard::Socket>> {
        self.dialled.lock().expect("log").push(address);
        if self.dead.contains(&address) {
            return Box::pin(std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())));
        }
        SystemDial.dial(self.server)
    }
}

/// TLS that trusts nobody.
pub fn no_tls() -> ClientConfig {
    install_tls_provider();
    ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// The system's resolver and sockets.
pub fn network() -> Network {
    Network::new(Arc::new(SystemResolver), Arc::new(SystemDial), no_tls())
}

/// An endpoint at a URL, allowed where it is.
pub fn endpoint_at(url: &str) -> EndpointTarget {
    let url = url.parse().expect("a URL");
    let target = Target::from_url(&url).expect("a target");
    EndpointTarget { url, keys: Keyring::parse(KEY).expect("a key"), allow: vec![target], format: WebhookFormat::Guide }
}

/// The endpoint of a server.
pub fn endpoint(server: &RawServer) -> EndpointTarget {
    endpoint_at(&format!("http://{}/hooks", server.address))
}

/// A sender to a server.
pub fn sender(server: &RawServer) -> HttpPost {
    HttpPost::new(endpoint(server), &network()).expect("a sender")
}

/// Something to deliver.
pub fn outgoing(body: &'static [u8]) -> DeliveryRequest {
    DeliveryRequest {
        event_id: crate::domain::ids::EventId(uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001)),
        tenant: "acme".into(),
        body: bytes::Bytes::from_static(body),
    }
}
