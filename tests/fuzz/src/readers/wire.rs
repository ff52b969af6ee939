//! A network of one answer: what is sent is kept, and once the request's head is whole the answer stands there to be read.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use hyper_util::rt::TokioIo;
use shiftkeeper::clock::{BoxFuture, ManualClock, SharedClock};
use shiftkeeper::domain::access::secret::Secret;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::engine::webhooks::deliver::guard::{Dial, Socket};
use shiftkeeper::platform::Failure;
use shiftkeeper::platform::client::{ClientSettings, Transport};
use shiftkeeper::platform::guide::{GuidePlatform, GuideSettings, TokenStyle};
use shiftkeeper::platform::trust::Trust;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's secret, which no message may show.
pub const CLIENT_SECRET: &str = "s3cret-of-the-client";

/// The token of answers that hold a good one; no message may show it either.
pub const TOKEN: &str = "t0ken-of-the-platform";

/// 2026-11-24 12:00 UTC.
pub const NOW: UtcMicros = UtcMicros::from_micros(1_795_521_600_000_000);

/// Gives the bytes of an answer to a request, by the request's head.
type Answers = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// Every connection is answered by the same function and ends behind the answer.
#[derive(Clone)]
pub struct Wire {
    answers: Arc<Answers>,
    /// The URLs that were asked, in order.
    asked: Arc<Mutex<Vec<reqwest::Url>>>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    pub fn new(answers: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self { answers: Arc::new(answers), asked: Arc::default() }
    }

    pub fn asked(&self) -> Vec<reqwest::Url> {
        self.asked.lock().expect("a lock").clone()
    }

    fn open(&self) -> Canned {
        Canned { answers: Arc::clone(&self.answers), sent: Vec::new(), answer: None, reader: None }
    }
}

impl Transport for Wire {
    fn send(
        &self,
        request: reqwest::Request,
        settings: &ClientSettings,
    ) -> BoxFuture<Result<reqwest::Response, Failure>> {
        let (wire, limit) = (self.clone(), settings.request_timeout);
        wire.asked.lock().expect("a lock").push(request.url().clone());
        Box::pin(async move {
            tokio::time::timeout(limit, exchange(wire.open(), request)).await.unwrap_or(Err(Failure::Timeout))
        })
    }
}

async fn exchange(connection: Canned, request: reqwest::Request) -> Result<reqwest::Response, Failure> {
    let broken = |error: hyper::Error| Failure::ConnectionBroken { reason: error.to_string() };
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.map_err(broken)?;
    #[expect(clippy::disallowed_methods, reason = "the other half of a connection; the runtime ends with the call")]
    tokio::spawn(async move {
        // Its end shows in the answer.
        let _ = driver.with_upgrades().await;
    });
    let path = request.url()[url::Position::BeforePath..].to_owned();
    let not_sent = |what: &str| Failure::NotSent { reason: what.to_owned() };
    let mut request: hyper::Request<reqwest::Body> = request.try_into().map_err(|_| not_sent("no request"))?;
    *request.uri_mut() = path.parse().map_err(|_| not_sent("no path"))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    Ok(answer.map(reqwest::Body::wrap).into())
}

impl Dial for Wire {
    fn dial(&self, _: SocketAddr) -> BoxFuture<io::Result<Socket>> {
        let connection = self.open();
        Box::pin(async move { Ok(Box::new(connection) as Socket) })
    }
}

/// One connection.
struct Canned {
    answers: Arc<Answers>,
    sent: Vec<u8>,
    /// What is still to be read; none before the request's head is whole.
    answer: Option<VecDeque<u8>>,
    reader: Option<Waker>,
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl AsyncWrite for Canned {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.answer.is_none() {
            self.sent.extend_from_slice(bytes);
            if let Some(end) = self.sent.windows(4).position(|four| four == b"\r\n\r\n") {
                let answer = (self.answers)(&String::from_utf8_lossy(&self.sent[..end]));
                self.answer = Some(answer.into());
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Canned {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(answer) = &mut self.answer else {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let (front, _) = answer.as_slices();
        let length = front.len().min(into.remaining());
        into.put_slice(&front[..length]);
        answer.drain(..length);
        Poll::Ready(Ok(()))
    }
}

/// Runs to the end on a runtime of its own, so that nothing is left of it.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

/// The dialect's adapter over this wire.
pub fn guide(wire: &Wire, style: TokenStyle) -> GuidePlatform {
    let base = "https://platform.test".parse().expect("a URL");
    let mut settings = GuideSettings::new(base, style, "shiftkeeper", Secret::new(CLIENT_SECRET));
    // No certificate is ever looked at, and those of the system take long to read.
    settings.client.trust = Trust::AnyCertificate;
    settings.token_path = Some("/token".to_owned());
    let clock: SharedClock = Arc::new(ManualClock::at(NOW));
    GuidePlatform::with_transport(Some(Arc::new(wire.clone())), settings, clock).expect("an adapter")
}

/// A whole answer with this body.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The answer that holds a good token.
pub fn good_token() -> Vec<u8> {
    ok(&format!(r#"{{"access_token":"{TOKEN}","expires_in":3600}}"#))
}

/// Neither the client's secret nor the token stands in what people may read.
pub fn assert_tells_no_secret(shown: &impl fmt::Debug) {
    let shown = format!("{shown:?}");
    assert!(!shown.contains(CLIENT_SECRET) && !shown.contains(TOKEN), "a secret is shown: {shown}");
}
