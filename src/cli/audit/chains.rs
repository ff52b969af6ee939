//! What commands about audit chains have in common: which tenants have one, the keys that this host knows for their
//! signed heads, and the words for faults.

use crate::cli::shared::messages::print_message;
use crate::cli::shared::scope::usage_error;
use crate::config::Config;
use crate::domain::audit::InvalidEntry;
use crate::domain::audit::head::PublicKey;
use crate::domain::ids::TenantId;
use crate::engine::audit::heads::key;
use crate::store::{BadHead, Reader};

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

/// Describes the faults of a chain: its first bad entry, and its bad heads.
pub(in crate::cli) fn fault_texts<'a>(
    first_bad: Option<&'a InvalidEntry>,
    bad_heads: &'a [BadHead],
) -> impl Iterator<Item = String> + 'a {
    let entry = first_bad.map(|bad| format!("entry {} is invalid: {}", bad.seq, bad.reason));
    let heads = bad_heads.iter().map(|bad| format!("the head of entry {} is invalid: {}", bad.seq, bad.reason));
    entry.into_iter().chain(heads)
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
