//! Reads the inputs of adherence, agent by agent, and the stored results.

use std::sync::Arc;

use jiff::civil::Date;
use sqlx::any::AnyRow;

use crate::domain::adherence::AdherenceSettings;
use crate::domain::adherence::coverage;
use crate::domain::adherence::exception::{Exception, exception_spans};
use crate::domain::adherence::ledger::extend_to_shifts;
use crate::domain::adherence::sums::Sums;
use crate::domain::adherence::timeline::{AdherenceTimeline, Span, StateInterval};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, TeamName, TenantId};
use crate::domain::schedules::schedule::{AgentPlan, PLAN_LOOKBACK};
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::change::AdherenceDay;
use crate::store::error::ReadError;
use crate::store::reader::Reader;

/// The periods from the one at or before `$2` to the first one from `$3` on.
pub(in crate::store) const OBSERVED_SPANS: &str = "SELECT tenant, starts_at, ends_at FROM sight_spans WHERE tenant = $1 \
     AND starts_at >= COALESCE((SELECT MAX(b.starts_at) FROM sight_spans b WHERE b.tenant = $1 AND b.starts_at <= $2), $2) \
     AND starts_at <= COALESCE((SELECT MIN(n.starts_at) FROM sight_spans n WHERE n.tenant = $1 AND n.starts_at >= $3), $3) \
     ORDER BY starts_at";
pub(in crate::store) const LAST_OBSERVED_SPAN: &str =
    "SELECT tenant, starts_at, ends_at FROM sight_spans WHERE tenant = $1 ORDER BY starts_at DESC LIMIT 1";
pub(in crate::store) const BASIS: &str = "SELECT tenant, settings FROM adherence_basis WHERE tenant = $1";
/// An agent's states from `$3` to `$4`, and the one in effect at `$3`, packed into one text, because a row for each
/// would take many times as long. Each is `entered left bytes-new-state bytes-new-reason `, followed by the two texts,
/// which may contain anything.
pub(in crate::store) const STATE_INTERVALS: &str = "SELECT CAST($1 AS TEXT) AS tenant, CAST($2 AS TEXT) AS agent, \
     string_agg(CAST(entered_at AS TEXT) || ' ' || COALESCE(CAST(left_at AS TEXT), '') || ' ' \
     || CAST(octet_length(state) AS TEXT) || ' ' || COALESCE(CAST(octet_length(reason) AS TEXT), '') || ' ' || state || COALESCE(reason, ''), '') \
     AS stays FROM state_history WHERE tenant = $1 \
     AND agent = $2 AND entered_at < $4 AND entered_at >= COALESCE((SELECT MAX(p.entered_at) FROM state_history p \
     WHERE p.tenant = $1 AND p.agent = $2 AND p.entered_at <= $3), $3)";
pub(in crate::store) const FIRST_ENTERED: &str =
    "SELECT MIN(entered_at) AS entered_at FROM state_history WHERE tenant = $1 AND agent = $2";
/// The days of agents that are not stale, from `$3` to `$4`, packed into one text, because a row for each would cost
/// many times as much. `$2` is the agent before the first one, `$5` the number of agents.
pub(in crate::store) const PACKED_DAYS: &str = "WITH RECURSIVE a(agent, n) AS (\
     SELECT MIN(agent), CAST(1 AS BIGINT) FROM adherence_days WHERE tenant = $1 AND agent > $2 \
     UNION ALL SELECT (SELECT MIN(d.agent) FROM adherence_days d WHERE d.tenant = $1 AND d.agent > a.agent), a.n + 1 \
     FROM a WHERE a.agent IS NOT NULL AND a.n < $5) \
     SELECT a.agent AS agent, (SELECT string_agg(d.day || ' ' || d.basis || ' ' || d.sums, '\n') FROM adherence_days d \
     WHERE d.tenant = $1 AND d.agent = a.agent AND d.day >= $3 AND d.day <= $4 AND d.stale = 0) AS days \
     FROM a WHERE a.agent IS NOT NULL ORDER BY a.agent";
/// The days of one agent, stale ones included.
pub(in crate::store) const DAYS_OF_AGENT: &str = "SELECT tenant, agent, day, starts_at, ends_at, settles_at, stale, basis, schedule_version, \
     history_id, computed_at, sums FROM adherence_days WHERE tenant = $1 AND agent = $2 AND day >= $3 AND day <= $4 ORDER BY day";
pub(in crate::store) const STALE_DAYS: &str = "SELECT tenant, agent, day FROM adherence_days WHERE tenant = $1 AND stale = 1 AND settles_at <= $2 ORDER BY settles_at, agent, day LIMIT $3";

/// The inputs that all agents of a tenant share over a period. Read them first, so that later changes are detected.
#[derive(Clone, Debug)]
pub struct AdherenceInputs {
    /// The tenant.
    pub tenant: TenantId,
    /// The adherence settings.
    pub settings: AdherenceSettings,
    /// The id of the last history row.
    pub history_id: u64,
    /// The active schedule version; 0 if there is none.
    pub schedule_version: u64,
    /// The periods in which the roster was observed, in the period and around it.
    pub observed_spans: Vec<Span>,
    /// The time of the tenant's last observation.
    pub last_observed: Option<UtcMicros>,
    /// The exceptions.
    pub exceptions: Vec<Exception>,
}

/// The facts about one agent over a period and the shifts that reach into it.
#[derive(Clone, Debug)]
pub struct AgentFacts {
    /// The plan.
    pub plan: AgentPlan,
    /// The observed state intervals.
    pub intervals: Vec<StateInterval>,
    /// The periods of the agent's exceptions.
    pub exceptions: Vec<Span>,
}

impl AgentFacts {
    /// Returns the facts as input for adherence.
    pub fn course<'a>(&'a self, settings: &'a AdherenceSettings) -> AdherenceTimeline<'a> {
        AdherenceTimeline { settings, plan: &self.plan, intervals: &self.intervals, exceptions: &self.exceptions }
    }
}

/// The sums of one day and the basis they were computed by.
pub type PackedDay = (Date, Arc<str>, Sums);

impl Reader {
    /// Returns the tenant's adherence settings; the default if none are stored.
    pub async fn adherence_settings(&self, tenant: &TenantId) -> Result<AdherenceSettings, ReadError> {
        let read =
            |row: &AnyRow| Cells::new("adherence_basis", row).known_value("settings", AdherenceSettings::from_stored);
        Ok(self.read_row(BASIS, Values::of(tenant), read).await?.unwrap_or_default())
    }

    /// Returns the shared inputs for a period.
    pub async fn adherence_inputs(&self, tenant: &TenantId, (from, to): Span) -> Result<AdherenceInputs, ReadError> {
        // Includes the shifts that reach into the period.
        let span = (from - PLAN_LOOKBACK, to + PLAN_LOOKBACK);
        // Read first, to detect changes in between.
        let history_id = self.last_history_id(tenant).await?;
        let schedule_version = self.schedule_version_at(tenant, UtcMicros::MAX).await?.unwrap_or(0);
        Ok(AdherenceInputs {
            tenant: tenant.clone(),
            settings: self.adherence_settings(tenant).await?,
            history_id,
            schedule_version,
            observed_spans: self.observed_spans(tenant, span).await?,
            last_observed: self.last_observed_span(tenant).await?.map(|(_, until)| until),
            exceptions: self.exceptions_touching(tenant, span).await?,
        })
    }

    /// Returns the observed periods, from the last one before `from` to the first one after `to`.
    pub async fn observed_spans(&self, tenant: &TenantId, (from, to): Span) -> Result<Vec<Span>, ReadError> {
        self.read_rows(OBSERVED_SPANS, Values::of(tenant).instant(from).instant(to), observed_span).await
    }

    /// Returns the last period in which the roster was observed.
    pub async fn last_observed_span(&self, tenant: &TenantId) -> Result<Option<Span>, ReadError> {
        self.read_row(LAST_OBSERVED_SPAN, Values::of(tenant), observed_span).await
    }

    /// Returns the facts about an agent over the period of the shared inputs. Keep the period short: one agent has some
    /// thousands of rows in a month.
    pub async fn agent_facts(
        &self,
        inputs: &AdherenceInputs,
        agent: &AgentId,
        team: Option<&TeamName>,
        span: Span,
    ) -> Result<AgentFacts, ReadError> {
        let plan = self.plan_of_agent_as_of(&inputs.tenant, agent, span, inputs.schedule_version).await?;
        let plan = plan.map_or_else(AgentPlan::default, |plan| AgentPlan::new(plan.shifts, plan.coverage));
        let excused = exception_spans(&inputs.exceptions, agent, team);
        let excused = excused.into_iter().map(|span| (span.start, span.end)).collect();
        let mut facts = AgentFacts { plan, intervals: Vec::new(), exceptions: excused };
        let (from, to) = extend_to_shifts(&facts.course(&inputs.settings), span);
        let values = Values::of(&inputs.tenant).text(agent.as_str()).instant(from).instant(to);
        if let Some(row) = self.fetch_optional(STATE_INTERVALS, values).await? {
            let cells = Cells::new("state_history", &row);
            let intervals = parse_intervals(cells.text_or_null("stays")?.unwrap_or_default());
            facts.intervals = intervals
                .ok_or_else(|| cells.decode_error("stays", Arc::from(Box::from("not stays with their lengths"))))?;
        }
        coverage::trim_unobserved(&mut facts.intervals, &inputs.observed_spans, inputs.last_observed);
        Ok(facts)
    }

    /// Returns the time of the first row of an agent's history.
    pub async fn first_entered(&self, tenant: &TenantId, agent: &AgentId) -> Result<Option<UtcMicros>, ReadError> {
        let values = Values::of(tenant).text(agent.as_str());
        let read = |row: &AnyRow| Cells::new("state_history", row).instant_or_null("entered_at");
        Ok(self.read_row(FIRST_ENTERED, values, read).await?.flatten())
    }

    /// Returns the sums of days by agent, for at most `limit` agents after `after`, without stale days.
    pub async fn packed_days(
        &self,
        tenant: &TenantId,
        after: &str,
        (first, last): (Date, Date),
        limit: u32,
    ) -> Result<Vec<(AgentId, Vec<PackedDay>)>, ReadError> {
        self.read_rows(
            PACKED_DAYS,
            Values::of(tenant).text(after).text(first.to_string()).text(last.to_string()).int(i64::from(limit)),
            |row| {
                let cells = Cells::new("adherence_days", row);
                let days = cells
                    .text_or_null("days")?
                    .unwrap_or_default()
                    .lines()
                    .map(parse_packed_day)
                    .collect::<Option<_>>();
                let days =
                    days.ok_or_else(|| cells.decode_error("sums", Arc::from(Box::from("not the sums of a day"))))?;
                Ok((AgentId::new(cells.text("agent")?), days))
            },
        )
        .await
    }

    /// Returns the stored days of an agent, stale ones included.
    pub async fn days_of_agent(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        (first, last): (Date, Date),
    ) -> Result<Vec<AdherenceDay>, ReadError> {
        self.read_rows(
            DAYS_OF_AGENT,
            Values::of(tenant).text(agent.as_str()).text(first.to_string()).text(last.to_string()),
            adherence_day,
        )
        .await
    }

    /// Returns at most `limit` stale days that are settled by `until`, the earliest settled first, by agent.
    pub async fn stale_days(
        &self,
        tenant: &TenantId,
        until: UtcMicros,
        limit: u32,
    ) -> Result<Vec<(AgentId, Date)>, ReadError> {
        let values = Values::of(tenant).instant(until).int(i64::from(limit));
        let day = |row: &AnyRow| {
            let cells = Cells::new("adherence_days", row);
            Ok((AgentId::new(cells.text("agent")?), cells.parsed("day")?))
        };
        let mut days: Vec<(AgentId, Date)> = self.read_rows(STALE_DAYS, values, day).await?;
        days.sort_unstable();
        Ok(days)
    }
}

fn observed_span(row: &AnyRow) -> Result<Span, ReadError> {
    let cells = Cells::new("sight_spans", row);
    Ok((cells.instant("starts_at")?, cells.instant("ends_at")?))
}

/// Parses state intervals, ordered by their start.
fn parse_intervals(mut text: &str) -> Option<Vec<StateInterval>> {
    let mut intervals = Vec::new();
    while !text.is_empty() {
        let (stay, rest) = parse_interval(text)?;
        intervals.push(stay);
        text = rest;
    }
    intervals.sort_by_key(|stay| stay.start);
    Some(intervals)
}

/// Parses the first interval and returns the remaining text. An open interval ends with the last observation, which
/// [`coverage::trim_unobserved`] applies.
fn parse_interval(text: &str) -> Option<(StateInterval, &str)> {
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
    let end = if end.is_empty() { UtcMicros::MAX } else { parse_micros(end)? };
    Some((StateInterval { state: AgentState::from_stored_name(state), reason, start: parse_micros(start)?, end }, rest))
}

fn parse_micros(text: &str) -> Option<UtcMicros> {
    text.parse().ok().map(UtcMicros::from_micros)
}

fn parse_packed_day(line: &str) -> Option<PackedDay> {
    let (day, rest) = line.split_once(' ')?;
    let (basis, sums) = rest.split_once(' ')?;
    Some((day.parse().ok()?, Arc::from(basis), Sums::from_stored(sums)?))
}

fn adherence_day(row: &AnyRow) -> Result<AdherenceDay, ReadError> {
    let cells = Cells::new("adherence_days", row);
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
        sums: cells.known_value("sums", Sums::from_stored)?,
    })
}
