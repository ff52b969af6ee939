//! All rules of a tenant, whether in force or not: those of the configuration overridden by those of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::ids::RuleId;
use crate::domain::rules::rule::Rule;
use crate::domain::rules::rule::catalog::{CatalogEntry, StoredRuleVersion, check_stored_rule};
use crate::domain::rules::rule::rule_text::{LineDiagnostic, parse_rule_text, to_rule_text, with_mode};
use crate::domain::rules::rule::subjects::unknown_references;
use crate::domain::time::UtcMicros;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::link::Link;
use crate::engine::rules::{MAX_STORED_RULES, RuleChange, RuleCheck, RuleEdit, RuleEditError};

/// All rules, whether in force or not.
#[derive(Debug)]
pub(in crate::engine::keeper) struct RuleCatalog {
    /// The settings as configured, without the rules of the store.
    pub(super) configured: Arc<TenantSettings>,
    /// The newest version of each rule that the store has or had.
    pub(super) stored_versions: BTreeMap<RuleId, StoredRuleVersion>,
    pub(super) entries: Arc<[CatalogEntry]>,
}

impl RuleCatalog {
    /// Reads the rules of the store, and returns them with the settings that result.
    pub(in crate::engine::keeper) async fn read(
        link: &Link,
        configured: Arc<TenantSettings>,
    ) -> anyhow::Result<(Self, Arc<TenantSettings>)> {
        let versions = link.reader.rule_editions(&link.tenant).await?;
        let versions = versions.into_iter().map(|edition| (edition.rule.clone(), edition)).collect();
        let mut catalog = Self { configured: configured.clone(), stored_versions: versions, entries: Arc::from([]) };
        let settings = catalog.apply_configuration(link, configured);
        Ok((catalog, settings))
    }

    /// Applies a configuration, and returns it as settings with the rules of the store.
    pub(in crate::engine::keeper) fn apply_configuration(
        &mut self,
        link: &Link,
        configured: Arc<TenantSettings>,
    ) -> Arc<TenantSettings> {
        self.configured = configured;
        self.rebuild_settings(link)
    }

    pub(super) fn rebuild_settings(&mut self, link: &Link) -> Arc<TenantSettings> {
        let versions = self.newest_versions();
        match self.configured.with_rules(&versions) {
            Ok((settings, entries)) => {
                report_excluded_rules(link, &entries);
                self.entries = entries.into();
                Arc::new(settings)
            }
            Err(complaints) => {
                // The check of the configuration rejects such rules.
                tracing::error!(tenant = %link.tenant, ?complaints, "defect: the configured rules cannot be used with the store's");
                self.configured.clone()
            }
        }
    }

    pub(super) fn newest_versions(&self) -> Vec<StoredRuleVersion> {
        self.stored_versions.values().cloned().collect()
    }

    pub(super) fn entry(&self, rule: &RuleId) -> Option<&CatalogEntry> {
        self.entries.iter().find(|listed| listed.id == *rule)
    }

    /// Returns the number of a rule's newest version, even if the rule was removed.
    fn newest_version_number(&self, rule: &RuleId) -> u64 {
        self.stored_versions.get(rule).map_or(0, |edition| edition.version)
    }

    /// Returns the version of a rule that an edit results in.
    pub(super) fn apply_edit(&self, edit: &RuleEdit, at: UtcMicros) -> Result<StoredRuleVersion, RuleEditError> {
        let rule = &edit.rule;
        let (version, known) = (self.newest_version_number(rule), self.entry(rule));
        // Clients see a removed rule as one that the store does not have.
        let visible_version = if known.is_some_and(|known| known.stored.is_some()) { version } else { 0 };
        if edit.version.is_some_and(|wanted| wanted != visible_version) {
            return Err(RuleEditError::Changed { rule: rule.clone(), version: visible_version });
        }
        let current = known.and_then(|known| known.stored.as_ref());
        let stored_count = || self.stored_versions.values().filter(|edition| !edition.removed).count();
        if current.is_none() && stored_count() >= MAX_STORED_RULES {
            return Err(RuleEditError::TooMany);
        }
        let no_rule = || RuleEditError::NoRule(rule.clone());
        let text = |known: &CatalogEntry| match (&known.stored, &known.configured) {
            (Some(edition), _) => Some(edition.text.to_string()),
            (None, Some(base)) => to_rule_text(base).ok(),
            (None, None) => None,
        };
        let (order, enabled) = (current.and_then(|now| now.order), current.is_none_or(|now| now.enabled));
        let (text, order, enabled) = match &edit.change {
            RuleChange::Write { text, order, enabled } => (text.clone(), *order, *enabled),
            RuleChange::Mode(mode) => {
                let text = text(known.ok_or_else(no_rule)?).ok_or_else(no_rule)?;
                (with_mode(&text, *mode).ok_or_else(|| mode_edit_error(&text))?, order, enabled)
            }
            RuleChange::Enable(enabled) => (text(known.ok_or_else(no_rule)?).ok_or_else(no_rule)?, order, *enabled),
            RuleChange::Remove => {
                let now =
                    current.ok_or_else(|| known.map_or_else(no_rule, |_| RuleEditError::NotStored(rule.clone())))?;
                (now.text.to_string(), order, enabled)
            }
        };
        let new_version = StoredRuleVersion {
            rule: rule.clone(),
            version: version + 1,
            text: text.into(),
            enabled,
            order,
            removed: edit.change == RuleChange::Remove,
            changed_at: at,
            changed_by: edit.requester.id.clone(),
            comment: edit.reason.as_deref().map(Arc::from),
        };
        // A rule that is removed or disabled need not be valid.
        let needs_check = !new_version.removed && edit.change != RuleChange::Enable(false);
        let diagnostics = if needs_check {
            check_stored_rule(self.configured.rule_base(), &self.newest_versions(), &new_version)
        } else {
            Vec::new()
        };
        if diagnostics.is_empty() { Ok(new_version) } else { Err(RuleEditError::Invalid(diagnostics)) }
    }

    pub(super) fn check(&self, text: &str) -> RuleCheck {
        let rule = match parse_rule_text(text) {
            Ok(rule) => rule,
            Err(diagnostics) => return RuleCheck { diagnostics, warnings: Vec::new(), rule: None },
        };
        let known = self.entry(&rule.id).and_then(|listed| listed.stored.as_ref());
        let candidate = StoredRuleVersion {
            rule: rule.id.clone(),
            version: 0,
            text: text.into(),
            enabled: true,
            order: known.and_then(|known| known.order),
            removed: false,
            changed_at: UtcMicros::EPOCH,
            changed_by: Arc::from(""),
            comment: None,
        };
        let diagnostics = check_stored_rule(self.configured.rule_base(), &self.newest_versions(), &candidate);
        RuleCheck { diagnostics, warnings: self.warnings(&rule), rule: Some(rule) }
    }

    /// Returns warnings about references to things that this tenant neither reads nor observes.
    fn warnings(&self, rule: &Rule) -> Vec<String> {
        let unknown = unknown_references(rule, |subject| self.configured.has(subject));
        unknown.into_iter().map(|(field, what)| format!("{field}: {what}")).collect()
    }
}

fn mode_edit_error(text: &str) -> RuleEditError {
    let message = match parse_rule_text(text) {
        Ok(_) => "the text is laid out so that the mode cannot be put in by itself: write `mode = \"…\"` into it",
        Err(_) => "the text cannot be read any more: mend it first",
    };
    RuleEditError::Invalid(vec![LineDiagnostic { line: 1, field: "mode".to_owned(), message: message.to_owned() }])
}

/// Reports enabled rules that the check keeps out of force, after an upgrade or a change of the configuration.
fn report_excluded_rules(link: &Link, entries: &[CatalogEntry]) {
    let excluded: Vec<&str> =
        entries.iter().filter(|rule| rule.is_enabled() && !rule.in_force).map(|rule| rule.id.as_str()).collect();
    let part = link.part("rules");
    if excluded.is_empty() {
        link.readiness.restored(&part);
        return;
    }
    let detail = format!(
        "not in force, since they no longer pass the check: {}; GET /api/v1/rules says why, mend or disable them",
        excluded.join(", ")
    );
    tracing::warn!(tenant = %link.tenant, rules = excluded.join(", "), "rules of the store are not in force: they no longer pass the check");
    link.readiness.degraded(&part, detail);
}
