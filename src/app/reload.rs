//! A reload of the configuration: applies what can change without a restart, and names the rest.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::access::AccessSettings;
use super::agent_files::FileLocations;
use super::jobs::{JobServices, job_specs};
use super::tenants::TenantList;
use super::webhooks::Webhooks;
use crate::config::LoadedConfig;
use crate::domain::schedules::import::ImportOptions;
use crate::engine::jobs::JobSpec;
use crate::engine::operations::status::Reloads;

/// Applies a new configuration to the running daemon. Cheap to clone.
#[derive(Clone)]
pub struct Reload(Arc<Mutex<ActiveSettings>>);

/// The parts of the daemon that a reload may change.
pub(super) struct ActiveSettings {
    pub(super) tenants: TenantList,
    pub(super) webhooks: Webhooks,
    pub(super) access: AccessSettings,
    pub(super) import_options: watch::Sender<ImportOptions>,
    pub(super) locations: watch::Sender<Arc<FileLocations>>,
    pub(super) jobs: watch::Sender<Arc<[JobSpec]>>,
    pub(super) job_services: JobServices,
    pub(super) reloads: Reloads,
}

impl Reload {
    pub(super) fn new(in_force: ActiveSettings) -> Self {
        Self(Arc::new(Mutex::new(in_force)))
    }

    /// Records whether a reload succeeded, for the status.
    pub fn log_result(&self, succeeded: bool) {
        let in_force = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.reloads.record(succeeded, in_force.job_services.clock.now());
    }

    /// Applies a new configuration as far as the running daemon can, and logs what needs a restart. Nothing changes if
    /// any part of the configuration is invalid.
    pub fn apply(&self, running: &mut LoadedConfig, next: LoadedConfig) -> anyhow::Result<()> {
        let mut in_force = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Settings that need a restart keep their values, even if a reloadable setting depends on them.
        let config = running.config.with_reloadable_from(&next.config);
        anyhow::ensure!(
            !config.mixes_real_and_simulated_time(),
            "the daemon runs by simulated time, which needs every URL to be loopback: restart it for this configuration"
        );
        let tenants = in_force.tenants.read(&config)?;
        // New webhook streams start before the tenant that they belong to, so that they miss none of its events.
        in_force.webhooks.apply(&config)?;
        in_force.tenants.activate(tenants);
        let jobs = job_specs(&config, &in_force.job_services);
        in_force.jobs.send_replace(jobs);
        in_force.access.apply(&config.server);
        in_force.import_options.send_replace(config.import.clone());
        in_force.locations.send_replace(Arc::new(FileLocations::of(&config)));
        let changes = running.settings.changes_to(&next.settings);
        for change in &changes.reload {
            tracing::info!(key = change.key, "configuration reloaded: {change}");
        }
        for change in &changes.restart {
            tracing::warn!(key = change.key, "configuration changed, takes effect after a restart: {change}");
        }
        if changes.is_empty() {
            tracing::info!("configuration reloaded: nothing changed");
        }
        (running.config, running.settings) = (config, next.settings);
        Ok(())
    }
}
