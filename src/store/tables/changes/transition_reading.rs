//! Reads transitions: single ones, open ones, lists, and the figures of the compliance report.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;

use super::transitions::{StoredTransition, decode};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::changes::transition::STATUS_NAMES;
use crate::domain::ids::{AgentId, RuleId, TeamName, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::error::ReadError;
use crate::store::reader::Reader;

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, id, agent, target, reason, priority, actor, standing, requested_at, deadline, accepted_at, \
             finished_at, before, violation, attempts, latency_ms, on_contact, note, explanation, change_set FROM transitions ",
            $rest
        )
    };
}

pub(in crate::store) const ONE: &str = selecting!("WHERE tenant = $1 AND id = $2");
/// Selects by id, so that SQLite reads the index of open transitions; selecting the rows would read all of the
/// tenant's.
pub(in crate::store) const OPEN: &str = selecting!(
    "WHERE tenant = $1 AND id IN (SELECT id FROM transitions WHERE tenant = $1 AND finished_at IS NULL) ORDER BY id"
);
/// A bulk change has one transition per agent, at most ten thousand. Also selected by id.
pub(in crate::store) const OF_CHANGE_SET: &str = selecting!(
    "WHERE tenant = $1 AND id IN (SELECT id FROM transitions WHERE tenant = $1 AND change_set = $2) ORDER BY id"
);
/// `$2` before this id, `$3` status, `$4` rule, `$5` and `$6` the span of the request time; each may be NULL.
pub(in crate::store) const LIST: &str = selecting!(
    "WHERE tenant = $1 AND (CAST($2 AS TEXT) IS NULL OR id < $2) AND (CAST($3 AS TEXT) IS NULL OR status = $3) AND (CAST($4 AS TEXT) IS NULL OR rule = $4) \
     AND (CAST($5 AS BIGINT) IS NULL OR requested_at >= $5) AND (CAST($6 AS BIGINT) IS NULL OR requested_at < $6) ORDER BY id DESC LIMIT $7"
);
/// Like [`LIST`], for one agent.
pub(in crate::store) const LIST_OF_AGENT: &str = selecting!(
    "WHERE tenant = $1 AND (CAST($2 AS TEXT) IS NULL OR id < $2) AND (CAST($3 AS TEXT) IS NULL OR status = $3) AND (CAST($4 AS TEXT) IS NULL OR rule = $4) \
     AND (CAST($5 AS BIGINT) IS NULL OR requested_at >= $5) AND (CAST($6 AS BIGINT) IS NULL OR requested_at < $6) AND agent = $8 ORDER BY id DESC LIMIT $7"
);
/// The number of pending approvals by team. Also selected by id.
pub(in crate::store) const PENDING_APPROVALS: &str = "SELECT a.team, COUNT(*) AS total FROM transitions t LEFT JOIN agents a \
     ON a.tenant = t.tenant AND a.id = t.agent WHERE t.tenant = $1 AND t.status = 'waiting' AND t.standing LIKE '%\"approval\"%' \
     AND t.id IN (SELECT id FROM transitions WHERE tenant = $1 AND finished_at IS NULL) GROUP BY a.team";
pub(in crate::store) const AUTOMATIC: &str = "SELECT tenant, id, agent, rule, target, accepted_at FROM transitions \
     WHERE tenant = $1 AND rule IS NOT NULL AND accepted_at IS NOT NULL AND accepted_at >= $2 ORDER BY accepted_at, id";
pub(in crate::store) const FIGURES: &str = "SELECT status, rule, violation, COUNT(*) AS total, \
     CAST(COALESCE(SUM(latency_ms), 0) AS BIGINT) AS latency_ms, COUNT(latency_ms) AS timed FROM transitions \
     WHERE tenant = $1 AND requested_at >= $2 AND requested_at < $3 GROUP BY status, rule, violation \
     ORDER BY status, rule, violation";

/// The conditions of a list of transitions, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransitionFilter {
    /// The agent.
    pub agent: Option<AgentId>,
    /// The status, one of [`STATUS_NAMES`].
    pub status: Option<String>,
    /// The rule that requested them.
    pub rule: Option<RuleId>,
    /// Requested at this time or later.
    pub from: Option<UtcMicros>,
    /// Requested before this time.
    pub to: Option<UtcMicros>,
    /// Only transitions older than this one: the cursor of the next page.
    pub before: Option<TransitionId>,
}

/// A state change by a rule that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutomaticChange {
    /// The transition.
    pub transition: TransitionId,
    /// The agent.
    pub agent: AgentId,
    /// The rule.
    pub rule: RuleId,
    /// The target state.
    pub target: AgentState,
    /// The time when it took effect.
    pub accepted_at: UtcMicros,
}

/// The figures of the compliance report for a span of request times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComplianceFigures {
    /// The number of transitions.
    pub total: u64,
    /// The number of transitions by status; every status is included.
    pub by_status: BTreeMap<&'static str, u64>,
    /// The number of transitions refused or held by each policy.
    pub violations: BTreeMap<Violation, u64>,
    /// The number of transitions by rule and status.
    pub by_rule: BTreeMap<RuleId, BTreeMap<&'static str, u64>>,
    /// The sum of the known latencies, in milliseconds.
    pub latency_sum_ms: u64,
    /// The number of known latencies.
    pub latency_count: u64,
}

impl ComplianceFigures {
    /// Returns the mean latency in milliseconds; `None` if no attempt was answered.
    pub const fn average_latency_ms(&self) -> Option<u64> {
        self.latency_sum_ms.checked_div(self.latency_count)
    }
}

impl Reader {
    /// Returns one transition.
    pub async fn transition(&self, tenant: &TenantId, id: TransitionId) -> Result<Option<StoredTransition>, ReadError> {
        self.read_row(ONE, Values::of(tenant).text(id.to_string()), decode).await
    }

    /// Returns all unfinished transitions of a tenant, oldest first. Policy limits their number.
    pub async fn open_transitions(&self, tenant: &TenantId) -> Result<Vec<StoredTransition>, ReadError> {
        self.read_rows(OPEN, Values::of(tenant), decode).await
    }

    /// Returns the number of rules' changes that wait for approval, by the agent's team.
    pub async fn pending_approvals(&self, tenant: &TenantId) -> Result<Vec<(Option<TeamName>, u64)>, ReadError> {
        let values = Values::of(tenant);
        let read = |row: &AnyRow| {
            let cells = Cells::new("transitions", row);
            Ok((cells.text_or_null("team")?.map(TeamName::new), cells.number("total")?))
        };
        self.read_rows(PENDING_APPROVALS, values, read).await
    }

    /// Returns a page of at most `limit` transitions, newest first (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn transitions(
        &self,
        tenant: &TenantId,
        filter: &TransitionFilter,
        limit: u32,
    ) -> Result<Vec<StoredTransition>, ReadError> {
        let values = Values::of(tenant)
            .text_or_null(filter.before.map(|id| id.to_string()))
            .text_or_null(filter.status.as_deref())
            .text_or_null(filter.rule.as_ref().map(RuleId::as_str))
            .instant_or_null(filter.from)
            .instant_or_null(filter.to)
            .page(limit);
        match &filter.agent {
            None => self.read_rows(LIST, values, decode).await,
            Some(agent) => self.read_rows(LIST_OF_AGENT, values.text(agent.as_str()), decode).await,
        }
    }

    /// Returns the changes by rules that took effect at or after `since`, oldest first, for the guards against
    /// flapping.
    pub async fn automatic_changes(
        &self,
        tenant: &TenantId,
        since: UtcMicros,
    ) -> Result<Vec<AutomaticChange>, ReadError> {
        self.read_rows(AUTOMATIC, Values::of(tenant).instant(since), read_automatic_change).await
    }

    /// Returns the figures of the transitions requested within `from..to`.
    pub async fn compliance_figures(
        &self,
        tenant: &TenantId,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<ComplianceFigures, ReadError> {
        let values = Values::of(tenant).instant(from).instant(to);
        let mut figures = ComplianceFigures {
            by_status: STATUS_NAMES.into_iter().map(|name| (name, 0)).collect(),
            ..ComplianceFigures::default()
        };
        self.for_each_row(FIGURES, values, |row| add_row(&mut figures, &Cells::new("transitions", row))).await?;
        Ok(figures)
    }
}

fn add_row(figures: &mut ComplianceFigures, cells: &Cells<'_>) -> Result<(), ReadError> {
    let total: u64 = cells.number("total")?;
    let status = cells.known_value("status", |name| STATUS_NAMES.into_iter().find(|known| *known == name))?;
    figures.total += total;
    *figures.by_status.entry(status).or_default() += total;
    if cells.text_or_null("violation")?.is_some() {
        *figures.violations.entry(cells.known_value("violation", Violation::from_code)?).or_default() += total;
    }
    if let Some(rule) = cells.text_or_null("rule")? {
        *figures.by_rule.entry(RuleId::new(rule)).or_default().entry(status).or_default() += total;
    }
    figures.latency_sum_ms += cells.number::<u64>("latency_ms")?;
    figures.latency_count += cells.number::<u64>("timed")?;
    Ok(())
}

fn read_automatic_change(row: &AnyRow) -> Result<AutomaticChange, ReadError> {
    let cells = Cells::new("transitions", row);
    Ok(AutomaticChange {
        transition: cells.parsed("id")?,
        agent: AgentId::new(cells.text("agent")?),
        rule: RuleId::new(cells.text("rule")?),
        target: AgentState::from_stored_name(cells.text("target")?),
        accepted_at: cells.instant("accepted_at")?,
    })
}
