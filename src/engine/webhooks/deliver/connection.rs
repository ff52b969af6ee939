//! One HTTP/1.1 connection to an endpoint, with a limit on the bytes of its answers.
//!
//! The connection is driven by whoever waits for an answer, without a task of its own, so that dropping it ends it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::guard::{Guard, Socket};
use crate::clock::Stopwatch;

/// The most bytes of an answer held at a time, including its head.
const MAX_BUFFER: usize = 16 * 1024;
/// The allowance for what is not body: heads, interim answers and chunk lengths.
const MAX_FRAMING_BYTES: usize = 32 * 1024;
/// How long a connection is used at most, so that address changes of a name are noticed.
const MAX_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// TLS for an endpoint: the configuration, and the name that the certificate must have.
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

enum Wire {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A stream that fails once more bytes have arrived than an answer may have.
struct MeteredStream {
    wire: Wire,
    remaining: Arc<AtomicUsize>,
}

impl AsyncRead for MeteredStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let remaining = self.remaining.load(Ordering::Relaxed);
        if remaining == 0 {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        let polled = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let received = buffer.filled().len() - before;
        self.remaining.store(remaining.saturating_sub(received), Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The future that drives one connection.
type Driver = Connection<TokioIo<MeteredStream>, Full<Bytes>>;

/// A connection, with when it was opened and last used.
pub(super) struct EndpointConnection {
    sender: SendRequest<Full<Bytes>>,
    driver: Option<Driver>,
    remaining: Arc<AtomicUsize>,
    opened: Stopwatch,
    idle: Stopwatch,
}

impl EndpointConnection {
    /// Connects, with TLS if given. The error text is for people.
    pub(super) async fn open(guard: &Guard, tls: Option<&Tls>) -> Result<Self, String> {
        let stream = guard.connect().await.map_err(|error| error.to_string())?;
        let wire = match tls {
            None => Wire::Plain(stream),
            Some(Tls { connector, name }) => {
                let secured = connector.connect(name.clone(), stream).await;
                Wire::Tls(Box::new(secured.map_err(|error| format!("TLS cannot be agreed on: {error}"))?))
            }
        };
        let remaining = Arc::new(AtomicUsize::new(MAX_FRAMING_BYTES));
        let io = TokioIo::new(MeteredStream { wire, remaining: Arc::clone(&remaining) });
        let (sender, driver) = Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(io)
            .await
            .map_err(|error| format!("the connection cannot be used: {error}"))?;
        Ok(Self { sender, driver: Some(driver), remaining, opened: Stopwatch::start(), idle: Stopwatch::start() })
    }

    /// Sends a request and returns the head of the answer, whose body may then have `body_limit` bytes.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        body_limit: usize,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.remaining.store(MAX_FRAMING_BYTES + body_limit, Ordering::Relaxed);
        let answer = self.sender.send_request(request);
        drive(&mut self.driver, answer).await
    }

    /// Returns the next chunk of an answer's body; `None` at its end.
    pub(super) async fn next_chunk(&mut self, body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match drive(&mut self.driver, body.frame()).await? {
                Ok(frame) => {
                    // Trailers are counted by the stream's limit and otherwise ignored.
                    if let Ok(piece) = frame.into_data() {
                        return Some(Ok(piece));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Returns whether an answer failed because it was too large.
    pub(super) fn is_exhausted(&self) -> bool {
        self.remaining.load(Ordering::Relaxed) == 0
    }

    /// Returns whether the connection can be kept after a complete answer.
    pub(super) async fn is_reusable(&mut self) -> bool {
        self.idle = Stopwatch::start();
        self.opened.elapsed() < MAX_LIFETIME && self.is_open().await
    }

    /// Returns how long the connection has been unused.
    pub(super) fn idle(&self) -> Duration {
        self.idle.elapsed()
    }

    /// Returns whether the connection is still open, as far as this host knows.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|cx| {
            poll_driver(&mut self.driver, cx);
            Poll::Ready(())
        })
        .await;
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Polls the connection, and drops it when it has ended, so that whoever waits for its answer is told.
fn poll_driver(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
        *driver = None;
    }
}

/// Waits for `future` while driving the connection.
async fn drive<T>(driver: &mut Option<Driver>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        poll_driver(driver, cx);
        future.as_mut().poll(cx)
    })
    .await
}
