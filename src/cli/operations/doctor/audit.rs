//! The audit chains: whether the end of each and the newest signed head are valid. `audit verify` checks all of it.

use super::context::CheckContext;
use crate::cli::audit::{audited_tenants, fault_texts, local_public_keys};
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::domain::ids::TenantId;
use crate::domain::wording::count_with_noun;
use crate::store::ChainVerdict;

/// Checks the newest entries of every chain in the store.
pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let mut group = FindingGroup::new("audit");
    let Some(reader) = &context.reader else {
        group.skipped("chains", "no store can be read");
        return group.into_findings();
    };
    let unreadable = |error: anyhow::Error| (format!("{error:#}"), "shiftkeeper db check");
    let tenants = match audited_tenants(&context.config, reader, None).await {
        Ok(tenants) => tenants,
        Err(error) => {
            let (detail, advice) = unreadable(error);
            group.wrong("chains", detail, advice);
            return group.into_findings();
        }
    };
    let keys = local_public_keys(&context.config);
    for tenant in tenants {
        match reader.verify_tail(&tenant, &keys).await {
            Ok(verdict) => report_verdict(&mut group, &tenant, &verdict),
            Err(error) => {
                let (detail, advice) = unreadable(error.into());
                group.wrong(chain_check_id(&tenant), detail, advice);
            }
        }
    }
    group.into_findings()
}

fn chain_check_id(tenant: &TenantId) -> String {
    format!("chain of {tenant}")
}

fn report_verdict(group: &mut FindingGroup, tenant: &TenantId, verdict: &ChainVerdict) {
    let bad: Vec<_> = fault_texts(verdict.first_bad.as_ref(), &verdict.bad_heads).collect();
    if bad.is_empty() {
        let entries = count_with_noun(verdict.entries, "entry");
        let detail = format!("its end holds ({entries}); `shiftkeeper audit verify` checks the whole chain");
        group.ok(chain_check_id(tenant), detail);
    } else {
        let advice = format!(
            "it was changed: keep a copy of the store, and see how far it holds with \
             `shiftkeeper audit verify --tenant {tenant}`, with heads that were kept elsewhere (docs/audit.md)"
        );
        group.wrong(chain_check_id(tenant), bad.join("; "), advice);
    }
}
