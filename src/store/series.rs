//! The values of a series over a span, whatever it is of: reads of figures by the quarter of an hour, agents' time by the day or the
//! quarter, results of analytics queries by their buckets.
//!
//! Days are what is stored of them, so that a large span of many agents stays fast; quarters are cut from segments, and so of few agents
//! times days alone. What nobody saw is a gap, never zero.

mod aggregated;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::error::ReadError;
use super::reader::Reader;
use super::tables::live::figures::{FIGURES_PAGE_LIMIT, FigurePoint};
use crate::domain::adherence::course::Span;
use crate::domain::adherence::days::days_touching;
use crate::domain::adherence::figures::{Times, basis};
use crate::domain::adherence::ledger::Ledger;
use crate::domain::adherence::sums::Sums;
use crate::domain::agents::agent::Agent;
use crate::domain::analytics::series::{Bucket, QUARTER, QUARTER_US, Source, Whom};
use crate::domain::analytics::trend::Sample;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::live::figures::{Measure, QUEUE_MEASURES, SKILL_MEASURES, Stat, Unit};
use crate::domain::time::UtcMicros;

/// Quarters of agents' time are cut from at most so many agents times days.
pub const MOST_AGENT_DAYS: u64 = 3_000;

/// Days of an agent whose facts are read in one go.
const DAYS_AT_ONCE: Duration = Duration::from_hours(31 * 24);

/// Agents whose stored days are read in one go.
const AGENTS_AT_ONCE: u32 = 64;

const DAY: Duration = Duration::from_hours(24);

/// Why a series was not read.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The span is too long.
    #[error("{of} is of {most} days at most: ask for a shorter span")]
    TooLong {
        /// The series.
        of: String,
        /// The most of it.
        most: u32,
    },
    /// What is kept of analytics does not have it; says why.
    #[error("{0}")]
    Unfit(String),
    /// Quarters of too many agents over too many days.
    #[error(
        "quarters of an hour of {agents} agents over {days} days are more than {MOST_AGENT_DAYS} agents times days: ask for fewer days, a \
         smaller team, or days instead of quarters (without -15m)"
    )]
    TooMuch {
        /// How many agents it is of.
        agents: usize,
        /// Over how many days.
        days: u64,
    },
}

/// The values of a series.
#[derive(Clone, PartialEq, Debug)]
pub struct SeriesValues {
    /// How long each of them is of.
    pub bucket: Bucket,
    /// Whose days and hours they go by: the zone that was asked for, or that of the analytics query.
    pub zone: TimeZone,
    /// In order, from the first that is known to the last; what is missing between is a gap.
    pub samples: Vec<Sample>,
}

impl Reader {
    /// The values of a series from one instant up to another. Quarters, and days of `zone`, are those that lie in the span whole; buckets of an analytics
    /// query go by its own zone and count where they begin.
    ///
    /// # Errors
    /// The store could not be read, or the span is too long for what is asked.
    pub async fn samples(
        &self,
        tenant: &TenantId,
        source: &Source,
        span: Span,
        zone: &TimeZone,
    ) -> Result<SeriesValues, SeriesError> {
        let most = source.longest_days();
        if span.1.since(span.0) > DAY * most {
            return Err(SeriesError::TooLong { of: source.to_string(), most });
        }
        let (bucket, whole) = match source {
            Source::Skill(_, measure) | Source::Queue(_, measure) => {
                (Bucket::Quarter, self.figure_quarters(tenant, source, span).await?.samples(measure.unit))
            }
            Source::Adherence(whom, bucket) | Source::NotReady(whom, bucket) => {
                let sums = match bucket {
                    Bucket::Quarter => self.quarters_of(tenant, whom, span).await?,
                    // No series of agents' time goes by another.
                    Bucket::Day | Bucket::Hour | Bucket::Week | Bucket::Month => {
                        self.days_of(tenant, whom, span, zone).await?
                    }
                };
                (*bucket, sums.into_iter().map(|(at, sums)| sample(source, at, &sums)).collect())
            }
            Source::Analytics(of) => {
                let values = self.aggregated(tenant, of, span, zone).await?;
                return Ok(SeriesValues { samples: trimmed(values.samples), ..values });
            }
        };
        Ok(SeriesValues { bucket, zone: zone.clone(), samples: trimmed(whole) })
    }

    async fn figure_quarters(&self, tenant: &TenantId, source: &Source, span: Span) -> Result<Quarters, ReadError> {
        let mut quarters = Quarters::default();
        let (mut from, to) = whole_quarters(span);
        loop {
            let read = match source {
                Source::Skill(id, measure) => {
                    let page = self.skill_series(tenant, id, (from, to), FIGURES_PAGE_LIMIT).await?;
                    quarters.take(&page, place_of(&SKILL_MEASURES, measure))
                }
                Source::Queue(id, measure) => {
                    let page = self.queue_series(tenant, id, (from, to), FIGURES_PAGE_LIMIT).await?;
                    quarters.take(&page, place_of(&QUEUE_MEASURES, measure))
                }
                Source::Adherence(..) | Source::NotReady(..) | Source::Analytics(_) => None,
            };
            match read {
                Some(last) => from = last.offset(1),
                None => return Ok(quarters),
            }
        }
    }

    /// What the stored days of some agents add up to, by day. A day that is stale or was judged by other settings, zones or teams is left
    /// out until it is computed anew.
    async fn days_of(
        &self,
        tenant: &TenantId,
        whom: &Whom,
        span: Span,
        zone: &TimeZone,
    ) -> Result<Vec<(UtcMicros, Sums)>, ReadError> {
        let is_whole = |(_, (start, end)): &(Date, Span)| span.0 <= *start && *end <= span.1;
        let days: Vec<(Date, Span)> = days_touching(span, zone).into_iter().filter(is_whole).collect();
        let (Some((first, _)), Some((last, _))) = (days.first(), days.last()) else { return Ok(Vec::new()) };
        let settings = self.adherence_settings(tenant).await?;
        let basis_of = |agent: &Agent| basis(&settings, agent.zone.as_deref().unwrap_or("UTC"), agent.team.as_ref());
        let members = self.members(tenant, whom).await?;
        let mut added: BTreeMap<Date, Sums> = BTreeMap::new();
        if *whom == Whom::Everyone {
            let bases: HashMap<&AgentId, String> = members.iter().map(|agent| (&agent.id, basis_of(agent))).collect();
            let mut after = AgentId::new("");
            loop {
                let page = self.packed_days(tenant, after.as_str(), (*first, *last), AGENTS_AT_ONCE).await?;
                let is_last = u32::try_from(page.len()).is_ok_and(|found| found < AGENTS_AT_ONCE);
                for (agent, days) in page {
                    let of_basis = bases.get(&agent);
                    for (day, _, sums) in days.iter().filter(|(_, by, _)| of_basis.is_some_and(|basis| **basis == **by))
                    {
                        added.entry(*day).or_default().add(sums);
                    }
                    after = agent;
                }
                if is_last {
                    break;
                }
            }
        } else {
            for agent in &members {
                let basis = basis_of(agent);
                let days = self.days_of_agent(tenant, &agent.id, (*first, *last)).await?;
                for row in days.iter().filter(|row| !row.stale && *row.basis == *basis) {
                    added.entry(row.day).or_default().add(&row.sums);
                }
            }
        }
        Ok(days.into_iter().map(|(day, (start, _))| (start, added.remove(&day).unwrap_or_default())).collect())
    }

    /// What the segments of some agents add up to, by the quarter of an hour.
    async fn quarters_of(
        &self,
        tenant: &TenantId,
        whom: &Whom,
        span: Span,
    ) -> Result<Vec<(UtcMicros, Sums)>, SeriesError> {
        let (from, to) = whole_quarters(span);
        if from >= to {
            return Ok(Vec::new());
        }
        let members = self.members(tenant, whom).await?;
        let days = to.since(from).as_secs().div_ceil(DAY.as_secs());
        if days.saturating_mul(members.len() as u64) > MOST_AGENT_DAYS {
            return Err(SeriesError::TooMuch { agents: members.len(), days });
        }
        let ground = self.adherence_ground(tenant, (from, to)).await?;
        let starts = std::iter::successors(Some(from), |at| Some(*at + QUARTER)).take_while(|at| *at < to);
        let mut quarters: Vec<(UtcMicros, Sums)> = starts.map(|at| (at, Sums::default())).collect();
        for agent in &members {
            let mut at = from;
            while at < to {
                let end = (at + DAYS_AT_ONCE).min(to);
                let facts = self.agent_facts(&ground, &agent.id, agent.team.as_ref(), (at, end)).await?;
                let ledger = Ledger::new(facts.course(&ground.settings), (at, end));
                let first = quarters.partition_point(|(start, _)| *start < at);
                let mut pieces = ledger.segments((at, end)).peekable();
                for (start, sums) in quarters.iter_mut().skip(first).take_while(|(start, _)| *start < end) {
                    let quarter = (*start, *start + QUARTER);
                    while let Some(piece) = pieces.peek().filter(|piece| piece.start < quarter.1) {
                        if let Some(part) = piece.within(quarter) {
                            sums.take(&part);
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

    /// Whose time it is, by the teams of now.
    async fn members(&self, tenant: &TenantId, whom: &Whom) -> Result<Vec<Agent>, ReadError> {
        Ok(match whom {
            Whom::Agent(id) => self.agent(tenant, id).await?.into_iter().map(|stored| stored.agent).collect(),
            Whom::Everyone => self.agents(tenant).await?.into_iter().map(|stored| stored.agent).collect(),
            Whom::Team(team) => {
                let all = self.agents(tenant).await?.into_iter().map(|stored| stored.agent);
                all.filter(|agent| agent.team.as_ref() == Some(team)).collect()
            }
        })
    }
}

fn sample(source: &Source, at: UtcMicros, sums: &Sums) -> Sample {
    Sample { at, value: source.share_of(&Times::of(sums)) }
}

/// Without what is missing before the first value and after the last.
fn trimmed(mut samples: Vec<Sample>) -> Vec<Sample> {
    let is_known = |sample: &Sample| sample.value.is_some();
    samples.truncate(samples.iter().rposition(is_known).map_or(0, |last| last + 1));
    let first = samples.iter().position(is_known).unwrap_or_default();
    samples.split_off(first)
}

/// The quarters that lie in a span whole: one that goes on would be judged by a part of it, and otherwise when it has ended.
const fn whole_quarters((from, to): Span) -> Span {
    (quarter_of(from.offset(QUARTER_US - 1)), quarter_of(to))
}

const fn quarter_of(at: UtcMicros) -> UtcMicros {
    UtcMicros::from_micros(at.as_micros() - at.as_micros().rem_euclid(QUARTER_US))
}

fn place_of(measures: &[Measure], measure: &Measure) -> usize {
    measures.iter().position(|other| other == measure).unwrap_or_default()
}

/// Sums of reads by the quarter, in order.
#[derive(Default)]
struct Quarters(Vec<(UtcMicros, Stat)>);

impl Quarters {
    /// Takes a page in; gives where its last point begins.
    fn take<const N: usize>(&mut self, page: &[FigurePoint<N>], place: usize) -> Option<UtcMicros> {
        for point in page {
            let at = quarter_of(point.starts_at);
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
        let told = |samples: &[Sample]| -> Vec<_> {
            samples.iter().map(|s| (s.at.as_micros() / QUARTER_US, s.value)).collect()
        };
        let samples = quarters.samples(Unit::Count);
        assert_eq!(told(&samples), [(0, Some(6.0)), (1, None), (2, None), (3, Some(15.0)), (4, None)]);
        assert_eq!(told(&trimmed(samples)), [(0, Some(6.0)), (1, None), (2, None), (3, Some(15.0))]);
        assert_eq!(trimmed(vec![Sample { at: UtcMicros::EPOCH, value: None }; 3]), []);
    }

    #[test]
    fn a_share_is_one_of_one() {
        let stat = Stat { sum: 1_650_000, count: 2, max: Some(850_000) };
        assert_eq!(value(stat, Unit::Ppm), Some(0.825));
        assert_eq!(value(Stat::default(), Unit::Ppm), None);
    }
}
