//! The aggregation queries of a tenant (guide 002): how many may run at once, how each stands, and its rows page by page. Pure.
//!
//! A query is answered from [`cube`], which knows every value without holding any; what may be asked stands in [`ask`].

pub(super) mod ask;
mod cube;

use std::time::Duration;

use serde_json::{Value, json};

use self::ask::Asked;
use super::faults::Kind;
use super::wire::Problem;
use crate::clock::{Random, SystemRandom};
use crate::domain::ids::{QueryId, TenantId};
use crate::domain::time::UtcMicros;

/// The most queries that a tenant may have running at once (guide 002).
const MOST_RUNNING: usize = 5;

/// The most queries that are remembered; beyond it the oldest that is done is forgotten.
const MOST_KEPT: usize = 200;

/// The most rows of one page.
const MOST_ROWS: usize = 1_000;

/// Rows of a page where the request does not say.
const USUAL_ROWS: usize = 500;

/// How a query will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Failed,
    Never,
}

#[derive(Debug)]
struct Query {
    id: QueryId,
    asked: Asked,
    submitted: UtcMicros,
    takes: Duration,
    fate: Fate,
}

impl Query {
    fn runs_at(&self, now: UtcMicros) -> bool {
        self.fate == Fate::Never || now < self.submitted + self.takes
    }
}

/// The queries of one tenant.
#[derive(Debug)]
pub(super) struct Analytics {
    /// Decides the values, with the tenant's id.
    seed: u64,
    /// How long a query takes.
    takes: Duration,
    list: Vec<Query>,
}

impl Analytics {
    /// None yet.
    pub(super) fn new(seed: u64, takes: Duration) -> Self {
        Self { seed, takes, list: Vec::new() }
    }

    /// Takes a query; a fault may decide how it ends, and `late` how much longer it takes.
    pub(super) fn submit(
        &mut self,
        asked: Asked,
        fault: Option<Kind>,
        late: Duration,
        now: UtcMicros,
    ) -> Result<QueryId, Problem> {
        let running = self.list.iter().filter(|query| query.runs_at(now));
        let ends: Vec<Duration> = running.map(|query| (query.submitted + query.takes).since(now)).collect();
        if ends.len() >= MOST_RUNNING {
            let wait = ends.into_iter().min().unwrap_or_default();
            return Err(Problem::too_many(wait, "five queries of the tenant are running"));
        }
        if self.list.len() >= MOST_KEPT
            && let Some(oldest) = self.list.iter().position(|query| !query.runs_at(now))
        {
            self.list.remove(oldest);
        }
        let fate = match fault {
            Some(Kind::FailQuery) => Fate::Failed,
            Some(Kind::NeverFinish) => Fate::Never,
            Some(_) | None => Fate::Done,
        };
        let id = QueryId::from(format!("qry_{}", SystemRandom.opaque_id().simple()));
        self.list.push(Query { id: id.clone(), asked, submitted: now, takes: self.takes + late, fate });
        Ok(id)
    }

    /// Every query is forgotten, as a restart of the service does.
    pub(super) fn forget_all(&mut self) {
        self.list.clear();
    }

    /// The answer about a query: how it stands, and the page that is asked for where it is done. None where it is not known.
    pub(super) fn look(
        &self,
        tenant: &TenantId,
        id: &str,
        page: PageAsked,
        fault: Option<Kind>,
        now: UtcMicros,
    ) -> Option<Value> {
        let query = self.list.iter().find(|query| query.id.as_str() == id)?;
        let status = |status: &str| json!({ "id": query.id, "status": status });
        if now < query.submitted + query.takes / 2 {
            return Some(status("PENDING"));
        }
        if query.runs_at(now) {
            return Some(status("RUNNING"));
        }
        if query.fate == Fate::Failed {
            let mut failed = status("FAILED");
            failed["error"] = "the aggregation ran out of memory".into();
            return Some(failed);
        }
        let rows = cube::Cube::new(self.seed, tenant, &query.asked);
        let mut done = status("COMPLETED");
        done["total"] = rows.len().into();
        let wanted = page.rows(rows.len(), fault);
        let results: Vec<Value> = wanted.filter_map(|place| rows.row(place)).collect();
        done["results"] = spoilt(results, fault).into();
        Some(done)
    }
}

/// Which rows a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageAsked {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl PageAsked {
    /// Reads `limit` and `offset` as they stand behind the `?`; both may be left out.
    pub(super) fn read(limit: Option<&str>, offset: Option<&str>) -> Result<Self, Problem> {
        let number = |name: &str, text: Option<&str>, usual: usize| match text {
            None => Ok(usual),
            Some(text) => text.parse().map_err(|_| Problem::bad(format!("{name} {text:?} is no whole number"))),
        };
        let limit = number("limit", limit, USUAL_ROWS)?;
        if limit == 0 || limit > MOST_ROWS {
            return Err(Problem::bad(format!("limit is 1 to {MOST_ROWS}")));
        }
        Ok(Self { offset: number("offset", offset, 0)?, limit })
    }

    /// The places of its rows among all, as a fault has them: a page after the first leaves out the row that it begins with, or
    /// begins with the last of the page before; or there is nothing beyond the first half.
    fn rows(self, all: usize, fault: Option<Kind>) -> std::ops::Range<usize> {
        let later = self.offset > 0;
        let from = match fault {
            Some(Kind::SkipRows) if later => self.offset + 1,
            Some(Kind::Repeat) if later => self.offset - 1,
            Some(_) | None => self.offset,
        };
        let end = if fault == Some(Kind::StopShort) { all / 2 } else { all };
        from.min(end)..from.saturating_add(self.limit).min(end)
    }
}

/// Rows with values that they must not have, where a fault wants it.
fn spoilt(mut rows: Vec<Value>, fault: Option<Kind>) -> Vec<Value> {
    for (at, row) in rows.iter_mut().enumerate() {
        let (path, value) = match (fault, at % 4) {
            (Some(Kind::WrongTypes), 0) => ("/metrics/0/value", json!("several")),
            (Some(Kind::WrongTypes), 1) => ("/timeSeries", json!(1_790_000_000_000_i64)),
            (Some(Kind::WrongTypes), 2) => ("/metrics", json!({ "count": 7 })),
            (Some(Kind::WrongTypes), _) => ("/metrics/0", Value::Null),
            (Some(Kind::Nonsense), 0) => ("/timeSeries", json!("9999-12-31T23:59:59.999Z")),
            (Some(Kind::Nonsense), 1) => ("/metrics/0/name", json!("phase_of_the_moon")),
            (Some(Kind::Nonsense), 2) => ("/timeSeries", json!("2026-02-30T25:61:00Z")),
            (Some(Kind::Nonsense), _) => ("/timeSeries", json!("2026-01-01T00:00:01Z")),
            _ => return rows,
        };
        if let Some(field) = row.pointer_mut(path) {
            *field = value;
        }
    }
    rows
}
