//! A reload of the configuration: what can change without a restart changes, the rest is named.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::belongings::Places;
use super::jobs::{JobTools, job_specs};
use super::people::Access;
use super::tenants::TenantList;
use super::webhooks::Webhooks;
use crate::config::Loaded;
use crate::domain::schedules::import::ImportOptions;
use crate::engine::jobs::JobSpec;
use crate::engine::operations::status::Reloads;

/// Hands what is new to those whom it concerns. Cheap to clone.
#[derive(Clone)]
pub struct Reload(Arc<Mutex<InForce>>);

/// What a reload may change.
pub(super) struct InForce {
    pub(super) tenants: TenantList,
    pub(super) webhooks: Webhooks,
    pub(super) access: Access,
    pub(super) import_options: watch::Sender<ImportOptions>,
    pub(super) places: watch::Sender<Arc<Places>>,
    pub(super) jobs: watch::Sender<Arc<[JobSpec]>>,
    pub(super) job_tools: JobTools,
    pub(super) reloads: Reloads,
}

impl Reload {
    pub(super) fn new(in_force: InForce) -> Self {
        Self(Arc::new(Mutex::new(in_force)))
    }

    /// Notes how a reload went, for whoever looks.
    pub fn note(&self, succeeded: bool) {
        let in_force = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.reloads.note(succeeded, in_force.job_tools.clock.now());
    }

    /// Puts a new configuration in force as far as that can be done while the daemon runs, and logs the rest as what needs a
    /// restart. Nothing changes when any part of it is wrong.
    pub fn apply(&self, running: &mut Loaded, newer: Loaded) -> anyhow::Result<()> {
        let mut in_force = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What needs a restart stays as it is, also where a setting that is reloaded rests on it.
        let config = running.config.reloaded(&newer.config);
        anyhow::ensure!(
            !config.mixes_times(),
            "the daemon runs by simulated time, which needs every URL to be loopback: restart it for this configuration"
        );
        let tenants = in_force.tenants.read(&config)?;
        // New streams begin before the tenant that they are for, so that they miss nothing of it.
        in_force.webhooks.take(&config)?;
        in_force.tenants.put_in_force(tenants);
        let jobs = job_specs(&config, &in_force.job_tools);
        in_force.jobs.send_replace(jobs);
        in_force.access.take(&config.server);
        in_force.import_options.send_replace(config.import.clone());
        in_force.places.send_replace(Arc::new(Places::of(&config)));
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
