//! The page of one agent: the plan and the actual states for a day and for the week, adherence so far, and every change
//! with who or what made it and why.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use serde::Deserialize;

use super::timeline::{TimeAxis, Timeline, TimelineSpan, draw};
use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::http::api::agents::history;
use crate::http::auth::Right;
use crate::http::console::changes::agent_changes::{AgentChange, AgentChangeList};
use crate::http::console::live::live_view::LiveView;
use crate::http::console::live::rows::AgentRow;
use crate::http::console::rules::approvals::{self, Approval};
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::console::shared::times::{self, DurationText, Stamp};
use crate::http::console::shared::wording;
use crate::http::request::extract::Path;
use crate::http::state::ApiState;

/// The number of days drawn for the week.
const DAYS_IN_WEEK: i64 = 7;

#[derive(Deserialize)]
struct PlannedSpan {
    activity: String,
    start: UtcMicros,
    end: UtcMicros,
}

#[derive(Deserialize)]
struct ActualSpan {
    state: AgentState,
    reason: Option<String>,
    start: UtcMicros,
    end: UtcMicros,
    ongoing: bool,
    source: ObservationSource,
}

impl ActualSpan {
    /// Returns the state in words, with its reason, and whether nobody observed it at the time.
    fn label(&self) -> String {
        let state = wording::state_label(&self.state);
        let state = match &self.reason {
            Some(reason) => format!("{state} ({reason})"),
            None => state,
        };
        match self.source {
            ObservationSource::History => format!("{state}, read later from the platform"),
            ObservationSource::Snapshot | ObservationSource::Feed | ObservationSource::Post => state,
        }
    }
}

#[derive(Deserialize)]
struct AdherenceSegment {
    start: UtcMicros,
    end: UtcMicros,
    activity: String,
    state: Option<AgentState>,
    verdict: String,
    #[serde(default)]
    excused: bool,
}

#[derive(Deserialize)]
struct Adherence {
    in_s: f64,
    out_s: f64,
    neutral_s: f64,
    unscheduled_s: f64,
    unknown_s: f64,
    share: Option<f64>,
}

#[derive(Deserialize)]
struct AgentTimeline {
    from: UtcMicros,
    to: UtcMicros,
    now: UtcMicros,
    zone: String,
    planned: Vec<PlannedSpan>,
    actual: Vec<ActualSpan>,
    pieces: Vec<AdherenceSegment>,
    adherence: Adherence,
    exceptions: Vec<AgentException>,
}

/// The shortest measured time of which a share is shown, in seconds.
const MIN_MEASURED_S: f64 = 1800.0;

impl Adherence {
    /// Returns the time that counts for or against adherence, in seconds.
    fn measured_s(&self) -> f64 {
        self.in_s + self.out_s
    }

    /// Whether enough of the day was measured for a share that describes it: half an hour, and more than was missed.
    fn is_enough(&self) -> bool {
        self.measured_s() >= MIN_MEASURED_S && self.measured_s() >= self.unknown_s
    }
}

/// A day that the page links to.
struct LinkedDay {
    /// The date in the address.
    iso: String,
    date: Option<Date>,
}

impl LinkedDay {
    fn new(date: Result<Date, jiff::Error>) -> Self {
        let date = date.ok();
        Self { iso: date.map(|date| date.to_string()).unwrap_or_default(), date }
    }

    /// Returns the day and the month.
    fn text(&self) -> String {
        self.date.map(|date| date.strftime("%-d %b").to_string()).unwrap_or_default()
    }
}

/// An exception of the agent.
#[derive(Deserialize)]
struct AgentException {
    from: UtcMicros,
    to: UtcMicros,
    reason: String,
    made_by: String,
}

#[derive(Template)]
#[template(path = "agents/agent.html")]
struct AgentPage {
    shell: Shell,
    row: AgentRow,
    approvals: Vec<Approval>,
    agent_zone: String,
    zone_shown: String,
    day: String,
    before: LinkedDay,
    after: LinkedDay,
    /// When the platform last showed the agent.
    observed_at: Option<Stamp>,
    today: bool,
    timeline: Timeline,
    week: Vec<Timeline>,
    adherence: Adherence,
    exceptions: Vec<AgentException>,
    changes: Vec<AgentChange>,
    older: Option<String>,
    may_change: bool,
    may_excuse: bool,
}

impl AgentPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.shell.times.second_of(*at, Some(self.agent_zone.as_str()))
    }
}

/// Returns a number of seconds as a duration.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a week, never negative")]
fn seconds(seconds: impl std::borrow::Borrow<f64>) -> String {
    DurationText(std::time::Duration::from_secs(seconds.borrow().max(0.0) as u64)).to_string()
}

/// Returns a share as a percentage, or a dash if there is none.
fn per_cent(share: &Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// Draws the timeline of a day.
fn draw_timeline(title: String, data: &AgentTimeline) -> Timeline {
    let zone = TimeZone::get(&data.zone).unwrap_or(TimeZone::UTC);
    let axis = TimeAxis { from: data.from, to: data.to, now: data.now, zone: &zone };
    let is_scheduled = |activity: &str| !["off", "uncovered"].contains(&activity);
    let planned = data.planned.iter().filter(|piece| is_scheduled(&piece.activity)).map(|piece| TimelineSpan {
        class: wording::activity_class(&piece.activity),
        label: wording::activity_label(&piece.activity).into_owned(),
        from: piece.start,
        to: piece.end,
        ongoing: false,
    });
    let actual = data.actual.iter().map(|piece| TimelineSpan {
        class: wording::state(&piece.state).class,
        label: piece.label(),
        from: piece.start,
        to: piece.end,
        ongoing: piece.ongoing,
    });
    let deviations =
        data.pieces.iter().filter(|piece| piece.verdict == "out" || piece.excused).map(|piece| TimelineSpan {
            class: if piece.excused { "excused" } else { "out" },
            label: format!(
                "{}: {} while {} is planned",
                if piece.excused { "approved exception" } else { "out of adherence" },
                piece.state.as_ref().map_or_else(|| "not observed".to_owned(), wording::state_label),
                wording::activity_label(&piece.activity).to_lowercase(),
            ),
            from: piece.start,
            to: piece.end,
            ongoing: false,
        });
    draw(title, &axis, (planned.collect(), actual.collect(), deviations.collect()))
}

/// `GET /agents/{id}?day=`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let agent = AgentId::new(&id);
    request.check_agent(&state, Right::Read, &agent).await?;
    let live_view = LiveView::load(&state, &request).await;
    let card = live_view.as_ref().and_then(|picture| picture.agents().find(|seen| seen.id == agent));
    let agent_zone = card.and_then(|seen| seen.zone.as_deref()).unwrap_or("UTC").to_owned();
    let zone = request.times.zone_for(Some(&agent_zone));
    let today = request.now.timestamp().to_zoned(zone.clone());
    let day: Date = request.value("day").and_then(|day| day.parse().ok()).unwrap_or_else(|| today.date());
    let day_data = load_timeline(&state, &request, &id, day, &zone).await?;
    let timeline = draw_timeline(format!("{}", day.strftime("%a %-d %b %Y")), &day_data);
    let mut week = Vec::new();
    // The day itself is drawn above.
    for back in 1..DAYS_IN_WEEK {
        let Ok(earlier) = day.checked_sub(back.days()) else { break };
        let day_data = load_timeline(&state, &request, &id, earlier, &zone).await?;
        week.push(draw_timeline(format!("{}", earlier.strftime("%a %-d %b")), &day_data));
    }
    let query = [("agent", id.as_str()), ("cursor", request.value("cursor").unwrap_or_default())];
    let AgentChangeList { changes, next } = AgentChangeList::read(&state, &request, &query).await?;
    let at = live_view.as_ref().map_or(request.now, LiveView::at);
    let row = card.map_or_else(
        || AgentRow { id: id.clone(), name: id.clone(), ..AgentRow::template() },
        |seen| AgentRow::from_card(seen, &request.times, at),
    );
    let approvals = approvals::load_for_agent(&state, &request, &id).await?;
    let shell = request.shell(ConsolePage::Live, row.name.clone());
    Ok(render_page(&AgentPage {
        before: LinkedDay::new(day.checked_sub(1.day())),
        after: LinkedDay::new(day.checked_add(1.day())),
        observed_at: card
            .and_then(|seen| seen.seen_at)
            .map(|seen| request.times.second_of(seen, Some(agent_zone.as_str()))),
        today: day == today.date(),
        day: day.to_string(),
        older: next,
        zone_shown: times::zone_name(&zone).to_owned(),
        may_change: request.has_right(Right::Change),
        may_excuse: request.has_right(Right::Excuse),
        adherence: day_data.adherence,
        exceptions: day_data.exceptions,
        agent_zone,
        approvals,
        timeline,
        week,
        changes,
        row,
        shell,
    }))
}

/// Loads the timeline of an agent for a local day, however many hours it has.
async fn load_timeline(
    state: &ApiState,
    request: &PageRequest,
    id: &str,
    day: Date,
    zone: &TimeZone,
) -> Result<AgentTimeline, PageError> {
    let midnight = |date: Date| -> Option<Zoned> { date.to_zoned(zone.clone()).ok() };
    let from = midnight(day).map(|at| UtcMicros::from(at.timestamp()).to_string()).unwrap_or_default();
    let to = day.checked_add(1.day()).ok().and_then(midnight);
    let to = to.map(|at| UtcMicros::from(at.timestamp()).to_string()).unwrap_or_default();
    let query = [("from", from.as_str()), ("to", to.as_str()), ("zone", times::zone_name(zone))];
    request.api("/api/v1/agents/{id}/timeline").id(id).query(&query).call(state, history::timeline).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_shown_of_enough_measured_time_only() {
        let adherence = |in_s, out_s, unknown_s| Adherence {
            in_s,
            out_s,
            neutral_s: 0.0,
            unscheduled_s: 0.0,
            unknown_s,
            share: Some(0.0),
        };
        assert!(!adherence(0.0, 120.0, 0.0).is_enough(), "two minutes are no day");
        assert!(!adherence(600.0, 1800.0, 50_000.0).is_enough(), "most of the day is unknown");
        assert!(adherence(600.0, 1800.0, 2000.0).is_enough());
    }
}
