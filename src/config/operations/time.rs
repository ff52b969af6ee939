//! `[clock]`: how fast simulated time runs, and from when. Real tenants have real time only.

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, restarts};
use crate::domain::time::UtcMicros;

/// The daemon's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockSettings {
    /// Times faster than real time; 1 is real time.
    pub speed: u32,
    /// The instant at which the clock starts; `None` is now.
    pub start: Option<UtcMicros>,
}

impl ClockSettings {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            speed: section.value(
                restarts(
                    "speed",
                    "How many times faster than real time; other than 1 only where every URL is loopback.",
                ),
                &kind::integer(1..=3_600),
                1,
            ),
            start: section.optional(
                restarts(
                    "start",
                    "The instant at which simulated time starts, by default now; only where every URL is loopback.",
                ),
                &kind::instant(),
            ),
        }
    }

    /// Anything but real time from now on.
    pub fn is_simulated(&self) -> bool {
        self.speed != 1 || self.start.is_some()
    }
}
