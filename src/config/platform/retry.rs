//! `[tenants.retry]`: trying a failed request again (design.md part 6).

use std::time::Duration;

use crate::config::shared::complaint::Fault;
use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloads};

/// Trying a failed request again: exponential, doubling, with full jitter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// The longest wait before the first retry.
    pub first: Duration,
    /// The longest wait before any retry, beyond what the platform asks for.
    pub max: Duration,
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// The part of a tenant's calls that retries may be, in percent.
    pub share_percent: u32,
    /// Retries in a minute that the share allows at least.
    pub at_least_per_minute: u32,
}

impl Retry {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let first = section.value(
            reloads(
                "first",
                "The longest wait before the first retry, doubled for each later one; the wait is drawn below it.",
            ),
            &kind::duration(Duration::from_millis(10)..=Duration::from_secs(60)),
            Duration::from_secs(1),
        );
        let max = section.value(
            reloads("max", "The longest wait, beyond what the platform itself asks for."),
            &kind::duration(Duration::from_millis(10)..=Duration::from_secs(3_600)),
            Duration::from_secs(60),
        );
        if max < first {
            section.complain("max", Fault::new("must not be less than first"));
        }
        let attempts =
            section.value(reloads("attempts", "Attempts in all, the first one included."), &kind::integer(1..=20), 5);
        let share_percent = section.value(
            reloads("share_percent", "The part of the tenant's calls that retries may be, in percent."),
            &kind::integer(0..=100),
            20,
        );
        let at_least_per_minute = section.value(
            reloads("at_least_per_minute", "Retries in a minute that are allowed whatever the share."),
            &kind::integer(0..=1_000),
            10,
        );
        Self { first, max, attempts, share_percent, at_least_per_minute }
    }
}
