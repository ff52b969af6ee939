//! Imports of required staff.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schedules::ImportError;
use crate::clock::BoxFuture;
use crate::domain::ids::TenantId;

/// Imports files of required staff.
///
/// Defined here and implemented by `app`, because a request handler never writes to the store.
pub trait StaffingImporter: Send + Sync {
    /// Imports a file for a tenant, as a whole or not at all.
    fn import_staffing(&self, request: StaffingImportRequest) -> BoxFuture<Result<StaffingImportResult, ImportError>>;
}

/// A file of required staff to import.
#[derive(Clone, Debug)]
pub struct StaffingImportRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The file's name, for people.
    pub name: String,
    /// The file's content.
    pub bytes: Arc<[u8]>,
    /// The IANA time zone of local times and days; without it, `import.default_zone`.
    pub zone: Option<String>,
    /// Who makes the request.
    pub actor: String,
}

/// The result of an import of required staff.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StaffingImportResult {
    /// The id of the tenant.
    pub tenant: TenantId,
    /// Whether the import changed anything; false if the same figures were already stored.
    pub changed: bool,
    /// The number of queues in the file.
    pub queues: usize,
    /// The number of rows in the file.
    pub rows: usize,
    /// The first local day in the file.
    pub first_day: String,
    /// The last local day in the file.
    pub last_day: String,
    /// The IANA time zone of the days.
    pub zone: String,
    /// Warnings about the file that did not prevent the import.
    pub warnings: Vec<String>,
}
