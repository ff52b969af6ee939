//! Makes a signed head of a tenant's audit chain, so that none is much older than the job's calendar has it. When many entries
//! gather sooner, [`crate::engine::audit::heads::run`] does not wait for it.

use super::Job;
use crate::clock::BoxFuture;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::engine::audit::heads::{self, HeadParts};

/// The job.
#[derive(Clone)]
pub struct AuditHead {
    /// What heads are made from.
    pub heads: HeadParts,
    /// Of whose chain.
    pub tenant: TenantId,
}

impl Job for AuditHead {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move {
            let made = heads::make(&job.heads, &job.tenant).await?;
            Ok(if made == 0 {
                "nothing was appended".to_owned()
            } else {
                format!("signed {}", count(made as u64, "head"))
            })
        })
    }
}
