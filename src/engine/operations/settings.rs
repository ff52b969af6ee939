//! What the workers of one tenant go by. `app` makes it from the configuration; a reload hands in a new one.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::analytics::anomaly::Watched;
use crate::domain::changes::policy::{OnContact, UnscheduledForbids};
use crate::domain::ids::{AgentId, QueueId, RuleId, SkillId, TenantId};
use crate::domain::rules::planner::DecideSettings;
use crate::domain::rules::rule::check::Capabilities;
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::rules::rule::shelf::{Base, Edition, Listed, Shelf, join};
use crate::domain::rules::rule::subjects::Subject;
use crate::domain::rules::rule::{Rule, RuleComplaint};
use crate::platform::retry::RetryCurve;

/// The settings of one tenant. Spans are of the daemon's clock unless their name says real.
#[derive(Clone, Debug)]
pub struct TenantSettings {
    /// The tenant.
    pub tenant: TenantId,
    /// Agents beside the imported ones.
    pub agents: Vec<AgentId>,
    /// The skills that the live feed is subscribed to and whose figures are read.
    pub skills: Vec<SkillId>,
    /// The request budget.
    pub budget: BudgetSettings,
    /// Subscriptions and polls.
    pub sight: SightSettings,
    /// The live feed.
    pub feed: FeedSettings,
    /// Figures of skills and queues.
    pub figures: FigureSettings,
    /// What policy forbids or holds.
    pub policy: PolicySettings,
    /// Tries of one transition.
    pub retry: RetrySettings,
    /// The configuration's rules, as the tenant wants them.
    pub base_rules: Arc<[Rule]>,
    /// What rules can ask of the platform.
    pub capabilities: Capabilities,
    /// The rules in force: the configuration's, and with [`TenantSettings::with_rules`] the store's as well.
    pub rules: Arc<RuleSet>,
    /// Their texts, for the store.
    pub rule_texts: Vec<RuleText>,
    /// The longest span that rules may be tried over.
    pub trial_span: Duration,
    /// Adherence, flapping guards, staleness.
    pub decide: DecideSettings,
    /// The series that are watched for anomalies.
    pub series: Arc<[Watched]>,
}

impl TenantSettings {
    /// Whether the tenant reads or watches what a condition of a rule names.
    pub fn has(&self, subject: Subject<'_>) -> bool {
        match subject {
            Subject::Skill(id) => self.figures.skills.iter().any(|skill| skill.as_str() == id),
            Subject::Queue(id) => self.figures.queues.iter().any(|queue| queue.as_str() == id),
            Subject::Series(id) => self.series.iter().any(|watched| watched.id.as_str() == id),
        }
    }

    /// What the store's rules join.
    pub fn base(&self) -> Base<'_> {
        Base { rules: &self.base_rules, capabilities: self.capabilities, on_contact: self.policy.on_contact }
    }

    /// The same with the newest editions of the store's rules, and everything that there is now.
    ///
    /// # Errors
    /// The complaints about the configuration's own rules, which its check does not let through.
    pub fn with_rules(&self, editions: &[Edition]) -> Result<(Self, Vec<Listed>), Vec<RuleComplaint>> {
        let Shelf { set, rules, listed } = join(self.base(), editions)?;
        let rule_texts = rules.iter().filter_map(RuleText::of).collect();
        Ok((Self { rules: Arc::new(set), rule_texts, ..self.clone() }, listed))
    }
}

/// A rule as it is written, in the version that is in force.
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
    /// Of a rule that has JSON, as every rule that was read has.
    pub fn of(rule: &Rule) -> Option<Self> {
        let body = serde_json::to_string(rule).ok()?;
        Some(Self { id: rule.id.clone(), version: rule.version().ok()?, body })
    }
}

/// The request budget of one tenant.
#[derive(Clone, Debug)]
pub struct BudgetSettings {
    /// Calls in any window of 60 s.
    pub requests_per_minute: usize,
    /// Slots that only people's changes and mandatory breaks may take.
    pub urgent_reserve: usize,
    /// The share of the budget that questions about schedules and breaks may take, in percent.
    pub read_share_percent: usize,
    /// State POSTs under way at once.
    pub parallel_calls: usize,
    /// The platform's answer is awaited so long, in real time.
    pub request_timeout_real: Duration,
}

/// Subscriptions and polls of one tenant.
#[derive(Clone, Debug)]
pub struct SightSettings {
    /// The wanted interval between snapshots.
    pub interval: Duration,
    /// Agents per subscription.
    pub agents_per_subscription: usize,
    /// A subscription is renewed at this age.
    pub renew_after: Duration,
    /// An alert is given at this age of a subscription without a successor.
    pub near_expiry_after: Duration,
    /// A snapshot larger than this is reported.
    pub oversize_bytes: usize,
}

/// The live feed of one tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedSettings {
    /// Whether it is opened, where the tenant has skills.
    pub enabled: bool,
    /// A feed that says nothing for so long is lost.
    pub silent_after: Duration,
}

/// Figures of skills and queues of one tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FigureSettings {
    /// The skills that are read.
    pub skills: Vec<SkillId>,
    /// The queues that are read.
    pub queues: Vec<QueueId>,
    /// From one read to the next.
    pub interval: Duration,
    /// Reads in any window of 60 s, a budget of their own.
    pub requests_per_minute: usize,
}

/// What policy forbids or holds.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// Targets forbidden to the unscheduled.
    pub unscheduled_forbids: UnscheduledForbids,
    /// What to do on a contact when the request does not say.
    pub on_contact: OnContact,
    /// How long a request may wait when it does not say.
    pub deadline: Duration,
    /// The platform's answers about an agent are kept at longest for so long.
    pub answers_kept: Duration,
}

/// Tries of one transition.
#[derive(Clone, Debug)]
pub struct RetrySettings {
    /// Attempts at most, the first included.
    pub attempts: u32,
    /// The curve of the pauses.
    pub curve: RetryCurve,
    /// Retries may take this share of a tenant's calls, in percent.
    pub share_percent: usize,
    /// Retries a minute that are always allowed.
    pub at_least_per_minute: usize,
}

/// Settings for the tests of this room.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::agents::sets::StateSet;
    use crate::domain::agents::state::AgentState;

    /// From one snapshot to the next.
    pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
    /// How long an answer is awaited.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

    /// A tenant of these agents, without rules and without a feed.
    pub(crate) fn settings(agents: &[AgentId]) -> TenantSettings {
        let capabilities = Capabilities { settable: StateSet::of(&AgentState::KNOWN), can_log_out: true };
        TenantSettings {
            tenant: TenantId::from("acme"),
            agents: agents.to_vec(),
            skills: Vec::new(),
            budget: BudgetSettings {
                requests_per_minute: 1000,
                urgent_reserve: 0,
                read_share_percent: 20,
                parallel_calls: 32,
                request_timeout_real: TIMEOUT,
            },
            sight: SightSettings {
                interval: INTERVAL,
                agents_per_subscription: 2,
                renew_after: Duration::from_secs(72_000),
                near_expiry_after: Duration::from_secs(80_000),
                oversize_bytes: 1_000_000,
            },
            feed: FeedSettings { enabled: false, silent_after: Duration::from_secs(120) },
            figures: FigureSettings {
                skills: Vec::new(),
                queues: Vec::new(),
                interval: Duration::from_secs(30),
                requests_per_minute: 10,
            },
            policy: PolicySettings {
                unscheduled_forbids: UnscheduledForbids::Ready,
                on_contact: OnContact::Now,
                deadline: Duration::from_secs(36_000),
                answers_kept: Duration::from_secs(900),
            },
            retry: RetrySettings {
                attempts: 5,
                curve: RetryCurve { first: Duration::from_secs(1), cap: Duration::from_secs(1) },
                share_percent: 20,
                at_least_per_minute: 100,
            },
            base_rules: Arc::from([]),
            capabilities,
            rules: Arc::new(RuleSet::compile(&[], capabilities).expect("no rule")),
            rule_texts: Vec::new(),
            trial_span: Duration::from_secs(7 * 24 * 3600),
            decide: DecideSettings { stale_after: INTERVAL * 3, ..DecideSettings::default() },
            series: Arc::from([]),
        }
    }
}
