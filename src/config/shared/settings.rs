//! The flat view of a configuration: every key with its value and origin, and the differences between two
//! configurations.

use std::collections::BTreeMap;
use std::fmt;

use super::diagnostic::Origin;
use crate::domain::access::secret::Secret;

/// When a changed key takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeEffect {
    /// On reload (SIGHUP), without a restart.
    Reload,
    /// At the next start.
    Restart,
}

/// A value as it is displayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettingValue {
    /// A value in TOML notation.
    Plain(String),
    /// A secret, displayed as stars and where it is kept, and compared by its content.
    Hidden {
        /// The secret.
        secret: Secret,
        /// `env NAME` or `file PATH`.
        source: String,
    },
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Hidden { secret, source: kept } => write!(f, "{secret} ({kept})"),
        }
    }
}

/// One key of the effective configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The key's value.
    pub value: SettingValue,
    /// The origin of the value.
    pub origin: Origin,
    /// When a change takes effect.
    pub change: ChangeEffect,
}

/// The effective configuration by path of the key, as in `tenants[acme].requests_per_minute`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Settings(BTreeMap<String, Setting>);

impl Settings {
    pub(in crate::config) fn insert(&mut self, key: String, setting: Setting) {
        self.0.insert(key, setting);
    }

    /// Returns one key.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    /// Returns all keys in order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0.iter().map(|(key, setting)| (key.as_str(), setting))
    }

    /// Returns the differences from this configuration to `next`.
    pub fn changes_to(&self, next: &Self) -> SettingChanges {
        let mut changes = SettingChanges::default();
        let keys = self.0.keys().chain(next.0.keys().filter(|key| !self.0.contains_key(*key)));
        for key in keys {
            let (old, new) = (self.0.get(key), next.0.get(key));
            if old.map(|setting| &setting.value) == new.map(|setting| &setting.value) {
                continue;
            }
            let is_one_sided = old.is_none() || new.is_none();
            let added_or_removed =
                tenant_of(key).filter(|id| is_one_sided && self.0.contains_key(id) != next.0.contains_key(id));
            let effect = match added_or_removed {
                // An added or removed tenant is one change.
                Some(id) if id == *key => ChangeEffect::Reload,
                Some(_) => continue,
                None => old.or(new).map_or(ChangeEffect::Restart, |setting| setting.change),
            };
            let changed = SettingChange {
                key: key.clone(),
                before: old.map(|setting| setting.value.to_string()),
                after: new.map(|setting| setting.value.to_string()),
            };
            match effect {
                ChangeEffect::Reload => changes.reload.push(changed),
                ChangeEffect::Restart => changes.restart.push(changed),
            }
        }
        changes
    }
}

/// Returns the key of the id of the tenant that a key belongs to.
fn tenant_of(key: &str) -> Option<String> {
    let end = key.starts_with("tenants[").then(|| key.find(']')).flatten()?;
    Some(format!("{}].id", key.get(..end)?))
}

/// A key that differs. Displayed as `key: before -> after`, with secrets as stars.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingChange {
    /// The path of the key.
    pub key: String,
    /// The old value. `None` for a new key.
    pub before: Option<String>,
    /// The new value. `None` for a removed key.
    pub after: Option<String>,
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}: {} -> {}", self.key, side(&self.before), side(&self.after))
    }
}

/// The differences between two configurations, by when they take effect.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SettingChanges {
    /// Changes that take effect on reload.
    pub reload: Vec<SettingChange>,
    /// Changes that take effect at the next start; the running daemon keeps the old values.
    pub restart: Vec<SettingChange>,
}

impl SettingChanges {
    /// Returns whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.reload.is_empty() && self.restart.is_empty()
    }
}
