//! The flat view of a configuration: every key with its value and origin, and what differs between two of them.

use std::collections::BTreeMap;
use std::fmt;

use super::complaint::Origin;
use crate::domain::access::secret::Secret;

/// Whether a changed key takes effect on SIGHUP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// On reload, without a restart.
    Reload,
    /// At the next start only.
    Restart,
}

/// A value as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// As TOML writes it.
    Plain(String),
    /// As stars, with where the secret is kept; compared by the secret itself.
    Hidden {
        /// The secret.
        secret: Secret,
        /// `env NAME` or `file PATH`.
        kept: String,
    },
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Hidden { secret, kept } => write!(f, "{secret} ({kept})"),
        }
    }
}

/// One key of the effective configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Its value.
    pub value: Shown,
    /// Where the value comes from.
    pub origin: Origin,
    /// What a change of it takes.
    pub change: Change,
}

/// The effective configuration by path of the key, as in `tenants[acme].requests_per_minute`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Settings(BTreeMap<String, Setting>);

impl Settings {
    pub(in crate::config) fn insert(&mut self, key: String, setting: Setting) {
        self.0.insert(key, setting);
    }

    /// One key.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    /// All keys, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0.iter().map(|(key, setting)| (key.as_str(), setting))
    }

    /// What differs from here to `newer`.
    pub fn changes_to(&self, newer: &Self) -> Changes {
        let mut changes = Changes::default();
        let keys = self.0.keys().chain(newer.0.keys().filter(|key| !self.0.contains_key(*key)));
        for key in keys {
            let (old, new) = (self.0.get(key), newer.0.get(key));
            if old.map(|setting| &setting.value) == new.map(|setting| &setting.value) {
                continue;
            }
            let is_one_sided = old.is_none() || new.is_none();
            let whole = tenant_of(key).filter(|id| is_one_sided && self.0.contains_key(id) != newer.0.contains_key(id));
            let kind = match whole {
                // A tenant that comes or goes is one change.
                Some(id) if id == *key => Change::Reload,
                Some(_) => continue,
                None => old.or(new).map_or(Change::Restart, |setting| setting.change),
            };
            let line = ChangedKey {
                key: key.clone(),
                before: old.map(|setting| setting.value.to_string()),
                after: new.map(|setting| setting.value.to_string()),
            };
            match kind {
                Change::Reload => changes.reload.push(line),
                Change::Restart => changes.restart.push(line),
            }
        }
        changes
    }
}

/// The key of the id of the tenant that a key belongs to.
fn tenant_of(key: &str) -> Option<String> {
    let end = key.starts_with("tenants[").then(|| key.find(']')).flatten()?;
    Some(format!("{}].id", key.get(..end)?))
}

/// One key that differs. Displayed as `key: before -> after`, secrets as stars.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangedKey {
    /// Path of the key.
    pub key: String,
    /// The value before; `None` where the key is new.
    pub before: Option<String>,
    /// The value after; `None` where the key is gone.
    pub after: Option<String>,
}

impl fmt::Display for ChangedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}: {} -> {}", self.key, side(&self.before), side(&self.after))
    }
}

/// What a reload would change, and what it could not.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Changes {
    /// Takes effect at once.
    pub reload: Vec<ChangedKey>,
    /// Waits for the next start; the running daemon keeps the old value.
    pub restart: Vec<ChangedKey>,
}

impl Changes {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        self.reload.is_empty() && self.restart.is_empty()
    }
}
