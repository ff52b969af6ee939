//! Values with their origins: TOML files as trees that are overlaid on each other. This module knows no keys;
//! [`super::reader`] interprets the values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, DiagnosticSubject, Origin};

/// A value and its origin.
#[derive(Clone, Debug)]
pub(in crate::config) struct Node {
    pub(in crate::config) origin: Origin,
    pub(in crate::config) value: Value,
}

/// A value in a file, a variable or an option.
#[derive(Clone, Debug)]
pub(in crate::config) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
}

/// The entries of a table by key.
pub(in crate::config) type Table = BTreeMap<String, Entry>;

/// One key of a table.
#[derive(Clone, Debug)]
pub(in crate::config) struct Entry {
    /// The place of the key; the value's own origin may be further right.
    pub(in crate::config) origin: Origin,
    pub(in crate::config) node: Node,
}

impl Node {
    pub(in crate::config) fn empty_table(origin: Origin) -> Self {
        Self { origin, value: Value::Table(Table::new()) }
    }

    pub(in crate::config) fn text(origin: Origin, text: &str) -> Self {
        Self { origin, value: Value::Text(text.to_owned()) }
    }

    /// Returns the kind of value, for messages that must not show it.
    pub(in crate::config) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Returns the value without its origins.
    pub(in crate::config) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) => toml::Value::String(text.clone()),
            Value::Integer(number) => toml::Value::Integer(*number),
            Value::Float(number) => toml::Value::Float(*number),
            Value::Boolean(answer) => toml::Value::Boolean(*answer),
            Value::List(nodes) => toml::Value::Array(nodes.iter().map(Self::to_toml).collect()),
            Value::Table(table) => {
                toml::Value::Table(table.iter().map(|(key, entry)| (key.clone(), entry.node.to_toml())).collect())
            }
        }
    }

    /// Returns the text of a table's `id`, which identifies it in its list.
    pub(in crate::config) fn id(&self) -> Option<&str> {
        let Value::Table(table) = &self.value else { return None };
        match &table.get("id")?.node.value {
            Value::Text(id) => Some(id),
            _ => None,
        }
    }

    /// Overlays `upper` on this value: tables key by key, lists of tables by `id`, and anything else is replaced.
    pub(in crate::config) fn overlay(&mut self, upper: Self) {
        match (&mut self.value, upper.value) {
            (Value::Table(below), Value::Table(above)) => {
                for (key, entry) in above {
                    match below.get_mut(&key) {
                        Some(existing) => {
                            existing.origin = entry.origin;
                            existing.node.overlay(entry.node);
                        }
                        None => {
                            below.insert(key, entry);
                        }
                    }
                }
            }
            (Value::List(below), Value::List(above)) if above.iter().all(|node| node.id().is_some()) => {
                overlay_by_id(below, above);
            }
            (_, value) => *self = Self { origin: upper.origin, value },
        }
    }
}

/// Each id of `base` is overlaid at most once, so that a duplicate id in one file remains and is refused.
fn overlay_by_id(base: &mut Vec<Node>, upper: Vec<Node>) {
    let mut merged = BTreeSet::new();
    let existing = base.len();
    if upper.is_empty() {
        base.clear();
    }
    for node in upper {
        let found = base.iter().take(existing).position(|other| other.id() == node.id());
        match found.filter(|index| merged.insert(*index)) {
            Some(index) => {
                if let Some(target) = base.get_mut(index) {
                    target.overlay(node);
                }
            }
            None => base.push(node),
        }
    }
}

/// One file, parsed as far as possible.
#[derive(Debug)]
pub(in crate::config) struct ParsedFile {
    /// The file's tree.
    pub(in crate::config) root: Node,
    /// All syntax errors.
    pub(in crate::config) diagnostics: Vec<Diagnostic>,
    /// Lines with a syntax error, whose values may be wrong.
    pub(in crate::config) broken_lines: BTreeSet<usize>,
}

/// Parses a TOML text. Messages contain no part of the text, since a broken line may contain a secret.
pub(in crate::config) fn parse(file: &Arc<Path>, text: &str) -> ParsedFile {
    let (table, errors) = DeTable::parse_recoverable(text);
    let index = SourceMap::new(Arc::clone(file), text);
    let mut diagnostics = Vec::new();
    let mut broken_lines = BTreeSet::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let origin = index.origin(span.start);
        let (first, _) = index.line_and_column(span.start);
        let (last, _) = index.line_and_column(span.end);
        if broken_lines.contains(&first) {
            continue;
        }
        broken_lines.extend(first..=last);
        diagnostics.push(Diagnostic {
            origin,
            key: String::new(),
            problem: format!(
                "not valid TOML: {}",
                error.message().replace('\n', ", ").trim_end_matches(", expected nothing")
            ),
            suggestion: None,
            subject: DiagnosticSubject::Configuration,
        });
    }
    let root = Node { origin: index.origin(0), value: Value::Table(index.table(table.into_inner())) };
    ParsedFile { root, diagnostics, broken_lines }
}

/// Converts byte offsets in a text to places in a file.
struct SourceMap<'a> {
    file: Arc<Path>,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> SourceMap<'a> {
    fn new(file: Arc<Path>, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, line_starts }
    }

    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        (line, self.text.get(start..offset).unwrap_or_default().chars().count() + 1)
    }

    fn origin(&self, offset: usize) -> Origin {
        let (line, column) = self.line_and_column(offset);
        Origin::File { file: Arc::clone(&self.file), line, column }
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        table
            .into_iter()
            .map(|(key, value)| {
                let origin = self.origin(key.span().start);
                (key.into_inner().into_owned(), Entry { origin, node: self.node(value) })
            })
            .collect()
    }

    fn node(&self, value: Spanned<DeValue<'_>>) -> Node {
        let origin = self.origin(value.span().start);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::Float(f64::INFINITY), Value::Integer),
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(answer) => Value::Boolean(answer),
            DeValue::Datetime(instant) => Value::Text(instant.to_string()),
            DeValue::Array(list) => Value::List(list.into_iter().map(|value| self.node(value)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { origin, value }
    }
}
