//! Faults: what goes wrong, where and how often. This module decides which request meets which fault; `server`
//! carries it out on the connection.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::random::RandomStream;
use crate::domain::ids::{AgentId, TenantId};

/// The most faults that may be active at once.
const MOST_FAULTS: usize = 1_000;

/// The kind of a fault. `ms` below is the fault's own field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers with `code` (503 by default), and with `Retry-After` if `retry_after` is given. The request is not
    /// processed, unless `applied`.
    Status,
    /// Processes the request at once and answers after `ms` of real time.
    #[serde(alias = "delay_ms")]
    Delay,
    /// Resets the connection without processing the request.
    ResetBefore,
    /// Processes the request and resets the connection in the middle of the answer.
    ResetMid,
    /// Processes the request and closes the connection without an answer.
    LostAnswer,
    /// Answers a state change with 200 at once, and applies it after `ms` of the simulator's time; a query takes that
    /// much longer.
    Late,
    /// Processes the request and cuts the JSON of the answer in half, with a matching length.
    Truncated,
    /// Answers with an HTML page under status 200 without processing the request.
    Html,
    /// Gives rows of snapshots, figures and results, and messages of feeds, values of wrong types: numbers for texts,
    /// texts for numbers and objects for both.
    WrongTypes,
    /// Gives the same rows and messages nonsensical values of the right types: unknown states, unknown agents,
    /// impossible instants and figures, and repeats.
    Nonsense,
    /// Revokes every token of the tenant (or of all). Happens once, at once.
    RevokeTokens,
    /// Expires every subscription of the tenant (or of all). Happens once, at once.
    ExpireSubscriptions,
    /// Shifts `Date` headers and timestamps by `ms`.
    #[serde(alias = "clock_skew_ms")]
    ClockSkew,
    /// Shifts every timestamp of a snapshot's rows by up to `ms`, differently each time.
    #[serde(alias = "timestamp_jitter_ms")]
    TimestampJitter,
    /// Neither answers nor processes the request, and closes the connection after `ms` of real time (a minute by
    /// default).
    StopAnswering,
    /// Omits a message of a feed, also a heartbeat; the connection stays open.
    Silent,
    /// Repeats a message of a feed, every row of a snapshot, or the last row of a result page at the beginning of the
    /// next page.
    Repeat,
    /// Omits every other row of a snapshot.
    MissingRows,
    /// Makes the timestamps of a snapshot's rows an hour older.
    OldTimes,
    /// Writes the correct timestamps of a snapshot in other zones.
    OtherZones,
    /// Makes a snapshot two and a half megabytes large.
    Bulky,
    /// Puts half a surrogate pair, a NUL or 20,000 characters into the texts of a snapshot's rows.
    OddTexts,
    /// Omits the first row of every result page but the first.
    SkipRows,
    /// Sends only the first half of a query's result, though it promises all of it.
    StopShort,
    /// Lets a submitted query run for ever.
    NeverFinish,
    /// Lets a submitted query fail.
    FailQuery,
    /// Forgets every query of the tenant (or of all). Happens once, at once.
    ForgetQueries,
    /// Resets every open feed of the tenant (or of all). Happens once, at once.
    DropFeeds,
    /// Closes every open feed of the tenant (or of all) in order. Happens once, at once.
    CloseFeeds,
}

impl FaultKind {
    /// Returns whether the fault is carried out once when it is added, and not kept.
    pub(super) fn is_one_shot(self) -> bool {
        matches!(
            self,
            Self::RevokeTokens | Self::ExpireSubscriptions | Self::ForgetQueries | Self::DropFeeds | Self::CloseFeeds
        )
    }

    /// Returns whether the fault affects every answer that it matches, in addition to any other fault.
    fn affects_clock(self) -> bool {
        matches!(self, Self::ClockSkew | Self::TimestampJitter)
    }

    fn applies_to(self, on: Endpoint) -> bool {
        match self {
            Self::Late => matches!(on, Endpoint::State | Endpoint::AnalyticsQuery),
            Self::NeverFinish | Self::FailQuery => on == Endpoint::AnalyticsQuery,
            Self::SkipRows | Self::StopShort => on == Endpoint::AnalyticsResult,
            Self::TimestampJitter
            | Self::MissingRows
            | Self::OldTimes
            | Self::OtherZones
            | Self::Bulky
            | Self::OddTexts => on == Endpoint::Snapshot,
            Self::Silent => on == Endpoint::FeedMessage,
            Self::Repeat => matches!(on, Endpoint::Snapshot | Endpoint::AnalyticsResult | Endpoint::FeedMessage),
            Self::WrongTypes | Self::Nonsense => {
                matches!(
                    on,
                    Endpoint::Snapshot
                        | Endpoint::SkillData
                        | Endpoint::QueueFigures
                        | Endpoint::AnalyticsResult
                        | Endpoint::FeedMessage
                )
            }
            Self::ResetMid => !matches!(on, Endpoint::Feed | Endpoint::FeedMessage),
            Self::Truncated => on != Endpoint::Feed,
            Self::Status | Self::ClockSkew | Self::StopAnswering => on != Endpoint::FeedMessage,
            Self::Delay
            | Self::ResetBefore
            | Self::LostAnswer
            | Self::Html
            | Self::RevokeTokens
            | Self::ExpireSubscriptions
            | Self::ForgetQueries
            | Self::DropFeeds
            | Self::CloseFeeds => true,
        }
    }

    /// Returns whether the fault applies here by default: to every request, and to messages only if its kind is for
    /// messages alone.
    fn applies_by_default(self, on: Endpoint) -> bool {
        self.applies_to(on) && (on != Endpoint::FeedMessage || self == Self::Silent)
    }
}

/// A kind of request that the platform answers, or of message that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A token request in any of the three styles.
    Token,
    /// An agent's shift, or the export of its schedule.
    Schedule,
    /// An agent's break.
    Break,
    /// A state change.
    State,
    /// A new subscription.
    Subscribe,
    /// A poll of a subscription, or of the agents' states.
    Snapshot,
    /// The figures of skills.
    SkillData,
    /// The list of queues.
    Queues,
    /// The lists of agents and teams of the published services.
    Roster,
    /// The unavailable codes of the published services.
    Codes,
    /// The history of states of the published services.
    History,
    /// The clock of the published services.
    ServerTime,
    /// The figures of queues.
    QueueFigures,
    /// A new aggregation query.
    AnalyticsQuery,
    /// A read of a query's status or result.
    AnalyticsResult,
    /// The opening of a live feed.
    Feed,
    /// A message of an open feed.
    FeedMessage,
}

/// The requests that a fault affects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultScope {
    /// Every request, but not the messages of feeds.
    #[default]
    Any,
    /// One kind of request.
    #[serde(untagged)]
    Only(Endpoint),
}

/// One fault, as given by an option, a file or the control API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// The kind.
    pub kind: FaultKind,
    /// The requests affected.
    #[serde(default)]
    pub on: FaultScope,
    /// Only requests of this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Only requests that name this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The number of requests affected; unlimited by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The share of requests affected, from 0 to 1; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// The status code of a `status` fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The `Retry-After` of a `status` fault, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Milliseconds, with a meaning that depends on the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<i64>,
    /// With `status`: whether the request is processed before the answer.
    #[serde(default)]
    pub applied: bool,
}

/// The reason why a fault is rejected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultError {
    /// The text is neither `kind:key=value,key=value` nor JSON.
    #[error("the fault {text:?} cannot be read: {reason}")]
    Unreadable {
        /// The text.
        text: String,
        /// The error in it.
        reason: String,
    },
    /// The fields are inconsistent.
    #[error("the fault does not hold together: {0}")]
    Unsound(&'static str),
    /// Too many faults are active already.
    #[error("{MOST_FAULTS} faults are active already")]
    TooMany,
}

impl FromStr for FaultSpec {
    type Err = FaultError;

    /// Parses `status:on=state,code=503,count=5`, or a JSON object with the same keys.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = |reason: String| FaultError::Unreadable { text: text.to_owned(), reason };
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(|error| unreadable(error.to_string()));
        }
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut fields = serde_json::Map::new();
        fields.insert("kind".to_owned(), kind.trim().into());
        for pair in rest.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| unreadable(format!("{pair:?} has no `=`")))?;
            let (key, value) = (key.trim(), value.trim());
            // Ids stay texts even if they look like numbers.
            let value = match key {
                "tenant" | "agent" | "on" => value.into(),
                _ => serde_json::from_str(value).unwrap_or_else(|_| value.into()),
            };
            fields.insert(key.to_owned(), value);
        }
        serde_json::from_value(fields.into()).map_err(|error| unreadable(error.to_string()))
    }
}

impl FaultSpec {
    /// Checks what the types do not guarantee.
    pub(super) fn validate(&self) -> Result<(), FaultError> {
        let unsound = |reason| Err(FaultError::Unsound(reason));
        if self.probability.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return unsound("`probability` is a share between 0 and 1");
        }
        if self.count == Some(0) {
            return unsound("`count` is at least 1");
        }
        if self.code.is_some_and(|code| !(200..=599).contains(&code)) {
            return unsound("`code` is a status between 200 and 599");
        }
        let needs_ms =
            matches!(self.kind, FaultKind::Delay | FaultKind::Late | FaultKind::ClockSkew | FaultKind::TimestampJitter)
                && self.ms.is_none();
        if needs_ms {
            return unsound("this kind needs `ms`");
        }
        if self.kind != FaultKind::ClockSkew && self.ms.is_some_and(|ms| ms < 0) {
            return unsound("only `clock_skew` can have a negative `ms`");
        }
        if let FaultScope::Only(endpoint) = self.on
            && !self.kind.applies_to(endpoint)
        {
            return unsound("this kind does not occur at that request");
        }
        Ok(())
    }

    /// Returns `ms` as a duration.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis)
    }

    fn matches(&self, request: &FaultContext<'_>) -> bool {
        let at_endpoint = match self.on {
            FaultScope::Any => self.kind.applies_by_default(request.endpoint),
            FaultScope::Only(endpoint) => endpoint == request.endpoint,
        };
        at_endpoint
            && self.tenant.as_ref().is_none_or(|tenant| request.tenant == Some(tenant))
            && self.agent.as_ref().is_none_or(|agent| request.agent == Some(agent.as_str()))
    }
}

/// A request or message, as far as it matters to faults.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultContext<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) tenant: Option<&'a TenantId>,
    pub(super) agent: Option<&'a str>,
}

/// The error of the platform's clock in one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClockError {
    pub(super) skew_ms: i64,
    pub(super) jitter_ms: i64,
}

/// The active faults.
#[derive(Debug)]
pub(super) struct Faults {
    active: Vec<FaultSpec>,
    random: RandomStream,
}

impl Faults {
    /// Creates an empty list; probabilities are drawn under `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { active: Vec::new(), random: RandomStream::for_path(seed, &["faults"]) }
    }

    /// Adds a fault. The caller handles one-shot kinds.
    pub(super) fn add(&mut self, spec: FaultSpec) -> Result<(), FaultError> {
        spec.validate()?;
        if self.active.len() >= MOST_FAULTS {
            return Err(FaultError::TooMany);
        }
        self.active.push(spec);
        Ok(())
    }

    /// Returns the active faults with their remaining counts.
    pub(super) fn active(&self) -> &[FaultSpec] {
        &self.active
    }

    /// Ends all faults.
    pub(super) fn clear(&mut self) {
        self.active.clear();
    }

    /// Returns the fault that a request meets: the first that matches and is drawn. A request meets at most one.
    pub(super) fn take_matching(&mut self, request: &FaultContext<'_>) -> Option<FaultSpec> {
        let random = &self.random;
        let at = self.active.iter().position(|spec| {
            !spec.kind.affects_clock()
                && spec.matches(request)
                && spec.probability.is_none_or(|probability| random.chance(probability))
        })?;
        let fault = self.active.get(at).cloned();
        self.decrement_count(at);
        fault
    }

    /// Returns the clock error of this request's answer.
    pub(super) fn clock_error(&mut self, request: &FaultContext<'_>) -> ClockError {
        let mut clock_error = ClockError::default();
        for at in (0..self.active.len()).rev() {
            let Some(spec) = self.active.get(at).filter(|spec| spec.kind.affects_clock() && spec.matches(request))
            else {
                continue;
            };
            let ms = spec.ms.unwrap_or(0);
            if spec.kind == FaultKind::ClockSkew {
                clock_error.skew_ms = ms;
            } else {
                clock_error.jitter_ms = ms;
            }
            self.decrement_count(at);
        }
        clock_error
    }

    fn decrement_count(&mut self, at: usize) {
        if let Some(left) = self.active.get_mut(at).and_then(|spec| spec.count.as_mut()) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.active.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_text_and_json_say_the_same() {
        let compact: FaultSpec = "status:on=state,code=429,retry_after=7,count=5,agent=0042".parse().expect("valid");
        let json: FaultSpec = r#"{"kind":"status","on":"state","code":429,"retry_after":7,"count":5,"agent":"0042"}"#
            .parse()
            .expect("valid");
        assert_eq!(compact, json);
        assert_eq!(compact.on, FaultScope::Only(Endpoint::State));
        let plain: FaultSpec = "reset_before".parse().expect("valid");
        assert_eq!((plain.kind, plain.on), (FaultKind::ResetBefore, FaultScope::Any));
        let alias: FaultSpec = "delay_ms:ms=5,on=any".parse().expect("valid");
        assert_eq!((alias.kind, alias.on), (FaultKind::Delay, FaultScope::Any));
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_refused() {
        for text in ["sneeze", "status:code", "status:on=moon", "status:colour=red", "{"] {
            assert!(matches!(text.parse::<FaultSpec>(), Err(FaultError::Unreadable { .. })), "{text}");
        }
        for text in
            ["delay", "status:code=42", "late:ms=5,on=token", "reset_mid:probability=2", "late:ms=-1", "html:count=0"]
        {
            let spec: FaultSpec = text.parse().expect("readable");
            assert!(matches!(spec.validate(), Err(FaultError::Unsound(_))), "{text}");
        }
    }

    #[test]
    fn a_fault_strikes_where_it_should_and_as_often_as_it_should() {
        let mut faults = Faults::new(1);
        faults.add("lost_answer:on=state,count=2,tenant=acme,agent=u_1".parse().expect("valid")).expect("sound");
        let (acme, bravo) = (TenantId::from("acme"), TenantId::from("bravo"));
        let context = |endpoint, tenant, agent| FaultContext { endpoint, tenant: Some(tenant), agent };
        assert!(faults.take_matching(&context(Endpoint::Schedule, &acme, Some("u_1"))).is_none());
        assert!(faults.take_matching(&context(Endpoint::State, &bravo, Some("u_1"))).is_none());
        assert!(faults.take_matching(&context(Endpoint::State, &acme, Some("u_2"))).is_none());
        for _ in 0..2 {
            assert!(faults.take_matching(&context(Endpoint::State, &acme, Some("u_1"))).is_some());
        }
        assert!(faults.take_matching(&context(Endpoint::State, &acme, Some("u_1"))).is_none());
        assert!(faults.active().is_empty());
    }

    #[test]
    fn a_probability_strikes_its_share() {
        let mut faults = Faults::new(1);
        faults.add("reset_mid:probability=0.25".parse().expect("valid")).expect("sound");
        let context = FaultContext { endpoint: Endpoint::Token, tenant: None, agent: None };
        let struck = (0..1000).filter(|_| faults.take_matching(&context).is_some()).count();
        assert!((180..320).contains(&struck), "{struck}");
    }

    #[test]
    fn the_number_of_faults_is_limited() {
        let mut faults = Faults::new(1);
        let spec: FaultSpec = "html".parse().expect("valid");
        for _ in 0..MOST_FAULTS {
            faults.add(spec.clone()).expect("room");
        }
        assert_eq!(faults.add(spec), Err(FaultError::TooMany));
    }
}
