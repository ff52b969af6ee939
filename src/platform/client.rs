//! The one place that builds HTTP clients, and the one that turns what a socket did into a [`Failure`].
//!
//! Clients follow no redirect, repeat nothing, take no proxy from the environment, and give up connections that idled for
//! 15 s: servers close theirs after 60 to 75 s, and a request that meets the closing is lost without an answer. Time limits
//! here are real time, whatever the clock's speed.

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

use super::error::{Failure, excerpt};
use super::text;
use super::trust::Trust;

/// How long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// A longer `Retry-After` is cut to this; the platform's own windows are a minute.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The most of an error's body that is read, in bytes.
const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// How long a connection may take to be made, TLS included. Keep it under `request_timeout`: a connection that was never
    /// made is known not to have carried anything.
    pub connect_timeout: Duration,
    /// From the start of the request to the last byte of the answer.
    pub request_timeout: Duration,
    /// A proxy for every request, which may hold credentials; none is taken from the environment.
    pub proxy: Option<Secret>,
    /// Whose certificates are taken.
    pub trust: Trust,
    /// Real time for which an idle connection is kept; shorter than the other side keeps it, or a request may meet its end.
    pub idle: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            proxy: None,
            trust: Trust::System,
            idle: POOL_IDLE,
        }
    }
}

/// A client that cannot be built.
#[derive(Error, Debug)]
pub enum ClientError {
    /// The proxy's URL cannot be used; it is not shown, as it may hold credentials.
    #[error("the proxy's URL cannot be used")]
    Proxy,
    /// TLS or the resolver could not be set up.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
    /// The certificates that are to be trusted cannot be.
    #[error("the certificates that are to be trusted cannot be used")]
    Trust(#[source] rustls::Error),
}

/// Builds a client. TLS is rustls on ring.
pub fn build(settings: &ClientSettings) -> Result<Client, ClientError> {
    install_tls_provider();
    let mut builder = Client::builder()
        .user_agent(concat!("shiftkeeper/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .pool_idle_timeout(settings.idle)
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
        Trust::Named(named) => builder.tls_backend_preconfigured(named.config().map_err(ClientError::Trust)?),
        Trust::Anybody => builder.tls_danger_accept_invalid_certs(true),
    };
    builder.build().map_err(|error| ClientError::Setup(error.without_url()))
}

/// Makes ring the process's provider, once. Another one that was installed before stays; it serves as well.
pub fn install_tls_provider() {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    INSTALLED.get_or_init(|| rustls::crypto::ring::default_provider().install_default().is_ok());
}

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body, unpacked; of an error at most its start.
    pub body: Vec<u8>,
    /// From sending to the last byte, in real time.
    pub latency: Duration,
    /// Our clock before the sending.
    pub asked_at: UtcMicros,
    /// Our clock after the last byte.
    pub answered_at: UtcMicros,
    headers: HeaderMap,
}

impl Reply {
    /// The `Date` header.
    pub fn date(&self) -> Option<UtcMicros> {
        header(&self.headers, &DATE).and_then(http_date)
    }

    /// The `Retry-After` header, in seconds or as a date, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, self.answered_at).map(|wait| wait.min(LONGEST_RETRY_AFTER))
    }

    /// A header as text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Whether the body is a page for people, by its declared type or its first character.
    pub fn is_page(&self) -> bool {
        let declared =
            header(&self.headers, &CONTENT_TYPE).is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
        declared || self.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
    }

    /// The body as an object of JSON. An array is none, although serde would fill a struct from it, field by field. Texts in it
    /// that are no Unicode are mended.
    pub fn object<T: DeserializeOwned>(&self) -> Option<T> {
        let body = self.body.trim_ascii_start();
        if body.starts_with(b"{") { text::read(body) } else { None }
    }

    /// An answer that is not what it should be; `expected` says what that was. Only a page is shown: anything else may be an
    /// answer about a person.
    pub fn nonsense(&self, expected: &str, secrets: &[&str]) -> Failure {
        let came = if self.is_page() {
            format!("a page: {}", excerpt(&self.body, secrets))
        } else {
            format!("{} bytes that are something else", self.body.len())
        };
        Failure::Nonsense { status: self.status.as_u16(), excerpt: format!("expected {expected}, got {came}") }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What `Retry-After` asks for, in full: seconds, or a date, which is held against the answer's `Date` or else `now`.
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

/// Carries requests to a server in place of sockets: the seam for a simulated network.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a request once and gives the head of its answer, with the body still to be read. Keeps to the time limits of
    /// `settings` by itself; an answer of 101 brings the connection to go on with.
    fn send(&self, request: Request, settings: &ClientSettings) -> BoxFuture<Result<Response, Failure>>;
}

/// Sends requests, each once.
#[derive(Clone, Debug)]
pub struct Caller {
    client: Client,
    settings: ClientSettings,
    /// Instead of sockets.
    transport: Option<Arc<dyn Transport>>,
}

impl Caller {
    /// Over `transport`, or over sockets where there is none.
    pub fn new(settings: ClientSettings, transport: Option<Arc<dyn Transport>>) -> Result<Self, ClientError> {
        Ok(Self { client: build(&settings)?, settings, transport })
    }

    /// A request to be filled in and sent with [`Caller::exchange`] or [`Caller::switch`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request once and reads its answer, of a success at most `limit` bytes. Every status is an answer here; a failure
    /// means that there was none, or not a whole one.
    pub async fn exchange(&self, request: RequestBuilder, clock: &SharedClock, limit: usize) -> Result<Reply, Failure> {
        let (asked_at, watch) = (clock.now(), Stopwatch::start());
        let mut response = self.send(request).await?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = if status.is_success() {
            read_body(response, limit).await?
        } else {
            // The status says what there is to know; a body that breaks or does not end changes nothing about it.
            read_start(response, ERROR_BODY_LIMIT).await
        };
        Ok(Reply { status, body, latency: watch.elapsed(), asked_at, answered_at: clock.now(), headers })
    }

    /// Sends a request to go on in another protocol once. With the answer comes the connection where the server agreed (101), which
    /// no time limit of the request binds any more; every other status is an answer as it is for [`Caller::exchange`].
    pub async fn switch(
        &self,
        request: RequestBuilder,
        clock: &SharedClock,
    ) -> Result<(Reply, Option<Upgraded>), Failure> {
        let (asked_at, watch) = (clock.now(), Stopwatch::start());
        let response = self.send(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let reply =
            |body| Reply { status, body, latency: watch.elapsed(), asked_at, answered_at: clock.now(), headers };
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok((reply(read_start(response, ERROR_BODY_LIMIT).await), None));
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

async fn read_start(mut response: Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < limit {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
    }
    body
}

/// What a request without an answer means. Only a connection that was never made is known to have carried nothing.
fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() {
        Failure::NotSent { reason: root_cause(error) }
    } else if error.is_timeout() {
        Failure::Timeout
    } else {
        Failure::Broken { reason: root_cause(error) }
    }
}

/// The innermost cause, which names no URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "the request could not be made".to_owned(), |cause| excerpt(cause.to_string().as_bytes(), &[]))
}
