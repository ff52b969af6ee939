//! Parquet: one section with typed columns, in row groups that are written as they fill; and a reader for `report
//! verify`.
//!
//! Only in builds with the feature `parquet`. All values are exact: durations are decimals with six places, instants
//! are microseconds in UTC. The rows do not say why a cell is empty; the manifest and the file's metadata count the
//! reasons.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::{Span, ToSpan};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Decimal, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;

use super::provenance::{self, PROGRAM};
use super::writer::Writer;
use crate::domain::time::UtcMicros;
use crate::report::document::{Cell, CellKind, Column, Heading, Section, Sink, WriteError};
use crate::report::tally::SectionTally;

/// The number of rows at which a row group is written.
const MAX_BUFFERED_ROWS: usize = 65_536;

/// The approximate size of the cells, in bytes, at which a row group is written.
const MAX_BUFFERED_BYTES: usize = 8 << 20;

/// The longest duration in microseconds that a decimal of 18 places holds, some 31,000 years.
const MAX_SPAN: u64 = 999_999_999_999_999_999;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// Returns the I/O error behind a Parquet error, with its kind.
fn parquet_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

/// Returns the columns of a section as a Parquet schema.
fn schema(section: &Section) -> String {
    let mut text = format!("message {} {{", section.name.replace('-', "_"));
    for column in section.columns {
        let (kind, meaning) = match column.kind {
            CellKind::Text => ("BYTE_ARRAY", " (STRING)"),
            CellKind::Count => ("INT64", ""),
            CellKind::Number | CellKind::Share => ("DOUBLE", ""),
            CellKind::Seconds => ("INT64", " (DECIMAL(18,6))"),
            CellKind::Instant => ("INT64", " (TIMESTAMP(MICROS,true))"),
            CellKind::Day => ("INT32", " (DATE)"),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, " OPTIONAL {kind} {}{meaning};", column.name);
    }
    text.push_str(" }");
    text
}

/// The cells of a column that are not written yet.
#[derive(Debug)]
enum Values {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    Fraction(Vec<f64>),
    Days(Vec<i32>),
}

#[derive(Debug)]
struct ColumnBuffer {
    /// The definition levels: 1 for a value, 0 for an empty cell.
    levels: Vec<i16>,
    values: Values,
}

impl ColumnBuffer {
    fn of(column: &Column) -> Self {
        let values = match column.kind {
            CellKind::Text => Values::Text(Vec::new()),
            CellKind::Count | CellKind::Seconds | CellKind::Instant => Values::Whole(Vec::new()),
            CellKind::Number | CellKind::Share => Values::Fraction(Vec::new()),
            CellKind::Day => Values::Days(Vec::new()),
        };
        Self { levels: Vec::new(), values }
    }

    /// Adds a cell and returns its approximate size in bytes. Returns `None` if the column cannot hold it.
    fn push(&mut self, kind: CellKind, cell: &Cell) -> Option<usize> {
        if let Cell::Empty(_) = cell {
            self.levels.push(0);
            return Some(size_of::<i16>());
        }
        let bytes = match (&mut self.values, kind, cell) {
            (Values::Text(values), _, Cell::Text(text)) => {
                values.push(ByteArray::from(text.as_bytes().to_vec()));
                text.len() + size_of::<ByteArray>()
            }
            (Values::Whole(values), CellKind::Count, Cell::Count(count)) => {
                values.push(*count);
                size_of::<i64>()
            }
            (Values::Whole(values), CellKind::Seconds, Cell::Seconds(micros)) if micros.unsigned_abs() <= MAX_SPAN => {
                values.push(*micros);
                size_of::<i64>()
            }
            (Values::Whole(values), CellKind::Instant, Cell::Instant(at)) => {
                values.push(at.as_micros());
                size_of::<i64>()
            }
            (Values::Fraction(values), CellKind::Number, Cell::Number(number))
            | (Values::Fraction(values), CellKind::Share, Cell::Share(number)) => {
                values.push(*number);
                size_of::<f64>()
            }
            (Values::Days(values), _, Cell::Day(day)) => {
                values.push(day.since(EPOCH).ok()?.get_days());
                size_of::<i32>()
            }
            _ => return None,
        };
        self.levels.push(1);
        Some(bytes + size_of::<i16>())
    }

    fn clear(&mut self) {
        self.levels.clear();
        match &mut self.values {
            Values::Text(values) => values.clear(),
            Values::Whole(values) => values.clear(),
            Values::Fraction(values) => values.clear(),
            Values::Days(values) => values.clear(),
        }
    }
}

/// The Parquet writer.
pub struct Parquet<W: Write + Send> {
    heading: Heading,
    /// The output, until the section begins.
    out: Option<W>,
    file: Option<SerializedFileWriter<W>>,
    columns: Vec<(&'static Column, ColumnBuffer)>,
    rows: usize,
    bytes: usize,
}

impl<W: Write + Send> Parquet<W> {
    /// Creates a writer into `out`.
    pub fn new(heading: &Heading, out: W) -> Self {
        Self { heading: heading.clone(), out: Some(out), file: None, columns: Vec::new(), rows: 0, bytes: 0 }
    }

    /// Writes the buffered rows as a row group.
    fn flush(&mut self) -> Result<(), ParquetError> {
        let Some(file) = self.file.as_mut().filter(|_| self.rows > 0) else { return Ok(()) };
        let mut group = file.next_row_group()?;
        for (_, buffer) in &mut self.columns {
            let Some(mut column) = group.next_column()? else { break };
            let levels = Some(buffer.levels.as_slice());
            match &buffer.values {
                Values::Text(values) => column.typed::<ByteArrayType>().write_batch(values, levels, None)?,
                Values::Whole(values) => column.typed::<Int64Type>().write_batch(values, levels, None)?,
                Values::Fraction(values) => column.typed::<DoubleType>().write_batch(values, levels, None)?,
                Values::Days(values) => column.typed::<Int32Type>().write_batch(values, levels, None)?,
            };
            column.close()?;
            buffer.clear();
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl<W: Write + Send> Sink for Parquet<W> {
    fn section(&mut self, section: &'static Section) -> Result<(), WriteError> {
        let Some(out) = self.out.take() else {
            return Err(io::Error::other("a Parquet file holds one section").into());
        };
        let schema = Arc::new(parse_message_type(&schema(section)).map_err(parquet_error)?);
        let properties =
            WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by(PROGRAM.to_owned()).build();
        self.file = Some(SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(parquet_error)?);
        self.columns = section.columns.iter().map(|column| (column, ColumnBuffer::of(column))).collect();
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> Result<(), WriteError> {
        for ((column, buffer), cell) in self.columns.iter_mut().zip(cells) {
            let Some(bytes) = buffer.push(column.kind, cell) else {
                let what = format!("the column {} has a cell that it cannot hold", column.name);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what).into());
            };
            self.bytes += bytes;
        }
        self.rows += 1;
        if self.rows >= MAX_BUFFERED_ROWS || self.bytes >= MAX_BUFFERED_BYTES {
            self.flush().map_err(parquet_error)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        Ok(self.flush().map_err(parquet_error)?)
    }
}

impl<W: Write + Send> Writer for Parquet<W> {
    fn finish(&mut self, tallies: &[SectionTally]) -> Result<(), WriteError> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("a Parquet file without a section").into());
        };
        for (what, value) in metadata(&self.heading, tallies) {
            file.append_key_value_metadata(KeyValue::new(what, value));
        }
        file.finish().map_err(parquet_error)?;
        Ok(())
    }
}

/// Returns the file's metadata, each key once, since readers treat it as a map. A key with several values has one
/// line per value.
fn metadata(heading: &Heading, tallies: &[SectionTally]) -> Vec<(String, String)> {
    let definitions = heading.definitions.iter().map(|definition| {
        let mut value = definition.formula.to_string();
        if !definition.source.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(value, " ({})", definition.source);
        }
        (format!("Definition of {}", definition.name), value)
    });
    let mut all: Vec<(String, String)> = Vec::new();
    for (what, value) in provenance::lines(heading, tallies).into_iter().chain(definitions) {
        match all.iter_mut().find(|(known, _)| *known == what) {
            Some((_, known)) => {
                known.push('\n');
                known.push_str(&value);
            }
            None => all.push((what, value)),
        }
    }
    all
}

/// A reader of a file's rows.
pub struct ParquetRows {
    columns: Vec<String>,
    file: SerializedFileReader<File>,
    /// The number of row groups opened so far.
    next_group: usize,
    /// The rows of the current row group.
    open_group: Option<ReaderIter>,
}

impl ParquetRows {
    /// Opens a file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is not a Parquet file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = SerializedFileReader::new(File::open(path)?).map_err(parquet_error)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let columns = schema.columns().iter().map(|column| column.name().to_owned()).collect();
        Ok(Self { columns, file, next_group: 0, open_group: None })
    }

    /// Returns whether the file has these columns.
    pub fn has_columns(&self, columns: &[Column]) -> bool {
        self.columns.iter().eq(columns.iter().map(|column| column.name))
    }

    /// Reads the next row by the kinds of the columns. A cell that cannot be read is `None`.
    ///
    /// # Errors
    /// Returns an error if the file is truncated or corrupt.
    pub fn next(&mut self, columns: &[Column]) -> io::Result<Option<Vec<Option<Cell>>>> {
        let Some(row) = self.read_row().map_err(parquet_error)? else { return Ok(None) };
        let fields = row.into_columns();
        Ok(Some(columns.iter().zip(fields).map(|(column, (_, field))| parse_cell(column.kind, field)).collect()))
    }

    /// Opens one row group after another, because the crate's iterator over all of them panics if one cannot be
    /// opened.
    fn read_row(&mut self) -> Result<Option<Row>, ParquetError> {
        loop {
            if let Some(row) = self.open_group.as_mut().and_then(Iterator::next) {
                return row.map(Some);
            }
            if self.next_group == self.file.num_row_groups() {
                return Ok(None);
            }
            let group = self.file.get_row_group(self.next_group)?;
            self.next_group += 1;
            let schema = self.file.metadata().file_metadata().schema_descr_ptr();
            self.open_group = Some(TreeBuilder::new().as_iter(schema, &*group)?);
        }
    }
}

fn parse_cell(kind: CellKind, field: Field) -> Option<Cell> {
    Some(match (kind, field) {
        (_, Field::Null) => Cell::Empty(""),
        (CellKind::Text, Field::Str(text)) => Cell::text(text),
        (CellKind::Count, Field::Long(count)) => Cell::Count(count),
        (CellKind::Number, Field::Double(number)) => Cell::Number(number),
        (CellKind::Share, Field::Double(share)) => Cell::Share(share),
        (CellKind::Seconds, Field::Decimal(seconds)) => Cell::Seconds(unscaled(&seconds)?),
        (CellKind::Instant, Field::TimestampMicros(micros)) => Cell::Instant(UtcMicros::from_micros(micros)),
        (CellKind::Day, Field::Date(days)) => {
            let span: Span = i64::from(days).days();
            Cell::Day(EPOCH.checked_add(span).ok()?)
        }
        _ => return None,
    })
}

fn unscaled(decimal: &Decimal) -> Option<i64> {
    Some(i64::from_be_bytes(decimal.data().try_into().ok()?))
}
