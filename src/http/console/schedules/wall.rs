//! The schedule board on a wall: today's plan and states of some teams, by a link that needs no account.

use askama::Template;
use axum::extract::{FromRequestParts as _, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use jiff::tz::TimeZone;
use jiff::{RoundMode, Unit, Zoned, ZonedRound};

use super::board::most_common_zone;
use super::rows::{BoardData, BoardTeam, board_teams};
use super::staffing::StaffingStrip;
use super::view::{BoardView, Period, Sort};
use crate::domain::time::UtcMicros;
use crate::http::api::schedules::board;
use crate::http::api::schedules::staffing::{self, StaffingResponse};
use crate::http::auth::Caller;
use crate::http::console::agents::timeline::{Tick, TimeAxis};
use crate::http::console::live::live_view::LiveView;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{render_page, render_page_with_status};
use crate::http::console::shared::times::{self, Stamp, TimeFormat};
use crate::http::state::ApiState;

#[derive(Template)]
#[template(path = "schedules/wall.html")]
struct WallPage {
    /// `light`, `dark`, or empty for the default.
    theme: &'static str,
    tenant: String,
    /// The daemon's clock in milliseconds; `speed` is how many times faster than real time it runs.
    now_ms: i64,
    speed: u32,
    zone: String,
    title: String,
    day: String,
    clock: Stamp,
    counts: WallCounts,
    ticks: Vec<Tick>,
    now: Option<String>,
    teams: Vec<BoardTeam>,
    /// The staffing of the agents; `None` if some of them are not shown.
    staffing: Option<StaffingStrip>,
    /// How many agents match but are not shown.
    hidden: usize,
}

/// The figures of the heading.
struct WallCounts {
    agents: usize,
    out: usize,
}

/// The page of a link that cannot be used.
#[derive(Template)]
#[template(path = "schedules/link_ended.html")]
struct LinkEndedPage;

/// `GET /wall/{token}?theme=`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(token): Path<String>,
    mut parts: Parts,
) -> Response {
    let Some(caller) = Caller::of_board_link(&state, &token) else {
        return render_page_with_status(StatusCode::NOT_FOUND, &LinkEndedPage);
    };
    parts.extensions.insert(caller);
    let request = match PageRequest::from_request_parts(&mut parts, &state).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    match wall_page(&state, &request).await {
        Ok(page) => render_page(&page),
        Err(error) => error.into_response(),
    }
}

async fn wall_page(state: &ApiState, request: &PageRequest) -> Result<WallPage, PageError> {
    let live_view = LiveView::load(state, request).await;
    // Nobody chooses a zone on a wall: times are those of the agents.
    let zone = most_common_zone(live_view.iter().flat_map(LiveView::agents));
    let today = request.now.timestamp().to_zoned(zone.clone()).date();
    let day = today.to_string();
    let query = [("day", day.as_str()), ("zone", times::zone_name(&zone))];
    let data: BoardData = request.api("/api/v1/schedule-board").query(&query).call(state, board::show).await?;
    let hidden = data.total - data.agents.len();
    let staffing: Option<StaffingResponse> = if hidden == 0 {
        Some(request.api("/api/v1/staffing").query(&query).call(state, staffing::show).await?)
    } else {
        None
    };
    let (from, to) = hours_of_work(&data, &zone);
    let axis = TimeAxis { from, to, now: data.now, zone: &zone };
    let view = BoardView { team: String::new(), day: today, period: Period::Day, sort: Sort::Name, only_out: false };
    let agents = data.agents.len();
    let teams = board_teams(data.agents, &axis, &view);
    let out = teams.iter().flat_map(|team| &team.rows).filter(|row| row.is_out).count();
    Ok(WallPage {
        theme: match request.value("theme") {
            Some("light") => "light",
            Some("dark") => "dark",
            _ => "",
        },
        tenant: request.tenant.to_string(),
        now_ms: request.now.as_micros().div_euclid(1000),
        speed: request.speed(),
        title: match teams.as_slice() {
            [team] if team.is_named => team.name.clone(),
            _ => request.tenant.to_string(),
        },
        day: view.title(),
        clock: TimeFormat::in_zone(data.now, &zone),
        counts: WallCounts { agents, out },
        ticks: axis.ticks(),
        now: axis.now_position(),
        staffing: staffing.map(|staffing| StaffingStrip::new(&staffing, &axis)),
        zone: times::zone_name(&zone).to_owned(),
        teams,
        hidden,
    })
}

/// Returns the full hours from the first shift of the day until the last one ends, and now if it is outside of them.
fn hours_of_work(data: &BoardData, zone: &TimeZone) -> (UtcMicros, UtcMicros) {
    let clamped = |at: UtcMicros| at.clamp(data.from, data.to);
    let Some((from, to)) = data.worked_hours() else { return (data.from, data.to) };
    let from = rounded_to_hour(from.min(data.now), zone, RoundMode::Floor);
    let to = rounded_to_hour(to.max(data.now), zone, RoundMode::Ceil);
    (clamped(from), clamped(to))
}

fn rounded_to_hour(at: UtcMicros, zone: &TimeZone, mode: RoundMode) -> UtcMicros {
    let local: Zoned = at.timestamp().to_zoned(zone.clone());
    local.round(ZonedRound::new().smallest(Unit::Hour).mode(mode)).map_or(at, |hour| hour.timestamp().into())
}
