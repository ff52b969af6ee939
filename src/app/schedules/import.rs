//! The import of schedule files: a file is parsed, checked as a whole, stored as a new version in one step, and the
//! keeper is notified.

mod profile;

pub use profile::check_file;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::civil::Date;
use serde_json::json;
use tokio::sync::watch;

use crate::app::runtime_environment::HeavyWork;
use crate::clock::{BoxFuture, SharedClock, SharedRandom};
use crate::domain::agents::agent::Agent;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::ids::{AgentId, EventId, SubjectId, TenantId};
use crate::domain::schedules::import::profile::read as read_by_profile;
use crate::domain::schedules::import::{DraftAgent, ImportOptions, ScheduleDraft, ScheduleImportError, read_schedule};
use crate::domain::schedules::schedule::Coverage;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{Event, ScheduleImported};
use crate::engine::changes::keeper_handle::KeeperHandle;
use crate::http::{
    DayOfShifts, ImportError, ImportRequest, ImportResult, PutShiftsError, PutShiftsRequest, ScheduleImporter,
    file_name,
};
use crate::store::{
    AgentSchedule, Commit, CommitError, ImportOutcome, Reader, ScheduleImport, ScheduleRead, StoredAgent, StoredPlan,
    Writer,
};

/// Imports schedule files, for the daemon and for the command that runs without one.
#[derive(Clone)]
pub struct Importer {
    /// The store's only writer.
    pub writer: Writer,
    /// Reads the schedule in effect.
    pub reader: Reader,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// The source of ids.
    pub random: SharedRandom,
    /// Notifies the keepers; there are none if no daemon runs.
    pub keeper_client: KeeperHandle,
    /// How files are parsed; a reload may change it.
    pub options: watch::Receiver<ImportOptions>,
    /// Serialises imports, so that the schedule in effect cannot change between reading and replacing it.
    pub import_lock: Arc<tokio::sync::Mutex<()>>,
    /// Where files are parsed.
    pub heavy_work: HeavyWork,
}

impl ScheduleImporter for Importer {
    fn import(&self, request: ImportRequest) -> BoxFuture<Result<ImportResult, ImportError>> {
        let importer = self.clone();
        Box::pin(async move { importer.run(request).await })
    }

    fn options(&self) -> ImportOptions {
        self.options.borrow().clone()
    }

    fn put_shifts(&self, request: PutShiftsRequest) -> BoxFuture<Result<Option<StoredPlan>, PutShiftsError>> {
        let importer = self.clone();
        Box::pin(async move { importer.put_day(request).await })
    }
}

impl Importer {
    /// Imports a file as a whole or not at all.
    pub async fn run(&self, request: ImportRequest) -> Result<ImportResult, ImportError> {
        let draft = self.read(&request).await?;
        let import_guard = self.import_lock.lock().await;
        let schedule = self.schedule_of(&request, &draft).await?;
        let omitted_count = schedule.agents.len() - draft.agents.len();
        if let Some(hash) = &request.hash {
            let comparison = self.compare(&request.tenant, &schedule.agents).await.map_err(ImportError::Read)?;
            if comparison.hash(&schedule.agents) != *hash {
                return Err(ImportError::HashDiffers);
            }
        }
        let imported = self.writer.import(schedule).await.map_err(ImportError::Store)?;
        drop(import_guard);
        let (version, changed) = match imported {
            ImportOutcome::Activated { version, .. } => (version, true),
            ImportOutcome::Unchanged { version } => (version, false),
        };
        if changed {
            self.notify_keeper(&request.tenant).await;
        }
        Ok(ImportResult {
            tenant: request.tenant,
            version,
            changed,
            agents: draft.agents.len(),
            others_off: omitted_count,
            shifts: draft.shifts,
            rows: draft.rows,
            first_day: draft.first_day.to_string(),
            last_day: draft.last_day.to_string(),
            warnings: draft.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    /// Reads a file.
    pub(super) async fn read(&self, request: &ImportRequest) -> Result<ScheduleDraft, ImportError> {
        let options = ImportOptions { move_weeks: request.move_weeks, ..self.options.borrow().clone() };
        let profile = self.profile(request, &options).await?;
        let (name, bytes) = (request.name.clone(), request.bytes.clone());
        // Parsing a large file takes long enough to be kept off the threads that serve requests.
        let parse = move || match profile {
            Some((profile, agents)) => read_by_profile(&bytes, &profile, &agents, &options),
            None => read_schedule(&name, &bytes, &options),
        };
        let read = self.heavy_work.run(parse).await;
        match read {
            Ok(Ok(draft)) => Ok(draft),
            Ok(Err(refused)) => Err(refusal(&request.name, refused)),
            Err(panicked) => {
                tracing::error!(error = %panicked, "reading a schedule file panicked");
                let message = "it could not be read; please report this file";
                Err(ImportError::Refused {
                    name: format!("{} ({message})", request.name),
                    faults: 1,
                    diagnostics: vec![],
                })
            }
        }
    }

    /// Returns the schedule that the content of a file makes now.
    pub(super) async fn schedule_of(
        &self,
        request: &ImportRequest,
        draft: &ScheduleDraft,
    ) -> Result<ScheduleImport, ImportError> {
        let omitted = if request.is_complete { self.omitted_agents(&request.tenant, draft).await? } else { Vec::new() };
        Ok(self.schedule(request, draft, omitted))
    }

    pub(super) async fn notify_keeper(&self, tenant: &TenantId) {
        if let Err(error) = self.keeper_client.notify_schedule_changed(tenant).await {
            tracing::warn!(%tenant, %error, "the keeper will see the schedule when it next reads plans");
        }
    }

    /// Returns the imported agents who have a schedule on the file's days and are not in the file, each without shifts.
    async fn omitted_agents(
        &self,
        tenant: &TenantId,
        draft: &ScheduleDraft,
    ) -> Result<Vec<AgentSchedule>, ImportError> {
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
        let covered = plans.into_iter().filter_map(|plan| {
            let (stored, coverage) = days.remove(&plan.agent)?;
            let overlaps = plan.coverage.iter().any(|span| span.start < coverage.end && span.end > coverage.start);
            overlaps.then(|| AgentSchedule {
                agent: stored.agent,
                subject: stored.subject,
                shifts: Vec::new(),
                coverage,
                is_covered: true,
                skills: None,
            })
        });
        Ok(covered.collect())
    }

    /// Replaces the shifts of one agent's day, as an import of that day alone.
    async fn put_day(&self, request: PutShiftsRequest) -> Result<Option<StoredPlan>, PutShiftsError> {
        let PutShiftsRequest { day, check_current } = request;
        let read = PutShiftsError::Read;
        let known = self.reader.agent(&day.tenant, &day.agent).await.map_err(read)?;
        let known = known.ok_or_else(|| PutShiftsError::NoAgent(day.agent.clone()))?;
        let import_guard = self.import_lock.lock().await;
        let current = self.reader.plan_of_agent(&day.tenant, &day.agent, day.span).await.map_err(read)?;
        check_current(current).map_err(PutShiftsError::ChangedMeanwhile)?;
        self.check_neighbours(&day).await?;
        let (tenant, agent, span) = (day.tenant.clone(), day.agent.clone(), day.span);
        let imported = self.writer.import(self.schedule_of_day(day, known)).await.map_err(PutShiftsError::Store)?;
        drop(import_guard);
        if matches!(imported, ImportOutcome::Activated { .. }) {
            self.notify_keeper(&tenant).await;
        }
        self.reader.plan_of_agent(&tenant, &agent, span).await.map_err(read)
    }

    /// Refuses shifts that overlap a shift of another day, which the store would otherwise remove.
    async fn check_neighbours(&self, day: &DayOfShifts) -> Result<(), PutShiftsError> {
        let (from, to) = day.span;
        let last = day.shifts.iter().map(|shift| shift.end).max().unwrap_or(to).max(to);
        let surrounding = self.reader.plan_of_agent(&day.tenant, &day.agent, (from, last)).await;
        let others = surrounding.map_err(PutShiftsError::Read)?.map(|plan| plan.shifts).unwrap_or_default();
        let others = others.into_iter().filter(|other| other.start < from || other.start >= to);
        for other in others {
            let overlapping = day.shifts.iter().find(|shift| shift.start < other.end && other.start < shift.end);
            if let Some(shift) = overlapping {
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
        let imported = ScheduleImported {
            name: name.clone(),
            actor: day.actor.clone(),
            agents: 1,
            shifts: day.shifts.len(),
            first_day: day.day.to_string(),
            last_day: day.day.to_string(),
        };
        let with_activation = self.commit_of(audit, imported);
        ScheduleImport {
            tenant: day.tenant,
            name,
            content_hash: hash,
            agents: vec![AgentSchedule {
                agent: known.agent,
                subject: known.subject,
                shifts: day.shifts,
                coverage: Coverage { start: day.span.0, end: day.span.1 },
                is_covered: true,
                skills: None,
            }],
            actor: day.actor,
            with_activation,
        }
    }

    /// Imports schedules that were read from the platform, each with the instant of its answer.
    pub async fn import_from_platform(
        &self,
        tenant: &TenantId,
        actor: &str,
        read: Vec<(AgentSchedule, UtcMicros)>,
        (first_day, last_day): (Date, Date),
    ) -> Result<(), CommitError> {
        let name = "platform".to_owned();
        let shifts: usize = read.iter().map(|(schedule, _)| schedule.shifts.len()).sum();
        let content: Vec<_> = read.iter().map(|(one, _)| (one.agent.id.as_str(), &one.shifts, one.coverage)).collect();
        let hash = Hash::of(serde_json::to_string(&content).unwrap_or_default().as_bytes());
        let (first_day, last_day) = (first_day.to_string(), last_day.to_string());
        let facts = json!({
            "file": name, "content": hash.to_string(), "agents": read.len(), "shifts": shifts,
            "first_day": first_day, "last_day": last_day,
        });
        let audit = AuditDraft::new(tenant.clone(), self.clock.now(), actor.to_owned(), "schedule.imported", facts);
        let (agents, actor) = (read.len(), actor.to_owned());
        let imported =
            ScheduleImported { name: name.clone(), actor: actor.clone(), agents, shifts, first_day, last_day };
        let with_activation = self.commit_of(audit, imported);
        let schedule_reads = read
            .iter()
            .map(|(one, at)| ScheduleRead { tenant: tenant.clone(), agent: one.agent.id.clone(), at: *at })
            .collect();
        let agents = read.into_iter().map(|(schedule, _)| schedule).collect();
        let tenant = tenant.clone();
        let import_guard = self.import_lock.lock().await;
        let import =
            ScheduleImport { tenant: tenant.clone(), name, content_hash: hash, agents, actor, with_activation };
        let outcome = self.writer.import(import).await?;
        drop(import_guard);
        // A schedule that has not changed is not imported again, but was read.
        self.writer.commit(Commit { schedule_reads, ..Commit::default() }).await?;
        if matches!(outcome, ImportOutcome::Activated { .. }) {
            self.notify_keeper(&tenant).await;
        }
        Ok(())
    }

    fn schedule(&self, request: &ImportRequest, draft: &ScheduleDraft, omitted: Vec<AgentSchedule>) -> ScheduleImport {
        let now = self.clock.now();
        let (first_day, last_day) = (draft.first_day.to_string(), draft.last_day.to_string());
        let hash = Hash(draft.hash_with(omitted.iter().map(|other| &other.agent.id)));
        let mut facts = json!({
            "file": request.name, "content": hash.to_string(), "agents": draft.agents.len(), "shifts": draft.shifts,
            "first_day": first_day, "last_day": last_day,
        });
        if let Some(profile) = &request.profile {
            facts["profile"] = profile.as_str().into();
        }
        if request.is_complete {
            facts["others_off"] = omitted.len().into();
        }
        let audit = AuditDraft::new(request.tenant.clone(), now, request.actor.clone(), "schedule.imported", facts);
        let imported = ScheduleImported {
            name: request.name.clone(),
            actor: request.actor.clone(),
            agents: draft.agents.len(),
            shifts: draft.shifts,
            first_day,
            last_day,
        };
        let with_activation = self.commit_of(audit, imported);
        ScheduleImport {
            tenant: request.tenant.clone(),
            name: request.name.clone(),
            content_hash: hash,
            agents: draft.agents.iter().map(|agent| self.agent_schedule(agent)).chain(omitted).collect(),
            actor: request.actor.clone(),
            with_activation,
        }
    }

    /// Returns what is committed with a schedule that takes effect: its audit entry and its event.
    pub(super) fn commit_of(&self, audit: AuditDraft, imported: ScheduleImported) -> Commit {
        let event = Event {
            id: EventId(self.random.time_ordered_id(audit.at)),
            tenant: audit.tenant.clone(),
            at: audit.at,
            data: imported.into(),
        };
        Commit { audit: vec![audit], events: vec![event], ..Commit::default() }
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
            subject: SubjectId(self.random.random_id()),
            shifts: draft.shifts.clone(),
            coverage: draft.coverage,
            is_covered: true,
            skills: draft.skills.clone(),
        }
    }
}

pub(super) fn refusal(name: &str, rejection: ScheduleImportError) -> ImportError {
    ImportError::Refused { name: name.to_owned(), faults: rejection.faults, diagnostics: rejection.diagnostics }
}

/// Reads a file from disk for an import; returns its name without folders and its content.
pub fn file_request_parts(path: &Path) -> anyhow::Result<(String, Arc<[u8]>)> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok((file_name(path), bytes.into()))
}

/// Reads a file from disk for an import.
pub fn request_of_file(path: &Path, tenant: TenantId, actor: &str) -> anyhow::Result<ImportRequest> {
    let (name, bytes) = file_request_parts(path)?;
    Ok(ImportRequest {
        tenant,
        name,
        bytes,
        profile: None,
        move_weeks: 0,
        is_complete: false,
        hash: None,
        actor: actor.to_owned(),
    })
}
