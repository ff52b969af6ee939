//! What a command is about: which tenants of the configuration, and the store that it reads.

use super::exit::Exit;
use super::talk::Failure;
use crate::config::{Config, Tenant};
use crate::domain::ids::TenantId;
use crate::store::{OpenError, Reader, Store};

/// The tenant that is named, or the only one. Ends the command as wrong usage, with the tenants there are, when it is not
/// configured or has to be named.
pub fn one_tenant<'a>(config: &'a Config, named: Option<&TenantId>) -> anyhow::Result<&'a Tenant> {
    match (named, config.tenants.as_slice()) {
        (Some(id), _) => config
            .tenant(id)
            .ok_or_else(|| usage(format!("there is no tenant {id} in the configuration: {}", known(config)))),
        (None, [only]) => Ok(only),
        (None, []) => {
            Err(Failure::because(Exit::BadConfiguration, "no tenant is configured: add one under [[tenants]]"))
        }
        (None, _) => Err(usage(format!("name a tenant with --tenant: {}", known(config)))),
    }
}

/// The tenant that the daemon is asked about: as [`one_tenant`], but a daemon elsewhere (`[client] url`) may serve tenants that are not
/// configured here, and says itself which it has.
pub fn tenant_asked(config: &Config, named: Option<&TenantId>) -> anyhow::Result<TenantId> {
    match named {
        Some(id) if config.client.url.is_some() => Ok(id.clone()),
        named => Ok(one_tenant(config, named)?.id.clone()),
    }
}

/// The tenant that is named, or all of them.
pub fn tenants<'a>(config: &'a Config, named: Option<&TenantId>) -> anyhow::Result<Vec<&'a Tenant>> {
    match named {
        Some(_) => Ok(vec![one_tenant(config, named)?]),
        None => Ok(config.tenants.iter().collect()),
    }
}

/// The store that the configuration names, to read alone; beside a running daemon or without one.
pub async fn open_reader(config: &Config) -> Result<Reader, OpenError> {
    Store::read(config.store.connection_url().expose()).await
}

/// Whether a daemon has the store, as far as the store knows: after a crash it still says so.
pub async fn daemon_runs(reader: &Reader) -> anyhow::Result<bool> {
    let row = reader.daemon().await?;
    Ok(row.is_some_and(|row| row.stopped_at.is_none() && row.listen.is_some()))
}

/// Wrong usage.
pub fn usage(text: String) -> anyhow::Error {
    Failure::because(Exit::Usage, text)
}

fn known(config: &Config) -> String {
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
