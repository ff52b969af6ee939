//! A metric in the results of analytics queries as a series: what it is of, its text, and which rows of a result it is made of.
//!
//! Rows of several groups are put together where that says something: sums are added, of least and greatest values the least and the
//! greatest is taken. A mean or a share of several groups is none of their means.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Bucket, LONGEST};
use crate::domain::analytics::{self, Aggregation, MetricAsk, ResultRow};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId};
use crate::domain::time::UtcMicros;

/// Where the rows come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Results {
    /// The runs of a query of the configuration; of each bucket what the newest of them brought that asked for it.
    Query(AnalyticsQueryId),
    /// One run alone.
    Run(AnalyticsRunId),
}

/// A metric, of everything in the results or of one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aggregated {
    /// Where the rows come from.
    pub of: Results,
    /// The platform's name of the metric.
    pub metric: String,
    /// Dimensions with the value that is looked at alone; none is what the platform has no value for. The rows of all values of a
    /// dimension that is not named are put together.
    pub group: Vec<(String, Option<String>)>,
}

/// How rows of one bucket are put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Together {
    Sum,
    Least,
    Greatest,
    /// Not at all: there is one.
    Alone,
}

/// The rows of a result that a series is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pick {
    metric: usize,
    together: Together,
    /// For each dimension of the query.
    wanted: Vec<Wanted>,
}

/// What the value of a dimension has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wanted {
    Any,
    /// This one; none is what has no value.
    Just(Option<String>),
}

impl Aggregated {
    /// The rows that it is made of in results with these metrics and dimensions.
    ///
    /// # Errors
    /// They do not have it; says what they have.
    pub fn pick(&self, metrics: &[MetricAsk], dimensions: &[String]) -> Result<Pick, String> {
        let Some(metric) = metrics.iter().position(|asked| asked.name == self.metric) else {
            let names: Vec<_> = metrics.iter().map(|asked| asked.name.as_str()).collect();
            return Err(format!("there is no metric {:?} in it; there are {}", self.metric, names.join(", ")));
        };
        for (place, (name, _)) in self.group.iter().enumerate() {
            if !dimensions.contains(name) {
                let known = if dimensions.is_empty() { "none".to_owned() } else { dimensions.join(", ") };
                return Err(format!("there is no dimension {name:?} in it; there are {known}"));
            }
            if self.group.iter().take(place).any(|(before, _)| before == name) {
                return Err(format!("the dimension {name:?} is named twice"));
            }
        }
        let value = |dimension: &String| {
            let named = self.group.iter().find(|(name, _)| name == dimension);
            named.map_or(Wanted::Any, |(_, value)| Wanted::Just(value.clone()))
        };
        let wanted: Vec<_> = dimensions.iter().map(value).collect();
        let together = match metrics.get(metric).map(|asked| asked.aggregation) {
            Some(Aggregation::Sum) => Together::Sum,
            Some(Aggregation::Min) => Together::Least,
            Some(Aggregation::Max) => Together::Greatest,
            Some(Aggregation::Avg | Aggregation::Pct) | None => Together::Alone,
        };
        let open = dimensions.iter().zip(&wanted).find(|(_, wanted)| **wanted == Wanted::Any);
        if let (Together::Alone, Some((name, _))) = (together, open) {
            return Err(format!(
                "{} cannot be put together over all values of {name}: name one, as in {self}:{}=VALUE",
                self.metric,
                encoded_name(name)
            ));
        }
        Ok(Pick { metric, together, wanted })
    }

    /// Every series of a result that has a text to name it by: of each metric the whole, where it can be put together, and each of these
    /// groups, with the dimensions' values in the query's order.
    pub fn all(
        of: &Results,
        metrics: &[MetricAsk],
        dimensions: &[String],
        groups: &[Vec<Option<Arc<str>>>],
    ) -> Vec<Self> {
        let group = |values: &Vec<Option<Arc<str>>>| {
            dimensions.iter().cloned().zip(values.iter().map(|value| value.as_deref().map(str::to_owned))).collect()
        };
        let mut all = Vec::new();
        for MetricAsk { name, .. } in metrics {
            let of_group = |group| Self { of: of.clone(), metric: name.clone(), group };
            all.push(of_group(Vec::new()));
            if !dimensions.is_empty() {
                all.extend(groups.iter().map(group).map(of_group));
            }
        }
        all.retain(|one| one.pick(metrics, dimensions).is_ok() && one.to_string().len() <= LONGEST);
        all
    }

    /// Which group it is, for people: `channel voice, group.id grp_001`, or nothing where it is everything.
    pub fn group_text(&self) -> String {
        let one = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name} {value}"),
            None => format!("no {name}"),
        };
        self.group.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Without the values of its group, which may name anything: what may enter a record that nothing is erased from.
    pub fn without_values(&self) -> String {
        let group = self.group.iter().map(|(name, _)| (name.clone(), None)).collect();
        Self { group, ..self.clone() }.to_string()
    }

    /// Reads what follows `analytics:` or `analytics-run:`.
    pub(super) fn read(kind: &str, rest: &str) -> Result<Self, String> {
        let wants = || format!("`{kind}` wants what it is of and a metric, as in analytics:calls:count:channel=voice");
        let mut parts = rest.split(':');
        let (of, metric) = parts.next().zip(parts.next()).ok_or_else(wants)?;
        if of.is_empty() || metric.is_empty() {
            return Err(wants());
        }
        let of = if kind == RUN {
            let id = of.parse().map_err(|_| format!("{of:?} is no id of an analytics run"))?;
            Results::Run(id)
        } else {
            Results::Query(AnalyticsQueryId::new(decoded(of)))
        };
        let group = parts.map(|part| match part.split_once('=') {
            Some((name, value)) => (decoded(name), Some(decoded(value))),
            None => (decoded(part), None),
        });
        Ok(Self { of, metric: decoded(metric), group: group.collect() })
    }
}

/// What the text of a series of a query's runs begins with.
pub(super) const QUERY: &str = "analytics";
/// What that of one run begins with.
pub(super) const RUN: &str = "analytics-run";

/// `analytics:calls:count`, `analytics:calls:duration:channel=voice`
impl fmt::Display for Aggregated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Results::Query(id) => write!(f, "{QUERY}:{}", encoded(id.as_str()))?,
            Results::Run(id) => write!(f, "{RUN}:{id}")?,
        }
        write!(f, ":{}", encoded(&self.metric))?;
        for (name, value) in &self.group {
            write!(f, ":{}", encoded_name(name))?;
            if let Some(value) = value {
                write!(f, "={}", encoded(value))?;
            }
        }
        Ok(())
    }
}

/// Without what parts of the text are told apart by. A name of the platform may have anything in it.
fn encoded(text: &str) -> String {
    text.replace('%', "%25").replace(':', "%3A")
}

fn encoded_name(text: &str) -> String {
    encoded(text).replace('=', "%3D")
}

/// The other way. What begins with `%` and is none of these stands for itself.
fn decoded(text: &str) -> String {
    text.replace("%3D", "=").replace("%3A", ":").replace("%25", "%")
}

impl Pick {
    /// Whether rows are put together as in the other.
    pub fn is_like(&self, other: &Self) -> bool {
        self.together == other.together
    }

    /// Adds a row to the values by bucket, where it is one of the series. A bucket of which any part is unknown is unknown.
    pub fn take(&self, values: &mut BTreeMap<UtcMicros, Option<f64>>, row: &ResultRow) {
        let fits = |(wanted, value): (&Wanted, &Option<Arc<str>>)| match wanted {
            Wanted::Any => true,
            Wanted::Just(wanted) => wanted.as_deref() == value.as_deref(),
        };
        if !self.wanted.iter().zip(&row.dimensions).all(fits) {
            return;
        }
        let value = row.metrics.get(self.metric).copied().flatten();
        values
            .entry(row.at)
            .and_modify(|so_far| *so_far = so_far.zip(value).and_then(|(one, other)| self.put_together(one, other)))
            .or_insert(value);
    }

    fn put_together(&self, one: f64, other: f64) -> Option<f64> {
        match self.together {
            Together::Sum => Some(one + other).filter(|sum| sum.is_finite()),
            Together::Least => Some(one.min(other)),
            Together::Greatest => Some(one.max(other)),
            Together::Alone => None,
        }
    }
}

impl From<analytics::Bucket> for Bucket {
    fn from(bucket: analytics::Bucket) -> Self {
        match bucket {
            analytics::Bucket::Hour => Self::Hour,
            analytics::Bucket::Day => Self::Day,
            analytics::Bucket::Week => Self::Week,
            analytics::Bucket::Month => Self::Month,
        }
    }
}

impl FromStr for Aggregated {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((kind @ (QUERY | RUN), rest)) => Self::read(kind, rest),
            Some(_) | None => Err(format!("{text:?} is no series of analytics results")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(text: &str) -> Aggregated {
        text.parse().expect(text)
    }

    fn metrics() -> Vec<MetricAsk> {
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
        let pick = series(text).pick(&metrics(), &dimensions()).expect(text);
        let mut values = BTreeMap::new();
        for row in rows {
            pick.take(&mut values, row);
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
            let refused = series(text).pick(&metrics(), &dimensions()).expect_err(text);
            assert!(refused.contains(part), "{text}: {refused}");
        }
        for text in ["analytics", "analytics:", "analytics:q", "analytics:q:", "analytics-run:x:count", "adherence"] {
            assert!(text.parse::<Aggregated>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_series_of_a_result_are_its_wholes_and_its_groups() {
        let groups = [vec![Some("a".into()), Some("voice".into())], vec![Some("b".into()), None]];
        let all = Aggregated::all(&Results::Query("q".into()), &metrics(), &dimensions(), &groups);
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
        let long = [vec![Some("x".repeat(LONGEST).into()), None]];
        let named = Aggregated::all(&Results::Query("q".into()), &metrics(), &dimensions(), &long);
        assert_eq!(named.len(), 2, "a group that no text can name is left out");
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
            let of = if is_run { Results::Run(AnalyticsRunId(uuid::Uuid::from_u128(7))) } else { Results::Query("calls".into()) };
            let one = Aggregated { of, metric, group };
            let text = one.to_string();
            prop_assert_eq!(text.parse(), Ok(one), "{}", text);
        }
    }
}
