//! The compliance report: the figures of guide 003 over a tenant's transitions, and the log behind them.
//!
//! Every transition counts once, by the instant of its request (`from ≤ requested < to`), whatever requested it and
//! however it ended. Open transitions count too.

mod sections;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::changes::policy::Violation;
use crate::domain::changes::transition::{Transition, TransitionStatus};
use crate::domain::ids::{AgentId, RuleId, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::store::{ComplianceFigures, PAGE_LIMIT, ReadError, Reader, StoredTransition, TransitionFilter};

pub use sections::{ComplianceRecount, SECTIONS, definitions, write};

/// The requests to include, from the first instant (inclusive) to the second (exclusive). `None` is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ComplianceSpan {
    /// The first instant of a request.
    pub from: Option<UtcMicros>,
    /// The instant before which requests were made.
    pub to: Option<UtcMicros>,
}

/// The compliance figures. The first three have the names and formulas of guide 003.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComplianceSummary {
    /// The transitions requested in the span. Formula: the number of log lines.
    pub total_transitions: u64,
    /// The share of transitions that policy refused or held, from 0 to 1. Formula: log lines with a `policyViolation`
    /// ÷ `totalTransitions`; 0 without transitions.
    pub violation_frequency: f64,
    /// The mean milliseconds of real time from sending a transition's last attempt to the platform's answer. Formula:
    /// the mean of the log lines' `latencyMs`, without lines that have none, rounded half up; 0 if no line has one.
    pub average_latency_ms: u64,
    /// The log lines by `policyViolation`. Formula: the number of each; a transition has at most one.
    pub violations: BTreeMap<Violation, u64>,
    /// The transitions by status. Formula: the number of each; they add up to `totalTransitions`.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The transitions of each rule by status. Formula: the number of each; people's changes are left out.
    pub rules: BTreeMap<RuleId, BTreeMap<&'static str, u64>>,
}

/// The meaning of each figure, in the order of the table.
pub const DEFINITIONS: [(&str, &str); 6] = [
    ("totalTransitions", "state changes requested within the time range, by rules and people, including open ones"),
    ("violationFrequency", "those that policy refused or held, divided by totalTransitions"),
    (
        "averageLatencyMs",
        "mean time from send to answer of their last attempts, in ms; without those that were never answered",
    ),
    ("violations", "those that policy refused or held, by policy; each counts once"),
    ("outcomes", "by status; adds up to totalTransitions"),
    ("rules", "those requested by a rule, by rule and status"),
];

impl ComplianceSummary {
    /// Creates the summary from the store's sums.
    pub fn from_figures(figures: &ComplianceFigures) -> Self {
        let violations: u64 = figures.violations.values().sum();
        Self {
            total_transitions: figures.total,
            violation_frequency: share(violations, figures.total),
            average_latency_ms: rounded_mean(figures.latency_sum_ms, figures.latency_count),
            violations: figures.violations.clone(),
            outcomes: figures.by_status.clone(),
            rules: figures.by_rule.clone(),
        }
    }

    /// Reads the summary of a tenant's transitions in the span.
    pub async fn read(reader: &Reader, tenant: &TenantId, span: ComplianceSpan) -> Result<Self, ReadError> {
        let from = span.from.unwrap_or(UtcMicros::from_micros(i64::MIN));
        Ok(Self::from_figures(&reader.compliance_figures(tenant, from, span.to.unwrap_or(UtcMicros::MAX)).await?))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of transitions stay far below 2^52")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn rounded_mean(sum: u64, count: u64) -> u64 {
    let (sum, count) = (u128::from(sum), u128::from(count));
    (2 * sum + count).checked_div(2 * count).and_then(|mean| u64::try_from(mean).ok()).unwrap_or(0)
}

/// One transition, as a line of the log of guide 003.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionLogLine {
    /// The transition's id.
    pub id: TransitionId,
    /// The instant of the request.
    pub timestamp: UtcMicros,
    /// The agent.
    pub user_id: AgentId,
    /// The requested state.
    pub new_state: String,
    /// Whether the platform accepted the change and nothing contradicted it since, that is, whether it is accepted or
    /// confirmed. Null until this is known.
    pub success: Option<bool>,
    /// The milliseconds of real time from sending the last attempt to its answer; null if no attempt was answered.
    pub latency_ms: Option<u64>,
    /// The policy that refused or held the change; null if none did.
    pub policy_violation: Option<Violation>,
    /// The error, or what the change waits for; null without either.
    pub error_message: Option<String>,
}

/// The columns of the log as a table, in the order of [`TransitionLogLine::cells`].
pub const LOG_COLUMNS: [&str; 8] =
    ["id", "timestamp", "userId", "newState", "success", "latencyMs", "policyViolation", "errorMessage"];

impl TransitionLogLine {
    /// Returns the line as text, in the order of [`LOG_COLUMNS`]; null is empty.
    pub fn cells(&self) -> [String; LOG_COLUMNS.len()] {
        [
            self.id.to_string(),
            self.timestamp.to_string(),
            self.user_id.to_string(),
            self.new_state.clone(),
            self.success.map(|success| success.to_string()).unwrap_or_default(),
            self.latency_ms.map(|ms| ms.to_string()).unwrap_or_default(),
            self.policy_violation.map(|violation| violation.to_string()).unwrap_or_default(),
            self.error_message.clone().unwrap_or_default(),
        ]
    }
}

impl From<&StoredTransition> for TransitionLogLine {
    fn from(stored: &StoredTransition) -> Self {
        let transition = &stored.transition;
        Self {
            id: transition.id,
            timestamp: transition.requested_at,
            user_id: transition.agent.clone(),
            new_state: transition.target.name().to_owned(),
            success: match transition.status {
                TransitionStatus::Accepted { .. } | TransitionStatus::Confirmed { .. } => Some(true),
                TransitionStatus::Requested
                | TransitionStatus::Waiting { .. }
                | TransitionStatus::Sending { .. }
                | TransitionStatus::InDoubt { .. }
                | TransitionStatus::Pending { .. } => None,
                TransitionStatus::Unconfirmed { .. }
                | TransitionStatus::Refused { .. }
                | TransitionStatus::Failed { .. }
                | TransitionStatus::Cancelled { .. }
                | TransitionStatus::Superseded { .. }
                | TransitionStatus::Expired { .. } => Some(false),
            },
            latency_ms: transition.latency_ms,
            policy_violation: transition.violation,
            error_message: error_message(transition),
        }
    }
}

fn error_message(transition: &Transition) -> Option<String> {
    match &transition.status {
        TransitionStatus::Requested
        | TransitionStatus::Sending { .. }
        | TransitionStatus::Accepted { .. }
        | TransitionStatus::Confirmed { .. } => None,
        TransitionStatus::Waiting { why, .. } => Some(format!("waits for {}", why.description())),
        TransitionStatus::InDoubt { .. } => Some("sent, and not known whether it took effect".to_owned()),
        TransitionStatus::Unconfirmed { .. } => Some("accepted, and no snapshot showed it".to_owned()),
        TransitionStatus::Pending { .. }
        | TransitionStatus::Refused { .. }
        | TransitionStatus::Failed { .. }
        | TransitionStatus::Cancelled { .. }
        | TransitionStatus::Superseded { .. }
        | TransitionStatus::Expired { .. } => transition.outcome_text(),
    }
}

/// The log of a span, newest first, read page by page so that a long log takes no more memory than a short one.
#[derive(Debug)]
pub struct TransitionLog {
    reader: Reader,
    tenant: TenantId,
    filter: TransitionFilter,
    done: bool,
}

impl TransitionLog {
    /// Creates the log of a tenant's transitions in the span.
    pub fn new(reader: &Reader, tenant: &TenantId, span: ComplianceSpan) -> Self {
        let filter = TransitionFilter { from: span.from, to: span.to, ..TransitionFilter::default() };
        Self { reader: reader.clone(), tenant: tenant.clone(), filter, done: false }
    }

    /// Reads the next lines; empty at the end.
    pub async fn next_page(&mut self) -> Result<Vec<TransitionLogLine>, ReadError> {
        Ok(self.next_stored_page().await?.iter().map(TransitionLogLine::from).collect())
    }

    /// Reads the next transitions; empty at the end.
    async fn next_stored_page(&mut self) -> Result<Vec<StoredTransition>, ReadError> {
        if self.done {
            return Ok(Vec::new());
        }
        let rows = self.reader.transitions(&self.tenant, &self.filter, PAGE_LIMIT).await?;
        self.filter.before = rows.last().map(|row| row.transition.id);
        self.done = rows.len() < PAGE_LIMIT as usize;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::agents::state::AgentState;
    use crate::domain::changes::policy::OnContact;
    use crate::domain::changes::priority::Priority;
    use crate::domain::changes::transition::{Actor, Transition, WaitReason};

    fn figures(total: u64, violations: &[(Violation, u64)], latency_ms: u64, timed: u64) -> ComplianceFigures {
        let violations = violations.iter().copied().collect();
        ComplianceFigures {
            total,
            violations,
            latency_sum_ms: latency_ms,
            latency_count: timed,
            ..ComplianceFigures::default()
        }
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "0 and quarters are exact")]
    fn the_frequency_is_the_share_of_transitions_with_a_violation_and_0_of_none() {
        assert_eq!(ComplianceSummary::from_figures(&figures(0, &[], 0, 0)).violation_frequency, 0.0);
        assert_eq!(ComplianceSummary::from_figures(&figures(4, &[], 0, 0)).violation_frequency, 0.0);
        let both = [(Violation::AgentNotScheduled, 2), (Violation::MandatoryBreakViolation, 1)];
        assert_eq!(ComplianceSummary::from_figures(&figures(4, &both, 0, 0)).violation_frequency, 0.75);
    }

    #[test]
    fn the_mean_latency_is_rounded_half_up_and_0_of_none() {
        for (sum, timed, mean) in [(0, 0, 0), (10, 4, 3), (9, 4, 2), (7, 2, 4), (40, 1, 40), (u64::MAX, 1, u64::MAX)] {
            assert_eq!(
                ComplianceSummary::from_figures(&figures(9, &[], sum, timed)).average_latency_ms,
                mean,
                "{sum} / {timed}"
            );
        }
    }

    #[test]
    fn the_json_has_the_names_of_guide_003() {
        let report = json!(ComplianceSummary::from_figures(&figures(2, &[(Violation::AgentNotScheduled, 1)], 40, 1)));
        assert_eq!(report["totalTransitions"], 2);
        assert_eq!(report["violationFrequency"], 0.5);
        assert_eq!(report["averageLatencyMs"], 40);
        assert_eq!(report["violations"], json!({"AGENT_NOT_SCHEDULED": 1}));
    }

    fn line(status: TransitionStatus, violation: Option<Violation>) -> TransitionLogLine {
        TransitionLogLine::from(&StoredTransition {
            accepted_at: None,
            finished_at: None,
            transition: Transition {
                id: TransitionId(uuid::Uuid::nil()),
                tenant: "acme".into(),
                agent: "u_0001".into(),
                target: AgentState::Ready,
                reason: "WORKING".into(),
                priority: Priority::Person,
                actor: Actor::Person { id: "anna".into() },
                note: None,
                on_contact: OnContact::After,
                requested_at: UtcMicros::EPOCH,
                deadline: UtcMicros::EPOCH,
                before: None,
                explanation: json!(null),
                attempts: 0,
                violation,
                latency_ms: None,
                change_set: None,
                status,
            },
        })
    }

    #[test]
    fn a_log_line_says_how_the_change_went_and_why_not() {
        let refused = line(
            TransitionStatus::Refused { violation: Violation::AgentNotScheduled },
            Some(Violation::AgentNotScheduled),
        );
        assert_eq!(
            json!(refused),
            json!({
                "id": uuid::Uuid::nil(), "timestamp": "1970-01-01T00:00:00Z", "userId": "u_0001", "newState": "Ready",
                "success": false, "latencyMs": null, "policyViolation": "AGENT_NOT_SCHEDULED",
                "errorMessage": "AGENT_NOT_SCHEDULED",
            })
        );
        let confirmed = line(TransitionStatus::Confirmed { at: UtcMicros::EPOCH }, None);
        assert!(confirmed.success == Some(true) && confirmed.error_message.is_none());
        let held = line(
            TransitionStatus::Waiting { why: WaitReason::MandatoryBreak, until: None },
            Some(Violation::MandatoryBreakViolation),
        );
        assert_eq!(held.error_message.as_deref(), Some("waits for the mandatory break to end"));
        assert_eq!((held.success, &*held.cells()[4]), (None, ""), "it may still be made");
    }
}
