//! The scope of a command: the tenants of the configuration, and the store that it reads.

use super::exit::{CommandFailure, Exit};
use crate::config::{Config, Tenant};
use crate::domain::ids::TenantId;
use crate::store::{OpenError, Reader, Store};

/// Returns the named tenant, or the only one. The error is a usage error with the existing tenants, if the tenant is
/// not configured or must be named.
pub fn one_tenant<'a>(config: &'a Config, named: Option<&TenantId>) -> anyhow::Result<&'a Tenant> {
    match (named, config.tenants.as_slice()) {
        (Some(id), _) => config.tenant(id).ok_or_else(|| {
            usage_error(format!("there is no tenant {id} in the configuration: {}", known_tenants_text(config)))
        }),
        (None, [only]) => Ok(only),
        (None, []) => {
            Err(CommandFailure::with_exit(Exit::BadConfiguration, "no tenant is configured: add one under [[tenants]]"))
        }
        (None, _) => Err(usage_error(format!("name a tenant with --tenant: {}", known_tenants_text(config)))),
    }
}

/// Returns the tenant to ask the daemon about: like [`one_tenant`], but a daemon elsewhere (`[client] url`) may serve
/// tenants that are not configured here, and itself says which.
pub fn requested_tenant(config: &Config, named: Option<&TenantId>) -> anyhow::Result<TenantId> {
    match named {
        Some(id) if config.client.url.is_some() => Ok(id.clone()),
        named => Ok(one_tenant(config, named)?.id.clone()),
    }
}

/// Returns the named tenant, or all tenants.
pub fn selected_tenants<'a>(config: &'a Config, named: Option<&TenantId>) -> anyhow::Result<Vec<&'a Tenant>> {
    match named {
        Some(_) => Ok(vec![one_tenant(config, named)?]),
        None => Ok(config.tenants.iter().collect()),
    }
}

/// Opens the configured store read-only, with or without a running daemon.
pub async fn open_reader(config: &Config) -> Result<Reader, OpenError> {
    Store::read(config.store.connection_url().expose()).await
}

/// Opens the configured store read-only. Returns `None` if it does not exist yet.
pub async fn open_existing_reader(config: &Config) -> Result<Option<Reader>, OpenError> {
    match open_reader(config).await {
        Ok(reader) => Ok(Some(reader)),
        Err(OpenError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether a daemon has the store, as far as the store knows. After a crash it still says so.
pub async fn is_daemon_running(reader: &Reader) -> anyhow::Result<bool> {
    let row = reader.daemon().await?;
    Ok(row.is_some_and(|row| row.stopped_at.is_none() && row.listen.is_some()))
}

/// Creates a usage error.
pub fn usage_error(text: String) -> anyhow::Error {
    CommandFailure::with_exit(Exit::Usage, text)
}

fn known_tenants_text(config: &Config) -> String {
    let ids: Vec<_> = config.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    match ids.as_slice() {
        [] if config.client.url.is_some() => {
            "it names a daemon elsewhere and no tenant, but this command reads the daemon's store and \
             takes the daemon's own configuration"
                .to_owned()
        }
        [] => "it has none".to_owned(),
        ids => format!("it has {}", ids.join(", ")),
    }
}
