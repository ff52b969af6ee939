//! The rules in force: the configuration's with the store's laid over them, and the changes that people make to them.
//!
//! A change is one pass: the new version, its audit entry and what follows are one commit, and the same pass decides by it.

pub(super) mod approvals;
pub(super) mod decide;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;

use super::Keeper;
use super::record::Pass;
use crate::domain::agents::roster::AgentIndex;
use crate::domain::agents::roster::memory::AutomationMemory;
use crate::domain::ids::RuleId;
use crate::domain::rules::planner::{Intent, explain};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::shelf::{Edition, Listed, check_edition};
use crate::domain::rules::rule::subjects::unknown_subjects;
use crate::domain::rules::rule::written::{LineComplaint, read_one, with_mode, written};
use crate::domain::time::UtcMicros;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::link::Link;
use crate::engine::rules::trials::TrialKit;
use crate::engine::rules::{
    AgentRules, Checked, EditRefused, Edited, MOST_STORED_RULES, RuleChange, RuleEdit, RulesAsk,
};
use crate::store::{FindingKind, RuleFinding};

/// What there is of rules, in force or not.
#[derive(Debug)]
pub(super) struct RuleShelf {
    /// The settings as configured.
    configured: Arc<TenantSettings>,
    /// The newest of each rule that the store has or had.
    editions: BTreeMap<RuleId, Edition>,
    listed: Arc<[Listed]>,
}

impl RuleShelf {
    /// What the store has, under a configuration; and the settings with it.
    pub(super) async fn read(
        link: &Link,
        configured: Arc<TenantSettings>,
    ) -> anyhow::Result<(Self, Arc<TenantSettings>)> {
        let editions = link.reader.rule_editions(&link.tenant).await?;
        let editions = editions.into_iter().map(|edition| (edition.rule.clone(), edition)).collect();
        let mut shelf = Self { configured: configured.clone(), editions, listed: Arc::from([]) };
        let settings = shelf.under(link, configured);
        Ok((shelf, settings))
    }

    /// The settings of a configuration with the store's rules.
    pub(super) fn under(&mut self, link: &Link, configured: Arc<TenantSettings>) -> Arc<TenantSettings> {
        self.configured = configured;
        self.settle(link)
    }

    fn settle(&mut self, link: &Link) -> Arc<TenantSettings> {
        let editions = self.newest();
        match self.configured.with_rules(&editions) {
            Ok((settings, listed)) => {
                tell_left_out(link, &listed);
                self.listed = listed.into();
                Arc::new(settings)
            }
            Err(complaints) => {
                // Its check lets no such configuration through.
                tracing::error!(tenant = %link.tenant, ?complaints, "defect: the configured rules cannot be used with the store's");
                self.configured.clone()
            }
        }
    }

    fn newest(&self) -> Vec<Edition> {
        self.editions.values().cloned().collect()
    }

    fn listed(&self, rule: &RuleId) -> Option<&Listed> {
        self.listed.iter().find(|listed| listed.id == *rule)
    }

    /// The number of a rule's newest version, also of one that was removed.
    fn version(&self, rule: &RuleId) -> u64 {
        self.editions.get(rule).map_or(0, |edition| edition.version)
    }

    /// What a change makes of a rule.
    fn edited(&self, edit: &RuleEdit, at: UtcMicros) -> Result<Edition, EditRefused> {
        let rule = &edit.rule;
        let (version, known) = (self.version(rule), self.listed(rule));
        // To who reads it, a rule that was removed is one that the store knows nothing of.
        let seen = if known.is_some_and(|known| known.edition.is_some()) { version } else { 0 };
        if edit.version.is_some_and(|wanted| wanted != seen) {
            return Err(EditRefused::Changed { rule: rule.clone(), version: seen });
        }
        let now = known.and_then(|known| known.edition.as_ref());
        let stored = || self.editions.values().filter(|edition| !edition.removed).count();
        if now.is_none() && stored() >= MOST_STORED_RULES {
            return Err(EditRefused::TooMany);
        }
        let no_rule = || EditRefused::NoRule(rule.clone());
        let text = |known: &Listed| match (&known.edition, &known.base) {
            (Some(edition), _) => Some(edition.text.to_string()),
            (None, Some(base)) => written(base).ok(),
            (None, None) => None,
        };
        let (order, enabled) = (now.and_then(|now| now.order), now.is_none_or(|now| now.enabled));
        let (text, order, enabled) = match &edit.change {
            RuleChange::Write { text, order, enabled } => (text.clone(), *order, *enabled),
            RuleChange::Mode(mode) => {
                let text = text(known.ok_or_else(no_rule)?).ok_or_else(no_rule)?;
                (with_mode(&text, *mode).ok_or_else(|| mode_by_hand(&text))?, order, enabled)
            }
            RuleChange::Enable(enabled) => (text(known.ok_or_else(no_rule)?).ok_or_else(no_rule)?, order, *enabled),
            RuleChange::Remove => {
                let now = now.ok_or_else(|| known.map_or_else(no_rule, |_| EditRefused::NotInStore(rule.clone())))?;
                (now.text.to_string(), order, enabled)
            }
        };
        let edition = Edition {
            rule: rule.clone(),
            version: version + 1,
            text: text.into(),
            enabled,
            order,
            removed: edit.change == RuleChange::Remove,
            at,
            by: edit.asker.id.clone(),
            why: edit.why.as_deref().map(Arc::from),
        };
        // What goes, and what is switched off, may be as wrong as it likes.
        let checked = !edition.removed && edit.change != RuleChange::Enable(false);
        let complaints =
            if checked { check_edition(self.configured.base(), &self.newest(), &edition) } else { Vec::new() };
        if complaints.is_empty() { Ok(edition) } else { Err(EditRefused::Wrong(complaints)) }
    }

    fn check(&self, text: &str) -> Checked {
        let rule = match read_one(text) {
            Ok(rule) => rule,
            Err(complaints) => return Checked { complaints, warnings: Vec::new(), rule: None },
        };
        let known = self.listed(&rule.id).and_then(|listed| listed.edition.as_ref());
        let edition = Edition {
            rule: rule.id.clone(),
            version: 0,
            text: text.into(),
            enabled: true,
            order: known.and_then(|known| known.order),
            removed: false,
            at: UtcMicros::EPOCH,
            by: Arc::from(""),
            why: None,
        };
        let complaints = check_edition(self.configured.base(), &self.newest(), &edition);
        Checked { complaints, warnings: self.warnings(&rule), rule: Some(rule) }
    }

    /// What is right and may surprise: what this tenant neither reads nor watches.
    fn warnings(&self, rule: &crate::domain::rules::rule::Rule) -> Vec<String> {
        let unknown = unknown_subjects(rule, |subject| self.configured.has(subject));
        unknown.into_iter().map(|(field, what)| format!("{field}: {what}")).collect()
    }
}

fn mode_by_hand(text: &str) -> EditRefused {
    let message = match read_one(text) {
        Ok(_) => "the text is laid out so that the mode cannot be put in by itself: write `mode = \"…\"` into it",
        Err(_) => "the text cannot be read any more: mend it first",
    };
    EditRefused::Wrong(vec![LineComplaint { line: 1, field: "mode".to_owned(), message: message.to_owned() }])
}

/// Rules of the store that the check does not let in force any more, after an update or a change of the configuration.
fn tell_left_out(link: &Link, listed: &[Listed]) {
    let left_out: Vec<&str> =
        listed.iter().filter(|rule| rule.is_enabled() && !rule.in_force).map(|rule| rule.id.as_str()).collect();
    let part = link.part("rules");
    if left_out.is_empty() {
        link.readiness.restored(&part);
        return;
    }
    let detail = format!(
        "not in force, since they no longer pass the check: {}; GET /api/v1/rules says why, mend or disable them",
        left_out.join(", ")
    );
    tracing::warn!(tenant = %link.tenant, rules = left_out.join(", "), "rules of the store are not in force: they no longer pass the check");
    link.readiness.degraded(&part, detail);
}

/// Something that a rule found of an agent, on its way into the store.
pub(super) struct Found {
    pub index: AgentIndex,
    pub kind: FindingKind,
    pub rule: RuleId,
    pub rule_version: Arc<str>,
    pub guard: Option<Arc<str>>,
    pub wants: String,
    pub because: String,
}

impl Found {
    pub(super) fn of_intent(kind: FindingKind, intent: &Intent) -> Self {
        Self {
            index: intent.index,
            kind,
            rule: intent.rule.clone(),
            rule_version: intent.rule_version.clone(),
            guard: None,
            wants: intent.action.to_string(),
            because: intent.facts.to_string(),
        }
    }
}

impl Keeper {
    /// Answers what is asked about rules and exceptions; changes are answered after their commit.
    pub(super) async fn take_rules_ask(&mut self, pass: &mut Pass, ask: RulesAsk) -> anyhow::Result<()> {
        match ask {
            RulesAsk::List(reply) => answer(pass, reply, self.shelf.listed.clone()),
            RulesAsk::Check(text, reply) => answer(pass, reply, self.shelf.check(&text)),
            RulesAsk::Edit(edit, reply) => {
                let edited = self.edit_rule(pass, edit).await?;
                answer(pass, reply, edited);
            }
            RulesAsk::Explain(agent, reply) => {
                let explained = self.explain_agent(agent.as_str(), pass.now);
                answer(pass, reply, explained);
            }
            RulesAsk::Prepare(wish, reply) => {
                let kit = TrialKit::prepare(&self.shelf.configured, &self.shelf.newest(), &wish);
                answer(pass, reply, kit);
            }
            RulesAsk::Excuse(new, reply) => {
                let excused = self.excuse(pass, new);
                answer(pass, reply, excused);
            }
            RulesAsk::EndException(end, reply) => {
                let ended = self.end_exception(pass, &end);
                answer(pass, reply, ended);
            }
        }
        Ok(())
    }

    async fn edit_rule(&mut self, pass: &mut Pass, edit: RuleEdit) -> anyhow::Result<Result<Edited, EditRefused>> {
        let edition = match self.shelf.edited(&edit, pass.now) {
            Ok(edition) => edition,
            Err(refused) => return Ok(Err(refused)),
        };
        let is_new = self.shelf.listed(&edit.rule).is_none();
        let mode = read_one(&edition.text).map_or(Mode::default(), |rule| rule.mode);
        let facts = json!({
            "rule": edition.rule,
            "change": edit.change.word(),
            "version": edition.version,
            "mode": mode,
            "enabled": edition.enabled,
        });
        let why = self.keep_note(pass, edit.why.as_deref());
        self.audit_person(pass, &edit.asker, "rule.changed", facts, why);
        pass.commit.editions.push((self.link.tenant.clone(), edition.clone()));
        self.shelf.editions.insert(edition.rule.clone(), edition);
        self.settings = self.shelf.settle(&self.link);
        // Who was held by the rule as it was may be held anew.
        self.roster.forget_held();
        self.record_rules(pass).await?;
        Ok(Ok(Edited { rule: self.shelf.listed(&edit.rule).cloned(), is_new }))
    }

    fn explain_agent(&mut self, agent: &str, now: UtcMicros) -> Option<AgentRules> {
        self.roster.advance(now);
        self.look_around();
        let explanation = explain(&self.roster, agent, &self.settings.rules, &self.settings.decide, now)?;
        let slot = self.roster.agent(agent)?;
        let left_alone_until = slot.memory().and_then(AutomationMemory::left_alone_until).filter(|until| *until > now);
        Some(AgentRules { explanation, left_alone_until, excused: slot.excused(now) })
    }

    /// The version of a rule that is in force; empty where it is not.
    pub(super) fn version_in_force(&self, rule: &RuleId) -> Arc<str> {
        let found = self.settings.rules.rules().iter().find(|known| known.id == *rule);
        found.map_or_else(|| Arc::from(""), |rule| rule.version.clone())
    }

    /// Puts down what a rule found of an agent, under the agent's own name.
    pub(super) fn find(&self, pass: &mut Pass, found: &Found) {
        let Some(slot) = self.roster.get(found.index) else { return };
        pass.commit.findings.push(RuleFinding {
            tenant: self.link.tenant.clone(),
            id: crate::domain::ids::FindingId(self.link.random.id_at(pass.now)),
            at: pass.now,
            rule: found.rule.clone(),
            rule_version: found.rule_version.clone(),
            kind: found.kind,
            agent: slot.id().clone(),
            guard: found.guard.clone(),
            wants: found.wants.clone(),
            because: found.because.clone(),
        });
    }
}

/// Answers after the commit of the pass.
fn answer<T: Send + 'static>(pass: &mut Pass, reply: oneshot::Sender<T>, value: T) {
    // Whoever asked may be gone.
    pass.replies.push(Box::new(move || drop(reply.send(value))));
}
