//! What a trial tries: which rules over which history, prepared while the rules that there are stand still.

use std::sync::Arc;

use crate::domain::ids::{RuleId, SeriesId};
use crate::domain::rules::planner::DecideSettings;
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::rules::rule::shelf::{Edition, check_edition, join};
use crate::domain::rules::rule::written::{placed, read_one};
use crate::domain::rules::rule::{Mode, Rule};
use crate::domain::time::UtcMicros;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::rules::EditRefused;

/// What somebody wants to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrialWish {
    /// All rules as they are, each in its own mode.
    AllRules,
    /// A rule that there is, as if it acted.
    Rule(RuleId),
    /// The text of one rule, as if it acted: a new one, or another version of one that there is.
    Text(String),
}

/// What a trial needs beside history.
#[derive(Clone, Debug)]
pub struct TrialKit {
    /// The rule that is tried; none where all are.
    pub subject: Option<RuleId>,
    /// All rules, with the one that is tried as it would be, acting.
    pub replayed: Arc<RuleSet>,
    /// All rules, with the one that is tried as it is, acting: where there is one of its id in force and it differs.
    pub present: Option<Arc<RuleSet>>,
    /// Guards and adherence, as they are now.
    pub decide: DecideSettings,
    /// The series that are watched now.
    pub series: Vec<SeriesId>,
    /// The longest span that may be asked for.
    pub longest: std::time::Duration,
}

impl TrialKit {
    /// Prepares a trial; `settings` are as configured, `editions` the newest of the store's rules.
    ///
    /// # Errors
    /// There is no such rule, or what is tried does not pass the check.
    pub fn prepare(settings: &TenantSettings, editions: &[Edition], wish: &TrialWish) -> Result<Self, EditRefused> {
        let base = settings.base();
        let in_force = |editions: &[Edition]| {
            join(base, editions)
                .map(|shelf| shelf.rules)
                .map_err(|complaints| EditRefused::Wrong(placed("", &complaints)))
        };
        let compile = |rules: &[Rule]| {
            RuleSet::compile(rules, settings.capabilities)
                .map(Arc::new)
                .map_err(|complaints| EditRefused::Wrong(placed("", &complaints)))
        };
        let now = in_force(editions)?;
        let (subject, replayed, present) = match wish {
            TrialWish::AllRules => (None, compile(&now)?, None),
            TrialWish::Rule(id) => {
                // One that is switched off is tried as if it were not.
                let on: Vec<Edition> = editions
                    .iter()
                    .map(|edition| Edition { enabled: edition.enabled || edition.rule == *id, ..edition.clone() })
                    .collect();
                let rules = acting(in_force(&on)?, id).ok_or_else(|| EditRefused::NoRule(id.clone()))?;
                (Some(id.clone()), compile(&rules)?, None)
            }
            TrialWish::Text(text) => {
                let rule = read_one(text).map_err(EditRefused::Wrong)?;
                let known = editions.iter().find(|edition| edition.rule == rule.id);
                let tried = Edition {
                    rule: rule.id.clone(),
                    version: 0,
                    text: text.as_str().into(),
                    enabled: true,
                    order: known.filter(|known| !known.removed).and_then(|known| known.order),
                    removed: false,
                    at: UtcMicros::EPOCH,
                    by: Arc::from(""),
                    why: None,
                };
                let complaints = check_edition(base, editions, &tried);
                if !complaints.is_empty() {
                    return Err(EditRefused::Wrong(complaints));
                }
                let mut with: Vec<Edition> =
                    editions.iter().filter(|edition| edition.rule != rule.id).cloned().collect();
                with.push(tried);
                let rules = acting(in_force(&with)?, &rule.id).ok_or_else(|| EditRefused::NoRule(rule.id.clone()))?;
                let present = acting(now, &rule.id).filter(|present| *present != rules);
                (Some(rule.id), compile(&rules)?, present.map(|present| compile(&present)).transpose()?)
            }
        };
        let series = settings.series.iter().map(|watched| watched.id.clone()).collect();
        let (decide, longest) = (settings.decide.clone(), settings.trial_span);
        Ok(Self { subject, replayed, present, decide, series, longest })
    }

    /// Whether some rule of it looks at figures, which a replay does not have.
    pub fn looks_at_figures(&self) -> bool {
        !self.replayed.figures().is_empty() || self.present.as_ref().is_some_and(|set| !set.figures().is_empty())
    }
}

/// The rules with one of them acting; none where it is not among them.
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

    fn edition(id: &str, enabled: bool) -> Edition {
        Edition {
            rule: id.into(),
            version: 1,
            text: text(id, "for = \"10m\"").into(),
            enabled,
            order: None,
            removed: false,
            at: UtcMicros::EPOCH,
            by: Arc::from("ann"),
            why: None,
        }
    }

    fn modes(set: &RuleSet) -> Vec<(&str, Mode)> {
        set.rules().iter().map(|rule| (rule.id.as_str(), rule.mode)).collect()
    }

    #[test]
    fn what_is_tried_acts_and_the_others_are_as_they_are() {
        let (settings, editions) = (settings(&[]), [edition("a", true), edition("b", false)]);
        let prepare = |wish| TrialKit::prepare(&settings, &editions, &wish);
        let all = prepare(TrialWish::AllRules).expect("sound");
        assert_eq!((modes(&all.replayed), all.subject, all.present.is_none()), (vec![("a", Mode::Watch)], None, true));
        let off = prepare(TrialWish::Rule("b".into())).expect("sound");
        assert_eq!(modes(&off.replayed), [("a", Mode::Watch), ("b", Mode::Enforce)]);
        assert_eq!(prepare(TrialWish::Rule("c".into())).err(), Some(EditRefused::NoRule("c".into())));
        let another = prepare(TrialWish::Text(text("a", "for = \"5m\""))).expect("sound");
        assert_eq!(modes(&another.replayed), [("a", Mode::Enforce)]);
        assert!(another.present.is_some_and(|present| modes(&present) == [("a", Mode::Enforce)]));
        let same = prepare(TrialWish::Text(text("a", "for = \"10m\""))).expect("sound");
        assert!(same.present.is_none(), "there is nothing to compare with");
        let new = prepare(TrialWish::Text(text("n", "for = \"5m\""))).expect("sound");
        assert_eq!((new.replayed.rules().len(), new.present.is_none()), (2, true));
        let wrong = prepare(TrialWish::Text(text("a", "fro = \"5m\"")));
        assert!(matches!(wrong, Err(EditRefused::Wrong(complaints)) if complaints[0].line == 3));
    }
}
