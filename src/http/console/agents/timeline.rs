//! A span of time drawn as lanes of bars: the plan over the actual states, and where they differ. A table shows the
//! same bars for people who cannot see the drawing.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Unit, Zoned};
use serde::Deserialize;

use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::http::console::shared::times::{DurationText, TimeFormat};
use crate::http::console::shared::wording;

/// The full width, in thousandths of a per cent.
const FULL_WIDTH: i64 = 100_000;

/// The smallest width of a bar or gap, in thousandths of a per cent. Narrower ones would not be visible, so only the
/// table has them.
const MIN_WIDTH: i64 = 60;

/// The longest a day can be: clocks are set by an hour, and by more nowhere in practice.
const LONGEST_DAY: Duration = Duration::from_hours(30);

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

/// An agent's plan and states in a span, and how they compare, as the API returns them.
#[derive(Deserialize)]
pub(in crate::http::console) struct DaySpans {
    planned: Vec<PlannedSpan>,
    actual: Vec<ActualSpan>,
    pieces: Vec<AdherenceSegment>,
}

/// The spans of the lanes: planned, actual, and out of adherence.
pub(in crate::http::console) type LaneSpans = (Vec<TimelineSpan>, Vec<TimelineSpan>, Vec<TimelineSpan>);

impl DaySpans {
    /// Returns whether the agent is out of adherence at an instant.
    pub(in crate::http::console) fn is_out_at(&self, now: UtcMicros) -> bool {
        self.pieces.last().is_some_and(|last| last.end >= now && last.verdict == "out" && !last.excused)
    }

    /// Returns when the first shift or activity begins.
    pub(in crate::http::console) fn first_planned(&self) -> Option<UtcMicros> {
        self.planned.iter().find(|piece| is_scheduled(&piece.activity)).map(|piece| piece.start)
    }

    /// Returns the spans to draw where there is little room, such as a week: work on the phone is one span, and so is time
    /// out of adherence, whatever the states meanwhile.
    pub(in crate::http::console) fn coarse_lanes(&self) -> LaneSpans {
        let (planned, mut actual, mut deviations) = self.lanes();
        for span in &mut actual {
            if ["ready", "oncontact", "wrapup"].contains(&span.class) {
                (span.class, span.label) = ("ready", "Ready, on contact or wrap-up".to_owned());
            }
        }
        for span in &mut deviations {
            let label = if span.class == "out" { "out of adherence" } else { "approved exception" };
            label.clone_into(&mut span.label);
        }
        (planned, joined(actual), joined(deviations))
    }

    /// Returns the spans to draw.
    pub(in crate::http::console) fn lanes(&self) -> LaneSpans {
        let planned = self.planned.iter().filter(|piece| is_scheduled(&piece.activity)).map(|piece| TimelineSpan {
            class: wording::activity_class(&piece.activity),
            label: wording::activity_label(&piece.activity).into_owned(),
            from: piece.start,
            to: piece.end,
            ongoing: false,
            activity: (piece.activity != "work").then(|| piece.activity.clone()),
        });
        let actual = self.actual.iter().map(|piece| TimelineSpan {
            class: wording::state(&piece.state).class,
            label: piece.label(),
            from: piece.start,
            to: piece.end,
            ongoing: piece.ongoing,
            activity: None,
        });
        let deviations = self.pieces.iter().filter(|piece| piece.verdict == "out" || piece.excused);
        let deviations = deviations.map(|piece| TimelineSpan {
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
            activity: None,
        });
        (planned.collect(), actual.collect(), deviations.collect())
    }
}

/// Joins spans that look the same and follow each other without a gap.
fn joined(spans: Vec<TimelineSpan>) -> Vec<TimelineSpan> {
    let mut all: Vec<TimelineSpan> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if last.to == span.from && (last.class, &last.label) == (span.class, &span.label) => {
                (last.to, last.ongoing) = (span.to, span.ongoing);
            }
            _ => all.push(span),
        }
    }
    all
}

/// Returns whether an activity of a plan is part of a shift.
fn is_scheduled(activity: &str) -> bool {
    !["off", "uncovered"].contains(&activity)
}

/// A span to draw.
pub(in crate::http::console) struct TimelineSpan {
    pub(in crate::http::console) class: &'static str,
    pub(in crate::http::console) label: String,
    pub(in crate::http::console) from: UtcMicros,
    pub(in crate::http::console) to: UtcMicros,
    /// Whether the span has not ended.
    pub(in crate::http::console) ongoing: bool,
    /// The planned activity, if the span is one within a shift.
    pub(in crate::http::console) activity: Option<String>,
}

/// A bar of the drawing.
pub(in crate::http::console) struct Bar {
    pub(in crate::http::console) class: &'static str,
    pub(in crate::http::console) label: String,
    /// The distance from the left edge and the width, in per cent.
    pub(in crate::http::console) x: String,
    pub(in crate::http::console) width: String,
    pub(in crate::http::console) from: String,
    pub(in crate::http::console) to: String,
    pub(in crate::http::console) length: String,
    pub(in crate::http::console) ongoing: bool,
    /// The planned activity that can be moved, and when it starts.
    pub(in crate::http::console) activity: Option<(String, UtcMicros)>,
}

/// A lane of bars of one kind.
pub(in crate::http::console) struct Lane {
    pub(in crate::http::console) name: &'static str,
    /// The position of its top.
    pub(in crate::http::console) y: u32,
    pub(in crate::http::console) height: u32,
    /// Whether it is drawn as a strip over the lane above.
    pub(in crate::http::console) hatched: bool,
    pub(in crate::http::console) bars: Vec<Bar>,
}

/// A mark on the axis.
pub(in crate::http::console) struct Tick {
    pub(in crate::http::console) x: String,
    pub(in crate::http::console) label: String,
}

/// A drawing.
pub(in crate::http::console) struct Timeline {
    /// The title, for headings and labels.
    pub(in crate::http::console) title: String,
    pub(in crate::http::console) lanes: Vec<Lane>,
    pub(in crate::http::console) ticks: Vec<Tick>,
    pub(in crate::http::console) now: Option<String>,
    /// Where the first planned activity begins; a drawing wider than its place is first scrolled there.
    pub(in crate::http::console) begins: Option<String>,
    pub(in crate::http::console) height: u32,
    /// The length of the drawn span, which is not always 24 hours.
    pub(in crate::http::console) length: String,
}

impl Timeline {
    /// Whether there is nothing to draw.
    pub(in crate::http::console) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.bars.is_empty())
    }
}

/// The span to draw, and its time zone.
pub(in crate::http::console) struct TimeAxis<'a> {
    pub(in crate::http::console) from: UtcMicros,
    pub(in crate::http::console) to: UtcMicros,
    pub(in crate::http::console) now: UtcMicros,
    pub(in crate::http::console) zone: &'a TimeZone,
}

impl TimeAxis<'_> {
    fn position(&self, at: UtcMicros) -> i64 {
        let length = self.to.as_micros().saturating_sub(self.from.as_micros()).max(1);
        let offset = at.as_micros().clamp(self.from.as_micros(), self.to.as_micros()) - self.from.as_micros();
        i64::try_from(i128::from(offset) * i128::from(FULL_WIDTH) / i128::from(length)).unwrap_or(0)
    }

    fn bar(&self, piece: TimelineSpan) -> Bar {
        let TimelineSpan { class, label, from, to, ongoing, activity } = piece;
        let activity = activity.map(|activity| (activity, from));
        let (left, right) = (self.position(from), self.position(to));
        let clock_text = |at: UtcMicros| {
            let time = TimeFormat::in_zone(at, self.zone).text;
            if self.has_several_days() {
                format!("{} {time}", at.timestamp().to_zoned(self.zone.clone()).strftime("%a"))
            } else {
                time
            }
        };
        Bar {
            class,
            label,
            x: percent(left),
            width: percent((right - left).max(MIN_WIDTH).min(FULL_WIDTH - left)),
            from: clock_text(from),
            to: clock_text(to),
            length: DurationText(to.since(from)).to_string(),
            ongoing,
            activity,
        }
    }

    /// Returns whether the axis is longer than any day, so that an hour alone does not say when.
    fn has_several_days(&self) -> bool {
        self.to.since(self.from) > LONGEST_DAY
    }

    /// Returns where a period starts and how wide it is.
    pub(in crate::http::console) fn extent(&self, from: UtcMicros, to: UtcMicros) -> (String, String) {
        let (left, right) = (self.position(from), self.position(to));
        (percent(left), percent(right - left))
    }

    /// Returns where now is, if it is on the axis.
    pub(in crate::http::console) fn now_position(&self) -> Option<String> {
        (self.from <= self.now && self.now < self.to).then(|| percent(self.position(self.now)))
    }

    /// Returns the hours of the axis, only every second or third if they would be too close together.
    pub(in crate::http::console) fn ticks(&self) -> Vec<Tick> {
        let hours = self.to.since(self.from).as_secs() / 3600;
        let every = match hours {
            0..=8 => 1,
            9..=30 => 2,
            _ => 6,
        };
        let mut ticks = Vec::new();
        let start: Zoned = self.from.timestamp().to_zoned(self.zone.clone());
        let Ok(mut at) = start.round(Unit::Hour) else { return ticks };
        // The loop is bounded by the length of the span, because each step is at least an hour.
        for _ in 0..=hours + 1 {
            let instant = UtcMicros::from(at.timestamp());
            if instant >= self.to {
                break;
            }
            if instant >= self.from && i64::from(at.hour()) % every == 0 {
                ticks.push(Tick { x: percent(self.position(instant)), label: at.strftime("%H:%M").to_string() });
            }
            match at.checked_add(1.hour()) {
                Ok(next) => at = next,
                Err(_) => break,
            }
        }
        ticks
    }
}

fn percent(thousandths: i64) -> String {
    format!("{}.{:03}%", thousandths / 1000, thousandths % 1000)
}

/// Where the lanes of a drawing are.
pub(in crate::http::console) struct LaneLayout {
    /// The top and the height of each lane: planned, actual, and the strip of deviations.
    lanes: [(u32, u32); 3],
    height: u32,
}

impl LaneLayout {
    /// The layout of a drawing on its own, with an axis below.
    pub(in crate::http::console) const FULL: Self = Self { lanes: [(4, 26), (34, 26), (52, 8)], height: 82 };

    /// The layout of a row among many, whose axis is elsewhere.
    pub(in crate::http::console) const ROW: Self = Self { lanes: [(3, 14), (19, 10), (25, 4)], height: 32 };
}

/// Draws the plan over the actual states, with time out of adherence or covered by an exception as a strip across the
/// actual states.
pub(in crate::http::console) fn draw(
    title: String,
    axis: &TimeAxis<'_>,
    layout: &LaneLayout,
    (planned, actual, deviations): LaneSpans,
) -> Timeline {
    let lane = |name, (y, height), hatched, pieces: Vec<TimelineSpan>| Lane {
        name,
        y,
        height,
        hatched,
        bars: pieces.into_iter().filter(|piece| piece.to > piece.from).map(|piece| axis.bar(piece)).collect(),
    };
    let begins = planned.iter().map(|piece| piece.from).min().map(|first| percent(axis.position(first)));
    let [first, second, strip] = layout.lanes;
    Timeline {
        title,
        lanes: vec![
            lane("Planned", first, false, planned),
            lane("Actual", second, false, actual),
            lane("Adherence", strip, true, deviations),
        ],
        ticks: axis.ticks(),
        now: axis.now_position(),
        begins,
        height: layout.height,
        length: whole_hours(axis.to.since(axis.from)),
    }
}

/// Returns the length of a day, for people; a day with a change of clocks does not have 24 hours.
fn whole_hours(length: Duration) -> String {
    format!("{} h", length.as_secs() / 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcMicros {
        text.parse().expect("an instant")
    }

    #[test]
    fn bars_lie_where_their_times_are_and_keep_within_the_drawing() {
        let zone = TimeZone::UTC;
        let (from, to) = (at("2026-10-26T00:00:00Z"), at("2026-10-27T00:00:00Z"));
        let stretch = TimeAxis { from, to, now: at("2026-10-26T12:00:00Z"), zone: &zone };
        let piece = |from, to| TimelineSpan {
            class: "work",
            label: "Work".to_owned(),
            from,
            to,
            ongoing: false,
            activity: None,
        };
        let planned = vec![piece(at("2026-10-25T20:00:00Z"), at("2026-10-26T06:00:00Z"))];
        let actual = vec![piece(at("2026-10-26T23:59:59Z"), to), piece(from, from)];
        let drawn = draw("x".to_owned(), &stretch, &LaneLayout::FULL, (planned, actual, Vec::new()));
        let first = &drawn.lanes[0].bars[0];
        assert_eq!((first.x.as_str(), first.width.as_str()), ("0.000%", "25.000%"));
        let last = &drawn.lanes[1].bars;
        assert_eq!(last.len(), 1, "what has no length is no bar");
        assert_eq!((last[0].x.as_str(), last[0].width.as_str()), ("99.998%", "0.002%"));
        assert_eq!(drawn.now.as_deref(), Some("50.000%"));
        assert_eq!(drawn.ticks.len(), 12);
        assert_eq!(drawn.begins.as_deref(), Some("0.000%"));
    }

    #[test]
    fn a_day_on_which_clocks_are_set_is_drawn_at_its_true_length() {
        let zone = TimeZone::get("Europe/Madrid").expect("a zone");
        let (from, to) = (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"));
        let stretch = TimeAxis { from, to, now: to, zone: &zone };
        let drawn = draw("x".to_owned(), &stretch, &LaneLayout::FULL, (Vec::new(), Vec::new(), Vec::new()));
        assert_eq!(drawn.length, "25 h");
        let twos = drawn.ticks.iter().filter(|tick| tick.label == "02:00").count();
        assert_eq!(twos, 2, "two o'clock came twice");
        assert_eq!(drawn.now, None);
    }
}
