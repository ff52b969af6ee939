//! Bulk changes as previewed and started. Their progress is read from their transitions.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::any::AnyRow;

use super::transitions::{StoredTransition, decode as transition};
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::{PlanComparison, PreviewOutcome, PreviewedAgent};
use crate::domain::changes::transition::STATUS_NAMES;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::{ChangeSetRow, ChangeSetWrite, Commit};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const ADD_SETS: ManyRows = ManyRows {
    head: "INSERT INTO change_sets (tenant, id, made_at, made_by, expires_at, hash, undoes, teams, body) VALUES",
    width: 9,
    tail: "",
};
pub(in crate::store) const ADD_AGENTS: ManyRows = ManyRows {
    head: "INSERT INTO change_set_agents (tenant, change_set, place, agent, state, state_reason, target, reason, takes_back, \
           outcome, why, skills, planned, planned_until, would_be) VALUES",
    width: 15,
    tail: "",
};
/// Rows: tenant, set, time, actor.
pub(in crate::store) const START: ManyRows = ManyRows {
    head: "UPDATE change_sets SET started_at = v.column3, started_by = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE change_sets.tenant = v.column1 AND change_sets.id = v.column2",
};
/// Rows: tenant, set, time, actor.
pub(in crate::store) const CANCEL: ManyRows = ManyRows {
    head: "UPDATE change_sets SET cancelled_at = v.column3, cancelled_by = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE change_sets.tenant = v.column1 AND change_sets.id = v.column2",
};
/// Rows: tenant, set, position, outcome, reason.
pub(in crate::store) const EXCLUDE_AGENTS: ManyRows = ManyRows {
    head: "UPDATE change_set_agents SET left_out = v.column4, left_why = v.column5 FROM (VALUES",
    width: 5,
    tail: ") AS v WHERE change_set_agents.tenant = v.column1 AND change_set_agents.change_set = v.column2 \
           AND change_set_agents.place = v.column3",
};
pub(in crate::store) const DELETE_AGENTS: ManyRows =
    ManyRows { head: "DELETE FROM change_set_agents WHERE (tenant, change_set) IN (VALUES", width: 2, tail: ")" };
pub(in crate::store) const DELETE_SETS: ManyRows =
    ManyRows { head: "DELETE FROM change_sets WHERE (tenant, id) IN (VALUES", width: 2, tail: ")" };

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, id, made_at, made_by, expires_at, hash, undoes, teams, body, started_at, started_by, cancelled_at, \
             cancelled_by FROM change_sets ",
            $rest
        )
    };
}

pub(in crate::store) const ONE: &str = selecting!("WHERE tenant = $1 AND id = $2");
/// Older than `$2`; sets that were never started only if `$3` made them and they have not expired at `$4`.
pub(in crate::store) const LIST: &str = selecting!(
    "WHERE tenant = $1 AND (CAST($2 AS TEXT) IS NULL OR id < $2) AND (started_at IS NOT NULL OR (made_by = $3 AND expires_at > $4 \
     AND cancelled_at IS NULL)) ORDER BY id DESC LIMIT $5"
);
pub(in crate::store) const AGENTS: &str = "SELECT tenant, change_set, place, agent, state, state_reason, target, reason, takes_back, \
     outcome, why, skills, planned, planned_until, would_be, left_out, left_why FROM change_set_agents WHERE tenant = $1 AND change_set = $2 ORDER BY place";
pub(in crate::store) const COUNTS: &str = "SELECT outcome, left_out, COUNT(*) AS total FROM change_set_agents \
     WHERE tenant = $1 AND change_set = $2 GROUP BY outcome, left_out ORDER BY outcome, left_out";
/// Selects by id, so that SQLite reads the index; selecting the rows would read all of the tenant's.
pub(in crate::store) const STATUSES: &str = "SELECT status, COUNT(*) AS total, COUNT(finished_at) AS finished, \
     MAX(finished_at) AS last_finished FROM transitions WHERE tenant = $1 AND id IN (SELECT id FROM transitions \
     WHERE tenant = $1 AND change_set = $2) GROUP BY status ORDER BY status";
/// The sets that can still be started at `$2`.
pub(in crate::store) const STARTABLE_COUNT: &str = "SELECT COUNT(*) AS total FROM change_sets \
     WHERE tenant = $1 AND expires_at > $2 AND started_at IS NULL AND cancelled_at IS NULL";
/// The oldest few sets that expired unstarted before `$2`.
pub(in crate::store) const EXPIRED: &str = "SELECT tenant, id FROM change_sets WHERE tenant = $1 AND expires_at < $2 AND started_at IS NULL \
     ORDER BY expires_at LIMIT 3";
pub(in crate::store) const UNDONE_BY: &str = "SELECT tenant, id FROM change_sets WHERE tenant = $1 AND id IN (SELECT id FROM change_sets \
     WHERE tenant = $1 AND undoes = $2) AND started_at IS NOT NULL ORDER BY id DESC LIMIT 1";

/// An agent of a change set, as previewed and as excluded at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChangeSetAgent {
    /// The agent's preview.
    pub previewed: PreviewedAgent,
    /// The outcome and reason if the agent was excluded at the start.
    pub excluded: Option<(PreviewOutcome, Option<String>)>,
}

/// The counts of a change set's agents and transitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSetCounts {
    /// The number of agents by previewed outcome.
    pub outcomes: BTreeMap<PreviewOutcome, u64>,
    /// The number of agents excluded at the start.
    pub excluded: u64,
    /// The number of transitions by status.
    pub statuses: BTreeMap<&'static str, u64>,
    /// The number of unfinished transitions.
    pub open: u64,
    /// The time when the last one finished.
    pub last_finished: Option<UtcMicros>,
}

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let writes = || commits.iter().flat_map(|commit| &commit.change_sets);
    let (mut forgotten, mut started, mut cancelled, mut left_out) = (vec![], vec![], vec![], vec![]);
    for write in writes() {
        match write {
            ChangeSetWrite::Add { .. } => {}
            ChangeSetWrite::Start { tenant, id, at, by, excluded: left } => {
                started.push((tenant, *id, *at, by));
                left_out.extend(left.iter().map(|left| (tenant, *id, left)));
            }
            ChangeSetWrite::Cancel { tenant, id, at, by } => cancelled.push((tenant, *id, *at, by)),
            ChangeSetWrite::Delete { tenant, id } => forgotten.push((tenant, *id)),
        }
    }
    for statement in [&DELETE_AGENTS, &DELETE_SETS] {
        batch::run(transaction, statement, &forgotten, |(tenant, id), values| {
            values.text(tenant.as_str()).text(id.to_string())
        })
        .await?;
    }
    add(transaction, writes()).await?;
    for (statement, rows) in [(&START, &started), (&CANCEL, &cancelled)] {
        let rows = last_of_each(rows.iter(), |(tenant, id, ..)| (*tenant, *id));
        batch::run(transaction, statement, &rows, |(tenant, id, at, by), values| {
            values.text(tenant.as_str()).text(id.to_string()).instant(*at).text(&***by)
        })
        .await?;
    }
    batch::run(transaction, &EXCLUDE_AGENTS, &left_out, |(tenant, id, left), values| {
        values
            .text(tenant.as_str())
            .text(id.to_string())
            .count(left.position as u64)
            .text(left.outcome.name())
            .text_or_null(left.reason.as_deref())
    })
    .await
}

async fn add<'a>(
    transaction: &mut Transaction<'_>,
    writes: impl Iterator<Item = &'a ChangeSetWrite> + Send,
) -> Result<(), CommitError> {
    let added: Vec<(&ChangeSetRow, &Vec<PreviewedAgent>, String)> = writes
        .filter_map(|write| match write {
            ChangeSetWrite::Add { set, agents } => Some((set, agents)),
            _ => None,
        })
        .map(|(set, agents)| Ok((set, agents, serde_json::to_string(&set.teams)?)))
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|error| CommitError::Refused(std::sync::Arc::new(error)))?;
    batch::run(transaction, &ADD_SETS, &added, |(set, _, teams), values| {
        values
            .text(set.tenant.as_str())
            .text(set.id.to_string())
            .instant(set.made_at)
            .text(&*set.made_by)
            .instant(set.expires_at)
            .bytes(&set.hash.0)
            .text_or_null(set.undoes.map(|id| id.to_string()))
            .text(&**teams)
            .text(&*set.body)
    })
    .await?;
    let mut rows = Vec::new();
    for (set, agents, _) in &added {
        for (place, agent) in agents.iter().enumerate() {
            let skills = serde_json::to_string(&agent.skills);
            let skills = skills.map_err(|error| CommitError::Refused(std::sync::Arc::new(error)))?;
            rows.push((*set, place, agent, skills));
        }
    }
    batch::run(transaction, &ADD_AGENTS, &rows, |(set, place, agent, skills), values| {
        values
            .text(set.tenant.as_str())
            .text(set.id.to_string())
            .count(*place as u64)
            .text(agent.agent.as_str())
            .text_or_null(agent.state.as_ref().map(AgentState::name))
            .text_or_null(agent.state_reason.as_ref().map(ReasonCode::as_str))
            .text(agent.target.name())
            .text_or_null(agent.reason.as_ref().map(ReasonCode::as_str))
            .text_or_null(agent.undoes_transition.map(|id| id.to_string()))
            .text(agent.outcome.name())
            .text_or_null(agent.detail.as_deref())
            .text(&**skills)
            .text_or_null(agent.plan_comparison.as_ref().map(|against| &*against.planned))
            .int_or_null(agent.plan_comparison.as_ref().and_then(|against| against.until).map(UtcMicros::as_micros))
            .text_or_null(agent.plan_comparison.as_ref().map(|against| against.resulting_verdict.name()))
    })
    .await
}

impl Reader {
    /// Returns one change set, without its agents.
    pub async fn change_set(&self, tenant: &TenantId, id: ChangeSetId) -> Result<Option<ChangeSetRow>, ReadError> {
        self.read_row(ONE, bind_set(tenant, id), decode).await
    }

    /// Returns a page of change sets, newest first: those that were started, and those that `made_by` made and that can
    /// still be started at `now`. At most `limit` (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn change_sets(
        &self,
        tenant: &TenantId,
        made_by: &str,
        now: UtcMicros,
        before: Option<ChangeSetId>,
        limit: u32,
    ) -> Result<Vec<ChangeSetRow>, ReadError> {
        let values =
            Values::of(tenant).text_or_null(before.map(|id| id.to_string())).text(made_by).instant(now).page(limit);
        self.read_rows(LIST, values, decode).await
    }

    /// Returns the agents of a change set, in order; at most ten thousand.
    pub async fn change_set_agents(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
    ) -> Result<Vec<StoredChangeSetAgent>, ReadError> {
        self.read_rows(AGENTS, bind_set(tenant, id), read_agent).await
    }

    /// Returns the transitions of a change set, one for each changed agent.
    pub async fn change_set_transitions(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
    ) -> Result<Vec<StoredTransition>, ReadError> {
        self.read_rows(super::transition_reading::OF_CHANGE_SET, bind_set(tenant, id), transition).await
    }

    /// Returns the counts of a change set.
    pub async fn change_set_counts(&self, tenant: &TenantId, id: ChangeSetId) -> Result<ChangeSetCounts, ReadError> {
        let mut counts = ChangeSetCounts::default();
        self.for_each_row(COUNTS, bind_set(tenant, id), |row| {
            let cells = Cells::new("change_set_agents", row);
            let total: u64 = cells.number("total")?;
            *counts.outcomes.entry(cells.known_value("outcome", PreviewOutcome::from_name)?).or_default() += total;
            if cells.text_or_null("left_out")?.is_some() {
                counts.excluded += total;
            }
            Ok(())
        })
        .await?;
        self.for_each_row(STATUSES, bind_set(tenant, id), |row| {
            let cells = Cells::new("transitions", row);
            let status = cells.known_value("status", |name| STATUS_NAMES.into_iter().find(|known| *known == name))?;
            let (total, finished): (u64, u64) = (cells.number("total")?, cells.number("finished")?);
            counts.statuses.insert(status, total);
            counts.open += total.saturating_sub(finished);
            counts.last_finished = counts.last_finished.max(cells.instant_or_null("last_finished")?);
            Ok(())
        })
        .await?;
        Ok(counts)
    }

    /// Returns the number of a tenant's change sets that can be started.
    pub async fn startable_change_sets(&self, tenant: &TenantId, now: UtcMicros) -> Result<u64, ReadError> {
        let values = Values::of(tenant).instant(now);
        let read = |row: &AnyRow| Cells::new("change_sets", row).number("total");
        Ok(self.read_row(STARTABLE_COUNT, values, read).await?.unwrap_or_default())
    }

    /// Returns a few change sets that were never started and expired before a given time.
    pub async fn expired_change_sets(
        &self,
        tenant: &TenantId,
        before: UtcMicros,
    ) -> Result<Vec<ChangeSetId>, ReadError> {
        self.read_rows(EXPIRED, Values::of(tenant).instant(before), |row| Cells::new("change_sets", row).parsed("id"))
            .await
    }

    /// Returns the newest started change set that undoes this one.
    pub async fn change_set_undone_by(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
    ) -> Result<Option<ChangeSetId>, ReadError> {
        self.read_row(UNDONE_BY, bind_set(tenant, id), |row| Cells::new("change_sets", row).parsed("id")).await
    }
}

fn bind_set(tenant: &TenantId, id: ChangeSetId) -> Values {
    Values::of(tenant).text(id.to_string())
}

fn decode(row: &AnyRow) -> Result<ChangeSetRow, ReadError> {
    let cells = Cells::new("change_sets", row);
    let teams: BTreeSet<Option<TeamName>> = cells.json("teams")?;
    Ok(ChangeSetRow {
        tenant: TenantId::new(cells.text("tenant")?),
        id: cells.parsed("id")?,
        made_at: cells.instant("made_at")?,
        made_by: cells.text("made_by")?.into(),
        expires_at: cells.instant("expires_at")?,
        hash: cells.hash("hash")?,
        undoes: cells.parsed_or_null("undoes")?,
        teams,
        body: cells.text("body")?.to_owned(),
        started: pair(cells.instant_or_null("started_at")?, cells.text_or_null("started_by")?),
        cancelled: pair(cells.instant_or_null("cancelled_at")?, cells.text_or_null("cancelled_by")?),
    })
}

fn pair(at: Option<UtcMicros>, by: Option<&str>) -> Option<(UtcMicros, std::sync::Arc<str>)> {
    Some((at?, by.unwrap_or_default().into()))
}

fn read_agent(row: &AnyRow) -> Result<StoredChangeSetAgent, ReadError> {
    let cells = Cells::new("change_set_agents", row);
    let left_out = match cells.text_or_null("left_out")? {
        None => None,
        Some(_) => Some((
            cells.known_value("left_out", PreviewOutcome::from_name)?,
            cells.text_or_null("left_why")?.map(str::to_owned),
        )),
    };
    let against = match cells.text_or_null("planned")? {
        // A change set from before this column existed.
        None => None,
        Some(planned) => Some(PlanComparison {
            planned: planned.into(),
            until: cells.instant_or_null("planned_until")?,
            resulting_verdict: cells.known_value("would_be", Verdict::from_name)?,
        }),
    };
    Ok(StoredChangeSetAgent {
        previewed: PreviewedAgent {
            agent: AgentId::new(cells.text("agent")?),
            state: cells.text_or_null("state")?.map(AgentState::from_stored_name),
            state_reason: cells.text_or_null("state_reason")?.map(ReasonCode::new),
            target: AgentState::from_stored_name(cells.text("target")?),
            reason: cells.text_or_null("reason")?.map(ReasonCode::new),
            undoes_transition: cells.parsed_or_null("takes_back")?,
            outcome: cells.known_value("outcome", PreviewOutcome::from_name)?,
            detail: cells.text_or_null("why")?.map(str::to_owned),
            skills: cells.json("skills")?,
            plan_comparison: against,
        },
        excluded: left_out,
    })
}
