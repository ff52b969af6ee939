//! What every file format implements, and the limit on the size of a file.

use std::io::{self, Write};

use crate::report::document::{Sink, WriteError};
use crate::report::tally::SectionTally;

/// A sink that writes a file.
pub trait Writer: Sink {
    /// Writes what follows all sections and completes the file; `tallies` are those of the whole report.
    fn finish(&mut self, tallies: &[SectionTally]) -> Result<(), WriteError>;
}

/// A writer that passes on a limited number of bytes.
#[derive(Debug)]
pub struct LimitedWriter<W> {
    inner: W,
    remaining: u64,
}

impl<W> LimitedWriter<W> {
    /// Creates a writer of at most `max_bytes` bytes.
    pub const fn new(inner: W, max_bytes: u64) -> Self {
        Self { inner, remaining: max_bytes }
    }

    /// Returns the inner writer.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for LimitedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.remaining {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.inner.write(bytes)?;
        self.remaining -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: io::Seek> io::Seek for LimitedWriter<W> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
