//! Series of values that trends are of, and the one text that names each in the configuration, in commands, in the API and in rules.
//!
//! A figure of a skill or queue goes by the quarter of an hour, adherence and not-ready time by the day, or by the quarter of an hour where
//! that is asked for, and what the platform added up by the buckets of its query. Shares are made of sums: seconds of all agents are added
//! up, then divided once.

pub mod aggregated;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use self::aggregated::{Aggregated, Results};
use crate::domain::adherence::figures::{Ratio, Times, Variant};
use crate::domain::ids::{AgentId, QueueId, SkillId, TeamName};
use crate::domain::live::figures::{Measure, QUEUE_MEASURES, SKILL_MEASURES, Unit};

/// A quarter of an hour.
pub const QUARTER: Duration = Duration::from_mins(15);

/// The same, in microseconds.
pub const QUARTER_US: i64 = 900_000_000;

/// The longest text of a source, in bytes: room for the names that a platform gives to metrics, dimensions and groups.
const LONGEST: usize = 2_000;

/// How long one value of a series is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bucket {
    /// A quarter of an hour.
    Quarter,
    /// An hour.
    Hour,
    /// A day by the calendar.
    Day,
    /// A week from Monday.
    Week,
    /// A month by the calendar.
    Month,
}

impl Bucket {
    /// All of them, shortest first.
    pub const ALL: [Self; 5] = [Self::Quarter, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bucket| bucket.name() == name)
    }

    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quarter => "quarter",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// How long it usually is; a month at most.
    pub const fn usual(self) -> Duration {
        match self {
            Self::Quarter => QUARTER,
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
            Self::Week => Duration::from_hours(7 * 24),
            Self::Month => Duration::from_hours(31 * 24),
        }
    }

    /// The whole words for some of them.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Quarter => "quarter of an hour",
            Self::Hour | Self::Day | Self::Week | Self::Month => self.name(),
        }
    }
}

/// Whose time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// Everybody's.
    Everyone,
    /// Of those who are in this team when it is read.
    Team(TeamName),
    /// One agent's.
    Agent(AgentId),
}

/// What a series is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A figure of a skill; the mean of a quarter's reads.
    Skill(SkillId, &'static Measure),
    /// A figure of a queue; the same.
    Queue(QueueId, &'static Measure),
    /// In ÷ scheduled.
    Adherence(Whom, Bucket),
    /// Not ready ÷ (not ready + waiting + handling): of the time in which agents were logged in and seen.
    NotReady(Whom, Bucket),
    /// A metric that the platform added up.
    Analytics(Aggregated),
}

impl Source {
    /// A figure of a skill by its name in rules or in the store.
    ///
    /// # Errors
    /// There is no such figure; says which there are.
    pub fn skill(id: SkillId, figure: &str) -> Result<Self, String> {
        named(&SKILL_MEASURES, figure).map(|measure| Self::Skill(id, measure))
    }

    /// A figure of a queue.
    ///
    /// # Errors
    /// There is no such figure; says which there are.
    pub fn queue(id: QueueId, figure: &str) -> Result<Self, String> {
        named(&QUEUE_MEASURES, figure).map(|measure| Self::Queue(id, measure))
    }

    /// How long one of its values is of; none where the results of a query say so.
    pub const fn bucket(&self) -> Option<Bucket> {
        match self {
            Self::Skill(..) | Self::Queue(..) => Some(Bucket::Quarter),
            Self::Adherence(_, bucket) | Self::NotReady(_, bucket) => Some(*bucket),
            Self::Analytics(_) => None,
        }
    }

    /// Whose time it is of; none where it is no time of agents.
    pub const fn whom(&self) -> Option<&Whom> {
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Analytics(_) => None,
            Self::Adherence(whom, _) | Self::NotReady(whom, _) => Some(whom),
        }
    }

    /// The metric that it is of, where the platform added it up.
    pub const fn aggregated(&self) -> Option<&Aggregated> {
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Adherence(..) | Self::NotReady(..) => None,
            Self::Analytics(of) => Some(of),
        }
    }

    /// So many days are read of it at once at most: over 35,000 quarters. Results of queries go by the hour at least, and a run may be of
    /// twenty years.
    pub const fn longest_days(&self) -> u32 {
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Adherence(..) | Self::NotReady(..) => 366,
            Self::Analytics(_) => 20 * 366,
        }
    }

    /// So much is looked at where no beginning is named.
    pub const fn usual_span(&self) -> Duration {
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Adherence(..) | Self::NotReady(..) => {
                Duration::from_hours(60 * 24)
            }
            Self::Analytics(_) => Duration::from_hours(366 * 24),
        }
    }

    /// Its text as it may enter a record that nothing is erased from.
    pub fn for_the_record(&self) -> String {
        self.aggregated().map_or_else(|| self.to_string(), Aggregated::without_values)
    }

    /// Its values are shares of 1.
    pub fn is_share(&self) -> bool {
        match self {
            Self::Skill(_, measure) | Self::Queue(_, measure) => measure.unit == Unit::Ppm,
            Self::Adherence(..) | Self::NotReady(..) => true,
            // A share of the platform's comes in per cent, as it gives it.
            Self::Analytics(_) => false,
        }
    }

    /// The figure, with its unit where it has one; a share is one of 1.
    pub fn figure(&self) -> Cow<'static, str> {
        match self {
            Self::Skill(_, measure) | Self::Queue(_, measure) if measure.unit == Unit::Ppm => measure.name.into(),
            Self::Skill(_, measure) | Self::Queue(_, measure) => measure.column.into(),
            Self::Adherence(..) => "adherence".into(),
            Self::NotReady(..) => "not_ready".into(),
            Self::Analytics(of) => of.metric.clone().into(),
        }
    }

    /// Whose figure, for people: `skill 1001`, `team Care`, `everyone`, `analytics calls, channel voice`.
    pub fn subject(&self) -> String {
        match self {
            Self::Skill(id, _) => format!("skill {id}"),
            Self::Queue(id, _) => format!("queue {id}"),
            Self::Adherence(whom, _) | Self::NotReady(whom, _) => match whom {
                Whom::Everyone => "everyone".to_owned(),
                Whom::Team(team) => format!("team {team}"),
                Whom::Agent(agent) => format!("agent {agent}"),
            },
            Self::Analytics(of) => {
                let (group, comma) = (of.group_text(), if of.group.is_empty() { "" } else { ", " });
                match &of.of {
                    Results::Query(id) => format!("analytics {id}{comma}{group}"),
                    Results::Run(id) => format!("analytics run {id}{comma}{group}"),
                }
            }
        }
    }

    /// The share that some times come to. None where there is nothing to divide by, and where more of the shifts' time is unknown than
    /// known: what little was seen says nothing of the rest.
    pub fn share_of(&self, times: &Times) -> Option<f64> {
        if times.unknown_us > times.scheduled_us {
            return None;
        }
        match self {
            Self::Skill(..) | Self::Queue(..) | Self::Analytics(_) => None,
            Self::Adherence(..) => Variant::default().of(times).share(),
            Self::NotReady(..) => {
                Ratio(times.not_ready_us, times.not_ready_us + times.waiting_us + times.handling_us).share()
            }
        }
    }
}

fn named(measures: &'static [Measure], figure: &str) -> Result<&'static Measure, String> {
    let found = measures.iter().find(|measure| measure.name == figure || measure.column == figure);
    found.ok_or_else(|| {
        let known: Vec<_> = measures.iter().map(|measure| measure.name).collect();
        format!("there is no figure {figure:?}; there are {}", known.join(", "))
    })
}

/// `skill:1001:contacts_queued`, `queue:q_1:service_level`, `adherence`, `not-ready:team:Care`, `adherence-15m:agent:u_0001`,
/// `analytics:calls:count:channel=voice`
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, whom, bucket) = match self {
            Self::Skill(id, measure) => return write!(f, "skill:{id}:{}", measure.name),
            Self::Queue(id, measure) => return write!(f, "queue:{id}:{}", measure.name),
            Self::Adherence(whom, bucket) => (ADHERENCE, whom, bucket),
            Self::NotReady(whom, bucket) => (NOT_READY, whom, bucket),
            Self::Analytics(of) => return write!(f, "{of}"),
        };
        f.write_str(name)?;
        if *bucket == Bucket::Quarter {
            f.write_str(BY_QUARTER)?;
        }
        match whom {
            Whom::Everyone => Ok(()),
            Whom::Team(team) => write!(f, ":team:{team}"),
            Whom::Agent(agent) => write!(f, ":agent:{agent}"),
        }
    }
}

const ADHERENCE: &str = "adherence";
const NOT_READY: &str = "not-ready";
const BY_QUARTER: &str = "-15m";

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("a series is named in {LONGEST} bytes at most"));
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
            aggregated::QUERY | aggregated::RUN => Aggregated::read(kind, rest).map(Self::Analytics),
            _ => {
                let (name, bucket) = match kind.strip_suffix(BY_QUARTER) {
                    Some(name) => (name, Bucket::Quarter),
                    None => (kind, Bucket::Day),
                };
                let make = match name {
                    ADHERENCE => Self::Adherence,
                    NOT_READY => Self::NotReady,
                    _ => return Err(unknown(text)),
                };
                let whom = match rest.split_once(':') {
                    None if text == kind => Whom::Everyone,
                    Some(("team", team)) if !team.trim().is_empty() => Whom::Team(TeamName::new(team)),
                    Some(("agent", agent)) if !agent.trim().is_empty() => Whom::Agent(AgentId::new(agent)),
                    Some(_) | None => {
                        return Err(format!("`{kind}` is of everyone, or as in {kind}:team:Care, {kind}:agent:u_0001"));
                    }
                };
                Ok(make(whom, bucket))
            }
        }
    }
}

fn unknown(text: &str) -> String {
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
            ("skill:1001:contacts_queued", "contacts_queued", "skill 1001", Some(Bucket::Quarter)),
            ("skill:a:b:service_level", "service_level", "skill a:b", Some(Bucket::Quarter)),
            ("queue:q_1:average_wait_time", "average_wait_time_ms", "queue q_1", Some(Bucket::Quarter)),
            ("adherence", "adherence", "everyone", Some(Bucket::Day)),
            ("adherence-15m:team:Care: nights", "adherence", "team Care: nights", Some(Bucket::Quarter)),
            ("not-ready:agent:u_0001", "not_ready", "agent u_0001", Some(Bucket::Day)),
            ("not-ready-15m", "not_ready", "everyone", Some(Bucket::Quarter)),
            ("analytics:calls:count", "count", "analytics calls", None),
            ("analytics:calls:duration:channel=voice", "duration", "analytics calls, channel voice", None),
        ] {
            let source: Source = text.parse().expect(text);
            let of = (&*source.figure(), &*source.subject(), source.bucket());
            assert_eq!(of, (figure, subject, bucket), "{text}");
            assert_eq!(source.to_string(), text);
        }
        let by_column: Source = "queue:q:average_wait_time_ms".parse().expect("the store's name");
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
            ("analytics-run:calls:count", "no id of an analytics run"),
            ("analytics:calls:count:channel=a\nb", "control characters"),
        ] {
            let refused = text.parse::<Source>().expect_err(text);
            assert!(refused.contains(part), "{text}: {refused}");
        }
        assert!("x".repeat(2_001).parse::<Source>().is_err_and(|refused| refused.contains("2000 bytes")));
    }

    #[test]
    fn a_share_is_of_sums_and_of_what_is_mostly_unknown_there_is_none() {
        let adherence: Source = "adherence".parse().expect("one");
        let not_ready: Source = "not-ready".parse().expect("one");
        let times = Times {
            scheduled_us: 100,
            in_us: 80,
            not_ready_us: 30,
            waiting_us: 50,
            handling_us: 20,
            unknown_us: 100,
            ..Times::default()
        };
        assert_eq!([adherence.share_of(&times), not_ready.share_of(&times)], [Some(0.8), Some(0.3)]);
        let unseen = Times { unknown_us: 101, ..times };
        assert_eq!([adherence.share_of(&unseen), not_ready.share_of(&unseen)], [None, None]);
        assert_eq!([adherence.share_of(&Times::default()), not_ready.share_of(&Times::default())], [None, None]);
    }
}
