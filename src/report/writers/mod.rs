//! The file formats of reports. A writer takes rows as they come and keeps as few of them in memory as its format
//! allows.

pub mod chart;
pub mod csv;
pub mod html;
pub mod json;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod provenance;
pub mod table_layout;
mod writer;
pub mod xlsx;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

pub use self::writer::{LimitedWriter, Writer};
use super::document::{Heading, WriteError};
pub use crate::domain::reports::report_run::ReportFormat;

/// Opens a writer of a report with this heading into `file`; `folder` is for temporary files.
pub fn open_writer(
    format: ReportFormat,
    heading: &Heading,
    file: File,
    folder: &Path,
    max_bytes: u64,
) -> Result<Box<dyn Writer>, WriteError> {
    let out = LimitedWriter::new(BufWriter::with_capacity(1 << 16, file), max_bytes);
    Ok(match format {
        ReportFormat::Csv => Box::new(csv::Csv::new(heading, out)),
        ReportFormat::Json => Box::new(json::Json::new(heading, out)?),
        ReportFormat::Xlsx => Box::new(xlsx::Xlsx::new(heading, out, folder)?),
        ReportFormat::Html => Box::new(html::Html::new(heading, out)),
        #[cfg(feature = "parquet")]
        ReportFormat::Parquet => Box::new(parquet::Parquet::new(heading, out)),
        #[cfg(not(feature = "parquet"))]
        ReportFormat::Parquet => return Err(std::io::Error::from(std::io::ErrorKind::Unsupported).into()),
    })
}
