//! Trends and anomalies of a figure of a skill or queue, by the quarter of an hour.
//!
//! The store keeps the last day read by read and what is older by the quarter; here all of it is quarters. A quarter's value is the
//! mean of its reads; a quarter without one is a gap.

mod sections;

use std::time::Duration;

use serde::Serialize;

use crate::domain::figures::{Measure, QUEUE_MEASURES, SKILL_MEASURES, Stat, Unit};
use crate::domain::ids::{QueueId, SkillId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::trend::{Sample, TrendPoint, TrendSettings, trend};
use crate::store::{FIGURES_PAGE_LIMIT, FigurePoint, ReadError, Reader};

pub use sections::{SECTIONS, USUAL_SPAN, baseline, definitions, direction, kind, subject, write};

/// The longest span of one report, in days: over 35,000 quarters.
pub const LONGEST_DAYS: u64 = 366;

const QUARTER: Duration = Duration::from_secs(900);

/// Whose figures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Of {
    /// A skill's.
    Skill(SkillId),
    /// A queue's.
    Queue(QueueId),
}

impl Of {
    /// The figures that it has.
    pub const fn measures(&self) -> &'static [Measure] {
        match self {
            Self::Skill(_) => &SKILL_MEASURES,
            Self::Queue(_) => &QUEUE_MEASURES,
        }
    }
}

/// One figure's trend.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FigureTrend {
    /// The figure by its name in the store, with its unit; a share is one of 1 here.
    pub figure: &'static str,
    /// Quarters that have a value.
    pub points: Vec<TrendPoint>,
    /// Quarters of the span, up to the last that has a value, that have none.
    pub gaps: u64,
}

impl FigureTrend {
    /// Reads the figure from one instant up to another and judges it. Values from before `from` are not looked at.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn read(
        reader: &Reader,
        tenant: &TenantId,
        of: &Of,
        figure: &Measure,
        span: (UtcMicros, UtcMicros),
        settings: &TrendSettings,
    ) -> Result<Self, ReadError> {
        let place = of.measures().iter().position(|measure| measure == figure).unwrap_or_default();
        let mut quarters = Quarters::default();
        let mut from = span.0;
        loop {
            let read = match of {
                Of::Skill(id) => {
                    let page = reader.skill_series(tenant, id, (from, span.1), FIGURES_PAGE_LIMIT).await?;
                    quarters.take(&page, place)
                }
                Of::Queue(id) => {
                    let page = reader.queue_series(tenant, id, (from, span.1), FIGURES_PAGE_LIMIT).await?;
                    quarters.take(&page, place)
                }
            };
            match read {
                Some(last) => from = last.offset(1),
                None => break,
            }
        }
        let samples = quarters.samples(figure.unit);
        let points = trend(&samples, settings);
        let gaps = u64::try_from(samples.len() - points.len()).unwrap_or(u64::MAX);
        Ok(Self { figure: column_of(figure), points, gaps })
    }

    /// Those in which something is odd.
    pub fn anomalies(&self) -> impl Iterator<Item = &TrendPoint> {
        self.points.iter().filter(|point| point.anomaly.is_some())
    }
}

/// What a share of 1 is called where it is no count of millionths.
fn column_of(figure: &Measure) -> &'static str {
    match figure.unit {
        Unit::Ppm => figure.name,
        Unit::Count | Unit::Seconds | Unit::Millis => figure.column,
    }
}

/// Sums by the quarter, in order.
#[derive(Default)]
struct Quarters(Vec<(UtcMicros, Stat)>);

impl Quarters {
    /// Takes a page in; gives where its last point begins.
    fn take<const N: usize>(&mut self, page: &[FigurePoint<N>], place: usize) -> Option<UtcMicros> {
        for point in page {
            let quarter_us = i64::try_from(QUARTER.as_micros()).unwrap_or(i64::MAX);
            let at_us = point.starts_at.as_micros();
            let at = UtcMicros::from_micros(at_us - at_us.rem_euclid(quarter_us));
            match self.0.last_mut() {
                Some((last, stat)) if *last == at => *stat = stat.and(point.stats[place]),
                _ => self.0.push((at, point.stats[place])),
            }
        }
        page.last().map(|point| point.starts_at)
    }

    /// Each quarter from the first to the last.
    fn samples(self, unit: Unit) -> Vec<Sample> {
        let mut samples: Vec<Sample> = Vec::with_capacity(self.0.len());
        for (at, stat) in self.0 {
            while let Some(next) = samples.last().map(|sample| sample.at + QUARTER).filter(|next| *next < at) {
                samples.push(Sample { at: next, value: None });
            }
            samples.push(Sample { at, value: value(stat, unit) });
        }
        samples
    }
}

/// The mean; a share as one of 1.
fn value(stat: Stat, unit: Unit) -> Option<f64> {
    let whole = match unit {
        Unit::Ppm => 1e6,
        Unit::Count | Unit::Seconds | Unit::Millis => 1.0,
    };
    // Sums of a quarter's reads are far below what a float counts exactly.
    #[expect(clippy::cast_precision_loss, reason = "sums of a quarter's reads are below 2^53")]
    (stat.count > 0).then(|| stat.sum as f64 / stat.count as f64 / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: i64, values: &[u64]) -> FigurePoint<1> {
        let stat = Stat {
            sum: values.iter().sum(),
            count: u64::try_from(values.len()).expect("few"),
            max: values.iter().max().copied(),
        };
        let starts_at = UtcMicros::from_micros(second * 1_000_000);
        FigurePoint { starts_at, span: Duration::ZERO, polls: 1, stats: [stat] }
    }

    #[test]
    fn single_reads_and_quarters_become_quarters_and_what_is_missing_gaps() {
        let mut quarters = Quarters::default();
        let first = quarters.take(&[point(0, &[4, 8]), point(2700, &[10])], 0);
        let last = quarters.take(&[point(2730, &[20]), point(3600, &[])], 0);
        assert_eq!([first, last].map(|at| at.map(UtcMicros::as_micros)), [Some(2_700_000_000), Some(3_600_000_000)]);
        let samples: Vec<_> =
            quarters.samples(Unit::Count).into_iter().map(|s| (s.at.as_micros() / 900_000_000, s.value)).collect();
        assert_eq!(samples, [(0, Some(6.0)), (1, None), (2, None), (3, Some(15.0)), (4, None)]);
    }

    #[test]
    fn a_share_is_one_of_one() {
        let stat = Stat { sum: 1_650_000, count: 2, max: Some(850_000) };
        assert_eq!(value(stat, Unit::Ppm), Some(0.825));
        assert_eq!(value(Stat::default(), Unit::Ppm), None);
        assert_eq!(SKILL_MEASURES.map(|measure| column_of(&measure))[3], "service_level");
    }
}
