//! What a setting of the wall clock means for what the keeper measures by it: everything is as long ago, and waits as long, as
//! before. The host's sleep is no setting: that time has passed.
//!
//! The clock is believed, also where it is wrong: plans and what happens from now on go by it. Monotonic measures (the budget,
//! the breaker, the token) need nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Keeper;
use super::record::Pass;
use crate::domain::agents::agent::{Observed, Source};
use crate::domain::agents::roster::memory::AutomationMemory;
use crate::domain::agents::roster::{AgentIndex, AgentSlot};
use crate::domain::changes::transition::{Actor, Status, Transition};
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;
use crate::engine::message::Sight;
use crate::platform::Sighting;
use crate::store::CallWrite;

/// Less than this is the discipline of the clock, or the host being busy, and no setting.
const SETTING_US: u64 = 2_000_000;

/// Calls of other starts of the host may lie in between; so many are looked at for one of this start.
const CALLS_LOOKED_AT: usize = 16;

/// Where more calls were made since, nobody looks through them.
const CALLS_BETWEEN: usize = 1000;

/// A shorter sleep of the host is no longer than a pass may be late, in real time.
const SHORTEST_NAP_REAL: Duration = Duration::from_secs(2);

impl Keeper {
    /// Before a pass: looks whether the clock was set, and takes it in, in a commit of its own.
    pub(super) async fn watch_clock(&mut self) -> anyhow::Result<()> {
        self.watch_sleep();
        let Some(ahead_us) = self.link.clock.ahead_of_steady() else { return Ok(()) };
        let Some(before_us) = self.ahead_of_steady_us.replace(ahead_us) else { return Ok(()) };
        let by_us = ahead_us.saturating_sub(before_us);
        if by_us.unsigned_abs() < SETTING_US {
            return Ok(());
        }
        let mut pass = Pass::new(self.link.clock.now());
        self.say_set(&mut pass, by_us, "while the daemon ran");
        for id in self.book.iter().map(|open| open.transition.id).collect::<Vec<_>>() {
            self.move_transition(&mut pass, id, |transition| {
                // Who asked gave a span; what a rule wants is bound to the plan, which goes by the clock.
                let deadline = match transition.actor {
                    Actor::Person { .. } | Actor::Daemon => transition.deadline.offset(by_us),
                    Actor::Rule { .. } => transition.deadline,
                };
                let requested_at = transition.requested_at.offset(by_us);
                let status = transition.status.clone().after_clock_set(by_us);
                Transition { requested_at, deadline, status, ..transition }
            });
        }
        for index in self.roster.iter().map(|(index, _)| index).collect::<Vec<_>>() {
            self.move_stay(&mut pass, index, by_us, None).await?;
            let file = &mut self.files[index.position()];
            file.doubted = None;
            if let Some(row) = &mut file.row {
                row.generated_at = row.generated_at.offset(by_us);
                row.changed_at = row.changed_at.map(|at| at.offset(by_us));
            }
        }
        self.roster.clock_set(by_us, pass.now);
        self.link.figures.send_modify(|figures| Arc::make_mut(figures).clock_set(by_us, pass.now));
        for (index, _) in self.roster.iter() {
            self.remember_all(&mut pass, index);
        }
        for change in self.automatic.values_mut() {
            change.set_at = change.set_at.offset(by_us);
        }
        self.newest_sights.clear();
        self.held_fed.clear();
        (self.looking_since, self.started_at, self.plans_read) = (pass.now, pass.now, UtcMicros::EPOCH);
        self.commit(&mut pass).await
    }

    /// At a load: the clock may have been set while nobody looked. Each attempt knows when it left by the host's steady time,
    /// which tells where that lies on the clock of now, unless the host started anew meanwhile.
    pub(super) async fn look_back(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
        (self.ahead_of_steady_us, self.slept) = (self.link.clock.ahead_of_steady(), self.slept_so_far());
        let left = self.book.iter().filter(|open| open.transition.attempts > 0);
        let mut moves: Vec<(TransitionId, i64)> = Vec::new();
        for id in left.map(|open| open.transition.id).collect::<Vec<_>>() {
            let attempts = self.link.reader.attempts(&self.link.tenant, id).await?;
            let then = attempts.iter().filter(|call| call.steady_us.is_some()).max_by_key(|call| call.attempt);
            moves.extend(then.and_then(|call| self.set_since(call)).map(|by_us| (id, by_us)));
        }
        moves.retain(|(_, by_us)| by_us.unsigned_abs() >= SETTING_US);
        let Some(by_us) = moves.iter().map(|(_, by_us)| *by_us).max_by_key(|by_us| by_us.unsigned_abs()) else {
            return Ok(());
        };
        self.say_set(pass, by_us, "after changes left that are still open");
        for (id, by_us) in moves {
            self.move_transition(pass, id, |transition| Transition {
                status: transition.status.clone().after_clock_set(by_us),
                ..transition
            });
        }
        Ok(())
    }

    /// How far our clock was set since a call, by steady time; none where that does not tell.
    fn set_since(&self, call: &CallWrite) -> Option<i64> {
        let (ahead_us, steady) = (self.ahead_of_steady_us?, self.link.clock.steady()?);
        let then_us = call.steady_us.filter(|us| Duration::from_micros(*us) <= steady)?;
        let is = ahead_us.saturating_add(i64::try_from(then_us).unwrap_or(i64::MAX));
        let was = call.answered_at.unwrap_or(call.sent_at).as_micros();
        (call.host_start == self.link.clock.host_start()).then(|| is.saturating_sub(was))
    }

    /// Whether a call from before that steady time says that our clock stands as it stood then.
    async fn stood_since(&mut self, steady_us: i64) -> anyhow::Result<bool> {
        if self.stands_since_us.is_some_and(|since| since <= steady_us) {
            return Ok(true);
        }
        let Ok(before) = u64::try_from(steady_us) else { return Ok(false) };
        let calls = self.link.reader.steady_calls(&self.link.tenant, (0, before), CALLS_LOOKED_AT).await?;
        let of_this_start = calls.iter().find_map(|call| Some((call.steady_us?, self.set_since(call)?)));
        let not_set = |by_us: i64| by_us.unsigned_abs() < SETTING_US;
        let Some((since_us, _)) = of_this_start.filter(|(_, by_us)| not_set(*by_us)) else { return Ok(false) };
        // It may have been set and set back since.
        let later = self.link.reader.steady_calls(&self.link.tenant, (since_us, u64::MAX), CALLS_BETWEEN).await?;
        let stands = later.len() < CALLS_BETWEEN && later.iter().filter_map(|call| self.set_since(call)).all(not_set);
        if stands {
            self.stands_since_us = i64::try_from(since_us).ok();
        }
        Ok(stands)
    }

    fn say_set(&self, pass: &mut Pass, by_us: i64, since: &'static str) {
        let by_ms = by_us / 1000;
        tracing::warn!(tenant = %self.link.tenant, by_ms, now = %pass.now,
            "the wall clock was set {} {since}; what waits goes on waiting as long as it would have",
            if by_us < 0 { "back" } else { "forward" });
        self.audit_tenant(pass, "clock.set", json!({"by_ms": by_ms, "since": since}));
    }

    fn move_transition(&mut self, pass: &mut Pass, id: TransitionId, moved: impl Fn(Transition) -> Transition) {
        if let Some(transition) = self.book.replace(id, moved) {
            pass.keep_row(transition);
        }
    }

    /// How long the host has slept since its start, and more.
    fn slept_so_far(&self) -> Option<Duration> {
        let monotonic = self.link.clock.monotonic();
        self.link.clock.steady().map(|steady| steady.saturating_sub(monotonic))
    }

    /// While the host slept nobody looked: what no snapshot has shown is not overdue for that.
    fn watch_sleep(&mut self) {
        let Some(slept) = self.slept_so_far() else { return };
        let nap = self.slept.replace(slept).map_or(Duration::ZERO, |before| slept.saturating_sub(before));
        if nap < self.link.clock.span_of_real(SHORTEST_NAP_REAL) {
            return;
        }
        let now = self.link.clock.now();
        tracing::warn!(tenant = %self.link.tenant, slept_ms = nap.as_millis(), %now,
            "the host slept; automation waits for fresh sight, and what was under way is read back");
        (self.looking_since, self.started_at, self.plans_read) = (now, now, UtcMicros::EPOCH);
    }

    /// Before the first sight of an agent since the load: the clock may have been set since the stay was stored. The platform's
    /// own instant of it says by how much; whatever is shown is then compared like with like.
    pub(super) async fn read_stays_anew(&mut self, pass: &mut Pass, sight: &Sight) -> anyhow::Result<()> {
        for sighting in &sight.changed {
            let Some(index) = self.roster.find(sighting.agent.as_str()) else { continue };
            if self.files[index.position()].row.is_some() {
                continue;
            }
            let by_us = match self.set_since_stored(index, sighting, sight.offset_us) {
                Some((entered_at, by_us)) if !self.platform_was_set(entered_at, by_us).await? => by_us,
                Some(_) | None => 0,
            };
            if by_us != 0 {
                let accepted_at = self.estimated_since(index);
                self.move_stay(pass, index, by_us, accepted_at).await?;
                self.remember_all(pass, index);
            }
            self.roster.clock_set_for(index, by_us, pass.now);
        }
        Ok(())
    }

    /// Of two clocks that lie so far apart since a stay began, by its stored instant: whether the platform's was set, since steady
    /// time says that ours was not.
    async fn platform_was_set(&mut self, entered_at: UtcMicros, by_us: i64) -> anyhow::Result<bool> {
        let Some(ahead_us) = self.ahead_of_steady_us else { return Ok(false) };
        let as_we_stand = entered_at.as_micros().saturating_sub(ahead_us);
        // Had ours been set, the instant would be one of the clock before it.
        self.stood_since(as_we_stand.min(as_we_stand.saturating_add(by_us))).await
    }

    /// How far our clock seems to have been set since the agent's stay was stored, and when that began by its stored instant; none where
    /// nobody can tell, or it was not.
    fn set_since_stored(&self, index: AgentIndex, sighting: &Sighting, offset_us: i64) -> Option<(UtcMicros, i64)> {
        let known = self.roster.get(index)?.observed()?;
        if self.files[index.position()].told_by_feed {
            return None;
        }
        // An estimate has no such instant; the stay that it followed is as far off.
        let mut stays = [Some(known), self.files[index.position()].before_estimate.as_ref()].into_iter().flatten();
        let (stay, said) = stays.find_map(|stay| Some((stay, stay.platform_at?)))?;
        let off_us = |platform_at: UtcMicros| {
            platform_at.offset(-offset_us).as_micros().saturating_sub(stay.entered_at.as_micros())
        };
        // A platform that moves its instants with its clock is shown to do so by the same stay.
        let as_stored = sighting.changed_at.is_some_and(|at| off_us(at).unsigned_abs() < SETTING_US);
        let by_us = off_us(said);
        let is_set = by_us.unsigned_abs() >= SETTING_US && !(as_stored && sighting.state == stay.state);
        is_set.then_some((stay.entered_at, by_us))
    }

    /// What automation remembers of an agent is stored anew.
    fn remember_all(&self, pass: &mut Pass, index: AgentIndex) {
        for rule in self.roster.get(index).and_then(AgentSlot::memory).into_iter().flat_map(AutomationMemory::rules) {
            pass.remember(index, rule);
        }
    }

    /// When the change was accepted whose estimate the picture holds, by the clock of now: the estimate may be from before or
    /// after the setting.
    fn estimated_since(&self, index: AgentIndex) -> Option<UtcMicros> {
        let estimate = self.roster.get(index)?.observed().filter(|known| known.source == Source::Post)?;
        let Status::Accepted { at } = self.book.get(estimate.transition?)?.transition.status else { return None };
        Some(at)
    }

    /// The stay that goes on began at `since`, or as long ago as before, as the platform will show it from now on. Its row moves
    /// along, but not to before the one that it follows.
    async fn move_stay(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        by_us: i64,
        since: Option<UtcMicros>,
    ) -> anyhow::Result<()> {
        if let Some(before) = &mut self.files[index.position()].before_estimate {
            before.entered_at = before.entered_at.offset(by_us);
        }
        let Some(slot) = self.roster.get(index) else { return Ok(()) };
        let (agent, seen_at) = (slot.id().clone(), slot.seen_at());
        let Some(known) = slot.observed().cloned() else { return Ok(()) };
        let entered_at = since.unwrap_or_else(|| known.entered_at.offset(by_us));
        let mut moved = Observed { entered_at, row_at: entered_at, ..known.clone() };
        if moved.row_at < known.row_at {
            let just_before = (known.row_at.offset(-1), known.row_at);
            let before = self.link.reader.agent_history(&self.link.tenant, &agent, just_before, None, 1).await?;
            let before = before.first().map(|stored| stored.row.entered_at).filter(|at| *at < known.row_at);
            moved.row_at = before.map_or(entered_at, |before| entered_at.max(before.offset(1)));
        }
        pass.commit.history.push(self.retiming(&agent, known.row_at, &moved));
        self.roster.observe(index, moved, seen_at.unwrap_or(UtcMicros::EPOCH));
        Ok(())
    }
}
