//! `[tenants.automation]`: limits on what rules do to one agent, and which rules are enforced (design.md part 7).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::shared::kind;
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::ids::RuleId;

/// Limits that prevent flapping, and the rules that are enforced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Automation {
    /// Rules whose mode is raised to enforce.
    pub enforce: Enforce,
    /// The maximum number of rule changes of one agent per hour.
    pub max_changes_per_agent_hour: u32,
    /// How long rules leave an agent alone who reverted a rule's change.
    pub pause_after_reversal: Duration,
    /// The number of intervals without a snapshot after which rules send nothing based on observations.
    pub stale_intervals: u32,
    /// The maximum number of days of a backtest.
    pub backtest_days: u32,
}

/// Which rules are enforced whatever their own mode is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Enforce {
    /// Every rule (`["all"]`).
    All,
    /// The listed rules.
    Only(BTreeSet<RuleId>),
}

impl Enforce {
    /// Returns whether the rule is raised to enforce.
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
            reloadable(
                "enforce",
                "Ids of rules to enforce for this tenant although their own mode is monitoring (`watch`); \
                 `[\"all\"]` for all rules.",
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
                reloadable("max_changes_per_agent_hour", "The maximum number of automatic changes per agent and hour."),
                &kind::integer(0..=60),
                4,
            ),
            pause_after_reversal: section.value(
                reloadable("leave_alone", "How long rules do not change an agent who reverted an automatic change."),
                &kind::duration(Duration::ZERO..=Duration::from_secs(24 * 3_600)),
                Duration::from_secs(30 * 60),
            ),
            stale_intervals: section.value(
                reloadable(
                    "stale_intervals",
                    "After this many subscription intervals, an observation is too old for rules to act on, and an \
                     accepted change that no observation has shown counts as unconfirmed.",
                ),
                &kind::integer(1..=100),
                3,
            ),
            backtest_days: section.value(
                reloadable("trial_days", "The maximum number of days of history in one backtest."),
                &kind::integer(1..=31),
                7,
            ),
        }
    }
}
