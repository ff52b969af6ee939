//! The file formats of reports. A writer takes rows as they come and keeps as few of them in memory as its format
//! allows.

pub mod csv;
pub mod html;
pub mod json;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod xlsx;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::document::{Heading, Sink, WriteError};
use super::tally::SectionTally;
pub use crate::domain::reports::report_run::ReportFormat;

/// A sink that writes a file.
pub trait Writer: Sink {
    /// Writes what follows all sections and completes the file; `tallies` are those of the whole report.
    fn finish(&mut self, tallies: &[SectionTally]) -> Result<(), WriteError>;
}

/// Opens a writer of a report with this heading into `file`; `folder` is for temporary files.
pub fn open_writer(
    format: ReportFormat,
    heading: &Heading,
    file: File,
    folder: &Path,
    max_bytes: u64,
) -> Result<Box<dyn Writer>, WriteError> {
    let out = LimitedWriter { inner: BufWriter::with_capacity(1 << 16, file), remaining: max_bytes };
    Ok(match format {
        ReportFormat::Csv => Box::new(csv::Csv::new(heading, out)),
        ReportFormat::Json => Box::new(json::Json::new(heading, out)?),
        ReportFormat::Xlsx => Box::new(xlsx::Xlsx::new(heading, out, folder)?),
        ReportFormat::Html => Box::new(html::Html::new(heading, out)),
        #[cfg(feature = "parquet")]
        ReportFormat::Parquet => Box::new(parquet::Parquet::new(heading, out)),
        #[cfg(not(feature = "parquet"))]
        ReportFormat::Parquet => return Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    })
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
