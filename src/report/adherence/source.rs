//! The data of adherence reports, agent by agent: the selected agents, their days, and the facts behind them.

use std::collections::BTreeMap;
use std::pin::pin;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::adherence::coverage;
use crate::domain::adherence::days::days_overlapping;
use crate::domain::adherence::figures::computation_basis;
use crate::domain::adherence::ledger::Ledger;
use crate::domain::adherence::sums::Sums;
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::report::agent_filter::AgentFilter;
use crate::report::document::ReportError;
use crate::report::request::Request;
use crate::store::{AdherenceInputs, AgentFacts, PackedDay, Reader};

/// The longest span of a report, in days.
const MAX_DAYS: i64 = 400;

/// The number of an agent's days whose facts are read at once.
const DAYS_PER_READ: usize = 31;

/// The number of stretches read ahead. Each takes a reader, and others need readers too.
const READ_AHEAD: usize = 2;

/// The number of agents whose stored days are read at once.
const AGENTS_PER_PAGE: u32 = 64;

/// The most gaps that a report lists one by one.
const MAX_GAPS: usize = 20;

const DAY_US: i64 = 86_400_000_000;

/// The data source of one report.
pub(super) struct AdherenceSource<'a> {
    request: &'a Request,
    reader: &'a Reader,
    /// The report's span.
    pub(super) span: Span,
    /// The selected agents, by id.
    pub(super) agents: Vec<Agent>,
    inputs: AdherenceInputs,
}

/// The part of an agent's local day that lies in the span.
#[derive(Clone, Copy)]
struct DayPart {
    day: Date,
    span: Span,
    /// Whether all of the day lies in the span.
    is_whole_day: bool,
}

impl<'a> AdherenceSource<'a> {
    pub(super) async fn read(request: &'a Request, reader: &'a Reader) -> Result<Self, ReportError> {
        let agent_filter = AgentFilter::read(request, reader).await?;
        let agents = reader.agents(&request.tenant).await?.into_iter().map(|stored| stored.agent);
        let agents: Vec<Agent> = agents.filter(|agent| agent_filter.matches(&agent.id)).collect();
        let from = match request.from {
            Some(from) => from,
            None => first_entered(request, reader, &agents).await?.unwrap_or(request.to),
        };
        if from.offset(MAX_DAYS * DAY_US) < request.to {
            return Err(ReportError::Refused(format!(
                "the span is longer than {MAX_DAYS} days: ask for parts of it with a later from or an earlier to"
            )));
        }
        let span = (from, request.to);
        let inputs = reader.adherence_inputs(&request.tenant, span).await?;
        Ok(Self { request, reader, span, agents, inputs })
    }

    /// Returns the zone of an agent's days: the agent's own, or else the report's.
    fn zone_name<'z>(&'z self, agent: &'z Agent) -> &'z str {
        agent.zone.as_deref().unwrap_or(&self.request.zone)
    }

    fn parts(&self, agent: &Agent) -> Vec<DayPart> {
        let zone = TimeZone::get(self.zone_name(agent)).unwrap_or(TimeZone::UTC);
        let (from, to) = self.span;
        let part = |(day, whole): (Date, Span)| {
            let span = (whole.0.max(from), whole.1.min(to));
            DayPart { day, span, is_whole_day: span == whole }
        };
        days_overlapping(self.span, &zone).into_iter().map(part).collect()
    }

    /// Splits every agent's span at local days into stretches of some weeks, and passes each as a ledger, by agent
    /// and instant. The next two are read meanwhile.
    pub(super) async fn for_each_stretch(
        &self,
        mut visit: impl FnMut(&Agent, Span, &Ledger<'_>) -> Result<(), ReportError>,
    ) -> Result<(), ReportError> {
        let mut stretches = Vec::new();
        for (index, agent) in self.agents.iter().enumerate() {
            let runs = self.parts(agent);
            let runs = runs.chunks(DAYS_PER_READ).map(|run| (run[0].span.0, run[run.len() - 1].span.1));
            stretches.extend(runs.map(|span| (index, span)));
        }
        let read = stream::iter(stretches).map(|(index, span)| async move {
            let agent = &self.agents[index];
            self.read_facts(agent, span).await.map(|facts| (agent, span, facts))
        });
        let mut read = pin!(read.buffered(READ_AHEAD));
        while let Some((agent, span, facts)) = read.try_next().await? {
            visit(agent, span, &Ledger::new(facts.course(&self.inputs.settings), span))?;
        }
        Ok(())
    }

    async fn read_facts(&self, agent: &Agent, span: Span) -> Result<AgentFacts, ReportError> {
        Ok(self.reader.agent_facts(&self.inputs, &agent.id, agent.team.as_ref(), span).await?)
    }

    /// Passes the sums of each agent's days, by agent and day: the stored ones unless stale, or else computed from
    /// segments.
    pub(super) async fn for_each_day(
        &self,
        mut visit: impl FnMut(&Agent, Date, Sums) -> Result<(), ReportError>,
    ) -> Result<(), ReportError> {
        let mut stored = StoredDays::default();
        for agent in &self.agents {
            let parts = self.parts(agent);
            let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(()) };
            let basis = computation_basis(&self.inputs.settings, self.zone_name(agent), agent.team.as_ref());
            let mut known = stored.days_of(self, agent, (first.day, last.day)).await?;
            known.retain(|_, (by, _)| **by == *basis);
            let is_known = |part: &DayPart| part.is_whole_day && known.contains_key(&part.day);
            let missing: Vec<DayPart> = parts.iter().filter(|part| !is_known(part)).copied().collect();
            let mut computed = self.compute_days(agent, &missing).await?;
            for part in &parts {
                let sums = match computed.remove(&part.day) {
                    Some(sums) => sums,
                    None => known.remove(&part.day).map(|(_, sums)| sums).unwrap_or_default(),
                };
                visit(agent, part.day, sums)?;
            }
        }
        Ok(())
    }

    async fn compute_days(&self, agent: &Agent, missing: &[DayPart]) -> Result<BTreeMap<Date, Sums>, ReportError> {
        let mut computed = BTreeMap::new();
        let runs = missing.chunk_by(|before, next| before.span.1 == next.span.0);
        for run in runs.flat_map(|run| run.chunks(DAYS_PER_READ)) {
            let span = (run[0].span.0, run[run.len() - 1].span.1);
            let facts = self.read_facts(agent, span).await?;
            let ledger = Ledger::new(facts.course(&self.inputs.settings), span);
            computed.extend(run.iter().map(|part| (part.day, ledger.sums(part.span))));
        }
        Ok(computed)
    }
}

async fn first_entered(request: &Request, reader: &Reader, agents: &[Agent]) -> Result<Option<UtcMicros>, ReportError> {
    let mut first: Option<UtcMicros> = None;
    for agent in agents {
        let entered = reader.first_entered(&request.tenant, &agent.id).await?;
        first = first.into_iter().chain(entered).min();
    }
    Ok(first)
}

/// Stored days, read ahead for some agents at a time.
#[derive(Default)]
struct StoredDays {
    read_ahead: BTreeMap<AgentId, Vec<PackedDay>>,
    read_through: Option<AgentId>,
    done: bool,
}

type KnownDays = BTreeMap<Date, (std::sync::Arc<str>, Sums)>;

impl StoredDays {
    /// Reads the days of an agent; call it for agents in order.
    async fn days_of(
        &mut self,
        source: &AdherenceSource<'_>,
        agent: &Agent,
        days: (Date, Date),
    ) -> Result<KnownDays, ReportError> {
        while !self.done && self.read_through.as_ref().is_none_or(|through| *through < agent.id) {
            let after = self.read_through.as_ref().map_or("", |through| through.as_str());
            // Read a day more on each side, since other agents live in other zones.
            let padded_days = (days.0.yesterday().unwrap_or(days.0), days.1.tomorrow().unwrap_or(days.1));
            let tenant = &source.request.tenant;
            let page = source.reader.packed_days(tenant, after, padded_days, AGENTS_PER_PAGE).await?;
            self.done = u32::try_from(page.len()).is_ok_and(|found| found < AGENTS_PER_PAGE);
            self.read_through = page.last().map(|(agent, _)| agent.clone()).or(self.read_through.take());
            // Keep only agents that are still to come.
            self.read_ahead = page.into_iter().filter(|(id, _)| *id >= agent.id).collect();
        }
        let found = self.read_ahead.remove(&agent.id).unwrap_or_default();
        Ok(found.into_iter().map(|(day, basis, sums)| (day, (basis, sums))).collect())
    }
}

/// Returns a sentence for each gap of observation in the span of a report.
pub async fn notes(request: &Request, reader: &Reader) -> Result<Vec<String>, ReportError> {
    let from = request.from.unwrap_or(UtcMicros::EPOCH);
    let observed_spans = reader.observed_spans(&request.tenant, (from, request.to)).await?;
    let mut notes = Vec::new();
    let first = observed_spans.first().map(|(start, _)| *start).filter(|start| from < *start && *start < request.to);
    notes.extend(first.map(|start| {
        format!("Before {start:.0} the roster was never observed: only what history has is known of that time, and the rest counts as unknown")
    }));
    let gaps: Vec<Span> =
        coverage::observation_gaps(&observed_spans).filter(|(start, end)| *start < request.to && from < *end).collect();
    for (start, end) in gaps.iter().take(MAX_GAPS) {
        notes.push(format!(
            "From {start:.0} to {end:.0} the roster was not observed (the daemon was down or the platform did not answer): a state that \
             ended meanwhile is known only up to the start of that time, and the time after it counts as unknown"
        ));
    }
    if let Some(more) = gaps.len().checked_sub(MAX_GAPS).filter(|more| *more > 0) {
        notes.push(format!(
            "{} in which the roster was not observed are not listed",
            count_with_noun(more, "more span")
        ));
    }
    match reader.last_observed_span(&request.tenant).await? {
        Some((_, until)) if until < request.to => {
            notes.push(format!("From {until:.0} on, when the roster was last observed, all time counts as unknown"));
        }
        Some(_) => {}
        None => notes.push("The roster was never observed: time that is not in history counts as unknown".to_owned()),
    }
    Ok(notes)
}
