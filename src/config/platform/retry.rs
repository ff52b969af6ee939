//! `[tenants.retry]`: retries of failed requests (design.md part 6).

use std::time::Duration;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable};

/// The settings of retries: exponential backoff that doubles, with full jitter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// The longest wait before the first retry.
    pub first_delay: Duration,
    /// The longest wait before any retry, beyond what the platform asks for.
    pub max_delay: Duration,
    /// The maximum number of attempts, including the first.
    pub attempts: u32,
    /// The share of a tenant's calls that may be retries, in percent.
    pub share_percent: u32,
    /// The number of retries per minute that is always allowed.
    pub minimum_per_minute: u32,
}

impl Retry {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let first = section.value(
            reloadable(
                "first",
                "The upper limit of the wait before the first retry. It doubles with each further retry; the actual \
                 wait is random below it.",
            ),
            &kind::duration(Duration::from_millis(10)..=Duration::from_secs(60)),
            Duration::from_secs(1),
        );
        let max = section.value(
            reloadable("max", "The longest wait, unless the platform asks for more."),
            &kind::duration(Duration::from_millis(10)..=Duration::from_secs(3_600)),
            Duration::from_secs(60),
        );
        if max < first {
            section.add_diagnostic("max", ValueFault::new("must not be less than first"));
        }
        let attempts = section.value(
            reloadable("attempts", "The maximum number of attempts, including the first."),
            &kind::integer(1..=20),
            5,
        );
        let share_percent = section.value(
            reloadable("share_percent", "The share of the tenant's calls that may be retries, in percent."),
            &kind::integer(0..=100),
            20,
        );
        let at_least_per_minute = section.value(
            reloadable(
                "at_least_per_minute",
                "The number of retries per minute that are allowed regardless of the share.",
            ),
            &kind::integer(0..=1_000),
            10,
        );
        Self { first_delay: first, max_delay: max, attempts, share_percent, minimum_per_minute: at_least_per_minute }
    }
}
