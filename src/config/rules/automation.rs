//! `[tenants.automation]`: limits of what rules do to one agent, and which rules are enforced (design.md part 7).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloads};
use crate::domain::ids::RuleId;

/// Limits against flapping, and which rules are enforced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Automation {
    /// Rules whose mode is raised to enforce.
    pub enforce: Enforce,
    /// Automatic changes of one agent in an hour at most.
    pub max_changes_per_agent_hour: u32,
    /// How long an agent who reverted an automatic change is left alone.
    pub leave_alone: Duration,
    /// Intervals without a snapshot after which nothing is sent on sight.
    pub stale_intervals: u32,
    /// Days that a trial of rules over history may span.
    pub trial_days: u32,
}

/// Which rules are enforced whatever their own mode says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Enforce {
    /// Every rule (`["all"]`).
    All,
    /// The named ones.
    Only(BTreeSet<RuleId>),
}

impl Enforce {
    /// Whether the rule is raised to enforce.
    pub fn contains(&self, rule: &RuleId) -> bool {
        match self {
            Self::All => true,
            Self::Only(rules) => rules.contains(rule),
        }
    }
}

impl Automation {
    pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Self {
        let enforce = section.value(
            reloads(
                "enforce",
                "Ids of rules that act for this tenant although their own mode is watch; `[\"all\"]` is every rule.",
            ),
            &kind::list(kind::id::<RuleId>()),
            Vec::new(),
        );
        let enforce = if enforce.iter().any(|rule| rule.as_str() == "all") {
            Enforce::All
        } else {
            Enforce::Only(enforce.into_iter().collect())
        };
        Self {
            enforce,
            max_changes_per_agent_hour: section.value(
                reloads("max_changes_per_agent_hour", "Automatic changes of one agent in an hour at most."),
                &kind::integer(0..=60),
                4,
            ),
            leave_alone: section.value(
                reloads("leave_alone", "How long an agent who reverted an automatic change is left alone."),
                &kind::duration(Duration::ZERO..=Duration::from_secs(24 * 3_600)),
                Duration::from_secs(30 * 60),
            ),
            stale_intervals: section.value(
                reloads(
                    "stale_intervals",
                    "Subscription intervals after which a sight is too old to act on, and an accepted change that none showed \
                     unconfirmed.",
                ),
                &kind::integer(1..=100),
                3,
            ),
            trial_days: section.value(
                reloads("trial_days", "Days of history that rules may be tried over at once."),
                &kind::integer(1..=31),
                7,
            ),
        }
    }
}
