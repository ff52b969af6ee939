//! Series of a metric in the results of analytics queries: source, text form, and the rows that each is computed from.
//!
//! Rows of several groups are combined where that is meaningful: sums are added, and of minimum and maximum values the
//! minimum and the maximum is taken. Means and shares of several groups cannot be combined.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::domain::analytics::bucket::SeriesBucket;
use crate::domain::analytics::{self, Aggregation, MetricRequest, ResultRow};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId};
use crate::domain::time::UtcMicros;

/// The maximum length of a series' text, in bytes: room for the platform's names of metrics, dimensions and groups.
pub(super) const MAX_SOURCE_LENGTH: usize = 2_000;

/// The source of the rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResultSource {
    /// The runs of a configured query; each bucket is taken from the newest run that covers it.
    Query(AnalyticsQueryId),
    /// A single run.
    Run(AnalyticsRunId),
}

/// A metric, over all results or for one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AggregatedMetric {
    /// The source of the rows.
    pub source: ResultSource,
    /// The platform's name of the metric.
    pub metric: String,
    /// The dimensions with the value that is selected; `None` selects rows without a value. Rows are combined over all
    /// values of a dimension that is not named.
    pub group: Vec<(String, Option<String>)>,
}

/// How the rows of one bucket are combined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RowCombination {
    Sum,
    Min,
    Max,
    /// Not combined: there is only one row.
    Single,
}

/// Selects the rows of a result that a series is computed from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowSelector {
    metric: usize,
    combination: RowCombination,
    /// One filter for each dimension of the query.
    dimension_filters: Vec<DimensionFilter>,
}

/// The required value of a dimension.
#[derive(Clone, PartialEq, Eq, Debug)]
enum DimensionFilter {
    Any,
    /// Exactly this value; `None` for rows without a value.
    Exactly(Option<String>),
}

impl AggregatedMetric {
    /// Returns the selector for results with these metrics and dimensions.
    ///
    /// # Errors
    /// Returns an error that lists what the results have if the metric or a dimension is missing.
    pub fn row_selector(&self, metrics: &[MetricRequest], dimensions: &[String]) -> Result<RowSelector, String> {
        let Some(metric) = metrics.iter().position(|request| request.name == self.metric) else {
            let names: Vec<_> = metrics.iter().map(|request| request.name.as_str()).collect();
            return Err(format!("there is no metric {:?} in it; there are {}", self.metric, names.join(", ")));
        };
        for (index, (name, _)) in self.group.iter().enumerate() {
            if !dimensions.contains(name) {
                let known = if dimensions.is_empty() { "none".to_owned() } else { dimensions.join(", ") };
                return Err(format!("there is no dimension {name:?} in it; there are {known}"));
            }
            if self.group.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(format!("the dimension {name:?} is named twice"));
            }
        }
        let filter_for = |dimension: &String| {
            let named = self.group.iter().find(|(name, _)| name == dimension);
            named.map_or(DimensionFilter::Any, |(_, value)| DimensionFilter::Exactly(value.clone()))
        };
        let dimension_filters: Vec<_> = dimensions.iter().map(filter_for).collect();
        let combination = match metrics.get(metric).map(|request| request.aggregation) {
            Some(Aggregation::Sum) => RowCombination::Sum,
            Some(Aggregation::Min) => RowCombination::Min,
            Some(Aggregation::Max) => RowCombination::Max,
            Some(Aggregation::Avg | Aggregation::Pct) | None => RowCombination::Single,
        };
        let unfiltered = dimensions.iter().zip(&dimension_filters).find(|(_, filter)| **filter == DimensionFilter::Any);
        if let (RowCombination::Single, Some((name, _))) = (combination, unfiltered) {
            return Err(format!(
                "{} cannot be put together over all values of {name}: name one, as in {self}:{}=VALUE",
                self.metric,
                encode_name(name)
            ));
        }
        Ok(RowSelector { metric, combination, dimension_filters })
    }

    /// Returns every series of a result that can be named: for each metric the total, where rows can be combined, and
    /// each of these groups, given with the dimensions' values in the query's order.
    pub fn all_series(
        source: &ResultSource,
        metrics: &[MetricRequest],
        dimensions: &[String],
        groups: &[Vec<Option<Arc<str>>>],
    ) -> Vec<Self> {
        let group = |values: &Vec<Option<Arc<str>>>| {
            dimensions.iter().cloned().zip(values.iter().map(|value| value.as_deref().map(str::to_owned))).collect()
        };
        let mut all = Vec::new();
        for MetricRequest { name, .. } in metrics {
            let series_of_group = |group| Self { source: source.clone(), metric: name.clone(), group };
            all.push(series_of_group(Vec::new()));
            if !dimensions.is_empty() {
                all.extend(groups.iter().map(group).map(series_of_group));
            }
        }
        all.retain(|series| {
            series.row_selector(metrics, dimensions).is_ok() && series.to_string().len() <= MAX_SOURCE_LENGTH
        });
        all
    }

    /// Returns the group for people: `channel voice, group.id grp_001`, or nothing for the total.
    pub fn group_text(&self) -> String {
        let describe = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name} {value}"),
            None => format!("no {name}"),
        };
        self.group.iter().map(describe).collect::<Vec<_>>().join(", ")
    }

    /// Returns the text without the values of its group, which may name anything, for records that are never erased.
    pub fn without_values(&self) -> String {
        let group = self.group.iter().map(|(name, _)| (name.clone(), None)).collect();
        Self { group, ..self.clone() }.to_string()
    }

    /// Parses the text after `analytics:` or `analytics-run:`.
    pub(super) fn parse(kind: &str, rest: &str) -> Result<Self, String> {
        let expected =
            || format!("`{kind}` wants what it is of and a metric, as in analytics:calls:count:channel=voice");
        let mut parts = rest.split(':');
        let (source, metric) = parts.next().zip(parts.next()).ok_or_else(expected)?;
        if source.is_empty() || metric.is_empty() {
            return Err(expected());
        }
        let source = if kind == RUN_PREFIX {
            let id = source.parse().map_err(|_| format!("{source:?} is not the id of an analytics run"))?;
            ResultSource::Run(id)
        } else {
            ResultSource::Query(AnalyticsQueryId::new(decode(source)))
        };
        let group = parts.map(|part| match part.split_once('=') {
            Some((name, value)) => (decode(name), Some(decode(value))),
            None => (decode(part), None),
        });
        Ok(Self { source, metric: decode(metric), group: group.collect() })
    }
}

/// The prefix for a series of a configured query's runs.
pub(super) const QUERY_PREFIX: &str = "analytics";
/// The prefix for a series of a single run.
pub(super) const RUN_PREFIX: &str = "analytics-run";

/// `analytics:calls:count`, `analytics:calls:duration:channel=voice`
impl fmt::Display for AggregatedMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            ResultSource::Query(id) => write!(f, "{QUERY_PREFIX}:{}", encode(id.as_str()))?,
            ResultSource::Run(id) => write!(f, "{RUN_PREFIX}:{id}")?,
        }
        write!(f, ":{}", encode(&self.metric))?;
        for (name, value) in &self.group {
            write!(f, ":{}", encode_name(name))?;
            if let Some(value) = value {
                write!(f, "={}", encode(value))?;
            }
        }
        Ok(())
    }
}

/// Escapes the separators of the text form, since the platform's names may contain them.
fn encode(text: &str) -> String {
    text.replace('%', "%25").replace(':', "%3A")
}

fn encode_name(text: &str) -> String {
    encode(text).replace('=', "%3D")
}

/// Reverses `encode`. Any other text that begins with `%` is kept.
fn decode(text: &str) -> String {
    text.replace("%3D", "=").replace("%3A", ":").replace("%25", "%")
}

impl RowSelector {
    /// Returns whether rows are combined as in the other.
    pub fn combines_like(&self, other: &Self) -> bool {
        self.combination == other.combination
    }

    /// Adds a row to the values by bucket if it belongs to the series. A bucket with any unknown part is unknown.
    pub fn add_row(&self, values: &mut BTreeMap<UtcMicros, Option<f64>>, row: &ResultRow) {
        let matches_filter = |(filter, value): (&DimensionFilter, &Option<Arc<str>>)| match filter {
            DimensionFilter::Any => true,
            DimensionFilter::Exactly(expected) => expected.as_deref() == value.as_deref(),
        };
        if !self.dimension_filters.iter().zip(&row.dimensions).all(matches_filter) {
            return;
        }
        let value = row.metrics.get(self.metric).copied().flatten();
        values
            .entry(row.at)
            .and_modify(|so_far| *so_far = so_far.zip(value).and_then(|(one, other)| self.combine(one, other)))
            .or_insert(value);
    }

    fn combine(&self, one: f64, other: f64) -> Option<f64> {
        match self.combination {
            RowCombination::Sum => Some(one + other).filter(|sum| sum.is_finite()),
            RowCombination::Min => Some(one.min(other)),
            RowCombination::Max => Some(one.max(other)),
            RowCombination::Single => None,
        }
    }
}

impl From<analytics::QueryBucket> for SeriesBucket {
    fn from(bucket: analytics::QueryBucket) -> Self {
        match bucket {
            analytics::QueryBucket::Hour => Self::Hour,
            analytics::QueryBucket::Day => Self::Day,
            analytics::QueryBucket::Week => Self::Week,
            analytics::QueryBucket::Month => Self::Month,
        }
    }
}

impl FromStr for AggregatedMetric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((kind @ (QUERY_PREFIX | RUN_PREFIX), rest)) => Self::parse(kind, rest),
            Some(_) | None => Err(format!("{text:?} is not a series of analytics results")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(text: &str) -> AggregatedMetric {
        text.parse().expect(text)
    }

    fn metrics() -> Vec<MetricRequest> {
        ["sum count", "avg duration", "max longest"].map(|text| text.parse().expect(text)).into()
    }

    fn dimensions() -> Vec<String> {
        ["group.id", "channel"].map(str::to_owned).into()
    }

    fn row(bucket: i64, dimensions: [Option<&str>; 2], metrics: [Option<f64>; 3]) -> ResultRow {
        let dimensions = dimensions.iter().map(|value| value.map(Arc::from)).collect();
        ResultRow { at: UtcMicros::from_micros(bucket), dimensions, metrics: metrics.into() }
    }

    fn values(text: &str, rows: &[ResultRow]) -> Vec<Option<f64>> {
        let selector = series(text).row_selector(&metrics(), &dimensions()).expect(text);
        let mut values = BTreeMap::new();
        for row in rows {
            selector.add_row(&mut values, row);
        }
        values.into_values().collect()
    }

    #[test]
    fn rows_of_groups_are_put_together_as_their_metric_allows() {
        let rows = [
            row(0, [Some("a"), Some("voice")], [Some(3.0), Some(60.0), Some(9.0)]),
            row(0, [Some("b"), Some("voice")], [Some(4.0), Some(80.0), Some(7.0)]),
            row(0, [Some("b"), None], [Some(5.0), Some(20.0), None]),
            row(1, [Some("a"), Some("voice")], [Some(1.0), None, Some(2.0)]),
        ];
        assert_eq!(values("analytics:q:count", &rows), [Some(12.0), Some(1.0)]);
        assert_eq!(values("analytics:q:count:channel=voice", &rows), [Some(7.0), Some(1.0)]);
        assert_eq!(values("analytics:q:count:channel", &rows), [Some(5.0)], "of what has no channel");
        assert_eq!(values("analytics:q:longest:channel=voice", &rows), [Some(9.0), Some(2.0)]);
        assert_eq!(values("analytics:q:longest", &rows), [None, Some(2.0)], "a part of it is unknown");
        assert_eq!(values("analytics:q:duration:group.id=a:channel=voice", &rows), [Some(60.0), None]);
        assert_eq!(values("analytics:q:count:group.id=c", &rows), []);
    }

    #[test]
    fn what_a_result_does_not_have_is_refused_with_what_it_has() {
        for (text, part) in [
            ("analytics:q:calls", "there are count, duration, longest"),
            ("analytics:q:count:queue=1", "there are group.id, channel"),
            ("analytics:q:count:channel=a:channel=b", "named twice"),
            ("analytics:q:duration:channel=a", "as in analytics:q:duration:channel=a:group.id=VALUE"),
        ] {
            let message = series(text).row_selector(&metrics(), &dimensions()).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
        for text in ["analytics", "analytics:", "analytics:q", "analytics:q:", "analytics-run:x:count", "adherence"] {
            assert!(text.parse::<AggregatedMetric>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_series_of_a_result_are_its_wholes_and_its_groups() {
        let groups = [vec![Some("a".into()), Some("voice".into())], vec![Some("b".into()), None]];
        let all = AggregatedMetric::all_series(&ResultSource::Query("q".into()), &metrics(), &dimensions(), &groups);
        let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "analytics:q:count",
                "analytics:q:count:group.id=a:channel=voice",
                "analytics:q:count:group.id=b:channel",
                "analytics:q:duration:group.id=a:channel=voice",
                "analytics:q:duration:group.id=b:channel",
                "analytics:q:longest",
                "analytics:q:longest:group.id=a:channel=voice",
                "analytics:q:longest:group.id=b:channel",
            ]
        );
        let long = [vec![Some("x".repeat(MAX_SOURCE_LENGTH).into()), None]];
        let long_series =
            AggregatedMetric::all_series(&ResultSource::Query("q".into()), &metrics(), &dimensions(), &long);
        assert_eq!(long_series.len(), 2, "a group that no text can name is left out");
        assert_eq!(all[2].group_text(), "group.id b, no channel");
        assert_eq!(all[2].without_values(), "analytics:q:count:group.id:channel");
    }

    proptest! {
        #[test]
        fn every_name_of_a_platform_comes_back_from_its_text(
            metric in ".{1,20}",
            group in prop::collection::vec((".{1,10}", prop::option::of(".{0,10}")), 0..3),
            is_run in any::<bool>(),
        ) {
            let of = if is_run { ResultSource::Run(AnalyticsRunId(uuid::Uuid::from_u128(7))) } else { ResultSource::Query("calls".into()) };
            let one = AggregatedMetric { source: of, metric, group };
            let text = one.to_string();
            prop_assert_eq!(text.parse(), Ok(one), "{}", text);
        }
    }
}
