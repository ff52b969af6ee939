//! What the queries of many routes have: a tenant, the page of a list, and where to go back to.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::ids::TenantId;
use crate::store::PAGE_LIMIT;

/// The tenant of the request.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TenantQuery {
    /// The id of the tenant.
    pub(in crate::http) tenant: TenantId,
}

/// Returns the size of a page, 100 by default.
pub(in crate::http) fn page_size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(100).clamp(1, PAGE_LIMIT)
}

/// Returns the cursor of the next page, or `None` if this page is not full.
pub(in crate::http) fn next_cursor<T, C>(rows: &[T], page_size: u32, cursor: impl FnOnce(&T) -> C) -> Option<C> {
    rows.last().filter(|_| rows.len() == page_size as usize).map(cursor)
}

/// Whether an address is a path of this server; browsers take `//` and `/\` as the start of another server's address.
pub(in crate::http) fn is_local_path(path: &str) -> bool {
    let is_visible = path.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible && path.starts_with('/') && !path[1..].starts_with(['/', '\\'])
}
