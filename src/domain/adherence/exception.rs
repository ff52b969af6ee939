//! Exceptions: time in which an agent, a team or everyone is excused, approved beforehand or afterwards.
//!
//! Time under an exception is neutral in adherence, and rules that depend on the plan leave these agents alone. Nothing
//! else changes: the plan stays, policy applies, and people can change any agent.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::{AgentId, ExceptionId, TeamName, TenantId};
use crate::domain::schedules::schedule::Coverage;
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// The longest duration of one exception.
pub const MAX_EXCEPTION_DURATION: Duration = Duration::from_hours(400 * 24);
/// The largest number of agents that one exception can name.
pub const MAX_EXCEPTION_AGENTS: usize = 1000;
/// The maximum length of the reason, in characters.
pub const MAX_REASON_LENGTH: usize = 500;

/// The agents that an exception applies to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExceptionScope {
    /// The named agents.
    Agents(Vec<AgentId>),
    /// All agents who are in the team at the time of the question.
    Team(TeamName),
    /// Every agent of the tenant.
    Everyone,
}

impl ExceptionScope {
    /// Returns the name in the store and the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Agents(_) => "agents",
            Self::Team(_) => "team",
            Self::Everyone => "everyone",
        }
    }
}

/// How an exception was ended early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EarlyEnd {
    /// When it was ended.
    pub at: UtcMicros,
    /// Who ended it.
    pub by: Arc<str>,
    /// Why, in that person's words.
    pub reason: Option<Arc<str>>,
}

/// One exception.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exception {
    /// The id; sorts by time of creation.
    pub id: ExceptionId,
    /// The tenant of the agents.
    pub tenant: TenantId,
    /// The agents it applies to.
    pub scope: ExceptionScope,
    /// The first instant.
    pub from: UtcMicros,
    /// The first instant after it; not before `from`.
    pub to: UtcMicros,
    /// The reason in the creator's words. May say things about people: kept out of logs and the audit chain.
    pub reason: Arc<str>,
    /// Who created it.
    pub created_by: Arc<str>,
    /// When it was created.
    pub created_at: UtcMicros,
    /// How it was ended early; `to` is then the instant from which it no longer counts.
    pub early_end: Option<EarlyEnd>,
}

named_enum! {
    /// The status of an exception at an instant.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum ExceptionStatus {
        /// The instant is before it.
        Upcoming = "to_come",
        /// The instant is within it.
        Running = "running",
        /// The instant is after it.
        Past = "over",
    }
}

impl Exception {
    /// Returns whether it applies to this agent, who is in this team.
    pub fn applies_to(&self, agent: &AgentId, team: Option<&TeamName>) -> bool {
        match &self.scope {
            ExceptionScope::Agents(agents) => agents.contains(agent),
            ExceptionScope::Team(name) => team == Some(name),
            ExceptionScope::Everyone => true,
        }
    }

    /// Returns its status at an instant.
    pub fn status(&self, now: UtcMicros) -> ExceptionStatus {
        if now >= self.to {
            ExceptionStatus::Past
        } else if now >= self.from {
            ExceptionStatus::Running
        } else {
            ExceptionStatus::Upcoming
        }
    }

    /// Returns the exception ended at an instant; one that has not begun becomes empty. `None` if it is already over.
    pub fn end(self, at: UtcMicros, by: Arc<str>, reason: Option<Arc<str>>) -> Option<Self> {
        let is_open = self.status(at) != ExceptionStatus::Past;
        is_open.then(|| Self { to: at.max(self.from), early_end: Some(EarlyEnd { at, by, reason }), ..self })
    }

    /// Returns the exception revoked: empty, as if it had never counted. `None` if it is empty already.
    pub fn revoke(self, at: UtcMicros, by: Arc<str>, reason: Option<Arc<str>>) -> Option<Self> {
        (self.from < self.to).then_some(Self { to: self.from, early_end: Some(EarlyEnd { at, by, reason }), ..self })
    }
}

/// Returns when exceptions cover an agent, as ordered spans that do not touch.
pub fn exception_spans<'e>(
    exceptions: impl IntoIterator<Item = &'e Exception>,
    agent: &AgentId,
    team: Option<&TeamName>,
) -> Vec<Coverage> {
    let applicable = exceptions.into_iter().filter(|exception| exception.applies_to(agent, team));
    merge_spans(applicable.map(|exception| Coverage { start: exception.from, end: exception.to }).collect())
}

fn merge_spans(mut spans: Vec<Coverage>) -> Vec<Coverage> {
    spans.retain(|span| span.start < span.end);
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Coverage> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut().filter(|last| span.start <= last.end) {
            Some(last) => last.end = last.end.max(span.end),
            None => merged.push(span),
        }
    }
    merged
}

/// Returns the span of `exceptions`, as returned by [`exception_spans`], that contains an instant.
pub fn exception_at(exceptions: &[Coverage], instant: UtcMicros) -> Option<Coverage> {
    let after = exceptions.partition_point(|span| span.start <= instant);
    exceptions.get(after.checked_sub(1)?).copied().filter(|span| instant < span.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    fn exception(scope: ExceptionScope, from: i64, to: i64) -> Exception {
        Exception {
            id: ExceptionId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            scope,
            from: at(from),
            to: at(to),
            reason: "training".into(),
            created_by: "ann".into(),
            created_at: at(0),
            early_end: None,
        }
    }

    fn span(start: i64, end: i64) -> Coverage {
        Coverage { start: at(start), end: at(end) }
    }

    #[test]
    fn agents_teams_and_everyone_are_excused() {
        let all = [
            exception(ExceptionScope::Agents(vec!["a".into()]), 10, 20),
            exception(ExceptionScope::Team("Blue".into()), 15, 30),
            exception(ExceptionScope::Everyone, 50, 60),
            exception(ExceptionScope::Everyone, 70, 70),
        ];
        let spans_of =
            |agent: &str, team: Option<&str>| exception_spans(&all, &agent.into(), team.map(TeamName::from).as_ref());
        assert_eq!(spans_of("a", Some("Blue")), [span(10, 30), span(50, 60)], "spans that meet are one");
        assert_eq!(spans_of("a", None), [span(10, 20), span(50, 60)]);
        assert_eq!(spans_of("b", Some("Red")), [span(50, 60)], "what has no length excuses nobody");
        let spans = spans_of("a", Some("Blue"));
        for (minute, expected) in
            [(9, None), (10, Some(span(10, 30))), (29, Some(span(10, 30))), (30, None), (60, None)]
        {
            assert_eq!(exception_at(&spans, at(minute)), expected, "{minute}");
        }
    }

    #[test]
    fn an_exception_is_ended_once_and_never_before_it_begins() {
        let running = exception(ExceptionScope::Everyone, 10, 20);
        for (now, status) in
            [(9, ExceptionStatus::Upcoming), (10, ExceptionStatus::Running), (20, ExceptionStatus::Past)]
        {
            assert_eq!(running.status(at(now)), status);
        }
        let ended = running.clone().end(at(15), "bob".into(), None).expect("it ran");
        assert_eq!((ended.to, ended.status(at(15))), (at(15), ExceptionStatus::Past));
        assert_eq!(ended.end(at(16), "bob".into(), None), None, "once");
        let before = running.clone().end(at(5), "bob".into(), None).expect("it had not begun");
        assert_eq!((before.from, before.to), (at(10), at(10)));
        assert_eq!(running.clone().end(at(20), "bob".into(), None), None, "over by itself");
        let revoked = running.revoke(at(30), "bob".into(), None).expect("also when it is over");
        assert_eq!((revoked.from, revoked.to), (at(10), at(10)));
        assert_eq!(revoked.revoke(at(31), "bob".into(), None), None, "once");
    }

    proptest! {
        #[test]
        fn spans_are_in_order_apart_and_hold_exactly_what_some_exception_holds(
            spans in prop::collection::vec((0_i64..200, 0_i64..40), 0..8),
        ) {
            let all: Vec<Exception> =
                spans.iter().map(|(start, length)| exception(ExceptionScope::Everyone, *start, start + length)).collect();
            let exceptions = exception_spans(&all, &"a".into(), None);
            prop_assert!(exceptions.iter().all(|span| span.start < span.end));
            prop_assert!(exceptions.windows(2).all(|pair| pair[0].end < pair[1].start));
            for minute in 0..250 {
                let expected = spans.iter().any(|(start, length)| *start <= minute && minute < start + length);
                prop_assert_eq!(exception_at(&exceptions, at(minute)).is_some(), expected, "{}", minute);
            }
        }
    }
}
