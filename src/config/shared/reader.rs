//! Reads the keys of one table of the tree into typed values. What a section asks for is what the configuration knows: the same
//! calls give the values, the complaints, the origins and the pages of `docs/configuration.md`.

use std::path::{Path, PathBuf};

use super::complaint::{Complaint, Concern, Fault, Origin};
use super::environment::Environment;
use super::kind::{Kind, is_id};
use super::secrets;
use super::settings::{Change, Setting, Settings, Shown};
use super::tree::{Entry, Node, Table, Value};
use crate::domain::access::secret::Secret;

/// A key of a section: its name, what it is for, and what a change of it takes.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Key {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) about: &'static str,
    pub(in crate::config) change: Change,
}

/// A key that a reload picks up.
pub(in crate::config) const fn reloads(name: &'static str, about: &'static str) -> Key {
    Key { name, about, change: Change::Reload }
}

/// A key that waits for the next start.
pub(in crate::config) const fn restarts(name: &'static str, about: &'static str) -> Key {
    Key { name, about, change: Change::Restart }
}

/// A key as the documentation lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) struct DescribedKey {
    /// Path with `[]` for the elements of a list of tables, as in `tenants[].policy.on_contact`.
    pub(in crate::config) path: String,
    pub(in crate::config) kind: String,
    /// The default as TOML; `None` for a key without one.
    pub(in crate::config) default: Option<String>,
    pub(in crate::config) required: bool,
    pub(in crate::config) change: Change,
    pub(in crate::config) about: &'static str,
}

/// What reading finds.
#[derive(Debug)]
pub(in crate::config) struct Findings<'a> {
    pub(in crate::config) complaints: Vec<Complaint>,
    pub(in crate::config) warnings: Vec<String>,
    pub(in crate::config) settings: Settings,
    pub(in crate::config) environment: &'a Environment,
    /// With `Some`, nothing is read: sections describe their keys.
    pub(in crate::config) described: Option<Vec<DescribedKey>>,
}

impl<'a> Findings<'a> {
    pub(in crate::config) fn new(environment: &'a Environment) -> Self {
        Self {
            complaints: Vec::new(),
            warnings: Vec::new(),
            settings: Settings::default(),
            environment,
            described: None,
        }
    }

    pub(in crate::config) fn complain(&mut self, origin: &Origin, key: &str, fault: Fault) {
        self.complaints.push(Complaint {
            origin: fault.origin.unwrap_or_else(|| origin.clone()),
            key: key.to_owned(),
            what: fault.what,
            suggestion: fault.suggestion,
            concern: Concern::Configuration,
        });
    }
}

/// One table that is being read.
pub(in crate::config) struct Section<'f, 'e> {
    path: String,
    described_path: String,
    origin: Origin,
    table: Table,
    known: Vec<&'static str>,
    read: Vec<(&'static str, Origin)>,
    pub(in crate::config) found: &'f mut Findings<'e>,
}

/// What a key has when nobody sets it.
enum Absent<T> {
    Value(T),
    Nothing,
    Refused,
}

impl<'f, 'e> Section<'f, 'e> {
    /// The whole configuration.
    pub(in crate::config) fn root(root: Node, found: &'f mut Findings<'e>) -> Self {
        Self::of(root, String::new(), String::new(), found)
    }

    fn of(node: Node, path: String, described_path: String, found: &'f mut Findings<'e>) -> Self {
        let origin = node.origin.clone();
        let kind = node.kind();
        let table = if let Value::Table(table) = node.value {
            table
        } else {
            found.complain(&origin, &path, Fault::new(format!("expects a table, not {kind}")));
            Table::new()
        };
        Self { path, described_path, origin, table, known: Vec::new(), read: Vec::new(), found }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn described_path_of(&self, name: &str) -> String {
        if self.described_path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.described_path) }
    }

    /// Where a key that was read stands, else where its table begins.
    pub(in crate::config) fn origin_of(&self, name: &str) -> Origin {
        self.read
            .iter()
            .find(|(read, _)| *read == name)
            .map_or_else(|| self.origin.clone(), |(_, origin)| origin.clone())
    }

    /// Complains about a key that was read well by itself but not beside the others.
    pub(in crate::config) fn complain(&mut self, name: &str, fault: Fault) {
        if self.found.described.is_none() {
            let origin = self.origin_of(name);
            let path = self.path_of(name);
            self.found.complain(&origin, &path, fault);
        }
    }

    /// Complains about a key of the whole configuration, by its path, if it was set at all.
    pub(in crate::config) fn complain_where_set(&mut self, path: &str, fault: Fault) {
        let origin = self.found.settings.get(path).map(|setting| setting.origin.clone());
        if let Some(origin) = origin.filter(|origin| *origin != Origin::Default) {
            self.found.complain(&origin, path, fault);
        }
    }

    /// Says something that is allowed and probably not meant.
    pub(in crate::config) fn warn(&mut self, name: &str, what: &str) {
        if self.found.described.is_none() {
            let path = self.path_of(name);
            let warning = match self.origin_of(name) {
                Origin::Default => format!("{path}: {what}"),
                origin @ (Origin::File { .. } | Origin::Environment(_) | Origin::Flag(_)) => {
                    format!("{origin}: {path}: {what}")
                }
            };
            self.found.warnings.push(warning);
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Entry> {
        self.known.push(name);
        let entry = self.table.remove(name)?;
        self.read.push((name, entry.origin.clone()));
        Some(entry)
    }

    fn describe<T>(&mut self, key: Key, kind: &str, absent: &Absent<T>, show: impl Fn(&T) -> String) {
        let path = self.described_path_of(key.name);
        let Some(described) = &mut self.found.described else { return };
        described.push(DescribedKey {
            path,
            kind: kind.to_owned(),
            default: match absent {
                Absent::Value(value) => Some(show(value)),
                Absent::Nothing | Absent::Refused => None,
            },
            required: matches!(absent, Absent::Refused),
            change: key.change,
            about: key.about,
        });
    }

    /// Describes the keys of a list of tables that another module reads: name, kind, what for.
    pub(in crate::config) fn describe_foreign(
        &mut self,
        list: &str,
        keys: &[(&str, &str, &'static str)],
        change: Change,
    ) {
        let path = self.described_path_of(list);
        let Some(described) = &mut self.found.described else { return };
        described.extend(keys.iter().map(|(name, kind, about)| DescribedKey {
            path: format!("{path}[].{name}"),
            kind: (*kind).to_owned(),
            default: None,
            required: matches!(*name, "id" | "when" | "then"),
            change,
            about,
        }));
    }

    fn read<T: 'static>(&mut self, key: Key, kind: &Kind<T>, absent: Absent<T>) -> Option<T> {
        self.describe(key, &kind.name, &absent, &*kind.show);
        let (value, origin) = match (self.take(key.name), absent) {
            (None, Absent::Value(value)) => (value, Origin::Default),
            (None, Absent::Nothing) => return None,
            (None, Absent::Refused) => {
                self.complain(key.name, Fault::new(Fault::MISSING).advise(format!("expects: {}", kind.name)));
                return None;
            }
            (Some(entry), absent) => match (kind.parse)(&entry.node) {
                Ok(value) => (value, entry.origin),
                Err(faults) => {
                    let path = self.path_of(key.name);
                    for fault in faults {
                        self.found.complain(&entry.node.origin, &path, fault);
                    }
                    let Absent::Value(value) = absent else { return None };
                    return Some(value);
                }
            },
        };
        self.record(key, Shown::Plain((kind.show)(&value)), origin);
        Some(value)
    }

    fn record(&mut self, key: Key, value: Shown, origin: Origin) {
        let path = self.path_of(key.name);
        self.found.settings.insert(path, Setting { value, origin, change: key.change });
    }

    /// A key with a default.
    pub(in crate::config) fn value<T: Clone + 'static>(&mut self, key: Key, kind: &Kind<T>, default: T) -> T {
        self.read(key, kind, Absent::Value(default.clone())).unwrap_or(default)
    }

    /// A key that may be left out.
    pub(in crate::config) fn optional<T: 'static>(&mut self, key: Key, kind: &Kind<T>) -> Option<T> {
        self.read(key, kind, Absent::Nothing)
    }

    /// A key that must be there; `None` means that a complaint was made.
    pub(in crate::config) fn required<T: 'static>(&mut self, key: Key, kind: &Kind<T>) -> Option<T> {
        self.read(key, kind, Absent::Refused)
    }

    /// A secret that may be left out.
    pub(in crate::config) fn optional_secret(&mut self, key: Key) -> Option<Secret> {
        self.secret(key, &Absent::Nothing)
    }

    /// A secret that must be there; `None` means that a complaint was made.
    pub(in crate::config) fn required_secret(&mut self, key: Key) -> Option<Secret> {
        self.secret(key, &Absent::Refused)
    }

    /// A secret that must be there for the daemon; a command beside it need not be able to read it.
    pub(in crate::config) fn daemon_secret(&mut self, key: Key) -> Option<Secret> {
        let elsewhere = self.found.environment.is_for_command()
            && self.table.get(key.name).is_some_and(|entry| {
                secrets::is_kept_elsewhere(&entry.node, self.found.environment, &directory_of(&entry.node.origin))
            });
        if !elsewhere {
            return self.required_secret(key);
        }
        let entry = self.take(key.name)?;
        let secret = Secret::elsewhere();
        self.record(key, Shown::Hidden { secret: secret.clone(), kept: "kept elsewhere".to_owned() }, entry.origin);
        Some(secret)
    }

    /// As [`Section::daemon_secret`], for one that may be left out.
    pub(in crate::config) fn optional_daemon_secret(&mut self, key: Key) -> Option<Secret> {
        if self.table.contains_key(key.name) { self.daemon_secret(key) } else { self.optional_secret(key) }
    }

    /// The file that a secret which has not been read yet is kept in, where it is one.
    pub(in crate::config) fn secret_file(&self, name: &str) -> Option<PathBuf> {
        let node = &self.table.get(name)?.node;
        secrets::file_of(node).map(|path| directory_of(&node.origin).join(path))
    }

    fn secret(&mut self, key: Key, absent: &Absent<Secret>) -> Option<Secret> {
        self.describe(key, secrets::KIND, absent, Secret::to_string);
        let Some(entry) = self.take(key.name) else {
            if matches!(absent, Absent::Refused) {
                self.complain(key.name, Fault::new(Fault::MISSING).advise(secrets::ADVICE));
            }
            return None;
        };
        let beside = directory_of(&entry.node.origin);
        match secrets::resolve(&entry.node, self.found.environment, &beside) {
            Ok((secret, kept)) => {
                if secrets::is_open_to_others(&entry.node, &beside) {
                    self.warn(key.name, "every user of this host can read its file: chmod 600 it, as its owner");
                }
                self.record(key, Shown::Hidden { secret: secret.clone(), kept }, entry.origin);
                Some(secret)
            }
            Err(faults) => {
                let path = self.path_of(key.name);
                for fault in faults {
                    self.found.complain(&entry.node.origin, &path, fault);
                }
                None
            }
        }
    }

    /// A table of its own, empty when it is left out.
    pub(in crate::config) fn table<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_, '_>) -> T,
    ) -> T {
        let node = self.take(name).map_or_else(|| Node::empty_table(self.origin.clone()), |entry| entry.node);
        let mut section = Section::of(node, self.path_of(name), self.described_path_of(name), self.found);
        let value = read(&mut section);
        section.finish();
        value
    }

    /// A list of tables, each with an `id` that is its own.
    pub(in crate::config) fn tables<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Section<'_, '_>) -> Option<T>,
    ) -> Vec<T> {
        let described_path = format!("{}[]", self.described_path_of(name));
        if self.found.described.is_some() {
            let mut section =
                Section::of(Node::empty_table(Origin::Default), described_path.clone(), described_path, self.found);
            let _ = read(&mut section);
            return Vec::new();
        }
        let nodes = self.nodes(name);
        let mut ids: Vec<String> = Vec::new();
        let mut values = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let id = node.id().filter(|id| is_id(id)).map(str::to_owned);
            let place = id.clone().unwrap_or_else(|| format!("#{}", index + 1));
            let mut path = format!("{}[{place}]", self.path_of(name));
            if let Some(id) = id {
                if ids.contains(&id) {
                    self.found.complain(&node.origin, &path, Fault::new("has an id that is already taken"));
                    path = format!("{}[#{}]", self.path_of(name), index + 1);
                }
                ids.push(id);
            }
            let mut section = Section::of(node, path, described_path.clone(), self.found);
            let value = read(&mut section);
            section.finish();
            values.extend(value);
        }
        values
    }

    /// The elements of a list of tables, unread.
    pub(in crate::config) fn nodes(&mut self, name: &'static str) -> Vec<Node> {
        let Some(entry) = self.take(name) else { return Vec::new() };
        match entry.node.value {
            Value::List(nodes) => nodes,
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Table(_) => {
                let fault = Fault::new(format!("expects a list of tables, not {}", entry.node.kind()))
                    .advise(format!("begin each with [[{}]]", self.path_of(name)));
                self.complain(name, fault);
                Vec::new()
            }
        }
    }

    /// Complains about the keys that nobody asked for.
    pub(in crate::config) fn finish(self) {
        for (name, entry) in &self.table {
            let path = self.path_of(name);
            let fault = Fault::unknown_key(name, &self.known);
            self.found.complain(&entry.origin, &path, fault);
        }
    }
}

/// The folder that relative paths of a value begin at: its file's, else the working directory.
pub(in crate::config) fn directory_of(origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { file, .. } => file.parent().map(Path::to_path_buf).unwrap_or_default(),
        Origin::Default | Origin::Environment(_) | Origin::Flag(_) => PathBuf::new(),
    }
}
