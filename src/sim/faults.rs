//! Faults: what goes wrong, where, how often. This module decides which request meets which fault; making it happen on the
//! wire is the face's business.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dice::Dice;
use crate::domain::ids::{AgentId, TenantId};

/// The most faults that may be active at once.
const MOST_FAULTS: usize = 1_000;

/// What goes wrong. `ms` below is the fault's own field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Answers `code` (503 by default), with `Retry-After` where `retry_after` is given. Not processed, unless `applied`.
    Status,
    /// Processed at once, answered after `ms` of real time.
    #[serde(alias = "delay_ms")]
    Delay,
    /// The connection is reset; nothing was processed.
    ResetBefore,
    /// Processed; the connection is reset in the middle of the answer.
    ResetMid,
    /// Processed; the connection is closed without an answer.
    LostAnswer,
    /// A state change is answered 200 at once and takes effect after `ms` of the simulator's time; a query takes so much longer.
    Late,
    /// Processed; the JSON of the answer stops halfway, under a length that agrees with it.
    Truncated,
    /// Not processed; an HTML page under 200.
    Html,
    /// Rows of snapshots, figures and results, and messages of feeds, with numbers for texts, texts for numbers and objects for both.
    WrongTypes,
    /// The same of the right types, but nonsense: unknown states, unknown agents, impossible instants and figures, repeats.
    Nonsense,
    /// Every token of the tenant (or of all) is worthless from now on. Happens once, at once.
    RevokeTokens,
    /// Every subscription of the tenant (or of all) is gone. Happens once, at once.
    ExpireSubscriptions,
    /// `Date` headers and timestamps are wrong by `ms`.
    #[serde(alias = "clock_skew_ms")]
    ClockSkew,
    /// Every timestamp of a snapshot's rows is off by up to `ms`, differently each time.
    #[serde(alias = "timestamp_jitter_ms")]
    TimestampJitter,
    /// Nothing is answered and nothing processed; the connection is closed after `ms` of real time (a minute by default).
    StopAnswering,
    /// A message of a feed, heartbeats too, is not said; the connection stays.
    Silent,
    /// A message of a feed is said twice; a snapshot has every row twice; a page of a query's result, but the first, begins with
    /// the last row of the one before.
    Repeat,
    /// Every other row of a snapshot is missing.
    MissingRows,
    /// The timestamps of a snapshot's rows are an hour older than they were.
    OldTimes,
    /// The timestamps of a snapshot are right, and written in other zones.
    OtherZones,
    /// A snapshot of two and a half megabytes.
    Bulky,
    /// The texts of a snapshot's rows have half a surrogate pair, a NUL, or 20,000 characters.
    OddTexts,
    /// A page of a query's result, but the first, leaves out the row that it should begin with.
    SkipRows,
    /// Nothing of a query's result beyond its first half is sent, though all of it is promised.
    StopShort,
    /// A query that is submitted runs for ever.
    NeverFinish,
    /// A query that is submitted fails.
    FailQuery,
    /// Every query of the tenant (or of all) is forgotten. Happens once, at once.
    ForgetQueries,
    /// Every open feed of the tenant (or of all) is reset. Happens once, at once.
    DropFeeds,
    /// Every open feed of the tenant (or of all) is closed in order. Happens once, at once.
    CloseFeeds,
}

impl Kind {
    /// Done once when it is given, and not kept.
    pub(super) fn is_one_shot(self) -> bool {
        matches!(
            self,
            Self::RevokeTokens | Self::ExpireSubscriptions | Self::ForgetQueries | Self::DropFeeds | Self::CloseFeeds
        )
    }

    /// Colours every answer that it matches, beside whatever else happens to it.
    fn is_ambient(self) -> bool {
        matches!(self, Self::ClockSkew | Self::TimestampJitter)
    }

    fn fits(self, on: Endpoint) -> bool {
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

    /// Where it strikes when nothing is said of it: at every request, and at messages only where it is of messages alone.
    fn fits_any(self, on: Endpoint) -> bool {
        self.fits(on) && (on != Endpoint::FeedMessage || self == Self::Silent)
    }
}

/// The kinds of request that the platform answers, and what it says unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A token in any of the three styles.
    Token,
    /// An agent's shift.
    Schedule,
    /// An agent's break.
    Break,
    /// A state change.
    State,
    /// A new subscription.
    Subscribe,
    /// A poll of a subscription.
    Snapshot,
    /// The figures of skills.
    SkillData,
    /// The list of queues.
    Queues,
    /// The figures of queues.
    QueueFigures,
    /// A new aggregation query.
    AnalyticsQuery,
    /// A read of how a query stands, or of its result.
    AnalyticsResult,
    /// The opening of a live feed.
    Feed,
    /// A message of an open feed.
    FeedMessage,
}

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// At every request, though not at the messages of feeds.
    #[default]
    Any,
    /// At one kind of request.
    #[serde(untagged)]
    Only(Endpoint),
}

/// One fault, as an option, a file or the back door gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// What goes wrong.
    pub kind: Kind,
    /// At which requests.
    #[serde(default)]
    pub on: On,
    /// Only for this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Only for requests that name this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// How many requests it strikes; without it there is no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The share of the requests that it strikes, 0 to 1; without it every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// The status of `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The `Retry-After` of `status`, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Milliseconds, as the kind says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<i64>,
    /// With `status`: the request is processed before it is answered so.
    #[serde(default)]
    pub applied: bool,
}

/// Why a fault is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultError {
    /// Write it as `kind:key=value,key=value` or as JSON.
    #[error("the fault {text:?} cannot be read: {reason}")]
    Unreadable {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Correct the fields named.
    #[error("the fault does not hold together: {0}")]
    Unsound(&'static str),
    /// Clear some first.
    #[error("{MOST_FAULTS} faults are active already")]
    TooMany,
}

impl FromStr for FaultSpec {
    type Err = FaultError;

    /// Reads `status:on=state,code=503,count=5`, or a JSON object with the same keys.
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
            // Ids stay texts even where they look like numbers.
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
    /// Checks what the types cannot.
    pub(super) fn check(&self) -> Result<(), FaultError> {
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
        let needs_ms = matches!(self.kind, Kind::Delay | Kind::Late | Kind::ClockSkew | Kind::TimestampJitter)
            && self.ms.is_none();
        if needs_ms {
            return unsound("this kind needs `ms`");
        }
        if self.kind != Kind::ClockSkew && self.ms.is_some_and(|ms| ms < 0) {
            return unsound("only `clock_skew` can have a negative `ms`");
        }
        if let On::Only(endpoint) = self.on
            && !self.kind.fits(endpoint)
        {
            return unsound("this kind does not occur at that request");
        }
        Ok(())
    }

    /// Its `ms` as a span.
    pub(super) fn span(&self) -> Option<Duration> {
        self.ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis)
    }

    fn matches(&self, request: &Met<'_>) -> bool {
        let there = match self.on {
            On::Any => self.kind.fits_any(request.endpoint),
            On::Only(endpoint) => endpoint == request.endpoint,
        };
        there
            && self.tenant.as_ref().is_none_or(|tenant| request.tenant == Some(tenant))
            && self.agent.as_ref().is_none_or(|agent| request.agent == Some(agent.as_str()))
    }
}

/// A request or a message, as far as faults look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) tenant: Option<&'a TenantId>,
    pub(super) agent: Option<&'a str>,
}

/// How wrong the platform's clock is in one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ambience {
    pub(super) skew_ms: i64,
    pub(super) jitter_ms: i64,
}

/// The active faults.
#[derive(Debug)]
pub(super) struct Faults {
    active: Vec<FaultSpec>,
    dice: Dice,
}

impl Faults {
    /// None yet; probabilities are drawn under `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { active: Vec::new(), dice: Dice::of(seed, &["faults"]) }
    }

    /// Adds one. The caller has seen to the one-shot kinds.
    pub(super) fn add(&mut self, spec: FaultSpec) -> Result<(), FaultError> {
        spec.check()?;
        if self.active.len() >= MOST_FAULTS {
            return Err(FaultError::TooMany);
        }
        self.active.push(spec);
        Ok(())
    }

    /// What is active, with the counts that are left.
    pub(super) fn active(&self) -> &[FaultSpec] {
        &self.active
    }

    /// Ends every fault.
    pub(super) fn clear(&mut self) {
        self.active.clear();
    }

    /// The fault that a request meets: the first that matches and strikes. One request meets one fault.
    pub(super) fn strike(&mut self, request: &Met<'_>) -> Option<FaultSpec> {
        let dice = &self.dice;
        let at = self.active.iter().position(|spec| {
            !spec.kind.is_ambient()
                && spec.matches(request)
                && spec.probability.is_none_or(|probability| dice.chance(probability))
        })?;
        let struck = self.active.get(at).cloned();
        self.spend(at);
        struck
    }

    /// How wrong the clock is for this request's answer.
    pub(super) fn ambience(&mut self, request: &Met<'_>) -> Ambience {
        let mut ambience = Ambience::default();
        for at in (0..self.active.len()).rev() {
            let Some(spec) = self.active.get(at).filter(|spec| spec.kind.is_ambient() && spec.matches(request)) else {
                continue;
            };
            let ms = spec.ms.unwrap_or(0);
            if spec.kind == Kind::ClockSkew {
                ambience.skew_ms = ms;
            } else {
                ambience.jitter_ms = ms;
            }
            self.spend(at);
        }
        ambience
    }

    fn spend(&mut self, at: usize) {
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
        assert_eq!(compact.on, On::Only(Endpoint::State));
        let plain: FaultSpec = "reset_before".parse().expect("valid");
        assert_eq!((plain.kind, plain.on), (Kind::ResetBefore, On::Any));
        let alias: FaultSpec = "delay_ms:ms=5,on=any".parse().expect("valid");
        assert_eq!((alias.kind, alias.on), (Kind::Delay, On::Any));
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
            assert!(matches!(spec.check(), Err(FaultError::Unsound(_))), "{text}");
        }
    }

    #[test]
    fn a_fault_strikes_where_it_should_and_as_often_as_it_should() {
        let mut faults = Faults::new(1);
        faults.add("lost_answer:on=state,count=2,tenant=acme,agent=u_1".parse().expect("valid")).expect("sound");
        let (acme, bravo) = (TenantId::from("acme"), TenantId::from("bravo"));
        let met = |endpoint, tenant, agent| Met { endpoint, tenant: Some(tenant), agent };
        assert!(faults.strike(&met(Endpoint::Schedule, &acme, Some("u_1"))).is_none());
        assert!(faults.strike(&met(Endpoint::State, &bravo, Some("u_1"))).is_none());
        assert!(faults.strike(&met(Endpoint::State, &acme, Some("u_2"))).is_none());
        for _ in 0..2 {
            assert!(faults.strike(&met(Endpoint::State, &acme, Some("u_1"))).is_some());
        }
        assert!(faults.strike(&met(Endpoint::State, &acme, Some("u_1"))).is_none());
        assert!(faults.active().is_empty());
    }

    #[test]
    fn a_probability_strikes_its_share() {
        let mut faults = Faults::new(1);
        faults.add("reset_mid:probability=0.25".parse().expect("valid")).expect("sound");
        let met = Met { endpoint: Endpoint::Token, tenant: None, agent: None };
        let struck = (0..1000).filter(|_| faults.strike(&met).is_some()).count();
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
