//! Bulk changes as they were shown and started. How they go is read from their transitions.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::transitions::{StoredTransition, decode as transition};
use crate::domain::adherence::Verdict;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::{AgainstPlan, Outcome, Previewed};
use crate::domain::changes::transition::STATUS_NAMES;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Script, Values};
use crate::store::cells::Cells;
use crate::store::change::{ChangeSetRow, ChangeSetWrite, Commit};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;
use crate::store::tables::last_of_each;

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
/// Rows: tenant, set, instant, by whom.
pub(in crate::store) const START: ManyRows = ManyRows {
    head: "UPDATE change_sets SET started_at = v.column3, started_by = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE change_sets.tenant = v.column1 AND change_sets.id = v.column2",
};
/// Rows: tenant, set, instant, by whom.
pub(in crate::store) const CANCEL: ManyRows = ManyRows {
    head: "UPDATE change_sets SET cancelled_at = v.column3, cancelled_by = v.column4 FROM (VALUES",
    width: 4,
    tail: ") AS v WHERE change_sets.tenant = v.column1 AND change_sets.id = v.column2",
};
/// Rows: tenant, set, place, outcome, why.
pub(in crate::store) const LEAVE_OUT: ManyRows = ManyRows {
    head: "UPDATE change_set_agents SET left_out = v.column4, left_why = v.column5 FROM (VALUES",
    width: 5,
    tail: ") AS v WHERE change_set_agents.tenant = v.column1 AND change_set_agents.change_set = v.column2 \
           AND change_set_agents.place = v.column3",
};
pub(in crate::store) const FORGET_AGENTS: ManyRows =
    ManyRows { head: "DELETE FROM change_set_agents WHERE (tenant, change_set) IN (VALUES", width: 2, tail: ")" };
pub(in crate::store) const FORGET_SETS: ManyRows =
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
/// Older than `$2`, and those that were never started only where `$3` made them and `$4` is not past their end.
pub(in crate::store) const LIST: &str = selecting!(
    "WHERE tenant = $1 AND (CAST($2 AS TEXT) IS NULL OR id < $2) AND (started_at IS NOT NULL OR (made_by = $3 AND expires_at > $4 \
     AND cancelled_at IS NULL)) ORDER BY id DESC LIMIT $5"
);
pub(in crate::store) const AGENTS: &str = "SELECT tenant, change_set, place, agent, state, state_reason, target, reason, takes_back, \
     outcome, why, skills, planned, planned_until, would_be, left_out, left_why FROM change_set_agents WHERE tenant = $1 AND change_set = $2 ORDER BY place";
pub(in crate::store) const COUNTS: &str = "SELECT outcome, left_out, COUNT(*) AS total FROM change_set_agents \
     WHERE tenant = $1 AND change_set = $2 GROUP BY outcome, left_out ORDER BY outcome, left_out";
/// By way of the ids, which SQLite reads from the index; asked for the rows it walks all of the tenant's.
pub(in crate::store) const STATUSES: &str = "SELECT status, COUNT(*) AS total, COUNT(finished_at) AS finished, \
     MAX(finished_at) AS last_finished FROM transitions WHERE tenant = $1 AND id IN (SELECT id FROM transitions \
     WHERE tenant = $1 AND change_set = $2) GROUP BY status ORDER BY status";
/// Those that can still be started, at `$2`.
pub(in crate::store) const WAITING: &str = "SELECT COUNT(*) AS total FROM change_sets \
     WHERE tenant = $1 AND expires_at > $2 AND started_at IS NULL AND cancelled_at IS NULL";
/// Those that ended unstarted before `$2`, the oldest few.
pub(in crate::store) const EXPIRED: &str = "SELECT tenant, id FROM change_sets WHERE tenant = $1 AND expires_at < $2 AND started_at IS NULL \
     ORDER BY expires_at LIMIT 3";
pub(in crate::store) const UNDOING: &str = "SELECT tenant, id FROM change_sets WHERE tenant = $1 AND id IN (SELECT id FROM change_sets \
     WHERE tenant = $1 AND undoes = $2) AND started_at IS NOT NULL ORDER BY id DESC LIMIT 1";

/// An agent of a set, as shown, and as left out at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSetAgent {
    /// As shown.
    pub shown: Previewed,
    /// Left out at the start, and why.
    pub left_out: Option<(Outcome, Option<String>)>,
}

/// How a set stands, in counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetCounts {
    /// Agents by what was shown of them.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Agents who were left out at the start.
    pub left_out: u64,
    /// Transitions by status.
    pub statuses: BTreeMap<&'static str, u64>,
    /// Transitions that have not ended.
    pub open: u64,
    /// When the last of them ended.
    pub last_finished: Option<UtcMicros>,
}

pub(in crate::store) async fn write(
    connection: &mut AnyConnection,
    script: &mut Script,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let writes = || commits.iter().flat_map(|commit| &commit.change_sets);
    let (mut forgotten, mut started, mut cancelled, mut left_out) = (vec![], vec![], vec![], vec![]);
    for write in writes() {
        match write {
            ChangeSetWrite::Add { .. } => {}
            ChangeSetWrite::Start { tenant, id, at, by, left_out: left } => {
                started.push((tenant, *id, *at, by));
                left_out.extend(left.iter().map(|left| (tenant, *id, left)));
            }
            ChangeSetWrite::Cancel { tenant, id, at, by } => cancelled.push((tenant, *id, *at, by)),
            ChangeSetWrite::Forget { tenant, id } => forgotten.push((tenant, *id)),
        }
    }
    for statement in [&FORGET_AGENTS, &FORGET_SETS] {
        batch::run(connection, script, statement, &forgotten, |(tenant, id), values| {
            values.text(tenant.as_str()).text(id.to_string());
        })
        .await?;
    }
    add(connection, script, writes()).await?;
    for (statement, rows) in [(&START, &started), (&CANCEL, &cancelled)] {
        let rows = last_of_each(rows.iter(), |(tenant, id, ..)| (*tenant, *id));
        batch::run(connection, script, statement, &rows, |(tenant, id, at, by), values| {
            values.text(tenant.as_str()).text(id.to_string()).int(at.as_micros()).text(&***by);
        })
        .await?;
    }
    batch::run(connection, script, &LEAVE_OUT, &left_out, |(tenant, id, left), values| {
        values
            .text(tenant.as_str())
            .text(id.to_string())
            .count(left.place as u64)
            .text(left.outcome.name())
            .text_or_null(left.why.as_deref());
    })
    .await
}

async fn add<'a>(
    connection: &mut AnyConnection,
    script: &mut Script,
    writes: impl Iterator<Item = &'a ChangeSetWrite> + Send,
) -> Result<(), CommitError> {
    let added: Vec<(&ChangeSetRow, &Vec<Previewed>, String)> = writes
        .filter_map(|write| match write {
            ChangeSetWrite::Add { set, agents } => Some((set, agents)),
            _ => None,
        })
        .map(|(set, agents)| Ok((set, agents, serde_json::to_string(&set.teams)?)))
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|error| CommitError::Refused(std::sync::Arc::new(error)))?;
    batch::run(connection, script, &ADD_SETS, &added, |(set, _, teams), values| {
        values
            .text(set.tenant.as_str())
            .text(set.id.to_string())
            .int(set.made_at.as_micros())
            .text(&*set.made_by)
            .int(set.expires_at.as_micros())
            .bytes(&set.hash.0)
            .text_or_null(set.undoes.map(|id| id.to_string()))
            .text(&**teams)
            .text(&*set.body);
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
    batch::run(connection, script, &ADD_AGENTS, &rows, |(set, place, agent, skills), values| {
        values
            .text(set.tenant.as_str())
            .text(set.id.to_string())
            .count(*place as u64)
            .text(agent.agent.as_str())
            .text_or_null(agent.state.as_ref().map(AgentState::name))
            .text_or_null(agent.state_reason.as_ref().map(ReasonCode::as_str))
            .text(agent.to.name())
            .text_or_null(agent.reason.as_ref().map(ReasonCode::as_str))
            .text_or_null(agent.takes_back.map(|id| id.to_string()))
            .text(agent.outcome.name())
            .text_or_null(agent.why.as_deref())
            .text(&**skills)
            .text_or_null(agent.against.as_ref().map(|against| &*against.planned))
            .int_or_null(agent.against.as_ref().and_then(|against| against.until).map(UtcMicros::as_micros))
            .text_or_null(agent.against.as_ref().map(|against| against.would_be.name()));
    })
    .await
}

impl Reader {
    /// One set, without its agents.
    pub async fn change_set(&self, tenant: &TenantId, id: ChangeSetId) -> Result<Option<ChangeSetRow>, ReadError> {
        self.optional(ONE, of(tenant, id)).await?.as_ref().map(|row| decode(tenant, row)).transpose()
    }

    /// A page of sets, newest first: those that were started, and of the others those that `mine` made and that can be started at
    /// `now`. At most `limit` (held to [`crate::store::PAGE_LIMIT`]).
    pub async fn change_sets(
        &self,
        tenant: &TenantId,
        mine: &str,
        now: UtcMicros,
        before: Option<ChangeSetId>,
        limit: u32,
    ) -> Result<Vec<ChangeSetRow>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text_or_null(before.map(|id| id.to_string())).text(mine).int(now.as_micros());
        values.int(crate::store::page(limit));
        self.all(LIST, values).await?.iter().map(|row| decode(tenant, row)).collect()
    }

    /// The agents of a set, in order. A set has ten thousand at most.
    pub async fn change_set_agents(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
    ) -> Result<Vec<StoredSetAgent>, ReadError> {
        let mut agents = Vec::new();
        self.each(AGENTS, of(tenant, id), |row| {
            agents.push(agent(row)?);
            Ok(())
        })
        .await?;
        Ok(agents)
    }

    /// The transitions of a set, one of each agent who was changed.
    pub async fn change_set_transitions(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
    ) -> Result<Vec<StoredTransition>, ReadError> {
        let mut transitions = Vec::new();
        self.each(super::transition_reading::OF_CHANGE_SET, of(tenant, id), |row| {
            transitions.push(transition(row)?);
            Ok(())
        })
        .await?;
        Ok(transitions)
    }

    /// How a set stands.
    pub async fn change_set_counts(&self, tenant: &TenantId, id: ChangeSetId) -> Result<SetCounts, ReadError> {
        let mut counts = SetCounts::default();
        for row in &self.all(COUNTS, of(tenant, id)).await? {
            let cells = Cells::of("change_set_agents", row);
            let total: u64 = cells.number("total")?;
            *counts.outcomes.entry(cells.word("outcome", Outcome::from_name)?).or_default() += total;
            if cells.text_or_null("left_out")?.is_some() {
                counts.left_out += total;
            }
        }
        for row in &self.all(STATUSES, of(tenant, id)).await? {
            let cells = Cells::of("transitions", row);
            let status = cells.word("status", |name| STATUS_NAMES.into_iter().find(|known| *known == name))?;
            let (total, finished): (u64, u64) = (cells.number("total")?, cells.number("finished")?);
            counts.statuses.insert(status, total);
            counts.open += total.saturating_sub(finished);
            counts.last_finished = counts.last_finished.max(cells.instant_or_null("last_finished")?);
        }
        Ok(counts)
    }

    /// How many sets of a tenant wait for their start.
    pub async fn change_sets_waiting(&self, tenant: &TenantId, now: UtcMicros) -> Result<u64, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(now.as_micros());
        match self.optional(WAITING, values).await? {
            Some(row) => Cells::of("change_sets", &row).number("total"),
            None => Ok(0),
        }
    }

    /// A few sets that were never started and could not be any more before an instant.
    pub async fn change_sets_expired(
        &self,
        tenant: &TenantId,
        before: UtcMicros,
    ) -> Result<Vec<ChangeSetId>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(before.as_micros());
        let rows = self.all(EXPIRED, values).await?;
        rows.iter().map(|row| Cells::of("change_sets", row).parsed("id")).collect()
    }

    /// The newest set that was started to take this one back.
    pub async fn change_set_undone_by(
        &self,
        tenant: &TenantId,
        id: ChangeSetId,
    ) -> Result<Option<ChangeSetId>, ReadError> {
        let row = self.optional(UNDOING, of(tenant, id)).await?;
        row.as_ref().map(|row| Cells::of("change_sets", row).parsed("id")).transpose()
    }
}

fn of(tenant: &TenantId, id: ChangeSetId) -> Values {
    let mut values = Values::default();
    values.text(tenant.as_str()).text(id.to_string());
    values
}

fn decode(tenant: &TenantId, row: &AnyRow) -> Result<ChangeSetRow, ReadError> {
    let cells = Cells::of("change_sets", row);
    let teams: BTreeSet<Option<TeamName>> = cells.json("teams")?;
    Ok(ChangeSetRow {
        tenant: tenant.clone(),
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

fn agent(row: &AnyRow) -> Result<StoredSetAgent, ReadError> {
    let cells = Cells::of("change_set_agents", row);
    let left_out = match cells.text_or_null("left_out")? {
        None => None,
        Some(_) => {
            Some((cells.word("left_out", Outcome::from_name)?, cells.text_or_null("left_why")?.map(str::to_owned)))
        }
    };
    let against = match cells.text_or_null("planned")? {
        // A set from before this was kept.
        None => None,
        Some(planned) => Some(AgainstPlan {
            planned: planned.into(),
            until: cells.instant_or_null("planned_until")?,
            would_be: cells.word("would_be", Verdict::from_name)?,
        }),
    };
    Ok(StoredSetAgent {
        shown: Previewed {
            agent: AgentId::new(cells.text("agent")?),
            state: cells.text_or_null("state")?.map(AgentState::stored),
            state_reason: cells.text_or_null("state_reason")?.map(ReasonCode::new),
            to: AgentState::stored(cells.text("target")?),
            reason: cells.text_or_null("reason")?.map(ReasonCode::new),
            takes_back: cells.parsed_or_null("takes_back")?,
            outcome: cells.word("outcome", Outcome::from_name)?,
            why: cells.text_or_null("why")?.map(str::to_owned),
            skills: cells.json("skills")?,
            against,
        },
        left_out,
    })
}
