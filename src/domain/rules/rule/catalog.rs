//! The catalog of rules: combines the rules of the store with those of the configuration and determines which are in
//! force.
//!
//! The configuration's rules are the base. A stored rule with the id of one of them replaces it in its place; other
//! stored rules come after them. `order` moves a stored rule: negative values come before the configuration's rules,
//! others after them. Within a class this is the order in which rules are tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::Capabilities;
use super::compile::{MAX_RULES, RuleSet};
use super::rule_text::{LineDiagnostic, locate_diagnostics, parse_rule_text};
use super::{Rule, RuleDiagnostic};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::RuleId;
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

/// One version of a stored rule. All versions are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRuleVersion {
    /// The rule.
    pub rule: RuleId,
    /// The version number, from 1; every change increases it, even after a removal.
    pub version: u64,
    /// The text of one `[[rules]]` table, with its mode.
    pub text: Arc<str>,
    /// Whether the rule is enabled. If not, neither it nor the configuration's rule with its id is in force.
    pub enabled: bool,
    /// The position in the order; `None` means the place of the configuration's rule, or else 0.
    pub order: Option<i32>,
    /// Whether the rule was removed from the store, which puts the configuration's rule, if any, back in force.
    pub removed: bool,
    /// When the version was written.
    pub changed_at: UtcMicros,
    /// Who wrote it.
    pub changed_by: Arc<str>,
    /// The author's comment.
    pub comment: Option<Arc<str>>,
}

named_enum! {
    /// The origin of a rule.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum RuleOrigin {
        /// Only the configuration has the rule.
        Configuration = "configuration",
        /// Only the store has the rule.
        Store = "store",
        /// The stored rule replaces the configuration's.
        Replaced = "replaced",
    }
}

/// A rule in the catalog, in force or not.
#[derive(Clone, PartialEq, Debug)]
pub struct CatalogEntry {
    /// The id.
    pub id: RuleId,
    /// The origin.
    pub origin: RuleOrigin,
    /// The rule; `None` if the stored text cannot be parsed.
    pub rule: Option<Rule>,
    /// The configuration's rule with this id.
    pub configured: Option<Rule>,
    /// The stored rule with this id.
    pub stored: Option<StoredRuleVersion>,
    /// Why an enabled rule is not in force.
    pub diagnostics: Vec<LineDiagnostic>,
    /// Whether the rule is in force.
    pub in_force: bool,
}

impl CatalogEntry {
    /// Returns the version number, which increases with every change; 0 if the rule is not stored.
    pub fn version(&self) -> u64 {
        self.stored.as_ref().map_or(0, |edition| edition.version)
    }

    /// Whether the rule is enabled.
    pub fn is_enabled(&self) -> bool {
        self.stored.as_ref().is_none_or(|edition| edition.enabled)
    }
}

/// The rules of a tenant.
#[derive(Clone, Debug)]
pub struct RuleCatalog {
    /// The rules in force, compiled.
    pub rule_set: RuleSet,
    /// The rules in force, in the order in which they are tried within a class.
    pub rules: Vec<Rule>,
    /// All rules: those in force in their order, then the others by id.
    pub entries: Vec<CatalogEntry>,
}

/// The configuration that a tenant's catalog is built from.
#[derive(Clone, Copy, Debug)]
pub struct CatalogBase<'a> {
    /// The configuration's rules, as adjusted for the tenant.
    pub rules: &'a [Rule],
    /// The capabilities of the platform.
    pub capabilities: Capabilities,
    /// How a change treats an agent with a contact if its rule does not say.
    pub on_contact: OnContact,
}

/// Combines the configuration's rules with the newest versions of the stored rules. Stored rules that fail the check
/// are left out, with their errors.
///
/// # Errors
/// Returns the errors of the configuration's own rules.
pub fn build_catalog(base: CatalogBase<'_>, stored: &[StoredRuleVersion]) -> Result<RuleCatalog, Vec<RuleDiagnostic>> {
    let mut entries = list_entries(base, stored);
    loop {
        let in_force_indices: Vec<usize> = (0..entries.len()).filter(|place| entries[*place].in_force).collect();
        let rules: Vec<Rule> = in_force_indices.iter().filter_map(|place| entries[*place].rule.clone()).collect();
        let diagnostics = match RuleSet::compile(&rules, base.capabilities) {
            Ok(set) => {
                entries.sort_by_key(|rule| !rule.in_force);
                return Ok(RuleCatalog { rule_set: set, rules, entries });
            }
            Err(complaints) => complaints,
        };
        let mut diagnostics_by_entry: BTreeMap<usize, Vec<RuleDiagnostic>> = BTreeMap::new();
        for complaint in &diagnostics {
            let place = in_force_indices.get(complaint.index).copied().filter(|place| entries[*place].stored.is_some());
            // If the set is too large, the last stored rule is left out.
            let place = place.or_else(|| {
                let last = || in_force_indices.iter().copied().rfind(|place| entries[*place].stored.is_some());
                (rules.len() > MAX_RULES).then(last).flatten()
            });
            if let Some(place) = place {
                // In its own text, the rule has index 0.
                diagnostics_by_entry.entry(place).or_default().push(RuleDiagnostic { index: 0, ..complaint.clone() });
            }
        }
        if diagnostics_by_entry.is_empty() {
            return Err(diagnostics);
        }
        for (place, complaints) in diagnostics_by_entry {
            let entry = &mut entries[place];
            let text = entry.stored.as_ref().map(|edition| edition.text.clone()).unwrap_or_default();
            entry.diagnostics = locate_diagnostics(&text, &complaints);
            entry.in_force = false;
        }
    }
}

/// Lists all rules in the order in which they are tried.
fn list_entries(base: CatalogBase<'_>, stored_versions: &[StoredRuleVersion]) -> Vec<CatalogEntry> {
    let mut stored: BTreeMap<&RuleId, &StoredRuleVersion> =
        stored_versions.iter().filter(|edition| !edition.removed).map(|edition| (&edition.rule, edition)).collect();
    let mut keyed_entries: Vec<((i32, usize), CatalogEntry)> = Vec::new();
    for (place, rule) in base.rules.iter().enumerate() {
        let (order, listed) = match stored.remove(&rule.id) {
            Some(edition) => (edition.order, entry_from_store(base, edition, Some(rule))),
            None => (None, entry_from_configuration(rule)),
        };
        // Stored rules with order 0 or more come after the configuration's rules, negative ones before them.
        keyed_entries.push((order.map_or((0, place), |order| (order, usize::MAX)), listed));
    }
    for edition in stored.into_values() {
        keyed_entries.push(((edition.order.unwrap_or(0), usize::MAX), entry_from_store(base, edition, None)));
    }
    keyed_entries.sort_by(|(left, one), (right, other)| left.cmp(right).then_with(|| one.id.cmp(&other.id)));
    keyed_entries.into_iter().map(|(_, listed)| listed).collect()
}

fn entry_from_configuration(rule: &Rule) -> CatalogEntry {
    CatalogEntry {
        id: rule.id.clone(),
        origin: RuleOrigin::Configuration,
        rule: Some(rule.clone()),
        configured: Some(rule.clone()),
        stored: None,
        diagnostics: Vec::new(),
        in_force: true,
    }
}

fn entry_from_store(base: CatalogBase<'_>, stored: &StoredRuleVersion, replaced: Option<&Rule>) -> CatalogEntry {
    let (rule, diagnostics) = match parse_stored(base, stored) {
        Ok(rule) => (Some(rule), Vec::new()),
        Err(complaints) => (None, complaints),
    };
    CatalogEntry {
        id: stored.rule.clone(),
        origin: if replaced.is_some() { RuleOrigin::Replaced } else { RuleOrigin::Store },
        in_force: stored.enabled && rule.is_some(),
        rule,
        configured: replaced.cloned(),
        stored: Some(stored.clone()),
        diagnostics,
    }
}

/// Parses the text of a stored rule, which must have the stored id.
fn parse_stored(base: CatalogBase<'_>, stored: &StoredRuleVersion) -> Result<Rule, Vec<LineDiagnostic>> {
    let mut rule = parse_rule_text(&stored.text)?;
    if rule.id != stored.rule {
        let reason =
            format!("the rule is {}, and its text has the id {}; an id stays: write a new rule", stored.rule, rule.id);
        let complaint = RuleDiagnostic { index: 0, rule: None, field: "id".to_owned(), reason };
        return Err(locate_diagnostics(&stored.text, &[complaint]));
    }
    if rule.then.set_state.is_some() || rule.then.log_out.is_some() {
        rule.then.on_contact.get_or_insert(base.on_contact);
    }
    Ok(rule)
}

/// Checks a stored rule together with the others as if it were enabled; the result is empty if it can be in force.
pub fn check_stored_rule(
    base: CatalogBase<'_>,
    other_rules: &[StoredRuleVersion],
    candidate: &StoredRuleVersion,
) -> Vec<LineDiagnostic> {
    let enabled = StoredRuleVersion { enabled: true, removed: false, ..candidate.clone() };
    let mut stored: Vec<StoredRuleVersion> =
        other_rules.iter().filter(|other| other.rule != candidate.rule).cloned().collect();
    stored.push(enabled);
    match build_catalog(base, &stored) {
        Ok(catalog) => {
            let found = catalog.entries.into_iter().find(|listed| listed.id == candidate.rule);
            found.map(|listed| listed.diagnostics).unwrap_or_default()
        }
        Err(complaints) => locate_diagnostics("", &complaints),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules::rule::Mode;

    fn text(id: &str, mode: &str) -> String {
        format!(
            "[[rules]]\nid = \"{id}\"\nmode = \"{mode}\"\nwhen = {{ state = \"Paused\" }}\nthen = {{ set_state = \"Ready\" }}\n"
        )
    }

    fn stored(id: &str, order: Option<i32>, text: String) -> StoredRuleVersion {
        StoredRuleVersion {
            rule: id.into(),
            version: 1,
            text: text.into(),
            enabled: true,
            order,
            removed: false,
            changed_at: UtcMicros::EPOCH,
            changed_by: "ann".into(),
            comment: None,
        }
    }

    fn configured() -> Vec<Rule> {
        ["a", "b", "c"].map(|id| parse_rule_text(&text(id, "watch")).expect("sound")).to_vec()
    }

    fn base(rules: &[Rule]) -> CatalogBase<'_> {
        CatalogBase { rules, capabilities: Capabilities::guide(), on_contact: OnContact::After }
    }

    fn rule_order(catalog: &RuleCatalog) -> Vec<&str> {
        catalog.rules.iter().map(|rule| rule.id.as_str()).collect()
    }

    #[test]
    fn a_rule_of_the_store_takes_the_place_of_the_configuration_s_and_the_others_follow_in_order() {
        let rules = configured();
        let editions = [
            stored("b", None, text("b", "enforce")),
            stored("z", None, text("z", "watch")),
            stored("y", None, text("y", "watch")),
            stored("first", Some(-1), text("first", "watch")),
            stored("last", Some(9), text("last", "watch")),
        ];
        let catalog = build_catalog(base(&rules), &editions).expect("sound");
        assert_eq!(rule_order(&catalog), ["first", "a", "b", "c", "y", "z", "last"]);
        assert_eq!(catalog.rules[2].mode, Mode::Enforce);
        let origins: Vec<RuleOrigin> = catalog.entries.iter().map(|listed| listed.origin).collect();
        assert_eq!(origins[..3], [RuleOrigin::Store, RuleOrigin::Configuration, RuleOrigin::Replaced]);
        assert_eq!(
            catalog.rules[2].then.on_contact,
            Some(OnContact::After),
            "the tenant's setting, as for the configuration's"
        );
    }

    #[test]
    fn what_is_disabled_is_out_of_force_and_what_is_removed_gives_the_configuration_s_back() {
        let rules = configured();
        let off = StoredRuleVersion { enabled: false, ..stored("b", None, text("b", "enforce")) };
        let catalog = build_catalog(base(&rules), std::slice::from_ref(&off)).expect("sound");
        assert_eq!(rule_order(&catalog), ["a", "c"]);
        let last = catalog.entries.last().expect("three");
        assert_eq!((last.id.as_str(), last.in_force, last.is_enabled(), last.version()), ("b", false, false, 1));
        assert_eq!(last.diagnostics, []);
        let catalog = build_catalog(base(&rules), &[StoredRuleVersion { removed: true, ..off }]).expect("sound");
        assert_eq!(rule_order(&catalog), ["a", "b", "c"]);
    }

    #[test]
    fn what_no_longer_passes_the_check_is_left_out_alone_and_says_why() {
        let rules = configured();
        let unsettable = text("x", "enforce").replace("\"Ready\"", "\"LoggedOut\"");
        let editions = [stored("x", None, unsettable), stored("y", None, "[[rules]]\nid = 7\n".to_owned())];
        let catalog = build_catalog(base(&rules), &editions).expect("the others are sound");
        assert_eq!(rule_order(&catalog), ["a", "b", "c"]);
        let (x, y) = (&catalog.entries[3], &catalog.entries[4]);
        assert_eq!((x.diagnostics[0].line, x.diagnostics[0].field.as_str()), (5, "then.set_state"));
        assert!(y.rule.is_none() && !y.diagnostics.is_empty());
        let other = stored("q", None, text("p", "watch"));
        let wrong = check_stored_rule(base(&rules), &editions, &other);
        assert_eq!((wrong[0].line, wrong[0].field.as_str()), (2, "id"));
    }

    #[test]
    fn a_set_is_never_too_large_and_the_configurations_rules_are_kept() {
        let many: Vec<Rule> =
            (0..MAX_RULES).map(|n| parse_rule_text(&text(&format!("r{n:02}"), "watch")).expect("sound")).collect();
        let one_more = stored("more", Some(-1), text("more", "watch"));
        let catalog = build_catalog(base(&many), std::slice::from_ref(&one_more)).expect("sound");
        assert_eq!(catalog.rules.len(), MAX_RULES);
        assert!(!catalog.rules.iter().any(|rule| rule.id == one_more.rule));
        assert!(check_stored_rule(base(&many), &[], &one_more)[0].message.contains("at most"), "and that is refused");
    }

    #[test]
    fn a_disabled_rule_is_checked_as_if_it_were_enabled() {
        let wrong = text("x", "watch").replace("\"Paused\"", "\"Pausd\"");
        let off = StoredRuleVersion { enabled: false, ..stored("x", None, wrong) };
        assert_eq!(check_stored_rule(base(&[]), &[], &off)[0].line, 4);
    }
}
