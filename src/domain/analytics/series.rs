//! Series of values, the basis of trends, and the text that names each in the configuration, commands, the API and
//! rules.
//!
//! Figures of a skill or queue have one value per quarter hour; adherence and not-ready time one per day, or per
//! quarter hour on request; the platform's aggregates one per bucket of their query. Shares are computed from sums: the
//! seconds of all agents are added up, then divided once.

pub mod aggregated;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use self::aggregated::{AggregatedMetric, MAX_SOURCE_LENGTH, ResultSource};
pub use super::bucket::{QUARTER, QUARTER_US, SeriesBucket};
use crate::domain::adherence::figures::{AdherenceFormula, AdherenceTimes, Ratio};
use crate::domain::ids::{AgentId, QueueId, SkillId, TeamName};
use crate::domain::live::figures::{Measure, QUEUE_MEASURES, SKILL_MEASURES, Unit};

/// The agents whose time counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AgentFilter {
    /// All agents.
    Everyone,
    /// The agents who are in this team when the series is read.
    Team(TeamName),
    /// One agent.
    Agent(AgentId),
}

/// The source of a series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SeriesSource {
    /// A figure of a skill: the mean of the readings in a quarter hour.
    Skill(SkillId, &'static Measure),
    /// A figure of a queue: the mean of the readings in a quarter hour.
    Queue(QueueId, &'static Measure),
    /// In ÷ scheduled.
    Adherence(AgentFilter, SeriesBucket),
    /// Not ready ÷ (not ready + waiting + handling), over the time in which agents were logged in and observed.
    NotReady(AgentFilter, SeriesBucket),
    /// A metric that the platform aggregated.
    Analytics(AggregatedMetric),
}

impl SeriesSource {
    /// Creates a source from a skill's figure, by its name in rules or in the store.
    ///
    /// # Errors
    /// Returns an error that lists the figures if there is none with this name.
    pub fn skill(id: SkillId, figure: &str) -> Result<Self, String> {
        find_measure(&SKILL_MEASURES, figure).map(|measure| Self::Skill(id, measure))
    }

    /// Creates a source from a queue's figure, by its name in rules or in the store.
    ///
    /// # Errors
    /// Returns an error that lists the figures if there is none with this name.
    pub fn queue(id: QueueId, figure: &str) -> Result<Self, String> {
        find_measure(&QUEUE_MEASURES, figure).map(|measure| Self::Queue(id, measure))
    }

    /// Returns the length of time of one value; `None` if it depends on the results of a query.
    pub const fn bucket(&self) -> Option<SeriesBucket> {
        match self {
            Self::Skill(..) | Self::Queue(..) => Some(SeriesBucket::Quarter),
            Self::Adherence(_, bucket) | Self::NotReady(_, bucket) => Some(*bucket),
            Self::Analytics(_) => None,
        }
    }

    /// Returns the agents whose time counts; `None` if the series is not about agents' time.
    pub const fn agent_filter(&self) -> Option<&AgentFilter> {
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Analytics(_) => None,
            Self::Adherence(agent_filter, _) | Self::NotReady(agent_filter, _) => Some(agent_filter),
        }
    }

    /// Returns the metric aggregated by the platform, if the series is one.
    pub const fn aggregated_metric(&self) -> Option<&AggregatedMetric> {
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Adherence(..) | Self::NotReady(..) => None,
            Self::Analytics(metric) => Some(metric),
        }
    }

    /// Returns the largest number of days that can be read at once: over 35,000 quarter hours. Query results have
    /// buckets of at least an hour, and a run may cover twenty years.
    pub const fn max_days(&self) -> u32 {
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Adherence(..) | Self::NotReady(..) => 366,
            Self::Analytics(_) => 20 * 366,
        }
    }

    /// Returns the time covered if no start is given.
    pub const fn default_span(&self) -> Duration {
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Adherence(..) | Self::NotReady(..) => {
                Duration::from_hours(60 * 24)
            }
            Self::Analytics(_) => Duration::from_hours(366 * 24),
        }
    }

    /// Returns the text for records that are never erased, such as the audit log: without the values of a metric's
    /// group.
    pub fn audit_text(&self) -> String {
        self.aggregated_metric().map_or_else(|| self.to_string(), AggregatedMetric::without_values)
    }

    /// Returns whether the values are shares between 0 and 1.
    pub fn is_share(&self) -> bool {
        match self {
            Self::Skill(_, measure) | Self::Queue(_, measure) => measure.unit == Unit::Ppm,
            Self::Adherence(..) | Self::NotReady(..) => true,
            // The platform gives its shares in percent.
            Self::Analytics(_) => false,
        }
    }

    /// Returns the figure, with its unit if it has one; a share is between 0 and 1.
    pub fn figure(&self) -> Cow<'static, str> {
        match self {
            Self::Skill(_, measure) | Self::Queue(_, measure) if measure.unit == Unit::Ppm => measure.name.into(),
            Self::Skill(_, measure) | Self::Queue(_, measure) => measure.column.into(),
            Self::Adherence(..) => "adherence".into(),
            Self::NotReady(..) => "not_ready".into(),
            Self::Analytics(metric) => metric.metric.clone().into(),
        }
    }

    /// Returns what the figure is about, for people: `skill 1001`, `team Care`, `everyone`, `analytics calls, channel
    /// voice`.
    pub fn subject(&self) -> String {
        match self {
            Self::Skill(id, _) => format!("skill {id}"),
            Self::Queue(id, _) => format!("queue {id}"),
            Self::Adherence(agent_filter, _) | Self::NotReady(agent_filter, _) => match agent_filter {
                AgentFilter::Everyone => "everyone".to_owned(),
                AgentFilter::Team(team) => format!("team {team}"),
                AgentFilter::Agent(agent) => format!("agent {agent}"),
            },
            Self::Analytics(metric) => {
                let (group, comma) = (metric.group_text(), if metric.group.is_empty() { "" } else { ", " });
                match &metric.source {
                    ResultSource::Query(id) => format!("analytics {id}{comma}{group}"),
                    ResultSource::Run(id) => format!("analytics run {id}{comma}{group}"),
                }
            }
        }
    }

    /// Returns the share computed from some times. `None` if the divisor is zero, or if more of the shifts' time is
    /// unknown than known, since so few observations say nothing about the rest.
    pub fn share_of(&self, times: &AdherenceTimes) -> Option<f64> {
        if times.unknown_us > times.scheduled_us {
            return None;
        }
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Analytics(_) => None,
            Self::Adherence(..) => AdherenceFormula::default().ratio(times).share(),
            Self::NotReady(..) => {
                Ratio(times.not_ready_us, times.not_ready_us + times.waiting_us + times.handling_us).share()
            }
        }
    }
}

fn find_measure(measures: &'static [Measure], figure: &str) -> Result<&'static Measure, String> {
    let found = measures.iter().find(|measure| measure.name == figure || measure.column == figure);
    found.ok_or_else(|| {
        let known: Vec<_> = measures.iter().map(|measure| measure.name).collect();
        format!("there is no figure {figure:?}; there are {}", known.join(", "))
    })
}

/// `skill:1001:contacts_queued`, `queue:q_1:service_level`, `adherence`, `not-ready:team:Care`,
/// `adherence-15m:agent:u_0001`, `analytics:calls:count:channel=voice`
impl fmt::Display for SeriesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, agent_filter, bucket) = match self {
            Self::Skill(id, measure) => return write!(f, "skill:{id}:{}", measure.name),
            Self::Queue(id, measure) => return write!(f, "queue:{id}:{}", measure.name),
            Self::Adherence(agent_filter, bucket) => (ADHERENCE, agent_filter, bucket),
            Self::NotReady(agent_filter, bucket) => (NOT_READY, agent_filter, bucket),
            Self::Analytics(metric) => return write!(f, "{metric}"),
        };
        f.write_str(name)?;
        if *bucket == SeriesBucket::Quarter {
            f.write_str(BY_QUARTER)?;
        }
        match agent_filter {
            AgentFilter::Everyone => Ok(()),
            AgentFilter::Team(team) => write!(f, ":team:{team}"),
            AgentFilter::Agent(agent) => write!(f, ":agent:{agent}"),
        }
    }
}

const ADHERENCE: &str = "adherence";
const NOT_READY: &str = "not-ready";
const BY_QUARTER: &str = "-15m";

impl FromStr for SeriesSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_SOURCE_LENGTH {
            return Err(format!("a series is named in {MAX_SOURCE_LENGTH} bytes at most"));
        }
        if text.chars().any(char::is_control) {
            return Err("a series is named without control characters".to_owned());
        }
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "skill" | "queue" => {
                let (id, figure) = rest
                    .rsplit_once(':')
                    .filter(|(id, _)| !id.is_empty())
                    .ok_or_else(|| format!("`{kind}` wants an id and a figure, as in {kind}:1001:service_level"))?;
                if kind == "skill" { Self::skill(id.into(), figure) } else { Self::queue(id.into(), figure) }
            }
            aggregated::QUERY_PREFIX | aggregated::RUN_PREFIX => {
                AggregatedMetric::parse(kind, rest).map(Self::Analytics)
            }
            _ => {
                let (name, bucket) = match kind.strip_suffix(BY_QUARTER) {
                    Some(name) => (name, SeriesBucket::Quarter),
                    None => (kind, SeriesBucket::Day),
                };
                let constructor = match name {
                    ADHERENCE => Self::Adherence,
                    NOT_READY => Self::NotReady,
                    _ => return Err(unknown_series_text(text)),
                };
                let agent_filter = match rest.split_once(':') {
                    None if text == kind => AgentFilter::Everyone,
                    Some(("team", team)) if !team.trim().is_empty() => AgentFilter::Team(TeamName::new(team)),
                    Some(("agent", agent)) if !agent.trim().is_empty() => AgentFilter::Agent(AgentId::new(agent)),
                    Some(_) | None => {
                        return Err(format!("`{kind}` is of everyone, or as in {kind}:team:Care, {kind}:agent:u_0001"));
                    }
                };
                Ok(constructor(agent_filter, bucket))
            }
        }
    }
}

fn unknown_series_text(text: &str) -> String {
    format!(
        "there is no series {text:?}; write skill:ID:FIGURE, queue:ID:FIGURE, analytics:QUERY:METRIC, adherence or not-ready, the last two \
         with -15m behind them for quarters of an hour, and with :team:NAME or :agent:ID for a part of the agents"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_has_one_text_that_is_read_as_what_was_written() {
        for (text, figure, subject, bucket) in [
            ("skill:1001:contacts_queued", "contacts_queued", "skill 1001", Some(SeriesBucket::Quarter)),
            ("skill:a:b:service_level", "service_level", "skill a:b", Some(SeriesBucket::Quarter)),
            ("queue:q_1:average_wait_time", "average_wait_time_ms", "queue q_1", Some(SeriesBucket::Quarter)),
            ("adherence", "adherence", "everyone", Some(SeriesBucket::Day)),
            ("adherence-15m:team:Care: nights", "adherence", "team Care: nights", Some(SeriesBucket::Quarter)),
            ("not-ready:agent:u_0001", "not_ready", "agent u_0001", Some(SeriesBucket::Day)),
            ("not-ready-15m", "not_ready", "everyone", Some(SeriesBucket::Quarter)),
            ("analytics:calls:count", "count", "analytics calls", None),
            ("analytics:calls:duration:channel=voice", "duration", "analytics calls, channel voice", None),
        ] {
            let source: SeriesSource = text.parse().expect(text);
            let actual = (&*source.figure(), &*source.subject(), source.bucket());
            assert_eq!(actual, (figure, subject, bucket), "{text}");
            assert_eq!(source.to_string(), text);
        }
        let by_column: SeriesSource = "queue:q:average_wait_time_ms".parse().expect("the store's name");
        assert_eq!(by_column.to_string(), "queue:q:average_wait_time");
    }

    #[test]
    fn what_is_no_series_is_refused_with_the_way_out() {
        for (text, part) in [
            ("", "write skill:ID:FIGURE"),
            ("occupancy", "there is no series"),
            ("skill:1001", "an id and a figure"),
            ("skill::contacts_queued", "an id and a figure"),
            ("skill:1001:calls_waiting", "there are contacts_queued"),
            ("queue:1:contacts_queued", "there are agents_logged_on"),
            ("adherence:", "is of everyone"),
            ("adherence:team:", "adherence:team:Care"),
            ("adherence:crew:x", "is of everyone"),
            ("analytics:calls", "as in analytics:calls:count"),
            ("analytics-run:calls:count", "not the id of an analytics run"),
            ("analytics:calls:count:channel=a\nb", "control characters"),
        ] {
            let message = text.parse::<SeriesSource>().expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!("x".repeat(2_001).parse::<SeriesSource>().is_err_and(|refused| refused.contains("2000 bytes")));
    }

    #[test]
    fn a_share_is_computed_from_sums_and_absent_if_most_time_is_unknown() {
        let adherence: SeriesSource = "adherence".parse().expect("one");
        let not_ready: SeriesSource = "not-ready".parse().expect("one");
        let times = AdherenceTimes {
            scheduled_us: 100,
            in_us: 80,
            not_ready_us: 30,
            waiting_us: 50,
            handling_us: 20,
            unknown_us: 100,
            ..AdherenceTimes::default()
        };
        assert_eq!([adherence.share_of(&times), not_ready.share_of(&times)], [Some(0.8), Some(0.3)]);
        let unobserved = AdherenceTimes { unknown_us: 101, ..times };
        assert_eq!([adherence.share_of(&unobserved), not_ready.share_of(&unobserved)], [None, None]);
        assert_eq!(
            [adherence.share_of(&AdherenceTimes::default()), not_ready.share_of(&AdherenceTimes::default())],
            [None, None]
        );
    }
}
