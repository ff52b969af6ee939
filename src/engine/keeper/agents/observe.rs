//! Takes sights in: the one merge, confirmations, and what is in doubt.
//!
//! Snapshots alone settle what a state POST did. Nothing here asks the platform anything.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use serde_json::json;

use crate::domain::agents::agent::{Agent, Observed, Source};
use crate::domain::agents::merge::{
    CONTRADICTIONS_BELIEVED, Known, Merged, SAME_CHANGE, Sighted, between_settled, merge,
};
use crate::domain::agents::roster::{AgentIndex, AgentSlot};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::transition::{Actor, Status, Step, Transition};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::rules::planner::is_reversal;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AgentReversedChange, PictureStale, SnapshotOversize, SubscriptionNearExpiry};
use crate::engine::keeper::Keeper;
use crate::engine::keeper::changes::book::Open;
use crate::engine::keeper::changes::doubt::{Lost, Verdict, read_back};
use crate::engine::keeper::record::{Pass, shows};
use crate::engine::keeper::rules::Found;
use crate::engine::message::{Sight, SliceNotice};
use crate::engine::platform::calls::real_millis;
use crate::platform::Sighting;
use crate::store::{AgentWrite, FindingKind, HistoryWrite};

/// With no snapshot at all, a change in doubt is given up this long after it could first have been read back.
const LONGEST_UNSEEN: Duration = Duration::from_secs(15 * 60);

/// A message of the feed is so long on its way at most, in real time, or [`SAME_CHANGE`] on our clock where that is longer.
const LONGEST_WAY_REAL: Duration = Duration::from_millis(500);

impl Keeper {
    /// Takes one snapshot in.
    pub(in crate::engine::keeper) fn take_sight(&mut self, pass: &mut Pass, mut sight: Sight) {
        // It is from before now; where its instant says otherwise, the clock was set back on its way here.
        sight.generated_at = sight.generated_at.min(pass.now);
        let absent: HashSet<&AgentId> = sight.absent.iter().collect();
        let mut look_at: BTreeSet<AgentIndex> = BTreeSet::new();
        for sighting in sight.changed {
            let Some(index) = self.roster.find(sighting.agent.as_str()) else { continue };
            self.learn_identity(pass, index, &sighting);
            let row = Sighted {
                state: sighting.state,
                queue: sighting.queue,
                changed_at: sighting.changed_at.map(|at| at.offset(-sight.offset_us)),
                platform_at: sighting.changed_at,
                generated_at: sight.generated_at,
            };
            let file = &mut self.files[index.position()];
            (file.row, file.missed) = (Some(row), None);
            look_at.insert(index);
        }
        for agent in sight.agents.iter().filter(|agent| !absent.contains(agent)) {
            let Some(index) = self.roster.find(agent.as_str()) else { continue };
            let file = &mut self.files[index.position()];
            // Without a row this keeper never heard what is unchanged: the sight was meant for the one before it.
            let Some(row) = &mut file.row else { continue };
            self.roster.seen(index, sight.generated_at);
            if self.held_fed.get(agent).is_some_and(|fed| sight.generated_at > fed.received_at) {
                self.held_fed.remove(agent);
            }
            // A snapshot that is served twice shows nothing more the second time, and counts once.
            if row.generated_at >= sight.generated_at {
                continue;
            }
            row.generated_at = sight.generated_at;
            let estimated = self.roster.get(index).and_then(AgentSlot::observed).is_some_and(Observed::is_estimate);
            let came_back = file.missed.take().is_some();
            if came_back || estimated || file.contradictions > 0 || self.book.of_agent(agent).next().is_some() {
                look_at.insert(index);
            }
        }
        for index in look_at {
            self.merge_row(pass, index);
            self.settle(pass, index);
        }
        let newest = self.newest_sights.entry(sight.slice).or_insert(UtcMicros::EPOCH);
        if *newest < sight.generated_at {
            *newest = sight.generated_at;
            for agent in sight.absent.iter() {
                self.note_absent(pass, agent, sight.generated_at);
            }
            for agent in sight.missing.iter() {
                self.note_missed(pass, agent, sight.generated_at);
            }
        }
    }

    /// A snapshot without the agent tells nothing of a change that it should show. After three of them none is awaited any more:
    /// the agent is out of sight, and other changes must not wait for ever.
    fn note_absent(&mut self, pass: &mut Pass, agent: &AgentId, generated_at: UtcMicros) {
        let awaited = |open: &&Open| shown_from(&open.transition.status).is_some_and(|from| generated_at > from);
        let unseen: Vec<TransitionId> =
            self.book.of_agent(agent).filter(awaited).map(|open| open.transition.id).collect();
        for id in unseen {
            let Some(open) = self.book.get_mut(id) else { continue };
            open.unshown += 1;
            if open.unshown >= u32::from(CONTRADICTIONS_BELIEVED) {
                self.step(pass, id, Step::GiveUp { at: pass.now });
            }
        }
    }

    /// After three snapshots without an agent whom no other source has shown meanwhile, the state is unknown from the first of them on.
    /// Fewer are nothing, and so is time without any snapshot.
    fn note_missed(&mut self, pass: &mut Pass, agent: &AgentId, generated_at: UtcMicros) {
        let Some(index) = self.roster.find(agent.as_str()) else { return };
        let known = self.roster.get(index).and_then(AgentSlot::observed);
        // A snapshot from before what is known says nothing against it.
        if known.is_some_and(|known| known.state.is_out_of_sight() || generated_at <= known.entered_at) {
            return;
        }
        let missed = &mut self.files[index.position()].missed;
        let (since, count) = missed.map_or((generated_at, 1), |(since, count)| (since, count + 1));
        *missed = Some((since, count));
        if count >= CONTRADICTIONS_BELIEVED {
            self.lose_sight(pass, index, AgentState::unseen(), since);
        }
    }

    /// What only the platform knows of who an agent is; an imported name or team is not overwritten.
    fn learn_identity(&mut self, pass: &mut Pass, index: AgentIndex, sighting: &Sighting) {
        let Some(known) = self.roster.get(index).map(|slot| slot.agent().clone()) else { return };
        let learnt = Agent {
            name: known.name.clone().or_else(|| sighting.name.clone()),
            team: known.team.clone().or_else(|| sighting.team.clone()),
            ..known.clone()
        };
        if learnt != known {
            let subject = self.files[index.position()].subject;
            pass.commit.agents.push(AgentWrite { tenant: self.link.tenant.clone(), agent: learnt.clone(), subject });
            self.roster.upsert(learnt);
        }
    }

    fn merge_row(&mut self, pass: &mut Pass, index: AgentIndex) {
        let Some(slot) = self.roster.get(index) else { return };
        let known = slot.observed().cloned();
        let Some(row) = self.files[index.position()].row.clone() else { return };
        let merged = merge(self.known(index), &row);
        let file = &mut self.files[index.position()];
        if merged == Merged::Contradiction {
            // A snapshot from before the change it contradicts says nothing.
            if known.is_some_and(|known| row.generated_at > known.entered_at) {
                file.contradictions += 1;
            }
            file.doubted = Some(row);
            return;
        }
        if let (Merged::Between(stay), Some(known)) = (&merged, &known) {
            if let Some(before) = file.before_estimate.clone() {
                self.fill_in(pass, index, &before, stay, known);
            }
            return;
        }
        let disproved = file.contradictions + 1 >= CONTRADICTIONS_BELIEVED;
        file.contradictions = 0;
        match (merged, known) {
            (Merged::Nothing | Merged::Contradiction | Merged::Between(_), _) | (Merged::Settled(_), None) => {}
            (Merged::Queue(now), _) => {
                let agent = slot.id().clone();
                pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, &now)));
                self.roster.observe(index, now, row.generated_at);
            }
            (Merged::Settled(now), Some(estimate)) => {
                self.settle_instant(pass, index, &estimate, now, row.generated_at);
            }
            (Merged::Changed(_), Some(known)) if disproved && known.source == Source::Post => {
                self.take_back(pass, index, &known, &row);
            }
            (Merged::Changed(now), known) => self.enter(pass, index, known.as_ref(), now, row.generated_at),
        }
    }

    /// What the merge goes by.
    pub(in crate::engine::keeper) fn known(&self, index: AgentIndex) -> Known<'_> {
        let file = &self.files[index.position()];
        Known {
            now: self.roster.get(index).and_then(AgentSlot::observed),
            before: file.before_estimate.as_ref(),
            told: file.told_by_feed,
            contradictions: file.contradictions,
            late_by: self.late_by(),
            at: self.link.clock.now(),
        }
    }

    /// How late an estimate may be.
    pub(in crate::engine::keeper) fn late_by(&self) -> Duration {
        SAME_CHANGE.max(self.link.clock.span_of_real(LONGEST_WAY_REAL))
    }

    /// The platform's own instant, or a better one, takes the place of an estimate.
    pub(in crate::engine::keeper) fn settle_instant(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        estimate: &Observed,
        now: Observed,
        seen_at: UtcMicros,
    ) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let doubted = self.files[index.position()].doubted.take();
        let between = doubted.and_then(|row| between_settled(self.known(index), &now, &row));
        let file = &mut self.files[index.position()];
        let before = if now.is_estimate() { file.before_estimate.clone() } else { file.before_estimate.take() };
        // An instant that jitters does not put a change before the one that it followed.
        let mut now = now.following(before.as_ref());
        if before.is_none() && estimate.row_at > estimate.entered_at {
            // An estimate that a disproved change had replaced, and whose row stands ahead of its own instant since the clock was set
            // back: what it followed is not known any more, so the row keeps its place.
            now.row_at = now.row_at.max(estimate.row_at);
        }
        if let Some(before) = before.as_ref().filter(|before| before.state.counts_as_not_ready()) {
            file.take_not_ready(before.entered_at, estimate.entered_at);
            file.add_not_ready(before.entered_at, now.entered_at);
            pass.count(index);
        }
        pass.commit.history.push(self.retiming(&agent, estimate.row_at, &now));
        if now.queue != estimate.queue {
            pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, &now)));
        }
        self.roster.observe(index, now.clone(), seen_at);
        if let (Some(stay), Some(before)) = (between, before) {
            self.fill_in(pass, index, &before, &stay, &now);
        }
    }

    /// A stay that ended before the known one began goes into history between it and the one before.
    fn fill_in(&mut self, pass: &mut Pass, index: AgentIndex, before: &Observed, stay: &Observed, now: &Observed) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        // Where a clock was set in between, there may be no place.
        if stay.row_at >= now.row_at {
            return;
        }
        let file = &mut self.files[index.position()];
        file.before_estimate = now.is_estimate().then(|| stay.clone());
        if before.state.counts_as_not_ready() {
            file.take_not_ready(before.entered_at, now.entered_at);
        }
        pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, stay)));
        self.tell_change(pass, index, Some(before), stay, None);
        // The known one is the latest still, and whoever reads on from an id hears of it last.
        pass.commit.history.push(self.retiming(&agent, now.row_at, now));
        self.tell_change(pass, index, Some(stay), now, None);
    }

    /// An accepted POST that three snapshots disprove: its row goes, and the picture is again what it was before, merged with
    /// what is shown.
    fn take_back(&mut self, pass: &mut Pass, index: AgentIndex, posted: &Observed, row: &Sighted) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let (tenant, entered_at) = (self.link.tenant.clone(), posted.row_at);
        pass.commit.history.push(HistoryWrite::Remove { tenant, agent: agent.clone(), entered_at });
        let file = &mut self.files[index.position()];
        let before = file.before_estimate.take();
        if let Some(before) = before.as_ref().filter(|before| before.state.counts_as_not_ready()) {
            file.take_not_ready(before.entered_at, posted.entered_at);
            pass.count(index);
        }
        let before_it = Known { now: before.as_ref(), late_by: SAME_CHANGE, at: pass.now, ..Known::default() };
        match (merge(before_it, row), before) {
            (Merged::Changed(now), before) => self.enter(pass, index, before.as_ref(), now, row.generated_at),
            (_, Some(before)) => {
                // It is the latest again, which gives its row a new id: who reads on from an id hears of it.
                pass.commit.history.push(self.retiming(&agent, before.row_at, &before));
                self.tell_change(pass, index, Some(posted), &before, None);
                self.roster.observe(index, before, row.generated_at);
            }
            (_, None) => {}
        }
    }

    pub(in crate::engine::keeper) fn enter(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        known: Option<&Observed>,
        mut now: Observed,
        seen_at: UtcMicros,
    ) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        if let Some(transition) = self.brought_about(&agent, &now) {
            (now.transition, now.reason) = (Some(transition.id), Some(transition.reason.clone()));
            now.by_person = transition.actor.is_person();
            self.set_shown(transition.id);
        }
        if let Some(known) = known
            && now.transition.is_none()
        {
            self.notice_reversal(pass, index, known, &now);
        }
        let file = &mut self.files[index.position()];
        file.before_estimate = known.filter(|_| now.is_estimate()).cloned();
        file.told_by_feed = now.source == Source::Feed;
        self.record_change(pass, index, now, seen_at, None);
    }

    /// The change that a row shows, where no row has shown it yet: one on its way, or one that was accepted while the picture had
    /// the agent in the wanted state already.
    fn brought_about(&self, agent: &AgentId, now: &Observed) -> Option<Transition> {
        let shown =
            |open: &&Open| !open.shown && open.transition.target == now.state && began_with(open, now.entered_at);
        self.book.of_agent(agent).find(shown).map(|open| open.transition.clone())
    }

    /// An agent who undoes an automatic change is left alone for a while, and people are told.
    fn notice_reversal(&mut self, pass: &mut Pass, index: AgentIndex, known: &Observed, now: &Observed) {
        let Some(slot) = self.roster.get(index) else { return };
        let automatic = self.automatic.get(slot.id()).filter(|change| known.transition == Some(change.transition));
        let Some(automatic) = automatic else { return };
        let (rule, transition, set_at) = (automatic.rule.clone(), automatic.transition, automatic.set_at);
        if !is_reversal(known, set_at, now, slot.plan(), self.settings.decide.reversal_within) {
            return;
        }
        let until = pass.now + self.settings.decide.left_alone_for;
        self.roster.note_reversal(index, until);
        pass.remember(index, &rule);
        let facts = json!({"rule": rule, "set": known.state, "back_to": now.state, "left_alone_until": until});
        self.audit_agent(pass, index, &Actor::Daemon, "agent.reversed_change", facts);
        let rule_version = self.version_in_force(&rule);
        self.find(
            pass,
            &Found {
                index,
                kind: FindingKind::Reversed,
                rule: rule.clone(),
                rule_version,
                guard: None,
                wants: format!("set {}", known.state),
                because: format!("the agent went back to {} and is left alone until {until}", now.state),
            },
        );
        self.tell_of(pass, index, |user_id, sequence| AgentReversedChange {
            user_id,
            rule_id: rule,
            transition_id: transition,
            previous_state: known.state.clone(),
            new_state: now.state.clone(),
            left_alone_until: until,
            sequence,
        });
    }

    /// What the newest row means for the agent's accepted change and for the one in doubt.
    fn settle(&mut self, pass: &mut Pass, index: AgentIndex) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let Some(row) = self.files[index.position()].row.clone() else { return };
        let open: Vec<TransitionId> = self.book.of_agent(&agent).map(|open| open.transition.id).collect();
        for id in open {
            let Some(status) = self.book.get(id).map(|open| open.transition.status.clone()) else { continue };
            match status {
                Status::Accepted { at } => self.settle_accepted(pass, id, at, &row),
                Status::InDoubt { sent_at, readable_after } => {
                    self.settle_doubt(pass, id, sent_at, readable_after, &row);
                }
                Status::Requested
                | Status::Waiting { .. }
                | Status::Sending { .. }
                | Status::Confirmed { .. }
                | Status::Unconfirmed { .. }
                | Status::Refused { .. }
                | Status::Failed { .. }
                | Status::Cancelled { .. }
                | Status::Superseded { .. }
                | Status::Expired { .. } => {}
            }
        }
    }

    fn settle_accepted(&mut self, pass: &mut Pass, id: TransitionId, accepted_at: UtcMicros, row: &Sighted) {
        let Some(open) = self.book.get_mut(id) else { return };
        if row.generated_at <= accepted_at {
            return;
        }
        let moved_since = row.changed_at.is_some_and(|at| at > accepted_at);
        let direct = row.state == open.transition.target;
        if direct || (moved_since && shows(&open.transition.target, &row.state)) {
            self.step(pass, id, Step::Confirm { at: row.generated_at });
            return;
        }
        open.unshown += 1;
        if moved_since || open.unshown >= u32::from(CONTRADICTIONS_BELIEVED) {
            self.step(pass, id, Step::GiveUp { at: pass.now });
        }
    }

    /// design: what must always hold, 2.
    fn settle_doubt(
        &mut self,
        pass: &mut Pass,
        id: TransitionId,
        sent_at: UtcMicros,
        readable_after: UtcMicros,
        row: &Sighted,
    ) {
        let Some(open) = self.book.get(id) else { return };
        let lost = Lost { target: &open.transition.target, baseline: open.baseline.as_ref(), sent_at, readable_after };
        match read_back(lost, row) {
            Verdict::TooEarly => {}
            Verdict::TookEffect => self.step(pass, id, Step::Confirm { at: row.generated_at }),
            Verdict::Moved => self.step(pass, id, Step::GiveUp { at: pass.now }),
            Verdict::NotApplied => {
                let (attempts, spent) = (open.transition.attempts, open.has_spent(self.settings.retry.attempts));
                let until = pass.now + self.retry_delay(open.failures, None);
                self.step(pass, id, Step::ReadBack { until: Some(until) });
                if spent {
                    let text =
                        format!("given up after {attempts} attempts: the platform gave no answer and did nothing");
                    self.step(pass, id, Step::Fail(text));
                }
            }
        }
    }

    /// Gives up what no snapshot has settled for too long.
    pub(in crate::engine::keeper) fn give_up_unseen(&mut self, pass: &mut Pass) {
        let started_at = self.started_at;
        // A snapshot that was generated in time may take a time limit to arrive.
        let longest_accepted = self.settings.decide.stale_after + self.request_timeout();
        let overdue: Vec<TransitionId> = self
            .book
            .iter()
            .filter(|open| is_overdue(&open.transition.status, started_at, longest_accepted, pass.now))
            .map(|open| open.transition.id)
            .collect();
        for id in overdue {
            self.step(pass, id, Step::GiveUp { at: pass.now });
        }
    }

    pub(in crate::engine::keeper) fn take_notice(&self, pass: &mut Pass, notice: &SliceNotice) {
        match notice {
            SliceNotice::Oversize { slice, bytes } => {
                let limit_bytes = self.settings.sight.oversize_bytes;
                tracing::warn!(tenant = %self.link.tenant, slice, bytes, limit_bytes, "the snapshot is larger than the limit");
                self.tell(pass, SnapshotOversize { subscription: *slice, bytes: *bytes, limit_bytes });
            }
            SliceNotice::NearExpiry { slice, created_at } => {
                tracing::warn!(tenant = %self.link.tenant, slice, %created_at, "the subscription nears its end");
                self.tell(pass, SubscriptionNearExpiry { subscription: *slice, created_at: *created_at });
            }
        }
    }

    /// For each subscription its newest sight, and how old what it shows is; where it has shown nothing yet, since when it is
    /// looked for.
    pub(in crate::engine::keeper) fn sight_ages(
        &self,
        now: UtcMicros,
    ) -> impl Iterator<Item = (u32, Option<UtcMicros>, Duration)> + use<'_> {
        let slices = self.roster.len().div_ceil(self.settings.sight.agents_per_subscription.max(1));
        (0_u32..).take(slices).map(move |slice| {
            let newest = self.newest_sights.get(&slice).copied();
            (slice, newest, now.since(newest.unwrap_or(self.looking_since).max(self.looking_since)))
        })
    }

    /// Says once when a subscription's part of the picture becomes older than decisions allow, and when all of it is fresh again.
    pub(in crate::engine::keeper) fn watch_staleness(&mut self, pass: &mut Pass) {
        let limit = self.settings.decide.stale_after;
        let stale: Vec<_> = self.sight_ages(pass.now).filter(|(_, _, age)| *age > limit).collect();
        let part = self.link.part("picture");
        if let Some((slice, _, age)) = stale.iter().max_by_key(|(_, _, age)| *age) {
            let age_s = age.as_secs();
            let detail = format!(
                "what subscription {slice} shows is {age_s} s old; automation of its agents waits for fresh sight"
            );
            self.link.readiness.degraded(&part, detail);
        } else if !self.told_stale.is_empty() {
            self.link.readiness.restored(&part);
        }
        let told = std::mem::replace(&mut self.told_stale, stale.iter().map(|(slice, _, _)| *slice).collect());
        for (slice, newest, age) in stale.into_iter().filter(|(slice, _, _)| !told.contains(slice)) {
            tracing::warn!(tenant = %self.link.tenant, slice, age_ms = age.as_millis(), "the picture is stale");
            let age_ms = real_millis(age);
            self.tell(pass, PictureStale { subscription: slice, newest_sight_at: newest, age_ms });
        }
    }
}

/// Whether no snapshot came for too long. While nobody looked, none could: the time counts from `started_at` at the earliest.
fn is_overdue(status: &Status, started_at: UtcMicros, longest_accepted: Duration, now: UtcMicros) -> bool {
    let longest = if status.is_in_flight() { LONGEST_UNSEEN } else { longest_accepted };
    shown_from(status).is_some_and(|from| now.since(from.max(started_at)) > longest)
}

/// A snapshot generated after this instant should show what became of it.
fn shown_from(status: &Status) -> Option<UtcMicros> {
    match status {
        Status::Accepted { at } => Some(*at),
        Status::InDoubt { readable_after, .. } => Some(*readable_after),
        Status::Requested
        | Status::Waiting { .. }
        | Status::Sending { .. }
        | Status::Confirmed { .. }
        | Status::Unconfirmed { .. }
        | Status::Refused { .. }
        | Status::Failed { .. }
        | Status::Cancelled { .. }
        | Status::Superseded { .. }
        | Status::Expired { .. } => None,
    }
}

/// Whether a row that began at `entered_at`, in the wanted state, can be the change's. On the way it is, unless the agent was in
/// that state before it left; accepted it is when the row began with the acceptance.
fn began_with(open: &Open, entered_at: UtcMicros) -> bool {
    let was_there = open.baseline.as_ref().is_some_and(|baseline| baseline.state == open.transition.target);
    match open.transition.status {
        Status::Sending { since: sent_at } | Status::InDoubt { sent_at, .. } => {
            !was_there && entered_at + SAME_CHANGE >= sent_at
        }
        Status::Accepted { at } => at.since(entered_at).max(entered_at.since(at)) <= SAME_CHANGE,
        Status::Requested
        | Status::Waiting { .. }
        | Status::Confirmed { .. }
        | Status::Unconfirmed { .. }
        | Status::Refused { .. }
        | Status::Failed { .. }
        | Status::Cancelled { .. }
        | Status::Superseded { .. }
        | Status::Expired { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stop_left_unsettled_gets_the_whole_time_after_the_start() {
        let at = |minute: u64| UtcMicros::EPOCH + Duration::from_secs(minute * 60);
        let doubt = Status::InDoubt { sent_at: at(0), readable_after: at(1) };
        let accepted = Status::Accepted { at: at(1) };
        let limit = Duration::from_secs(60);
        for (status, longest) in [(&doubt, 15), (&accepted, 1)] {
            assert!(!is_overdue(status, at(0), limit, at(1 + longest)));
            assert!(is_overdue(status, at(0), limit, at(2 + longest)));
            assert!(!is_overdue(status, at(600), limit, at(600)), "the daemon stood still for ten hours");
            assert!(is_overdue(status, at(600), limit, at(601 + longest)));
        }
        assert!(!is_overdue(&Status::Sending { since: at(0) }, at(0), limit, at(600)));
    }
}
