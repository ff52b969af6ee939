//! Exceptions: an agent, a team or everyone is excused for a span, before or after the fact.
//!
//! Excused time is neutral in adherence, and rules that look at the plan leave the excused alone. Nothing else changes: the plan is
//! as it was, policy holds, and people may change whom they like.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::{AgentId, ExceptionId, TeamName, TenantId};
use crate::domain::schedules::schedule::Coverage;
use crate::domain::time::UtcMicros;

/// The longest span of one exception.
pub const LONGEST_EXCEPTION: Duration = Duration::from_hours(400 * 24);
/// The most agents that one exception names; more are a team, or everyone.
pub const MOST_EXCUSED: usize = 1000;
/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 500;

/// Who is excused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// These agents.
    Agents(Vec<AgentId>),
    /// Whoever is in the team at the instant that is asked about.
    Team(TeamName),
    /// Every agent of the tenant.
    Everyone,
}

impl Whom {
    /// The name in the store and the API.
    pub const fn scope(&self) -> &'static str {
        match self {
            Self::Agents(_) => "agents",
            Self::Team(_) => "team",
            Self::Everyone => "everyone",
        }
    }
}

/// How an exception was ended before its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// When.
    pub at: UtcMicros,
    /// By whom.
    pub by: Arc<str>,
    /// Why, in that person's words.
    pub why: Option<Arc<str>>,
}

/// One exception.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exception {
    /// Its id; sorts by when it was made.
    pub id: ExceptionId,
    /// Whose agents.
    pub tenant: TenantId,
    /// Who.
    pub whom: Whom,
    /// First instant.
    pub from: UtcMicros,
    /// First instant after it; not before `from`.
    pub to: UtcMicros,
    /// Why, in the words of who made it. May say things about people: kept out of logs and out of the audit chain.
    pub reason: Arc<str>,
    /// Who made it.
    pub made_by: Arc<str>,
    /// When.
    pub made_at: UtcMicros,
    /// Ended before its time: `to` is the instant from which it no longer counts.
    pub ended: Option<Ended>,
}

/// Where an instant lies, seen from an exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Before it.
    ToCome,
    /// Within it.
    Running,
    /// After it.
    Over,
}

impl Standing {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToCome => "to_come",
            Self::Running => "running",
            Self::Over => "over",
        }
    }
}

impl Exception {
    /// Whether it is about this agent, who is in this team.
    pub fn is_about(&self, agent: &AgentId, team: Option<&TeamName>) -> bool {
        match &self.whom {
            Whom::Agents(agents) => agents.contains(agent),
            Whom::Team(name) => team == Some(name),
            Whom::Everyone => true,
        }
    }

    /// How it stands at an instant.
    pub fn standing(&self, now: UtcMicros) -> Standing {
        if now >= self.to {
            Standing::Over
        } else if now >= self.from {
            Standing::Running
        } else {
            Standing::ToCome
        }
    }

    /// The same, ended at an instant; one that has not begun is then empty. `None` where it is over already.
    pub fn end(self, at: UtcMicros, by: Arc<str>, why: Option<Arc<str>>) -> Option<Self> {
        let is_open = self.standing(at) != Standing::Over;
        is_open.then(|| Self { to: at.max(self.from), ended: Some(Ended { at, by, why }), ..self })
    }

    /// The same, taken back: it is empty, as if it had never counted. `None` where it is empty already.
    pub fn take_back(self, at: UtcMicros, by: Arc<str>, why: Option<Arc<str>>) -> Option<Self> {
        (self.from < self.to).then_some(Self { to: self.from, ended: Some(Ended { at, by, why }), ..self })
    }
}

/// When an agent is excused: spans in order, none touching the next.
pub fn excused_spans<'e>(
    exceptions: impl IntoIterator<Item = &'e Exception>,
    agent: &AgentId,
    team: Option<&TeamName>,
) -> Vec<Coverage> {
    let about = exceptions.into_iter().filter(|exception| exception.is_about(agent, team));
    joined(about.map(|exception| Coverage { start: exception.from, end: exception.to }).collect())
}

fn joined(mut spans: Vec<Coverage>) -> Vec<Coverage> {
    spans.retain(|span| span.start < span.end);
    spans.sort_by_key(|span| span.start);
    let mut joined: Vec<Coverage> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut().filter(|last| span.start <= last.end) {
            Some(last) => last.end = last.end.max(span.end),
            None => joined.push(span),
        }
    }
    joined
}

/// The span of `excused` (as [`excused_spans`] gives them) that an instant lies in.
pub fn excused_at(excused: &[Coverage], instant: UtcMicros) -> Option<Coverage> {
    let after = excused.partition_point(|span| span.start <= instant);
    excused.get(after.checked_sub(1)?).copied().filter(|span| instant < span.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(minute: i64) -> UtcMicros {
        UtcMicros::from_micros(minute * 60_000_000)
    }

    fn exception(whom: Whom, from: i64, to: i64) -> Exception {
        Exception {
            id: ExceptionId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            whom,
            from: at(from),
            to: at(to),
            reason: "training".into(),
            made_by: "ann".into(),
            made_at: at(0),
            ended: None,
        }
    }

    fn span(start: i64, end: i64) -> Coverage {
        Coverage { start: at(start), end: at(end) }
    }

    #[test]
    fn agents_teams_and_everyone_are_excused() {
        let all = [
            exception(Whom::Agents(vec!["a".into()]), 10, 20),
            exception(Whom::Team("Blue".into()), 15, 30),
            exception(Whom::Everyone, 50, 60),
            exception(Whom::Everyone, 70, 70),
        ];
        let of =
            |agent: &str, team: Option<&str>| excused_spans(&all, &agent.into(), team.map(TeamName::from).as_ref());
        assert_eq!(of("a", Some("Blue")), [span(10, 30), span(50, 60)], "spans that meet are one");
        assert_eq!(of("a", None), [span(10, 20), span(50, 60)]);
        assert_eq!(of("b", Some("Red")), [span(50, 60)], "what has no length excuses nobody");
        let spans = of("a", Some("Blue"));
        for (minute, expected) in
            [(9, None), (10, Some(span(10, 30))), (29, Some(span(10, 30))), (30, None), (60, None)]
        {
            assert_eq!(excused_at(&spans, at(minute)), expected, "{minute}");
        }
    }

    #[test]
    fn an_exception_is_ended_once_and_never_before_it_begins() {
        let running = exception(Whom::Everyone, 10, 20);
        for (now, standing) in [(9, Standing::ToCome), (10, Standing::Running), (20, Standing::Over)] {
            assert_eq!(running.standing(at(now)), standing);
        }
        let ended = running.clone().end(at(15), "bob".into(), None).expect("it ran");
        assert_eq!((ended.to, ended.standing(at(15))), (at(15), Standing::Over));
        assert_eq!(ended.end(at(16), "bob".into(), None), None, "once");
        let before = running.clone().end(at(5), "bob".into(), None).expect("it had not begun");
        assert_eq!((before.from, before.to), (at(10), at(10)));
        assert_eq!(running.clone().end(at(20), "bob".into(), None), None, "over by itself");
        let back = running.take_back(at(30), "bob".into(), None).expect("also when it is over");
        assert_eq!((back.from, back.to), (at(10), at(10)));
        assert_eq!(back.take_back(at(31), "bob".into(), None), None, "once");
    }

    proptest! {
        #[test]
        fn spans_are_in_order_apart_and_hold_exactly_what_some_exception_holds(
            spans in prop::collection::vec((0_i64..200, 0_i64..40), 0..8),
        ) {
            let all: Vec<Exception> =
                spans.iter().map(|(start, length)| exception(Whom::Everyone, *start, start + length)).collect();
            let excused = excused_spans(&all, &"a".into(), None);
            prop_assert!(excused.iter().all(|span| span.start < span.end));
            prop_assert!(excused.windows(2).all(|pair| pair[0].end < pair[1].start));
            for minute in 0..250 {
                let held = spans.iter().any(|(start, length)| *start <= minute && minute < start + length);
                prop_assert_eq!(excused_at(&excused, at(minute)).is_some(), held, "{}", minute);
            }
        }
    }
}
