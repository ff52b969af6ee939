//! Makes offers to agents and takes their answers. An accepted offer becomes a version of the schedule.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::changes::Proposal;
use super::check::Comparison;
use super::import::Importer;
use crate::clock::BoxFuture;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::ids::{AgentId, EventId, OfferId, SubjectId, TenantId};
use crate::domain::schedules::comparison::AgentComparison;
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::offer::{Offer, OfferAnswer, OfferStatus, OfferedAgent};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{Event, EventData, OfferAnswered, OfferMade};
use crate::http::{
    ChangedShift, LeftOutAgent, MadeOffer, NewOffer, OfferError, OfferToAgent, ScheduleChange, ScheduleChangeError,
    ScheduleChangeRequest, ScheduleOffers,
};
use crate::store::{Commit, ImportOutcome, OfferWrite};

impl ScheduleOffers for Importer {
    fn make_offer(&self, new: NewOffer) -> BoxFuture<Result<MadeOffer, OfferError>> {
        let importer = self.clone();
        Box::pin(async move { importer.make(new).await })
    }

    fn show_offer(&self, secret: String) -> BoxFuture<Result<OfferToAgent, OfferError>> {
        let importer = self.clone();
        Box::pin(async move {
            let (offer, agent) = importer.offer_of(&secret).await?;
            importer.offer_to(offer, agent).await
        })
    }

    fn answer_offer(&self, secret: String, accept: bool) -> BoxFuture<Result<OfferToAgent, OfferError>> {
        let importer = self.clone();
        Box::pin(async move {
            let (offer, agent) = importer.offer_of(&secret).await?;
            let (tenant, id) = (offer.tenant, offer.id);
            importer.answer(&tenant, id, &agent, accept).await?;
            let offer = importer.reader.offer(&tenant, id).await?.ok_or(OfferError::NoOffer)?;
            importer.offer_to(offer, agent).await
        })
    }

    fn approve_offer(&self, tenant: TenantId, id: OfferId, actor: String) -> BoxFuture<Result<MadeOffer, OfferError>> {
        let importer = self.clone();
        Box::pin(async move { importer.approve(&tenant, id, actor).await })
    }

    fn withdraw_offer(&self, tenant: TenantId, id: OfferId, actor: String) -> BoxFuture<Result<Offer, OfferError>> {
        let importer = self.clone();
        Box::pin(async move { importer.withdraw(&tenant, id, actor).await })
    }
}

/// The agents whose shifts an offer would change.
struct FittingAgents {
    agents: Vec<OfferedAgent>,
    /// The subject of each agent, in their order.
    subjects: Vec<SubjectId>,
    left_out: Vec<LeftOutAgent>,
    /// The end of the day.
    ends_at: UtcMicros,
}

impl Importer {
    async fn make(&self, new: NewOffer) -> Result<MadeOffer, OfferError> {
        let now = self.clock.now();
        let made_by: Arc<str> = new.actor.into();
        let offer = Offer {
            id: OfferId(self.random.time_ordered_id(now)),
            tenant: new.tenant,
            day: new.day,
            edit: new.edit,
            places: new.places,
            expires_at: new.expires_at,
            made_at: now,
            made_by: made_by.clone(),
            approved: Some((now, made_by)),
            withdrawn: None,
            agents: Vec::new(),
        };
        let fit = self.fitting_agents(&offer, new.agents).await?;
        if offer.expires_at <= now || offer.expires_at > fit.ends_at {
            return Err(OfferError::BadExpiry(offer.day));
        }
        self.commit_made(offer, fit, true).await
    }

    /// Makes an offer that a rule proposed, to the agents whose shifts it still changes.
    async fn approve(&self, tenant: &TenantId, id: OfferId, actor: String) -> Result<MadeOffer, OfferError> {
        let import_guard = self.import_lock.lock().await;
        let offer = self.reader.offer(tenant, id).await?.ok_or(OfferError::NoOffer)?;
        let now = self.clock.now();
        if offer.status(now) != OfferStatus::Proposed {
            return Err(OfferError::NotProposed);
        }
        let agents = offer.agents.iter().map(|offered| offered.agent.clone()).collect();
        let fit = self.fitting_agents(&offer, agents).await?;
        let made = self.commit_made(Offer { approved: Some((now, actor.into())), ..offer }, fit, false).await;
        drop(import_guard);
        made
    }

    /// Returns the agents whose shifts an offer would change.
    async fn fitting_agents(&self, offer: &Offer, agents: Vec<AgentId>) -> Result<FittingAgents, OfferError> {
        let (proposal, comparison) = self.proposed(&offer.tenant, agents, (offer.day, &offer.edit)).await?;
        let Proposal { schedules, mut left_out, .. } = proposal;
        let changed: HashSet<AgentId> =
            comparison.agents.into_iter().filter(|one| !one.changes.is_empty()).map(|one| one.agent).collect();
        let (changed, same): (Vec<_>, Vec<_>) = schedules.into_iter().partition(|one| changed.contains(&one.agent.id));
        left_out.extend(same.into_iter().map(|one| LeftOutAgent {
            name: one.agent.name.as_deref().map(str::to_owned),
            agent: one.agent.id,
            why: "nothing would change".to_owned(),
        }));
        let Some(ends_at) = changed.iter().map(|one| one.coverage.end).max() else {
            return Err(ScheduleChangeError::NothingChanges(left_out).into());
        };
        let mut offered: Vec<(OfferedAgent, SubjectId)> = changed
            .into_iter()
            .map(|one| {
                let agent = one.agent;
                (OfferedAgent { agent: agent.id, name: agent.name, team: agent.team, answer: None }, one.subject)
            })
            .collect();
        offered.sort_by(|(one, _), (other, _)| one.agent.cmp(&other.agent));
        let (agents, subjects) = offered.into_iter().unzip();
        Ok(FittingAgents { agents, subjects, left_out, ends_at })
    }

    /// Stores an approved offer with a link for each agent; a new one is stored itself too.
    async fn commit_made(&self, offer: Offer, fit: FittingAgents, is_new: bool) -> Result<MadeOffer, OfferError> {
        let FittingAgents { agents, subjects, left_out, .. } = fit;
        let offer = Offer { agents, ..offer };
        let secrets: Vec<String> = offer.agents.iter().map(|_| self.random.secret()).collect();
        let paths: Vec<String> = secrets.iter().map(|secret| format!("/offer/{secret}")).collect();
        let mut commit = self.commit_of_links(&offer, &subjects, &secrets, &paths);
        if is_new {
            commit.offers.insert(0, OfferWrite::Make(offer.clone()));
        }
        self.writer.commit(commit).await.map_err(OfferError::Store)?;
        let links = offer.agents.iter().map(|offered| offered.agent.clone()).zip(paths).collect();
        Ok(MadeOffer { offer, links, left_out })
    }

    fn commit_of_links(&self, offer: &Offer, subjects: &[SubjectId], secrets: &[String], paths: &[String]) -> Commit {
        let (at, actor) = offer.approved.clone().unwrap_or_else(|| (offer.made_at, offer.made_by.clone()));
        let facts = json!({
            "offer": offer.id, "day": offer.day.to_string(), "edit": offer.edit, "places": offer.places,
            "expires_at": offer.expires_at,
        });
        let audit = subjects.iter().map(|subject| AuditDraft {
            subject: Some(*subject),
            ..AuditDraft::new(offer.tenant.clone(), at, actor.to_string(), "offer.made", facts.clone())
        });
        let events = offer.agents.iter().zip(paths).map(|(offered, link)| {
            let made = OfferMade {
                user_id: offered.agent.clone(),
                offer_id: offer.id,
                change: offer.change_text(),
                link: link.clone(),
                places: offer.places,
                expires_at: offer.expires_at,
                actor: actor.to_string(),
            };
            self.offer_event(offer, made.into())
        });
        let hashes = secrets.iter().map(|secret| Hash::of(secret.as_bytes()));
        let approval = OfferWrite::Approve {
            tenant: offer.tenant.clone(),
            offer: offer.id,
            at,
            by: actor.to_string(),
            links: offer.agents.iter().map(|offered| offered.agent.clone()).zip(hashes).collect(),
        };
        Commit { audit: audit.collect(), events: events.collect(), offers: vec![approval], ..Commit::default() }
    }

    /// Answers for an agent. An offer that cannot be answered any more stays as it is.
    async fn answer(&self, tenant: &TenantId, id: OfferId, agent: &AgentId, accept: bool) -> Result<(), OfferError> {
        // One answer at a time, so that no more agents accept than there are places.
        let import_guard = self.import_lock.lock().await;
        let offer = self.reader.offer(tenant, id).await?.ok_or(OfferError::NoOffer)?;
        let now = self.clock.now();
        if offer.answer_of(agent).is_some() || offer.status(now) != OfferStatus::Open {
            return Ok(());
        }
        if !accept {
            let Some(known) = self.reader.agent(tenant, agent).await? else { return Err(OfferError::NoOffer) };
            let commit = self.commit_of_answer(&offer, agent, OfferAnswer { at: now, accepted_as: None });
            let actor = format!("offer:{id}");
            let draft = AuditDraft::new(tenant.clone(), now, actor, "offer.declined", facts_of(&offer));
            let audit = vec![AuditDraft { subject: Some(known.subject), ..draft }];
            self.writer.commit(Commit { audit, ..commit }).await.map_err(OfferError::Store)?;
            return Ok(());
        }
        let (mut proposal, comparison) = self.proposed(tenant, vec![agent.clone()], (offer.day, &offer.edit)).await?;
        if comparison.changed_agents() == 0 {
            return Ok(());
        }
        proposal.name = format!("accepted offer: {}", offer.change_text());
        proposal.action = "offer.accepted";
        proposal.facts = facts_of(&offer);
        let version = comparison.version.unwrap_or(0) + 1;
        let request = edit_request(tenant, vec![agent.clone()], (offer.day, &offer.edit), format!("offer:{id}"));
        let mut import = self.import_of(request, proposal);
        let answered = self.commit_of_answer(&offer, agent, OfferAnswer { at: now, accepted_as: Some(version) });
        import.with_activation.events.extend(answered.events);
        import.with_activation.offers.extend(answered.offers);
        let outcome = self.writer.import(import).await.map_err(OfferError::Store)?;
        drop(import_guard);
        if matches!(outcome, ImportOutcome::Activated { .. }) {
            self.notify_keeper(tenant).await;
        }
        Ok(())
    }

    fn commit_of_answer(&self, offer: &Offer, agent: &AgentId, answer: OfferAnswer) -> Commit {
        let answered = OfferAnswered {
            user_id: agent.clone(),
            offer_id: offer.id,
            answer: answer.name(),
            schedule_version: answer.accepted_as,
            accepted: offer.accepted() + usize::from(answer.accepted_as.is_some()),
            places: offer.places,
        };
        let (tenant, agent) = (offer.tenant.clone(), agent.clone());
        Commit {
            events: vec![self.offer_event(offer, answered.into())],
            offers: vec![OfferWrite::Answer { tenant, offer: offer.id, agent, answer }],
            ..Commit::default()
        }
    }

    async fn withdraw(&self, tenant: &TenantId, id: OfferId, actor: String) -> Result<Offer, OfferError> {
        let import_guard = self.import_lock.lock().await;
        let offer = self.reader.offer(tenant, id).await?.ok_or(OfferError::NoOffer)?;
        let at = self.clock.now();
        if matches!(offer.status(at), OfferStatus::Proposed | OfferStatus::Open) {
            let facts = json!({"offer": id, "accepted": offer.accepted()});
            let audit = vec![AuditDraft::new(tenant.clone(), at, actor.clone(), "offer.withdrawn", facts)];
            let offers = vec![OfferWrite::Withdraw { tenant: tenant.clone(), offer: id, at, by: actor }];
            let commit = Commit { audit, offers, ..Commit::default() };
            self.writer.commit(commit).await.map_err(OfferError::Store)?;
        }
        drop(import_guard);
        self.reader.offer(tenant, id).await?.ok_or(OfferError::NoOffer)
    }

    async fn offer_of(&self, secret: &str) -> Result<(Offer, AgentId), OfferError> {
        self.reader.offer_of_link(&Hash::of(secret.as_bytes())).await?.ok_or(OfferError::NoOffer)
    }

    async fn offer_to(&self, offer: Offer, agent: AgentId) -> Result<OfferToAgent, OfferError> {
        let known = self.reader.agent(&offer.tenant, &agent).await?.ok_or(OfferError::NoOffer)?;
        let (proposal, comparison) =
            self.proposed(&offer.tenant, vec![agent.clone()], (offer.day, &offer.edit)).await?;
        let changes: Vec<ChangedShift> =
            comparison.agents.into_iter().flat_map(|one| one.changes).map(ChangedShift::from).collect();
        let changes = match proposal.left_out.into_iter().next() {
            Some(left_out) => Err(left_out.why),
            None if changes.is_empty() => Err("nothing would change".to_owned()),
            None => Ok(changes),
        };
        let zone = known.agent.zone.as_deref().map(str::to_owned);
        Ok(OfferToAgent { offer, agent, zone, changes, now: self.clock.now() })
    }

    /// Returns what an offer would change for agents in the schedule in force. Agents whose change would begin in the
    /// past are left out.
    async fn proposed(
        &self,
        tenant: &TenantId,
        agents: Vec<AgentId>,
        edit: (Date, &ShiftEdit),
    ) -> Result<(Proposal, Comparison), ScheduleChangeError> {
        let mut proposal = self.propose(&edit_request(tenant, agents, edit, String::new())).await?;
        let mut comparison = self.compare(tenant, &proposal.schedules).await?;
        let now = comparison.now;
        let begins_in_past = |one: &AgentComparison| {
            one.changes.iter().any(|change| change.first_difference().is_some_and(|first| first < now))
        };
        let past: HashSet<AgentId> =
            comparison.agents.iter().filter(|one| begins_in_past(one)).map(|one| one.agent.clone()).collect();
        comparison.agents.retain(|one| !past.contains(&one.agent));
        let (left_out, schedules): (Vec<_>, Vec<_>) =
            proposal.schedules.into_iter().partition(|one| past.contains(&one.agent.id));
        proposal.schedules = schedules;
        proposal.left_out.extend(left_out.into_iter().map(|one| LeftOutAgent {
            name: one.agent.name.as_deref().map(str::to_owned),
            agent: one.agent.id,
            why: "the change would begin in the past".to_owned(),
        }));
        Ok((proposal, comparison))
    }

    fn offer_event(&self, offer: &Offer, data: EventData) -> Event {
        let at = self.clock.now();
        Event { id: EventId(self.random.time_ordered_id(at)), tenant: offer.tenant.clone(), at, data }
    }
}

fn edit_request(
    tenant: &TenantId,
    agents: Vec<AgentId>,
    (day, edit): (Date, &ShiftEdit),
    actor: String,
) -> ScheduleChangeRequest {
    let change = ScheduleChange::Edit { agents, day, edit: edit.clone() };
    ScheduleChangeRequest { tenant: tenant.clone(), change, actor }
}

/// Returns what the audit trail says of an answer.
fn facts_of(offer: &Offer) -> Value {
    json!({"offer": offer.id, "day": offer.day.to_string(), "edit": offer.edit})
}
