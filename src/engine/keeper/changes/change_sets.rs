//! Bulk changes: previewing from the keeper's live view, starting after a second check of each agent, and cancelling.
//!
//! Only what the preview showed is started: an agent shown as left out is not changed, and one whose situation has
//! changed is left out with the reason. The set's row and its transitions are one commit.

use std::time::Duration;

use serde_json::{Value, json};

use super::dispatch::max_in_flight;
use super::requests::TransitionRequest;
use crate::domain::access::rights::Requester;
use crate::domain::agents::roster::AgentRecord;
use crate::domain::audit::{AuditDraft, Hash, note_hash};
use crate::domain::changes::change_set::cost_estimate::{BudgetSlots, CallLoad, CostEstimate, estimate_cost};
use crate::domain::changes::change_set::{
    AgentChange, ChangeSetRequest, HashedPreview, MAX_AGENTS_PER_SET, Preview, PreviewInput, PreviewOutcome,
    PreviewPolicy, PreviewedAgent, preview, select_agents,
};
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Transition, TransitionStep, WaitReason};
use crate::domain::ids::{ChangeSetId, TransitionId};
use crate::domain::rules::planner::live_verdict;
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::CompiledRule;
use crate::domain::time::UtcMicros;
use crate::engine::changes::change_sets::body::{ChangeSetBody, PreviewSlots};
use crate::engine::changes::change_sets::{
    ChangeSetCommand, ChangeSetError, ChangeSetSelection, MAX_PREVIEWS, NewChangeSet, PREVIEW_LIFETIME, StartChangeSet,
};
use crate::engine::changes::request::KeeperError;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;
use crate::platform::breaker::State;
use crate::platform::budget::{URGENT_MAX_WAIT, Urgency};
use crate::store::{ChangeSetRow, ChangeSetWrite, ExcludedAgent, NoteWrite};

/// The time added to the shown finish of a set, for retries and for contacts to end.
const DEADLINE_MARGIN: Duration = Duration::from_secs(600);

/// How long expired previews are kept, so that an attempt to start one gets the reason.
const EXPIRED_PREVIEW_RETENTION: Duration = Duration::from_secs(3600);

/// The assumed response time until some were measured, in real time.
const DEFAULT_RESPONSE_TIME_REAL: Duration = Duration::from_millis(200);

impl Keeper {
    /// Handles a request about a change set.
    pub(in crate::engine::keeper) async fn handle_change_set_message(
        &mut self,
        pass: &mut Pass,
        message: ChangeSetCommand,
    ) -> anyhow::Result<()> {
        match message {
            ChangeSetCommand::Preview { request: wanted, reply } => {
                let result = self.preview_change_set(pass, *wanted).await?;
                pass.reply_after_commit(reply, result);
            }
            ChangeSetCommand::Start { start, reply } => {
                let started = self.start_change_set(pass, &start).await?;
                pass.reply_after_commit(reply, started);
            }
            ChangeSetCommand::Cancel { id, requester: asker, note, reply } => {
                let cancelled = self.cancel_change_set(pass, id, &asker, note).await?;
                pass.reply_after_commit(reply, cancelled);
            }
        }
        Ok(())
    }

    /// Computes a preview and adds it to the commit.
    async fn preview_change_set(
        &mut self,
        pass: &mut Pass,
        request: NewChangeSet,
    ) -> anyhow::Result<Result<ChangeSetId, ChangeSetError>> {
        if let Some(target) = &request.to
            && let Err(error) = self.check_settable(target)
        {
            return Ok(Err(error.into()));
        }
        let startable = self.link.reader.startable_change_sets(&self.link.tenant, pass.now).await?;
        let waiting = startable + pass.new_previews;
        if waiting >= MAX_PREVIEWS {
            return Ok(Err(ChangeSetError::TooManyPreviews { waiting }));
        }
        let plan = self.change_set_plan(&request, pass.now);
        match plan.agents.len() {
            0 => return Ok(Err(ChangeSetError::NoAgents)),
            count if count > MAX_AGENTS_PER_SET => return Ok(Err(ChangeSetError::TooMany { count })),
            _ => {}
        }
        let preview = self.compute_preview(&plan, pass.now);
        let (body, hash) = match self.preview_body(&request, &plan, &preview, pass.now) {
            Ok(body_and_hash) => body_and_hash,
            Err(error) => return Ok(Err(error)),
        };
        let expired =
            self.link.reader.expired_change_sets(&self.link.tenant, pass.now - EXPIRED_PREVIEW_RETENTION).await?;
        let delete = |id| ChangeSetWrite::Delete { tenant: self.link.tenant.clone(), id };
        pass.commit.change_sets.extend(expired.into_iter().map(delete));
        let id = ChangeSetId(self.link.random.time_ordered_id(pass.now));
        let will_change = preview.agents.iter().filter(|agent| agent.outcome.is_change()).count();
        let details = json!({
            "change_set": id, "hash": hash.to_string(), "undoes": request.undoes, "agents": preview.agents.len(),
            "will_change": will_change,
        });
        self.audit_person_action(pass, &request.requester, "change_set.previewed", details, None);
        let text = serde_json::to_string(&body).unwrap_or_default();
        let teams = preview.teams.iter().cloned().map(Some).chain(preview.includes_teamless.then_some(None)).collect();
        let set = ChangeSetRow {
            tenant: self.link.tenant.clone(),
            id,
            made_at: pass.now,
            made_by: request.requester.id.clone(),
            expires_at: pass.now + PREVIEW_LIFETIME,
            hash,
            undoes: request.undoes,
            teams,
            body: text,
            started: None,
            cancelled: None,
        };
        pass.commit.change_sets.push(ChangeSetWrite::Add { set, agents: preview.agents });
        pass.new_previews += 1;
        Ok(Ok(id))
    }

    /// Returns which agents to change and how.
    fn change_set_plan(&self, request: &NewChangeSet, now: UtcMicros) -> ChangeSetRequest {
        let platform = &self.link.platform;
        let settable = platform.capabilities().settable;
        let agent_change = |agent| request.to.clone().map(|to| AgentChange::new(agent, to, request.reason.clone()));
        let mut agents: Vec<AgentChange> = match &request.selection {
            ChangeSetSelection::Agents(agents) => agents.iter().cloned().filter_map(agent_change).collect(),
            ChangeSetSelection::Filter(selection) => {
                let verdict_of = |slot: &AgentRecord| live_verdict(slot, &self.settings.decide, now).verdict;
                let found = select_agents(&self.roster, request.teams.as_ref(), selection, verdict_of);
                found.into_iter().filter_map(agent_change).collect()
            }
            ChangeSetSelection::PerAgent(agents) => {
                let mut agents = agents.clone();
                for change in
                    agents.iter_mut().filter(|change| change.excluded.is_none() && !settable.contains(&change.target))
                {
                    change.excluded = Some((
                        PreviewOutcome::CannotGoBack,
                        Some(format!("the platform cannot set {}", change.target)),
                    ));
                }
                agents
            }
        };
        for change in agents.iter_mut().filter(|change| change.excluded.is_none()) {
            let reason = change.reason.clone().unwrap_or_else(|| change.target.default_reason());
            if let Err(failure) = platform.check_settable(&change.agent, &change.target, &reason) {
                change.excluded = Some((PreviewOutcome::NotSettable, Some(failure.to_string())));
            }
        }
        ChangeSetRequest {
            agents,
            on_contact: request.on_contact.unwrap_or(self.settings.policy.on_contact),
            urgent: request.urgent,
            even_if_in_state: request.even_if_in_state,
            below_floor_reason: request.below_floor.clone(),
            teams: request.teams.clone(),
        }
    }

    fn compute_preview(&self, plan: &ChangeSetRequest, now: UtcMicros) -> Preview {
        let is_leaving = |slot: &AgentRecord| {
            self.open_transitions.of_agent(slot.id()).any(|open| {
                let is_approved = open.transition.status.wait_reason() != Some(WaitReason::Approval);
                is_approved && !open.transition.target.is_working()
            })
        };
        let waiting_change = |slot: &AgentRecord| {
            let waiting = self.open_transitions.waiting(slot.id())?;
            let is_approved = waiting.transition.status.wait_reason() != Some(WaitReason::Approval);
            is_approved.then_some(waiting.transition.priority)
        };
        let policy = PreviewPolicy {
            unscheduled_policy: self.settings.policy.unscheduled_forbids,
            stale_after: self.settings.decide.stale_after,
        };
        let (roster, adherence) = (&self.roster, &self.settings.decide.adherence);
        preview(
            PreviewInput { roster, is_leaving: &is_leaving, waiting_change: &waiting_change, policy, adherence, now },
            plan,
        )
    }

    /// Returns the stored body of a preview, and the hash of everything that is shown.
    fn preview_body(
        &self,
        request: &NewChangeSet,
        plan: &ChangeSetRequest,
        preview: &Preview,
        now: UtcMicros,
    ) -> Result<(ChangeSetBody, Hash), ChangeSetError> {
        let halted = !matches!(self.breaker.state(), State::Closed);
        let cost = self.estimate_preview_cost(plan, preview, now);
        let min_deadline = cost.finish_at.map_or(Duration::ZERO, |at| at.since(now) + DEADLINE_MARGIN);
        let deadline = request.deadline.unwrap_or_else(|| self.settings.policy.deadline.max(min_deadline));
        let cost = if halted { CostEstimate { finish_at: None, finish_at_latest: None, ..cost } } else { cost };
        let hash = HashedPreview {
            tenant: &self.link.tenant,
            to: request.to.as_ref(),
            reason: request.reason.as_ref(),
            on_contact: plan.on_contact,
            urgent: plan.urgent,
            even_if_in_state: plan.even_if_in_state,
            below_floor: plan.below_floor_reason.as_deref(),
            undoes: request.undoes,
            floors: &preview.floors,
            agents: preview.agents.iter().map(Into::into).collect(),
        }
        .hash()
        .map_err(|error| ChangeSetError::InvalidBody(error.to_string()))?;
        let body = ChangeSetBody {
            to: request.to.clone(),
            reason: request.reason.clone(),
            on_contact: plan.on_contact,
            urgent: plan.urgent,
            even_if_in_state: plan.even_if_in_state,
            below_floor: plan.below_floor_reason.clone(),
            note: request.note.clone(),
            deadline_s: deadline.as_secs(),
            cost,
            reason_calls: preview.reason_calls,
            slots: {
                let budget = self.link.budget();
                PreviewSlots { per_minute: budget.limit(), free: budget.free_slots(self.link.clock.monotonic()) }
            },
            halted,
            floors: preview.floors.clone(),
        };
        Ok((body, hash))
    }

    fn estimate_preview_cost(&self, plan: &ChangeSetRequest, preview: &Preview, now: UtcMicros) -> CostEstimate {
        let polls = self.settings.budget.poll_reserve;
        let (urgency, reserve, min_priority) = if plan.urgent {
            (Urgency::Urgent, polls, Priority::Urgent)
        } else {
            (Urgency::Ordinary, self.settings.budget.urgent_reserve + polls, Priority::Person)
        };
        let slots = {
            let budget = self.link.budget();
            BudgetSlots {
                free_after: budget.slot_waits(self.link.clock.monotonic()),
                window: budget.window(),
                reserve,
                reserve_free_within: URGENT_MAX_WAIT,
                response_time: self
                    .mean_response_time
                    .unwrap_or_else(|| self.link.clock.scale_real(DEFAULT_RESPONSE_TIME_REAL)),
                max_parallel: max_in_flight(self.settings.budget.parallel_calls, urgency),
                poll_every: (polls > 0).then_some(self.settings.observation.interval),
            }
        };
        let budget = &self.settings.budget;
        let load = CallLoad {
            state_changes: preview.state_changes,
            questions: preview.questions,
            questions_per_minute: budget.requests_per_minute * budget.read_share_percent / 100,
            calls_ahead: self.calls_ahead(min_priority),
            breaks: self.upcoming_breaks(now),
            retry_percent: self.settings.retry.share_percent,
            min_retries_per_minute: self.settings.retry.min_per_minute,
        };
        estimate_cost(&slots, &load, now)
    }

    /// Counts the changes of this priority and above that wait only for their turn, and therefore go first.
    fn calls_ahead(&self, min_priority: Priority) -> usize {
        let is_ahead = |why| match why {
            None | Some(WaitReason::Budget | WaitReason::Retry | WaitReason::PlatformAnswer | WaitReason::Halted) => {
                true
            }
            Some(
                WaitReason::InFlight
                | WaitReason::MandatoryBreak
                | WaitReason::Contact
                | WaitReason::Conflict
                | WaitReason::Approval
                | WaitReason::Sight,
            ) => false,
        };
        let waiting = self.open_transitions.iter().map(|open| &open.transition).filter(|open| open.status.is_unsent());
        waiting.filter(|open| open.priority >= min_priority && is_ahead(open.status.wait_reason())).count()
    }

    /// Returns when mandatory breaks begin, if an enforcing rule acts on them, since its changes go first.
    fn upcoming_breaks(&self, now: UtcMicros) -> Vec<UtcMicros> {
        let acts_on_breaks = |rule: &CompiledRule| {
            let is_enforced = rule.mode == Mode::Enforce && rule.action.target().is_some();
            is_enforced && rule.class.priority() == Priority::MandatoryBreak
        };
        if !self.settings.rules.rules().iter().any(acts_on_breaks) {
            return Vec::new();
        }
        let next_break = |slot: &AgentRecord| {
            let from = slot.plan().first_starting_after(now);
            slot.plan().segments()[from..].iter().find(|segment| segment.mandatory).map(|segment| segment.start)
        };
        let mut starts: Vec<UtcMicros> = self.roster.agents().iter().filter_map(next_break).collect();
        starts.sort_unstable();
        starts
    }

    /// Starts a set: checks each agent again, and adds the transitions of all that can be changed as shown.
    async fn start_change_set(
        &mut self,
        pass: &mut Pass,
        start: &StartChangeSet,
    ) -> anyhow::Result<Result<(), ChangeSetError>> {
        if !pass.change_sets.insert(start.id) {
            return Ok(Err(KeeperError::Unavailable.into()));
        }
        let Some(set) = self.link.reader.change_set(&self.link.tenant, start.id).await? else {
            return Ok(Err(ChangeSetError::NotFound(start.id)));
        };
        if let Err(error) = check_startable(&set, start, pass.now) {
            return Ok(Err(error));
        }
        let body: ChangeSetBody = match serde_json::from_str(&set.body) {
            Ok(body) => body,
            Err(error) => return Ok(Err(ChangeSetError::InvalidBody(error.to_string()))),
        };
        let plan = ChangeSetRequest {
            agents: start.agents.iter().map(|(_, previewed)| recheck_request(previewed)).collect(),
            on_contact: body.on_contact,
            urgent: body.urgent,
            even_if_in_state: body.even_if_in_state,
            below_floor_reason: body.below_floor.clone(),
            teams: start.teams.clone(),
        };
        let current_preview = self.compute_preview(&plan, pass.now);
        if !current_preview.agents.iter().any(|agent| agent.outcome.is_change()) {
            let reasons =
                start.unchanged.iter().cloned().chain(current_preview.agents.iter().map(Into::into)).collect();
            return Ok(Err(ChangeSetError::NothingToChange { why: reasons }));
        }
        let mut excluded = Vec::new();
        let mut opened = 0_usize;
        for ((position, _), current) in start.agents.iter().zip(current_preview.agents) {
            if current.outcome.is_change() {
                opened += usize::from(self.open_set_transition(pass, start, &body, &current).is_some());
            } else {
                excluded.push(ExcludedAgent { position: *position, outcome: current.outcome, reason: current.detail });
            }
        }
        let below_floor = self.save_note(pass, body.below_floor.as_deref());
        let note = self.save_note(pass, body.note.as_deref());
        let details = json!({
            "change_set": start.id, "hash": set.hash.to_string(), "undoes": set.undoes, "to": body.to, "reason": body.reason,
            "on_contact": body.on_contact, "urgent": body.urgent, "even_if_in_state": body.even_if_in_state,
            "below_floor": below_floor.map(|hash| hash.to_string()),
            "changes": opened, "left_out": excluded.len(),
        });
        self.audit_person_action(pass, &start.requester, "change_set.started", details, note);
        pass.commit.change_sets.push(ChangeSetWrite::Start {
            tenant: self.link.tenant.clone(),
            id: start.id,
            at: pass.now,
            by: start.requester.id.clone(),
            excluded,
        });
        Ok(Ok(()))
    }

    fn open_set_transition(
        &mut self,
        pass: &mut Pass,
        start: &StartChangeSet,
        body: &ChangeSetBody,
        previewed: &PreviewedAgent,
    ) -> Option<TransitionId> {
        let index = self.roster.find(previewed.agent.as_str())?;
        let mut explanation = json!({"asked_by": &*start.requester.id, "change_set": start.id});
        if body.even_if_in_state || previewed.undoes_transition.is_some() {
            explanation[Transition::EVEN_IF_IN_STATE] = json!(true);
        }
        let request = TransitionRequest {
            target: previewed.target.clone(),
            reason: previewed.reason.clone().unwrap_or_else(|| previewed.target.default_reason()),
            priority: if body.urgent { Priority::Urgent } else { Priority::Person },
            actor: Actor::Person { id: start.requester.id.clone() },
            note: None,
            on_contact: body.on_contact,
            deadline: pass.now + Duration::from_secs(body.deadline_s),
            explanation,
            change_set: Some(start.id),
        };
        Some(self.open_transition(pass, index, request))
    }

    /// Discards a preview, or cancels what has not been sent.
    async fn cancel_change_set(
        &mut self,
        pass: &mut Pass,
        id: ChangeSetId,
        requester: &Requester,
        note: Option<String>,
    ) -> anyhow::Result<Result<(), ChangeSetError>> {
        if !pass.change_sets.insert(id) {
            return Ok(Err(KeeperError::Unavailable.into()));
        }
        let Some(set) = self.link.reader.change_set(&self.link.tenant, id).await? else {
            return Ok(Err(ChangeSetError::NotFound(id)));
        };
        if let (None, Some((at, by))) = (&set.started, &set.cancelled) {
            return Ok(Err(ChangeSetError::AlreadyCancelled { by: by.clone(), at: *at }));
        }
        let waiting: Vec<TransitionId> = self
            .open_transitions
            .iter()
            .map(|open| &open.transition)
            .filter(|open| open.change_set == Some(id) && open.status.is_unsent())
            .map(|open| open.id)
            .collect();
        if set.started.is_some() && waiting.is_empty() {
            return Ok(Err(ChangeSetError::NothingToCancel));
        }
        let by = Actor::Person { id: requester.id.clone() }.label();
        for transition in &waiting {
            self.apply_step(pass, *transition, TransitionStep::Cancel(by.clone()));
        }
        let note = self.save_note(pass, note.as_deref());
        let details = json!({"change_set": id, "started": set.started.is_some(), "called_off": waiting.len()});
        self.audit_person_action(pass, requester, "change_set.cancelled", details, note);
        let (tenant, at, by) = (self.link.tenant.clone(), pass.now, requester.id.clone());
        pass.commit.change_sets.push(ChangeSetWrite::Cancel { tenant, id, at, by });
        Ok(Ok(()))
    }

    /// Adds an audit entry for what a person did, without a particular agent.
    pub(in crate::engine::keeper) fn audit_person_action(
        &self,
        pass: &mut Pass,
        requester: &Requester,
        action: &'static str,
        facts: Value,
        note: Option<Hash>,
    ) {
        pass.commit.audit.push(AuditDraft {
            note_hash: note,
            ..AuditDraft::new(
                self.link.tenant.clone(),
                pass.now,
                Actor::Person { id: requester.id.clone() }.label(),
                action,
                with_source(facts, requester),
            )
        });
    }

    /// Stores a person's note beside the audit chain, and returns its hash for the chain.
    pub(in crate::engine::keeper) fn save_note(&self, pass: &mut Pass, text: Option<&str>) -> Option<Hash> {
        let text = text.filter(|text| !text.is_empty())?.to_owned();
        let salt = self.link.random.bytes();
        let hash = note_hash(&salt, &text);
        pass.commit.notes.push(NoteWrite { tenant: self.link.tenant.clone(), hash, salt, text });
        Some(hash)
    }
}

/// Adds the address of the request to the facts of an audit entry.
pub(in crate::engine::keeper) fn with_source(mut facts: Value, requester: &Requester) -> Value {
    if let (Some(fields), Some(source)) = (facts.as_object_mut(), requester.source) {
        fields.insert("source".to_owned(), json!(source.to_string()));
    }
    facts
}

/// Returns the previewed change of an agent as a request to check again.
fn recheck_request(previewed: &PreviewedAgent) -> AgentChange {
    AgentChange {
        undoes_transition: previewed.undoes_transition,
        ..AgentChange::new(previewed.agent.clone(), previewed.target.clone(), previewed.reason.clone())
    }
}

/// Checks whether a set can be started now, judging by its row.
fn check_startable(set: &ChangeSetRow, start: &StartChangeSet, now: UtcMicros) -> Result<(), ChangeSetError> {
    if let Some((at, by)) = &set.started {
        return Err(ChangeSetError::AlreadyStarted { by: by.clone(), at: *at });
    }
    if let Some((at, by)) = &set.cancelled {
        return Err(ChangeSetError::AlreadyCancelled { by: by.clone(), at: *at });
    }
    if now >= set.expires_at {
        return Err(ChangeSetError::Expired { at: set.expires_at });
    }
    if set.hash != start.hash {
        return Err(ChangeSetError::HashMismatch);
    }
    Ok(())
}
