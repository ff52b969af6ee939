//! Bulk changes: a preview out of the keeper's own picture, its start with a second look at each agent, its end by a person.
//!
//! What is started is what was shown: an agent who was shown as left out is not changed, and one of whom something else is true by
//! now is left out with the reason. The set's row and its transitions are one commit.

use std::time::Duration;

use serde_json::{Value, json};

use super::dispatch::most_under_way;
use super::requests::Wish;
use crate::domain::access::rights::Asker;
use crate::domain::agents::roster::AgentSlot;
use crate::domain::audit::{AuditDraft, Hash, note_hash};
use crate::domain::changes::change_set::finish::{Cost, Load, Slots, cost};
use crate::domain::changes::change_set::{
    MOST_AGENTS_PER_SET, Outcome, Picture, Policy, Preview, Previewed, Shown, Wanted, WantedOf, preview, selected,
};
use crate::domain::changes::priority::Priority;
use crate::domain::changes::transition::{Actor, Step, Transition, WaitReason};
use crate::domain::ids::{ChangeSetId, TransitionId};
use crate::domain::rules::planner::verdict;
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::CompiledRule;
use crate::domain::time::UtcMicros;
use crate::engine::changes::change_sets::body::{SetBody, SlotsShown};
use crate::engine::changes::change_sets::{
    MOST_PREVIEWS, NewSet, PREVIEW_KEPT, Select, SetError, SetMessage, StartSet,
};
use crate::engine::changes::door::DoorError;
use crate::engine::keeper::Keeper;
use crate::engine::keeper::record::Pass;
use crate::platform::breaker::State;
use crate::platform::budget::{URGENT_PATIENCE, Urgency};
use crate::store::{ChangeSetRow, ChangeSetWrite, LeftOut, NoteWrite};

/// A set that shows its finish has this much more time for it, for retries and for contacts to end.
const AFTER_FINISH: Duration = Duration::from_secs(600);

/// Previews that could not be started any more for this long are let go of; until then they say why they cannot be.
const EXPIRED_KEPT: Duration = Duration::from_secs(3600);

/// An answer takes about so long in real time, until some were measured.
const TYPICAL_ANSWER_REAL: Duration = Duration::from_millis(200);

impl Keeper {
    /// What somebody asks about a set.
    pub(in crate::engine::keeper) async fn take_set(
        &mut self,
        pass: &mut Pass,
        message: SetMessage,
    ) -> anyhow::Result<()> {
        match message {
            SetMessage::Preview { wanted, reply } => {
                let made = self.preview_set(pass, *wanted).await?;
                pass.answer(reply, made);
            }
            SetMessage::Start { start, reply } => {
                let started = self.start_set(pass, &start).await?;
                pass.answer(reply, started);
            }
            SetMessage::Cancel { id, asker, note, reply } => {
                let cancelled = self.cancel_set(pass, id, &asker, note).await?;
                pass.answer(reply, cancelled);
            }
        }
        Ok(())
    }

    /// Works a preview out and puts it into the commit.
    async fn preview_set(&mut self, pass: &mut Pass, new: NewSet) -> anyhow::Result<Result<ChangeSetId, SetError>> {
        if let Some(target) = &new.to
            && let Err(error) = self.check_settable(target)
        {
            return Ok(Err(error.into()));
        }
        let waiting = self.link.reader.change_sets_waiting(&self.link.tenant, pass.now).await?;
        let waiting = waiting + pass.previews;
        if waiting >= MOST_PREVIEWS {
            return Ok(Err(SetError::TooManyPreviews { waiting }));
        }
        let wanted = self.wanted(&new, pass.now);
        match wanted.agents.len() {
            0 => return Ok(Err(SetError::Nobody)),
            asked if asked > MOST_AGENTS_PER_SET => return Ok(Err(SetError::TooMany { asked })),
            _ => {}
        }
        let shown = self.preview(&wanted, pass.now);
        let (body, hash) = match self.body(&new, &wanted, &shown, pass.now) {
            Ok(made) => made,
            Err(error) => return Ok(Err(error)),
        };
        let expired = self.link.reader.change_sets_expired(&self.link.tenant, pass.now - EXPIRED_KEPT).await?;
        let forget = |id| ChangeSetWrite::Forget { tenant: self.link.tenant.clone(), id };
        pass.commit.change_sets.extend(expired.into_iter().map(forget));
        let id = ChangeSetId(self.link.random.id_at(pass.now));
        let will_change = shown.agents.iter().filter(|agent| agent.outcome.changes()).count();
        let facts = json!({
            "change_set": id, "hash": hash.to_string(), "undoes": new.undoes, "agents": shown.agents.len(),
            "will_change": will_change,
        });
        self.audit_person(pass, &new.asker, "change_set.previewed", facts, None);
        let text = serde_json::to_string(&body).unwrap_or_default();
        let teams = shown.teams.iter().cloned().map(Some).chain(shown.teamless.then_some(None)).collect();
        let set = ChangeSetRow {
            tenant: self.link.tenant.clone(),
            id,
            made_at: pass.now,
            made_by: new.asker.id.clone(),
            expires_at: pass.now + PREVIEW_KEPT,
            hash,
            undoes: new.undoes,
            teams,
            body: text,
            started: None,
            cancelled: None,
        };
        pass.commit.change_sets.push(ChangeSetWrite::Add { set, agents: shown.agents });
        pass.previews += 1;
        Ok(Ok(id))
    }

    /// Who is meant, and what for.
    fn wanted(&self, new: &NewSet, now: UtcMicros) -> Wanted {
        let settable = self.link.platform.capabilities().settable;
        let plain = |agent| new.to.clone().map(|to| WantedOf::plain(agent, to, new.reason.clone()));
        let agents = match &new.select {
            Select::Agents(agents) => agents.iter().cloned().filter_map(plain).collect(),
            Select::Filter(selection) => {
                let judged = |slot: &AgentSlot| verdict(slot, &self.settings.decide, now).verdict;
                let found = selected(&self.roster, new.teams.as_ref(), selection, judged);
                found.into_iter().filter_map(plain).collect()
            }
            Select::Each(agents) => {
                let mut agents = agents.clone();
                for one in agents.iter_mut().filter(|one| one.aside.is_none() && !settable.contains(&one.to)) {
                    one.aside = Some((Outcome::CannotGoBack, Some(format!("the platform cannot set {}", one.to))));
                }
                agents
            }
        };
        Wanted {
            agents,
            on_contact: new.on_contact.unwrap_or(self.settings.policy.on_contact),
            urgent: new.urgent,
            even_if_in_state: new.even_if_in_state,
            below_floor: new.below_floor.clone(),
            teams: new.teams.clone(),
        }
    }

    fn preview(&self, wanted: &Wanted, now: UtcMicros) -> Preview {
        let leaves = |slot: &AgentSlot| {
            self.book.of_agent(slot.id()).any(|open| {
                let approved = open.transition.status.waits_for() != Some(WaitReason::Approval);
                approved && !open.transition.target.is_working()
            })
        };
        let waiting = |slot: &AgentSlot| {
            let waiting = self.book.waiting(slot.id())?;
            let approved = waiting.transition.status.waits_for() != Some(WaitReason::Approval);
            approved.then_some(waiting.transition.priority)
        };
        let policy = Policy {
            unscheduled_forbids: self.settings.policy.unscheduled_forbids,
            stale_after: self.settings.decide.stale_after,
        };
        let (roster, adherence) = (&self.roster, &self.settings.decide.adherence);
        preview(Picture { roster, leaves: &leaves, waiting: &waiting, policy, adherence, now }, wanted)
    }

    /// What is kept of a preview beside its agents, and the hash of all that is shown.
    fn body(
        &self,
        new: &NewSet,
        wanted: &Wanted,
        shown: &Preview,
        now: UtcMicros,
    ) -> Result<(SetBody, Hash), SetError> {
        let halted = !matches!(self.breaker.state(), State::Closed);
        let cost = self.cost_of(wanted, shown, now);
        let least = cost.finish_at.map_or(Duration::ZERO, |at| at.since(now) + AFTER_FINISH);
        let deadline = new.deadline.unwrap_or_else(|| self.settings.policy.deadline.max(least));
        let cost = if halted { Cost { finish_at: None, finish_at_latest: None, ..cost } } else { cost };
        let hash = Shown {
            tenant: &self.link.tenant,
            to: new.to.as_ref(),
            reason: new.reason.as_ref(),
            on_contact: wanted.on_contact,
            urgent: wanted.urgent,
            even_if_in_state: wanted.even_if_in_state,
            below_floor: wanted.below_floor.as_deref(),
            undoes: new.undoes,
            floors: &shown.floors,
            agents: shown.agents.iter().map(Into::into).collect(),
        }
        .hash()
        .map_err(|error| SetError::NotWritable(error.to_string()))?;
        let body = SetBody {
            to: new.to.clone(),
            reason: new.reason.clone(),
            on_contact: wanted.on_contact,
            urgent: wanted.urgent,
            even_if_in_state: wanted.even_if_in_state,
            below_floor: wanted.below_floor.clone(),
            note: new.note.clone(),
            deadline_s: deadline.as_secs(),
            cost,
            reason_calls: shown.reason_calls,
            slots: {
                let budget = self.link.budget();
                SlotsShown { per_minute: budget.limit(), free: budget.free(self.link.clock.monotonic()) }
            },
            halted,
            floors: shown.floors.clone(),
        };
        Ok((body, hash))
    }

    fn cost_of(&self, wanted: &Wanted, shown: &Preview, now: UtcMicros) -> Cost {
        let (urgency, reserve, ahead_of) = if wanted.urgent {
            (Urgency::Urgent, 0, Priority::Urgent)
        } else {
            (Urgency::Ordinary, self.settings.budget.urgent_reserve, Priority::Person)
        };
        let slots = {
            let budget = self.link.budget();
            Slots {
                free_in: budget.free_in(self.link.clock.monotonic()),
                window: budget.window(),
                reserve,
                patience: URGENT_PATIENCE,
                answer_in: self.answer_in.unwrap_or_else(|| self.link.clock.span_of_real(TYPICAL_ANSWER_REAL)),
                parallel: most_under_way(self.settings.budget.parallel_calls, urgency),
            }
        };
        let budget = &self.settings.budget;
        let load = Load {
            posts: shown.posts,
            questions: shown.questions,
            questions_per_minute: budget.requests_per_minute * budget.read_share_percent / 100,
            ahead: self.calls_ahead(ahead_of),
            breaks: self.breaks_to_come(now),
            retry_percent: self.settings.retry.share_percent,
            retries_at_least: self.settings.retry.at_least_per_minute,
        };
        cost(&slots, &load, now)
    }

    /// Changes of this class and above that wait for nothing but their turn: they go first.
    fn calls_ahead(&self, class: Priority) -> usize {
        let goes_first = |why| match why {
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
        let waiting = self.book.iter().map(|open| &open.transition).filter(|open| open.status.has_not_left());
        waiting.filter(|open| open.priority >= class && goes_first(open.status.waits_for())).count()
    }

    /// When mandatory breaks begin, where a rule of that class acts by itself: their changes go first.
    fn breaks_to_come(&self, now: UtcMicros) -> Vec<UtcMicros> {
        let sends = |rule: &CompiledRule| {
            let acts = rule.mode == Mode::Enforce && rule.action.target().is_some();
            acts && rule.class.priority() == Priority::MandatoryBreak
        };
        if !self.settings.rules.rules().iter().any(sends) {
            return Vec::new();
        }
        let next = |slot: &AgentSlot| {
            let from = slot.plan().first_starting_after(now);
            slot.plan().segments()[from..].iter().find(|segment| segment.mandatory).map(|segment| segment.start)
        };
        let mut starts: Vec<UtcMicros> = self.roster.slots().iter().filter_map(next).collect();
        starts.sort_unstable();
        starts
    }

    /// Starts a set: looks at each agent again, and puts the transitions of all who can be changed as shown into the commit.
    async fn start_set(&mut self, pass: &mut Pass, start: &StartSet) -> anyhow::Result<Result<(), SetError>> {
        if !pass.sets.insert(start.id) {
            return Ok(Err(DoorError::Unavailable.into()));
        }
        let Some(set) = self.link.reader.change_set(&self.link.tenant, start.id).await? else {
            return Ok(Err(SetError::NotFound(start.id)));
        };
        if let Err(error) = may_start(&set, start, pass.now) {
            return Ok(Err(error));
        }
        let body: SetBody = match serde_json::from_str(&set.body) {
            Ok(body) => body,
            Err(error) => return Ok(Err(SetError::NotWritable(error.to_string()))),
        };
        let wanted = Wanted {
            agents: start.agents.iter().map(|(_, shown)| again(shown)).collect(),
            on_contact: body.on_contact,
            urgent: body.urgent,
            even_if_in_state: body.even_if_in_state,
            below_floor: body.below_floor.clone(),
            teams: start.teams.clone(),
        };
        let now_shown = self.preview(&wanted, pass.now);
        if !now_shown.agents.iter().any(|agent| agent.outcome.changes()) {
            let why = start.hindered.iter().cloned().chain(now_shown.agents.iter().map(Into::into)).collect();
            return Ok(Err(SetError::NothingToChange { why }));
        }
        let mut left_out = Vec::new();
        let mut sent = 0_usize;
        for ((place, _), found) in start.agents.iter().zip(now_shown.agents) {
            if found.outcome.changes() {
                sent += usize::from(self.open_of_set(pass, start, &body, &found).is_some());
            } else {
                left_out.push(LeftOut { place: *place, outcome: found.outcome, why: found.why });
            }
        }
        let below_floor = self.keep_note(pass, body.below_floor.as_deref());
        let note = self.keep_note(pass, body.note.as_deref());
        let facts = json!({
            "change_set": start.id, "hash": set.hash.to_string(), "undoes": set.undoes, "to": body.to, "reason": body.reason,
            "on_contact": body.on_contact, "urgent": body.urgent, "even_if_in_state": body.even_if_in_state,
            "below_floor": below_floor.map(|hash| hash.to_string()),
            "changes": sent, "left_out": left_out.len(),
        });
        self.audit_person(pass, &start.asker, "change_set.started", facts, note);
        pass.commit.change_sets.push(ChangeSetWrite::Start {
            tenant: self.link.tenant.clone(),
            id: start.id,
            at: pass.now,
            by: start.asker.id.clone(),
            left_out,
        });
        Ok(Ok(()))
    }

    fn open_of_set(
        &mut self,
        pass: &mut Pass,
        start: &StartSet,
        body: &SetBody,
        found: &Previewed,
    ) -> Option<TransitionId> {
        let index = self.roster.find(found.agent.as_str())?;
        let mut explanation = json!({"asked_by": &*start.asker.id, "change_set": start.id});
        if body.even_if_in_state || found.takes_back.is_some() {
            explanation[Transition::EVEN_IF_IN_STATE] = json!(true);
        }
        let wish = Wish {
            target: found.to.clone(),
            reason: found.reason.clone().unwrap_or_else(|| found.to.default_reason()),
            priority: if body.urgent { Priority::Urgent } else { Priority::Person },
            actor: Actor::Person { id: start.asker.id.clone() },
            note: None,
            on_contact: body.on_contact,
            deadline: pass.now + Duration::from_secs(body.deadline_s),
            explanation,
            change_set: Some(start.id),
        };
        Some(self.open(pass, index, wish))
    }

    /// Throws a preview away, or calls off what has not left.
    async fn cancel_set(
        &mut self,
        pass: &mut Pass,
        id: ChangeSetId,
        asker: &Asker,
        note: Option<String>,
    ) -> anyhow::Result<Result<(), SetError>> {
        if !pass.sets.insert(id) {
            return Ok(Err(DoorError::Unavailable.into()));
        }
        let Some(set) = self.link.reader.change_set(&self.link.tenant, id).await? else {
            return Ok(Err(SetError::NotFound(id)));
        };
        if let (None, Some((at, by))) = (&set.started, &set.cancelled) {
            return Ok(Err(SetError::CancelledAlready { by: by.clone(), at: *at }));
        }
        let waiting: Vec<TransitionId> = self
            .book
            .iter()
            .map(|open| &open.transition)
            .filter(|open| open.change_set == Some(id) && open.status.has_not_left())
            .map(|open| open.id)
            .collect();
        if set.started.is_some() && waiting.is_empty() {
            return Ok(Err(SetError::TooLate));
        }
        let by = Actor::Person { id: asker.id.clone() }.label();
        for transition in &waiting {
            self.step(pass, *transition, Step::Cancel(by.clone()));
        }
        let note = self.keep_note(pass, note.as_deref());
        let facts = json!({"change_set": id, "started": set.started.is_some(), "called_off": waiting.len()});
        self.audit_person(pass, asker, "change_set.cancelled", facts, note);
        let (tenant, at, by) = (self.link.tenant.clone(), pass.now, asker.id.clone());
        pass.commit.change_sets.push(ChangeSetWrite::Cancel { tenant, id, at, by });
        Ok(Ok(()))
    }

    /// An entry about what a person did that is about no single agent.
    pub(in crate::engine::keeper) fn audit_person(
        &self,
        pass: &mut Pass,
        asker: &Asker,
        action: &'static str,
        facts: Value,
        note: Option<Hash>,
    ) {
        pass.commit.audit.push(AuditDraft {
            note,
            ..AuditDraft::new(
                self.link.tenant.clone(),
                pass.now,
                Actor::Person { id: asker.id.clone() }.label(),
                action,
                with_source(facts, asker),
            )
        });
    }

    /// Puts a person's words beside the chain; the chain holds the hash.
    pub(in crate::engine::keeper) fn keep_note(&self, pass: &mut Pass, text: Option<&str>) -> Option<Hash> {
        let text = text.filter(|text| !text.is_empty())?.to_owned();
        let salt = self.link.random.bytes();
        let hash = note_hash(&salt, &text);
        pass.commit.notes.push(NoteWrite { tenant: self.link.tenant.clone(), hash, salt, text });
        Some(hash)
    }
}

/// The facts of an entry with the address that the request came from.
pub(in crate::engine::keeper) fn with_source(mut facts: Value, asker: &Asker) -> Value {
    if let (Some(fields), Some(source)) = (facts.as_object_mut(), asker.source) {
        fields.insert("source".to_owned(), json!(source.to_string()));
    }
    facts
}

/// What was shown of an agent, wanted once more.
fn again(shown: &Previewed) -> WantedOf {
    WantedOf {
        takes_back: shown.takes_back,
        ..WantedOf::plain(shown.agent.clone(), shown.to.clone(), shown.reason.clone())
    }
}

/// Whether a set can be started now, by its row.
fn may_start(set: &ChangeSetRow, start: &StartSet, now: UtcMicros) -> Result<(), SetError> {
    if let Some((at, by)) = &set.started {
        return Err(SetError::StartedAlready { by: by.clone(), at: *at });
    }
    if let Some((at, by)) = &set.cancelled {
        return Err(SetError::CancelledAlready { by: by.clone(), at: *at });
    }
    if now >= set.expires_at {
        return Err(SetError::Expired { at: set.expires_at });
    }
    if set.hash != start.hash {
        return Err(SetError::HashDiffers);
    }
    Ok(())
}
