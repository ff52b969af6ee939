//! The formats that reports are written in. A writer takes rows as they come and holds as little of them as its format allows.

pub mod csv;
pub mod html;
pub mod json;
pub mod xlsx;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::document::{Heading, Sink, WriteError};
use super::tally::SectionTally;

/// Formats of files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One section as comma-separated values.
    Csv,
    /// All of it as one JSON document.
    Json,
    /// All of it as a workbook, with a sheet per section.
    Xlsx,
    /// All of it as one page, to look at and to print.
    Html,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Csv, Self::Json, Self::Xlsx, Self::Html];

    /// Its name, and the ending of its files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// A file of it holds one section, and not the whole report.
    pub const fn has_one_section(self) -> bool {
        match self {
            Self::Csv => true,
            Self::Json | Self::Xlsx | Self::Html => false,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| format!("there is no format {text:?}: there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

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
