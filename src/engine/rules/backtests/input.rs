//! The input of a backtest: which rules are replayed, prepared from the rules at one instant.

use std::sync::Arc;

use crate::domain::ids::{RuleId, SeriesId};
use crate::domain::rules::planner::DecideSettings;
use crate::domain::rules::rule::catalog::{StoredRuleVersion, build_catalog, check_stored_rule};
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::rules::rule::rule_text::{locate_diagnostics, parse_rule_text};
use crate::domain::rules::rule::{Mode, Rule};
use crate::domain::time::UtcMicros;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::rules::edit::RuleEditError;

/// What to test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BacktestRequest {
    /// All rules, each in its own mode.
    AllRules,
    /// An existing rule, as if it were enforcing.
    Rule(RuleId),
    /// The text of one rule, as if it were enforcing: a new rule, or another version of an existing one.
    Text(String),
}

/// What a backtest needs apart from history.
#[derive(Clone, Debug)]
pub struct BacktestInput {
    /// The tested rule; `None` if all are tested.
    pub subject: Option<RuleId>,
    /// All rules, with the tested one in its new version and enforcing.
    pub replayed: Arc<RuleSet>,
    /// All rules, with the tested one in its present version and enforcing, if one is in force and differs.
    pub present: Option<Arc<RuleSet>>,
    /// The guards and adherence settings at present.
    pub decide: DecideSettings,
    /// The series monitored at present.
    pub series: Vec<SeriesId>,
    /// The longest span allowed.
    pub max_span: std::time::Duration,
}

impl BacktestInput {
    /// Prepares a backtest; `settings` are as configured, `editions` the newest versions of the store's rules.
    ///
    /// # Errors
    ///
    /// Fails if there is no such rule, or if the tested one is invalid.
    pub fn prepare(
        settings: &TenantSettings,
        editions: &[StoredRuleVersion],
        request: &BacktestRequest,
    ) -> Result<Self, RuleEditError> {
        let base = settings.rule_base();
        let in_force = |editions: &[StoredRuleVersion]| {
            build_catalog(base, editions)
                .map(|shelf| shelf.rules)
                .map_err(|complaints| RuleEditError::Invalid(locate_diagnostics("", &complaints)))
        };
        let compile = |rules: &[Rule]| {
            RuleSet::compile(rules, settings.capabilities)
                .map(Arc::new)
                .map_err(|complaints| RuleEditError::Invalid(locate_diagnostics("", &complaints)))
        };
        let now = in_force(editions)?;
        let (subject, replayed, present) = match request {
            BacktestRequest::AllRules => (None, compile(&now)?, None),
            BacktestRequest::Rule(id) => {
                // A disabled rule is tested as if it were enabled.
                let with_enabled: Vec<StoredRuleVersion> = editions
                    .iter()
                    .map(|edition| StoredRuleVersion {
                        enabled: edition.enabled || edition.rule == *id,
                        ..edition.clone()
                    })
                    .collect();
                let rules = acting(in_force(&with_enabled)?, id).ok_or_else(|| RuleEditError::NoRule(id.clone()))?;
                (Some(id.clone()), compile(&rules)?, None)
            }
            BacktestRequest::Text(text) => {
                let rule = parse_rule_text(text).map_err(RuleEditError::Invalid)?;
                let known = editions.iter().find(|edition| edition.rule == rule.id);
                let tested = StoredRuleVersion {
                    rule: rule.id.clone(),
                    version: 0,
                    text: text.as_str().into(),
                    enabled: true,
                    order: known.filter(|known| !known.removed).and_then(|known| known.order),
                    removed: false,
                    changed_at: UtcMicros::EPOCH,
                    changed_by: Arc::from(""),
                    comment: None,
                };
                let diagnostics = check_stored_rule(base, editions, &tested);
                if !diagnostics.is_empty() {
                    return Err(RuleEditError::Invalid(diagnostics));
                }
                let mut replaced: Vec<StoredRuleVersion> =
                    editions.iter().filter(|edition| edition.rule != rule.id).cloned().collect();
                replaced.push(tested);
                let rules =
                    acting(in_force(&replaced)?, &rule.id).ok_or_else(|| RuleEditError::NoRule(rule.id.clone()))?;
                let present = acting(now, &rule.id).filter(|present| *present != rules);
                (Some(rule.id), compile(&rules)?, present.map(|present| compile(&present)).transpose()?)
            }
        };
        let series = settings.series.iter().map(|watched| watched.id.clone()).collect();
        let (decide, longest) = (settings.decide.clone(), settings.max_backtest_span);
        Ok(Self { subject, replayed, present, decide, series, max_span: longest })
    }

    /// Returns whether any rule uses figures, which a replay does not have.
    pub fn uses_figures(&self) -> bool {
        !self.replayed.figures().is_empty() || self.present.as_ref().is_some_and(|set| !set.figures().is_empty())
    }
}

/// Returns the rules with one of them enforcing; `None` if it is not among them.
fn acting(mut rules: Vec<Rule>, id: &RuleId) -> Option<Vec<Rule>> {
    let rule = rules.iter_mut().find(|rule| rule.id == *id)?;
    rule.mode = Mode::Enforce;
    Some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::operations::settings::tests::settings;

    fn text(id: &str, body: &str) -> String {
        format!(
            "[[rules]]\nid = \"{id}\"\nwhen = {{ state = \"Paused\", {body} }}\nthen = {{ set_state = \"Ready\" }}\n"
        )
    }

    fn edition(id: &str, enabled: bool) -> StoredRuleVersion {
        StoredRuleVersion {
            rule: id.into(),
            version: 1,
            text: text(id, "for = \"10m\"").into(),
            enabled,
            order: None,
            removed: false,
            changed_at: UtcMicros::EPOCH,
            changed_by: Arc::from("ann"),
            comment: None,
        }
    }

    fn modes(set: &RuleSet) -> Vec<(&str, Mode)> {
        set.rules().iter().map(|rule| (rule.id.as_str(), rule.mode)).collect()
    }

    #[test]
    fn what_is_tried_acts_and_the_others_are_as_they_are() {
        let (settings, editions) = (settings(&[]), [edition("a", true), edition("b", false)]);
        let prepare = |wish| BacktestInput::prepare(&settings, &editions, &wish);
        let all = prepare(BacktestRequest::AllRules).expect("sound");
        assert_eq!((modes(&all.replayed), all.subject, all.present.is_none()), (vec![("a", Mode::Watch)], None, true));
        let off = prepare(BacktestRequest::Rule("b".into())).expect("sound");
        assert_eq!(modes(&off.replayed), [("a", Mode::Watch), ("b", Mode::Enforce)]);
        assert_eq!(prepare(BacktestRequest::Rule("c".into())).err(), Some(RuleEditError::NoRule("c".into())));
        let another = prepare(BacktestRequest::Text(text("a", "for = \"5m\""))).expect("sound");
        assert_eq!(modes(&another.replayed), [("a", Mode::Enforce)]);
        assert!(another.present.is_some_and(|present| modes(&present) == [("a", Mode::Enforce)]));
        let same = prepare(BacktestRequest::Text(text("a", "for = \"10m\""))).expect("sound");
        assert!(same.present.is_none(), "there is nothing to compare with");
        let new = prepare(BacktestRequest::Text(text("n", "for = \"5m\""))).expect("sound");
        assert_eq!((new.replayed.rules().len(), new.present.is_none()), (2, true));
        let wrong = prepare(BacktestRequest::Text(text("a", "fro = \"5m\"")));
        assert!(matches!(wrong, Err(RuleEditError::Invalid(complaints)) if complaints[0].line == 3));
    }
}
