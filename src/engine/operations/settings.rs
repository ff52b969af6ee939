//! The settings of one tenant's workers. `app` builds them from the configuration; a reload supplies new ones.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::analytics::anomaly::MonitoredSeries;
use crate::domain::changes::policy::{OnContact, UnscheduledPolicy};
use crate::domain::ids::{AgentId, QueueId, RuleId, SkillId, TenantId};
use crate::domain::rules::planner::DecideSettings;
use crate::domain::rules::rule::catalog::{CatalogBase, CatalogEntry, RuleCatalog, StoredRuleVersion, build_catalog};
use crate::domain::rules::rule::check::Capabilities;
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::rules::rule::subjects::ReferencedSubject;
use crate::domain::rules::rule::{Rule, RuleDiagnostic};
use crate::platform::retry::RetryBackoff;

/// The settings of one tenant. Durations are in the daemon's clock unless their name says real.
#[derive(Clone, Debug)]
pub struct TenantSettings {
    /// The tenant.
    pub tenant: TenantId,
    /// Agents in addition to the imported ones.
    pub agents: Vec<AgentId>,
    /// The skills that the live feed is subscribed to and whose figures are read.
    pub skills: Vec<SkillId>,
    /// The request budget.
    pub budget: BudgetSettings,
    /// Subscriptions and polling.
    pub observation: ObservationSettings,
    /// The platform's directory of agents.
    pub directory: DirectorySettings,
    /// The live feed.
    pub feed: FeedSettings,
    /// Figures of skills and queues.
    pub figures: FigureSettings,
    /// What policy forbids or holds.
    pub policy: PolicySettings,
    /// The attempts of one transition.
    pub retry: RetrySettings,
    /// The configured rules, as the tenant wants them.
    pub base_rules: Arc<[Rule]>,
    /// What rules can request of the platform.
    pub capabilities: Capabilities,
    /// The rules in force: the configured ones and, after [`TenantSettings::with_rules`], those of the store.
    pub rules: Arc<RuleSet>,
    /// The texts of these rules, for the store.
    pub rule_texts: Vec<RuleText>,
    /// The longest span of a backtest.
    pub max_backtest_span: Duration,
    /// Adherence, guards against flapping, and staleness.
    pub decide: DecideSettings,
    /// The series monitored for anomalies.
    pub series: Arc<[MonitoredSeries]>,
}

impl TenantSettings {
    /// Returns whether the tenant reads or monitors what a rule's condition refers to.
    pub fn has(&self, subject: ReferencedSubject<'_>) -> bool {
        match subject {
            ReferencedSubject::Skill(id) => self.figures.skills.iter().any(|skill| skill.as_str() == id),
            ReferencedSubject::Queue(id) => self.figures.queues.iter().any(|queue| queue.as_str() == id),
            ReferencedSubject::Series(id) => self.series.iter().any(|watched| watched.id.as_str() == id),
        }
    }

    /// Returns the base that the store's rules are added to.
    pub fn rule_base(&self) -> CatalogBase<'_> {
        CatalogBase { rules: &self.base_rules, capabilities: self.capabilities, on_contact: self.policy.on_contact }
    }

    /// Returns the settings with the newest versions of the store's rules in force, and the list of all rules.
    ///
    /// # Errors
    ///
    /// Returns the diagnostics of the configured rules; the configuration check rejects such rules.
    pub fn with_rules(&self, editions: &[StoredRuleVersion]) -> Result<(Self, Vec<CatalogEntry>), Vec<RuleDiagnostic>> {
        let RuleCatalog { rule_set: set, rules, entries: listed } = build_catalog(self.rule_base(), editions)?;
        let rule_texts = rules.iter().filter_map(RuleText::of).collect();
        Ok((Self { rules: Arc::new(set), rule_texts, ..self.clone() }, listed))
    }
}

/// The text of a rule, in the version in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleText {
    /// The rule.
    pub id: RuleId,
    /// Its version.
    pub version: Arc<str>,
    /// Its text as JSON.
    pub body: String,
}

impl RuleText {
    /// Returns the text of a rule; `None` if it cannot be encoded as JSON, which every rule that was read can.
    pub fn of(rule: &Rule) -> Option<Self> {
        let body = serde_json::to_string(rule).ok()?;
        Some(Self { id: rule.id.clone(), version: rule.version().ok()?, body })
    }
}

/// The request budget of one tenant.
#[derive(Clone, Debug)]
pub struct BudgetSettings {
    /// The most calls in any window of 60 s.
    pub requests_per_minute: usize,
    /// The slots reserved for people's changes and mandatory breaks.
    pub urgent_reserve: usize,
    /// Slots that only polls may take; 0 if polls do not count.
    pub poll_reserve: usize,
    /// The share of the budget for calls about schedules and breaks, in percent.
    pub read_share_percent: usize,
    /// The most state change calls at the same time.
    pub parallel_calls: usize,
    /// How long to wait for the platform's answer, in real time.
    pub request_timeout_real: Duration,
}

/// Subscriptions and polling of one tenant.
#[derive(Clone, Debug)]
pub struct ObservationSettings {
    /// The requested interval between snapshots.
    pub interval: Duration,
    /// The number of agents per subscription.
    pub agents_per_subscription: usize,
    /// The age at which a subscription is renewed.
    pub renew_after: Duration,
    /// The age at which a subscription without a successor is reported.
    pub near_expiry_after: Duration,
    /// The size in bytes above which a snapshot is reported.
    pub oversize_bytes: usize,
}

/// The platform's directory of agents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectorySettings {
    /// Whether the agents whom it lists join the roster.
    pub joins_roster: bool,
}

/// The live feed of one tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedSettings {
    /// Whether the feed is opened if the tenant has skills.
    pub enabled: bool,
    /// How long a feed may be silent before it counts as lost.
    pub silent_after: Duration,
}

/// Figures of skills and queues of one tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FigureSettings {
    /// The skills to read.
    pub skills: Vec<SkillId>,
    /// The queues to read.
    pub queues: Vec<QueueId>,
    /// The interval between reads.
    pub interval: Duration,
    /// The most reads in any window of 60 s; a budget of their own.
    pub requests_per_minute: usize,
}

/// What policy forbids or holds.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// The targets forbidden for unscheduled agents.
    pub unscheduled_forbids: UnscheduledPolicy,
    /// What to do with an agent on a contact if the request does not say.
    pub on_contact: OnContact,
    /// How long a request may wait if it does not say.
    pub deadline: Duration,
    /// How long the platform's answers about an agent are kept at most.
    pub answer_lifetime: Duration,
}

/// The attempts of one transition.
#[derive(Clone, Debug)]
pub struct RetrySettings {
    /// The most attempts, including the first.
    pub attempts: u32,
    /// The pauses between attempts.
    pub curve: RetryBackoff,
    /// The share of a tenant's calls that retries may take, in percent.
    pub share_percent: usize,
    /// The retries per minute that are always allowed.
    pub min_per_minute: usize,
}

/// Settings for the tests of this room.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::agents::kind_sets::StateSet;
    use crate::domain::agents::state::AgentState;

    /// From one snapshot to the next.
    pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
    /// How long an answer is awaited.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

    /// A tenant of these agents, without rules and without a feed.
    pub(crate) fn settings(agents: &[AgentId]) -> TenantSettings {
        let capabilities = Capabilities { settable: StateSet::from_states(&AgentState::KNOWN), can_log_out: true };
        TenantSettings {
            tenant: TenantId::from("acme"),
            agents: agents.to_vec(),
            skills: Vec::new(),
            budget: BudgetSettings {
                requests_per_minute: 1000,
                urgent_reserve: 0,
                poll_reserve: 0,
                read_share_percent: 20,
                parallel_calls: 32,
                request_timeout_real: TIMEOUT,
            },
            observation: ObservationSettings {
                interval: INTERVAL,
                agents_per_subscription: 2,
                renew_after: Duration::from_secs(72_000),
                near_expiry_after: Duration::from_secs(80_000),
                oversize_bytes: 1_000_000,
            },
            directory: DirectorySettings { joins_roster: true },
            feed: FeedSettings { enabled: false, silent_after: Duration::from_secs(120) },
            figures: FigureSettings {
                skills: Vec::new(),
                queues: Vec::new(),
                interval: Duration::from_secs(30),
                requests_per_minute: 10,
            },
            policy: PolicySettings {
                unscheduled_forbids: UnscheduledPolicy::Ready,
                on_contact: OnContact::Now,
                deadline: Duration::from_secs(36_000),
                answer_lifetime: Duration::from_secs(900),
            },
            retry: RetrySettings {
                attempts: 5,
                curve: RetryBackoff { first: Duration::from_secs(1), cap: Duration::from_secs(1) },
                share_percent: 20,
                min_per_minute: 100,
            },
            base_rules: Arc::from([]),
            capabilities,
            rules: Arc::new(RuleSet::compile(&[], capabilities).expect("no rule")),
            rule_texts: Vec::new(),
            max_backtest_span: Duration::from_secs(7 * 24 * 3600),
            decide: DecideSettings { stale_after: INTERVAL * 3, ..DecideSettings::default() },
            series: Arc::from([]),
        }
    }
}
