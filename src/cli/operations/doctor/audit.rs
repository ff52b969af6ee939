//! The audit chains: does the end of each hold, and the newest signed head. All of it is the business of `audit verify`.

use crate::cli::audit::{audited, keys_here};
use crate::cli::shared::finding::{Finding, Group};
use crate::config::Config;
use crate::domain::ids::TenantId;
use crate::domain::words::count;
use crate::store::{ChainVerdict, Reader};

/// Looks at the newest entries of every chain in the store.
pub(super) async fn look(config: &Config, reader: Option<&Reader>) -> Vec<Finding> {
    let mut group = Group::new("audit");
    let Some(reader) = reader else {
        group.skipped("chains", "no store can be read");
        return group.done();
    };
    let unreadable = |error: anyhow::Error| (format!("{error:#}"), "shiftkeeper db check");
    let tenants = match audited(config, reader, None).await {
        Ok(tenants) => tenants,
        Err(error) => {
            let (detail, advice) = unreadable(error);
            group.wrong("chains", detail, advice);
            return group.done();
        }
    };
    let keys = keys_here(config);
    for tenant in tenants {
        match reader.verify_tail(&tenant, &keys).await {
            Ok(verdict) => tell(&mut group, &tenant, &verdict),
            Err(error) => {
                let (detail, advice) = unreadable(error.into());
                group.wrong(id_of(&tenant), detail, advice);
            }
        }
    }
    group.done()
}

fn id_of(tenant: &TenantId) -> String {
    format!("chain of {tenant}")
}

fn tell(group: &mut Group, tenant: &TenantId, verdict: &ChainVerdict) {
    let entry = verdict.first_bad.iter().map(|bad| format!("entry {} does not hold: {}", bad.seq, bad.reason));
    let heads = verdict.bad_heads.iter();
    let heads = heads.map(|bad| format!("the head of entry {} does not hold: {}", bad.seq, bad.reason));
    let bad: Vec<_> = entry.chain(heads).collect();
    if bad.is_empty() {
        let entries = count(verdict.entries, "entry");
        let detail = format!("its end holds ({entries}); `shiftkeeper audit verify` checks the whole chain");
        group.ok(id_of(tenant), detail);
    } else {
        let advice = format!(
            "somebody or something has changed it: keep a copy of the store as it is, and see how far it holds with \
             `shiftkeeper audit verify --tenant {tenant}`, with heads that were kept elsewhere (docs/audit.md)"
        );
        group.wrong(id_of(tenant), bad.join("; "), advice);
    }
}
