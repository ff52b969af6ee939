//! What a setting of the wall clock means for deliveries: each wait is as long as it would have been.

use crate::domain::time::UtcMicros;
use crate::store::ClockSet;

use super::stream::Stream;

/// Less than this is the discipline of the clock, and no setting.
const SETTING_US: u64 = 2_000_000;

impl Stream {
    /// The wall clock as it stood when a setting of it was last taken in, so that instants of one commit are of one clock.
    pub(super) fn now(&self) -> UtcMicros {
        let clock = &self.parts.shared.clock;
        let as_taken_in = self.ahead_of_steady_us.zip(clock.steady()).and_then(|(ahead_us, steady)| {
            Some(UtcMicros::from_micros(i64::try_from(steady.as_micros()).ok()?.saturating_add(ahead_us)))
        });
        as_taken_in.unwrap_or_else(|| clock.now())
    }

    /// Takes a setting of the wall clock in, in a commit of its own.
    pub(super) async fn watch_clock(&mut self) -> anyhow::Result<()> {
        let Some(ahead_us) = self.parts.shared.clock.ahead_of_steady() else { return Ok(()) };
        let by_us = self.ahead_of_steady_us.map_or(0, |before_us| ahead_us.saturating_sub(before_us));
        if by_us.unsigned_abs() < SETTING_US {
            return Ok(());
        }
        // What is still to be written was reckoned by the clock before.
        self.flush().await?;
        self.ahead_of_steady_us = Some(ahead_us);
        self.move_waits(by_us).await
    }

    /// At a load: an attempt that seems to lie ahead was made before the clock was set back.
    pub(super) async fn look_back(&mut self) -> anyhow::Result<()> {
        let (tenant, endpoint, reader) = (&self.parts.tenant, &self.parts.endpoint.id, &self.parts.shared.reader);
        let latest = reader.latest_attempt_of_waiting(tenant, endpoint).await?;
        let ahead_us = latest.map_or(0, |latest| latest.as_micros().saturating_sub(self.now().as_micros()));
        if ahead_us.unsigned_abs() < SETTING_US || ahead_us < 0 {
            return Ok(());
        }
        self.move_waits(-ahead_us).await
    }

    async fn move_waits(&mut self, by_us: i64) -> anyhow::Result<()> {
        self.health.failing_since = self.health.failing_since.map(|since| since.offset(by_us));
        let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
        self.pending.commit.outbox.clock_set.push(ClockSet { tenant, endpoint, by_us });
        self.flush().await?;
        self.due_at = Some(UtcMicros::EPOCH);
        Ok(())
    }
}
