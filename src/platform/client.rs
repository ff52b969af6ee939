//! The only module that builds HTTP clients, and that maps the outcome of a connection to a [`Failure`].
//!
//! Clients follow no redirects, repeat nothing and take no proxy from the environment. They drop connections that were
//! idle for 15 s: servers close theirs after 60 to 75 s, and a request sent at that moment is lost without an answer.
//! Time limits here are real time at any clock speed.

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, Method, Proxy, Request, RequestBuilder, Response, StatusCode, Upgraded, Url, redirect, retry};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::clock::{BoxFuture, SharedClock, Stopwatch};
use crate::domain::access::secret::Secret;
use crate::domain::time::UtcMicros;

use super::Answer;
use super::error::{Failure, excerpt};
use super::text;
use super::trust::Trust;

/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// The longest `Retry-After` that is honoured; longer ones are shortened to this. The platform's own windows are a
/// minute.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How much of an error's body is read, in bytes.
const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The time limit for establishing a connection, TLS included. Keep it below `request_timeout`, since a connection
    /// that was never made is known not to have carried the request.
    pub connect_timeout: Duration,
    /// The time limit from the start of the request to the last byte of the answer.
    pub request_timeout: Duration,
    /// The proxy for every request, whose URL may contain credentials. None is taken from the environment.
    pub proxy: Option<Secret>,
    /// The certificates that are accepted.
    pub trust: Trust,
    /// Real time for which an idle connection is kept. Must be shorter than the server's limit, or a request may be
    /// sent while the server closes the connection.
    pub pool_idle_timeout: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            proxy: None,
            trust: Trust::System,
            pool_idle_timeout: POOL_IDLE,
        }
    }
}

/// An error in building a client.
#[derive(Error, Debug)]
pub enum ClientError {
    /// The proxy's URL cannot be used. It is not shown, as it may contain credentials.
    #[error("the proxy's URL cannot be used")]
    Proxy,
    /// TLS or the resolver could not be set up.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    /// The trusted certificates cannot be used.
    #[error("the certificates that are to be trusted cannot be used")]
    Trust(#[source] rustls::Error),
}

/// Builds a client that uses rustls with ring.
pub fn build_client(settings: &ClientSettings) -> Result<Client, ClientError> {
    install_tls_provider();
    let mut builder = Client::builder()
        .user_agent(concat!("shiftkeeper/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .pool_idle_timeout(settings.pool_idle_timeout)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .gzip(true);
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(Proxy::all(proxy.expose()).map_err(|_| ClientError::Proxy)?);
    }
    builder = match &settings.trust {
        Trust::System => builder,
        Trust::Certificates(named) => {
            builder.tls_backend_preconfigured(named.client_config().map_err(ClientError::Trust)?)
        }
        Trust::AnyCertificate => builder.tls_danger_accept_invalid_certs(true),
    };
    builder.build().map_err(|error| ClientError::Setup(error.without_url()))
}

/// Installs ring as the process's TLS provider, once. A provider that was installed before remains in use.
pub fn install_tls_provider() {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    INSTALLED.get_or_init(|| rustls::crypto::ring::default_provider().install_default().is_ok());
}

/// A complete answer.
#[derive(Debug)]
pub struct ApiReply {
    /// The status.
    pub status: StatusCode,
    /// The decompressed body, or at most the start of an error's body.
    pub body: Vec<u8>,
    /// Real time from sending the request to the last byte of the answer.
    pub latency: Duration,
    /// The daemon's clock just before the request was sent.
    pub sent_at: UtcMicros,
    /// The daemon's clock after the last byte.
    pub received_at: UtcMicros,
    headers: HeaderMap,
}

impl ApiReply {
    /// Returns an answer with `value` and the times of this reply.
    pub fn answer<T>(&self, value: T) -> Answer<T> {
        Answer {
            value,
            latency: self.latency,
            sent_at: self.sent_at,
            received_at: self.received_at,
            platform_now: self.date(),
        }
    }

    /// Returns the `Date` header.
    pub fn date(&self) -> Option<UtcMicros> {
        header(&self.headers, &DATE).and_then(http_date)
    }

    /// Returns the wait that the `Retry-After` header asks for, in seconds or as a date, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, self.received_at).map(|wait| wait.min(MAX_RETRY_AFTER))
    }

    /// Returns a header's value as text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns whether the body is an HTML page, judged by its declared type or its first character.
    pub fn is_html(&self) -> bool {
        let declared =
            header(&self.headers, &CONTENT_TYPE).is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
        declared || self.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
    }

    /// Parses the body as a JSON object. Arrays are refused, although serde would fill a struct from one field by
    /// field. Invalid Unicode in strings is replaced.
    pub fn parse_object<T: DeserializeOwned>(&self) -> Option<T> {
        let body = self.body.trim_ascii_start();
        if body.starts_with(b"{") { text::parse_lenient(body) } else { None }
    }

    /// Returns the failure for an answer that is not what it should be; `expected` describes what that was. Only an
    /// HTML page is quoted, since any other body may contain personal data.
    pub fn malformed(&self, expected: &str, secrets: &[&str]) -> Failure {
        let received = if self.is_html() {
            format!("a page: {}", excerpt(&self.body, secrets))
        } else {
            format!("{} bytes that are something else", self.body.len())
        };
        Failure::Malformed { status: self.status.as_u16(), excerpt: format!("expected {expected}, got {received}") }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns the wait that `Retry-After` asks for, without a limit: a number of seconds, or a date relative to the
/// answer's `Date` or else to `now`.
pub fn retry_after(headers: &HeaderMap, now: UtcMicros) -> Option<Duration> {
    let text = header(headers, &RETRY_AFTER)?.trim();
    Some(match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text)?.since(header(headers, &DATE).and_then(http_date).unwrap_or(now)),
    })
}

fn http_date(text: &str) -> Option<UtcMicros> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp().into())
}

/// Sends requests to a server in place of sockets, for a simulated network.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a request once and returns the head of its answer, with the body still to be read. The implementation
    /// enforces the time limits of `settings`. An answer with status 101 provides the upgraded connection.
    fn send(&self, request: Request, settings: &ClientSettings) -> BoxFuture<Result<Response, Failure>>;
}

/// Sends requests, each once.
#[derive(Clone, Debug)]
pub struct HttpCaller {
    client: Client,
    settings: ClientSettings,
    /// Used instead of sockets.
    transport: Option<Arc<dyn Transport>>,
}

impl HttpCaller {
    /// Creates a caller over `transport`, or over sockets if that is `None`.
    pub fn new(settings: ClientSettings, transport: Option<Arc<dyn Transport>>) -> Result<Self, ClientError> {
        Ok(Self { client: build_client(&settings)?, settings, transport })
    }

    /// Returns a request builder, to be completed and sent with [`HttpCaller::exchange`] or [`HttpCaller::upgrade`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request once and reads its answer, at most `limit` bytes of a success. An answer with any status is
    /// `Ok`; a failure means that there was no answer or not a complete one.
    pub async fn exchange(
        &self,
        request: RequestBuilder,
        clock: &SharedClock,
        limit: usize,
    ) -> Result<ApiReply, Failure> {
        let (asked_at, watch) = (clock.now(), Stopwatch::start());
        let mut response = self.send(request).await?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = if status.is_success() {
            read_body(response, limit).await?
        } else {
            // The status is all that matters; a body that breaks off or does not end changes nothing.
            read_prefix(response, ERROR_BODY_LIMIT).await
        };
        Ok(ApiReply { status, body, latency: watch.elapsed(), sent_at: asked_at, received_at: clock.now(), headers })
    }

    /// Sends an upgrade request to another protocol once.
    ///
    /// If the server agrees (status 101), the answer comes with the connection, to which the request's time limit no
    /// longer applies. Any other status is an answer as in [`HttpCaller::exchange`].
    pub async fn upgrade(
        &self,
        request: RequestBuilder,
        clock: &SharedClock,
    ) -> Result<(ApiReply, Option<Upgraded>), Failure> {
        let (asked_at, watch) = (clock.now(), Stopwatch::start());
        let response = self.send(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let reply = |body| ApiReply {
            status,
            body,
            latency: watch.elapsed(),
            sent_at: asked_at,
            received_at: clock.now(),
            headers,
        };
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok((reply(read_prefix(response, ERROR_BODY_LIMIT).await), None));
        }
        let connection = response.upgrade().await.map_err(|error| failure_of(&error))?;
        Ok((reply(Vec::new()), Some(connection)))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let sent = match &self.transport {
            None => request.send().await,
            Some(transport) => match request.build() {
                Ok(request) => return transport.send(request, &self.settings).await,
                Err(error) => Err(error),
            },
        };
        sent.map_err(|error| failure_of(&error))
    }
}

async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > limit {
        return Err(Failure::TooLarge { limit });
    }
    let mut body = Vec::with_capacity(announced);
    while let Some(chunk) = response.chunk().await.map_err(|error| failure_of(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn read_prefix(mut response: Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < limit {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
    }
    body
}

/// Maps a request without an answer to a failure. Only a connection that was never made is known to have carried
/// nothing.
fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() {
        Failure::NotSent { reason: root_cause(error) }
    } else if error.is_timeout() {
        Failure::Timeout
    } else {
        Failure::ConnectionBroken { reason: root_cause(error) }
    }
}

/// Returns the text of the innermost cause, which contains no URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "the request could not be made".to_owned(), |cause| excerpt(cause.to_string().as_bytes(), &[]))
}
