//! Staffing per quarter hour: how many agents are planned, present and on contact, and how many are required.
//!
//! An agent counts by the share of the quarter hour. Every sum is kept in whole microseconds, and numbers of agents in
//! thousandths.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::schedule::{Activity, AgentPlan};
use crate::domain::adherence::timeline::{Span, StateInterval};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::TeamName;
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// The length of the intervals in which staffing is counted.
pub const STAFFING_INTERVAL: Duration = Duration::from_secs(15 * 60);

const INTERVAL_US: i64 = 15 * 60 * 1_000_000;

/// A number of agents, in thousandths; in JSON a decimal number, such as `12.5`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct AgentCount(i64);

impl AgentCount {
    /// No agents.
    pub const ZERO: Self = Self(0);

    /// Creates a number of agents from thousandths.
    pub const fn from_thousandths(thousandths: i64) -> Self {
        Self(thousandths)
    }

    /// Returns the number in thousandths.
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// Returns the number of agents whose time together is `time_us`, on average over `length_us`; rounded.
    fn average(time_us: i64, length_us: i64) -> Self {
        let thousandths = i128::from(time_us) * 1000 + i128::from(length_us) / 2;
        Self(i64::try_from(thousandths / i128::from(length_us.max(1))).unwrap_or(i64::MAX))
    }

    const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for AgentCount {
    /// Writes at most three decimals, or as many as the precision says: `12`, `-0.25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(decimals) = f.precision() {
            return write!(f, "{:.decimals$}", f64::from(*self));
        }
        write!(f, "{}", f64::from(*self))
    }
}

impl From<AgentCount> for f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of agents is far below 2⁵³ thousandths")]
    fn from(count: AgentCount) -> Self {
        count.0 as Self / 1000.0
    }
}

impl Serialize for AgentCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((*self).into())
    }
}

impl<'de> Deserialize<'de> for AgentCount {
    #[expect(clippy::cast_possible_truncation, reason = "a number beyond all agents becomes the largest one")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self((f64::deserialize(deserializer)? * 1000.0).round() as i64))
    }
}

/// The agents required in one queue for one interval.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequiredStaffing {
    /// The start of the interval (inclusive).
    pub start: UtcMicros,
    /// The length of the interval in minutes: 15, 30 or 60.
    pub minutes: u16,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// The number of agents required during the whole interval.
    pub agents: AgentCount,
}

impl RequiredStaffing {
    /// Returns the end of the interval (exclusive).
    pub fn end(&self) -> UtcMicros {
        self.start + Duration::from_mins(u64::from(self.minutes))
    }
}

/// The queues of each team; a queue belongs to one team at most.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TeamQueues(pub BTreeMap<TeamName, BTreeSet<Arc<str>>>);

impl TeamQueues {
    /// Returns the queues of all these teams. The error is a team without queues.
    pub fn of<'a>(&self, teams: impl IntoIterator<Item = &'a TeamName>) -> Result<BTreeSet<Arc<str>>, TeamName> {
        let mut queues = BTreeSet::new();
        for team in teams {
            queues.extend(self.0.get(team).ok_or_else(|| team.clone())?.iter().cloned());
        }
        Ok(queues)
    }

    /// Returns the team whose agents are compared with its queues; `None` if all agents are compared with all queues,
    /// because the agent has no team or the team no queues.
    pub fn compared_team<'t>(&self, team: Option<&'t TeamName>) -> Option<&'t TeamName> {
        team.filter(|team| self.0.contains_key(*team))
    }
}

named_enum! {
    /// Whether the agents are as many as required.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum StaffingStatus {
        /// At least as many agents as required.
        Met = "met",
        /// Fewer agents than required.
        Short = "short",
        /// Not decided: agents with an unknown state could make up for what is missing, or no schedule covers the time.
        Unknown = "unknown",
    }
}

/// The staffing of a quarter hour. Numbers are agents on average over the quarter hour; for the present one, what was
/// observed is averaged over the part that has passed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StaffingInterval {
    /// The start of the quarter hour (inclusive).
    pub start: UtcMicros,
    /// The end of the quarter hour (exclusive).
    pub end: UtcMicros,
    /// The number of agents whose schedule has work, without breaks and other activities; null if no schedule covers
    /// the quarter hour.
    #[schema(value_type = Option<f64>)]
    pub planned: Option<AgentCount>,
    /// The number of agents who were ready, on a contact or in wrap-up; null for the future.
    #[schema(value_type = Option<f64>)]
    pub present: Option<AgentCount>,
    /// The number of agents who were on a contact; null for the future.
    #[schema(value_type = Option<f64>)]
    pub on_contact: Option<AgentCount>,
    /// The number of agents whose state is unknown; null for the future.
    #[schema(value_type = Option<f64>)]
    pub unknown: Option<AgentCount>,
    /// The number of agents required, over all queues that are compared; null if nothing was imported.
    #[schema(value_type = Option<f64>)]
    pub required: Option<AgentCount>,
    /// `present` − `required`, for the future `planned` − `required`; null without `required`, and if the status is
    /// `unknown`.
    #[schema(value_type = Option<f64>)]
    pub net: Option<AgentCount>,
    /// Whether the agents are as many as required; null without `required`.
    pub status: Option<StaffingStatus>,
}

/// The time of agents within one quarter hour, in microseconds.
#[derive(Clone, Copy, Default, Debug)]
struct AgentTime {
    covered: i64,
    planned: i64,
    known: i64,
    present: i64,
    on_contact: i64,
    /// Agents in thousandths, times microseconds.
    required: Option<i64>,
}

/// Adds up the staffing of agents over a span, quarter hour by quarter hour.
#[derive(Clone, Debug)]
pub struct StaffingSums {
    span: Span,
    agents: i64,
    intervals: Vec<AgentTime>,
}

impl StaffingSums {
    /// Creates the sums of a span that starts on a quarter hour, without any agents.
    pub fn new((from, to): Span) -> Self {
        let micros = to.as_micros().saturating_sub(from.as_micros()).max(0);
        let count = usize::try_from(micros.unsigned_abs().div_ceil(INTERVAL_US.unsigned_abs())).unwrap_or_default();
        Self { span: (from, to), agents: 0, intervals: vec![AgentTime::default(); count] }
    }

    /// Adds the plan of an agent.
    pub fn add_plan(&mut self, plan: &AgentPlan) {
        for segment in plan.segments() {
            let is_work = segment.activity == Activity::Work;
            self.spread((segment.start, segment.end), |time, micros| {
                time.covered += micros;
                time.planned += if is_work { micros } else { 0 };
            });
        }
        for covered in plan.coverage() {
            self.spread((covered.start, covered.end), |time, micros| time.covered += micros);
        }
    }

    /// Adds the states of an agent, as far as they are known; gaps are unknown time.
    pub fn add_states(&mut self, states: &[StateInterval]) {
        self.agents += 1;
        for interval in states {
            let (is_known, is_present) = match interval.state {
                AgentState::Unknown(_) => (false, false),
                AgentState::Ready | AgentState::OnContact | AgentState::AfterContactWork => (true, true),
                AgentState::NotReady | AgentState::Paused | AgentState::Idle | AgentState::LoggedOut => (true, false),
            };
            let is_on_contact = interval.state == AgentState::OnContact;
            self.spread((interval.start, interval.end), |time, micros| {
                time.known += if is_known { micros } else { 0 };
                time.present += if is_present { micros } else { 0 };
                time.on_contact += if is_on_contact { micros } else { 0 };
            });
        }
    }

    /// Adds the agents required in a queue.
    pub fn add_required(&mut self, required: &RequiredStaffing) {
        self.spread((required.start, required.end()), |time, micros| {
            let more = required.agents.thousandths().saturating_mul(micros);
            time.required = Some(time.required.unwrap_or_default().saturating_add(more));
        });
    }

    /// Returns the staffing of each quarter hour at an instant.
    pub fn intervals(&self, now: UtcMicros) -> Vec<StaffingInterval> {
        let starts = std::iter::successors(Some(self.span.0), |start| Some(start.offset(INTERVAL_US)));
        let intervals = starts.zip(&self.intervals).map(|(start, time)| {
            let end = start.offset(INTERVAL_US).min(self.span.1);
            self.interval((start, end), time, now)
        });
        intervals.collect()
    }

    fn interval(&self, (start, end): Span, time: &AgentTime, now: UtcMicros) -> StaffingInterval {
        let length = end.as_micros() - start.as_micros();
        let elapsed = (now.min(end).as_micros() - start.as_micros()).max(0);
        let planned = (time.covered > 0).then(|| AgentCount::average(time.planned, length));
        let observed = |micros: i64| (elapsed > 0).then(|| AgentCount::average(micros, elapsed));
        let (present, unknown) = (observed(time.present), observed((self.agents * elapsed - time.known).max(0)));
        let required =
            time.required.map(|sum| AgentCount::from_thousandths((sum + length / 2).div_euclid(length.max(1))));
        let staffed = if elapsed > 0 { present } else { planned };
        let net = staffed.zip(required).map(|(staffed, required)| staffed.minus(required));
        let status = required.map(|_| status(net, unknown.unwrap_or_default()));
        StaffingInterval {
            start,
            end,
            planned,
            present,
            on_contact: observed(time.on_contact),
            unknown,
            required,
            net: net.filter(|_| status != Some(StaffingStatus::Unknown)),
            status,
        }
    }

    /// Calls `add` for each quarter hour that a period overlaps, with the overlap in microseconds.
    fn spread(&mut self, (start, end): Span, mut add: impl FnMut(&mut AgentTime, i64)) {
        let origin = self.span.0.as_micros();
        let end = end.min(self.span.1).as_micros();
        let mut at = start.max(self.span.0).as_micros();
        while at < end {
            let index = (at - origin) / INTERVAL_US;
            let next = (origin + (index + 1) * INTERVAL_US).min(end);
            if let Some(time) = usize::try_from(index).ok().and_then(|index| self.intervals.get_mut(index)) {
                add(time, next - at);
            }
            at = next;
        }
    }
}

fn status(net: Option<AgentCount>, unknown: AgentCount) -> StaffingStatus {
    match net {
        Some(net) if net >= AgentCount::ZERO => StaffingStatus::Met,
        Some(net) if net.plus(unknown) < AgentCount::ZERO => StaffingStatus::Short,
        _ => StaffingStatus::Unknown,
    }
}

/// A quarter hour in which a new schedule leaves fewer agents than required or than the staffing floor of a skill, and
/// fewer than the schedule in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StaffingShortfall {
    /// The start of the quarter hour (inclusive).
    pub start: UtcMicros,
    /// The end of the quarter hour (exclusive).
    pub end: UtcMicros,
    /// The team whose agents and queues are compared; null for all agents and all queues.
    pub team: Option<TeamName>,
    /// The name of the skill whose agents are compared with its staffing floor; null if agents are compared with
    /// required staff.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub skill: Option<Arc<str>>,
    /// The number of agents required, or the staffing floor of the skill.
    #[schema(value_type = f64)]
    pub required: AgentCount,
    /// The number of agents planned minus the number required, by the schedule in force.
    #[schema(value_type = f64)]
    pub before: AgentCount,
    /// The same by the new schedule; negative.
    #[schema(value_type = f64)]
    pub after: AgentCount,
}

/// Returns the quarter hours of two schedules, over the same span and with the same required staff, in which the
/// second one plans fewer agents than the first and fewer than required.
pub fn shortfalls<'a>(
    before: &'a [StaffingInterval],
    after: &'a [StaffingInterval],
    team: Option<&'a TeamName>,
    skill: Option<&'a Arc<str>>,
) -> impl Iterator<Item = StaffingShortfall> + 'a {
    before.iter().zip(after).filter_map(move |(old, new)| {
        let required = new.required?;
        let net = |interval: &StaffingInterval| interval.planned.unwrap_or_default().minus(required);
        let (before, after) = (net(old), net(new));
        (after < before && after < AgentCount::ZERO).then(|| StaffingShortfall {
            start: new.start,
            end: new.end,
            team: team.cloned(),
            skill: skill.cloned(),
            required,
            before,
            after,
        })
    })
}

#[cfg(test)]
mod tests;
