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

/// The caller.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CallerResponse {
    /// What audit entries call the caller.
    id: String,
    /// The caller's name for people.
    name: String,
    /// `token`, `account`, or `proxy` for somebody for whom an identity proxy vouches.
    kind: &'static str,
    /// The role; null where the rights are given by name.
    role: Option<Role>,
    /// What the caller may do.
    rights: Vec<Right>,
    /// The caller reaches every tenant, also those to come.
    everywhere: bool,
    /// The tenants within reach that are served.
    tenants: Vec<CallerTenant>,
    /// When the session ends; null for a caller who has none.
    session: Option<SessionResponse>,
    /// The caller has signed in with an account that has a password, which can be changed.
    has_password: bool,
}

/// A tenant within reach.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CallerTenant {
    /// Its id.
    id: TenantId,
    /// The teams that the caller is bound to; null for all of them.
    teams: Option<Vec<TeamName>>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SessionResponse {
    /// It ends then at the latest, in real time.
    expires_at: UtcMicros,
    /// And then unless it is used before.
    idle_until: UtcMicros,
}

/// Who am I
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "accounts",
    operation_id = "me",
    responses((status = 200, description = "the caller", body = CallerResponse))
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
