//! A request with a body: its caller, its tenant and its idempotency key.
//!
//! A handler that takes an [`AuthorizedRequest`] need not check the right of its route again: it has been checked for
//! the tenant that the body names. Only the handler knows which agents and teams are meant.

use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::idempotency::KeyedJson;
use crate::domain::ids::TenantId;
use crate::engine::changes::request::IdempotencyKey;
use crate::http::auth::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::routes::route::AccessRequirement;
use crate::http::state::ApiState;

/// A body that names its tenant.
pub(in crate::http) trait HasTenant {
    fn tenant(&self) -> &TenantId;
}

/// A request whose caller has the right of the route at the tenant.
pub(in crate::http) struct AuthorizedRequest<T> {
    pub(in crate::http) caller: Caller,
    pub(in crate::http) tenant: TenantId,
    pub(in crate::http) body: T,
    /// The idempotency key with a hash of the request; `None` if the request has no key.
    pub(in crate::http) key: Option<IdempotencyKey>,
}

impl<T> FromRequest<ApiState> for AuthorizedRequest<T>
where
    T: HasTenant + Serialize + DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Some(AccessRequirement::Right(right)) = parts.extensions.get::<AccessRequirement>().copied() else {
            tracing::error!(path = parts.uri.path(), "defect: a request on a route that needs no right");
            return Err(Problem::from_code(Code::Internal, "nobody has the right for this request; see the log"));
        };
        let caller = <Caller as FromRequestParts<ApiState>>::from_request_parts(&mut parts, state).await?;
        let KeyedJson::<T> { body, key } = KeyedJson::from_request(Request::from_parts(parts, body), state).await?;
        caller.check(state, right, body.tenant())?;
        Ok(Self { caller, tenant: body.tenant().clone(), body, key })
    }
}

/// Implements `HasTenant` for bodies with a field `tenant`.
macro_rules! has_tenant {
    ($($body:ty),+ $(,)?) => {
        $(impl $crate::http::request::authorized_request::HasTenant for $body {
            fn tenant(&self) -> &$crate::domain::ids::TenantId {
                &self.tenant
            }
        })+
    };
}
pub(in crate::http) use has_tenant;
