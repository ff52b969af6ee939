//! What adherence over time is computed from, agent by agent, and what was computed of it before.

use std::sync::Arc;

use jiff::civil::Date;
use sqlx::any::AnyRow;

use crate::domain::adherence::AdherenceSettings;
use crate::domain::adherence::course::{Course, Span, Stay};
use crate::domain::adherence::exception::{Exception, excused_spans};
use crate::domain::adherence::ledger::hull;
use crate::domain::adherence::sight;
use crate::domain::adherence::sums::Sums;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, TeamName, TenantId};
use crate::domain::schedules::schedule::{AgentPlan, LOOKS_BACK};
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::change::AdherenceDay;
use crate::store::error::ReadError;
use crate::store::reader::Reader;

/// Spans from the one that holds or precedes `$2` to the first one from `$3` on.
pub(in crate::store) const SIGHTS: &str = "SELECT tenant, starts_at, ends_at FROM sight_spans WHERE tenant = $1 \
     AND starts_at >= COALESCE((SELECT MAX(b.starts_at) FROM sight_spans b WHERE b.tenant = $1 AND b.starts_at <= $2), $2) \
     AND starts_at <= COALESCE((SELECT MIN(n.starts_at) FROM sight_spans n WHERE n.tenant = $1 AND n.starts_at >= $3), $3) \
     ORDER BY starts_at";
pub(in crate::store) const LAST_SIGHT: &str =
    "SELECT tenant, starts_at, ends_at FROM sight_spans WHERE tenant = $1 ORDER BY starts_at DESC LIMIT 1";
pub(in crate::store) const BASIS: &str = "SELECT tenant, settings FROM adherence_basis WHERE tenant = $1";
/// What an agent was in from `$3` to `$4`, and what was in force at `$3`, strung together: a row for each takes many times as long.
/// Of each `entered left bytes-of-state bytes-of-reason `, then the two texts, which may hold anything.
pub(in crate::store) const STAYS: &str = "SELECT CAST($1 AS TEXT) AS tenant, CAST($2 AS TEXT) AS agent, \
     string_agg(CAST(entered_at AS TEXT) || ' ' || COALESCE(CAST(left_at AS TEXT), '') || ' ' \
     || CAST(octet_length(state) AS TEXT) || ' ' || COALESCE(CAST(octet_length(reason) AS TEXT), '') || ' ' || state || COALESCE(reason, ''), '') \
     AS stays FROM state_history WHERE tenant = $1 \
     AND agent = $2 AND entered_at < $4 AND entered_at >= COALESCE((SELECT MAX(p.entered_at) FROM state_history p \
     WHERE p.tenant = $1 AND p.agent = $2 AND p.entered_at <= $3), $3)";
pub(in crate::store) const FIRST_ENTERED: &str =
    "SELECT MIN(entered_at) AS entered_at FROM state_history WHERE tenant = $1 AND agent = $2";
/// The days of an agent that are not stale, from `$3` to `$4`, strung together: a row for each day would cost many times that. `$2` the
/// agent before the first, `$5` how many agents.
pub(in crate::store) const PACKED_DAYS: &str = "WITH RECURSIVE a(agent, n) AS (\
     SELECT MIN(agent), CAST(1 AS BIGINT) FROM adherence_days WHERE tenant = $1 AND agent > $2 \
     UNION ALL SELECT (SELECT MIN(d.agent) FROM adherence_days d WHERE d.tenant = $1 AND d.agent > a.agent), a.n + 1 \
     FROM a WHERE a.agent IS NOT NULL AND a.n < $5) \
     SELECT a.agent AS agent, (SELECT string_agg(d.day || ' ' || d.basis || ' ' || d.sums, '\n') FROM adherence_days d \
     WHERE d.tenant = $1 AND d.agent = a.agent AND d.day >= $3 AND d.day <= $4 AND d.stale = 0) AS days \
     FROM a WHERE a.agent IS NOT NULL ORDER BY a.agent";
/// The days of one agent, stale or not.
pub(in crate::store) const DAYS_OF_AGENT: &str = "SELECT tenant, agent, day, starts_at, ends_at, settles_at, stale, basis, schedule_version, \
     history_id, computed_at, sums FROM adherence_days WHERE tenant = $1 AND agent = $2 AND day >= $3 AND day <= $4 ORDER BY day";
pub(in crate::store) const STALE_DAYS: &str = "SELECT tenant, agent, day FROM adherence_days WHERE tenant = $1 AND stale = 1 AND settles_at <= $2 ORDER BY settles_at, agent, day LIMIT $3";

/// What all agents of a tenant are judged by over a span. Read before anything else, so that what comes meanwhile shows.
#[derive(Clone, Debug)]
pub struct AdherenceGround {
    /// Whose.
    pub tenant: TenantId,
    /// What the activities allow.
    pub settings: AdherenceSettings,
    /// The last row of history.
    pub history_id: u64,
    /// The schedule in force; 0 where there is none.
    pub schedule_version: u64,
    /// When the roster was in sight, in the span and around it.
    pub sights: Vec<Span>,
    /// When it was seen last of all.
    pub last_sight: Option<UtcMicros>,
    /// Who is excused when.
    pub exceptions: Vec<Exception>,
}

/// What is known of one agent over a span and the shifts that reach into it.
#[derive(Clone, Debug)]
pub struct AgentFacts {
    /// What was planned.
    pub plan: AgentPlan,
    /// What was seen.
    pub stays: Vec<Stay>,
    /// Spans that somebody excused.
    pub excused: Vec<Span>,
}

impl AgentFacts {
    /// The facts as adherence takes them.
    pub fn course<'a>(&'a self, settings: &'a AdherenceSettings) -> Course<'a> {
        Course { settings, plan: &self.plan, stays: &self.stays, excused: &self.excused }
    }
}

/// What one day adds up to, and by what it was computed.
pub type PackedDay = (Date, Arc<str>, Sums);

impl Reader {
    /// What the daemon judges adherence by; the default where it has not said so yet.
    pub async fn adherence_settings(&self, tenant: &TenantId) -> Result<AdherenceSettings, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        let Some(row) = self.optional(BASIS, values).await? else { return Ok(AdherenceSettings::default()) };
        Cells::of("adherence_basis", &row).word("settings", AdherenceSettings::from_stored)
    }

    /// The ground for a span.
    pub async fn adherence_ground(&self, tenant: &TenantId, (from, to): Span) -> Result<AdherenceGround, ReadError> {
        // With the shifts that reach into it.
        let span = (from - LOOKS_BACK, to + LOOKS_BACK);
        // First what tells whether anything came in between.
        let history_id = self.last_history_id(tenant).await?;
        let schedule_version = self.schedule_version_at(tenant, UtcMicros::MAX).await?.unwrap_or(0);
        Ok(AdherenceGround {
            tenant: tenant.clone(),
            settings: self.adherence_settings(tenant).await?,
            history_id,
            schedule_version,
            sights: self.sights(tenant, span).await?,
            last_sight: self.last_sight(tenant).await?.map(|(_, until)| until),
            exceptions: self.exceptions_touching(tenant, span).await?,
        })
    }

    /// When the roster was in sight, from the last span before `from` to the first after `to`.
    pub async fn sights(&self, tenant: &TenantId, (from, to): Span) -> Result<Vec<Span>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(from.as_micros()).int(to.as_micros());
        self.all(SIGHTS, values).await?.iter().map(sight_span).collect()
    }

    /// The last span in which the roster was in sight.
    pub async fn last_sight(&self, tenant: &TenantId) -> Result<Option<Span>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        self.optional(LAST_SIGHT, values).await?.as_ref().map(sight_span).transpose()
    }

    /// What is known of an agent over a span that the ground was read for. Whoever asks keeps the span short: a month of one agent is
    /// some thousands of rows.
    pub async fn agent_facts(
        &self,
        ground: &AdherenceGround,
        agent: &AgentId,
        team: Option<&TeamName>,
        span: Span,
    ) -> Result<AgentFacts, ReadError> {
        let plan = self.plan_of_agent_as_of(&ground.tenant, agent, span, ground.schedule_version).await?;
        let plan = plan.map_or_else(AgentPlan::default, |plan| AgentPlan::new(plan.shifts, plan.coverage));
        let excused = excused_spans(&ground.exceptions, agent, team);
        let excused = excused.into_iter().map(|span| (span.start, span.end)).collect();
        let mut facts = AgentFacts { plan, stays: Vec::new(), excused };
        let (from, to) = hull(&facts.course(&ground.settings), span);
        let mut values = Values::default();
        values.text(ground.tenant.as_str()).text(agent.as_str()).int(from.as_micros()).int(to.as_micros());
        if let Some(row) = self.optional(STAYS, values).await? {
            let cells = Cells::of("state_history", &row);
            let stays = stays(cells.text_or_null("stays")?.unwrap_or_default());
            facts.stays =
                stays.ok_or_else(|| cells.bad("stays", Arc::from(Box::from("not stays with their lengths"))))?;
        }
        sight::cut(&mut facts.stays, &ground.sights, ground.last_sight);
        Ok(facts)
    }

    /// When the first row of an agent's history begins.
    pub async fn first_entered(&self, tenant: &TenantId, agent: &AgentId) -> Result<Option<UtcMicros>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(agent.as_str());
        let row = self.optional(FIRST_ENTERED, values).await?;
        row.map_or(Ok(None), |row| Cells::of("state_history", &row).instant_or_null("entered_at"))
    }

    /// What the days of agents add up to, by agent, from the agent after `after` on, at most `limit` agents; without those that are stale.
    pub async fn packed_days(
        &self,
        tenant: &TenantId,
        after: &str,
        (first, last): (Date, Date),
        limit: u32,
    ) -> Result<Vec<(AgentId, Vec<PackedDay>)>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(after).text(first.to_string()).text(last.to_string()).int(i64::from(limit));
        let rows = self.all(PACKED_DAYS, values).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("adherence_days", row);
                let days =
                    cells.text_or_null("days")?.unwrap_or_default().lines().map(packed_day).collect::<Option<_>>();
                let days = days.ok_or_else(|| cells.bad("sums", Arc::from(Box::from("not the sums of a day"))))?;
                Ok((AgentId::new(cells.text("agent")?), days))
            })
            .collect()
    }

    /// The days of an agent as they were computed, stale or not.
    pub async fn days_of_agent(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        (first, last): (Date, Date),
    ) -> Result<Vec<AdherenceDay>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(agent.as_str()).text(first.to_string()).text(last.to_string());
        self.all(DAYS_OF_AGENT, values).await?.iter().map(adherence_day).collect()
    }

    /// Days that are stale and settled by `until`, those first that settled first, at most `limit`; by agent.
    pub async fn stale_days(
        &self,
        tenant: &TenantId,
        until: UtcMicros,
        limit: u32,
    ) -> Result<Vec<(AgentId, Date)>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(until.as_micros()).int(i64::from(limit));
        let rows = self.all(STALE_DAYS, values).await?;
        let day = |row| {
            let cells = Cells::of("adherence_days", row);
            Ok((AgentId::new(cells.text("agent")?), cells.parsed("day")?))
        };
        let mut days: Vec<(AgentId, Date)> = rows.iter().map(day).collect::<Result<_, ReadError>>()?;
        days.sort_unstable();
        Ok(days)
    }
}

fn sight_span(row: &AnyRow) -> Result<Span, ReadError> {
    let cells = Cells::of("sight_spans", row);
    Ok((cells.instant("starts_at")?, cells.instant("ends_at")?))
}

/// By the instant they began.
fn stays(mut text: &str) -> Option<Vec<Stay>> {
    let mut stays = Vec::new();
    while !text.is_empty() {
        let (stay, rest) = stay(text)?;
        stays.push(stay);
        text = rest;
    }
    stays.sort_by_key(|stay| stay.start);
    Some(stays)
}

/// The first of some, and the others. The one that goes on ends with the last sight, which [`sight::cut`] knows.
fn stay(text: &str) -> Option<(Stay, &str)> {
    let (start, rest) = text.split_once(' ')?;
    let (end, rest) = rest.split_once(' ')?;
    let (state, rest) = rest.split_once(' ')?;
    let (reason, rest) = rest.split_once(' ')?;
    let (state, rest) = rest.split_at_checked(state.parse().ok()?)?;
    let (reason, rest) = match reason {
        "" => (None, rest),
        bytes => {
            let (reason, rest) = rest.split_at_checked(bytes.parse().ok()?)?;
            (Some(ReasonCode::new(reason)), rest)
        }
    };
    let end = if end.is_empty() { UtcMicros::MAX } else { micros(end)? };
    Some((Stay { state: AgentState::stored(state), reason, start: micros(start)?, end }, rest))
}

fn micros(text: &str) -> Option<UtcMicros> {
    text.parse().ok().map(UtcMicros::from_micros)
}

fn packed_day(line: &str) -> Option<PackedDay> {
    let (day, rest) = line.split_once(' ')?;
    let (basis, sums) = rest.split_once(' ')?;
    Some((day.parse().ok()?, Arc::from(basis), Sums::from_stored(sums)?))
}

fn adherence_day(row: &AnyRow) -> Result<AdherenceDay, ReadError> {
    let cells = Cells::of("adherence_days", row);
    Ok(AdherenceDay {
        tenant: TenantId::new(cells.text("tenant")?),
        agent: AgentId::new(cells.text("agent")?),
        day: cells.parsed("day")?,
        starts_at: cells.instant("starts_at")?,
        ends_at: cells.instant("ends_at")?,
        settles_at: cells.instant("settles_at")?,
        stale: cells.int("stale")? != 0,
        basis: Arc::from(cells.text("basis")?),
        schedule_version: cells.number("schedule_version")?,
        history_id: cells.number("history_id")?,
        computed_at: cells.instant("computed_at")?,
        sums: cells.word("sums", Sums::from_stored)?,
    })
}
