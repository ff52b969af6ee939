//! `[clock]`: how fast simulated time runs, and its start. Tenants on real platforms need real time.

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, restart_only};
use crate::domain::time::UtcMicros;

/// The settings of the daemon's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockSettings {
    /// The speed relative to real time; 1 is real time.
    pub speed: u32,
    /// The instant at which the clock starts. `None` means now.
    pub start: Option<UtcMicros>,
}

impl ClockSettings {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            speed: section.value(
                restart_only(
                    "speed",
                    "How many times faster than real time the clock runs. Values other than 1 need loopback \
                     addresses in all URLs.",
                ),
                &kind::integer(1..=3_600),
                1,
            ),
            start: section.optional(
                restart_only(
                    "start",
                    "The instant at which simulated time starts; now by default. Needs loopback addresses in all \
                     URLs.",
                ),
                &kind::instant(),
            ),
        }
    }

    /// Returns whether the clock differs from real time.
    pub fn is_simulated(&self) -> bool {
        self.speed != 1 || self.start.is_some()
    }
}
