//! Takes a schedule file in: read, checked whole, stored as a new version in one switch, the keeper told.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::watch;

use super::surroundings::HeavyWork;
use crate::clock::{BoxFuture, SharedClock, SharedRandom};
use crate::domain::agents::agent::Agent;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::ids::{AgentId, EventId, SubjectId, TenantId};
use crate::domain::schedules::import::{DraftAgent, ImportOptions, ImportRefused, ScheduleDraft, read_schedule};
use crate::domain::schedules::schedule::Coverage;
use crate::domain::webhooks::event::{Event, ScheduleImported};
use crate::engine::changes::door::Door;
use crate::http::{
    DayOfShifts, ImportAnswer, ImportError, Imports, PutShifts, PutShiftsError, WantedImport, file_name,
};
use crate::store::{AgentSchedule, Commit, Imported, Reader, ScheduleImport, StoredAgent, StoredPlan, Writer};

/// Reads files and stores what they say; used by the daemon and, where none runs, by the command.
#[derive(Clone)]
pub struct Importer {
    /// The one writer.
    pub writer: Writer,
    /// What is in force.
    pub reader: Reader,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Ids.
    pub random: SharedRandom,
    /// The keepers to tell; none of them where no daemon runs.
    pub door: Door,
    /// How files are read; a reload may change it.
    pub options: watch::Receiver<ImportOptions>,
    /// One at a time, so that nothing comes between the look at what is in force and the change of it.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// Where files are read.
    pub heavy_work: HeavyWork,
}

impl Imports for Importer {
    fn import(&self, wanted: WantedImport) -> BoxFuture<Result<ImportAnswer, ImportError>> {
        let importer = self.clone();
        Box::pin(async move { importer.run(wanted).await })
    }

    fn put(&self, wanted: PutShifts) -> BoxFuture<Result<Option<StoredPlan>, PutShiftsError>> {
        let importer = self.clone();
        Box::pin(async move { importer.put_day(wanted).await })
    }
}

impl Importer {
    /// Imports a file: whole or not at all.
    pub async fn run(&self, wanted: WantedImport) -> Result<ImportAnswer, ImportError> {
        let options = ImportOptions { move_weeks: wanted.move_weeks, ..self.options.borrow().clone() };
        let (name, bytes) = (wanted.name.clone(), wanted.bytes.clone());
        // Parsing a large file takes long enough to be kept off the workers that answer.
        let read = self.heavy_work.run(move || read_schedule(&name, &bytes, &options)).await;
        let draft = match read {
            Ok(Ok(draft)) => draft,
            Ok(Err(refused)) => return Err(refusal(&wanted, refused)),
            Err(panicked) => {
                tracing::error!(error = %panicked, "reading a schedule file panicked");
                let complaint = "it could not be read; please report this file";
                return Err(ImportError::Refused {
                    name: format!("{} ({complaint})", wanted.name),
                    faults: 1,
                    complaints: vec![],
                });
            }
        };
        let turn = self.turn.lock().await;
        let others = if wanted.whole { self.left_out(&wanted.tenant, &draft).await? } else { Vec::new() };
        let others_off = others.len();
        let imported = self.writer.import(self.schedule(&wanted, &draft, others)).await.map_err(ImportError::Store)?;
        drop(turn);
        let (version, changed) = match imported {
            Imported::Switched { version, .. } => (version, true),
            Imported::Unchanged { version } => (version, false),
        };
        if changed && let Err(error) = self.door.schedule_changed(&wanted.tenant).await {
            tracing::warn!(tenant = %wanted.tenant, %error, "the keeper will see the schedule when it next reads plans");
        }
        Ok(ImportAnswer {
            tenant: wanted.tenant,
            version,
            changed,
            agents: draft.agents.len(),
            others_off,
            shifts: draft.shifts,
            rows: draft.rows,
            first_day: draft.first_day.to_string(),
            last_day: draft.last_day.to_string(),
            warnings: draft.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    /// The agents for whom a schedule speaks on the file's days and whom the file does not name, without shifts on them.
    async fn left_out(&self, tenant: &TenantId, draft: &ScheduleDraft) -> Result<Vec<AgentSchedule>, ImportError> {
        let named: HashSet<&AgentId> = draft.agents.iter().map(|agent| &agent.id).collect();
        let mut days = HashMap::new();
        for stored in self.reader.agents(tenant).await.map_err(ImportError::Read)? {
            let zone = stored.agent.zone.as_deref().unwrap_or("UTC");
            if stored.imported
                && !named.contains(&stored.agent.id)
                && let Some(coverage) = draft.days_in(zone)
            {
                days.insert(stored.agent.id.clone(), (stored, coverage));
            }
        }
        let spans = || days.values().map(|(_, coverage)| *coverage);
        let Some(from) = spans().map(|span| span.start).min() else { return Ok(Vec::new()) };
        let to = spans().map(|span| span.end).max().unwrap_or(from);
        let plans = self.reader.plans(tenant, (from, to), None).await.map_err(ImportError::Read)?;
        let spoken_for = plans.into_iter().filter_map(|plan| {
            let (stored, coverage) = days.remove(&plan.agent)?;
            let overlaps = plan.coverage.iter().any(|span| span.start < coverage.end && span.end > coverage.start);
            overlaps.then(|| AgentSchedule {
                agent: stored.agent,
                subject: stored.subject,
                shifts: Vec::new(),
                coverage,
                skills: None,
            })
        });
        Ok(spoken_for.collect())
    }

    /// Puts the shifts of one agent's day, as an import of that day alone.
    async fn put_day(&self, wanted: PutShifts) -> Result<Option<StoredPlan>, PutShiftsError> {
        let PutShifts { day, is_expected } = wanted;
        let read = PutShiftsError::Read;
        let known = self.reader.agent(&day.tenant, &day.agent).await.map_err(read)?;
        let known = known.ok_or_else(|| PutShiftsError::NoAgent(day.agent.clone()))?;
        let turn = self.turn.lock().await;
        let in_force = self.reader.plan_of_agent(&day.tenant, &day.agent, day.span).await.map_err(read)?;
        is_expected(in_force).map_err(PutShiftsError::NotExpected)?;
        self.check_neighbours(&day).await?;
        let (tenant, agent, span) = (day.tenant.clone(), day.agent.clone(), day.span);
        let imported = self.writer.import(self.schedule_of_day(day, known)).await.map_err(PutShiftsError::Store)?;
        drop(turn);
        if matches!(imported, Imported::Switched { .. })
            && let Err(error) = self.door.schedule_changed(&tenant).await
        {
            tracing::warn!(%tenant, %error, "the keeper will see the schedule when it next reads plans");
        }
        self.reader.plan_of_agent(&tenant, &agent, span).await.map_err(read)
    }

    /// The store lets go of whatever a new shift lies over; a shift of another day is not to go that way.
    async fn check_neighbours(&self, day: &DayOfShifts) -> Result<(), PutShiftsError> {
        let (from, to) = day.span;
        let last = day.shifts.iter().map(|shift| shift.end).max().unwrap_or(to).max(to);
        let around = self.reader.plan_of_agent(&day.tenant, &day.agent, (from, last)).await;
        let others = around.map_err(PutShiftsError::Read)?.map(|plan| plan.shifts).unwrap_or_default();
        let others = others.into_iter().filter(|other| other.start < from || other.start >= to);
        for other in others {
            let over = day.shifts.iter().find(|shift| shift.start < other.end && other.start < shift.end);
            if let Some(shift) = over {
                return Err(PutShiftsError::Overlaps { start: shift.start, other: other.start, until: other.end });
            }
        }
        Ok(())
    }

    fn schedule_of_day(&self, day: DayOfShifts, known: StoredAgent) -> ScheduleImport {
        let now = self.clock.now();
        let name = format!("{} on {}", day.agent, day.day);
        let content = json!({"agent": day.agent, "from": day.span.0, "to": day.span.1, "shifts": day.shifts});
        let hash = Hash::of(content.to_string().as_bytes());
        let audit = AuditDraft {
            subject: Some(known.subject),
            ..AuditDraft::new(
                day.tenant.clone(),
                now,
                day.actor.clone(),
                "schedule.day_put",
                json!({"day": day.day.to_string(), "shifts": day.shifts}),
            )
        };
        let event = Event {
            id: EventId(self.random.id_at(now)),
            tenant: day.tenant.clone(),
            at: now,
            data: ScheduleImported {
                name: name.clone(),
                actor: day.actor.clone(),
                agents: 1,
                shifts: day.shifts.len(),
                first_day: day.day.to_string(),
                last_day: day.day.to_string(),
            }
            .into(),
        };
        ScheduleImport {
            tenant: day.tenant,
            name,
            content_hash: hash,
            agents: vec![AgentSchedule {
                agent: known.agent,
                subject: known.subject,
                shifts: day.shifts,
                coverage: Coverage { start: day.span.0, end: day.span.1 },
                skills: None,
            }],
            actor: day.actor,
            with_switch: Commit { audit: vec![audit], events: vec![event], ..Commit::default() },
        }
    }

    fn schedule(&self, wanted: &WantedImport, draft: &ScheduleDraft, others: Vec<AgentSchedule>) -> ScheduleImport {
        let now = self.clock.now();
        let (first_day, last_day) = (draft.first_day.to_string(), draft.last_day.to_string());
        let hash = Hash(draft.hash_with(others.iter().map(|other| &other.agent.id)));
        let mut facts = json!({
            "file": wanted.name, "content": hash.to_string(), "agents": draft.agents.len(), "shifts": draft.shifts,
            "first_day": first_day, "last_day": last_day,
        });
        if wanted.whole {
            facts["others_off"] = others.len().into();
        }
        let audit = AuditDraft::new(wanted.tenant.clone(), now, wanted.actor.clone(), "schedule.imported", facts);
        let event = Event {
            id: EventId(self.random.id_at(now)),
            tenant: wanted.tenant.clone(),
            at: now,
            data: ScheduleImported {
                name: wanted.name.clone(),
                actor: wanted.actor.clone(),
                agents: draft.agents.len(),
                shifts: draft.shifts,
                first_day,
                last_day,
            }
            .into(),
        };
        ScheduleImport {
            tenant: wanted.tenant.clone(),
            name: wanted.name.clone(),
            content_hash: hash,
            agents: draft.agents.iter().map(|agent| self.agent_schedule(agent)).chain(others).collect(),
            actor: wanted.actor.clone(),
            with_switch: Commit { audit: vec![audit], events: vec![event], ..Commit::default() },
        }
    }

    fn agent_schedule(&self, draft: &DraftAgent) -> AgentSchedule {
        let text = |text: &str| (!text.is_empty()).then(|| Arc::<str>::from(text));
        AgentSchedule {
            agent: Agent {
                id: draft.id.clone(),
                name: text(&draft.name),
                team: (!draft.team.as_str().is_empty()).then(|| draft.team.clone()),
                zone: text(&draft.zone),
            },
            subject: SubjectId(self.random.opaque_id()),
            shifts: draft.shifts.clone(),
            coverage: draft.coverage,
            skills: draft.skills.clone(),
        }
    }
}

fn refusal(wanted: &WantedImport, refused: ImportRefused) -> ImportError {
    ImportError::Refused { name: wanted.name.clone(), faults: refused.faults, complaints: refused.complaints }
}

/// Reads a file from disk for an import.
pub fn wanted_from_file(path: &Path, tenant: TenantId, actor: &str) -> anyhow::Result<WantedImport> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(WantedImport {
        tenant,
        name: file_name(path),
        bytes: bytes.into(),
        move_weeks: 0,
        whole: false,
        actor: actor.to_owned(),
    })
}
