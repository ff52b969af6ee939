//! The system page: tenants with their budgets, circuit breakers and feeds, jobs with their last and next runs, the
//! store, and what is not ready.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::operations::readiness::Part;
use crate::engine::operations::status::{BudgetStatus, JobStatus, Status, TenantStatus};
use crate::http::auth::Right;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::console::shared::times::DurationText;
use crate::http::state::ApiState;

#[derive(Template)]
#[template(path = "operations/system.html")]
struct SystemPage {
    shell: Shell,
    status: Status,
    troubles: Vec<Part>,
    may_run: bool,
}

impl SystemPage {
    /// Returns how long ago an instant was, or how long it is until then.
    fn ago(&self, at: &UtcMicros) -> String {
        let now = self.status.at;
        if *at > now {
            format!("in {}", DurationText(at.since(now)))
        } else {
            format!("{} ago", DurationText(now.since(*at)))
        }
    }

    /// Returns how long it is until something is due.
    fn due(&self, at: &UtcMicros) -> String {
        if *at > self.status.at { self.ago(at) } else { "due now".to_owned() }
    }
}

/// Returns who owns a job: a tenant or the daemon.
fn owner(job: &JobStatus) -> String {
    job.job.tenant.as_ref().map_or_else(|| "the daemon".to_owned(), TenantId::to_string)
}

/// Formats an age in milliseconds.
fn age(ms: &Option<u64>) -> String {
    ms.as_ref().map_or_else(|| "–".to_owned(), span)
}

fn span(ms: &u64) -> String {
    DurationText(Duration::from_millis(*ms)).to_string()
}

/// Formats a size in bytes with a suitable unit.
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

/// Lists how many agents of a tenant are in each state.
fn agents(tenant: &TenantStatus) -> String {
    let all = tenant.picture.agents.iter().filter(|(_, count)| **count > 0);
    let states: Vec<_> = all
        .map(|(state, count)| match state.as_str() {
            "after_contact_work" => format!("{count} wrap-up"),
            other => format!("{count} {}", other.replace('_', " ")),
        })
        .collect();
    if states.is_empty() { "none".to_owned() } else { states.join(", ") }
}

/// `GET /system`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let status = state.status.collect(|tenant| request.caller.can_access_tenant(tenant)).await.status;
    let troubles = status.parts.iter().filter(|part| !part.ready).cloned().collect();
    let may_run = request.has_right(Right::RunJobs);
    let shell = request.shell(ConsolePage::System, "System");
    Ok(render_page(&SystemPage { shell, status, troubles, may_run }))
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
