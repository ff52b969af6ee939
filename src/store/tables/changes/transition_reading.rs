//! Transitions as they are read: one, those that are open, lists, and the figures of the compliance report.

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
/// By way of the ids, which SQLite reads from the index of the open ones; asked for the rows it walks all of the tenant's.
pub(in crate::store) const OPEN: &str = selecting!(
    "WHERE tenant = $1 AND id IN (SELECT id FROM transitions WHERE tenant = $1 AND finished_at IS NULL) ORDER BY id"
);
/// A bulk change has one of each agent, ten thousand at most. By way of the ids as well.
pub(in crate::store) const OF_CHANGE_SET: &str = selecting!(
    "WHERE tenant = $1 AND id IN (SELECT id FROM transitions WHERE tenant = $1 AND change_set = $2) ORDER BY id"
);
/// `$2` before this id, `$3` status, `$4` rule, `$5` and `$6` span of the request; each may be NULL.
pub(in crate::store) const LIST: &str = selecting!(
    "WHERE tenant = $1 AND (CAST($2 AS TEXT) IS NULL OR id < $2) AND (CAST($3 AS TEXT) IS NULL OR status = $3) AND (CAST($4 AS TEXT) IS NULL OR rule = $4) \
     AND (CAST($5 AS BIGINT) IS NULL OR requested_at >= $5) AND (CAST($6 AS BIGINT) IS NULL OR requested_at < $6) ORDER BY id DESC LIMIT $7"
);
/// Like [`LIST`], of one agent.
pub(in crate::store) const LIST_OF_AGENT: &str = selecting!(
    "WHERE tenant = $1 AND (CAST($2 AS TEXT) IS NULL OR id < $2) AND (CAST($3 AS TEXT) IS NULL OR status = $3) AND (CAST($4 AS TEXT) IS NULL OR rule = $4) \
     AND (CAST($5 AS BIGINT) IS NULL OR requested_at >= $5) AND (CAST($6 AS BIGINT) IS NULL OR requested_at < $6) AND agent = $8 ORDER BY id DESC LIMIT $7"
);
/// How many of each team wait for a person. By way of the ids as well.
pub(in crate::store) const ASKING: &str = "SELECT a.team, COUNT(*) AS total FROM transitions t LEFT JOIN agents a \
     ON a.tenant = t.tenant AND a.id = t.agent WHERE t.tenant = $1 AND t.status = 'waiting' AND t.standing LIKE '%\"approval\"%' \
     AND t.id IN (SELECT id FROM transitions WHERE tenant = $1 AND finished_at IS NULL) GROUP BY a.team";
pub(in crate::store) const AUTOMATIC: &str = "SELECT tenant, id, agent, rule, target, accepted_at FROM transitions \
     WHERE tenant = $1 AND rule IS NOT NULL AND accepted_at IS NOT NULL AND accepted_at >= $2 ORDER BY accepted_at, id";
pub(in crate::store) const FIGURES: &str = "SELECT status, rule, violation, COUNT(*) AS total, \
     CAST(COALESCE(SUM(latency_ms), 0) AS BIGINT) AS latency_ms, COUNT(latency_ms) AS timed FROM transitions \
     WHERE tenant = $1 AND requested_at >= $2 AND requested_at < $3 GROUP BY status, rule, violation \
     ORDER BY status, rule, violation";

/// What a list of transitions is to hold; newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransitionFilter {
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// With this status, one of [`STATUS_NAMES`].
    pub status: Option<String>,
    /// Wanted by this rule.
    pub rule: Option<RuleId>,
    /// Requested at or after.
    pub from: Option<UtcMicros>,
    /// Requested before.
    pub to: Option<UtcMicros>,
    /// Older than this one: the cursor of the next page.
    pub before: Option<TransitionId>,
}

/// A change by a rule that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutomaticChange {
    /// Which transition.
    pub transition: TransitionId,
    /// Of whom.
    pub agent: AgentId,
    /// By which rule.
    pub rule: RuleId,
    /// To which state.
    pub target: AgentState,
    /// When it took effect.
    pub accepted_at: UtcMicros,
}

/// The figures of the compliance report over a span of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComplianceFigures {
    /// Transitions requested.
    pub total: u64,
    /// How many stand in each status; every status is named.
    pub by_status: BTreeMap<&'static str, u64>,
    /// How many were refused or held by each policy.
    pub violations: BTreeMap<Violation, u64>,
    /// How many each rule asked for, and in which status they stand.
    pub by_rule: BTreeMap<RuleId, BTreeMap<&'static str, u64>>,
    /// The sum of the latencies in milliseconds, of those that have one.
    pub latency_ms: u64,
    /// How many have one.
    pub timed: u64,
}

impl ComplianceFigures {
    /// The mean latency in milliseconds; `None` when no attempt was answered.
    pub const fn average_latency_ms(&self) -> Option<u64> {
        self.latency_ms.checked_div(self.timed)
    }
}

impl Reader {
    /// One transition.
    pub async fn transition(&self, tenant: &TenantId, id: TransitionId) -> Result<Option<StoredTransition>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(id.to_string());
        self.optional(ONE, values).await?.as_ref().map(decode).transpose()
    }

    /// Every transition of a tenant that has not ended, oldest first. Policy bounds their number: an agent has few.
    pub async fn open_transitions(&self, tenant: &TenantId) -> Result<Vec<StoredTransition>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        self.all(OPEN, values).await?.iter().map(decode).collect()
    }

    /// How many changes of rules wait for a person, by the team of the agent.
    pub async fn approvals_waiting(&self, tenant: &TenantId) -> Result<Vec<(Option<TeamName>, u64)>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        let read = |row: &AnyRow| {
            let cells = Cells::of("transitions", row);
            Ok((cells.text_or_null("team")?.map(TeamName::new), cells.number("total")?))
        };
        self.all(ASKING, values).await?.iter().map(read).collect()
    }

    /// A page of transitions, newest first, at most `limit` (held to [`crate::store::PAGE_LIMIT`]).
    pub async fn transitions(
        &self,
        tenant: &TenantId,
        filter: &TransitionFilter,
        limit: u32,
    ) -> Result<Vec<StoredTransition>, ReadError> {
        let mut values = Values::default();
        values
            .text(tenant.as_str())
            .text_or_null(filter.before.map(|id| id.to_string()))
            .text_or_null(filter.status.as_deref())
            .text_or_null(filter.rule.as_ref().map(RuleId::as_str))
            .int_or_null(filter.from.map(UtcMicros::as_micros))
            .int_or_null(filter.to.map(UtcMicros::as_micros))
            .int(crate::store::page(limit));
        let rows = match &filter.agent {
            None => self.all(LIST, values).await?,
            Some(agent) => {
                values.text(agent.as_str());
                self.all(LIST_OF_AGENT, values).await?
            }
        };
        rows.iter().map(decode).collect()
    }

    /// Changes by rules that took effect at or after `since`, oldest first: what the guards against flapping count.
    pub async fn automatic_changes(
        &self,
        tenant: &TenantId,
        since: UtcMicros,
    ) -> Result<Vec<AutomaticChange>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(since.as_micros());
        self.all(AUTOMATIC, values).await?.iter().map(automatic).collect()
    }

    /// The figures over the transitions requested within `from..to`.
    pub async fn compliance(
        &self,
        tenant: &TenantId,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<ComplianceFigures, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(from.as_micros()).int(to.as_micros());
        let mut figures = ComplianceFigures {
            by_status: STATUS_NAMES.into_iter().map(|name| (name, 0)).collect(),
            ..ComplianceFigures::default()
        };
        for row in &self.all(FIGURES, values).await? {
            add_to(&mut figures, &Cells::of("transitions", row))?;
        }
        Ok(figures)
    }
}

fn add_to(figures: &mut ComplianceFigures, cells: &Cells<'_>) -> Result<(), ReadError> {
    let total: u64 = cells.number("total")?;
    let status = cells.word("status", |name| STATUS_NAMES.into_iter().find(|known| *known == name))?;
    figures.total += total;
    *figures.by_status.entry(status).or_default() += total;
    if cells.text_or_null("violation")?.is_some() {
        *figures.violations.entry(cells.word("violation", Violation::from_code)?).or_default() += total;
    }
    if let Some(rule) = cells.text_or_null("rule")? {
        *figures.by_rule.entry(RuleId::new(rule)).or_default().entry(status).or_default() += total;
    }
    figures.latency_ms += cells.number::<u64>("latency_ms")?;
    figures.timed += cells.number::<u64>("timed")?;
    Ok(())
}

fn automatic(row: &AnyRow) -> Result<AutomaticChange, ReadError> {
    let cells = Cells::of("transitions", row);
    Ok(AutomaticChange {
        transition: cells.parsed("id")?,
        agent: AgentId::new(cells.text("agent")?),
        rule: RuleId::new(cells.text("rule")?),
        target: AgentState::stored(cells.text("target")?),
        accepted_at: cells.instant("accepted_at")?,
    })
}
