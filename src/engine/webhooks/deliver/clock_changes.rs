//! Corrects deliveries when the wall clock is set, so that each wait lasts as long as intended.

use crate::domain::time::UtcMicros;
use crate::store::ClockAdjustment;

use super::stream::Stream;

/// Smaller changes of the wall clock are normal adjustments and are ignored.
const MIN_SETTING_US: u64 = 2_000_000;

impl Stream {
    /// Returns the wall clock without settings that have not been accepted yet, so that all instants of one commit use
    /// the same clock.
    pub(super) fn now(&self) -> UtcMicros {
        let clock = &self.parts.shared.clock;
        let last_accepted = self.ahead_of_steady_us.zip(clock.steady()).and_then(|(ahead_us, steady)| {
            Some(UtcMicros::from_micros(i64::try_from(steady.as_micros()).ok()?.saturating_add(ahead_us)))
        });
        last_accepted.unwrap_or_else(|| clock.now())
    }

    /// Accepts a setting of the wall clock, in a commit of its own.
    pub(super) async fn check_clock(&mut self) -> anyhow::Result<()> {
        let Some(ahead_us) = self.parts.shared.clock.wall_minus_steady() else { return Ok(()) };
        let by_us = self.ahead_of_steady_us.map_or(0, |before_us| ahead_us.saturating_sub(before_us));
        if by_us.unsigned_abs() < MIN_SETTING_US {
            return Ok(());
        }
        // What has not been written yet was computed with the previous clock.
        self.flush().await?;
        self.ahead_of_steady_us = Some(ahead_us);
        self.shift_waits(by_us).await
    }

    /// Corrects waits after loading: an attempt in the future, or one that became due in the future without any attempt
    /// before it, was recorded before the clock was set back.
    pub(super) async fn correct_future_instants(&mut self) -> anyhow::Result<()> {
        let (tenant, endpoint, reader) = (&self.parts.tenant, &self.parts.endpoint.id, &self.parts.shared.reader);
        let latest = reader.latest_instant_of_waiting(tenant, endpoint).await?;
        let ahead_us = latest.map_or(0, |latest| latest.as_micros().saturating_sub(self.now().as_micros()));
        if ahead_us.unsigned_abs() < MIN_SETTING_US || ahead_us < 0 {
            return Ok(());
        }
        self.shift_waits(-ahead_us).await
    }

    async fn shift_waits(&mut self, by_us: i64) -> anyhow::Result<()> {
        self.health.failing_since = self.health.failing_since.map(|since| since.offset(by_us));
        let (tenant, endpoint) = (self.parts.tenant.clone(), self.parts.endpoint.id.clone());
        self.pending.commit.outbox.clock_adjustments.push(ClockAdjustment { tenant, endpoint, by_us });
        self.flush().await?;
        self.due_at = Some(UtcMicros::EPOCH);
        Ok(())
    }
}
