//! Makes a signed head of a tenant's audit chain, so that no head is much older than the job's interval.
//! [`crate::engine::audit::heads::run`] does so earlier when many entries have gathered.

use super::Job;
use crate::clock::BoxFuture;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::audit::heads::{self, HeadParts};

/// The job `audit-head`.
#[derive(Clone)]
pub struct AuditHead {
    /// The dependencies for making heads.
    pub heads: HeadParts,
    /// The tenant whose chain is signed.
    pub tenant: TenantId,
}

impl Job for AuditHead {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move {
            let made = heads::make_heads(&job.heads, &job.tenant).await?;
            Ok(if made == 0 {
                "nothing was appended".to_owned()
            } else {
                format!("signed {}", count_with_noun(made as u64, "head"))
            })
        })
    }
}
