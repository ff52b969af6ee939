//! The connection that a call came on, and what a fault does to it: an answer that waits, stops halfway, or never comes.

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
use crate::sim::faults::{FaultSpec, Kind};

/// The longest that an answer is held back, in real time.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// How long a connection is held without an answer, where the fault does not say.
const HANG: Duration = Duration::from_secs(60);
/// Between the first half of an answer and the reset, so that the half has left the host.
const HALFWAY: Duration = Duration::from_millis(20);

/// How long an answer or a feed that is under way may take when the simulator stops, in real time.
pub(in crate::sim) const FAREWELL: Duration = Duration::from_millis(500);

/// How a call ends the connection that it came on.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct Line {
    /// Ends it with a reset.
    pub(in crate::sim) reset: CancellationToken,
    /// Ends it in order, without a word.
    pub(in crate::sim) close: CancellationToken,
    /// The simulator stops, and waits for [`FAREWELL`].
    pub(in crate::sim) stop: CancellationToken,
}

/// What carries a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Its end is to be a reset, where it can be.
    fn reset_on_close(&self);
}

impl Stream for tokio::net::TcpStream {
    fn reset_on_close(&self) {
        let _ = self.set_zero_linger();
    }
}

/// The socket of a connection. Whoever has it last (a feed takes it over from HTTP) ends it by dropping it: with a reset where
/// its line says so.
pub(in crate::sim) struct Socket {
    // Dropped in this order: it is closed before anyone hears that it is.
    stream: Box<dyn Stream>,
    _closed: DropGuard,
    reset: CancellationToken,
}

impl Socket {
    /// A stream under its line; `closed` is cancelled when it is closed.
    pub(in crate::sim) fn new(stream: Box<dyn Stream>, line: &Line, closed: &CancellationToken) -> Self {
        Self { stream, _closed: closed.clone().drop_guard(), reset: line.reset.clone() }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.is_cancelled() {
            // The system resets a connection that is closed while it may not linger.
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

/// Sends an answer as the fault wants it.
pub(super) async fn deliver(answer: Option<(Response, Bytes)>, fault: Option<&FaultSpec>, line: &Line) -> Response {
    let kind = fault.map(|fault| fault.kind);
    let wait = fault.and_then(FaultSpec::span);
    let Some((response, bytes)) = answer else {
        if kind == Some(Kind::StopAnswering) {
            RealTime::sleep(wait.unwrap_or(HANG).min(LONGEST_WAIT)).await;
            line.close.cancel();
        } else {
            line.reset.cancel();
        }
        return never().await;
    };
    match kind {
        Some(Kind::LostAnswer) => {
            line.close.cancel();
            never().await
        }
        Some(Kind::Delay) => {
            RealTime::sleep(wait.unwrap_or_default().min(LONGEST_WAIT)).await;
            whole(response, bytes)
        }
        Some(Kind::ResetMid) => half(response, bytes, line.clone()),
        Some(
            Kind::Status
            | Kind::ResetBefore
            | Kind::Late
            | Kind::Truncated
            | Kind::Html
            | Kind::WrongTypes
            | Kind::Nonsense
            | Kind::RevokeTokens
            | Kind::ExpireSubscriptions
            | Kind::ClockSkew
            | Kind::TimestampJitter
            | Kind::StopAnswering
            | Kind::Silent
            | Kind::Repeat
            | Kind::MissingRows
            | Kind::OldTimes
            | Kind::OtherZones
            | Kind::Bulky
            | Kind::OddTexts
            | Kind::SkipRows
            | Kind::StopShort
            | Kind::NeverFinish
            | Kind::FailQuery
            | Kind::ForgetQueries
            | Kind::DropFeeds
            | Kind::CloseFeeds,
        )
        | None => whole(response, bytes),
    }
}

fn whole(response: Response, bytes: Bytes) -> Response {
    let (parts, _) = response.into_parts();
    (parts, Body::from(bytes)).into_response()
}

/// An answer that promises all its bytes, sends half of them, and then resets the connection.
fn half(response: Response, mut bytes: Bytes, line: Line) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    bytes.truncate(bytes.len() / 2);
    (parts, Body::new(Half { first: Some(bytes), reset: reset_soon(line) })).into_response()
}

fn reset_soon(line: Line) -> crate::clock::BoxFuture<()> {
    Box::pin(async move {
        RealTime::sleep(HALFWAY).await;
        line.reset.cancel();
        never::<()>().await;
    })
}

/// The connection is ended from outside; nothing is ever answered on it.
async fn never<T>() -> T {
    std::future::pending().await
}

struct Half {
    first: Option<Bytes>,
    reset: crate::clock::BoxFuture<()>,
}

impl hyper::body::Body for Half {
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
