//! Which tenants have an audit chain, and the keys that this host knows for their signed heads.

use crate::cli::shared::messages::print_message;
use crate::cli::shared::scope::usage_error;
use crate::config::Config;
use crate::domain::audit::head::PublicKey;
use crate::domain::ids::TenantId;
use crate::engine::audit::heads::key;
use crate::store::Reader;

/// Returns the named tenant, or all tenants of the configuration and those with an audit chain in the store.
pub(in crate::cli) async fn audited_tenants(
    config: &Config,
    reader: &Reader,
    named: Option<TenantId>,
) -> anyhow::Result<Vec<TenantId>> {
    let mut tenants: Vec<TenantId> = config.tenants.iter().map(|tenant| tenant.id.clone()).collect();
    tenants.extend(reader.audited_tenants().await?);
    tenants.sort();
    tenants.dedup();
    match named {
        None => Ok(tenants),
        Some(named) if tenants.contains(&named) => Ok(vec![named]),
        Some(named) => {
            let known: Vec<_> = tenants.iter().map(TenantId::as_str).collect();
            Err(usage_error(format!(
                "neither the configuration nor the store has a tenant {named}; there are: {}",
                known.join(", ")
            )))
        }
    }
}

/// Returns the public key of this host, if it can be read, and the former keys.
pub(in crate::cli) fn local_public_keys(config: &Config) -> Vec<PublicKey> {
    let mut keys = config.audit.former_keys.clone();
    match key::read(&config.audit.key_file(&config.store)) {
        Ok(own) => keys.extend(own.map(|key| key.public_key())),
        Err(error) => print_message(format!("warning: {error}")),
    }
    keys
}
