//! What somebody asks for in a body: who asks, about which tenant, and the key under which it is done once.
//!
//! Whoever has a [`Wish`] need not ask for the right of the route any more: it was asked for at the tenant that the body names. Which
//! agents and teams are meant only the handler knows.

use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ApiState;
use super::auth::Caller;
use super::extract::Json;
use super::problem::{Code, Problem};
use super::request_key::RequestKey;
use super::routes::Needs;
use crate::domain::ids::TenantId;
use crate::engine::changes::door::IdempotencyKey;

/// A body that names the tenant that it is about.
pub(super) trait OfTenant {
    fn tenant(&self) -> &TenantId;
}

/// A wish of somebody who may have it.
pub(super) struct Wish<T> {
    pub(super) caller: Caller,
    pub(super) tenant: TenantId,
    pub(super) body: T,
    /// With a hash of all that was asked; none where the request has no key.
    pub(super) key: Option<IdempotencyKey>,
}

impl<T> FromRequest<ApiState> for Wish<T>
where
    T: OfTenant + Serialize + DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Some(Needs::Right(right)) = parts.extensions.get::<Needs>().copied() else {
            tracing::error!(path = parts.uri.path(), "defect: a wish on a route that needs no right");
            return Err(Problem::of(Code::Internal, "nobody may ask for this; see the log"));
        };
        let caller = <Caller as FromRequestParts<ApiState>>::from_request_parts(&mut parts, state).await?;
        let key = RequestKey::from_request_parts(&mut parts, state).await?;
        let Json(body) = Json::<T>::from_request(Request::from_parts(parts, body), state).await?;
        caller.check(state, right, body.tenant())?;
        let (tenant, key) = (body.tenant().clone(), key.with_json(&body)?);
        Ok(Self { caller, tenant, body, key })
    }
}

/// These bodies name their tenant in a field of that name.
macro_rules! of_tenant {
    ($($body:ty),+ $(,)?) => {
        $(impl $crate::http::wish::OfTenant for $body {
            fn tenant(&self) -> &$crate::domain::ids::TenantId {
                &self.tenant
            }
        })+
    };
}
pub(super) use of_tenant;
