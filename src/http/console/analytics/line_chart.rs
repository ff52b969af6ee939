//! A series drawn as lines: its values, the moving average, the expected range, and marks at anomalies.
//!
//! This module only computes the drawing; the template writes it. Shapes distinguish what colours may not: a solid
//! line, a dashed one, an area, and triangles that point up or down. Anomalies close together share one triangle with
//! their number, so that marks never hide the line.

use jiff::ToSpan as _;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::domain::analytics::anomaly::format_short;
use crate::domain::time::UtcMicros;
use crate::report::writers::chart::round_step;

/// The size of the drawing, in its own units.
pub(in crate::http::console) const WIDTH: f64 = 960.0;
pub(in crate::http::console) const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 30.0;

/// Half of the width of a mark.
const MARK_HALF_WIDTH: f64 = 6.0;

/// The smallest distance between two marks of the same direction.
const MARK_DISTANCE: f64 = 70.0;

/// The maximum number of labels on the time axis.
const MAX_TICKS: i64 = 9;

/// A day, in minutes.
const DAY_MINUTES: i64 = 1440;

/// The possible distances between labels, in minutes.
const TICK_STEPS: [i64; 13] = [
    15,
    30,
    60,
    120,
    180,
    360,
    720,
    DAY_MINUTES,
    2 * DAY_MINUTES,
    7 * DAY_MINUTES,
    14 * DAY_MINUTES,
    28 * DAY_MINUTES,
    56 * DAY_MINUTES,
];

/// A value with its average and expected range.
pub(in crate::http::console) struct Point {
    pub(in crate::http::console) at: UtcMicros,
    pub(in crate::http::console) value: f64,
    pub(in crate::http::console) average: f64,
    /// The expected range.
    pub(in crate::http::console) expected: Option<(f64, f64)>,
    /// The direction of the anomaly, if the value is one.
    pub(in crate::http::console) anomaly: Option<AnomalyDirection>,
}

/// The direction of an anomaly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::http::console) enum AnomalyDirection {
    Spike,
    Drop,
}

/// The span and the unit of the series.
pub(in crate::http::console) struct Scale<'a> {
    pub(in crate::http::console) from: UtcMicros,
    pub(in crate::http::console) to: UtcMicros,
    pub(in crate::http::console) zone: &'a TimeZone,
    /// Whether the values are shares of 1.
    pub(in crate::http::console) share: bool,
    /// The longest distance between two points, in microseconds, that are joined by a line.
    pub(in crate::http::console) longest_step_us: i64,
}

/// A label on an axis.
pub(in crate::http::console) struct Tick {
    pub(in crate::http::console) place: String,
    pub(in crate::http::console) text: String,
}

/// A triangle that marks an anomaly, or several close together at the most extreme of them.
pub(in crate::http::console) struct Mark {
    pub(in crate::http::console) class: &'static str,
    pub(in crate::http::console) path: String,
    /// How many anomalies the mark stands for.
    pub(in crate::http::console) count: usize,
    /// Where the number goes, and `beside` if it ends there instead of starting there.
    pub(in crate::http::console) x: String,
    pub(in crate::http::console) y: String,
    pub(in crate::http::console) class_of_number: &'static str,
}

/// A drawing, with all parts in SVG syntax.
pub(in crate::http::console) struct LineChart {
    /// The areas of the expected range: along its upper limit, and back along its lower one.
    pub(in crate::http::console) bands: Vec<String>,
    pub(in crate::http::console) averages: Vec<String>,
    pub(in crate::http::console) values: Vec<String>,
    /// Values without a neighbour to draw a line to.
    pub(in crate::http::console) dots: Vec<(String, String)>,
    pub(in crate::http::console) marks: Vec<Mark>,
    pub(in crate::http::console) value_ticks: Vec<Tick>,
    pub(in crate::http::console) time_ticks: Vec<Tick>,
}

/// The limits of the value axis.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    /// Returns the limits for the values, starting at zero if that is not far below them. The expected range may exceed
    /// the limits.
    fn from_points(points: &[Point]) -> Self {
        let low = points.iter().map(|point| point.value.min(point.average)).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| point.value.max(point.average)).fold(f64::NEG_INFINITY, f64::max);
        let low = if low >= 0.0 && low < high * 0.6 { 0.0 } else { low };
        if low == 0.0 {
            // Use round numbers, and at most 100 % for shares.
            return Self { low, high: 4.0 * round_step(if high > 0.0 { high } else { 1.0 }) };
        }
        let margin = if high > low { (high - low) * 0.08 } else { high.abs().max(1.0) * 0.1 };
        Self { low: low - margin, high: high + margin }
    }

    fn clamp(self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }
}

impl LineChart {
    /// Draws points in order of time. Returns `None` if there are none.
    pub(in crate::http::console) fn from_points(points: &[Point], scale: &Scale<'_>) -> Option<Self> {
        if points.is_empty() {
            return None;
        }
        let range = Range::from_points(points);
        let x = |at: UtcMicros| LEFT + scale.fraction(at) * (WIDTH - LEFT - RIGHT);
        let y =
            |value: f64| TOP + (range.high - range.clamp(value)) / (range.high - range.low) * (HEIGHT - TOP - BOTTOM);
        let segments =
            |of: &dyn Fn(&Point) -> Option<f64>| scale.segments(points, &|point| Some((x(point.at), y(of(point)?))));
        let values = segments(&|point| Some(point.value));
        let (low, high) = (segments(&|point| Some(point.expected?.0)), segments(&|point| Some(point.expected?.1)));
        let bands = high.iter().zip(&low).map(|(high, low)| {
            high.iter().chain(low.iter().rev()).map(|place| coordinates(*place)).collect::<Vec<_>>().join(" ")
        });
        let dots = values.iter().filter(|stretch| stretch.len() == 1).flatten();
        let dots = dots.map(|(x, y)| (tenths(*x), tenths(*y))).collect();
        let marks = [AnomalyDirection::Spike, AnomalyDirection::Drop].into_iter().flat_map(|direction| {
            let odd = points.iter().filter(move |point| point.anomaly == Some(direction));
            marks(odd.map(|point| (x(point.at), y(point.value))), direction)
        });
        Some(Self {
            bands: bands.collect(),
            averages: polylines(&segments(&|point| Some(point.average))),
            dots,
            values: polylines(&values),
            marks: marks.collect(),
            value_ticks: scale.value_ticks(range, y),
            time_ticks: scale.time_ticks(x),
        })
    }
}

/// Draws the marks of anomalies of one direction, from left to right. Those closer together than [`MARK_DISTANCE`] share
/// a mark at the most extreme of them.
fn marks(places: impl Iterator<Item = Position>, direction: AnomalyDirection) -> Vec<Mark> {
    let is_beyond = |y: f64, other: f64| match direction {
        AnomalyDirection::Spike => y < other,
        AnomalyDirection::Drop => y > other,
    };
    let mut groups: Vec<(f64, Position, usize)> = Vec::new();
    for (x, y) in places {
        match groups.last_mut() {
            Some((start, extreme, count)) if x - start.max(extreme.0) < MARK_DISTANCE => {
                if is_beyond(y, extreme.1) {
                    *extreme = (x, y);
                }
                *count += 1;
            }
            _ => groups.push((x, (x, y), 1)),
        }
    }
    groups.into_iter().map(|(_, place, count)| mark(place, count, direction)).collect()
}

/// Draws a triangle beyond the value: above a spike and pointing up, or below a drop and pointing down.
fn mark((x, y): Position, count: usize, direction: AnomalyDirection) -> Mark {
    let (class, sign) = match direction {
        AnomalyDirection::Spike => ("spike", -1.0),
        AnomalyDirection::Drop => ("drop", 1.0),
    };
    let height = 1.6 * MARK_HALF_WIDTH;
    // Keep the triangle within the drawing.
    let tip = (y + sign * (4.0 + height)).clamp(1.0, HEIGHT - BOTTOM + height);
    let base = tip - sign * height;
    let path = format!(
        "M{} {}L{} {}L{} {}Z",
        tenths(x),
        tenths(tip),
        tenths(x - MARK_HALF_WIDTH),
        tenths(base),
        tenths(x + MARK_HALF_WIDTH),
        tenths(base)
    );
    // The number is beside the mark, on the side that has room for it.
    let (class_of_number, offset) =
        if x < WIDTH - 2.0 * RIGHT - MARK_HALF_WIDTH { ("", 1.0) } else { ("beside", -1.0) };
    let x = tenths(x + offset * (MARK_HALF_WIDTH + 2.0));
    Mark { class, path, count, x, y: tenths(tip.midpoint(base)), class_of_number }
}

type Position = (f64, f64);

fn polylines(stretches: &[Vec<Position>]) -> Vec<String> {
    let long = stretches.iter().filter(|stretch| stretch.len() > 1);
    long.map(|stretch| stretch.iter().map(|place| coordinates(*place)).collect::<Vec<_>>().join(" ")).collect()
}

fn coordinates((x, y): Position) -> String {
    format!("{},{}", tenths(x), tenths(y))
}

fn tenths(number: f64) -> String {
    format!("{number:.1}")
}

impl Scale<'_> {
    #[expect(clippy::cast_precision_loss, reason = "a picture shows a thousandth of a span")]
    fn fraction(&self, at: UtcMicros) -> f64 {
        let micros = |at: UtcMicros| at.as_micros().saturating_sub(self.from.as_micros()) as f64;
        (micros(at) / micros(self.to).max(1.0)).clamp(0.0, 1.0)
    }

    /// Splits the positions wherever points are too far apart or one has no position.
    fn segments(&self, points: &[Point], position_of: &dyn Fn(&Point) -> Option<Position>) -> Vec<Vec<Position>> {
        let (mut all, mut previous): (Vec<Vec<Position>>, Option<UtcMicros>) = (Vec::new(), None);
        for point in points {
            let Some(position) = position_of(point) else {
                previous = None;
                continue;
            };
            let continues = previous
                .is_some_and(|before| point.at.as_micros().saturating_sub(before.as_micros()) <= self.longest_step_us);
            match all.last_mut() {
                Some(stretch) if continues => stretch.push(position),
                _ => all.push(vec![position]),
            }
            previous = Some(point.at);
        }
        all
    }

    fn value_ticks(&self, range: Range, y: impl Fn(f64) -> f64) -> Vec<Tick> {
        [0.0, 0.25, 0.5, 0.75, 1.0]
            .map(|part| {
                let value = range.low + part * (range.high - range.low);
                Tick { place: tenths(y(value)), text: self.value_text(value) }
            })
            .into()
    }

    /// Formats a value for people; a share as a percentage.
    pub(in crate::http::console) fn value_text(&self, value: f64) -> String {
        if self.share { format!("{} %", format_short(value * 100.0)) } else { format_short(value) }
    }

    /// Returns the labels of the time axis: midnights of the time zone, and hours if the span is short enough.
    fn time_ticks(&self, x: impl Fn(UtcMicros) -> f64) -> Vec<Tick> {
        let minutes = i64::try_from(self.to.since(self.from).as_secs() / 60).unwrap_or(i64::MAX);
        let step_minutes = TICK_STEPS.into_iter().find(|every| minutes / every < MAX_TICKS).unwrap_or(91 * DAY_MINUTES);
        let step =
            if step_minutes < DAY_MINUTES { step_minutes.minutes() } else { (step_minutes / DAY_MINUTES).days() };
        let start = self.from.timestamp().to_zoned(self.zone.clone());
        let Ok(mut at) = start.start_of_day() else { return Vec::new() };
        let mut ticks = Vec::new();
        // The loop is bounded: it advances by one step each time, from the midnight before the span.
        for _ in 0..=(minutes + 2 * DAY_MINUTES) / step_minutes {
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

    fn point(hour: i64, value: f64, odd: Option<AnomalyDirection>) -> Point {
        Point {
            at: UtcMicros::from_micros(hour * HOUR_US),
            value,
            average: value,
            expected: Some((value - 1.0, value + 1.0)),
            anomaly: odd,
        }
    }

    #[test]
    fn lines_break_where_nothing_is_known_and_a_lone_value_is_a_dot() {
        let points = [point(0, 0.0, None), point(1, 10.0, None), point(3, 5.0, None)];
        let chart = LineChart::from_points(&points, &scale(4)).expect("a picture");
        assert_eq!((chart.values.len(), chart.dots.len(), chart.bands.len()), (1, 1, 2));
        assert!(chart.values[0].starts_with("64.0,270.0 284.0,"), "{:?}", chart.values);
        assert!(chart.marks.is_empty());
        assert!(LineChart::from_points(&[], &scale(4)).is_none());
    }

    #[test]
    fn marks_point_up_at_spikes_and_down_at_drops_and_stay_in_the_picture() {
        let points = [
            point(0, 5.0, None),
            point(1, 0.0, Some(AnomalyDirection::Drop)),
            point(2, 10.0, Some(AnomalyDirection::Spike)),
        ];
        let chart = LineChart::from_points(&points, &scale(3)).expect("a picture");
        assert_eq!(chart.marks.iter().map(|mark| mark.class).collect::<Vec<_>>(), ["spike", "drop"]);
        for mark in &chart.marks {
            let numbers = mark.path.split(['M', 'L', 'Z', ' ']).filter_map(|number| number.parse::<f64>().ok());
            let numbers: Vec<f64> = numbers.collect();
            assert!(numbers.len() == 6 && numbers.iter().all(|number| (0.0..=WIDTH).contains(number)), "{}", mark.path);
            let (tip, base) = (numbers[1], numbers[3]);
            assert_eq!(tip < base, mark.class == "spike", "{}: the tip is above the base", mark.class);
        }
    }

    #[test]
    fn anomalies_close_together_share_a_mark_at_the_most_extreme_of_them() {
        let odd = |hour, value| point(hour, value, Some(AnomalyDirection::Spike));
        let all: Vec<Point> = (0..1000).map(|hour| odd(hour, if hour == 500 { 90.0 } else { 50.0 })).collect();
        let chart = LineChart::from_points(&all, &scale(1000)).expect("a picture");
        assert!(chart.marks.len() <= 13, "{} marks", chart.marks.len());
        assert_eq!(chart.marks.iter().map(|mark| mark.count).sum::<usize>(), 1000, "none is left out");
        let apart = [odd(0, 5.0), odd(500, 9.0)];
        let chart = LineChart::from_points(&apart, &scale(1000)).expect("a picture");
        assert_eq!(chart.marks.iter().map(|mark| mark.count).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn an_axis_of_hours_says_the_time() {
        let texts = |hours| {
            let chart =
                LineChart::from_points(&[point(1, 0.0, None), point(2, 1.8, None)], &scale(hours)).expect("a picture");
            (
                chart.time_ticks.into_iter().map(|tick| tick.text).collect::<Vec<_>>(),
                chart.value_ticks.into_iter().map(|tick| tick.text).collect::<Vec<_>>(),
            )
        };
        assert_eq!(texts(4).0, ["1 Jan", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "03:30"]);
        assert_eq!(texts(40).0, ["1 Jan", "06:00", "12:00", "18:00", "2 Jan", "06:00", "12:00"]);
        assert_eq!(texts(4).1, ["0", "0.5", "1", "1.5", "2"]);
    }

    #[test]
    fn the_axes_say_what_they_show() {
        let few =
            LineChart::from_points(&[point(0, 90.0, None), point(1, 100.0, None)], &scale(72)).expect("a picture");
        assert_eq!(
            few.time_ticks.iter().map(|tick| tick.text.as_str()).collect::<Vec<_>>(),
            ["1 Jan", "12:00", "2 Jan", "12:00", "3 Jan", "12:00"]
        );
        assert_eq!(few.value_ticks.first().map(|tick| tick.text.as_str()), Some("89.2"), "far from zero");
        let flat = LineChart::from_points(&[point(0, 0.0, None)], &scale(24 * 60)).expect("a picture");
        assert!(flat.time_ticks.len() <= 9, "{}", flat.time_ticks.len());
        assert_eq!(flat.value_ticks.last().map(|tick| tick.text.as_str()), Some("1"), "nothing but zero");
        let shares = Scale { share: true, ..scale(24) };
        let all = LineChart::from_points(&[point(0, 0.0, None), point(1, 1.0, None)], &shares).expect("a picture");
        assert_eq!(
            all.value_ticks.iter().map(|tick| tick.text.as_str()).collect::<Vec<_>>(),
            ["0 %", "25 %", "50 %", "75 %", "100 %"],
            "there is no more than all"
        );
        assert_eq!(shares.value_text(0.8251), "82.5 %");
    }
}
