//! The formats that reports are written in. A writer takes rows as they come and holds as little of them as its format allows.

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
pub use crate::domain::reports::report_run::Format;

/// A sink that makes a file.
pub trait Writer: Sink {
    /// Writes what stands below all sections; `tallies` are those of the whole report. The file is whole after it.
    fn finish(&mut self, tallies: &[SectionTally]) -> Result<(), WriteError>;
}

/// Writes a report of this heading into `file`; `folder` is for what is kept aside meanwhile.
pub fn writer(
    format: Format,
    heading: &Heading,
    file: File,
    folder: &Path,
    most_bytes: u64,
) -> Result<Box<dyn Writer>, WriteError> {
    let out = Limited { inner: BufWriter::with_capacity(1 << 16, file), left: most_bytes };
    Ok(match format {
        Format::Csv => Box::new(csv::Csv::new(heading, out)),
        Format::Json => Box::new(json::Json::new(heading, out)?),
        Format::Xlsx => Box::new(xlsx::Xlsx::new(heading, out, folder)?),
        Format::Html => Box::new(html::Html::new(heading, out)),
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(parquet::Parquet::new(heading, out)),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    })
}

/// Hands on so many bytes and no more.
#[derive(Debug)]
pub struct Limited<W> {
    inner: W,
    left: u64,
}

impl<W> Limited<W> {
    /// At most so many bytes.
    pub const fn new(inner: W, most_bytes: u64) -> Self {
        Self { inner, left: most_bytes }
    }

    /// What it writes to.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.inner.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: io::Seek> io::Seek for Limited<W> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
