//! What reports of adherence read: the agents that are meant, their days, and the facts behind them, agent by agent.

use std::collections::BTreeMap;
use std::pin::pin;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::adherence::course::Span;
use crate::domain::adherence::days::days_touching;
use crate::domain::adherence::figures::basis;
use crate::domain::adherence::ledger::Ledger;
use crate::domain::adherence::sight;
use crate::domain::adherence::sums::Sums;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::report::document::ReportError;
use crate::report::request::Request;
use crate::report::whom::Whom;
use crate::store::{AdherenceGround, AgentFacts, PackedDay, Reader};

/// The longest span of a report.
const MOST_DAYS: i64 = 400;

/// Days of an agent whose facts are read in one go.
const DAYS_AT_ONCE: usize = 31;

/// Stretches that are read while one is looked at. Each takes a reader, and others want some too.
const READ_AHEAD: usize = 2;

/// Agents whose stored days are read in one go.
const AGENTS_AT_ONCE: u32 = 64;

/// Gaps that a report names one by one.
const MOST_GAPS: usize = 20;

const DAY_US: i64 = 86_400_000_000;

/// The ground of one report.
pub(super) struct Source<'a> {
    request: &'a Request,
    reader: &'a Reader,
    /// From when to when.
    pub(super) span: Span,
    /// Who, by id.
    pub(super) agents: Vec<Agent>,
    ground: AdherenceGround,
}

/// A part of an agent's local day that lies in the span.
#[derive(Clone, Copy)]
struct Part {
    day: Date,
    span: Span,
    /// All of the day lies in it.
    whole: bool,
}

impl<'a> Source<'a> {
    pub(super) async fn read(request: &'a Request, reader: &'a Reader) -> Result<Self, ReportError> {
        let whom = Whom::read(request, reader).await?;
        let agents = reader.agents(&request.tenant).await?.into_iter().map(|stored| stored.agent);
        let agents: Vec<Agent> = agents.filter(|agent| whom.has(&agent.id)).collect();
        let from = match request.from {
            Some(from) => from,
            None => first_entered(request, reader, &agents).await?.unwrap_or(request.to),
        };
        if from.offset(MOST_DAYS * DAY_US) < request.to {
            return Err(ReportError::Refused(format!(
                "the span is longer than {MOST_DAYS} days: ask for parts of it with a later from or an earlier to"
            )));
        }
        let span = (from, request.to);
        let ground = reader.adherence_ground(&request.tenant, span).await?;
        Ok(Self { request, reader, span, agents, ground })
    }

    /// The zone whose days are an agent's: the agent's own, else the report's.
    fn zone_name<'z>(&'z self, agent: &'z Agent) -> &'z str {
        agent.zone.as_deref().unwrap_or(&self.request.zone)
    }

    fn parts(&self, agent: &Agent) -> Vec<Part> {
        let zone = TimeZone::get(self.zone_name(agent)).unwrap_or(TimeZone::UTC);
        let (from, to) = self.span;
        let part = |(day, whole): (Date, Span)| {
            let span = (whole.0.max(from), whole.1.min(to));
            Part { day, span, whole: span == whole }
        };
        days_touching(self.span, &zone).into_iter().map(part).collect()
    }

    /// Cuts every agent's span into stretches of some weeks, by local days, and shows each as a ledger, by agent and instant. While one
    /// is looked at, the next two are read.
    pub(super) async fn each_stretch(
        &self,
        mut look: impl FnMut(&Agent, Span, &Ledger<'_>) -> Result<(), ReportError>,
    ) -> Result<(), ReportError> {
        let mut stretches = Vec::new();
        for (index, agent) in self.agents.iter().enumerate() {
            let runs = self.parts(agent);
            let runs = runs.chunks(DAYS_AT_ONCE).map(|run| (run[0].span.0, run[run.len() - 1].span.1));
            stretches.extend(runs.map(|span| (index, span)));
        }
        let read = stream::iter(stretches).map(|(index, span)| async move {
            let agent = &self.agents[index];
            self.facts(agent, span).await.map(|facts| (agent, span, facts))
        });
        let mut read = pin!(read.buffered(READ_AHEAD));
        while let Some((agent, span, facts)) = read.try_next().await? {
            look(agent, span, &Ledger::new(facts.course(&self.ground.settings), span))?;
        }
        Ok(())
    }

    async fn facts(&self, agent: &Agent, span: Span) -> Result<AgentFacts, ReportError> {
        Ok(self.reader.agent_facts(&self.ground, &agent.id, agent.team.as_ref(), span).await?)
    }

    /// What each agent's days add up to, by agent and day: as stored where that is not stale, computed from segments else.
    pub(super) async fn each_day(
        &self,
        mut take: impl FnMut(&Agent, Date, Sums) -> Result<(), ReportError>,
    ) -> Result<(), ReportError> {
        let mut stored = Stored::default();
        for agent in &self.agents {
            let parts = self.parts(agent);
            let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(()) };
            let basis = basis(&self.ground.settings, self.zone_name(agent), agent.team.as_ref());
            let mut known = stored.of(self, agent, (first.day, last.day)).await?;
            known.retain(|_, (by, _)| **by == *basis);
            let is_known = |part: &Part| part.whole && known.contains_key(&part.day);
            let missing: Vec<Part> = parts.iter().filter(|part| !is_known(part)).copied().collect();
            let mut computed = self.computed(agent, &missing).await?;
            for part in &parts {
                let sums = match computed.remove(&part.day) {
                    Some(sums) => sums,
                    None => known.remove(&part.day).map(|(_, sums)| sums).unwrap_or_default(),
                };
                take(agent, part.day, sums)?;
            }
        }
        Ok(())
    }

    async fn computed(&self, agent: &Agent, missing: &[Part]) -> Result<BTreeMap<Date, Sums>, ReportError> {
        let mut computed = BTreeMap::new();
        let runs = missing.chunk_by(|before, next| before.span.1 == next.span.0);
        for run in runs.flat_map(|run| run.chunks(DAYS_AT_ONCE)) {
            let span = (run[0].span.0, run[run.len() - 1].span.1);
            let facts = self.facts(agent, span).await?;
            let ledger = Ledger::new(facts.course(&self.ground.settings), span);
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

/// Stored days, read ahead by some agents at a time.
#[derive(Default)]
struct Stored {
    ahead: BTreeMap<AgentId, Vec<PackedDay>>,
    read_through: Option<AgentId>,
    done: bool,
}

type Known = BTreeMap<Date, (std::sync::Arc<str>, Sums)>;

impl Stored {
    /// The days of an agent; agents are asked for in order.
    async fn of(&mut self, source: &Source<'_>, agent: &Agent, days: (Date, Date)) -> Result<Known, ReportError> {
        while !self.done && self.read_through.as_ref().is_none_or(|through| *through < agent.id) {
            let after = self.read_through.as_ref().map_or("", |through| through.as_str());
            // A day to each side: other agents live in other zones.
            let wide = (days.0.yesterday().unwrap_or(days.0), days.1.tomorrow().unwrap_or(days.1));
            let tenant = &source.request.tenant;
            let page = source.reader.packed_days(tenant, after, wide, AGENTS_AT_ONCE).await?;
            self.done = u32::try_from(page.len()).is_ok_and(|found| found < AGENTS_AT_ONCE);
            self.read_through = page.last().map(|(agent, _)| agent.clone()).or(self.read_through.take());
            // Whoever is not meant is not kept.
            self.ahead = page.into_iter().filter(|(id, _)| *id >= agent.id).collect();
        }
        let found = self.ahead.remove(&agent.id).unwrap_or_default();
        Ok(found.into_iter().map(|(day, basis, sums)| (day, (basis, sums))).collect())
    }
}

/// When nobody looked within the span of a report, a sentence each.
pub async fn notes(request: &Request, reader: &Reader) -> Result<Vec<String>, ReportError> {
    let from = request.from.unwrap_or(UtcMicros::EPOCH);
    let sights = reader.sights(&request.tenant, (from, request.to)).await?;
    let mut notes = Vec::new();
    let first = sights.first().map(|(start, _)| *start).filter(|start| from < *start && *start < request.to);
    notes.extend(first.map(|start| {
        format!("Before {start:.0} the roster was never in sight: of that time is known what history says, and the rest counts as unknown")
    }));
    let gaps: Vec<Span> = sight::gaps(&sights).filter(|(start, end)| *start < request.to && from < *end).collect();
    for (start, end) in gaps.iter().take(MOST_GAPS) {
        notes.push(format!(
            "From {start:.0} to {end:.0} the roster was not in sight (the daemon was down or the platform did not answer): a state that \
             ended meanwhile is known up to the beginning of that time alone, and what came between counts as unknown"
        ));
    }
    if let Some(more) = gaps.len().checked_sub(MOST_GAPS).filter(|more| *more > 0) {
        notes.push(format!("{} in which the roster was not in sight are not named here", count(more, "more span")));
    }
    match reader.last_sight(&request.tenant).await? {
        Some((_, until)) if until < request.to => {
            notes.push(format!(
                "Nothing is known from {until:.0} on, when the roster was in sight last: that time counts as unknown"
            ));
        }
        Some(_) => {}
        None => notes.push("The roster was never in sight: whatever history does not say counts as unknown".to_owned()),
    }
    Ok(notes)
}
