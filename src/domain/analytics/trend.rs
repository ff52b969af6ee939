//! Trends and anomalies of a series: a moving average, a z-score against the window before each value, and a comparison
//! with the same quarter hour and weekday of earlier weeks.
//!
//! A value is judged only by earlier ones, so that later values do not change its result. A missing value is a gap,
//! never zero, and is not filled in.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// The number of values used for the moving average and the z-score (source: guide 002).
pub const WINDOW: usize = 3;

/// The z-score above which a value is an anomaly (source: guide 002).
pub const THRESHOLD: f64 = 2.0;

/// The seasonal score above which a value is an anomaly (source: Iglewicz and Hoaglin, "How to Detect and Handle
/// Outliers", 1993).
pub const SEASONAL_THRESHOLD: f64 = 3.5;

/// The number of earlier weeks needed to judge a quarter hour of a weekday.
pub const MIN_WEEKS: usize = 4;

/// The factor from a median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.482_602;

/// The same factor for the mean absolute deviation, used if more than half of the values are equal.
const MEAN_DEVIATION_TO_SIGMA: f64 = 1.253_314;

/// The largest rounding error in the mean of equal values, as a share of it.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

const QUARTER_MINUTES: i8 = 15;

/// The number of quarter hours on each side that help to estimate the spread of one.
const NEIGHBOUR_QUARTERS: i8 = 4;

/// The settings for judging a series.
#[derive(Clone, Debug)]
pub struct TrendSettings {
    /// The number of values used for the moving average and the z-score, at least 2.
    pub window: usize,
    /// The z-score above which a value is an anomaly.
    pub threshold: f64,
    /// The time zone that determines weekday and quarter hour; `None` for no seasonal comparison.
    pub zone: Option<TimeZone>,
}

impl TrendSettings {
    /// Enables the seasonal comparison, by the days and hours of this zone.
    #[must_use]
    pub fn in_zone(self, zone: &TimeZone) -> Self {
        Self { zone: self.zone.map(|_| zone.clone()), ..self }
    }
}

impl Default for TrendSettings {
    fn default() -> Self {
        Self { window: WINDOW, threshold: THRESHOLD, zone: None }
    }
}

/// One value of a series, for the time that begins at `at`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// The start of its time.
    pub at: UtcMicros,
    /// The value, which is finite; `None` for a gap.
    pub value: Option<f64>,
}

named_enum! {
    /// Where a value lies relative to the moving average.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    #[schema(as = TrendDirection)]
    pub enum Direction {
        /// Above the moving average.
        Up = "UP",
        /// Below the moving average.
        Down = "DOWN",
        /// Equal to the moving average. (The vendor's guide calls this `DOWN` too.)
        Level = "LEVEL",
    }
}

named_enum! {
    /// The direction of an anomaly.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    pub enum AnomalyKind {
        /// Far above the expected value.
        Spike = "SPIKE",
        /// Far below the expected value.
        Drop = "DROP",
    }
}

impl AnomalyKind {
    /// Returns the word for rules and sentences.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Drop => "drop",
        }
    }
}

named_enum! {
    /// What a value is compared with.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = TrendBaseline)]
    pub enum Baseline {
        /// The values just before it: its z-score exceeds the threshold.
        Window = "window",
        /// The values of the same quarter hour and weekday in earlier weeks.
        Season = "season",
    }
}

/// A comparison of a value with the same quarter hour and weekday of earlier weeks.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, ToSchema)]
#[schema(as = TrendSeason)]
pub struct SeasonalScore {
    /// The median of the earlier weeks.
    pub expected: f64,
    /// The robust spread of these values and of the four quarter hours on each side, each around its own median, as a
    /// standard deviation; 0 if all of them are equal.
    pub spread: f64,
    /// The distance of the value from the median, in spreads; null if all earlier values are equal.
    pub score: Option<f64>,
    /// The number of earlier weeks.
    pub weeks: usize,
}

/// A value of a series and its evaluation.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct TrendPoint {
    /// The start of the value's interval.
    pub at: UtcMicros,
    /// The value.
    pub value: f64,
    /// The mean of the value and those before it, `window` values in all, or fewer at the start of the series.
    pub moving_average: f64,
    /// Where the value lies relative to the moving average.
    pub direction: Direction,
    /// The distance from the mean of the `window` values before, in their population standard deviations; null if there
    /// are fewer values or all of them are equal.
    pub z_score: Option<f64>,
    /// The comparison with earlier weeks; null if there are too few of them or the series is not compared with them.
    pub season: Option<SeasonalScore>,
    /// The expected range; null if it cannot be computed.
    pub usual: Option<ExpectedRange>,
    /// The anomaly; null if the value is in its expected range.
    pub anomaly: Option<Anomaly>,
}

/// The expected range of a value: from earlier weeks if enough are known, otherwise from the values just before.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, ToSchema)]
#[schema(as = TrendUsual)]
pub struct ExpectedRange {
    /// The lower bound. A value below it is a drop.
    pub low: f64,
    /// The upper bound. A value above it is a spike.
    pub high: f64,
}

impl ExpectedRange {
    fn around(middle: f64, width: f64) -> Self {
        Self { low: middle - width, high: middle + width }
    }
}

/// A value outside its expected range.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, ToSchema)]
#[schema(as = TrendAnomaly)]
pub struct Anomaly {
    /// The direction.
    pub kind: AnomalyKind,
    /// What the value was compared with. If earlier weeks are known, only they count: what happens every Monday morning
    /// is no anomaly, however sudden it is, and what never happened on a Monday is one, however slowly it came about.
    pub baseline: Baseline,
    /// The distance from the expected value, in spreads (`season`) or standard deviations (`window`).
    pub score: f64,
}

/// Judges a series, given in order. Gaps have no point in the result.
pub fn trend(samples: &[Sample], settings: &TrendSettings) -> Vec<TrendPoint> {
    let window = settings.window.max(2);
    let mut history = SeasonalHistory::default();
    let mut values: Vec<f64> = Vec::with_capacity(samples.len());
    let mut points = Vec::with_capacity(samples.len());
    for sample in samples {
        let Some(value) = sample.value else { continue };
        let previous = &values[values.len().saturating_sub(window)..];
        let spread = if previous.len() == window { mean_and_deviation(previous) } else { None };
        let z_score = spread.map(|(mean, deviation)| (value - mean) / deviation);
        let season =
            settings.zone.as_ref().and_then(|zone| history.judge_and_add(week_quarter(sample.at, zone), value));
        values.push(value);
        let moving_average = mean(&values[values.len().saturating_sub(window)..]);
        points.push(TrendPoint {
            at: sample.at,
            value,
            moving_average,
            direction: direction(value, moving_average),
            z_score,
            season,
            usual: match season {
                Some(season) => {
                    season.score.map(|_| ExpectedRange::around(season.expected, SEASONAL_THRESHOLD * season.spread))
                }
                None => spread.map(|(mean, deviation)| ExpectedRange::around(mean, settings.threshold * deviation)),
            },
            anomaly: classify_anomaly(z_score, season, settings.threshold),
        });
    }
    points
}

fn direction(value: f64, average: f64) -> Direction {
    match value.total_cmp(&average) {
        std::cmp::Ordering::Greater => Direction::Up,
        std::cmp::Ordering::Less => Direction::Down,
        std::cmp::Ordering::Equal => Direction::Level,
    }
}

fn classify_anomaly(z_score: Option<f64>, season: Option<SeasonalScore>, threshold: f64) -> Option<Anomaly> {
    let (baseline, score, limit) = match season {
        Some(season) => (Baseline::Season, season.score?, SEASONAL_THRESHOLD),
        None => (Baseline::Window, z_score?, threshold),
    };
    let kind = if score > 0.0 { AnomalyKind::Spike } else { AnomalyKind::Drop };
    (score.abs() > limit).then_some(Anomaly { kind, baseline, score })
}

/// Returns the mean and the standard deviation of the population; `None` if all values are equal.
fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let mean = mean(values);
    let variance = values.iter().map(|other| (other - mean).powi(2)).sum::<f64>() / to_f64(values.len());
    let deviation = variance.sqrt();
    // The mean of equal values may have a rounding error.
    (deviation > ROUNDING * mean.abs()).then_some((mean, deviation))
}

/// A quarter hour of a week: the weekday, starting on Monday, and the quarter hour of the day.
type WeekQuarter = (i8, i8);

/// The values of each quarter hour of the week so far, sorted.
#[derive(Default)]
struct SeasonalHistory(HashMap<WeekQuarter, Vec<f64>>);

impl SeasonalHistory {
    /// Judges a value by the earlier ones of its quarter hour, then adds it.
    fn judge_and_add(&mut self, week_quarter: WeekQuarter, value: f64) -> Option<SeasonalScore> {
        let season = self.judge(week_quarter, value);
        let earlier = self.0.entry(week_quarter).or_default();
        let index = earlier.partition_point(|other| *other < value);
        earlier.insert(index, value);
        season
    }

    fn enough_values(&self, week_quarter: WeekQuarter) -> Option<&[f64]> {
        self.0.get(&week_quarter).map(Vec::as_slice).filter(|earlier| earlier.len() >= MIN_WEEKS)
    }

    fn judge(&self, (day, quarter): WeekQuarter, value: f64) -> Option<SeasonalScore> {
        let earlier = self.enough_values((day, quarter))?;
        let expected = median(earlier);
        // A few weeks may be similar by chance, so the spread of the neighbouring quarter hours, each around its own
        // median, counts too.
        let neighbours = (quarter - NEIGHBOUR_QUARTERS..=quarter + NEIGHBOUR_QUARTERS)
            .filter_map(|quarter| self.enough_values((day, quarter)));
        let mut deviations: Vec<f64> = neighbours
            .flat_map(|values| {
                let expected = median(values);
                values.iter().map(move |value| (value - expected).abs())
            })
            .collect();
        deviations.sort_by(f64::total_cmp);
        let robust = MAD_TO_SIGMA * median(&deviations);
        let deviation = if robust > 0.0 { robust } else { MEAN_DEVIATION_TO_SIGMA * mean(&deviations) };
        let spread = deviation * small_sample_factor(earlier.len());
        let score = (spread > 0.0).then(|| (value - expected) / spread);
        Some(SeasonalScore { expected, spread, score, weeks: earlier.len() })
    }
}

/// Returns the correction for small samples: with few values the median absolute deviation is too small (source: Croux
/// and Rousseeuw, "Time-efficient algorithms for two highly robust estimators of scale", 1992), and the median itself
/// varies, with a variance of pi / 2n of theirs.
fn small_sample_factor(weeks: usize) -> f64 {
    let deviation_factor = match weeks {
        ..=4 => 1.363,
        5 => 1.206,
        6 => 1.200,
        7 => 1.140,
        8 => 1.129,
        9 => 1.107,
        _ => to_f64(weeks) / (to_f64(weeks) - 0.8),
    };
    deviation_factor * (1.0 + std::f64::consts::FRAC_PI_2 / to_f64(weeks)).sqrt()
}

/// Returns the median of sorted values; zero for none.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle), middle.checked_sub(1).and_then(|below| sorted.get(below))) {
        (Some(above), Some(below)) if sorted.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (Some(value), _) => *value,
        (None, _) => 0.0,
    }
}

/// Returns the mean; zero for no values.
pub(in crate::domain) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / to_f64(values.len()) }
}

/// Converts a count, which is far below the largest integer that a float holds exactly.
fn to_f64(values: usize) -> f64 {
    f64::from(u32::try_from(values).unwrap_or(u32::MAX))
}

/// Returns the quarter hour of the week. An hour that occurs twice counts as the same hour, as people's habits follow
/// it.
fn week_quarter(at: UtcMicros, zone: &TimeZone) -> WeekQuarter {
    let local = at.timestamp().to_zoned(zone.clone());
    (local.weekday().to_monday_zero_offset(), local.hour() * 4 + local.minute() / QUARTER_MINUTES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Direction::{Down, Level, Up};
    use super::*;

    const QUARTER_US: i64 = 15 * 60 * 1_000_000;
    const WEEK: usize = 7 * 96;

    /// A Monday, midnight in UTC.
    const MONDAY: i64 = 1_793_577_600_000_000;

    fn series(values: impl IntoIterator<Item = Option<f64>>) -> Vec<Sample> {
        let at = |index: usize| UtcMicros::from_micros(MONDAY + i64::try_from(index).expect("few") * QUARTER_US);
        values.into_iter().enumerate().map(|(index, value)| Sample { at: at(index), value }).collect()
    }

    fn trend_of(values: &[f64]) -> Vec<TrendPoint> {
        trend(&series(values.iter().copied().map(Some)), &TrendSettings::default())
    }

    fn seasonal() -> TrendSettings {
        TrendSettings { zone: Some(TimeZone::UTC), ..TrendSettings::default() }
    }

    fn anomalies(points: &[TrendPoint]) -> Vec<(usize, AnomalyKind, Baseline)> {
        let found = points.iter().enumerate().filter_map(|(index, point)| Some((index, point.anomaly?)));
        found.map(|(index, anomaly)| (index, anomaly.kind, anomaly.baseline)).collect()
    }

    #[test]
    fn averages_directions_and_scores_are_those_of_guide_002() {
        let points = trend_of(&[10.0, 12.0, 11.0, 20.0, 11.0]);
        let averages: Vec<f64> = points.iter().map(|point| point.moving_average).collect();
        assert_eq!(averages, [10.0, 11.0, 11.0, 43.0 / 3.0, 14.0]);
        let directions: Vec<Direction> = points.iter().map(|point| point.direction).collect();
        assert_eq!(directions, [Level, Up, Level, Up, Down]);
        let scores: Vec<Option<f64>> = points.iter().map(|point| point.z_score).collect();
        // 20 lies 9 above the mean of 10, 12, 11, whose standard deviation is the root of two thirds.
        let expected = 9.0 / (2.0_f64 / 3.0).sqrt();
        assert_eq!(scores[..3], [None; 3]);
        assert!(scores[3].is_some_and(|score| (score - expected).abs() < 1e-12), "{scores:?}");
        assert_eq!(anomalies(&points), [(3, AnomalyKind::Spike, Baseline::Window)]);
    }

    #[test]
    fn a_drop_is_one_and_equal_values_before_it_say_nothing() {
        assert_eq!(anomalies(&trend_of(&[10.0, 12.0, 11.0, 1.0])), [(3, AnomalyKind::Drop, Baseline::Window)]);
        for share in [5.0, 0.1, 1.0 / 3.0] {
            let level = trend_of(&[share, share, share, 500.0]);
            assert_eq!((level[3].z_score, level[3].anomaly), (None, None), "{share}");
        }
    }

    #[test]
    fn a_gap_is_passed_over_and_is_no_zero() {
        let gap = trend(&series([Some(10.0), None, Some(12.0), Some(11.0), Some(20.0)]), &TrendSettings::default());
        let whole = trend_of(&[10.0, 12.0, 11.0, 20.0]);
        let values_and_scores =
            |points: &[TrendPoint]| points.iter().map(|point| (point.value, point.z_score)).collect::<Vec<_>>();
        assert_eq!(values_and_scores(&gap), values_and_scores(&whole));
        assert_eq!(trend(&series([None, None]), &TrendSettings::default()), []);
    }

    /// Weeks in which each day's ninth hour brings a hundred times as much, give or take a little.
    fn weeks(count: usize) -> Vec<Option<f64>> {
        let mut rng = fastrand::Rng::with_seed(1);
        let busy = |index: usize| (36..40).contains(&(index % 96));
        (0..count * WEEK).map(|index| Some(if busy(index) { 1000.0 } else { 10.0 } + f64::from(rng.u8(..5)))).collect()
    }

    #[test]
    fn what_every_week_brings_at_that_hour_is_no_anomaly_once_the_season_is_known() {
        let points = trend(&series(weeks(8)), &seasonal());
        let (learning, known) = points.split_at(MIN_WEEKS * WEEK);
        let monday_nine = 36;
        assert!(learning[monday_nine].anomaly.is_some_and(|anomaly| anomaly.baseline == Baseline::Window));
        assert!(known.iter().all(|point| point.season.is_some()));
        assert!(known[monday_nine].z_score.is_some_and(|score| score > THRESHOLD), "by the window alone it is one");
        let found: Vec<_> = anomalies(known).into_iter().filter(|(index, ..)| index % 96 == monday_nine).collect();
        assert_eq!(found, []);
    }

    #[test]
    fn what_no_week_has_brought_is_an_anomaly_also_between_others_like_it() {
        let mut values = weeks(6);
        let silent = 5 * WEEK + 36..5 * WEEK + 40;
        values[silent.clone()].fill(Some(12.0));
        let points = trend(&series(values), &seasonal());
        for index in silent {
            let anomaly = points[index].anomaly.expect("nobody called");
            assert_eq!((anomaly.kind, anomaly.baseline), (AnomalyKind::Drop, Baseline::Season), "{index}");
        }
    }

    #[test]
    fn a_quarter_hour_is_the_same_over_a_change_of_the_clocks() {
        let berlin = TimeZone::get("Europe/Berlin").expect("known");
        // Nine o'clock on Mondays, before and after the end of summer time of 2026-10-25.
        let [summer, winter] = ["2026-10-19T07:00:00Z", "2026-10-26T08:00:00Z"].map(|at| at.parse().expect("valid"));
        assert_eq!(week_quarter(summer, &berlin), week_quarter(winter, &berlin));
        assert_eq!(week_quarter(summer, &berlin), (0, 36));
    }

    #[test]
    fn one_unusual_week_does_not_hide_the_next() {
        let judge = |earlier: &[f64], value: f64| {
            let mut history = SeasonalHistory::default();
            for value in earlier {
                history.judge_and_add((0, 36), *value);
            }
            history.judge((0, 36), value).expect("enough weeks")
        };
        // By mean and standard deviation the first would have made the spread so large that the second is within it.
        let outlier = judge(&[10.0, 11.0, 9.0, 10.0, 12.0, 1000.0], 300.0);
        assert!(outlier.score.is_some_and(|score| score > SEASONAL_THRESHOLD), "{outlier:?}");
        // More than half of them are equal.
        let flat = judge(&[0.0, 0.0, 0.0, 0.0, 5.0], 50.0);
        assert!(flat.score.is_some_and(|score| score > SEASONAL_THRESHOLD), "{flat:?}");
        assert_eq!(judge(&[7.0; 4], 50.0).score, None, "nothing is known of the spread");
    }

    proptest! {
        #[test]
        fn what_is_said_of_a_value_does_not_change_when_later_ones_come(
            values in prop::collection::vec(prop::option::of(0.0..1e6), 0..300),
            cut in 0_usize..300,
            window in 2_usize..10,
        ) {
            let settings = TrendSettings { window, ..seasonal() };
            let all = series(values);
            let cut = cut.min(all.len());
            let (first, whole) = (trend(&all[..cut], &settings), trend(&all, &settings));
            prop_assert_eq!(&first[..], &whole[..first.len()]);
            prop_assert_eq!(whole.len(), all.iter().filter(|sample| sample.value.is_some()).count());
        }

        #[test]
        fn anomalies_are_outside_of_the_expected_range(values in prop::collection::vec(0.0..1e3, 1..300), week in 1_usize..8) {
            // Short weeks, so that the season comes to speak.
            let every = WEEK / week;
            let spaced = (0..values.len() * every).map(|place| (place % every == 0).then(|| values[place / every]));
            for point in trend(&series(spaced), &seasonal()) {
                let Some(usual) = point.usual else {
                    prop_assert_eq!(point.anomaly, None);
                    continue;
                };
                let (middle, width) = (f64::midpoint(usual.low, usual.high), usual.high - usual.low);
                let outside = (point.value - middle).abs() * 2.0 / width;
                // At the very edge rounding decides.
                prop_assert!((outside - 1.0).abs() < 1e-9 || point.anomaly.is_some() == (outside > 1.0), "{:?}", point);
            }
        }

        #[test]
        fn scores_do_not_depend_on_the_unit(values in prop::collection::vec(1_u32..1_000_000, 1..100), factor in 1_u32..1000) {
            let scaled_trend = |factor: u32| {
                let scaled = values.iter().map(|value| Some(f64::from(*value) * f64::from(factor)));
                trend(&series(scaled), &TrendSettings::default())
            };
            for (one, other) in scaled_trend(1).iter().zip(scaled_trend(factor)) {
                match (one.z_score, other.z_score) {
                    (Some(one), Some(other)) => prop_assert!((one - other).abs() <= 1e-6 * one.abs().max(1.0)),
                    (one, other) => prop_assert_eq!(one, other),
                }
            }
        }
    }
}
