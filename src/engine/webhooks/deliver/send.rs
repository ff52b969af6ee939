//! One attempt to deliver one event, over HTTP: signed, bounded in time and bytes, and told in full.
//!
//! It repeats nothing, follows nothing, unpacks nothing and goes through no proxy; a redirect is an answer like any other. What an
//! attempt means for its delivery is decided in `domain`, when the next one is due by the outbox. Time here is real time, whatever
//! the clock's speed: sockets and receivers live in it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Uri, body::Incoming};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::ConfigVerifierExt as _;
use thiserror::Error;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::connection::{Line, Tls};
use super::guard::{Dial, Guard, Resolve, SystemDial, SystemResolver};
use crate::clock::{BoxFuture, RealTime, Stopwatch};
use crate::domain::ids::{EventId, TenantId};
use crate::domain::webhooks::cloud_event::WebhookFormat;
use crate::domain::webhooks::signature::{ID_HEADER, Keyring, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::domain::webhooks::target::Target;
use crate::platform::client::{install_tls_provider, retry_after};

/// How long an unused connection is kept. Servers that people write themselves close theirs after 5 s, and a request that meets
/// the closing is lost without an answer.
const KEEP_IDLE: Duration = Duration::from_secs(4);

/// The most unused connections of an endpoint.
const MOST_IDLE: usize = 256;

/// How much of an answer is kept, in bytes.
const KEPT_ANSWER: usize = 1024;

/// Makes attempts.
pub trait Post: Send + Sync {
    /// Makes one attempt. It always ends, and says how.
    fn post(&self, request: Outgoing) -> BoxFuture<Attempt>;

    /// Closes connections that have been unused for too long. Attempts do so by themselves; told now and then, an endpoint
    /// without any does as well.
    fn close_idle(&self);
}

/// What is to be delivered.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The event; its id is the same at every attempt.
    pub event_id: EventId,
    /// Whose.
    pub tenant: TenantId,
    /// The body exactly as it is signed and sent.
    pub body: Bytes,
}

/// What came of an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// The status of the answer, once its head has come: it stands also when the body breaks off or does not end.
    pub status_code: Option<u16>,
    /// Real milliseconds from the beginning to the answer's last byte, or to the failure.
    pub latency_ms: u64,
    /// The answer's first kilobyte; what is not UTF-8 in it is replaced.
    pub answer: String,
    /// What went wrong, for people; without path, key or body. Beside a status it says why the body is not whole.
    pub error: Option<String>,
    /// How long the receiver wants to be left alone, in full.
    pub retry_after: Option<Duration>,
}

/// What bounds an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the beginning to the answer's last byte, in real time.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(15), answer_bytes: 64 * 1024 }
    }
}

/// What every sender shares: how names are resolved, sockets opened and certificates judged.
#[derive(Clone)]
pub struct Network {
    resolver: Arc<dyn Resolve>,
    dial: Arc<dyn Dial>,
    tls: Arc<ClientConfig>,
}

impl Network {
    /// The system's resolver, sockets and certificates.
    pub fn system() -> Result<Self, EndpointError> {
        install_tls_provider();
        let tls = ClientConfig::with_platform_verifier().map_err(EndpointError::Tls)?;
        Ok(Self::new(Arc::new(SystemResolver), Arc::new(SystemDial), tls))
    }

    /// With parts of one's own, for tests.
    pub fn new(resolver: Arc<dyn Resolve>, dial: Arc<dyn Dial>, mut tls: ClientConfig) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { resolver, dial, tls: Arc::new(tls) }
    }
}

/// Where an endpoint is and how deliveries to it are signed.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http` or `https`.
    pub url: Url,
    /// Sign its deliveries.
    pub keys: Keyring,
    /// Private targets that are meant.
    pub allow: Vec<Target>,
    /// What its bodies are declared as.
    pub format: WebhookFormat,
}

/// An endpoint that cannot be sent to at all.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// Correct its URL; the configuration lets no such one through.
    #[error("its url is not an http:// or https:// URL with a host")]
    Url,
    /// The system's certificates cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
}

/// Delivers to one endpoint over HTTP/1.1, on connections that are kept while they are used. Cheap to clone.
#[derive(Clone)]
pub struct HttpPost(Arc<Sender>);

struct Sender {
    guard: Guard,
    tls: Option<Tls>,
    uri: Uri,
    host: HeaderValue,
    content_type: HeaderValue,
    keys: Keyring,
    limits: Limits,
    /// Unused connections, the longest unused first.
    idle: Mutex<VecDeque<Line>>,
}

impl fmt::Debug for HttpPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPost").field("host", &self.0.host).finish_non_exhaustive()
    }
}

impl HttpPost {
    /// A sender for one endpoint. Nothing is opened before the first attempt.
    pub fn new(endpoint: Endpoint, network: &Network) -> Result<Self, EndpointError> {
        Self::within(endpoint, network, Limits::default())
    }

    /// As [`HttpPost::new`], with other limits.
    pub fn within(endpoint: Endpoint, network: &Network, limits: Limits) -> Result<Self, EndpointError> {
        let Endpoint { url, keys, allow, format } = endpoint;
        let target = Target::of(&url).ok_or(EndpointError::Url)?;
        let tls = tls_for(&url, &target, network)?;
        let host = match url.port() {
            Some(port) => format!("{}:{port}", target.host),
            None => target.host.to_string(),
        };
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Ok(Self(Arc::new(Sender {
            uri: path.parse().map_err(|_| EndpointError::Url)?,
            host: host.parse().map_err(|_| EndpointError::Url)?,
            content_type: HeaderValue::from_static(format.content_type()),
            guard: Guard::new(target, allow, Arc::clone(&network.resolver), Arc::clone(&network.dial)),
            tls,
            keys,
            limits,
            idle: Mutex::default(),
        })))
    }
}

impl Post for HttpPost {
    fn post(&self, request: Outgoing) -> BoxFuture<Attempt> {
        let sender = Arc::clone(&self.0);
        Box::pin(async move { sender.attempt(request).await })
    }

    fn close_idle(&self) {
        close_idle(&mut self.0.idle());
    }
}

impl Sender {
    async fn attempt(&self, outgoing: Outgoing) -> Attempt {
        let watch = Stopwatch::start();
        let mut attempt = Attempt::default();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(self.limits.time, self.converse(outgoing, &mut attempt, &mut answer)).await;
        attempt.error = match ended {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(reason),
            Err(_) => {
                let what = if attempt.status_code.is_some() { "the answer did not end" } else { "no answer" };
                Some(format!("{what} within {} ms", self.limits.time.as_millis()))
            }
        };
        attempt.latency_ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
        attempt.answer = excerpt(&answer);
        attempt
    }

    /// The error is for people.
    async fn converse(&self, outgoing: Outgoing, attempt: &mut Attempt, kept: &mut Vec<u8>) -> Result<(), String> {
        let mut line = match self.kept_line().await {
            Some(line) => line,
            None => Line::open(&self.guard, self.tls.as_ref()).await?,
        };
        // Signed when it leaves: making a connection may have taken a while.
        let request = self.request(outgoing)?;
        let answer = match line.send(request, self.limits.answer_bytes).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.reason(&line, &error)),
        };
        attempt.status_code = Some(answer.status().as_u16());
        attempt.retry_after = retry_after(answer.headers(), RealTime::now());
        self.read(&mut line, answer, kept).await?;
        if line.is_free().await {
            self.keep(line);
        }
        Ok(())
    }

    async fn read(&self, line: &mut Line, answer: Response<Incoming>, kept: &mut Vec<u8>) -> Result<(), String> {
        let mut body = answer.into_body();
        let mut size = 0;
        while let Some(piece) = line.piece(&mut body).await {
            let piece = piece.map_err(|error| self.reason(line, &error))?;
            size += piece.len();
            let room = KEPT_ANSWER.saturating_sub(kept.len());
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
            if size > self.limits.answer_bytes {
                return Err(self.too_large());
            }
        }
        Ok(())
    }

    fn request(&self, outgoing: Outgoing) -> Result<Request<Full<Bytes>>, String> {
        let now = RealTime::now();
        let mut buffer = uuid::Uuid::encode_buffer();
        let id: &str = outgoing.event_id.0.hyphenated().encode_lower(&mut buffer);
        let timestamp = (now.as_micros() / 1_000_000).to_string();
        let signatures = self.keys.sign(id, &timestamp, &outgoing.body, now);
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|error| format!("a header cannot be made: {error}"));
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(
            header::USER_AGENT,
            const { HeaderValue::from_static(concat!("shiftkeeper/", env!("CARGO_PKG_VERSION"))) },
        );
        headers.insert(const { HeaderName::from_static(ID_HEADER) }, value(id)?);
        headers.insert(const { HeaderName::from_static(TIMESTAMP_HEADER) }, value(&timestamp)?);
        headers.insert(const { HeaderName::from_static(SIGNATURE_HEADER) }, value(&signatures)?);
        let mut request = Request::new(Full::new(outgoing.body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn reason(&self, line: &Line, error: &hyper::Error) -> String {
        if line.is_exhausted() {
            return self.too_large();
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        format!("the connection broke: {cause}")
    }

    fn too_large(&self) -> String {
        format!("the answer is larger than {} bytes", self.limits.answer_bytes)
    }

    /// The connection that was used last, if the other side still has it.
    async fn kept_line(&self) -> Option<Line> {
        loop {
            let mut line = {
                let mut idle = self.idle();
                close_idle(&mut idle);
                idle.pop_back()
            }?;
            if line.is_open().await {
                return Some(line);
            }
        }
    }

    fn keep(&self, line: Line) {
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE {
            idle.push_back(line);
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a connection as an attempt does (address law, name, TCP, TLS) and closes it; nothing is sent. The error is for people.
pub async fn reach(url: &Url, allow: &[Target], network: &Network, within: Duration) -> Result<(), String> {
    let target = Target::of(url).ok_or_else(|| EndpointError::Url.to_string())?;
    let tls = tls_for(url, &target, network).map_err(|error| error.to_string())?;
    let guard = Guard::new(target, allow.to_vec(), Arc::clone(&network.resolver), Arc::clone(&network.dial));
    match tokio::time::timeout(within, Line::open(&guard, tls.as_ref())).await {
        Ok(line) => line.map(|_| ()),
        Err(_) => Err(format!("no connection within {} ms", within.as_millis())),
    }
}

/// TLS where the URL asks for it.
fn tls_for(url: &Url, target: &Target, network: &Network) -> Result<Option<Tls>, EndpointError> {
    match url.scheme() {
        "http" => Ok(None),
        "https" => Ok(Some(Tls {
            connector: TlsConnector::from(Arc::clone(&network.tls)),
            name: server_name(target).ok_or(EndpointError::Url)?,
        })),
        _ => Err(EndpointError::Url),
    }
}

fn close_idle(idle: &mut VecDeque<Line>) {
    while idle.front().is_some_and(|line| line.idle() >= KEEP_IDLE) {
        idle.pop_front();
    }
}

fn server_name(target: &Target) -> Option<ServerName<'static>> {
    match &target.host {
        Host::Domain(name) => ServerName::try_from(name.clone()).ok(),
        Host::Ipv4(v4) => Some(ServerName::from(std::net::IpAddr::V4(*v4))),
        Host::Ipv6(v6) => Some(ServerName::from(std::net::IpAddr::V6(*v6))),
    }
}

/// What is kept of an answer: text, without the half of a character at its end.
fn excerpt(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    // The store keeps text, and PostgreSQL's has no NUL.
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    text
}

#[cfg(test)]
mod tests;
