//! A request for a page: who asks, of which tenant, and how the page is to look.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};

use super::failure::Failure;
use super::preferences;
use super::shell::{Place, Shell};
use super::times::Times;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::rules::approvals;
use crate::http::auth::{Caller, Right, Visitor};
use crate::http::console::live::picture::Picture;
use crate::http::problem::{Code, Problem};

/// Who looks at a page, and how.
pub(in crate::http) struct Ask {
    pub(in crate::http::console) caller: Caller,
    /// The tenant that the address names, or the first within reach.
    pub(in crate::http::console) tenant: TenantId,
    tenants: Vec<TenantId>,
    pub(in crate::http::console) times: Times,
    /// The pairs of the query.
    pub(in crate::http::console) query: Vec<(String, String)>,
    pub(in crate::http::console) now: UtcMicros,
    speed: u32,
    theme: &'static str,
    /// Path and query, for the way back from a choice.
    here: String,
    /// How many changes of rules wait for the caller to decide.
    waiting: Option<u64>,
}

impl FromRequestParts<ApiState> for Ask {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Response> {
        let Visitor(caller) = Visitor::from_request_parts(parts, state).await?;
        let within_reach = |tenant: &TenantId| caller.reaches(tenant);
        let tenants: Vec<_> = state.door.tenants().ids().into_iter().filter(within_reach).collect();
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let named = query.iter().find(|(key, _)| key == "tenant").map(|(_, tenant)| TenantId::new(tenant));
        let Some(tenant) = named.or_else(|| tenants.first().cloned()) else {
            let detail = "you have access to no tenant; an administrator of accounts can give you one";
            return Err(Failure::from(Problem::of(Code::NoSuchTenant, detail)).into_response());
        };
        let (now, speed) = state.live.clock();
        let here = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let times = Times::of(&parts.headers);
        let theme = preferences::theme(&parts.headers);
        let waiting = approvals::waiting(state, &caller, &tenant).await;
        Ok(Self { caller, tenant, tenants, times, query, now, speed, theme, here, waiting })
    }
}

impl Ask {
    /// Refuses who may not see the page.
    pub(in crate::http::console) fn check(&self, state: &ApiState, right: Right) -> Result<(), Failure> {
        Ok(self.caller.check(state, right, &self.tenant)?)
    }

    /// The same of a page that is about all teams of the tenant.
    pub(in crate::http::console) fn check_whole(&self, state: &ApiState, right: Right) -> Result<(), Failure> {
        Ok(self.caller.check_whole(state, right, &self.tenant)?)
    }

    /// The first value of a key of the query that is not empty.
    pub(in crate::http::console) fn value(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Whether the caller sees all teams of the tenant.
    pub(in crate::http::console) fn sees_all_teams(&self) -> bool {
        self.caller.teams(&self.tenant).is_none()
    }

    /// Whether the caller may do this to the tenant, for drawing alone: every door asks again.
    pub(in crate::http::console) fn has(&self, right: Right) -> bool {
        self.caller.has(right)
    }

    /// The picture as far as the caller sees it; `None` while the keeper is away.
    pub(in crate::http::console) async fn picture(&self, state: &ApiState) -> Option<Picture> {
        Picture::look(state, self).await
    }

    /// Refuses an agent of a team that the caller does not see, as one that does not exist.
    pub(in crate::http::console) async fn check_agent(
        &self,
        state: &ApiState,
        right: Right,
        agent: &AgentId,
    ) -> Result<(), Failure> {
        Ok(self.caller.check_agents(state, right, &self.tenant, std::slice::from_ref(agent)).await?)
    }

    /// The frame of a page.
    pub(in crate::http::console) fn shell(&self, place: Place, title: impl Into<String>) -> Shell {
        Shell {
            title: title.into(),
            place,
            tenant: self.tenant.to_string(),
            tenants: self.tenants.iter().map(ToString::to_string).collect(),
            theme: self.theme,
            by_agent: self.times.by_agent(),
            zone: self.times.viewer_zone().to_owned(),
            told_zone: self.times.told_zone().to_owned(),
            here: self.here.clone(),
            who: self.caller.name().to_string(),
            role: self.caller.role().map_or("", crate::domain::access::rights::Role::name),
            signs_out: self.caller.by_cookie(),
            places: Place::ALL.into_iter().filter(|place| self.caller.has(place.right())).collect(),
            waiting: self.waiting,
            may_change: self.caller.has(Right::Change),
            now_ms: self.now.as_micros().div_euclid(1000),
            speed: self.speed,
        }
    }
}
