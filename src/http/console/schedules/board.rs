//! The schedule board: a team's day, planned against actual, agents down and time across.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::rows::{BoardData, BoardTeam, Sort, board_teams};
use super::staffing::StaffingStrip;
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

/// The choices of the viewer.
struct BoardView {
    team: String,
    day: Date,
    sort: Sort,
    only_out: bool,
}

impl BoardView {
    /// Returns the query of the page with another day.
    fn query(&self, tenant: &str, day: Option<Date>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("tenant", tenant).append_pair("team", &self.team);
        if let Some(day) = day {
            query.append_pair("day", &day.to_string());
        }
        if let Some((_, key, _)) = Sort::ALL.into_iter().find(|(sort, _, _)| *sort == self.sort) {
            query.append_pair("sort", key);
        }
        if self.only_out {
            query.append_pair("show", "out");
        }
        query.finish()
    }
}

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
    is_today: bool,
    may: BoardRights,
    /// The start of the day in milliseconds since the Unix epoch.
    from_ms: i64,
    /// The length of the day in minutes.
    minutes: u64,
    title: String,
    zone_shown: String,
    ticks: Vec<Tick>,
    now: Option<String>,
    teams: Vec<BoardTeam>,
    /// The staffing of the agents; not if some of them are not shown.
    staffing: Option<StaffingStrip>,
    /// How many agents match but are not shown.
    hidden: usize,
}

impl BoardPage {
    /// Returns the address of another day.
    fn day_link(&self, days: &i64) -> String {
        format!("?{}", self.view.query(&self.shell.tenant, self.view.day.checked_add(days.days()).ok()))
    }

    /// Returns the address of today.
    fn today_link(&self) -> String {
        format!("?{}", self.view.query(&self.shell.tenant, None))
    }

    const fn sorts() -> [(Sort, &'static str, &'static str); 3] {
        Sort::ALL
    }
}

/// `GET /schedule?team=&day=&sort=&show=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let live_view = LiveView::load(&state, &request).await;
    let all_teams = live_view.as_ref().map(LiveView::teams).unwrap_or_default();
    let count = live_view.as_ref().map_or(0, |view| view.agents().count());
    let first_team = all_teams.first().filter(|_| count > ALL_TEAMS_UP_TO).cloned().unwrap_or_default();
    let team = request.value("team").map_or(first_team, str::to_owned);
    let in_team = |card: &&AgentSummary| team.is_empty() || card.team.as_ref().is_some_and(|own| own.as_str() == team);
    let zone = zone_of(live_view.iter().flat_map(LiveView::agents).filter(in_team), &request);
    let today = request.now.timestamp().to_zoned(zone.clone()).date();
    let day = request.value("day").and_then(|day| day.parse().ok()).unwrap_or(today);
    let view = BoardView {
        team,
        day,
        sort: Sort::from_value(request.value("sort")),
        only_out: request.value("show") == Some("out"),
    };
    let day_text = day.to_string();
    let mut query = vec![("day", day_text.as_str()), ("zone", times::zone_name(&zone))];
    if !view.team.is_empty() {
        query.push(("team", &view.team));
    }
    let data: BoardData = request.api("/api/v1/schedule-board").query(&query).call(&state, board::show).await?;
    let hidden = data.total - data.agents.len();
    let staffing: Option<StaffingResponse> = if hidden == 0 {
        Some(request.api("/api/v1/staffing").query(&query).call(&state, staffing::show).await?)
    } else {
        None
    };
    let axis = TimeAxis { from: data.from, to: data.to, now: data.now, zone: &zone };
    Ok(render_page(&BoardPage {
        shell: request.shell(ConsolePage::Schedule, "Schedule"),
        all_teams,
        is_today: day == today,
        may: BoardRights::of(&request),
        from_ms: data.from.as_micros() / 1000,
        minutes: data.to.since(data.from).as_secs() / 60,
        title: day.strftime("%A %-d %B %Y").to_string(),
        zone_shown: times::zone_name(&zone).to_owned(),
        ticks: axis.ticks(),
        now: axis.now_position(),
        hidden,
        staffing: staffing.map(|staffing| StaffingStrip::new(&staffing, &axis)),
        teams: board_teams(data.agents, &axis, view.sort, view.only_out),
        view,
    }))
}

/// Returns the zone of the board: the viewer's, or that of most agents if the viewer reads times as the agents do.
fn zone_of<'a>(agents: impl Iterator<Item = &'a AgentSummary>, request: &PageRequest) -> TimeZone {
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for zone in agents.filter_map(|card| card.zone.as_deref()) {
        *zones.entry(zone).or_default() += 1;
    }
    let most = zones.into_iter().max_by_key(|(_, agents)| *agents).map(|(zone, _)| zone);
    request.times.zone_for(most)
}
