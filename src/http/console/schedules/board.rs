//! The schedule board: a team's day, planned against actual, agents down and time across.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::links;
use super::rows::{BoardData, BoardTeam, board_teams};
use super::staffing::StaffingStrip;
use super::view::{BoardView, Period, Sort};
use crate::domain::time::UtcMicros;
use crate::engine::agents::agent_list::AgentSummary;
use crate::http::api::schedules::board;
use crate::http::api::schedules::staffing::{self, StaffingResponse};
use crate::http::auth::Right;
use crate::http::console::agents::timeline::{Tick, TimeAxis};
use crate::http::console::live::live_view::LiveView;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::console::shared::times;
use crate::http::state::ApiState;

/// The number of agents up to which all teams are shown if none is chosen.
const ALL_TEAMS_UP_TO: usize = 100;

/// What the caller may do on the board.
struct BoardRights {
    edit: bool,
    import: bool,
    excuse: bool,
}

impl BoardRights {
    fn of(request: &PageRequest) -> Self {
        Self {
            edit: request.has_right(Right::EditSchedules),
            import: request.has_right(Right::Import) && request.has_all_teams(),
            excuse: request.has_right(Right::Excuse),
        }
    }
}

#[derive(Template)]
#[template(path = "schedules/board.html")]
struct BoardPage {
    shell: Shell,
    view: BoardView,
    all_teams: Vec<String>,
    has_today: bool,
    may: BoardRights,
    may_share: bool,
    /// The start of the board in milliseconds since the Unix epoch.
    from_ms: i64,
    /// The length of the board in minutes.
    minutes: u64,
    title: String,
    zone_shown: String,
    ticks: Vec<Tick>,
    /// The headings of the days of a week: where each begins, its name and its address.
    days: Vec<(String, String, String)>,
    now: Option<String>,
    teams: Vec<BoardTeam>,
    /// The staffing of the agents; not for a week, nor if some of them are not shown.
    staffing: Option<StaffingStrip>,
    /// How many agents match but are not shown.
    hidden: usize,
}

impl BoardPage {
    /// Returns the address of the day or the week that is this number of steps away.
    fn step_link(&self, steps: &i64) -> String {
        let days = steps * self.view.period.days();
        format!("?{}", self.view.query(&self.shell.tenant, self.view.day.checked_add(days.days()).ok()))
    }

    /// Returns the address of the same choices for a day, or for a week.
    fn period_link(&self, period: &Period) -> String {
        let view = BoardView { period: *period, ..self.view.clone() };
        format!("?{}", view.query(&self.shell.tenant, Some(self.view.day)))
    }

    /// Returns the address of today.
    fn today_link(&self) -> String {
        format!("?{}", self.view.query(&self.shell.tenant, None))
    }

    /// Returns the address of the schedule of these days as a file.
    fn export_link(&self) -> String {
        let first = self.view.first_day();
        let last = first.saturating_add((self.view.period.days() - 1).days());
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("tenant", &self.shell.tenant);
        query.append_pair("from", &first.to_string()).append_pair("through", &last.to_string());
        if !self.view.team.is_empty() {
            query.append_pair("team", &self.view.team);
        }
        format!("/api/v1/schedule-export?{}", query.finish())
    }

    const fn sorts() -> [(Sort, &'static str, &'static str); 3] {
        Sort::ALL
    }
}

/// `GET /schedule?team=&day=&view=&sort=&show=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let live_view = LiveView::load(&state, &request).await;
    let all_teams = live_view.as_ref().map(LiveView::teams).unwrap_or_default();
    let count = live_view.as_ref().map_or(0, |view| view.agents().count());
    let first_team = all_teams.first().filter(|_| count > ALL_TEAMS_UP_TO).cloned().unwrap_or_default();
    // An empty team means all of them, if somebody chose it.
    let chosen_team = request.query.iter().find(|(key, _)| key == "team").map(|(_, team)| team.clone());
    let team = chosen_team.unwrap_or(first_team);
    let in_team = |card: &&AgentSummary| team.is_empty() || card.team.as_ref().is_some_and(|own| own.as_str() == team);
    let zone = zone_of(live_view.iter().flat_map(LiveView::agents).filter(in_team), &request);
    let today = request.now.timestamp().to_zoned(zone.clone()).date();
    let view = BoardView::new(&request, team, today);
    let (first_day, days) = (view.first_day().to_string(), view.period.days().to_string());
    let mut query = vec![("day", first_day.as_str()), ("zone", times::zone_name(&zone))];
    if !view.team.is_empty() {
        query.push(("team", &view.team));
    }
    let board_query = [&query[..], &[("days", days.as_str())]].concat();
    let data: BoardData = request.api("/api/v1/schedule-board").query(&board_query).call(&state, board::show).await?;
    let hidden = data.total - data.agents.len();
    let staffing: Option<StaffingResponse> = if hidden == 0 && !view.is_week() {
        Some(request.api("/api/v1/staffing").query(&query).call(&state, staffing::show).await?)
    } else {
        None
    };
    let axis = TimeAxis { from: data.from, to: data.to, now: data.now, zone: &zone };
    Ok(render_page(&BoardPage {
        shell: request.shell(ConsolePage::Schedule, "Schedule"),
        all_teams,
        has_today: view.shows(today),
        may: BoardRights::of(&request),
        may_share: links::may_create(&request),
        from_ms: data.from.as_micros() / 1000,
        minutes: data.to.since(data.from).as_secs() / 60,
        title: view.title(),
        zone_shown: times::zone_name(&zone).to_owned(),
        ticks: if view.is_week() { Vec::new() } else { axis.ticks() },
        days: if view.is_week() { day_headings(&view, &request, &axis) } else { Vec::new() },
        now: axis.now_position(),
        hidden,
        staffing: staffing.map(|staffing| StaffingStrip::new(&staffing, &axis)),
        teams: board_teams(data.agents, &axis, &view),
        view,
    }))
}

/// Returns where each day of a week begins, its name, and the address of its board.
fn day_headings(view: &BoardView, request: &PageRequest, axis: &TimeAxis<'_>) -> Vec<(String, String, String)> {
    let days = (0..view.period.days()).map(|number| view.first_day().saturating_add(number.days()));
    let heading = |day: Date| {
        let start = UtcMicros::from(day.to_zoned(axis.zone.clone()).ok()?.timestamp());
        let board = BoardView { period: Period::Day, ..view.clone() };
        let link = format!("?{}", board.query(request.tenant.as_str(), Some(day)));
        Some((axis.extent(start, start).0, day.strftime("%a %-d %b").to_string(), link))
    };
    days.filter_map(heading).collect()
}

/// Returns the zone of the board: the viewer's, or that of most agents if the viewer reads times as the agents do.
fn zone_of<'a>(agents: impl Iterator<Item = &'a AgentSummary>, request: &PageRequest) -> TimeZone {
    request.times.zone_for(most_common_zone_name(agents))
}

/// Returns the zone of most agents; UTC if none is known.
pub(super) fn most_common_zone<'a>(agents: impl Iterator<Item = &'a AgentSummary>) -> TimeZone {
    most_common_zone_name(agents).and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC)
}

fn most_common_zone_name<'a>(agents: impl Iterator<Item = &'a AgentSummary>) -> Option<&'a str> {
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for zone in agents.filter_map(|card| card.zone.as_deref()) {
        *zones.entry(zone).or_default() += 1;
    }
    zones.into_iter().max_by_key(|(_, agents)| *agents).map(|(zone, _)| zone)
}
