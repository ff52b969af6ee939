//! One attempt to deliver one event over HTTP: signed, limited in time and bytes, and reported in full.
//!
//! It repeats nothing, follows no redirect, decompresses nothing and uses no proxy. `domain` decides what an attempt
//! means for its delivery, and the outbox when the next one is due. Time here is real time, whatever the clock's speed,
//! because sockets and receivers live in it.

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

use super::connection::{EndpointConnection, Tls};
use super::guard::{Dial, Guard, Resolve, SystemDial, SystemResolver};
use crate::clock::{BoxFuture, RealTime, Stopwatch};
use crate::domain::ids::{EventId, TenantId};
use crate::domain::webhooks::cloud_event::WebhookFormat;
use crate::domain::webhooks::signature::{ID_HEADER, Keyring, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::domain::webhooks::target::Target;
use crate::platform::client::{install_tls_provider, retry_after};

/// How long an unused connection is kept. Many simple servers close theirs after 5 s, and a request sent at that moment
/// is lost without an answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The most unused connections of an endpoint.
const MAX_IDLE: usize = 256;

/// How many bytes of an answer are kept.
const MAX_STORED_ANSWER: usize = 1024;

/// Makes delivery attempts.
pub trait Post: Send + Sync {
    /// Makes one attempt. Always returns, with the result.
    fn post(&self, request: DeliveryRequest) -> BoxFuture<Attempt>;

    /// Closes connections that have been unused for too long. Attempts do this themselves; calling it from time to time
    /// covers endpoints without attempts.
    fn close_idle(&self);
}

/// A request to deliver an event.
#[derive(Clone, Debug)]
pub struct DeliveryRequest {
    /// The id of the event, which is the same at every attempt.
    pub event_id: EventId,
    /// The tenant.
    pub tenant: TenantId,
    /// The body exactly as it is signed and sent.
    pub body: Bytes,
}

/// The result of an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// The status code, once the head of the answer has arrived; also set if the body is incomplete.
    pub status_code: Option<u16>,
    /// The time from the start to the last byte of the answer, or to the failure, in real milliseconds.
    pub latency_ms: u64,
    /// The first kilobyte of the answer, with invalid UTF-8 replaced.
    pub answer: String,
    /// What went wrong, for people; without path, key or body. With a status code, it says why the body is incomplete.
    pub error: Option<String>,
    /// How long the receiver asked to be left alone, without a limit.
    pub retry_after: Option<Duration>,
}

/// The limits of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest time from the start to the last byte of the answer, in real time.
    pub time: Duration,
    /// The most bytes of the answer's body.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(15), answer_bytes: 64 * 1024 }
    }
}

/// What all senders share: how names are resolved, sockets opened and certificates verified.
#[derive(Clone)]
pub struct Network {
    resolver: Arc<dyn Resolve>,
    dial: Arc<dyn Dial>,
    tls: Arc<ClientConfig>,
}

impl Network {
    /// Returns the system's resolver, sockets and certificates.
    pub fn system() -> Result<Self, EndpointError> {
        install_tls_provider();
        let tls = ClientConfig::with_platform_verifier().map_err(EndpointError::Tls)?;
        Ok(Self::new(Arc::new(SystemResolver), Arc::new(SystemDial), tls))
    }

    /// Creates a network from other parts, for tests.
    pub fn new(resolver: Arc<dyn Resolve>, dial: Arc<dyn Dial>, mut tls: ClientConfig) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { resolver, dial, tls: Arc::new(tls) }
    }
}

/// The target of an endpoint and how its deliveries are signed.
#[derive(Clone, Debug)]
pub struct EndpointTarget {
    /// `http` or `https`.
    pub url: Url,
    /// The keys that sign its deliveries.
    pub keys: Keyring,
    /// Private targets that are allowed.
    pub allow: Vec<Target>,
    /// The declared format of its bodies.
    pub format: WebhookFormat,
}

/// Why an endpoint cannot be sent to at all.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// The URL is invalid; the configuration rejects such URLs.
    #[error("its url is not an http:// or https:// URL with a host")]
    Url,
    /// The system's certificates cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
}

/// Delivers to one endpoint over HTTP/1.1, on connections that are kept while in use. Cheap to clone.
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
    /// The unused connections, starting with the one unused for longest.
    idle: Mutex<VecDeque<EndpointConnection>>,
}

impl fmt::Debug for HttpPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPost").field("host", &self.0.host).finish_non_exhaustive()
    }
}

impl HttpPost {
    /// Creates a sender for one endpoint. Nothing is opened before the first attempt.
    pub fn new(endpoint: EndpointTarget, network: &Network) -> Result<Self, EndpointError> {
        Self::with_limits(endpoint, network, Limits::default())
    }

    /// Creates a sender as [`HttpPost::new`] does, with other limits.
    pub fn with_limits(endpoint: EndpointTarget, network: &Network, limits: Limits) -> Result<Self, EndpointError> {
        let EndpointTarget { url, keys, allow, format } = endpoint;
        let target = Target::from_url(&url).ok_or(EndpointError::Url)?;
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
    fn post(&self, request: DeliveryRequest) -> BoxFuture<Attempt> {
        let sender = Arc::clone(&self.0);
        Box::pin(async move { sender.attempt(request).await })
    }

    fn close_idle(&self) {
        close_idle(&mut self.0.idle());
    }
}

impl Sender {
    async fn attempt(&self, delivery: DeliveryRequest) -> Attempt {
        let watch = Stopwatch::start();
        let mut attempt = Attempt::default();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(self.limits.time, self.exchange(delivery, &mut attempt, &mut answer)).await;
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

    /// Sends a delivery and reads the answer. The error text is for people.
    async fn exchange(
        &self,
        delivery: DeliveryRequest,
        attempt: &mut Attempt,
        stored: &mut Vec<u8>,
    ) -> Result<(), String> {
        let mut connection = match self.idle_connection().await {
            Some(line) => line,
            None => EndpointConnection::open(&self.guard, self.tls.as_ref()).await?,
        };
        // Signed just before sending, because making a connection may have taken a while.
        let request = self.build_request(delivery)?;
        let answer = match connection.send(request, self.limits.answer_bytes).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.describe_error(&connection, &error)),
        };
        attempt.status_code = Some(answer.status().as_u16());
        attempt.retry_after = retry_after(answer.headers(), RealTime::now());
        self.read_answer(&mut connection, answer, stored).await?;
        if connection.is_reusable().await {
            self.return_idle(connection);
        }
        Ok(())
    }

    async fn read_answer(
        &self,
        connection: &mut EndpointConnection,
        answer: Response<Incoming>,
        stored: &mut Vec<u8>,
    ) -> Result<(), String> {
        let mut body = answer.into_body();
        let mut size = 0;
        while let Some(piece) = connection.next_chunk(&mut body).await {
            let piece = piece.map_err(|error| self.describe_error(connection, &error))?;
            size += piece.len();
            let room = MAX_STORED_ANSWER.saturating_sub(stored.len());
            stored.extend_from_slice(&piece[..piece.len().min(room)]);
            if size > self.limits.answer_bytes {
                return Err(self.too_large());
            }
        }
        Ok(())
    }

    fn build_request(&self, delivery: DeliveryRequest) -> Result<Request<Full<Bytes>>, String> {
        let now = RealTime::now();
        let mut buffer = uuid::Uuid::encode_buffer();
        let id: &str = delivery.event_id.0.hyphenated().encode_lower(&mut buffer);
        let timestamp = (now.as_micros() / 1_000_000).to_string();
        let signatures = self.keys.sign(id, &timestamp, &delivery.body, now);
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
        let mut request = Request::new(Full::new(delivery.body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn describe_error(&self, connection: &EndpointConnection, error: &hyper::Error) -> String {
        if connection.is_exhausted() {
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

    /// Returns the most recently used connection that the other side has not closed.
    async fn idle_connection(&self) -> Option<EndpointConnection> {
        loop {
            let mut connection = {
                let mut idle = self.idle();
                close_idle(&mut idle);
                idle.pop_back()
            }?;
            if connection.is_open().await {
                return Some(connection);
            }
        }
    }

    fn return_idle(&self, connection: EndpointConnection) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push_back(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<EndpointConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a connection as an attempt does (address check, name, TCP, TLS) and closes it; nothing is sent. The error text
/// is for people.
pub async fn check_reachable(url: &Url, allow: &[Target], network: &Network, timeout: Duration) -> Result<(), String> {
    let target = Target::from_url(url).ok_or_else(|| EndpointError::Url.to_string())?;
    let tls = tls_for(url, &target, network).map_err(|error| error.to_string())?;
    let guard = Guard::new(target, allow.to_vec(), Arc::clone(&network.resolver), Arc::clone(&network.dial));
    match tokio::time::timeout(timeout, EndpointConnection::open(&guard, tls.as_ref())).await {
        Ok(line) => line.map(|_| ()),
        Err(_) => Err(format!("no connection within {} ms", timeout.as_millis())),
    }
}

/// Returns the TLS settings if the URL requires TLS.
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

fn close_idle(idle: &mut VecDeque<EndpointConnection>) {
    while idle.front().is_some_and(|line| line.idle() >= IDLE_TIMEOUT) {
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

/// Returns what is kept of an answer: text, without an incomplete character at its end.
fn excerpt(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    // The store keeps text, and PostgreSQL's text has no NUL.
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    text
}

#[cfg(test)]
mod tests;
