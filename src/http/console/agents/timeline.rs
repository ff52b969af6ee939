//! A stretch of time drawn as lanes of bars: planned over actual, and where the two are apart. The same bars are a table, for
//! who reads rather than looks.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Unit, Zoned};

use crate::domain::time::UtcMicros;
use crate::http::console::shared::times::{Span, Times};

/// Thousandths of a per cent in the whole width.
const WHOLE: i64 = 100_000;

/// Bars nearer to each other than this are told apart in the table alone; narrower ones would not be seen.
const NARROWEST: i64 = 60;

/// What is to be drawn.
pub(in crate::http::console) struct Piece {
    pub(in crate::http::console) class: &'static str,
    pub(in crate::http::console) label: String,
    pub(in crate::http::console) from: UtcMicros,
    pub(in crate::http::console) to: UtcMicros,
    /// It goes on.
    pub(in crate::http::console) ongoing: bool,
}

/// One bar.
pub(in crate::http::console) struct Bar {
    pub(in crate::http::console) class: &'static str,
    pub(in crate::http::console) label: String,
    /// From the left edge, and how wide, as per cent.
    pub(in crate::http::console) x: String,
    pub(in crate::http::console) width: String,
    pub(in crate::http::console) from: String,
    pub(in crate::http::console) to: String,
    pub(in crate::http::console) length: String,
    pub(in crate::http::console) ongoing: bool,
}

/// Bars of one kind, one under the other.
pub(in crate::http::console) struct Lane {
    pub(in crate::http::console) name: &'static str,
    /// Where its top is.
    pub(in crate::http::console) y: u32,
    pub(in crate::http::console) height: u32,
    /// Drawn as a strip over the lane above.
    pub(in crate::http::console) hatched: bool,
    pub(in crate::http::console) bars: Vec<Bar>,
}

/// A mark of the axis.
pub(in crate::http::console) struct Tick {
    pub(in crate::http::console) x: String,
    pub(in crate::http::console) label: String,
}

/// One drawing.
pub(in crate::http::console) struct Timeline {
    /// What it is of, for headings and names.
    pub(in crate::http::console) title: String,
    pub(in crate::http::console) lanes: Vec<Lane>,
    pub(in crate::http::console) ticks: Vec<Tick>,
    pub(in crate::http::console) now: Option<String>,
    /// Where the first that is planned begins: there the drawing is looked at first where it is wider than its place.
    pub(in crate::http::console) begins: Option<String>,
    pub(in crate::http::console) height: u32,
    /// How long it is: not always 24 hours.
    pub(in crate::http::console) length: String,
}

impl Timeline {
    /// Whether there is nothing to draw.
    pub(in crate::http::console) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.bars.is_empty())
    }
}

/// A span to draw, in a zone.
pub(in crate::http::console) struct Stretch<'a> {
    pub(in crate::http::console) from: UtcMicros,
    pub(in crate::http::console) to: UtcMicros,
    pub(in crate::http::console) now: UtcMicros,
    pub(in crate::http::console) zone: &'a TimeZone,
}

impl Stretch<'_> {
    fn place(&self, at: UtcMicros) -> i64 {
        let length = self.to.as_micros().saturating_sub(self.from.as_micros()).max(1);
        let offset = at.as_micros().clamp(self.from.as_micros(), self.to.as_micros()) - self.from.as_micros();
        i64::try_from(i128::from(offset) * i128::from(WHOLE) / i128::from(length)).unwrap_or(0)
    }

    fn bar(&self, piece: Piece) -> Bar {
        let Piece { class, label, from, to, ongoing } = piece;
        let (left, right) = (self.place(from), self.place(to));
        let clock = |at| Times::in_zone(at, self.zone).text;
        Bar {
            class,
            label,
            x: percent(left),
            width: percent((right - left).max(NARROWEST).min(WHOLE - left)),
            from: clock(from),
            to: clock(to),
            length: Span(to.since(from)).to_string(),
            ongoing,
        }
    }

    /// The hours of the axis, every second or third where they would crowd.
    fn ticks(&self) -> Vec<Tick> {
        let hours = self.to.since(self.from).as_secs() / 3600;
        let every = match hours {
            0..=8 => 1,
            9..=30 => 2,
            _ => 6,
        };
        let mut ticks = Vec::new();
        let start: Zoned = self.from.timestamp().to_zoned(self.zone.clone());
        let Ok(mut at) = start.round(Unit::Hour) else { return ticks };
        // Bounded by the length of the stretch: an hour at least each time.
        for _ in 0..=hours + 1 {
            let instant = UtcMicros::from(at.timestamp());
            if instant >= self.to {
                break;
            }
            if instant >= self.from && i64::from(at.hour()) % every == 0 {
                ticks.push(Tick { x: percent(self.place(instant)), label: at.strftime("%H:%M").to_string() });
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

/// Where lanes stand in a drawing.
const LANE: u32 = 26;
const TOP: u32 = 4;
const AXIS: u32 = 22;

/// Draws planned over actual, with what is out of adherence, or covered by an exception, as a strip across the actual.
pub(in crate::http::console) fn draw(
    title: String,
    stretch: &Stretch<'_>,
    (planned, actual, judged): (Vec<Piece>, Vec<Piece>, Vec<Piece>),
) -> Timeline {
    let lane = |name, y, height, hatched, pieces: Vec<Piece>| Lane {
        name,
        y,
        height,
        hatched,
        bars: pieces.into_iter().filter(|piece| piece.to > piece.from).map(|piece| stretch.bar(piece)).collect(),
    };
    let second = TOP + LANE + 4;
    let begins = planned.iter().map(|piece| piece.from).min().map(|first| percent(stretch.place(first)));
    let now = (stretch.from <= stretch.now && stretch.now < stretch.to).then(|| percent(stretch.place(stretch.now)));
    Timeline {
        title,
        lanes: vec![
            lane("Planned", TOP, LANE, false, planned),
            lane("Actual", second, LANE, false, actual),
            lane("Adherence", second + LANE - 8, 8, true, judged),
        ],
        ticks: stretch.ticks(),
        now,
        begins,
        height: second + LANE + AXIS,
        length: hours(stretch.to.since(stretch.from)),
    }
}

/// A day's length in words: a day on which clocks are set is no 24 hours.
fn hours(length: Duration) -> String {
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
        let stretch = Stretch { from, to, now: at("2026-10-26T12:00:00Z"), zone: &zone };
        let piece = |from, to| Piece { class: "work", label: "Work".to_owned(), from, to, ongoing: false };
        let planned = vec![piece(at("2026-10-25T20:00:00Z"), at("2026-10-26T06:00:00Z"))];
        let actual = vec![piece(at("2026-10-26T23:59:59Z"), to), piece(from, from)];
        let drawn = draw("x".to_owned(), &stretch, (planned, actual, Vec::new()));
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
        let stretch = Stretch { from, to, now: to, zone: &zone };
        let drawn = draw("x".to_owned(), &stretch, (Vec::new(), Vec::new(), Vec::new()));
        assert_eq!(drawn.length, "25 h");
        let twos = drawn.ticks.iter().filter(|tick| tick.label == "02:00").count();
        assert_eq!(twos, 2, "two o'clock came twice");
        assert_eq!(drawn.now, None);
    }
}
