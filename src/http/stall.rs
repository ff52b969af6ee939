//! A socket that takes nothing for long ends its connection, whatever stands above it.
//!
//! A body is asked for more only while its socket takes bytes, so that no limit inside of it would ever run. Time is real.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::{BoxFuture, RealTime};

/// While something waits to be written, a socket is given up that took less than [`LEAST_BYTES`] within this.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(25);

/// What a socket has to take meanwhile: 650 bytes a second are no line to look at agents through.
const LEAST_BYTES: usize = 16 * 1024;

/// A socket under watch.
pub(super) struct StallGuard<S> {
    socket: S,
    limit: Duration,
    /// Runs while something waits to be written.
    deadline: Option<BoxFuture<()>>,
    /// Bytes taken since the deadline was set.
    taken: usize,
}

impl<S> StallGuard<S> {
    pub(super) const fn new(socket: S, limit: Duration) -> Self {
        Self { socket, limit, deadline: None, taken: 0 }
    }

    fn watch(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            self.taken += result.as_ref().copied().unwrap_or(0);
            return Poll::Ready(result);
        }
        loop {
            let deadline = self.deadline.get_or_insert_with(|| {
                self.taken = 0;
                RealTime::sleep(self.limit)
            });
            ready!(deadline.as_mut().poll(context));
            if self.taken < LEAST_BYTES {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes nothing")));
            }
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Called once all that waited was written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        if flushed.is_ready() {
            self.deadline = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_ends_the_writer_and_one_that_goes_on_does_not() {
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        let mut guarded = StallGuard::new(&mut near, LIMIT);
        let page = vec![0; 64 * 1024];
        for _ in 0..5 {
            guarded.write_all(&page).await.expect("there is room");
            guarded.flush().await.expect("flushed");
            tokio::time::advance(LIMIT * 10).await;
            far.read_exact(&mut vec![0; page.len()]).await.expect("taken");
        }
        guarded.write_all(&page).await.expect("there is room");
        let error = guarded.write_all(&page).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_may_be_slow_but_not_as_slow_as_that() {
        for (bytes, lives) in [(LEAST_BYTES, true), (100, false)] {
            let (mut near, mut far) = tokio::io::duplex(1024);
            let mut guarded = StallGuard::new(&mut near, LIMIT);
            let write = async { guarded.write_all(&vec![0; 4 * LEAST_BYTES]).await };
            let read = async {
                let mut left = 4 * LEAST_BYTES;
                while left > 0 {
                    tokio::time::advance(LIMIT / 2).await;
                    let mut some = vec![0; bytes.min(left)];
                    if far.read_exact(&mut some).await.is_err() {
                        return;
                    }
                    left -= some.len();
                }
            };
            let written = tokio::select! {
                (written, ()) = async { tokio::join!(write, read) } => written,
            };
            assert_eq!(written.is_ok(), lives, "{bytes} bytes at a time");
        }
    }
}
