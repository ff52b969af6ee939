//! Reads the keys of one table of the tree into typed values.
//!
//! The keys that the sections read define the configuration: the same calls provide the values, the diagnostics, the
//! origins and the contents of `docs/configuration.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::diagnostic::{Diagnostic, DiagnosticSubject, Origin, ValueFault};
use super::environment::Environment;
use super::kind::{Kind, is_id};
use super::secrets;
use super::settings::{ChangeEffect, Setting, SettingValue, Settings};
use super::tree::{Entry, Node, Table, Value};
use crate::domain::access::secret::Secret;

/// A key of a section, with its description and whether a change needs a restart.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Key {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) about: &'static str,
    pub(in crate::config) change: ChangeEffect,
}

/// Returns a key whose changes take effect on reload.
pub(in crate::config) const fn reloadable(name: &'static str, about: &'static str) -> Key {
    Key { name, about, change: ChangeEffect::Reload }
}

/// Returns a key whose changes take effect at the next start.
pub(in crate::config) const fn restart_only(name: &'static str, about: &'static str) -> Key {
    Key { name, about, change: ChangeEffect::Restart }
}

/// A key as the documentation lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) struct DescribedKey {
    /// The path, with `[]` for the elements of a list of tables, as in `tenants[].policy.on_contact`.
    pub(in crate::config) path: String,
    pub(in crate::config) kind: String,
    /// The default as TOML. `None` for a key without one.
    pub(in crate::config) default: Option<String>,
    pub(in crate::config) required: bool,
    pub(in crate::config) change: ChangeEffect,
    pub(in crate::config) about: &'static str,
}

/// The results of reading.
#[derive(Debug)]
pub(in crate::config) struct ReadResults<'a> {
    pub(in crate::config) diagnostics: Vec<Diagnostic>,
    pub(in crate::config) warnings: Vec<String>,
    pub(in crate::config) settings: Settings,
    pub(in crate::config) environment: &'a Environment,
    /// If `Some`, nothing is read and sections only describe their keys.
    pub(in crate::config) described_keys: Option<Vec<DescribedKey>>,
}

impl<'a> ReadResults<'a> {
    pub(in crate::config) fn new(environment: &'a Environment) -> Self {
        Self {
            diagnostics: Vec::new(),
            warnings: Vec::new(),
            settings: Settings::default(),
            environment,
            described_keys: None,
        }
    }

    pub(in crate::config) fn add_diagnostic(&mut self, origin: &Origin, key: &str, fault: ValueFault) {
        self.diagnostics.push(Diagnostic {
            origin: fault.origin.unwrap_or_else(|| origin.clone()),
            key: key.to_owned(),
            problem: fault.problem,
            suggestion: fault.suggestion,
            subject: DiagnosticSubject::Configuration,
        });
    }
}

/// A table that is being read.
pub(in crate::config) struct Section<'f, 'e> {
    path: String,
    described_path: String,
    origin: Origin,
    table: Table,
    known_keys: Vec<&'static str>,
    read_keys: Vec<(&'static str, Origin)>,
    pub(in crate::config) results: &'f mut ReadResults<'e>,
}

/// The value of a key that is not set.
enum MissingValue<T> {
    Default(T),
    Optional,
    Required,
}

impl<'f, 'e> Section<'f, 'e> {
    /// Returns the section of the whole configuration.
    pub(in crate::config) fn root(root: Node, results: &'f mut ReadResults<'e>) -> Self {
        Self::from_node(root, String::new(), String::new(), results)
    }

    fn from_node(node: Node, path: String, described_path: String, results: &'f mut ReadResults<'e>) -> Self {
        let origin = node.origin.clone();
        let kind = node.kind();
        let table = if let Value::Table(table) = node.value {
            table
        } else {
            results.add_diagnostic(&origin, &path, ValueFault::new(format!("expects a table, not {kind}")));
            Table::new()
        };
        Self { path, described_path, origin, table, known_keys: Vec::new(), read_keys: Vec::new(), results }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn described_path_of(&self, name: &str) -> String {
        if self.described_path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.described_path) }
    }

    /// Returns the origin of a key that was read, or else of its table.
    pub(in crate::config) fn origin_of(&self, name: &str) -> Origin {
        self.read_keys
            .iter()
            .find(|(read, _)| *read == name)
            .map_or_else(|| self.origin.clone(), |(_, origin)| origin.clone())
    }

    /// Reports a key that is valid by itself but not in combination with others.
    pub(in crate::config) fn add_diagnostic(&mut self, name: &str, fault: ValueFault) {
        if self.results.described_keys.is_none() {
            let origin = self.origin_of(name);
            let path = self.path_of(name);
            self.results.add_diagnostic(&origin, &path, fault);
        }
    }

    /// Reports a key of the whole configuration, by its path, if it was set at all.
    pub(in crate::config) fn add_diagnostic_at_value(&mut self, path: &str, fault: ValueFault) {
        let origin = self.results.settings.get(path).map(|setting| setting.origin.clone());
        if let Some(origin) = origin.filter(|origin| *origin != Origin::Default) {
            self.results.add_diagnostic(&origin, path, fault);
        }
    }

    /// Warns of something that is allowed but probably not intended.
    pub(in crate::config) fn warn(&mut self, name: &str, what: &str) {
        if self.results.described_keys.is_none() {
            let path = self.path_of(name);
            let warning = match self.origin_of(name) {
                Origin::Default => format!("{path}: {what}"),
                origin @ (Origin::File { .. } | Origin::Environment(_) | Origin::Flag(_)) => {
                    format!("{origin}: {path}: {what}")
                }
            };
            self.results.warnings.push(warning);
        }
    }

    fn take_entry(&mut self, name: &'static str) -> Option<Entry> {
        self.known_keys.push(name);
        let entry = self.table.remove(name)?;
        self.read_keys.push((name, entry.origin.clone()));
        Some(entry)
    }

    fn describe<T>(&mut self, key: Key, kind: &str, missing: &MissingValue<T>, show: impl Fn(&T) -> String) {
        let path = self.described_path_of(key.name);
        let Some(described) = &mut self.results.described_keys else { return };
        described.push(DescribedKey {
            path,
            kind: kind.to_owned(),
            default: match missing {
                MissingValue::Default(value) => Some(show(value)),
                MissingValue::Optional | MissingValue::Required => None,
            },
            required: matches!(missing, MissingValue::Required),
            change: key.change,
            about: key.about,
        });
    }

    /// Describes the keys (name, kind, purpose) of a list of tables that another module reads.
    pub(in crate::config) fn describe_external(
        &mut self,
        list: &str,
        keys: &[(&str, &str, &'static str)],
        change: ChangeEffect,
    ) {
        let path = self.described_path_of(list);
        let Some(described) = &mut self.results.described_keys else { return };
        described.extend(keys.iter().map(|(name, kind, about)| DescribedKey {
            path: format!("{path}[].{name}"),
            kind: (*kind).to_owned(),
            default: None,
            required: matches!(*name, "id" | "when" | "then"),
            change,
            about,
        }));
    }

    fn read_value<T: 'static>(&mut self, key: Key, kind: &Kind<T>, missing: MissingValue<T>) -> Option<T> {
        self.describe(key, &kind.name, &missing, &*kind.show);
        let (value, origin) = match (self.take_entry(key.name), missing) {
            (None, MissingValue::Default(value)) => (value, Origin::Default),
            (None, MissingValue::Optional) => return None,
            (None, MissingValue::Required) => {
                self.add_diagnostic(
                    key.name,
                    ValueFault::new(ValueFault::MISSING).with_suggestion(format!("expects: {}", kind.name)),
                );
                return None;
            }
            (Some(entry), absent) => match (kind.parse)(&entry.node) {
                Ok(value) => (value, entry.origin),
                Err(faults) => {
                    let path = self.path_of(key.name);
                    for fault in faults {
                        self.results.add_diagnostic(&entry.node.origin, &path, fault);
                    }
                    let MissingValue::Default(value) = absent else { return None };
                    return Some(value);
                }
            },
        };
        self.record(key, SettingValue::Plain((kind.show)(&value)), origin);
        Some(value)
    }

    fn record(&mut self, key: Key, value: SettingValue, origin: Origin) {
        let path = self.path_of(key.name);
        self.results.settings.insert(path, Setting { value, origin, change: key.change });
    }

    /// Reads a key with a default.
    pub(in crate::config) fn value<T: Clone + 'static>(&mut self, key: Key, kind: &Kind<T>, default: T) -> T {
        self.read_value(key, kind, MissingValue::Default(default.clone())).unwrap_or(default)
    }

    /// Reads an optional key.
    pub(in crate::config) fn optional<T: 'static>(&mut self, key: Key, kind: &Kind<T>) -> Option<T> {
        self.read_value(key, kind, MissingValue::Optional)
    }

    /// Reads a required key. `None` means that an error was reported.
    pub(in crate::config) fn required<T: 'static>(&mut self, key: Key, kind: &Kind<T>) -> Option<T> {
        self.read_value(key, kind, MissingValue::Required)
    }

    /// Reads an optional secret.
    pub(in crate::config) fn optional_secret(&mut self, key: Key) -> Option<Secret> {
        self.secret(key, &MissingValue::Optional)
    }

    /// Reads a secret that the daemon requires; `None` means that an error was reported. A command beside the daemon may
    /// be unable to read it.
    pub(in crate::config) fn daemon_secret(&mut self, key: Key) -> Option<Secret> {
        let is_elsewhere = self.results.environment.is_for_command()
            && self.table.get(key.name).is_some_and(|entry| {
                secrets::is_external(&entry.node, self.results.environment, &entry.node.origin.directory())
            });
        if !is_elsewhere {
            return self.secret(key, &MissingValue::Required);
        }
        let entry = self.take_entry(key.name)?;
        let secret = Secret::stored_elsewhere();
        self.record(
            key,
            SettingValue::Hidden { secret: secret.clone(), source: "kept elsewhere".to_owned() },
            entry.origin,
        );
        Some(secret)
    }

    /// As [`Section::daemon_secret`], for an optional secret.
    pub(in crate::config) fn optional_daemon_secret(&mut self, key: Key) -> Option<Secret> {
        if self.table.contains_key(key.name) { self.daemon_secret(key) } else { self.optional_secret(key) }
    }

    /// Returns the file of a secret that has not been read yet, if it is kept in one.
    pub(in crate::config) fn secret_file(&self, name: &str) -> Option<PathBuf> {
        let node = &self.table.get(name)?.node;
        secrets::file_of(node).map(|path| node.origin.directory().join(path))
    }

    fn secret(&mut self, key: Key, missing: &MissingValue<Secret>) -> Option<Secret> {
        self.describe(key, secrets::KIND, missing, Secret::to_string);
        let Some(entry) = self.take_entry(key.name) else {
            if matches!(missing, MissingValue::Required) {
                self.add_diagnostic(key.name, ValueFault::new(ValueFault::MISSING).with_suggestion(secrets::ADVICE));
            }
            return None;
        };
        let directory = entry.node.origin.directory();
        match secrets::resolve(&entry.node, self.results.environment, &directory) {
            Ok((secret, kept)) => {
                if secrets::is_world_readable(&entry.node, &directory) {
                    self.warn(key.name, "every user of this host can read its file: chmod 600 it, as its owner");
                }
                self.record(key, SettingValue::Hidden { secret: secret.clone(), source: kept }, entry.origin);
                Some(secret)
            }
            Err(faults) => {
                let path = self.path_of(key.name);
                for fault in faults {
                    self.results.add_diagnostic(&entry.node.origin, &path, fault);
                }
                None
            }
        }
    }

    /// Reads a table, which is empty if it is left out.
    pub(in crate::config) fn table<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_, '_>) -> T,
    ) -> T {
        let node = self.take_entry(name).map_or_else(|| Node::empty_table(self.origin.clone()), |entry| entry.node);
        let mut section = Section::from_node(node, self.path_of(name), self.described_path_of(name), self.results);
        let value = read(&mut section);
        section.finish();
        value
    }

    /// Reads a list of tables, each with a unique `id`.
    pub(in crate::config) fn tables<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Section<'_, '_>) -> Option<T>,
    ) -> Vec<T> {
        let described_path = format!("{}[]", self.described_path_of(name));
        if self.results.described_keys.is_some() {
            let mut section = Section::from_node(
                Node::empty_table(Origin::Default),
                described_path.clone(),
                described_path,
                self.results,
            );
            let _ = read(&mut section);
            return Vec::new();
        }
        let nodes = self.nodes(name);
        let mut ids: Vec<String> = Vec::new();
        let mut values = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let id = node.id().filter(|id| is_id(id)).map(str::to_owned);
            let label = id.clone().unwrap_or_else(|| format!("#{}", index + 1));
            let mut path = format!("{}[{label}]", self.path_of(name));
            if let Some(id) = id {
                if ids.contains(&id) {
                    self.results.add_diagnostic(
                        &node.origin,
                        &path,
                        ValueFault::new("has an id that is already taken"),
                    );
                    path = format!("{}[#{}]", self.path_of(name), index + 1);
                }
                ids.push(id);
            }
            let mut section = Section::from_node(node, path, described_path.clone(), self.results);
            let value = read(&mut section);
            section.finish();
            values.extend(value);
        }
        values
    }

    /// Reads a table of tables that have names of their own.
    pub(in crate::config) fn named_tables<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Section<'_, '_>) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let (path, described_path) = (self.path_of(name), format!("{}.NAME", self.described_path_of(name)));
        if self.results.described_keys.is_some() {
            let node = Node::empty_table(Origin::Default);
            let _ = read(&mut Section::from_node(node, described_path.clone(), described_path, self.results));
            return BTreeMap::new();
        }
        let Some(entry) = self.take_entry(name) else { return BTreeMap::new() };
        let Value::Table(table) = entry.node.value else {
            let fault = ValueFault::new(format!("expects tables with names, not {}", entry.node.kind()));
            self.add_diagnostic(name, fault.with_suggestion(format!("begin each with [{path}.NAME]")));
            return BTreeMap::new();
        };
        let mut values = BTreeMap::new();
        for (key, entry) in table {
            let path = format!("{path}.{key}");
            if !is_id(&key) {
                let fault = ValueFault::new("has a name that is not 1 to 64 letters, digits, '-', '_' or '.'");
                self.results.add_diagnostic(&entry.origin, &path, fault);
            }
            let mut section = Section::from_node(entry.node, path, described_path.clone(), self.results);
            let value = read(&mut section);
            section.finish();
            values.extend(value.map(|value| (key, value)));
        }
        values
    }

    /// Returns the elements of a list of tables without reading them.
    pub(in crate::config) fn nodes(&mut self, name: &'static str) -> Vec<Node> {
        let Some(entry) = self.take_entry(name) else { return Vec::new() };
        match entry.node.value {
            Value::List(nodes) => nodes,
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Table(_) => {
                let fault = ValueFault::new(format!("expects a list of tables, not {}", entry.node.kind()))
                    .with_suggestion(format!("begin each with [[{}]]", self.path_of(name)));
                self.add_diagnostic(name, fault);
                Vec::new()
            }
        }
    }

    /// Reports the keys that were never read.
    pub(in crate::config) fn finish(self) {
        for (name, entry) in &self.table {
            let path = self.path_of(name);
            let fault = ValueFault::unknown_key(name, &self.known_keys);
            self.results.add_diagnostic(&entry.origin, &path, fault);
        }
    }
}
