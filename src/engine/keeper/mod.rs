//! The keeper, which owns one tenant's live view and open transitions, and works in passes.
//!
//! A pass handles what has arrived, decides, selects the changes that may be sent, and commits everything at once.
//! State POSTs, queries and replies leave only after the commit. If the commit fails, nothing leaves: the keeper ends,
//! is restarted and reads the store, as after a crash. The keeper never waits for the platform.

mod agents;
mod arrival;
mod changes;
mod clock_change;
mod exceptions;
mod load;
mod metrics;
mod pass;
mod publish;
mod published;
mod record;
mod rules;
mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

pub use self::state::KeeperContext;

use self::arrival::Arrival;
use self::pass::Pass;
use self::state::Keeper;
use super::agents::stored_live_view::PLAN_RELOAD_INTERVAL;
use super::keeper_message::KeeperMessage;
use super::operations::meter::KeeperTotals;
use super::platform::link::Link;
use crate::clock::{RealTime, Stopwatch};
use crate::domain::changes::transition::{TransitionStatus, TransitionStep};
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;

/// The longest time between two decisions.
const DECIDE_INTERVAL: Duration = Duration::from_secs(1);

/// The largest number of arrivals in one pass.
const MAX_ARRIVALS_PER_PASS: usize = 512;

/// A pass accepts no more arrivals once they may change this many agents, since a commit is held in memory several
/// times over.
const MAX_CHANGES_PER_PASS: usize = 1000;

/// How long a stop waits for state POSTs in flight, in real time.
const STOP_TIMEOUT_REAL: Duration = Duration::from_secs(5);

/// Runs a tenant's keeper until `shutdown` is cancelled, or until an error that only a restart can repair.
pub async fn run(context: KeeperContext, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut inbox = context.inbox.clone().lock_owned().await;
    let mut keeper = match Keeper::load(&context).await {
        Ok(keeper) => keeper,
        Err(error) => {
            // Fail waiting requests at once: the next successful start may be hours away, and nobody may want them
            // then. Everything else is read again at that start.
            while inbox.try_recv().is_ok() {}
            return Err(error);
        }
    };
    let _running_guard = RunningGuard::start(&context.link);
    let mut settings = context.settings.clone();
    loop {
        let mut arrivals = Vec::new();
        let wait = keeper.next_wake();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                // Fail waiting requests at once, before waiting for the answers of POSTs.
                inbox.close();
                while inbox.try_recv().is_ok() {}
                return keeper.stop().await;
            }
            Some(result) = keeper.state_change_tasks.join_next() => arrivals.push(Arrival::StateChangeResult(task_result(result)?)),
            Some(result) = keeper.plan_query_tasks.join_next() => arrivals.push(Arrival::PlanQueryResult(task_result(result)??)),
            Some(message) = inbox.recv() => arrivals.push(Arrival::Message(message)),
            changed = settings.changed() => {
                changed?;
                let newest = settings.borrow_and_update().clone();
                keeper.apply_settings(newest).await?;
            }
            () = keeper.link.clock.sleep(wait) => {}
        }
        let mut change_count: usize = arrivals.iter().map(Arrival::change_count).sum();
        while arrivals.len() < MAX_ARRIVALS_PER_PASS && change_count < MAX_CHANGES_PER_PASS {
            if let Some(result) = keeper.state_change_tasks.try_join_next() {
                arrivals.push(Arrival::StateChangeResult(task_result(result)?));
            } else if let Some(result) = keeper.plan_query_tasks.try_join_next() {
                arrivals.push(Arrival::PlanQueryResult(task_result(result)??));
            } else if let Ok(message) = inbox.try_recv() {
                let arrival = Arrival::Message(message);
                change_count += arrival.change_count();
                arrivals.push(arrival);
            } else {
                break;
            }
        }
        keeper.run_pass(arrivals).await?;
    }
}

/// Marks the keeper as running until it is dropped.
struct RunningGuard(Arc<Link>);

impl RunningGuard {
    fn start(link: &Arc<Link>) -> Self {
        link.meter.set_running(true);
        Self(link.clone())
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.0.meter.set_running(false);
    }
}

fn task_result<T>(result: Result<T, JoinError>) -> anyhow::Result<T> {
    result.map_err(|error| anyhow::anyhow!("a call's task failed: {error}"))
}

impl Keeper {
    fn next_wake(&self) -> Duration {
        let now = self.link.clock.monotonic();
        let slot = self.next_slot.map_or(DECIDE_INTERVAL, |at| at.saturating_sub(now));
        slot.clamp(Duration::from_millis(1), DECIDE_INTERVAL)
    }

    async fn run_pass(&mut self, arrivals: Vec<Arrival>) -> anyhow::Result<()> {
        let stopwatch = Stopwatch::start();
        self.check_clock().await?;
        let mut pass = Pass::new(self.link.clock.now());
        for arrival in arrivals {
            self.handle_arrival(&mut pass, arrival).await?;
        }
        if pass.now.since(self.plans_read_at) >= PLAN_RELOAD_INTERVAL {
            self.read_plans(pass.now).await?;
        }
        self.apply_held_feed(&mut pass);
        self.report_staleness(&mut pass);
        self.give_up_unobserved(&mut pass);
        self.decide(&mut pass);
        self.end_obsolete_transitions(&mut pass);
        self.dispatch(&mut pass);
        self.release_finishing_agents(&mut pass);
        self.finish_replies(&mut pass);
        self.record_observed_span(&mut pass, false);
        Self::reply_to_decisions(&mut pass);
        self.commit(&mut pass).await?;
        self.send_state_changes(&mut pass);
        self.send_plan_queries(&mut pass);
        self.remove_finished_agents(&pass);
        for reply in std::mem::take(&mut pass.replies) {
            reply();
        }
        for reply in std::mem::take(&mut pass.snapshot_replies) {
            // The viewer may be gone.
            let _ = reply.send(self.live_view_snapshot(pass.now));
        }
        for reply in std::mem::take(&mut pass.agent_list_replies) {
            let _ = reply.send(self.agent_list(pass.now));
        }
        self.report_metrics(pass.now);
        self.link.meter.record_pass(stopwatch.elapsed());
        Ok(())
    }

    async fn handle_arrival(&mut self, pass: &mut Pass, arrival: Arrival) -> anyhow::Result<()> {
        match arrival {
            Arrival::StateChangeResult(result) => self.handle_state_change_result(pass, result),
            Arrival::PlanQueryResult(result) => self.handle_plan_query_result(pass, result),
            Arrival::Message(KeeperMessage::Observation(observation)) => {
                self.realign_intervals(pass, &observation).await?;
                self.apply_observation(pass, observation);
            }
            Arrival::Message(KeeperMessage::FeedObservations(observations)) => {
                self.handle_feed_observations(pass, observations);
            }
            Arrival::Message(KeeperMessage::ObservationGap(request)) => self.handle_gap_request(pass, request).await?,
            Arrival::Message(KeeperMessage::SubscriptionNotice(notice)) => {
                self.handle_subscription_notice(pass, &notice);
            }
            Arrival::Message(KeeperMessage::RequestChanges { request, reply }) => {
                self.handle_request(pass, request, reply);
            }
            Arrival::Message(KeeperMessage::CancelTransition { id, actor, reply }) => {
                self.cancel_transition(pass, id, actor, reply);
            }
            Arrival::Message(KeeperMessage::ChangeSet(request)) => {
                self.handle_change_set_message(pass, request).await?;
            }
            Arrival::Message(KeeperMessage::Approval(decision)) => self.handle_decision(pass, decision),
            Arrival::Message(KeeperMessage::Skills(skills)) => self.handle_skill_request(pass, skills).await?,
            Arrival::Message(KeeperMessage::ScheduleChanged) => self.reload_schedule(pass).await?,
            Arrival::Message(KeeperMessage::RuleRequest(request)) => self.handle_rule_request(pass, *request).await?,
            Arrival::Message(KeeperMessage::Erasure(request)) => self.handle_erasure_request(pass, *request).await?,
            Arrival::Message(KeeperMessage::GetLiveView { reply }) => pass.snapshot_replies.push(reply),
            Arrival::Message(KeeperMessage::GetAgents { reply }) => pass.agent_list_replies.push(reply),
        }
        Ok(())
    }

    async fn commit(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
        let commit = self.finish_commit(pass);
        let (committed, pending_updates) = (!commit.is_empty(), self.prepare_updates(pass.now, &commit));
        let mut ids = Vec::new();
        if committed {
            let totals = KeeperTotals::of(&commit);
            ids = self.link.writer.commit(commit).await?.history;
            self.link.meter.add(&totals);
        }
        self.publish(pass.now, pending_updates, committed, &ids);
        Ok(())
    }

    /// Waits briefly for the state POSTs in flight. Those still unanswered are in doubt and are settled after the next
    /// start.
    async fn stop(mut self) -> anyhow::Result<()> {
        let mut pass = Pass::new(self.link.clock.now());
        let mut limit = RealTime::sleep(STOP_TIMEOUT_REAL);
        while !self.state_change_tasks.is_empty() {
            tokio::select! {
                Some(result) = self.state_change_tasks.join_next() => self.handle_state_change_result(&mut pass, task_result(result)?),
                () = &mut limit => break,
            }
        }
        self.doubt_unanswered(&mut pass);
        self.record_observed_span(&mut pass, true);
        self.commit(&mut pass).await
    }

    /// Puts the transitions that are being sent in doubt.
    fn doubt_unanswered(&mut self, pass: &mut Pass) {
        let unanswered: Vec<TransitionId> = self
            .open_transitions
            .iter()
            .filter(|open| matches!(open.transition.status, TransitionStatus::Sending { .. }))
            .map(|open| open.transition.id)
            .collect();
        for id in unanswered {
            let readable_after = self.readable_after(pass.now);
            self.apply_step(pass, id, TransitionStep::Doubt { readable_after });
        }
    }

    /// Returns the instant after which a snapshot must show the effect of a POST sent at `sent_at`. After a stop or a
    /// crash the time of sending is unknown, and the caller passes the latest possible one.
    fn readable_after(&self, sent_at: UtcMicros) -> UtcMicros {
        sent_at + self.request_timeout() + self.settings.observation.interval
    }

    /// Returns how long to wait for an answer, in the clock's time.
    fn request_timeout(&self) -> Duration {
        self.link.clock.scale_real(self.settings.budget.request_timeout_real)
    }
}

#[cfg(test)]
mod tests;
