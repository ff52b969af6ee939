//! `[tenants.subscription]`: how agent states are read (platform.md part 1, rows subscribe and snapshot; guide 004).

use std::time::Duration;

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable};

/// The settings for reading agent states by subscription and snapshots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// The time between two snapshots.
    pub interval: Duration,
    /// The maximum number of agents in one subscription; larger rosters are split.
    pub agents_per_subscription: usize,
    /// The age at which a subscription is replaced by a new one.
    pub renew_after: Duration,
    /// The size of a snapshot, in bytes, above which people are notified and fewer fields are requested.
    pub oversize_bytes: usize,
    /// The size of a snapshot, in bytes, above which it is not read.
    pub max_body_bytes: usize,
}

impl Subscription {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            interval: section.value(
                reloadable("interval", "The time between two snapshots. The platform refuses less than 10 seconds."),
                &kind::duration(Duration::from_secs(10)..=Duration::from_secs(600)),
                Duration::from_secs(10),
            ),
            agents_per_subscription: section.value(
                reloadable(
                    "agents_per_subscription",
                    "The maximum number of agents in one subscription. Larger rosters are split.",
                ),
                &kind::integer(1..=5_000),
                500,
            ),
            renew_after: section.value(
                reloadable(
                    "renew_after",
                    "The age at which a subscription is replaced. The platform ends it after 24 hours.",
                ),
                &kind::duration(Duration::from_secs(3_600)..=Duration::from_secs(23 * 3_600 + 1_800)),
                Duration::from_secs(23 * 3_600),
            ),
            oversize_bytes: section.value(
                reloadable("oversize_bytes", "A larger snapshot is reported, and fewer fields are requested."),
                &kind::integer(10_000..=100_000_000),
                500_000,
            ),
            max_body_bytes: section.value(
                reloadable("max_body_bytes", "A larger snapshot is not read."),
                &kind::integer(100_000..=1_000_000_000),
                16_000_000,
            ),
        }
    }
}
