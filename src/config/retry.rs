//! `[tenants.retry]` and `[tenants.breaker]`: trying again, and when to stop (design.md part 6).

use std::time::Duration;

use super::complaint::Fault;
use super::kind;
use super::reader::{Section, reloads};

/// Trying a failed request again: exponential, with full jitter.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Retry {
    /// The longest wait before the first retry.
    pub first: Duration,
    /// How many times longer each following one may be.
    pub factor: f64,
    /// The longest wait.
    pub max: Duration,
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// The share of a tenant's calls that retries may be, 0 to 1.
    pub share: f64,
    /// Retries in a minute that the share allows at least.
    pub at_least_per_minute: u32,
}

impl Retry {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let first = section.value(
            reloads("first", "The longest wait before the first retry; the wait itself is drawn from zero to it."),
            &kind::duration(Duration::from_millis(10)..=Duration::from_secs(60)),
            Duration::from_secs(1),
        );
        let factor = section.value(
            reloads("factor", "How many times longer each following wait may be."),
            &kind::number(1.0..=10.0),
            2.0,
        );
        let max = section.value(
            reloads("max", "The longest wait, unless the platform asks for a longer one."),
            &kind::duration(Duration::from_millis(10)..=Duration::from_secs(3_600)),
            Duration::from_secs(60),
        );
        if max < first {
            section.complain("max", Fault::new("must not be less than first"));
        }
        let attempts =
            section.value(reloads("attempts", "Attempts in all, the first one included."), &kind::integer(1..=20), 5);
        let share = section.value(
            reloads("share", "The share of the tenant's calls that retries may be."),
            &kind::number(0.0..=1.0),
            0.2,
        );
        let at_least_per_minute = section.value(
            reloads("at_least_per_minute", "Retries in a minute that are allowed whatever the share."),
            &kind::integer(0..=1_000),
            10,
        );
        Self { first, factor, max, attempts, share, at_least_per_minute }
    }
}

/// When automation of a tenant halts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Breaker {
    /// Agents whose changes must fail.
    pub agents: u32,
    /// Attempts of each that must fail.
    pub tries: u32,
    /// Probes in a minute while it is open.
    pub probes_per_minute: u32,
}

impl Breaker {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            agents: section.value(
                reloads("agents", "Automation halts when changes of this many agents keep failing."),
                &kind::integer(1..=100),
                3,
            ),
            tries: section.value(
                reloads("tries", "How many attempts of each must have failed."),
                &kind::integer(1..=20),
                3,
            ),
            probes_per_minute: section.value(
                reloads("probes_per_minute", "Probes in a minute that find out whether it can resume."),
                &kind::integer(1..=60),
                2,
            ),
        }
    }
}
