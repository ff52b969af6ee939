//! The columns of a profile, each with a number by which the rest of the profile refers to it.

use std::collections::BTreeMap;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::reader::Section;
use crate::domain::schedules::import::profile::{ColumnId, ColumnName};

/// What the columns of a profile can hold.
pub(super) const ROLES: [&str; 14] = [
    "agent",
    "name",
    "team",
    "time_zone",
    "offset",
    "date",
    "shift",
    "activity",
    "start",
    "end",
    "duration",
    "mandatory",
    "shift_start",
    "shift_end",
];

/// The columns of a profile.
pub(super) struct ColumnSet {
    names: Vec<ColumnName>,
    /// The columns by role that were not taken yet.
    roles: BTreeMap<String, Vec<ColumnName>>,
}

impl ColumnSet {
    pub(super) fn new(roles: BTreeMap<String, Vec<ColumnName>>) -> Self {
        Self { names: Vec::new(), roles }
    }

    /// Returns the number of a column.
    pub(super) fn add(&mut self, name: ColumnName) -> ColumnId {
        let known = self.names.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        ColumnId(u16::try_from(index).unwrap_or(u16::MAX))
    }

    pub(super) fn take_all(&mut self, role: &str) -> Vec<ColumnId> {
        self.roles.remove(role).unwrap_or_default().into_iter().map(|name| self.add(name)).collect()
    }

    pub(super) fn take(&mut self, role: &str) -> Option<ColumnId> {
        self.take_all(role).into_iter().next()
    }

    /// Returns the column of a role, and reports it if it is missing.
    pub(super) fn need(&mut self, section: &mut Section<'_, '_>, role: &str) -> Option<ColumnId> {
        let found = self.take(role);
        if found.is_none() {
            let fault = ValueFault::new(format!("lacks {role}, which the layout needs"));
            section.add_diagnostic("columns", fault.with_suggestion("name the heading or number of the column"));
        }
        found
    }

    /// Reports the columns that nothing reads.
    pub(super) fn report_unused(&self, section: &mut Section<'_, '_>) {
        for role in self.roles.keys() {
            let fault = ValueFault::new(format!("has {role}, which is not read with the other keys of this profile"));
            section.add_diagnostic("columns", fault.with_suggestion("remove it"));
        }
    }

    pub(super) fn has_headings(&self) -> bool {
        self.names.iter().any(|name| matches!(name, ColumnName::Heading(_)))
    }

    pub(super) fn into_names(self) -> Vec<ColumnName> {
        self.names
    }
}
