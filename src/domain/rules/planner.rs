//! The planner: decides what the rules do with each agent at an instant, and explains why.
//!
//! It is a function of `(roster, rules, settings, now)` that returns intents, without a clock, input or output, or
//! memory of its own. Live passes, `plan`, dry runs and backtests call the same [`decide`]; [`explain()`] is the same
//! pass with its findings recorded.
//!
//! - Rules are tried by class, then in file order. The first enforcing or approval-requiring rule that matches and
//!   changes the state claims the agent, even if a guard holds it or the agent is in the target state already. A
//!   monitoring rule (`watch`) claims the agent only from later monitoring rules. Rules that only tell or ask claim no
//!   agent.
//! - An intent that changes a state is repeated in each pass until its transition is marked as open on the roster.
//!   Every other intent is given once per change of its facts, provided that [`record_intent`] is called.

mod decision;
mod explain;
mod facts;
mod pass;
mod reversal;
mod settings;
mod view;

use self::pass::Pass;
use self::view::{AgentInstant, PassContext};
use super::rule::Mode;
use super::rule::compile::RuleSet;
use crate::domain::agents::roster::{AgentIndex, Roster};
use crate::domain::time::UtcMicros;

pub use super::rule::compile::RuleAction;
pub use decision::{Decisions, Guard, HeldIntent, Intent};
pub use explain::{Explanation, RuleExplanation, RuleOutcome, explain};
pub use facts::{Facts, Finding};
pub use reversal::is_reversal;
pub use settings::DecideSettings;
pub use view::live_verdict;

/// Decides what the rules do with the agents of the roster at `now`, in one pass. It remembers nothing; see
/// [`record_intent`].
pub fn decide(roster: &Roster, rules: &RuleSet, settings: &DecideSettings, now: UtcMicros) -> Decisions {
    Pass::new(roster, rules, settings, now).run()
}

/// Decides for one agent only. The limits count the earlier actions on all agents.
pub fn decide_one(
    roster: &Roster,
    rules: &RuleSet,
    settings: &DecideSettings,
    agent: AgentIndex,
    now: UtcMicros,
) -> Decisions {
    Pass::new(roster, rules, settings, now).run_for(agent)
}

/// Records on the roster that an intent was taken up: enforced, recorded or held for a person.
///
/// The record serves cooldowns, limits and the flapping guard, and keeps messages from being repeated.
pub fn record_intent(roster: &mut Roster, intent: &Intent, now: UtcMicros) {
    let changes = intent.mode == Mode::Enforce && intent.action.changes_state();
    roster.record_rule_action(intent.index, &intent.rule, intent.fact_key, changes, now);
}

impl HeldIntent {
    /// Returns the facts behind the held action; `None` if the roster or the rules are not those decided on.
    ///
    /// They are made on demand, since most held actions were held in the previous pass too.
    pub fn facts(&self, roster: &Roster, rules: &RuleSet, settings: &DecideSettings, now: UtcMicros) -> Option<Facts> {
        let record = roster.agent(self.agent.as_str())?;
        let rule = rules.rules().iter().find(|known| known.id == self.rule)?;
        let context = PassContext::new(roster, rules, settings, now);
        Some(AgentInstant::of(record, &context).facts(&rule.when))
    }
}

#[cfg(test)]
mod tests;
