//! The values of a series over a period: figures by the quarter of an hour, agents' time by the day or quarter, and
//! results of analytics queries by their buckets.
//!
//! Days come from the stored sums, so that long periods of many agents are fast. Quarters are computed from segments,
//! and therefore limited in agents times days. Time without observations is a gap, never zero.

mod aggregated;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::error::ReadError;
use super::reader::Reader;
use super::tables::live::figures::{FIGURES_PAGE_LIMIT, FigurePoint};
use crate::domain::adherence::days::days_overlapping;
use crate::domain::adherence::figures::{AdherenceTimes, computation_basis};
use crate::domain::adherence::ledger::Ledger;
use crate::domain::adherence::sums::Sums;
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::agent::Agent;
use crate::domain::analytics::series::{AgentFilter, QUARTER, QUARTER_US, SeriesBucket, SeriesSource};
use crate::domain::analytics::trend::Sample;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::live::figures::{Measure, QUEUE_MEASURES, SKILL_MEASURES, Stat, Unit};
use crate::domain::time::UtcMicros;

/// The maximum number of agents times days for quarters of agents' time.
pub const MOST_AGENT_DAYS: u64 = 3_000;

/// The length of the period of one agent that is read at once.
const SPAN_PER_READ: Duration = Duration::from_hours(31 * 24);

/// The number of agents whose stored days are read at once.
const AGENTS_PER_READ: u32 = 64;

const DAY: Duration = Duration::from_hours(24);

/// An error of reading a series.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The period is too long.
    #[error("{of} covers at most {most} days: request a shorter time range")]
    TooLong {
        /// The series.
        of: String,
        /// The maximum for this series.
        most: u32,
    },
    /// The stored analytics results do not contain the series; holds the reason.
    #[error("{0}")]
    Unavailable(String),
    /// Quarters were requested for too many agents over too many days.
    #[error(
        "quarter hours of {agents} agents over {days} days exceed the limit of {MOST_AGENT_DAYS} agents times days: request fewer days, a \
         smaller team, or days instead of quarter hours (without -15m)"
    )]
    TooManyQuarters {
        /// The number of agents.
        agents: usize,
        /// The number of days.
        days: u64,
    },
}

/// The values of a series.
#[derive(Clone, PartialEq, Debug)]
pub struct SeriesValues {
    /// The length of each value's bucket.
    pub bucket: SeriesBucket,
    /// The time zone of the buckets: the requested one, or that of the analytics query.
    pub zone: TimeZone,
    /// The values in order, from the first known one to the last; missing ones in between are gaps.
    pub samples: Vec<Sample>,
}

impl Reader {
    /// Returns the values of a series in a period. Quarters, and days in `zone`, count if they lie completely in the
    /// period; buckets of an analytics query use its own zone and count by their start.
    ///
    /// # Errors
    /// Fails if the store cannot be read, or if the period is too long.
    pub async fn series_values(
        &self,
        tenant: &TenantId,
        source: &SeriesSource,
        span: Span,
        zone: &TimeZone,
    ) -> Result<SeriesValues, SeriesError> {
        let max_days = source.max_days();
        if span.1.since(span.0) > DAY * max_days {
            return Err(SeriesError::TooLong { of: source.to_string(), most: max_days });
        }
        let (bucket, all_samples) = match source {
            SeriesSource::Skill(_, measure) | SeriesSource::Queue(_, measure) => {
                (SeriesBucket::Quarter, self.figure_quarters(tenant, source, span).await?.samples(measure.unit))
            }
            SeriesSource::Adherence(whom, bucket) | SeriesSource::NotReady(whom, bucket) => {
                let sums = match bucket {
                    SeriesBucket::Quarter => self.quarter_sums(tenant, whom, span).await?,
                    // No series of agents' time uses these buckets.
                    SeriesBucket::Day | SeriesBucket::Hour | SeriesBucket::Week | SeriesBucket::Month => {
                        self.daily_sums(tenant, whom, span, zone).await?
                    }
                };
                (*bucket, sums.into_iter().map(|(at, sums)| sample(source, at, &sums)).collect())
            }
            SeriesSource::Analytics(of) => {
                let values = self.aggregation_values(tenant, of, span, zone).await?;
                return Ok(SeriesValues { samples: trimmed(values.samples), ..values });
            }
        };
        Ok(SeriesValues { bucket, zone: zone.clone(), samples: trimmed(all_samples) })
    }

    async fn figure_quarters(
        &self,
        tenant: &TenantId,
        source: &SeriesSource,
        span: Span,
    ) -> Result<QuarterStats, ReadError> {
        let mut quarters = QuarterStats::default();
        let (mut from, to) = whole_quarters(span);
        loop {
            let read = match source {
                SeriesSource::Skill(id, measure) => {
                    let page = self.skill_series(tenant, id, (from, to), FIGURES_PAGE_LIMIT).await?;
                    quarters.add_page(&page, measure_index(&SKILL_MEASURES, measure))
                }
                SeriesSource::Queue(id, measure) => {
                    let page = self.queue_series(tenant, id, (from, to), FIGURES_PAGE_LIMIT).await?;
                    quarters.add_page(&page, measure_index(&QUEUE_MEASURES, measure))
                }
                SeriesSource::Adherence(..) | SeriesSource::NotReady(..) | SeriesSource::Analytics(_) => None,
            };
            match read {
                Some(last) => from = last.offset(1),
                None => return Ok(quarters),
            }
        }
    }

    /// Returns the sums of some agents' stored days, by day. Days that are stale or were computed with other settings,
    /// zones or teams are left out until they are computed again.
    async fn daily_sums(
        &self,
        tenant: &TenantId,
        agent_filter: &AgentFilter,
        span: Span,
        zone: &TimeZone,
    ) -> Result<Vec<(UtcMicros, Sums)>, ReadError> {
        let is_whole = |(_, (start, end)): &(Date, Span)| span.0 <= *start && *end <= span.1;
        let days: Vec<(Date, Span)> = days_overlapping(span, zone).into_iter().filter(is_whole).collect();
        let (Some((first, _)), Some((last, _))) = (days.first(), days.last()) else { return Ok(Vec::new()) };
        let settings = self.adherence_settings(tenant).await?;
        let basis_of =
            |agent: &Agent| computation_basis(&settings, agent.zone.as_deref().unwrap_or("UTC"), agent.team.as_ref());
        let agents = self.matching_agents(tenant, agent_filter).await?;
        let mut sums_by_day: BTreeMap<Date, Sums> = BTreeMap::new();
        if *agent_filter == AgentFilter::Everyone {
            let bases: HashMap<&AgentId, String> = agents.iter().map(|agent| (&agent.id, basis_of(agent))).collect();
            let mut after = AgentId::new("");
            loop {
                let page = self.packed_days(tenant, after.as_str(), (*first, *last), AGENTS_PER_READ).await?;
                let is_last = u32::try_from(page.len()).is_ok_and(|found| found < AGENTS_PER_READ);
                for (agent, days) in page {
                    let of_basis = bases.get(&agent);
                    for (day, _, sums) in days.iter().filter(|(_, by, _)| of_basis.is_some_and(|basis| **basis == **by))
                    {
                        sums_by_day.entry(*day).or_default().add(sums);
                    }
                    after = agent;
                }
                if is_last {
                    break;
                }
            }
        } else {
            for agent in &agents {
                let basis = basis_of(agent);
                let days = self.days_of_agent(tenant, &agent.id, (*first, *last)).await?;
                for row in days.iter().filter(|row| !row.stale && *row.basis == *basis) {
                    sums_by_day.entry(row.day).or_default().add(&row.sums);
                }
            }
        }
        Ok(days.into_iter().map(|(day, (start, _))| (start, sums_by_day.remove(&day).unwrap_or_default())).collect())
    }

    /// Returns the sums of some agents' segments, by quarter of an hour.
    async fn quarter_sums(
        &self,
        tenant: &TenantId,
        agent_filter: &AgentFilter,
        span: Span,
    ) -> Result<Vec<(UtcMicros, Sums)>, SeriesError> {
        let (from, to) = whole_quarters(span);
        if from >= to {
            return Ok(Vec::new());
        }
        let agents = self.matching_agents(tenant, agent_filter).await?;
        let days = to.since(from).as_secs().div_ceil(DAY.as_secs());
        if days.saturating_mul(agents.len() as u64) > MOST_AGENT_DAYS {
            return Err(SeriesError::TooManyQuarters { agents: agents.len(), days });
        }
        let inputs = self.adherence_inputs(tenant, (from, to)).await?;
        let starts = std::iter::successors(Some(from), |at| Some(*at + QUARTER)).take_while(|at| *at < to);
        let mut quarters: Vec<(UtcMicros, Sums)> = starts.map(|at| (at, Sums::default())).collect();
        for agent in &agents {
            let mut at = from;
            while at < to {
                let end = (at + SPAN_PER_READ).min(to);
                let facts = self.agent_facts(&inputs, &agent.id, agent.team.as_ref(), (at, end)).await?;
                let ledger = Ledger::new(facts.course(&inputs.settings), (at, end));
                let first = quarters.partition_point(|(start, _)| *start < at);
                let mut pieces = ledger.segments((at, end)).peekable();
                for (start, sums) in quarters.iter_mut().skip(first).take_while(|(start, _)| *start < end) {
                    let quarter = (*start, *start + QUARTER);
                    while let Some(piece) = pieces.peek().filter(|piece| piece.start < quarter.1) {
                        if let Some(part) = piece.clipped_to(quarter) {
                            sums.add_segment(&part);
                        }
                        if piece.end > quarter.1 {
                            break;
                        }
                        pieces.next();
                    }
                }
                at = end;
            }
        }
        Ok(quarters)
    }

    /// Returns the agents of the series, by their current teams.
    async fn matching_agents(&self, tenant: &TenantId, agent_filter: &AgentFilter) -> Result<Vec<Agent>, ReadError> {
        Ok(match agent_filter {
            AgentFilter::Agent(id) => self.agent(tenant, id).await?.into_iter().map(|stored| stored.agent).collect(),
            AgentFilter::Everyone => self.agents(tenant).await?.into_iter().map(|stored| stored.agent).collect(),
            AgentFilter::Team(team) => {
                let all = self.agents(tenant).await?.into_iter().map(|stored| stored.agent);
                all.filter(|agent| agent.team.as_ref() == Some(team)).collect()
            }
        })
    }
}

fn sample(source: &SeriesSource, at: UtcMicros, sums: &Sums) -> Sample {
    Sample { at, value: source.share_of(&AdherenceTimes::from_sums(sums)) }
}

/// Removes missing values at the beginning and the end.
fn trimmed(mut samples: Vec<Sample>) -> Vec<Sample> {
    let is_known = |sample: &Sample| sample.value.is_some();
    samples.truncate(samples.iter().rposition(is_known).map_or(0, |last| last + 1));
    let first = samples.iter().position(is_known).unwrap_or_default();
    samples.split_off(first)
}

/// Returns the quarters that lie completely in a period: an unfinished one would have a different value once it has
/// ended.
const fn whole_quarters((from, to): Span) -> Span {
    (quarter_of(from.offset(QUARTER_US - 1)), quarter_of(to))
}

const fn quarter_of(at: UtcMicros) -> UtcMicros {
    UtcMicros::from_micros(at.as_micros() - at.as_micros().rem_euclid(QUARTER_US))
}

fn measure_index(measures: &[Measure], measure: &Measure) -> usize {
    measures.iter().position(|other| other == measure).unwrap_or_default()
}

/// The sums of reads by quarter, in order.
#[derive(Default)]
struct QuarterStats(Vec<(UtcMicros, Stat)>);

impl QuarterStats {
    /// Adds a page and returns the start of its last point.
    fn add_page<const N: usize>(&mut self, page: &[FigurePoint<N>], measure: usize) -> Option<UtcMicros> {
        for point in page {
            let at = quarter_of(point.starts_at);
            match self.0.last_mut() {
                Some((last, stat)) if *last == at => *stat = stat.merge(point.stats[measure]),
                _ => self.0.push((at, point.stats[measure])),
            }
        }
        page.last().map(|point| point.starts_at)
    }

    /// Returns each quarter from the first to the last.
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

/// Returns the mean; a share is a fraction of 1.
fn value(stat: Stat, unit: Unit) -> Option<f64> {
    let divisor = match unit {
        Unit::Ppm => 1e6,
        Unit::Count | Unit::Seconds | Unit::Millis => 1.0,
    };
    // The sums of one quarter are small enough to be exact as floating-point numbers.
    #[expect(clippy::cast_precision_loss, reason = "sums of a quarter's reads are below 2^53")]
    (stat.count > 0).then(|| stat.sum as f64 / stat.count as f64 / divisor)
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
        let mut quarters = QuarterStats::default();
        let first = quarters.add_page(&[point(0, &[4, 8]), point(2700, &[10])], 0);
        let last = quarters.add_page(&[point(2730, &[20]), point(3600, &[])], 0);
        assert_eq!([first, last].map(|at| at.map(UtcMicros::as_micros)), [Some(2_700_000_000), Some(3_600_000_000)]);
        let quarter_values = |samples: &[Sample]| -> Vec<_> {
            samples.iter().map(|s| (s.at.as_micros() / QUARTER_US, s.value)).collect()
        };
        let samples = quarters.samples(Unit::Count);
        assert_eq!(quarter_values(&samples), [(0, Some(6.0)), (1, None), (2, None), (3, Some(15.0)), (4, None)]);
        assert_eq!(quarter_values(&trimmed(samples)), [(0, Some(6.0)), (1, None), (2, None), (3, Some(15.0))]);
        assert_eq!(trimmed(vec![Sample { at: UtcMicros::EPOCH, value: None }; 3]), []);
    }

    #[test]
    fn a_share_is_one_of_one() {
        let stat = Stat { sum: 1_650_000, count: 2, max: Some(850_000) };
        assert_eq!(value(stat, Unit::Ppm), Some(0.825));
        assert_eq!(value(Stat::default(), Unit::Ppm), None);
    }
}
