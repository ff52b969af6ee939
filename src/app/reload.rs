//! A reload of the configuration: what can change without a restart changes, the rest is named.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::settings::tenant_settings;
use super::webhooks::Webhooks;
use crate::clock::SharedClock;
use crate::config::Loaded;
use crate::domain::ids::TenantId;
use crate::engine::settings::TenantSettings;
use crate::engine::status::Reloads;

/// Hands new settings to the workers. Cheap to clone.
#[derive(Clone)]
pub struct Reload {
    tenants: Arc<Mutex<HashMap<TenantId, watch::Sender<Arc<TenantSettings>>>>>,
    webhooks: Arc<Mutex<Webhooks>>,
    reloads: Reloads,
    clock: SharedClock,
}

impl Reload {
    pub(super) fn new(webhooks: Webhooks, clock: SharedClock) -> Self {
        let reloads = Reloads::new(clock.now());
        Self { tenants: Arc::default(), webhooks: Arc::new(Mutex::new(webhooks)), reloads, clock }
    }

    /// How reloads went.
    pub(super) fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// Notes how a reload went, for whoever looks.
    pub fn note(&self, succeeded: bool) {
        self.reloads.note(succeeded, self.clock.now());
    }

    pub(super) fn add(&self, tenant: TenantId, settings: watch::Sender<Arc<TenantSettings>>) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, settings);
    }

    /// Puts a new configuration in force as far as that can be done while the daemon runs, and logs the rest as what needs a
    /// restart. Nothing changes when any part of it is wrong.
    pub fn apply(&self, running: &mut Loaded, newer: Loaded) -> anyhow::Result<()> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        // What needs a restart stays as it is, also where a setting that is reloaded rests on it.
        let config = running.config.reloaded(&newer.config);
        let mut ready = Vec::new();
        for tenant in &config.tenants {
            if let Some(sender) = tenants.get(&tenant.id) {
                ready.push((sender, Arc::new(tenant_settings(&config, tenant)?)));
            }
        }
        self.webhooks.lock().unwrap_or_else(PoisonError::into_inner).take(&config)?;
        for (sender, settings) in ready {
            sender.send_replace(settings);
        }
        let changes = running.settings.changes_to(&newer.settings);
        for change in &changes.reload {
            tracing::info!(key = change.key, "configuration reloaded: {change}");
        }
        for change in &changes.restart {
            tracing::warn!(key = change.key, "configuration changed, takes effect after a restart: {change}");
        }
        if changes.is_empty() {
            tracing::info!("configuration reloaded: nothing changed");
        }
        (running.config, running.settings) = (config, newer.settings);
        Ok(())
    }
}
