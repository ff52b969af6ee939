//! What is said of a change: where it stands, and which policy holds or refuses it and why.

use super::{Row, Standing};
use crate::domain::changes::policy::{RefusedBy, Violation};
use crate::domain::changes::transition::{Status, Transition, WaitReason};
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::engine::changes::door::Taken;

impl Row {
    /// As the daemon took it in. The answer names the policy; the words are added here.
    pub(super) fn of_taken(taken: Taken) -> Self {
        let lost =
            taken.id.is_none() || ["refused", "failed", "cancelled", "superseded", "expired"].contains(&&*taken.status);
        let error = taken.error.map(|error| match Violation::from_code(&error) {
            Some(violation) => format!("{violation}: {}", refused(violation, &taken.agent, taken.refused_by)),
            None => error,
        });
        let standing = if lost { Standing::Lost } else { Standing::Open };
        Self { id: taken.id, status: taken.status, error, standing, agent: taken.agent }
    }

    /// With how the last attempt failed, where that is what it waits or waited for.
    pub(super) fn with_last_error(mut self, status: &Status, last_error: Option<&str>) -> Self {
        let (Status::Waiting { why, .. } | Status::Expired { waiting_for: Some(why) }) = status else { return self };
        if matches!(why, WaitReason::Retry | WaitReason::Conflict)
            && let (Some(words), Some(last)) = (&mut self.error, last_error)
        {
            words.push_str("; the last try: ");
            words.push_str(last);
        }
        self
    }

    /// As it stands now.
    pub(super) fn of_transition(transition: &Transition) -> Self {
        Self {
            id: Some(transition.id),
            agent: transition.agent.clone(),
            status: transition.status.name().to_owned(),
            error: hindrance(transition),
            standing: match transition.status {
                Status::Confirmed { .. } => Standing::Confirmed,
                Status::Requested
                | Status::Waiting { .. }
                | Status::Sending { .. }
                | Status::InDoubt { .. }
                | Status::Accepted { .. } => Standing::Open,
                Status::Unconfirmed { .. }
                | Status::Refused { .. }
                | Status::Failed { .. }
                | Status::Cancelled { .. }
                | Status::Superseded { .. }
                | Status::Expired { .. } => Standing::Lost,
            },
        }
    }
}

/// What stands in a change's way or ended it; with the policy's code before it where policy did. `None` where nothing does.
fn hindrance(transition: &Transition) -> Option<String> {
    let words = match &transition.status {
        Status::Requested | Status::Sending { .. } | Status::Accepted { .. } | Status::Confirmed { .. } => return None,
        Status::Waiting { why, until } => waits(*why, *until, transition.deadline),
        Status::InDoubt { .. } => {
            "sent, and not known yet whether it took effect; the next snapshot will show".to_owned()
        }
        Status::Unconfirmed { .. } => "the platform accepted it, and no snapshot showed it".to_owned(),
        Status::Refused { violation } => {
            return Some(format!("{violation}: {}", refused(*violation, &transition.agent, transition.refused_by())));
        }
        Status::Failed { error } => error.clone(),
        Status::Cancelled { by } => format!("cancelled: {by}"),
        Status::Superseded { by } => format!("superseded by a newer change: {by}"),
        Status::Expired { waiting_for } => match waiting_for {
            Some(why) => format!("its deadline {:.0} passed while it waited for {}", transition.deadline, why.words()),
            None => format!("its deadline {:.0} passed", transition.deadline),
        },
    };
    Some(match transition.violation.filter(|violation| is_behind(*violation, &transition.status)) {
        Some(violation) => format!("{violation}: {words}"),
        None => words,
    })
}

/// Whether a violation that was counted for a transition is what its present status is about: one that was held by a break
/// may wait for the budget by now.
const fn is_behind(violation: Violation, status: &Status) -> bool {
    let (Status::Waiting { why, .. } | Status::Expired { waiting_for: Some(why) }) = status else {
        return matches!(status, Status::Failed { .. });
    };
    match violation {
        Violation::MandatoryBreakViolation => {
            matches!(why, WaitReason::MandatoryBreak | WaitReason::Conflict | WaitReason::Retry)
        }
        Violation::AgentNotScheduled | Violation::PlatformConflict => {
            matches!(why, WaitReason::Conflict | WaitReason::Retry)
        }
    }
}

fn refused(violation: Violation, agent: &AgentId, by: Option<RefusedBy>) -> String {
    match violation {
        Violation::AgentNotScheduled => match by {
            None | Some(RefusedBy::Plan) => format!("{agent} has no shift now"),
            Some(RefusedBy::Platform) => format!("the platform says that {agent} has no shift now"),
            Some(RefusedBy::PlatformAgainstPlan) => {
                format!("the platform says that {agent} has no shift now, although the imported plan has one")
            }
        },
        Violation::MandatoryBreakViolation => format!("{agent} is in a mandatory break"),
        Violation::PlatformConflict => format!("the platform does not allow it for {agent} now (409)"),
    }
}

fn waits(why: WaitReason, until: Option<UtcMicros>, deadline: UtcMicros) -> String {
    let object = why.words();
    match until {
        Some(until) => format!("waits for {object}, until {until:.0} (expires at {deadline:.0})"),
        None => format!("waits for {object} (expires at {deadline:.0})"),
    }
}
