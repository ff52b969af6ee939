//! Ends a connection whose socket accepts no data for a long time, whatever protocol runs on it.
//!
//! A response body is polled only while its socket accepts data, so a time limit inside it would never run. The limit
//! is in real time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::{BoxFuture, SharedClock};

/// How long data may wait while the socket accepts less than [`MIN_BYTES`].
const STALLED_AFTER: Duration = Duration::from_secs(25);

/// How many bytes a socket must accept in that time; a live view is not usable below 650 bytes per second.
const MIN_BYTES: usize = 16 * 1024;

/// A socket with a limit on stalling.
pub(super) struct StallGuard<S> {
    socket: S,
    /// The clock of real time.
    clock: SharedClock,
    /// The deadline, while data waits to be written.
    deadline: Option<BoxFuture<()>>,
    /// The number of bytes accepted since the deadline was set.
    bytes_taken: usize,
}

impl<S> StallGuard<S> {
    pub(super) const fn new(socket: S, clock: SharedClock) -> Self {
        Self { socket, clock, deadline: None, bytes_taken: 0 }
    }

    fn check_progress(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            self.bytes_taken += result.as_ref().copied().unwrap_or(0);
            return Poll::Ready(result);
        }
        loop {
            let deadline = self.deadline.get_or_insert_with(|| {
                self.bytes_taken = 0;
                self.clock.sleep(STALLED_AFTER)
            });
            ready!(deadline.as_mut().poll(context));
            if self.bytes_taken < MIN_BYTES {
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
        self.check_progress(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.check_progress(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Called once all waiting data was written.
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
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::UtcMicros;

    /// What the system holds for a socket that nobody reads.
    const BUFFER_BYTES: usize = 1024;

    fn stall_guarded() -> (StallGuard<DuplexStream>, DuplexStream, ManualClock) {
        let clock = ManualClock::at(UtcMicros::EPOCH);
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        (StallGuard::new(near, Arc::new(clock.clone())), far, clock)
    }

    /// Writes `bytes` while the other side takes `at_a_time` in each of four parts of the limit.
    async fn write_with_slow_reader(bytes: usize, at_a_time: usize) -> io::Result<()> {
        let (mut guarded, mut far, clock) = stall_guarded();
        let write = async {
            let written = guarded.write_all(&vec![0; bytes]).await;
            // The other side ends as well.
            drop(guarded);
            written
        };
        let read = async {
            let mut some = vec![0; at_a_time];
            while far.read_exact(&mut some).await.is_ok() {
                // The writer takes note of what was taken before time goes on.
                tokio::task::yield_now().await;
                clock.advance(STALLED_AFTER / 4);
            }
        };
        tokio::join!(write, read).0
    }

    #[tokio::test]
    async fn a_line_may_be_slow_but_not_as_slow_as_that() {
        assert!(write_with_slow_reader(8 * MIN_BYTES, MIN_BYTES / 2).await.is_ok());
        let error =
            write_with_slow_reader(8 * MIN_BYTES, MIN_BYTES / 16).await.expect_err("a quarter of what it takes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_reader_that_has_read_everything_may_pause() {
        let (mut guarded, mut far, clock) = stall_guarded();
        for _ in 0..3 {
            let (written, read) = tokio::join!(guarded.write_all(&[0; 2 * BUFFER_BYTES]), async {
                far.read_exact(&mut [0; 2 * BUFFER_BYTES]).await
            });
            written.expect("taken");
            read.expect("written");
            guarded.flush().await.expect("all is written");
            clock.advance(STALLED_AFTER * 2);
        }
    }

    #[tokio::test]
    async fn a_reader_that_stops_ends_the_writer() {
        let (mut guarded, far, clock) = stall_guarded();
        let (written, ()) = tokio::join!(guarded.write_all(&[0; 2 * BUFFER_BYTES]), async {
            tokio::task::yield_now().await;
            clock.advance(STALLED_AFTER);
        });
        assert_eq!(written.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
        drop(far);
    }
}
