//! The only module that reads the environment. It overlays `SHIFTKEEPER__SECTION__KEY` variables and command-line
//! options on the tree of the files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, DiagnosticSubject, Origin};
use super::tree::{Entry, Node, Value};
use crate::domain::wording::closest_name;

/// The prefix of variables that set configuration keys.
const PREFIX: &str = "SHIFTKEEPER__";

/// A copy of the process's environment.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    is_command: bool,
}

impl Environment {
    /// Reads the environment of this process. Variables that are not Unicode are left out.
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment for everyone else")]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Returns the environment for a command that runs beside the daemon. Its secrets may be unreadable, which is an
    /// error only when one is needed.
    #[must_use]
    pub fn for_command(self) -> Self {
        Self { is_command: true, ..self }
    }

    /// Returns whether unreadable secrets are allowed.
    pub(in crate::config) const fn is_for_command(&self) -> bool {
        self.is_command
    }

    /// Returns whether a service manager wants notifications of this process (systemd's `NOTIFY_SOCKET`).
    pub fn has_notify_socket(&self) -> bool {
        self.get("NOTIFY_SOCKET").is_some()
    }

    /// Returns the configuration file that commands use if no option names one.
    pub fn configuration_file(&self) -> Option<PathBuf> {
        self.get("SHIFTKEEPER_CONFIG").filter(|named| !named.is_empty()).map(PathBuf::from)
    }

    pub(in crate::config) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Returns the variables that set configuration keys: keys in lower case, with one level for each `__`.
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

/// Shows the names alone, since values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().collect(), is_command: false }
    }
}

/// One option of the command line that sets a configuration key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flag {
    /// The option as it is written, for messages.
    pub option: String,
    /// The key that it sets. Elements of lists of tables are addressed by their id, as in `tenants.acme.mode`.
    pub key: String,
    /// The value. Lists are separated by commas.
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

/// One value to set in the tree.
pub(in crate::config) struct Overlay {
    origin: Origin,
    path: Vec<String>,
    value: String,
}

impl Overlay {
    /// Returns whether it sets the list of rules files.
    pub(in crate::config) fn names_rules_files(&self) -> bool {
        self.path == ["rules_files"]
    }

    /// Sets the value in the tree. Elements of lists of tables are found by their id in any case, where `-` and `.`
    /// match `_`.
    pub(in crate::config) fn apply(self, root: &mut Node) -> Result<(), Diagnostic> {
        let path = self.path.join(".");
        let refusal = |what: &str, suggestion: Option<String>| Diagnostic {
            origin: self.origin.clone(),
            key: path.clone(),
            problem: what.to_owned(),
            suggestion,
            subject: DiagnosticSubject::Configuration,
        };
        if self.path.iter().any(String::is_empty) {
            return Err(refusal("names no key", Some(format!("as in {PREFIX}SERVER__LISTEN"))));
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
                    let Some(element) =
                        elements.iter_mut().find(|node| node.id().is_some_and(|id| is_same_key(id, segment)))
                    else {
                        let near = closest_name(segment, ids.iter().map(String::as_str));
                        return Err(refusal(
                            "no element has this id",
                            near.map(|id| format!("did you mean \"{id}\"?")),
                        ));
                    };
                    element
                }
                Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {
                    return Err(refusal("is not below a table", None));
                }
            };
        }
        *node = Node { origin: self.origin.clone(), value: Value::Text(self.value) };
        Ok(())
    }
}

fn is_same_key(id: &str, segment: &str) -> bool {
    let fold = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    fold(id) == fold(segment)
}
