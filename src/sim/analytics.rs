//! The aggregation queries of a tenant (guide 002): how many may run at once, the status of each, and its rows page
//! by page. Pure.
//!
//! [`query_rows`] computes every value without storing any; [`query_request`] says what may be asked.

pub(super) mod query_request;
mod query_rows;

use std::time::Duration;

use serde_json::{Value, json};

use self::query_request::QueryRequest;
use super::faults::FaultKind;
use super::wire::Problem;
use crate::clock::{Random, SystemRandom};
use crate::domain::ids::{PlatformQueryId, TenantId};
use crate::domain::time::UtcMicros;

/// The most running queries of a tenant (guide 002).
const MAX_RUNNING: usize = 5;

/// The most queries that are kept; beyond it the oldest finished one is forgotten.
const MAX_REMEMBERED: usize = 200;

/// The most rows of one page.
const MAX_PAGE_ROWS: usize = 1_000;

/// The default number of rows of a page.
const DEFAULT_PAGE_ROWS: usize = 500;

/// How a query will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueryOutcome {
    Done,
    Failed,
    Never,
}

#[derive(Debug)]
struct Query {
    id: PlatformQueryId,
    request: QueryRequest,
    submitted: UtcMicros,
    duration: Duration,
    outcome: QueryOutcome,
}

impl Query {
    fn is_running_at(&self, now: UtcMicros) -> bool {
        self.outcome == QueryOutcome::Never || now < self.submitted + self.duration
    }
}

/// The queries of one tenant.
#[derive(Debug)]
pub(super) struct Analytics {
    /// The seed of the values, together with the tenant's id.
    seed: u64,
    /// How long a query takes.
    query_duration: Duration,
    queries: Vec<Query>,
}

impl Analytics {
    /// Creates an empty set.
    pub(super) fn new(seed: u64, query_duration: Duration) -> Self {
        Self { seed, query_duration, queries: Vec::new() }
    }

    /// Accepts a query; a fault may decide how it ends, and `extra_delay` is added to its duration.
    pub(super) fn submit(
        &mut self,
        request: QueryRequest,
        fault: Option<FaultKind>,
        extra_delay: Duration,
        now: UtcMicros,
    ) -> Result<PlatformQueryId, Problem> {
        let running = self.queries.iter().filter(|query| query.is_running_at(now));
        let ends: Vec<Duration> = running.map(|query| (query.submitted + query.duration).since(now)).collect();
        if ends.len() >= MAX_RUNNING {
            let wait = ends.into_iter().min().unwrap_or_default();
            return Err(Problem::too_many(wait, "five queries of the tenant are running"));
        }
        if self.queries.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.queries.iter().position(|query| !query.is_running_at(now))
        {
            self.queries.remove(oldest);
        }
        let outcome = match fault {
            Some(FaultKind::FailQuery) => QueryOutcome::Failed,
            Some(FaultKind::NeverFinish) => QueryOutcome::Never,
            Some(_) | None => QueryOutcome::Done,
        };
        let id = PlatformQueryId::from(format!("qry_{}", SystemRandom.random_id().simple()));
        self.queries.push(Query {
            id: id.clone(),
            request,
            submitted: now,
            duration: self.query_duration + extra_delay,
            outcome,
        });
        Ok(id)
    }

    /// Forgets every query, as a restart of the service does.
    pub(super) fn clear(&mut self) {
        self.queries.clear();
    }

    /// Returns the answer about a query: its status, and the requested page if it is done. Returns `None` if the
    /// query is unknown.
    pub(super) fn query_response(
        &self,
        tenant: &TenantId,
        id: &str,
        page: PageRequest,
        fault: Option<FaultKind>,
        now: UtcMicros,
    ) -> Option<Value> {
        let query = self.queries.iter().find(|query| query.id.as_str() == id)?;
        let status = |status: &str| json!({ "id": query.id, "status": status });
        if now < query.submitted + query.duration / 2 {
            return Some(status("PENDING"));
        }
        if query.is_running_at(now) {
            return Some(status("RUNNING"));
        }
        if query.outcome == QueryOutcome::Failed {
            let mut failed = status("FAILED");
            failed["error"] = "the aggregation ran out of memory".into();
            return Some(failed);
        }
        let rows = query_rows::QueryRows::new(self.seed, tenant, &query.request);
        let mut done = status("COMPLETED");
        done["total"] = rows.len().into();
        let page_rows = page.rows(rows.len(), fault);
        let results: Vec<Value> = page_rows.filter_map(|place| rows.row(place)).collect();
        done["results"] = with_garbled_values(results, fault).into();
        Some(done)
    }
}

/// The page of rows that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRequest {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl PageRequest {
    /// Parses `limit` and `offset` from the query string; both are optional.
    pub(super) fn parse(limit: Option<&str>, offset: Option<&str>) -> Result<Self, Problem> {
        let number = |name: &str, text: Option<&str>, usual: usize| match text {
            None => Ok(usual),
            Some(text) => text.parse().map_err(|_| Problem::bad(format!("{name} {text:?} is no whole number"))),
        };
        let limit = number("limit", limit, DEFAULT_PAGE_ROWS)?;
        if limit == 0 || limit > MAX_PAGE_ROWS {
            return Err(Problem::bad(format!("limit is 1 to {MAX_PAGE_ROWS}")));
        }
        Ok(Self { offset: number("offset", offset, 0)?, limit })
    }

    /// Returns the range of the page's rows, as changed by a fault: a page after the first omits its first row or
    /// begins with the last row of the page before, or nothing follows the first half.
    fn rows(self, all: usize, fault: Option<FaultKind>) -> std::ops::Range<usize> {
        let later = self.offset > 0;
        let from = match fault {
            Some(FaultKind::SkipRows) if later => self.offset + 1,
            Some(FaultKind::Repeat) if later => self.offset - 1,
            Some(_) | None => self.offset,
        };
        let end = if fault == Some(FaultKind::StopShort) { all / 2 } else { all };
        from.min(end)..from.saturating_add(self.limit).min(end)
    }
}

/// Garbles the values of rows if a fault requires it.
fn with_garbled_values(mut rows: Vec<Value>, fault: Option<FaultKind>) -> Vec<Value> {
    for (at, row) in rows.iter_mut().enumerate() {
        let (path, value) = match (fault, at % 4) {
            (Some(FaultKind::WrongTypes), 0) => ("/metrics/0/value", json!("several")),
            (Some(FaultKind::WrongTypes), 1) => ("/timeSeries", json!(1_790_000_000_000_i64)),
            (Some(FaultKind::WrongTypes), 2) => ("/metrics", json!({ "count": 7 })),
            (Some(FaultKind::WrongTypes), _) => ("/metrics/0", Value::Null),
            (Some(FaultKind::Nonsense), 0) => ("/timeSeries", json!("9999-12-31T23:59:59.999Z")),
            (Some(FaultKind::Nonsense), 1) => ("/metrics/0/name", json!("phase_of_the_moon")),
            (Some(FaultKind::Nonsense), 2) => ("/timeSeries", json!("2026-02-30T25:61:00Z")),
            (Some(FaultKind::Nonsense), _) => ("/timeSeries", json!("2026-01-01T00:00:01Z")),
            _ => return rows,
        };
        if let Some(field) = row.pointer_mut(path) {
            *field = value;
        }
    }
    rows
}
