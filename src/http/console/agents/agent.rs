//! One agent: planned over actual for a day and for the week, adherence so far, and every change with who or what and why.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use serde::Deserialize;

use super::timeline::{Piece, Stretch, Timeline, draw};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::agents::course;
use crate::http::auth::Right;
use crate::http::console::changes::done::{Change, Changes};
use crate::http::console::live::picture::Picture;
use crate::http::console::live::rows::Row;
use crate::http::console::rules::approvals::{self, Approval};
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::read::{Want, read};
use crate::http::console::shared::shell::{Place, Shell, page};
use crate::http::console::shared::times::{self, Span, Stamp, Times};
use crate::http::console::shared::words;
use crate::http::extract::Path;

/// Days of the week's drawing.
const WEEK: i64 = 7;

#[derive(Deserialize)]
struct Planned {
    activity: String,
    start: UtcMicros,
    end: UtcMicros,
}

#[derive(Deserialize)]
struct Actual {
    state: AgentState,
    reason: Option<String>,
    start: UtcMicros,
    end: UtcMicros,
    ongoing: bool,
}

#[derive(Deserialize)]
struct Judged {
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
struct Course {
    from: UtcMicros,
    to: UtcMicros,
    now: UtcMicros,
    zone: String,
    planned: Vec<Planned>,
    actual: Vec<Actual>,
    pieces: Vec<Judged>,
    adherence: Adherence,
    exceptions: Vec<Excused>,
}

/// Why the agent was excused for a while.
#[derive(Deserialize)]
struct Excused {
    from: UtcMicros,
    to: UtcMicros,
    reason: String,
    made_by: String,
}

#[derive(Template)]
#[template(path = "agents/agent.html")]
struct AgentPage {
    shell: Shell,
    times: Times,
    row: Row,
    approvals: Vec<Approval>,
    agent_zone: String,
    zone_shown: String,
    day: String,
    before: String,
    after: String,
    today: bool,
    timeline: Timeline,
    week: Vec<Timeline>,
    adherence: Adherence,
    exceptions: Vec<Excused>,
    changes: Vec<Change>,
    older: Option<String>,
    may_change: bool,
    may_excuse: bool,
}

impl AgentPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second_of(*at, Some(self.agent_zone.as_str()))
    }
}

/// Seconds as a span.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a week, never negative")]
fn seconds(seconds: &f64) -> String {
    Span(std::time::Duration::from_secs(seconds.max(0.0) as u64)).to_string()
}

/// A share as per cent.
fn per_cent(share: &Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// The course of a day as it is drawn.
fn drawn(title: String, course: &Course) -> Timeline {
    let zone = TimeZone::get(&course.zone).unwrap_or(TimeZone::UTC);
    let stretch = Stretch { from: course.from, to: course.to, now: course.now, zone: &zone };
    let spoken = |activity: &str| !["off", "uncovered"].contains(&activity);
    let planned = course.planned.iter().filter(|piece| spoken(&piece.activity)).map(|piece| Piece {
        class: words::activity_class(&piece.activity),
        label: words::activity_label(&piece.activity).into_owned(),
        from: piece.start,
        to: piece.end,
        ongoing: false,
    });
    let actual = course.actual.iter().map(|piece| Piece {
        class: words::state(&piece.state).class,
        label: match &piece.reason {
            Some(reason) => format!("{} ({reason})", words::state_label(&piece.state)),
            None => words::state_label(&piece.state),
        },
        from: piece.start,
        to: piece.end,
        ongoing: piece.ongoing,
    });
    let judged = course.pieces.iter().filter(|piece| piece.verdict == "out" || piece.excused).map(|piece| Piece {
        class: if piece.excused { "excused" } else { "out" },
        label: format!(
            "{}: {} while {} is planned",
            if piece.excused { "approved exception" } else { "out of adherence" },
            piece.state.as_ref().map_or_else(|| "not observed".to_owned(), words::state_label),
            words::activity_label(&piece.activity).to_lowercase(),
        ),
        from: piece.start,
        to: piece.end,
        ongoing: false,
    });
    draw(title, &stretch, (planned.collect(), actual.collect(), judged.collect()))
}

/// `GET /agents/{id}?day=`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let agent = AgentId::new(&id);
    ask.check_agent(&state, Right::Read, &agent).await?;
    let picture = ask.picture(&state).await;
    let seen = picture.as_ref().and_then(|picture| picture.agents().find(|seen| seen.id == agent));
    let agent_zone = seen.and_then(|seen| seen.zone.as_deref()).unwrap_or("UTC").to_owned();
    let zone = ask.times.zone_of(Some(&agent_zone));
    let today = ask.now.timestamp().to_zoned(zone.clone());
    let day: Date = ask.value("day").and_then(|day| day.parse().ok()).unwrap_or_else(|| today.date());
    let course = course_of(&state, &ask, &id, day, &zone).await?;
    let timeline = drawn(format!("{}", day.strftime("%A, %-d %B %Y")), &course);
    let mut week = Vec::new();
    // The day itself is drawn above.
    for back in 1..WEEK {
        let Ok(earlier) = day.checked_sub(back.days()) else { break };
        let course = course_of(&state, &ask, &id, earlier, &zone).await?;
        week.push(drawn(format!("{}", earlier.strftime("%A, %-d %B")), &course));
    }
    let query = [("agent", id.as_str()), ("cursor", ask.value("cursor").unwrap_or_default())];
    let Changes { changes, next } = Changes::read(&state, &ask, &query).await?;
    let at = picture.as_ref().map_or(ask.now, Picture::at);
    let row = seen
        .map_or_else(|| Row { id: id.clone(), name: id.clone(), ..Row::blank() }, |seen| Row::of(seen, &ask.times, at));
    let approvals = approvals::of_agent(&state, &ask, &id).await?;
    let shell = ask.shell(Place::Live, row.name.clone());
    let day_text = |date: Result<Date, jiff::Error>| date.map(|date| date.to_string()).unwrap_or_default();
    Ok(page(&AgentPage {
        before: day_text(day.checked_sub(1.day())),
        after: day_text(day.checked_add(1.day())),
        today: day == today.date(),
        day: day.to_string(),
        older: next,
        zone_shown: times::name(&zone).to_owned(),
        may_change: ask.has(Right::Change),
        may_excuse: ask.has(Right::Excuse),
        times: ask.times,
        adherence: course.adherence,
        exceptions: course.exceptions,
        agent_zone,
        approvals,
        timeline,
        week,
        changes,
        row,
        shell,
    }))
}

/// A local day of an agent, as long as it really is.
async fn course_of(state: &ApiState, ask: &Ask, id: &str, day: Date, zone: &TimeZone) -> Result<Course, Failure> {
    let midnight = |date: Date| -> Option<Zoned> { date.to_zoned(zone.clone()).ok() };
    let from = midnight(day).map(|at| UtcMicros::from(at.timestamp()).to_string()).unwrap_or_default();
    let to = day.checked_add(1.day()).ok().and_then(midnight);
    let to = to.map(|at| UtcMicros::from(at.timestamp()).to_string()).unwrap_or_default();
    let query = [("from", from.as_str()), ("to", to.as_str()), ("zone", times::name(zone))];
    let want = Want { route: "/api/v1/agents/{id}/timeline", id: Some(id), query: &query };
    read(state, ask, want, course::timeline).await
}
