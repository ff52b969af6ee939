//! `rules_files` and `[[rules]]`: reads the rules and gives the domain's errors a place in a file.
//! `domain::rules::rule` defines what a rule may contain.

pub(super) mod automation;

use std::collections::BTreeSet;

use super::operations::tenant::Tenant;
use super::shared::diagnostic::{Diagnostic, DiagnosticSubject, Origin, ValueFault};
use super::shared::kind;
use super::shared::reader::{ReadResults, Section, reloadable};
use super::shared::settings::{ChangeEffect, Setting, SettingValue};
use super::shared::sources::{Sources, read_file};
use super::shared::tree::{Entry, Node, Value};
use crate::domain::agents::kind_sets::StateSet;
use crate::domain::agents::state::AgentState;
use crate::domain::rules::rule::check::{Capabilities, check};
use crate::domain::rules::rule::parse::read_rules;
use crate::domain::rules::rule::subjects::{ReferencedSubject, unknown_references};
use crate::domain::rules::rule::{Rule, RuleDiagnostic};

/// The maximum number of rules files.
const MAX_FILES: usize = 100;

/// Overlays the configuration's own rules on those of its `rules_files`, so that single keys of a rule in a file can be
/// changed by its id. The files' rules come first.
pub(super) fn include_files(sources: &mut Sources, results: &mut ReadResults<'_>) {
    let Value::Table(table) = &sources.root.value else { return };
    let Some(files) = table.get("rules_files") else { return };
    let Ok(names) = (kind::list(kind::text()).parse)(&files.node) else { return };
    let (origin, directory) = (files.origin.clone(), files.node.origin.directory());
    if names.len() > MAX_FILES {
        results.add_diagnostic(&origin, "rules_files", ValueFault::new(format!("names more than {MAX_FILES} files")));
        return;
    }
    let mut rules = Node { origin: origin.clone(), value: Value::List(Vec::new()) };
    for path in names.iter().map(|name| directory.join(name)) {
        match read_file(&path) {
            Ok(text) => {
                let (file, diagnostics) = sources.parse(&path, &text);
                results.diagnostics.extend(with_rule_subject(diagnostics));
                add_rules(file, &mut rules, results);
            }
            Err(fault) => {
                let name = path.display();
                let fault = ValueFault { problem: format!("{name} {}", fault.problem), ..fault };
                results.add_diagnostic(&origin, "rules_files", fault);
            }
        }
    }
    let Value::Table(table) = &mut sources.root.value else { return };
    if let Some(own) = table.remove("rules") {
        rules.overlay(own.node);
    }
    table.insert("rules".to_owned(), Entry { origin, node: rules });
}

fn add_rules(file: Node, rules: &mut Node, results: &mut ReadResults<'_>) {
    let Value::Table(table) = file.value else { return };
    for (key, entry) in table {
        match (&mut rules.value, entry.node.value) {
            (Value::List(all), Value::List(found)) if key == "rules" => all.extend(found),
            (_, _) => {
                let fault =
                    ValueFault::new("does not belong into a file of rules").with_suggestion("it holds [[rules]] alone");
                results.add_diagnostic(&entry.origin, &key, fault);
            }
        }
    }
}

fn with_rule_subject(diagnostics: Vec<Diagnostic>) -> impl Iterator<Item = Diagnostic> {
    diagnostics.into_iter().map(|diagnostic| Diagnostic { subject: DiagnosticSubject::Rule, ..diagnostic })
}

/// The keys of a rule for the reference; the rule's module defines their values.
const RULE_KEYS: &[(&str, &str, &str)] = &[
    ("id", "id", "The name of the rule; unique among all rules."),
    ("when", "table of conditions", "The rule applies to agents for whom all of these conditions hold."),
    ("unless", "table of conditions", "The rule does not apply to agents for whom all of these conditions hold."),
    ("then", "table: one of set_state, log_out, tell, ask", "What the rule does."),
    (
        "mode",
        "one of \"watch\", \"enforce\", \"approve\"",
        "Whether the rule changes agents: `enforce`, `approve` (requires approval) or `watch` (monitoring, the \
             default).",
    ),
    (
        "priority",
        "one of \"mandatory_break\", \"schedule\", \"housekeeping\"",
        "The class of the rule, schedule by default. More urgent classes are evaluated first.",
    ),
    ("cooldown", "duration", "The minimum time between two actions on the same agent, 5 minutes by default."),
    ("limit", "table: per_minute, share_of_team", "How many agents the rule may change in a minute."),
];

/// Reads the rules, in the order in which they are tried within a class.
pub(super) fn read(section: &mut Section<'_, '_>, tenants: &[Tenant]) -> Vec<Rule> {
    section.value(
        reloadable(
            "rules_files",
            "Files with `[[rules]]`, relative to this file. Rules in this file override rules there with the same \
             id.",
        ),
        &kind::list(kind::text()),
        Vec::new(),
    );
    section.describe_external("rules", RULE_KEYS, ChangeEffect::Reload);
    let nodes = section.nodes("rules");
    let (rules, mut diagnostics) = read_rules(nodes.iter().map(Node::to_toml).collect());
    // Only the readable rules are checked, so their places are those of the rules that were not left out.
    let unreadable: BTreeSet<usize> = diagnostics.iter().filter(|c| c.field.is_empty()).map(|c| c.index).collect();
    let indexes: Vec<usize> = (0..nodes.len()).filter(|index| !unreadable.contains(index)).collect();
    let checked = check(&rules, capabilities(tenants)).into_iter();
    diagnostics
        .extend(checked.map(|c| RuleDiagnostic { index: indexes.get(c.index).copied().unwrap_or(c.index), ..c }));
    for diagnostic in diagnostics {
        add_diagnostic(section, &nodes, diagnostic);
    }
    for (rule, index) in rules.iter().zip(indexes) {
        if let Some(node) = nodes.get(index) {
            let value = SettingValue::Plain(node.to_toml().to_string());
            let setting = Setting { value, origin: node.origin.clone(), change: ChangeEffect::Reload };
            section.results.settings.insert(format!("rules[{}]", rule.id), setting);
            for (field, what) in unknown_references(rule, |subject| is_known(subject, tenants)) {
                section.results.warnings.push(format!(
                    "{}: rules[{}].{field}: {what}",
                    location(node, &field),
                    rule.id
                ));
            }
        }
    }
    rules
}

/// Returns whether some tenant reads or monitors what a condition names. Rules are shared by all tenants.
fn is_known(subject: ReferencedSubject<'_>, tenants: &[Tenant]) -> bool {
    tenants.iter().any(|tenant| match subject {
        ReferencedSubject::Skill(id) => tenant.skills.iter().any(|skill| skill.as_str() == id),
        ReferencedSubject::Queue(id) => tenant.queues.iter().any(|queue| queue.as_str() == id),
        ReferencedSubject::Series(id) => tenant.series.iter().any(|watched| watched.id.as_str() == id),
    })
}

fn add_diagnostic(section: &mut Section<'_, '_>, nodes: &[Node], diagnostic: RuleDiagnostic) {
    let Some(node) = nodes.get(diagnostic.index) else { return };
    let name =
        node.id().filter(|id| kind::is_id(id)).map_or_else(|| format!("#{}", diagnostic.index + 1), str::to_owned);
    let dot = if diagnostic.field.is_empty() { "" } else { "." };
    section.results.diagnostics.push(Diagnostic {
        origin: location(node, &diagnostic.field),
        key: format!("rules[{name}]{dot}{}", diagnostic.field),
        problem: diagnostic.reason,
        suggestion: None,
        subject: DiagnosticSubject::Rule,
    });
}

/// Returns the place of a rule's field, or of the nearest table around it that exists.
fn location(rule: &Node, field: &str) -> Origin {
    let mut node = rule;
    let mut origin = &rule.origin;
    for key in field.split('.') {
        let Value::Table(table) = &node.value else { break };
        let Some(entry) = table.get(key) else { break };
        (origin, node) = (&entry.origin, &entry.node);
    }
    origin.clone()
}

/// Returns what every tenant's platform can do, since rules are shared by all tenants.
fn capabilities(tenants: &[Tenant]) -> Capabilities {
    let states: Vec<_> = tenants.iter().map(Tenant::settable_states).collect();
    let settable = |state: &&AgentState| states.iter().all(|states| states.contains(state));
    match tenants {
        [] => Capabilities::guide(),
        _ => Capabilities {
            settable: StateSet::from_states(AgentState::KNOWN.iter().filter(settable)),
            can_log_out: tenants.iter().all(Tenant::can_log_out),
        },
    }
}
