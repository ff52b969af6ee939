//! The page that changes schedules: an edit is checked, shown and applied, and a version is undone.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::civil::Date;

use crate::http::api::schedules::versions::{self, ScheduleVersionsResponse};
use crate::http::auth::Right;
use crate::http::console::live::live_view::LiveView;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::services::schedule_changes::ScheduleVersionSummary;
use crate::http::state::ApiState;

#[derive(Template)]
#[template(path = "schedules/change.html")]
struct ScheduleChangePage {
    shell: Shell,
    may_change: bool,
    /// A version may be about all teams, so a caller who is limited to teams cannot undo it.
    may_undo: bool,
    agent: String,
    team: String,
    day: Date,
    activity: String,
    /// The start of the activity that was chosen on the board.
    start: String,
    minutes: i64,
    /// The id and the name of each agent whom the caller can access.
    roster: Vec<(String, String)>,
    teams: Vec<String>,
    versions: Vec<ScheduleVersionSummary>,
}

impl ScheduleChangePage {
    /// Returns who made a version.
    fn made_by(version: &ScheduleVersionSummary) -> &str {
        version.actor.strip_prefix("person:").unwrap_or(&version.actor)
    }
}

/// `GET /schedule/change?agent=&team=&day=&activity=&start=&minutes=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let live_view = LiveView::load(&state, &request).await;
    let ScheduleVersionsResponse { versions } =
        request.api("/api/v1/schedule-versions").query(&[("limit", "10")]).call(&state, versions::list).await?;
    let text = |key: &str| request.value(key).unwrap_or_default().to_owned();
    let agents = live_view.iter().flat_map(LiveView::agents);
    Ok(render_page(&ScheduleChangePage {
        shell: request.shell(ConsolePage::Schedule, "Change the schedule"),
        may_change: request.has_right(Right::EditSchedules),
        may_undo: request.has_right(Right::Import) && request.has_all_teams(),
        agent: text("agent"),
        team: text("team"),
        day: text("day").parse().unwrap_or_else(|_| request.now.timestamp().to_zoned(jiff::tz::TimeZone::UTC).date()),
        activity: request.value("activity").unwrap_or("break").to_owned(),
        start: text("start"),
        minutes: text("minutes").parse().unwrap_or(30),
        roster: agents.map(|card| (card.id.to_string(), card.name.as_deref().unwrap_or_default().to_owned())).collect(),
        teams: live_view.as_ref().map(LiveView::teams).unwrap_or_default(),
        versions,
    }))
}
