//! Analytics of the platform: the queries of the configuration, the runs and how they came out, and a run with its rows. To look at: runs
//! are asked for with the API or `shiftkeeper analytics run`.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::ask::Ask;
use super::failure::Failure;
use super::read::{Want, read};
use super::shell::{Place, Shell, page};
use super::times::{Stamp, Times};
use crate::domain::report_run::RunStatus;
use crate::domain::time::{UtcMicros, duration_text};
use crate::domain::words::count;
use crate::http::api::analytics::{self, AnalyticsRowShown, AnalyticsRowsShown, AnalyticsRunShown, AnalyticsRunsShown};
use crate::http::extract::Path;
use crate::http::{ApiState, Right};

/// Rows of one page.
const ROWS: &str = "100";

/// A run as it is drawn.
struct Drawn(AnalyticsRunShown);

impl Drawn {
    /// How it stands, in a class and in words.
    fn standing(&self) -> (&'static str, String) {
        let run = &self.0;
        match run.status {
            RunStatus::Waiting => ("outcome-wait", "waits for its turn".to_owned()),
            RunStatus::Running => {
                let whole = run.parts.iter().filter(|part| part.received.is_some()).count();
                ("outcome-wait", format!("running, {whole} of {} read", count(run.parts.len(), "part")))
            }
            RunStatus::Done => ("outcome-good", count(run.received.unwrap_or_default(), "row")),
            RunStatus::Failed => ("outcome-no", format!("failed: {}", run.failure.as_deref().unwrap_or_default())),
            RunStatus::Cancelled => ("outcome-no", "called off".to_owned()),
        }
    }

    /// Rows received of rows promised, in words.
    fn completeness(&self) -> String {
        match (self.0.received, self.0.promised) {
            (Some(received), Some(promised)) => format!("{received} of {promised} promised"),
            (Some(received), None) => format!("{received}, no count was promised"),
            (None, _) => "none".to_owned(),
        }
    }

    fn took(&self) -> String {
        let took = self.0.latency_ms.map(std::time::Duration::from_millis);
        took.map_or_else(String::new, |took| duration_text(std::time::Duration::from_secs(took.as_secs())))
    }

    fn metrics(&self) -> Vec<String> {
        self.0.request.metrics.iter().map(ToString::to_string).collect()
    }

    fn filter(&self) -> String {
        self.0.request.filter.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string)
    }
}

#[derive(Template)]
#[template(path = "analytics.html")]
struct AnalyticsPage {
    shell: Shell,
    times: Times,
    runs: Vec<Drawn>,
    older: Option<String>,
}

impl AnalyticsPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    fn some_are_open(&self) -> bool {
        self.runs.iter().any(|run| !run.0.status.is_final())
    }

    fn link(&self, run: &Drawn) -> String {
        self.shell.to(&format!("/analytics/{}", run.0.id))
    }
}

/// `GET /analytics`.
pub(in crate::http) async fn list(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check_whole(&state, Right::Analytics)?;
    let query = [("limit", "20"), ("cursor", ask.value("cursor").unwrap_or_default())];
    let want = Want { route: "/api/v1/analytics/runs", id: None, query: &query };
    let AnalyticsRunsShown { runs, next } = read(&state, &ask, want, analytics::list).await?;
    let shell = ask.shell(Place::Analytics, "Analytics");
    let older = next.map(|next| format!("{}&cursor={next}", shell.to("/analytics")));
    let runs = runs.into_iter().map(Drawn).collect();
    Ok(page(&AnalyticsPage { shell, times: ask.times, runs, older }))
}

#[derive(Template)]
#[template(path = "analytics_run.html")]
struct RunPage {
    shell: Shell,
    times: Times,
    run: Drawn,
    rows: Vec<AnalyticsRowShown>,
    next: Option<String>,
}

impl RunPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    fn value(value: &Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| value.to_string())
    }
}

/// `GET /analytics/{id}`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Failure> {
    ask.check_whole(&state, Right::Analytics)?;
    let want = Want { route: "/api/v1/analytics/runs/{id}", id: Some(&id), query: &[] };
    let run: AnalyticsRunShown = read(&state, &ask, want, analytics::show).await?;
    let (mut rows, mut next) = (Vec::new(), None);
    if run.has_rows {
        let query = [("limit", ROWS), ("cursor", ask.value("cursor").unwrap_or_default())];
        let want = Want { route: "/api/v1/analytics/runs/{id}/rows", id: Some(&id), query: &query };
        let page: AnalyticsRowsShown = read(&state, &ask, want, analytics::rows::rows).await?;
        (rows, next) = (page.rows, page.next);
    }
    let shell = ask.shell(Place::Analytics, "Analytics run");
    let next = next.map(|next| format!("{}&cursor={next}", shell.to(&format!("/analytics/{}", run.id))));
    Ok(page(&RunPage { shell, times: ask.times, run: Drawn(run), rows, next }))
}
