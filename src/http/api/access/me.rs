//! Who the caller is, and what the caller may do.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::access::rights::{Right, Role};
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::access::accounts::CredentialKind;
use crate::http::auth::Caller;
use crate::http::state::ApiState;

/// The caller and the caller's rights.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CallerResponse {
    /// The id that audit entries record for the caller.
    id: String,
    /// The caller's display name.
    name: String,
    /// How the caller is authenticated: `token`, `account`, or `proxy` for a user authenticated by an identity proxy.
    kind: &'static str,
    /// The caller's role; null if the rights were granted individually.
    role: Option<Role>,
    /// The caller's rights.
    rights: Vec<Right>,
    /// Whether the caller can access every tenant, including future ones.
    everywhere: bool,
    /// The configured tenants that the caller can access.
    tenants: Vec<CallerTenant>,
    /// The caller's session; null without one.
    session: Option<SessionResponse>,
    /// Whether the caller has signed in with an account that has a password, which can be changed.
    has_password: bool,
}

/// A tenant that the caller can access.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CallerTenant {
    /// The id of the tenant.
    id: TenantId,
    /// The names of the teams that the caller can access; null for all teams.
    teams: Option<Vec<TeamName>>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SessionResponse {
    /// The latest time at which the session ends, in real time.
    expires_at: UtcMicros,
    /// When the session ends unless it is used before, in real time.
    idle_until: UtcMicros,
}

/// Retrieve the caller
///
/// Returns who the caller is and what the caller may do.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "accounts",
    operation_id = "me",
    responses((status = 200, description = "The caller.", body = CallerResponse))
)]
pub(in crate::http) async fn show(State(state): State<ApiState>, caller: Caller) -> Json<CallerResponse> {
    let permissions = caller.permissions();
    let accessible = state.keepers.tenants().ids().into_iter().filter(|tenant| caller.can_access_tenant(tenant));
    let tenants = accessible.map(|id| {
        let teams = caller.teams(&id).map(|teams| teams.iter().cloned().collect());
        CallerTenant { id, teams }
    });
    let ends = caller.session().and_then(|session| state.accounts.session_expiry(session));
    Json(CallerResponse {
        id: permissions.id.to_string(),
        name: caller.name().to_string(),
        kind: match permissions.kind {
            CredentialKind::Configured | CredentialKind::Token => "token",
            CredentialKind::Account => "account",
            CredentialKind::Proxy => "proxy",
        },
        role: caller.role(),
        rights: permissions.rights.iter().copied().collect(),
        everywhere: permissions.scope == crate::domain::access::rights::Scope::Everywhere,
        tenants: tenants.collect(),
        has_password: caller.session().is_some_and(|session| state.accounts.has_password(session)),
        session: ends.map(|ends| SessionResponse { expires_at: ends.expires_at, idle_until: ends.idle_until }),
    })
}
