//! The connection of a call, and what a fault does to it: an answer that is delayed, is cut off, or never comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::RealTime;
use crate::sim::faults::{FaultKind, FaultSpec};

/// The longest delay of an answer, in real time.
const MAX_DELAY: Duration = Duration::from_secs(600);
/// How long a connection is held without an answer, if the fault does not say.
const DEFAULT_HANG: Duration = Duration::from_secs(60);
/// The pause between half an answer and the reset, so that the half has left the host.
const RESET_DELAY: Duration = Duration::from_millis(20);

/// How long an answer or a feed under way may take when the simulator stops, in real time.
pub(in crate::sim) const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// The signals by which a call ends its connection.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct ConnectionSignals {
    /// Ends the connection with a reset.
    pub(in crate::sim) reset: CancellationToken,
    /// Closes the connection in order, without an answer.
    pub(in crate::sim) close: CancellationToken,
    /// Signals that the simulator stops and waits for [`SHUTDOWN_GRACE`].
    pub(in crate::sim) stop: CancellationToken,
}

/// The stream under a connection.
pub trait ConnectionStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Makes the stream end with a reset, if possible.
    fn reset_on_close(&self);
}

impl ConnectionStream for tokio::net::TcpStream {
    fn reset_on_close(&self) {
        let _ = self.set_zero_linger();
    }
}

/// The socket of a connection. Its last owner (a feed takes it over from HTTP) ends it by dropping it, with a reset
/// if the signals say so.
pub(in crate::sim) struct Socket {
    // Fields are dropped in this order: the stream closes before anyone is told.
    stream: Box<dyn ConnectionStream>,
    _closed: DropGuard,
    reset: CancellationToken,
}

impl Socket {
    /// Creates a socket; `closed` is cancelled when it closes.
    pub(in crate::sim) fn new(
        stream: Box<dyn ConnectionStream>,
        signals: &ConnectionSignals,
        closed: &CancellationToken,
    ) -> Self {
        Self { stream, _closed: closed.clone().drop_guard(), reset: signals.reset.clone() }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.is_cancelled() {
            // The system resets a connection that is closed without lingering.
            self.stream.reset_on_close();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Sends an answer in the way that the fault requires.
pub(super) async fn send_response(
    answer: Option<(Response, Bytes)>,
    fault: Option<&FaultSpec>,
    signals: &ConnectionSignals,
) -> Response {
    let kind = fault.map(|fault| fault.kind);
    let wait = fault.and_then(FaultSpec::duration);
    let Some((response, bytes)) = answer else {
        if kind == Some(FaultKind::StopAnswering) {
            RealTime::sleep(wait.unwrap_or(DEFAULT_HANG).min(MAX_DELAY)).await;
            signals.close.cancel();
        } else {
            signals.reset.cancel();
        }
        return pend_forever().await;
    };
    match kind {
        Some(FaultKind::LostAnswer) => {
            signals.close.cancel();
            pend_forever().await
        }
        Some(FaultKind::Delay) => {
            RealTime::sleep(wait.unwrap_or_default().min(MAX_DELAY)).await;
            full_response(response, bytes)
        }
        Some(FaultKind::ResetMid) => half_response(response, bytes, signals.clone()),
        Some(_) | None => full_response(response, bytes),
    }
}

fn full_response(response: Response, bytes: Bytes) -> Response {
    let (parts, _) = response.into_parts();
    (parts, Body::from(bytes)).into_response()
}

/// Creates an answer that promises all its bytes, sends half of them and resets the connection.
fn half_response(response: Response, mut bytes: Bytes, signals: ConnectionSignals) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    bytes.truncate(bytes.len() / 2);
    (parts, Body::new(HalfBody { first: Some(bytes), reset: reset_after_delay(signals) })).into_response()
}

fn reset_after_delay(signals: ConnectionSignals) -> crate::clock::BoxFuture<()> {
    Box::pin(async move {
        RealTime::sleep(RESET_DELAY).await;
        signals.reset.cancel();
        pend_forever::<()>().await;
    })
}

/// Waits for ever; the connection is ended from outside without an answer.
async fn pend_forever<T>() -> T {
    std::future::pending().await
}

struct HalfBody {
    first: Option<Bytes>,
    reset: crate::clock::BoxFuture<()>,
}

impl hyper::body::Body for HalfBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.reset.as_mut().poll(context).map(|()| None)
    }
}
