//! Reads one part of a query's result page by page and checks that the pages are consecutive, that no row comes twice,
//! that each row belongs to the query, and that the number of rows is as promised.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::query_result::PartResult;
use super::{AggregationQuery, MAX_RESULT_ROWS, QuerySpan, ResultError, ResultErrorKind, ResultPage, ResultRow};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;

/// The progress after a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadProgress {
    /// Request the page that begins at `offset`.
    NextPage {
        /// The position of its first row.
        offset: u64,
    },
    /// All rows have been received.
    Complete,
}

type RowKey = (UtcMicros, Vec<Option<Arc<str>>>);

/// A part that is being read.
#[derive(Debug)]
pub struct PartReader {
    query: AggregationQuery,
    span: QuerySpan,
    page_rows: usize,
    /// The starts of the part's buckets, ascending.
    bucket_starts: Vec<UtcMicros>,
    rows: Vec<ResultRow>,
    /// The index of each row received.
    index_by_key: HashMap<RowKey, usize>,
    promised: Option<u64>,
    /// Whether the first page has been read.
    has_first_page: bool,
    is_complete: bool,
}

impl PartReader {
    /// Creates a reader for a part of a query's span, with pages of at most `page_rows` rows.
    pub fn new(query: &AggregationQuery, span: QuerySpan, page_rows: u32) -> Self {
        Self {
            bucket_starts: query.bucket_starts(span),
            query: query.clone(),
            span,
            page_rows: usize::try_from(page_rows).unwrap_or(usize::MAX).max(1),
            rows: Vec::new(),
            index_by_key: HashMap::new(),
            promised: None,
            has_first_page: false,
            is_complete: false,
        }
    }

    /// Returns where the next page begins.
    pub fn next_offset(&self) -> u64 {
        to_u64(self.rows.len())
    }

    /// Returns the number of rows received so far.
    pub fn received(&self) -> u64 {
        to_u64(self.rows.len())
    }

    /// Returns the total number of rows, if the platform gave it.
    pub fn promised(&self) -> Option<u64> {
        self.promised
    }

    /// Adds the page at [`Self::next_offset`]. After an error the part is unusable and must be read from the start.
    pub fn add_page(&mut self, page: ResultPage) -> Result<ReadProgress, ResultError> {
        let requested_offset = self.next_offset();
        let location = format!("page at {requested_offset}");
        if self.is_complete {
            return Err(self.error(ResultErrorKind::CountMismatch, &location, "another page came after the last"));
        }
        if page.offset != requested_offset {
            let kind = if page.offset > requested_offset { ResultErrorKind::Gap } else { ResultErrorKind::Duplicate };
            return Err(self.error(kind, &location, format!("the page begins at row {}", page.offset)));
        }
        self.set_promised(page.promised, &location)?;
        let row_count = page.rows.len();
        if row_count > self.page_rows {
            let problem =
                format!("it has {}, where {} were asked for", count_with_noun(row_count, "row"), self.page_rows);
            return Err(self.error(ResultErrorKind::TooMany, &location, problem));
        }
        for (number, row) in page.rows.into_iter().enumerate() {
            self.add_row(row, &format!("{location}, results[{number}]"))?;
        }
        self.update_progress(row_count, &location)
    }

    /// Returns the part once all of it was read.
    pub fn finish(self) -> Result<PartResult, ResultError> {
        if !self.is_complete {
            let location = format!("page at {}", self.next_offset());
            return Err(self.error(ResultErrorKind::Gap, &location, "it and all after it are missing"));
        }
        Ok(PartResult { span: self.span, rows: self.rows, promised: self.promised })
    }

    fn set_promised(&mut self, promised: Option<u64>, location: &str) -> Result<(), ResultError> {
        if self.has_first_page && promised != self.promised {
            let problem = format!(
                "announced rows: {} here, {} on the page before",
                PromisedCount(promised),
                PromisedCount(self.promised)
            );
            return Err(self.error(ResultErrorKind::CountMismatch, location, problem));
        }
        if promised.is_some_and(|promised| promised > to_u64(MAX_RESULT_ROWS)) {
            let problem =
                format!("{} rows are announced, and at most {MAX_RESULT_ROWS} are accepted", PromisedCount(promised));
            return Err(self.error(ResultErrorKind::TooMany, location, problem));
        }
        self.promised = promised;
        self.has_first_page = true;
        Ok(())
    }

    fn add_row(&mut self, row: ResultRow, location: &str) -> Result<(), ResultError> {
        if let Some((field, problem)) = self.find_mismatch(&row) {
            return Err(self.error(ResultErrorKind::ForeignRow, &format!("{location}.{field}"), problem));
        }
        if self.rows.len() == MAX_RESULT_ROWS {
            return Err(self.error(
                ResultErrorKind::TooMany,
                location,
                format!("no more than {MAX_RESULT_ROWS} rows fit"),
            ));
        }
        let index = self.rows.len();
        if let Some(previous_index) = self.index_by_key.insert((row.at, row.dimensions.clone()), index) {
            let problem = format!("the row came before, as number {previous_index} of all");
            return Err(self.error(ResultErrorKind::Duplicate, location, problem));
        }
        self.rows.push(row);
        Ok(())
    }

    /// Returns the field and the problem if a row cannot belong to this query.
    fn find_mismatch(&self, row: &ResultRow) -> Option<(String, String)> {
        let (metrics, dimensions) = (self.query.metrics.len(), self.query.dimensions.len());
        if row.metrics.len() != metrics {
            return Some(("metrics".to_owned(), format!("there are {}, not {metrics}", row.metrics.len())));
        }
        if row.dimensions.len() != dimensions {
            return Some(("dimensions".to_owned(), format!("there are {}, not {dimensions}", row.dimensions.len())));
        }
        if !self.span.contains(row.at) {
            return Some(("timeSeries".to_owned(), format!("{} is not within {}", row.at, self.span)));
        }
        if self.bucket_starts.binary_search(&row.at).is_err() {
            let (bucket, zone) = (self.query.bucket, self.query.zone_name());
            return Some((
                "timeSeries".to_owned(),
                format!("no bucket of one {bucket} in {zone} begins at {}", row.at),
            ));
        }
        let filter = self.query.filter.as_ref()?;
        let filtered_index = self.query.dimensions.iter().position(|name| *name == filter.field)?;
        let value = row.dimensions.get(filtered_index)?.as_deref();
        let problem = || format!("it is {:?}, and only {:?} was asked for", value.unwrap_or_default(), filter.value);
        (value != Some(&*filter.value)).then(|| (format!("dimensions[{filtered_index}]"), problem()))
    }

    /// Returns the progress after a page. Without a promised count, a page that is not full is the last. With one, the
    /// platform may send fewer rows than requested, but at least one before all rows were received.
    fn update_progress(&mut self, row_count: usize, location: &str) -> Result<ReadProgress, ResultError> {
        let received = self.received();
        let count_mismatch = |reader: &Self, promised: u64| {
            let problem = format!("{} of {promised} announced rows arrived", count_with_noun(received, "row"));
            Err(reader.error(ResultErrorKind::CountMismatch, location, problem))
        };
        self.is_complete = match self.promised {
            Some(promised) if received > promised => return count_mismatch(self, promised),
            Some(promised) if row_count == 0 && received < promised => return count_mismatch(self, promised),
            Some(promised) => received == promised,
            None => row_count < self.page_rows,
        };
        Ok(if self.is_complete { ReadProgress::Complete } else { ReadProgress::NextPage { offset: received } })
    }

    fn error(&self, kind: ResultErrorKind, location: &str, problem: impl Into<String>) -> ResultError {
        let full_location = format!("{}, {location}", self.span);
        ResultError { query: Arc::clone(&self.query.name), location: full_location, kind, problem: problem.into() }
    }
}

/// A promised count, or none.
struct PromisedCount(Option<u64>);

impl fmt::Display for PromisedCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rows) => rows.fmt(f),
            None => f.write_str("none"),
        }
    }
}

fn to_u64(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
