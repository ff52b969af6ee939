//! One HTTP/1.1 connection to an endpoint, with a count of the bytes that its answers may have.
//!
//! It is driven by whoever waits for an answer and by nobody else: no task stands behind it, so that dropping it ends it.

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

/// The most that is held of an answer at a time, its head included.
const LARGEST_BUFFER: usize = 16 * 1024;
/// Beside the body: heads, interim answers, the lengths between chunks.
const LARGEST_FRAME: usize = 32 * 1024;
/// A connection is given up after this, so that a name that moved is followed.
const LONGEST_LIFE: Duration = Duration::from_secs(5 * 60);

/// TLS for an endpoint: how, and whose certificate is expected.
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

enum Wire {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A wire that breaks when more has come than an answer may have.
struct Metered {
    wire: Wire,
    left: Arc<AtomicUsize>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        let polled = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let came = buffer.filled().len() - before;
        self.left.store(left.saturating_sub(came), Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Metered {
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

/// Drives one connection.
type Driver = Connection<TokioIo<Metered>, Full<Bytes>>;

/// A connection, and since when it stands and idles.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: Option<Driver>,
    left: Arc<AtomicUsize>,
    made: Stopwatch,
    idle: Stopwatch,
}

impl Line {
    /// Connects, with TLS where it is asked for. The error is for people.
    pub(super) async fn open(guard: &Guard, tls: Option<&Tls>) -> Result<Self, String> {
        let stream = guard.connect().await.map_err(|error| error.to_string())?;
        let wire = match tls {
            None => Wire::Plain(stream),
            Some(Tls { connector, name }) => {
                let secured = connector.connect(name.clone(), stream).await;
                Wire::Tls(Box::new(secured.map_err(|error| format!("TLS cannot be agreed on: {error}"))?))
            }
        };
        let left = Arc::new(AtomicUsize::new(LARGEST_FRAME));
        let io = TokioIo::new(Metered { wire, left: Arc::clone(&left) });
        let (sender, driver) = Builder::new()
            .max_buf_size(LARGEST_BUFFER)
            .handshake(io)
            .await
            .map_err(|error| format!("the connection cannot be used: {error}"))?;
        Ok(Self { sender, driver: Some(driver), left, made: Stopwatch::start(), idle: Stopwatch::start() })
    }

    /// Sends a request and gives the head of its answer, after which the body may have `body_limit` bytes.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        body_limit: usize,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.left.store(LARGEST_FRAME + body_limit, Ordering::Relaxed);
        let answer = self.sender.send_request(request);
        drive(&mut self.driver, answer).await
    }

    /// The next piece of an answer's body; `None` at its end.
    pub(super) async fn piece(&mut self, body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match drive(&mut self.driver, body.frame()).await? {
                Ok(frame) => {
                    // Trailers are counted by the meter and otherwise of no interest.
                    if let Ok(piece) = frame.into_data() {
                        return Some(Ok(piece));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Whether an answer broke because it was too large.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// After a whole answer: whether the connection can be kept for the next request.
    pub(super) async fn is_free(&mut self) -> bool {
        self.idle = Stopwatch::start();
        self.made.elapsed() < LONGEST_LIFE && self.is_open().await
    }

    /// Since when nobody has used it.
    pub(super) fn idle(&self) -> Duration {
        self.idle.elapsed()
    }

    /// Whether the other side has not closed it, as far as this host has heard.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|cx| {
            turn(&mut self.driver, cx);
            Poll::Ready(())
        })
        .await;
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Moves the connection on; one that has ended is let go, so that whoever waits for its answer hears of it.
fn turn(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
        *driver = None;
    }
}

/// Waits for `future` while moving the connection on.
async fn drive<T>(driver: &mut Option<Driver>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        turn(driver, cx);
        future.as_mut().poll(cx)
    })
    .await
}
