//! System: tenants with their budgets, breakers and feeds, the jobs with their ages and next times, the store, what is not ready.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::operations::readiness::Part;
use crate::engine::operations::status::{BudgetStatus, JobStatus, Status, TenantStatus};
use crate::http::ApiState;
use crate::http::auth::Right;
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::shell::{Place, Shell, page};
use crate::http::console::shared::times::{Span, Stamp, Times};

#[derive(Template)]
#[template(path = "operations/system.html")]
struct SystemPage {
    shell: Shell,
    status: Status,
    times: Times,
    troubles: Vec<Part>,
    may_run: bool,
}

impl SystemPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    /// How long ago or how long still, in words.
    fn ago(&self, at: &UtcMicros) -> String {
        let now = self.status.at;
        if *at > now { format!("in {}", Span(at.since(now))) } else { format!("{} ago", Span(now.since(*at))) }
    }

    /// How long still until something is due.
    fn due(&self, at: &UtcMicros) -> String {
        if *at > self.status.at { self.ago(at) } else { "due now".to_owned() }
    }
}

/// Whose a job is.
fn owner(job: &JobStatus) -> String {
    job.job.tenant.as_ref().map_or_else(|| "the daemon".to_owned(), TenantId::to_string)
}

/// An age in milliseconds.
fn age(ms: &Option<u64>) -> String {
    ms.as_ref().map_or_else(|| "–".to_owned(), span)
}

fn span(ms: &u64) -> String {
    Span(Duration::from_millis(*ms)).to_string()
}

/// Bytes in the unit that they are read in.
fn bytes(bytes: &u64) -> String {
    match *bytes {
        small if small < 1 << 20 => format!("{} KiB", small >> 10),
        large if large < 10 << 30 => format!("{} MiB", large >> 20),
        huge => format!("{} GiB", huge >> 30),
    }
}

fn budget(budget: &BudgetStatus) -> String {
    format!("{} of {} calls in the last minute, {} available now", budget.used, budget.limit, budget.free)
}

/// The states of a tenant's agents, as one line.
fn agents(tenant: &TenantStatus) -> String {
    let all = tenant.picture.agents.iter().filter(|(_, count)| **count > 0);
    let words: Vec<_> = all
        .map(|(state, count)| match state.as_str() {
            "after_contact_work" => format!("{count} wrap-up"),
            other => format!("{count} {}", other.replace('_', " ")),
        })
        .collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// `GET /system`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let status = state.status.look(|tenant| ask.caller.reaches(tenant)).await.status;
    let troubles = status.parts.iter().filter(|part| !part.ready).cloned().collect();
    let may_run = ask.has(Right::RunJobs);
    let shell = ask.shell(Place::System, "System");
    Ok(page(&SystemPage { shell, troubles, may_run, times: ask.times, status }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_their_unit() {
        assert_eq!(bytes(&(5 << 10)), "5 KiB");
        assert_eq!(bytes(&(300 << 20)), "300 MiB");
        assert_eq!(bytes(&(40 << 30)), "40 GiB");
    }
}
