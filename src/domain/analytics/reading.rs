//! Reads one part of a query's result page by page, and believes nothing: that the pages follow each other, that no row comes
//! twice, that each is of this query, and that there are as many as promised.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::joined::PartResult;
use super::{AggregationQuery, MOST_ROWS, QuerySpan, ResultFault, ResultFaultKind, ResultPage, ResultRow};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;

/// What is left to do after a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Ask for the page that begins there.
    More {
        /// The place of its first row.
        offset: u64,
    },
    /// Every row is here.
    Whole,
}

type Identity = (UtcMicros, Vec<Option<Arc<str>>>);

/// One part while it is read.
#[derive(Debug)]
pub struct PartReader {
    query: AggregationQuery,
    span: QuerySpan,
    page_rows: usize,
    /// Where the buckets of the part begin, rising.
    borders: Vec<UtcMicros>,
    rows: Vec<ResultRow>,
    /// The place of each row that came.
    met: HashMap<Identity, usize>,
    promised: Option<u64>,
    /// The first page has been read.
    begun: bool,
    whole: bool,
}

impl PartReader {
    /// Reads a part of a query's span, which comes in pages of at most `page_rows` rows.
    pub fn new(query: &AggregationQuery, span: QuerySpan, page_rows: u32) -> Self {
        Self {
            borders: query.borders(span),
            query: query.clone(),
            span,
            page_rows: usize::try_from(page_rows).unwrap_or(usize::MAX).max(1),
            rows: Vec::new(),
            met: HashMap::new(),
            promised: None,
            begun: false,
            whole: false,
        }
    }

    /// Where the next page begins.
    pub fn next_offset(&self) -> u64 {
        wide(self.rows.len())
    }

    /// How many rows have come so far.
    pub fn received(&self) -> u64 {
        wide(self.rows.len())
    }

    /// How many rows there are to come in all, where the platform said it.
    pub fn promised(&self) -> Option<u64> {
        self.promised
    }

    /// Takes the page at [`Self::next_offset`]. After a fault the part is spoilt: begin anew.
    pub fn take(&mut self, page: ResultPage) -> Result<Reading, ResultFault> {
        let asked = self.next_offset();
        let place = format!("page at {asked}");
        if self.whole {
            return Err(self.fault(ResultFaultKind::Count, &place, "another page came after the last"));
        }
        if page.offset != asked {
            let kind = if page.offset > asked { ResultFaultKind::Gap } else { ResultFaultKind::Repeat };
            return Err(self.fault(kind, &place, format!("the page begins at row {}", page.offset)));
        }
        self.note_promise(page.promised, &place)?;
        let came = page.rows.len();
        if came > self.page_rows {
            let what = format!("it has {}, where {} were asked for", count(came, "row"), self.page_rows);
            return Err(self.fault(ResultFaultKind::TooMany, &place, what));
        }
        for (number, row) in page.rows.into_iter().enumerate() {
            self.take_row(row, &format!("{place}, results[{number}]"))?;
        }
        self.settle(came, &place)
    }

    /// The part, once it is whole.
    pub fn finish(self) -> Result<PartResult, ResultFault> {
        if !self.whole {
            let place = format!("page at {}", self.next_offset());
            return Err(self.fault(ResultFaultKind::Gap, &place, "it and all after it are missing"));
        }
        Ok(PartResult { span: self.span, rows: self.rows, promised: self.promised })
    }

    fn note_promise(&mut self, promised: Option<u64>, place: &str) -> Result<(), ResultFault> {
        if self.begun && promised != self.promised {
            let what = format!("{} are promised, where it were {} before", Promise(promised), Promise(self.promised));
            return Err(self.fault(ResultFaultKind::Count, place, what));
        }
        if promised.is_some_and(|promised| promised > wide(MOST_ROWS)) {
            let what = format!("{} rows are promised, and {MOST_ROWS} fit", Promise(promised));
            return Err(self.fault(ResultFaultKind::TooMany, place, what));
        }
        self.promised = promised;
        self.begun = true;
        Ok(())
    }

    fn take_row(&mut self, row: ResultRow, place: &str) -> Result<(), ResultFault> {
        if let Some((field, what)) = self.foreign(&row) {
            return Err(self.fault(ResultFaultKind::Foreign, &format!("{place}.{field}"), what));
        }
        if self.rows.len() == MOST_ROWS {
            return Err(self.fault(ResultFaultKind::TooMany, place, format!("no more than {MOST_ROWS} rows fit")));
        }
        let here = self.rows.len();
        if let Some(before) = self.met.insert((row.at, row.dimensions.clone()), here) {
            let what = format!("the row came before, as number {before} of all");
            return Err(self.fault(ResultFaultKind::Repeat, place, what));
        }
        self.rows.push(row);
        Ok(())
    }

    /// Why a row cannot be of this query: the field, and what is wrong with it.
    fn foreign(&self, row: &ResultRow) -> Option<(String, String)> {
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
        if self.borders.binary_search(&row.at).is_err() {
            let (bucket, zone) = (self.query.bucket, self.query.zone_name());
            return Some((
                "timeSeries".to_owned(),
                format!("no bucket of one {bucket} in {zone} begins at {}", row.at),
            ));
        }
        let filter = self.query.filter.as_ref()?;
        let filtered = self.query.dimensions.iter().position(|name| *name == filter.field)?;
        let value = row.dimensions.get(filtered)?.as_deref();
        let what = || format!("it is {:?}, and only {:?} was asked for", value.unwrap_or_default(), filter.value);
        (value != Some(&*filter.value)).then(|| (format!("dimensions[{filtered}]"), what()))
    }

    /// Whether it is the last page. Without a promise a page that is not full is; with one a platform may send less than was asked
    /// for, but never nothing before all is there.
    fn settle(&mut self, came: usize, place: &str) -> Result<Reading, ResultFault> {
        let received = self.received();
        let counted = |reader: &Self, promised: u64| {
            let what = format!("{} came of {promised} that were promised", count(received, "row"));
            Err(reader.fault(ResultFaultKind::Count, place, what))
        };
        self.whole = match self.promised {
            Some(promised) if received > promised => return counted(self, promised),
            Some(promised) if came == 0 && received < promised => return counted(self, promised),
            Some(promised) => received == promised,
            None => came < self.page_rows,
        };
        Ok(if self.whole { Reading::Whole } else { Reading::More { offset: received } })
    }

    fn fault(&self, kind: ResultFaultKind, place: &str, what: impl Into<String>) -> ResultFault {
        let place = format!("{}, {place}", self.span);
        ResultFault { query: Arc::clone(&self.query.name), place, kind, what: what.into() }
    }
}

/// A promised count, or that there is none.
struct Promise(Option<u64>);

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rows) => rows.fmt(f),
            None => f.write_str("none"),
        }
    }
}

fn wide(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
