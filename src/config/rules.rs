//! `rules_files` and `[[rules]]`: finding the rules and placing what the domain says is wrong with them. What a rule may say is
//! `domain::rules::rule`'s business.

pub(super) mod automation;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::operations::tenant::Tenant;
use super::shared::complaint::{Complaint, Concern, Fault, Origin};
use super::shared::kind;
use super::shared::load::read_file;
use super::shared::reader::{Findings, Section, directory_of, reloads};
use super::shared::settings::{Change, Setting, Shown};
use super::shared::tree::{self, Entry, Node, Value};
use crate::domain::agents::sets::StateSet;
use crate::domain::agents::state::AgentState;
use crate::domain::rules::rule::check::{Capabilities, check};
use crate::domain::rules::rule::parse::read as read_rules;
use crate::domain::rules::rule::subjects::{Subject, unknown_subjects};
use crate::domain::rules::rule::{Mode, Rule, RuleComplaint};

/// Files of rules at most.
const MOST_FILES: usize = 100;

/// Lays the configuration's own rules over those of its `rules_files`, so that a rule of a file can be changed key by key, by
/// its id. The files' rules come first.
pub(super) fn include_files(root: &mut Node, broken: &mut BTreeSet<(Arc<Path>, usize)>, findings: &mut Findings<'_>) {
    let Value::Table(table) = &mut root.value else { return };
    let Some(files) = table.get("rules_files") else { return };
    let Ok(names) = (kind::list(kind::text()).parse)(&files.node) else { return };
    let origin = files.origin.clone();
    let paths: Vec<PathBuf> = names.iter().map(|name| directory_of(&files.node.origin).join(name)).collect();
    if paths.len() > MOST_FILES {
        findings.complain(&origin, "rules_files", Fault::new(format!("names more than {MOST_FILES} files")));
        return;
    }
    let mut rules = Node { origin: origin.clone(), value: Value::List(Vec::new()) };
    for path in paths {
        match read_file(&path) {
            Ok(text) => {
                let parsed = tree::parse(&Arc::from(path.as_path()), &text);
                let placed = |line| (Arc::from(path.as_path()), line);
                broken.extend(parsed.broken_lines.into_iter().map(placed));
                findings.complaints.extend(about_rules(parsed.complaints));
                add_rules(parsed.root, &mut rules, findings);
            }
            Err(fault) => {
                let name = path.display();
                let fault = Fault { what: format!("{name} {}", fault.what), ..fault };
                findings.complain(&origin, "rules_files", fault);
            }
        }
    }
    if let Some(own) = table.remove("rules") {
        rules.overlay(own.node);
    }
    table.insert("rules".to_owned(), Entry { origin, node: rules });
}

fn add_rules(file: Node, rules: &mut Node, findings: &mut Findings<'_>) {
    let Value::Table(table) = file.value else { return };
    for (key, entry) in table {
        match (&mut rules.value, entry.node.value) {
            (Value::List(all), Value::List(found)) if key == "rules" => all.extend(found),
            (_, _) => {
                let fault = Fault::new("does not belong into a file of rules").advise("it holds [[rules]] alone");
                findings.complain(&entry.origin, &key, fault);
            }
        }
    }
}

fn about_rules(complaints: Vec<Complaint>) -> impl Iterator<Item = Complaint> {
    complaints.into_iter().map(|complaint| Complaint { concern: Concern::Rule, ..complaint })
}

/// The keys of a rule, for the reference; what they may hold stands with the rules.
const KEYS: &[(&str, &str, &str)] = &[
    ("id", "id", "Names the rule; unique among all rules."),
    ("when", "table of conditions", "The rule wants agents for whom all of these hold."),
    ("unless", "table of conditions", "It lets go of agents for whom all of these hold."),
    ("then", "table: one of set_state, log_out, tell, ask", "What it wants."),
    ("mode", "one of \"watch\", \"enforce\", \"approve\"", "Whether it acts; by default it watches."),
    (
        "priority",
        "one of \"mandatory_break\", \"schedule\", \"housekeeping\"",
        "Its class, by default schedule; more urgent ones are tried first.",
    ),
    ("cooldown", "duration", "The least time between two acts on one agent, by default 5 minutes."),
    ("limit", "table: per_minute, share_of_team", "How much it may do in a minute."),
];

/// The rules, in the order in which they are tried within a class.
pub(super) fn read(section: &mut Section<'_, '_>, tenants: &[Tenant]) -> Vec<Rule> {
    section.value(
        reloads(
            "rules_files",
            "Files of `[[rules]]`, relative to this file; own `[[rules]]` are laid over theirs by id.",
        ),
        &kind::list(kind::text()),
        Vec::new(),
    );
    section.describe_foreign("rules", KEYS, Change::Reload);
    let nodes = section.nodes("rules");
    let (rules, mut complaints) = read_rules(nodes.iter().map(Node::to_toml).collect());
    // What is checked are the rules that could be read; their places are those of the ones that were not left out.
    let unread: BTreeSet<usize> = complaints.iter().filter(|c| c.field.is_empty()).map(|c| c.index).collect();
    let places: Vec<usize> = (0..nodes.len()).filter(|index| !unread.contains(index)).collect();
    let checked = check(&rules, capabilities(tenants)).into_iter();
    complaints.extend(checked.map(|c| RuleComplaint { index: places.get(c.index).copied().unwrap_or(c.index), ..c }));
    for complaint in complaints {
        complain(section, &nodes, complaint);
    }
    for (rule, index) in rules.iter().zip(places) {
        if let Some(node) = nodes.get(index) {
            let value = Shown::Plain(node.to_toml().to_string());
            let setting = Setting { value, origin: node.origin.clone(), change: Change::Reload };
            section.found.settings.insert(format!("rules[{}]", rule.id), setting);
            if rule.mode == Mode::Approve {
                let what = "nobody can approve yet, so what the rule asks for expires; use \"watch\"";
                section.found.warnings.push(format!("{}: rules[{}].mode: {what}", place(node, "mode"), rule.id));
            }
            for (field, what) in unknown_subjects(rule, |subject| is_known(subject, tenants)) {
                section.found.warnings.push(format!("{}: rules[{}].{field}: {what}", place(node, &field), rule.id));
            }
        }
    }
    rules
}

/// Whether some tenant reads or watches what a condition names: rules are common to all.
fn is_known(subject: Subject<'_>, tenants: &[Tenant]) -> bool {
    tenants.iter().any(|tenant| match subject {
        Subject::Skill(id) => tenant.skills.iter().any(|skill| skill.as_str() == id),
        Subject::Queue(id) => tenant.queues.iter().any(|queue| queue.as_str() == id),
        Subject::Series(id) => tenant.series.iter().any(|watched| watched.id.as_str() == id),
    })
}

fn complain(section: &mut Section<'_, '_>, nodes: &[Node], complaint: RuleComplaint) {
    let Some(node) = nodes.get(complaint.index) else { return };
    let name =
        node.id().filter(|id| kind::is_id(id)).map_or_else(|| format!("#{}", complaint.index + 1), str::to_owned);
    let dot = if complaint.field.is_empty() { "" } else { "." };
    section.found.complaints.push(Complaint {
        origin: place(node, &complaint.field),
        key: format!("rules[{name}]{dot}{}", complaint.field),
        what: complaint.reason,
        suggestion: None,
        concern: Concern::Rule,
    });
}

/// Where a field of a rule stands, or the nearest thing around it that does.
fn place(rule: &Node, field: &str) -> Origin {
    let mut node = rule;
    let mut origin = &rule.origin;
    for key in field.split('.') {
        let Value::Table(table) = &node.value else { break };
        let Some(entry) = table.get(key) else { break };
        (origin, node) = (&entry.origin, &entry.node);
    }
    origin.clone()
}

/// What every tenant's platform can do: rules are common to all.
fn capabilities(tenants: &[Tenant]) -> Capabilities {
    let settable = |state: &&AgentState| tenants.iter().all(|tenant| tenant.states.platform_name(state).is_some());
    match tenants {
        [] => Capabilities::guide(),
        _ => {
            Capabilities { settable: StateSet::of(AgentState::KNOWN.iter().filter(settable)), ..Capabilities::guide() }
        }
    }
}
