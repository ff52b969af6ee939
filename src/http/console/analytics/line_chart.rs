//! A series drawn as lines: its values, the moving average, the band of what is usual, and marks where it is odd. Draws nothing itself; the
//! template does. Shapes tell things apart where colours do not: a whole line, a broken one, an area, and triangles that point the way.

use jiff::ToSpan as _;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::domain::analytics::anomaly::short;
use crate::domain::time::UtcMicros;
use crate::report::chart::round_step;

/// The picture's own units.
pub(in crate::http::console) const WIDTH: f64 = 960.0;
pub(in crate::http::console) const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 30.0;

/// Half of a mark's width.
const MARK: f64 = 7.0;

/// Instants that the axis names at most.
const MOST_TICKS: i64 = 9;

/// A day, in minutes.
const DAY: i64 = 1440;

/// What may lie between two of them, in minutes.
const TICKS: [i64; 13] = [15, 30, 60, 120, 180, 360, 720, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 56 * DAY];

/// One value.
pub(in crate::http::console) struct Point {
    pub(in crate::http::console) at: UtcMicros,
    pub(in crate::http::console) value: f64,
    pub(in crate::http::console) average: f64,
    /// Outside of this it is odd.
    pub(in crate::http::console) usual: Option<(f64, f64)>,
    /// It is odd: up or down.
    pub(in crate::http::console) odd: Option<Odd>,
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::http::console) enum Odd {
    Spike,
    Drop,
}

/// What the series is of.
pub(in crate::http::console) struct Scale<'a> {
    pub(in crate::http::console) from: UtcMicros,
    pub(in crate::http::console) to: UtcMicros,
    pub(in crate::http::console) zone: &'a TimeZone,
    /// Values are shares of 1.
    pub(in crate::http::console) share: bool,
    /// Points further apart than this have a gap between them.
    pub(in crate::http::console) longest_step_us: i64,
}

/// A mark beside an axis.
pub(in crate::http::console) struct Tick {
    pub(in crate::http::console) place: String,
    pub(in crate::http::console) text: String,
}

/// A triangle.
pub(in crate::http::console) struct Mark {
    pub(in crate::http::console) class: &'static str,
    pub(in crate::http::console) path: String,
}

/// One drawing, all of it as SVG has it.
pub(in crate::http::console) struct LineChart {
    /// Areas: along what is usual at most, and back along the least.
    pub(in crate::http::console) bands: Vec<String>,
    pub(in crate::http::console) averages: Vec<String>,
    pub(in crate::http::console) values: Vec<String>,
    /// Values that have no neighbour to draw a line to.
    pub(in crate::http::console) dots: Vec<(String, String)>,
    pub(in crate::http::console) marks: Vec<Mark>,
    pub(in crate::http::console) upright: Vec<Tick>,
    pub(in crate::http::console) level: Vec<Tick>,
}

/// Where the axis begins and ends.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    /// Of the values; from zero where that is not far below them. The band may reach beyond.
    fn of(points: &[Point]) -> Self {
        let low = points.iter().map(|point| point.value.min(point.average)).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| point.value.max(point.average)).fold(f64::NEG_INFINITY, f64::max);
        let low = if low >= 0.0 && low < high * 0.6 { 0.0 } else { low };
        if low == 0.0 {
            // Round numbers, and no more than all of a share.
            return Self { low, high: 4.0 * round_step(if high > 0.0 { high } else { 1.0 }) };
        }
        let room = if high > low { (high - low) * 0.08 } else { high.abs().max(1.0) * 0.1 };
        Self { low: low - room, high: high + room }
    }

    fn clamp(self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }
}

impl LineChart {
    /// Of points in order; none of no points.
    pub(in crate::http::console) fn of(points: &[Point], scale: &Scale<'_>) -> Option<Self> {
        if points.is_empty() {
            return None;
        }
        let range = Range::of(points);
        let x = |at: UtcMicros| LEFT + scale.part(at) * (WIDTH - LEFT - RIGHT);
        let y =
            |value: f64| TOP + (range.high - range.clamp(value)) / (range.high - range.low) * (HEIGHT - TOP - BOTTOM);
        let stretches =
            |of: &dyn Fn(&Point) -> Option<f64>| scale.stretches(points, &|point| Some((x(point.at), y(of(point)?))));
        let values = stretches(&|point| Some(point.value));
        let (low, high) = (stretches(&|point| Some(point.usual?.0)), stretches(&|point| Some(point.usual?.1)));
        let bands = high.iter().zip(&low).map(|(high, low)| {
            high.iter().chain(low.iter().rev()).map(|place| place_text(*place)).collect::<Vec<_>>().join(" ")
        });
        let dots = values.iter().filter(|stretch| stretch.len() == 1).flatten();
        let dots = dots.map(|(x, y)| (tenths(*x), tenths(*y))).collect();
        let marks = points.iter().filter_map(|point| Some(mark(x(point.at), y(point.value), point.odd?)));
        Some(Self {
            bands: bands.collect(),
            averages: lines(&stretches(&|point| Some(point.average))),
            dots,
            values: lines(&values),
            marks: marks.collect(),
            upright: scale.upright(range, y),
            level: scale.level(x),
        })
    }
}

/// A triangle whose tip lies at the value: from above down on a spike, from below up to a drop.
fn mark(x: f64, y: f64, odd: Odd) -> Mark {
    let (class, way) = match odd {
        Odd::Spike => ("spike", -1.0),
        Odd::Drop => ("drop", 1.0),
    };
    // It has to stay in the picture.
    let tip = (y + way * 4.0).clamp(2.0 * MARK, HEIGHT - BOTTOM - 2.0 * MARK + MARK);
    let base = tip + way * 1.6 * MARK;
    let path = format!(
        "M{} {}L{} {}L{} {}Z",
        tenths(x),
        tenths(tip),
        tenths(x - MARK),
        tenths(base),
        tenths(x + MARK),
        tenths(base)
    );
    Mark { class, path }
}

type Place = (f64, f64);

fn lines(stretches: &[Vec<Place>]) -> Vec<String> {
    let long = stretches.iter().filter(|stretch| stretch.len() > 1);
    long.map(|stretch| stretch.iter().map(|place| place_text(*place)).collect::<Vec<_>>().join(" ")).collect()
}

fn place_text((x, y): Place) -> String {
    format!("{},{}", tenths(x), tenths(y))
}

fn tenths(number: f64) -> String {
    format!("{number:.1}")
}

impl Scale<'_> {
    #[expect(clippy::cast_precision_loss, reason = "a picture shows a thousandth of a span")]
    fn part(&self, at: UtcMicros) -> f64 {
        let micros = |at: UtcMicros| at.as_micros().saturating_sub(self.from.as_micros()) as f64;
        (micros(at) / micros(self.to).max(1.0)).clamp(0.0, 1.0)
    }

    /// Places without a gap between them. What has no place breaks a stretch too.
    fn stretches(&self, points: &[Point], place: &dyn Fn(&Point) -> Option<Place>) -> Vec<Vec<Place>> {
        let (mut all, mut before): (Vec<Vec<Place>>, Option<UtcMicros>) = (Vec::new(), None);
        for point in points {
            let Some(found) = place(point) else {
                before = None;
                continue;
            };
            let goes_on = before
                .is_some_and(|before| point.at.as_micros().saturating_sub(before.as_micros()) <= self.longest_step_us);
            match all.last_mut() {
                Some(stretch) if goes_on => stretch.push(found),
                _ => all.push(vec![found]),
            }
            before = Some(point.at);
        }
        all
    }

    fn upright(&self, range: Range, y: impl Fn(f64) -> f64) -> Vec<Tick> {
        [0.0, 0.25, 0.5, 0.75, 1.0]
            .map(|part| {
                let value = range.low + part * (range.high - range.low);
                Tick { place: tenths(y(value)), text: self.text(value) }
            })
            .into()
    }

    /// A value as people read it: shares in per cent.
    pub(in crate::http::console) fn text(&self, value: f64) -> String {
        if self.share { format!("{} %", short(value * 100.0)) } else { short(value) }
    }

    /// Midnights of the zone, and hours where there are few of them, so many that they do not crowd.
    fn level(&self, x: impl Fn(UtcMicros) -> f64) -> Vec<Tick> {
        let minutes = i64::try_from(self.to.since(self.from).as_secs() / 60).unwrap_or(i64::MAX);
        let every = TICKS.into_iter().find(|every| minutes / every < MOST_TICKS).unwrap_or(91 * DAY);
        let step = if every < DAY { every.minutes() } else { (every / DAY).days() };
        let start = self.from.timestamp().to_zoned(self.zone.clone());
        let Ok(mut at) = start.start_of_day() else { return Vec::new() };
        let mut ticks = Vec::new();
        // Bounded: a step each time, from the midnight before.
        for _ in 0..=(minutes + 2 * DAY) / every {
            let instant = UtcMicros::from(at.timestamp());
            if instant >= self.to {
                break;
            }
            if instant >= self.from {
                let midnight = at.time() == Time::midnight();
                let text = at.strftime(if midnight { "%-d %b" } else { "%H:%M" }).to_string();
                ticks.push(Tick { place: tenths(x(instant)), text });
            }
            let Ok(next) = at.checked_add(step) else { break };
            at = next;
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static UTC: TimeZone = TimeZone::UTC;

    const HOUR_US: i64 = 3_600_000_000;

    fn scale(hours: i64) -> Scale<'static> {
        Scale {
            from: UtcMicros::EPOCH,
            to: UtcMicros::from_micros(hours * HOUR_US),
            zone: &UTC,
            share: false,
            longest_step_us: HOUR_US,
        }
    }

    fn point(hour: i64, value: f64, odd: Option<Odd>) -> Point {
        Point {
            at: UtcMicros::from_micros(hour * HOUR_US),
            value,
            average: value,
            usual: Some((value - 1.0, value + 1.0)),
            odd,
        }
    }

    #[test]
    fn lines_break_where_nothing_is_known_and_a_lone_value_is_a_dot() {
        let points = [point(0, 0.0, None), point(1, 10.0, None), point(3, 5.0, None)];
        let chart = LineChart::of(&points, &scale(4)).expect("a picture");
        assert_eq!((chart.values.len(), chart.dots.len(), chart.bands.len()), (1, 1, 2));
        assert!(chart.values[0].starts_with("64.0,270.0 284.0,"), "{:?}", chart.values);
        assert!(chart.marks.is_empty());
        assert!(LineChart::of(&[], &scale(4)).is_none());
    }

    #[test]
    fn marks_point_at_what_is_odd_and_stay_in_the_picture() {
        let points = [point(0, 5.0, None), point(1, 0.0, Some(Odd::Drop)), point(2, 10.0, Some(Odd::Spike))];
        let chart = LineChart::of(&points, &scale(3)).expect("a picture");
        assert_eq!(chart.marks.iter().map(|mark| mark.class).collect::<Vec<_>>(), ["drop", "spike"]);
        for mark in &chart.marks {
            let numbers = mark.path.split(['M', 'L', 'Z', ' ']).filter_map(|number| number.parse::<f64>().ok());
            assert!(
                numbers.clone().count() == 6 && numbers.clone().all(|number| (0.0..=WIDTH).contains(&number)),
                "{}",
                mark.path
            );
        }
    }

    #[test]
    fn an_axis_of_hours_says_the_time() {
        let texts = |hours| {
            let chart = LineChart::of(&[point(1, 0.0, None), point(2, 1.8, None)], &scale(hours)).expect("a picture");
            (
                chart.level.into_iter().map(|tick| tick.text).collect::<Vec<_>>(),
                chart.upright.into_iter().map(|tick| tick.text).collect::<Vec<_>>(),
            )
        };
        assert_eq!(texts(4).0, ["1 Jan", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "03:30"]);
        assert_eq!(texts(40).0, ["1 Jan", "06:00", "12:00", "18:00", "2 Jan", "06:00", "12:00"]);
        assert_eq!(texts(4).1, ["0", "0.5", "1", "1.5", "2"]);
    }

    #[test]
    fn the_axes_say_what_they_show() {
        let few = LineChart::of(&[point(0, 90.0, None), point(1, 100.0, None)], &scale(72)).expect("a picture");
        assert_eq!(
            few.level.iter().map(|tick| tick.text.as_str()).collect::<Vec<_>>(),
            ["1 Jan", "12:00", "2 Jan", "12:00", "3 Jan", "12:00"]
        );
        assert_eq!(few.upright.first().map(|tick| tick.text.as_str()), Some("89.2"), "far from zero");
        let flat = LineChart::of(&[point(0, 0.0, None)], &scale(24 * 60)).expect("a picture");
        assert!(flat.level.len() <= 9, "{}", flat.level.len());
        assert_eq!(flat.upright.last().map(|tick| tick.text.as_str()), Some("1"), "nothing but zero");
        let shares = Scale { share: true, ..scale(24) };
        let all = LineChart::of(&[point(0, 0.0, None), point(1, 1.0, None)], &shares).expect("a picture");
        assert_eq!(
            all.upright.iter().map(|tick| tick.text.as_str()).collect::<Vec<_>>(),
            ["0 %", "25 %", "50 %", "75 %", "100 %"],
            "there is no more than all"
        );
        assert_eq!(shares.text(0.8251), "82.5 %");
    }
}
