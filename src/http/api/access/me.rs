//! Who the caller is, and what the caller may do.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::access::rights::{Right, Role};
use crate::domain::ids::{TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::access::accounts::Kind;
use crate::http::ApiState;
use crate::http::auth::Caller;

/// The caller.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Me {
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
    tenants: Vec<TenantInReach>,
    /// When the session ends; null for a caller who has none.
    session: Option<SessionShown>,
    /// The caller has signed in with an account that has a password, which can be changed.
    has_password: bool,
}

/// A tenant within reach.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TenantInReach {
    /// Its id.
    id: TenantId,
    /// The teams that the caller is bound to; null for all of them.
    teams: Option<Vec<TeamName>>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SessionShown {
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
    responses((status = 200, description = "the caller", body = Me))
)]
pub(in crate::http) async fn show(State(state): State<ApiState>, caller: Caller) -> Json<Me> {
    let powers = caller.powers();
    let served = state.door.tenants().ids().into_iter().filter(|tenant| caller.reaches(tenant));
    let tenants = served.map(|id| {
        let teams = caller.teams(&id).map(|teams| teams.iter().cloned().collect());
        TenantInReach { id, teams }
    });
    let ends = caller.session().and_then(|session| state.accounts.session_ends(session));
    Json(Me {
        id: powers.id.to_string(),
        name: caller.name().to_string(),
        kind: match powers.kind {
            Kind::Configured | Kind::Token => "token",
            Kind::Account => "account",
            Kind::Proxy => "proxy",
        },
        role: caller.role(),
        rights: powers.rights.iter().copied().collect(),
        everywhere: powers.reach == crate::domain::access::rights::Reach::Everywhere,
        tenants: tenants.collect(),
        has_password: caller.session().is_some_and(|session| state.accounts.has_password(session)),
        session: ends.map(|ends| SessionShown { expires_at: ends.expires_at, idle_until: ends.idle_until }),
    })
}
