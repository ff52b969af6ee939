//! The one place that reads the environment, and the overlay of `SHIFTKEEPER__SECTION__KEY` variables and command-line options
//! on the files' tree.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::complaint::{Complaint, Concern, Origin};
use super::tree::{Entry, Node, Value};
use crate::domain::words::nearest;

/// What a variable of the overlay begins with.
const PREFIX: &str = "SHIFTKEEPER__";

/// The environment as it was when it was read.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    command: bool,
}

impl Environment {
    /// The environment of this process. Variables that are not Unicode are left out.
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment for everyone else")]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// For a command beside the daemon: secrets may be kept where it cannot read them; what needs one then says so.
    #[must_use]
    pub fn for_command(self) -> Self {
        Self { command: true, ..self }
    }

    /// Whether secrets may be kept elsewhere.
    pub(in crate::config) const fn is_for_command(&self) -> bool {
        self.command
    }

    /// Whether a service manager wants to be told how this process is (systemd's `NOTIFY_SOCKET`).
    pub fn names_service_manager(&self) -> bool {
        self.get("NOTIFY_SOCKET").is_some()
    }

    /// The configuration file that commands take where no option names one.
    pub fn configuration_file(&self) -> Option<PathBuf> {
        self.get("SHIFTKEEPER_CONFIG").filter(|named| !named.is_empty()).map(PathBuf::from)
    }

    pub(in crate::config) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The variables of the overlay as options: keys in lower case, one for each `__`.
    pub(in crate::config) fn overlay(&self) -> Vec<Overlay> {
        let ours = self.variables.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
        ours.map(|(name, path, value)| Overlay {
            origin: Origin::Environment(Arc::from(name.as_str())),
            path: path.to_lowercase().split("__").map(str::to_owned).collect(),
            value: value.clone(),
        })
        .collect()
    }
}

/// Its values may be secrets: the names alone are shown.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().collect(), command: false }
    }
}

/// One value of the command line: the option as it is written (`--listen`), the path of its key (`server.listen`), its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flag {
    /// The option, for messages.
    pub option: String,
    /// The key that it sets; elements of lists of tables go by their id, as in `tenants.acme.mode`.
    pub key: String,
    /// The value; lists are separated by commas.
    pub value: String,
}

impl Flag {
    pub(in crate::config) fn overlay(&self) -> Overlay {
        Overlay {
            origin: Origin::Flag(Arc::from(self.option.as_str())),
            path: self.key.split('.').map(str::to_owned).collect(),
            value: self.value.clone(),
        }
    }
}

/// One value to lay over the tree.
pub(in crate::config) struct Overlay {
    origin: Origin,
    path: Vec<String>,
    value: String,
}

impl Overlay {
    /// Whether it sets the list of files of rules.
    pub(in crate::config) fn names_rules_files(&self) -> bool {
        self.path == ["rules_files"]
    }

    /// Sets the value in the tree; elements of lists of tables are found by their id, in any case, `-` and `.` as `_`.
    pub(in crate::config) fn apply(self, root: &mut Node) -> Result<(), Complaint> {
        let path = self.path.join(".");
        let refuse = |what: &str, suggestion: Option<String>| Complaint {
            origin: self.origin.clone(),
            key: path.clone(),
            what: what.to_owned(),
            suggestion,
            concern: Concern::Configuration,
        };
        if self.path.iter().any(String::is_empty) {
            return Err(refuse("names no key", Some(format!("as in {PREFIX}SERVER__LISTEN"))));
        }
        let mut node = root;
        for segment in &self.path {
            node = match &mut node.value {
                Value::Table(table) => {
                    let entry = table.entry(segment.clone()).or_insert_with(|| Entry {
                        origin: self.origin.clone(),
                        node: Node::empty_table(self.origin.clone()),
                    });
                    if !matches!(entry.node.value, Value::Table(_) | Value::List(_)) {
                        entry.node = Node::empty_table(self.origin.clone());
                    }
                    entry.origin = self.origin.clone();
                    &mut entry.node
                }
                Value::List(elements) => {
                    let ids: Vec<_> = elements.iter().filter_map(Node::id).map(str::to_owned).collect();
                    let Some(element) = elements.iter_mut().find(|node| node.id().is_some_and(|id| same(id, segment)))
                    else {
                        let near = nearest(segment, ids.iter().map(String::as_str));
                        return Err(refuse("no element has this id", near.map(|id| format!("did you mean \"{id}\"?"))));
                    };
                    element
                }
                Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {
                    return Err(refuse("is not below a table", None));
                }
            };
        }
        *node = Node { origin: self.origin.clone(), value: Value::Text(self.value) };
        Ok(())
    }
}

fn same(id: &str, segment: &str) -> bool {
    let fold = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    fold(id) == fold(segment)
}
