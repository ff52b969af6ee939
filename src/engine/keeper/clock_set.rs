//! What a setting of the wall clock means for what the keeper measures by it: everything is as long ago, and waits as long, as
//! before. The host's sleep is no setting: that time has passed.
//!
//! The clock is believed, also where it is wrong: plans and what happens from now on go by it. Monotonic measures (the budget,
//! the breaker, the token) need nothing.

use serde_json::json;

use super::Keeper;
use super::answers::LONGEST_CONFLICT_PAUSE;
use super::record::Pass;
use crate::domain::agent::Observed;
use crate::domain::ids::TransitionId;
use crate::domain::roster::AgentIndex;
use crate::domain::time::UtcMicros;
use crate::domain::transition::{Actor, Status, Transition, WaitReason};
use crate::store::HistoryWrite;

/// Less than this is the discipline of the clock, or the host being busy, and no setting.
const SETTING_US: u64 = 2_000_000;

impl Keeper {
    /// Before a pass: looks whether the clock was set, and takes it in, in a commit of its own.
    pub(super) async fn watch_clock(&mut self) -> anyhow::Result<()> {
        let Some(ahead_us) = self.link.clock.ahead_of_steady() else { return Ok(()) };
        let Some(before_us) = self.ahead_of_steady_us.replace(ahead_us) else { return Ok(()) };
        let by_us = ahead_us.saturating_sub(before_us);
        if by_us.unsigned_abs() < SETTING_US {
            return Ok(());
        }
        let mut pass = Pass::new(self.link.clock.now());
        self.say_set(&mut pass, by_us, "while the daemon ran");
        self.move_transitions(&mut pass, |transition| {
            // Who asked gave a span; what a rule wants is bound to the plan, which goes by the clock.
            let deadline = match transition.actor {
                Actor::Person { .. } | Actor::Daemon => transition.deadline.offset(by_us),
                Actor::Rule { .. } => transition.deadline,
            };
            let requested_at = transition.requested_at.offset(by_us);
            Transition {
                deadline,
                requested_at,
                status: transition.status.clone().after_clock_set(by_us),
                ..transition
            }
        });
        self.move_stays(&mut pass, by_us).await?;
        self.roster.clock_set(by_us, pass.now);
        for change in self.automatic.values_mut() {
            change.set_at = change.set_at.offset(by_us);
        }
        self.newest_sights.clear();
        (self.looking_since, self.started_at, self.plans_read) = (pass.now, pass.now, UtcMicros::EPOCH);
        self.commit(&mut pass).await
    }

    /// At a load: the clock may have been set since the last call, and nobody knows how much of it the process before has taken
    /// in. What is in doubt is as if it were found now; what lies ahead and cannot, lies here.
    pub(super) async fn look_back(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
        let now = pass.now;
        self.roster.clock_set(0, now);
        self.ahead_of_steady_us = self.link.clock.ahead_of_steady();
        let steady_us = self.link.clock.steady().and_then(|since| u64::try_from(since.as_micros()).ok());
        let (Some(ahead_us), Some(steady_us)) = (self.ahead_of_steady_us, steady_us) else { return Ok(()) };
        let last = self.link.reader.steady_calls(&self.link.tenant, (0, steady_us), 1).await?.pop();
        let then_us = last.and_then(|call| {
            let at = call.answered_at.unwrap_or(call.sent_at).as_micros();
            Some(at.saturating_sub(i64::try_from(call.steady_us?).ok()?))
        });
        let by_us = then_us.map_or(0, |then_us| ahead_us.saturating_sub(then_us));
        if by_us.unsigned_abs() < SETTING_US {
            return Ok(());
        }
        self.say_set(pass, by_us, "since the last call to the platform, or the host started anew");
        let readable_after = self.readable_after(now);
        self.move_transitions(pass, |transition| Transition {
            status: found_now(transition.status.clone(), now, readable_after),
            ..transition
        });
        Ok(())
    }

    fn say_set(&self, pass: &mut Pass, by_us: i64, since: &'static str) {
        let by_ms = by_us / 1000;
        tracing::warn!(tenant = %self.link.tenant, by_ms, now = %pass.now,
            "the wall clock was set {} {since}; what waits goes on waiting as long as it would have",
            if by_us < 0 { "back" } else { "forward" });
        self.audit_tenant(pass, "clock.set", json!({"by_ms": by_ms, "since": since}));
    }

    fn move_transitions(&mut self, pass: &mut Pass, moved: impl Fn(Transition) -> Transition) {
        let ids: Vec<TransitionId> = self.book.iter().map(|open| open.transition.id).collect();
        for id in ids {
            if let Some(transition) = self.book.replace(id, &moved) {
                pass.keep_row(transition);
            }
        }
    }

    /// The stays that go on began as long ago as before, as the platform will show them from now on; none before the one that it
    /// followed.
    async fn move_stays(&mut self, pass: &mut Pass, by_us: i64) -> anyhow::Result<()> {
        let indices: Vec<AgentIndex> = self.roster.iter().map(|(index, _)| index).collect();
        for index in indices {
            let Some(slot) = self.roster.get(index) else { continue };
            let (agent, seen_at) = (slot.id().clone(), slot.seen_at());
            let Some(known) = slot.observed().cloned() else { continue };
            let mut to = known.entered_at.offset(by_us);
            if by_us < 0 {
                let just_before = (known.entered_at.offset(-1), known.entered_at);
                let before = self.link.reader.agent_history(&self.link.tenant, &agent, just_before, None, 1).await?;
                let earliest = before.first().map(|stored| stored.row.entered_at).filter(|at| *at < known.entered_at);
                to = earliest.map_or(to, |earliest| to.max(earliest.offset(1)));
            }
            let tenant = self.link.tenant.clone();
            pass.commit.history.push(HistoryWrite::Retime {
                tenant,
                agent,
                from: known.entered_at,
                to,
                source: known.source,
            });
            self.roster.observe(index, Observed { entered_at: to, ..known }, seen_at.unwrap_or(UtcMicros::EPOCH));
            if let Some(row) = &mut self.files[index.position()].row {
                row.generated_at = row.generated_at.offset(by_us);
                row.changed_at = row.changed_at.map(|at| at.offset(by_us));
            }
        }
        Ok(())
    }
}

fn found_now(status: Status, now: UtcMicros, readable_after: UtcMicros) -> Status {
    match status {
        Status::InDoubt { sent_at, .. } => Status::InDoubt { sent_at: sent_at.min(now), readable_after },
        Status::Sending { since } => Status::Sending { since: since.min(now) },
        Status::Accepted { at } => Status::Accepted { at: at.min(now) },
        Status::Waiting { why: why @ (WaitReason::Retry | WaitReason::Conflict), until } => {
            Status::Waiting { why, until: until.map(|until| until.min(now + LONGEST_CONFLICT_PAUSE)) }
        }
        Status::Requested
        | Status::Waiting {
            why:
                WaitReason::Budget
                | WaitReason::InFlight
                | WaitReason::MandatoryBreak
                | WaitReason::Contact
                | WaitReason::PlatformAnswer
                | WaitReason::Halted
                | WaitReason::Approval
                | WaitReason::Sight,
            ..
        }
        | Status::Confirmed { .. }
        | Status::Unconfirmed { .. }
        | Status::Refused { .. }
        | Status::Failed { .. }
        | Status::Cancelled { .. }
        | Status::Superseded { .. }
        | Status::Expired { .. } => status,
    }
}
