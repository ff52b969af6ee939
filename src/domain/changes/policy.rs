//! What policy says of a wanted change, before any of the platform's budget is spent on it.
//!
//! The imported plan decides. The platform's own answers can only forbid: they count where no plan speaks, and after the
//! platform refused a change (design: the way of the data).

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::agents::state::AgentState;
use crate::domain::schedules::schedule::Planned;
use crate::domain::time::UtcMicros;

/// A request that policy refuses or holds; the first two codes are guide 003's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Violation {
    /// No shift now.
    AgentNotScheduled,
    /// Ready in a mandatory break.
    MandatoryBreakViolation,
    /// The platform refused with 409 and names neither of the two.
    PlatformConflict,
}

impl Violation {
    /// The code as guide 003 spells it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AgentNotScheduled => "AGENT_NOT_SCHEDULED",
            Self::MandatoryBreakViolation => "MANDATORY_BREAK_VIOLATION",
            Self::PlatformConflict => "PLATFORM_CONFLICT",
        }
    }

    /// The violation of this code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::AgentNotScheduled, Self::MandatoryBreakViolation, Self::PlatformConflict]
            .into_iter()
            .find(|violation| violation.code() == code)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Which targets are forbidden to an agent who is not scheduled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnscheduledForbids {
    /// Ready alone.
    #[default]
    Ready,
    /// Every target, as guide 003's code has it.
    All,
}

/// What to do with a change for an agent who is with a contact or wrapping one up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnContact {
    /// Send it all the same.
    Now,
    /// Wait until the contact is over.
    #[default]
    After,
    /// Refuse it.
    Skip,
}

/// What the platform itself said of an agent, where it was asked and the answer is still good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PlatformSays {
    /// Its schedule names the agent as active now.
    pub scheduled: Option<bool>,
    /// It requires a break of the agent now.
    pub break_required: Option<bool>,
}

/// Whose word a refusal rests on. The name is in a refused transition's explanation, as [`RefusedBy::FIELD`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBy {
    /// The imported plan's.
    Plan,
    /// The platform's, where no plan speaks.
    Platform,
    /// The platform's, although the imported plan has a shift.
    PlatformAgainstPlan,
}

impl RefusedBy {
    /// Its place in the explanation.
    pub const FIELD: &'static str = "refused_by";

    /// Who speaks, where policy refuses for want of a shift: the plan wherever it has none.
    pub const fn of(planned: &Planned<'_>) -> Self {
        match planned {
            Planned::Off => Self::Plan,
            Planned::NotCovered => Self::Platform,
            Planned::In(_) => Self::PlatformAgainstPlan,
        }
    }
}

/// The facts a ruling rests on.
#[derive(Clone, Copy, Debug)]
pub struct PolicyFacts<'a> {
    /// Where now falls in the imported plan.
    pub planned: Planned<'a>,
    /// The platform's answers.
    pub platform: PlatformSays,
    /// The state that the agent was last seen in.
    pub state: Option<&'a AgentState>,
}

/// What policy says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// Go ahead.
    Allow,
    /// No plan speaks for now: ask the platform first.
    AskPlatform,
    /// Not while the mandatory break runs; its end, where it is known.
    HoldForBreak(Option<UtcMicros>),
    /// Not while the contact lasts.
    HoldForContact,
    /// Not at all.
    Refuse(Violation),
    /// The agent is on a contact and the request says to leave such agents alone.
    SkipOnContact,
}

/// Rules on a change to `target`.
pub fn rule_on(
    target: &AgentState,
    facts: PolicyFacts<'_>,
    unscheduled_forbids: UnscheduledForbids,
    on_contact: OnContact,
) -> Ruling {
    let schedule = rule_on_schedule(target, facts, unscheduled_forbids);
    if schedule != Ruling::Allow || !facts.state.is_some_and(AgentState::is_on_contact) {
        return schedule;
    }
    match on_contact {
        OnContact::Now => Ruling::Allow,
        OnContact::After => Ruling::HoldForContact,
        OnContact::Skip => Ruling::SkipOnContact,
    }
}

fn rule_on_schedule(target: &AgentState, facts: PolicyFacts<'_>, unscheduled_forbids: UnscheduledForbids) -> Ruling {
    let ready = *target == AgentState::Ready;
    if !ready && unscheduled_forbids == UnscheduledForbids::Ready {
        return Ruling::Allow;
    }
    let said = facts.platform;
    match facts.planned {
        Planned::Off => Ruling::Refuse(Violation::AgentNotScheduled),
        Planned::In(segment) if ready && segment.mandatory => Ruling::HoldForBreak(Some(segment.end)),
        Planned::In(_) | Planned::NotCovered if said.scheduled == Some(false) => {
            Ruling::Refuse(Violation::AgentNotScheduled)
        }
        Planned::In(_) | Planned::NotCovered if ready && said.break_required == Some(true) => {
            Ruling::HoldForBreak(None)
        }
        Planned::NotCovered if said.scheduled.is_none() || (ready && said.break_required.is_none()) => {
            Ruling::AskPlatform
        }
        Planned::In(_) | Planned::NotCovered => Ruling::Allow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedules::schedule::{Activity, Segment};

    fn segment(mandatory: bool) -> Segment {
        let at = UtcMicros::from_micros;
        Segment { activity: Activity::Lunch, start: at(0), end: at(100), mandatory, shift: 0 }
    }

    #[test]
    fn the_plan_decides_and_the_platform_can_only_forbid() {
        let (lunch, work) = (segment(true), segment(false));
        let end = Some(UtcMicros::from_micros(100));
        let not_scheduled = Ruling::Refuse(Violation::AgentNotScheduled);
        let (ready, paused) = (AgentState::Ready, AgentState::Paused);
        let unsaid = (None, None);
        for (target, planned, said, expected) in [
            (&ready, Planned::In(&work), unsaid, Ruling::Allow),
            (&ready, Planned::In(&lunch), unsaid, Ruling::HoldForBreak(end)),
            (&paused, Planned::In(&lunch), unsaid, Ruling::Allow),
            (&ready, Planned::Off, unsaid, not_scheduled),
            (&ready, Planned::Off, (Some(true), Some(false)), not_scheduled),
            (&paused, Planned::Off, unsaid, Ruling::Allow),
            (&ready, Planned::In(&work), (Some(false), None), not_scheduled),
            (&ready, Planned::In(&work), (Some(true), Some(true)), Ruling::HoldForBreak(None)),
            (&ready, Planned::NotCovered, unsaid, Ruling::AskPlatform),
            (&ready, Planned::NotCovered, (Some(true), None), Ruling::AskPlatform),
            (&ready, Planned::NotCovered, (Some(false), None), not_scheduled),
            (&ready, Planned::NotCovered, (Some(true), Some(true)), Ruling::HoldForBreak(None)),
            (&ready, Planned::NotCovered, (Some(true), Some(false)), Ruling::Allow),
            (&paused, Planned::NotCovered, unsaid, Ruling::Allow),
        ] {
            let facts = PolicyFacts {
                planned,
                platform: PlatformSays { scheduled: said.0, break_required: said.1 },
                state: Some(&AgentState::Paused),
            };
            let ruling = rule_on(target, facts, UnscheduledForbids::Ready, OnContact::Now);
            assert_eq!(ruling, expected, "{target} in {planned:?}, platform says {said:?}");
        }
    }

    #[test]
    fn where_the_plan_has_a_shift_or_does_not_speak_a_refusal_is_the_platforms_word() {
        let work = segment(false);
        for (planned, by, name) in [
            (Planned::Off, RefusedBy::Plan, "plan"),
            (Planned::NotCovered, RefusedBy::Platform, "platform"),
            (Planned::In(&work), RefusedBy::PlatformAgainstPlan, "platform_against_plan"),
        ] {
            assert_eq!((RefusedBy::of(&planned), serde_json::json!(by)), (by, name.into()));
        }
    }

    #[test]
    fn every_target_can_be_forbidden_without_a_shift() {
        for (planned, expected) in
            [(Planned::Off, Ruling::Refuse(Violation::AgentNotScheduled)), (Planned::NotCovered, Ruling::AskPlatform)]
        {
            let facts = PolicyFacts { planned, platform: PlatformSays::default(), state: None };
            assert_eq!(rule_on(&AgentState::Paused, facts, UnscheduledForbids::All, OnContact::Now), expected);
        }
    }

    #[test]
    fn a_contact_holds_skips_or_lets_pass_after_the_schedule_had_its_say() {
        let work = segment(false);
        for (planned, on_contact, expected) in [
            (Planned::In(&work), OnContact::Now, Ruling::Allow),
            (Planned::In(&work), OnContact::After, Ruling::HoldForContact),
            (Planned::In(&work), OnContact::Skip, Ruling::SkipOnContact),
            (Planned::Off, OnContact::Skip, Ruling::Refuse(Violation::AgentNotScheduled)),
        ] {
            let facts =
                PolicyFacts { planned, platform: PlatformSays::default(), state: Some(&AgentState::AfterContactWork) };
            assert_eq!(rule_on(&AgentState::Ready, facts, UnscheduledForbids::Ready, on_contact), expected);
        }
    }

    #[test]
    fn violations_are_known_by_the_codes_that_messages_and_the_store_have() {
        for violation in [Violation::AgentNotScheduled, Violation::MandatoryBreakViolation, Violation::PlatformConflict]
        {
            assert_eq!(Violation::from_code(violation.code()), Some(violation));
            assert_eq!(serde_json::json!(violation), violation.to_string());
        }
        assert_eq!(Violation::from_code("AGENT_NOT_FOUND"), None);
    }

    #[test]
    fn where_every_target_can_be_forbidden_only_ready_is_held_for_a_break() {
        let (lunch, work) = (segment(true), segment(false));
        let rule = |target: &AgentState, planned, scheduled, break_required| {
            let facts = PolicyFacts { planned, platform: PlatformSays { scheduled, break_required }, state: None };
            rule_on(target, facts, UnscheduledForbids::All, OnContact::After)
        };
        let (ready, paused) = (AgentState::Ready, AgentState::Paused);
        let not_scheduled = Ruling::Refuse(Violation::AgentNotScheduled);
        assert_eq!(rule(&paused, Planned::In(&lunch), None, None), Ruling::Allow);
        assert_eq!(rule(&paused, Planned::In(&work), Some(true), Some(true)), Ruling::Allow);
        assert_eq!(rule(&paused, Planned::In(&work), Some(false), None), not_scheduled);
        assert_eq!(rule(&paused, Planned::NotCovered, Some(false), None), not_scheduled);
        assert_eq!(rule(&paused, Planned::NotCovered, Some(true), None), Ruling::Allow, "breaks concern Ready alone");
        assert_eq!(rule(&paused, Planned::NotCovered, Some(true), Some(true)), Ruling::Allow);
        assert_eq!(rule(&ready, Planned::NotCovered, Some(true), Some(true)), Ruling::HoldForBreak(None));
    }

    #[test]
    fn only_an_agent_who_is_seen_with_a_contact_is_held_for_it() {
        let work = segment(false);
        for (state, expected) in [
            (None, Ruling::Allow),
            (Some(AgentState::Paused), Ruling::Allow),
            (Some(AgentState::OnContact), Ruling::HoldForContact),
        ] {
            let (planned, platform) = (Planned::In(&work), PlatformSays::default());
            let facts = PolicyFacts { planned, platform, state: state.as_ref() };
            let ruling = rule_on(&AgentState::Ready, facts, UnscheduledForbids::Ready, OnContact::After);
            assert_eq!(ruling, expected, "{state:?}");
        }
    }
}
