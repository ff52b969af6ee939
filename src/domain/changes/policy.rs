//! Policy checks of a requested change, made before any of the platform's budget is spent on it.
//!
//! The imported plan decides. The platform's own answers can only forbid a change: they count where no plan covers the
//! time, and after the platform refused a change.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::agents::state::AgentState;
use crate::domain::schedules::schedule::PlanAt;
use crate::domain::time::UtcMicros;

/// The policy that refused or held a change. The first two codes are defined by the vendor's guide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Violation {
    /// The agent has no shift now.
    AgentNotScheduled,
    /// The change would set the agent ready in a mandatory break.
    MandatoryBreakViolation,
    /// The platform refused the change with 409 for another reason.
    PlatformConflict,
}

impl Violation {
    /// Returns the code as spelled in guide 003.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AgentNotScheduled => "AGENT_NOT_SCHEDULED",
            Self::MandatoryBreakViolation => "MANDATORY_BREAK_VIOLATION",
            Self::PlatformConflict => "PLATFORM_CONFLICT",
        }
    }

    /// Returns the violation with this code, or `None` if there is none.
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

/// The target states forbidden to agents who are not scheduled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnscheduledPolicy {
    /// Only ready.
    #[default]
    Ready,
    /// Every target state, as guide 003's code implies.
    All,
}

/// How to treat a change for an agent who is on a contact or in wrap-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnContact {
    /// Send it at once.
    Now,
    /// Wait until the contact has ended.
    #[default]
    After,
    /// Refuse it.
    Skip,
}

/// The platform's own answers about an agent, while they are still valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PlatformPlan {
    /// Whether the platform's schedule says that the agent is active now.
    pub scheduled: Option<bool>,
    /// Whether the platform requires a break of the agent now.
    pub break_required: Option<bool>,
}

/// The source of a refusal. The name is in the explanation of a refused transition, as [`RefusedBy::FIELD`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBy {
    /// The imported plan.
    Plan,
    /// The platform, since no imported plan covers the time.
    Platform,
    /// The platform, although the imported plan has a shift.
    PlatformAgainstPlan,
}

impl RefusedBy {
    /// The field's name in the explanation.
    pub const FIELD: &'static str = "refused_by";

    /// Returns the source of a refusal for lack of a shift: the plan wherever it has none.
    pub const fn for_plan(planned: &PlanAt<'_>) -> Self {
        match planned {
            PlanAt::Off => Self::Plan,
            PlanAt::NotCovered => Self::Platform,
            PlanAt::In(_) => Self::PlatformAgainstPlan,
        }
    }
}

/// The facts that a decision is based on.
#[derive(Clone, Copy, Debug)]
pub struct PolicyFacts<'a> {
    /// What the imported plan says of now.
    pub planned: PlanAt<'a>,
    /// The platform's answers.
    pub platform_plan: PlatformPlan,
    /// The agent's last observed state.
    pub state: Option<&'a AgentState>,
}

/// A policy decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyDecision {
    /// Allow the change.
    Allow,
    /// Ask the platform first, since no plan covers now.
    AskPlatform,
    /// Hold the change until the mandatory break ends, at this instant if known.
    HoldForBreak(Option<UtcMicros>),
    /// Hold the change until the contact ends.
    HoldForContact,
    /// Refuse the change.
    Refuse(Violation),
    /// Skip the change: the agent is on a contact and the request leaves such agents alone.
    SkipOnContact,
}

/// Decides on a change to `target`.
pub fn decide(
    target: &AgentState,
    facts: PolicyFacts<'_>,
    unscheduled_policy: UnscheduledPolicy,
    on_contact: OnContact,
) -> PolicyDecision {
    let schedule = decide_by_schedule(target, facts, unscheduled_policy);
    if schedule != PolicyDecision::Allow || !facts.state.is_some_and(AgentState::is_on_contact) {
        return schedule;
    }
    match on_contact {
        OnContact::Now => PolicyDecision::Allow,
        OnContact::After => PolicyDecision::HoldForContact,
        OnContact::Skip => PolicyDecision::SkipOnContact,
    }
}

fn decide_by_schedule(
    target: &AgentState,
    facts: PolicyFacts<'_>,
    unscheduled_policy: UnscheduledPolicy,
) -> PolicyDecision {
    let ready = *target == AgentState::Ready;
    if !ready && unscheduled_policy == UnscheduledPolicy::Ready {
        return PolicyDecision::Allow;
    }
    let platform_plan = facts.platform_plan;
    match facts.planned {
        PlanAt::Off => PolicyDecision::Refuse(Violation::AgentNotScheduled),
        PlanAt::In(segment) if ready && segment.mandatory => PolicyDecision::HoldForBreak(Some(segment.end)),
        PlanAt::In(_) | PlanAt::NotCovered if platform_plan.scheduled == Some(false) => {
            PolicyDecision::Refuse(Violation::AgentNotScheduled)
        }
        PlanAt::In(_) | PlanAt::NotCovered if ready && platform_plan.break_required == Some(true) => {
            PolicyDecision::HoldForBreak(None)
        }
        PlanAt::NotCovered
            if platform_plan.scheduled.is_none() || (ready && platform_plan.break_required.is_none()) =>
        {
            PolicyDecision::AskPlatform
        }
        PlanAt::In(_) | PlanAt::NotCovered => PolicyDecision::Allow,
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
        let not_scheduled = PolicyDecision::Refuse(Violation::AgentNotScheduled);
        let (ready, paused) = (AgentState::Ready, AgentState::Paused);
        let no_answers = (None, None);
        for (target, planned, answers, expected) in [
            (&ready, PlanAt::In(&work), no_answers, PolicyDecision::Allow),
            (&ready, PlanAt::In(&lunch), no_answers, PolicyDecision::HoldForBreak(end)),
            (&paused, PlanAt::In(&lunch), no_answers, PolicyDecision::Allow),
            (&ready, PlanAt::Off, no_answers, not_scheduled),
            (&ready, PlanAt::Off, (Some(true), Some(false)), not_scheduled),
            (&paused, PlanAt::Off, no_answers, PolicyDecision::Allow),
            (&ready, PlanAt::In(&work), (Some(false), None), not_scheduled),
            (&ready, PlanAt::In(&work), (Some(true), Some(true)), PolicyDecision::HoldForBreak(None)),
            (&ready, PlanAt::NotCovered, no_answers, PolicyDecision::AskPlatform),
            (&ready, PlanAt::NotCovered, (Some(true), None), PolicyDecision::AskPlatform),
            (&ready, PlanAt::NotCovered, (Some(false), None), not_scheduled),
            (&ready, PlanAt::NotCovered, (Some(true), Some(true)), PolicyDecision::HoldForBreak(None)),
            (&ready, PlanAt::NotCovered, (Some(true), Some(false)), PolicyDecision::Allow),
            (&paused, PlanAt::NotCovered, no_answers, PolicyDecision::Allow),
        ] {
            let facts = PolicyFacts {
                planned,
                platform_plan: PlatformPlan { scheduled: answers.0, break_required: answers.1 },
                state: Some(&AgentState::Paused),
            };
            let decision = decide(target, facts, UnscheduledPolicy::Ready, OnContact::Now);
            assert_eq!(decision, expected, "{target} in {planned:?}, platform says {answers:?}");
        }
    }

    #[test]
    fn where_the_plan_has_a_shift_or_does_not_speak_a_refusal_is_the_platforms_word() {
        let work = segment(false);
        for (planned, by, name) in [
            (PlanAt::Off, RefusedBy::Plan, "plan"),
            (PlanAt::NotCovered, RefusedBy::Platform, "platform"),
            (PlanAt::In(&work), RefusedBy::PlatformAgainstPlan, "platform_against_plan"),
        ] {
            assert_eq!((RefusedBy::for_plan(&planned), serde_json::json!(by)), (by, name.into()));
        }
    }

    #[test]
    fn every_target_can_be_forbidden_without_a_shift() {
        for (planned, expected) in [
            (PlanAt::Off, PolicyDecision::Refuse(Violation::AgentNotScheduled)),
            (PlanAt::NotCovered, PolicyDecision::AskPlatform),
        ] {
            let facts = PolicyFacts { planned, platform_plan: PlatformPlan::default(), state: None };
            assert_eq!(decide(&AgentState::Paused, facts, UnscheduledPolicy::All, OnContact::Now), expected);
        }
    }

    #[test]
    fn a_contact_holds_skips_or_lets_pass_after_the_schedule_had_its_say() {
        let work = segment(false);
        for (planned, on_contact, expected) in [
            (PlanAt::In(&work), OnContact::Now, PolicyDecision::Allow),
            (PlanAt::In(&work), OnContact::After, PolicyDecision::HoldForContact),
            (PlanAt::In(&work), OnContact::Skip, PolicyDecision::SkipOnContact),
            (PlanAt::Off, OnContact::Skip, PolicyDecision::Refuse(Violation::AgentNotScheduled)),
        ] {
            let facts = PolicyFacts {
                planned,
                platform_plan: PlatformPlan::default(),
                state: Some(&AgentState::AfterContactWork),
            };
            assert_eq!(decide(&AgentState::Ready, facts, UnscheduledPolicy::Ready, on_contact), expected);
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
        let decide_for = |target: &AgentState, planned, scheduled, break_required| {
            let facts = PolicyFacts { planned, platform_plan: PlatformPlan { scheduled, break_required }, state: None };
            decide(target, facts, UnscheduledPolicy::All, OnContact::After)
        };
        let (ready, paused) = (AgentState::Ready, AgentState::Paused);
        let not_scheduled = PolicyDecision::Refuse(Violation::AgentNotScheduled);
        assert_eq!(decide_for(&paused, PlanAt::In(&lunch), None, None), PolicyDecision::Allow);
        assert_eq!(decide_for(&paused, PlanAt::In(&work), Some(true), Some(true)), PolicyDecision::Allow);
        assert_eq!(decide_for(&paused, PlanAt::In(&work), Some(false), None), not_scheduled);
        assert_eq!(decide_for(&paused, PlanAt::NotCovered, Some(false), None), not_scheduled);
        assert_eq!(
            decide_for(&paused, PlanAt::NotCovered, Some(true), None),
            PolicyDecision::Allow,
            "breaks concern Ready alone"
        );
        assert_eq!(decide_for(&paused, PlanAt::NotCovered, Some(true), Some(true)), PolicyDecision::Allow);
        assert_eq!(decide_for(&ready, PlanAt::NotCovered, Some(true), Some(true)), PolicyDecision::HoldForBreak(None));
    }

    #[test]
    fn only_an_agent_observed_on_a_contact_is_held_for_it() {
        let work = segment(false);
        for (state, expected) in [
            (None, PolicyDecision::Allow),
            (Some(AgentState::Paused), PolicyDecision::Allow),
            (Some(AgentState::OnContact), PolicyDecision::HoldForContact),
        ] {
            let (planned, platform) = (PlanAt::In(&work), PlatformPlan::default());
            let facts = PolicyFacts { planned, platform_plan: platform, state: state.as_ref() };
            let decision = decide(&AgentState::Ready, facts, UnscheduledPolicy::Ready, OnContact::After);
            assert_eq!(decision, expected, "{state:?}");
        }
    }
}
