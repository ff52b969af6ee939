//! A request for a page: the caller, the tenant, and the preferences.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};

use super::page_error::PageError;
use super::preferences;
use super::shell::{ConsolePage, Shell};
use super::times::TimeFormat;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::http::api::rules::approvals;
use crate::http::auth::{Caller, PageCaller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::state::ApiState;

/// A request for a page.
pub(in crate::http) struct PageRequest {
    pub(in crate::http::console) caller: Caller,
    /// The tenant that the address names, or the first that the caller can access.
    pub(in crate::http::console) tenant: TenantId,
    tenants: Vec<TenantId>,
    pub(in crate::http::console) times: TimeFormat,
    /// The pairs of the query.
    pub(in crate::http::console) query: Vec<(String, String)>,
    pub(in crate::http::console) now: UtcMicros,
    speed: u32,
    theme: &'static str,
    /// Path and query, to return to after setting a preference.
    current_path: String,
    /// How many approvals wait for the caller's decision.
    pending_approvals: Option<u64>,
}

impl FromRequestParts<ApiState> for PageRequest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Response> {
        let PageCaller(caller) = PageCaller::from_request_parts(parts, state).await?;
        let is_accessible = |tenant: &TenantId| caller.can_access_tenant(tenant);
        let tenants: Vec<_> = state.keepers.tenants().ids().into_iter().filter(is_accessible).collect();
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let requested = query.iter().find(|(key, _)| key == "tenant").map(|(_, tenant)| TenantId::new(tenant));
        let Some(tenant) = requested.or_else(|| tenants.first().cloned()) else {
            let detail = "you have access to no tenant; an administrator of accounts can give you one";
            return Err(PageError::from(Problem::from_code(Code::NoSuchTenant, detail)).into_response());
        };
        let (now, speed) = state.live.clock();
        let current_path = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let times = TimeFormat::from_headers(&parts.headers);
        let theme = preferences::theme(&parts.headers);
        let pending_approvals = approvals::count_pending(state, &caller, &tenant).await;
        Ok(Self { caller, tenant, tenants, times, query, now, speed, theme, current_path, pending_approvals })
    }
}

impl PageRequest {
    /// Checks that the caller may see the page.
    pub(in crate::http::console) fn check(&self, state: &ApiState, right: Right) -> Result<(), PageError> {
        Ok(self.caller.check(state, right, &self.tenant)?)
    }

    /// Checks that the caller may see a page that covers all teams of the tenant.
    pub(in crate::http::console) fn check_all_teams(&self, state: &ApiState, right: Right) -> Result<(), PageError> {
        Ok(self.caller.check_all_teams(state, right, &self.tenant)?)
    }

    /// Returns the first non-empty value of a key in the query.
    pub(in crate::http::console) fn value(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Whether the caller can access all teams of the tenant.
    pub(in crate::http::console) fn has_all_teams(&self) -> bool {
        self.caller.teams(&self.tenant).is_none()
    }

    /// Whether the caller has a right. This only decides what is shown; each handler checks the right again.
    pub(in crate::http::console) fn has_right(&self, right: Right) -> bool {
        self.caller.has_right(right)
    }

    /// Returns how many times faster than real time the daemon's clock runs.
    pub(in crate::http::console) const fn speed(&self) -> u32 {
        self.speed
    }

    /// Checks that the caller can access an agent. An agent of another team is reported as not existing.
    pub(in crate::http::console) async fn check_agent(
        &self,
        state: &ApiState,
        right: Right,
        agent: &AgentId,
    ) -> Result<(), PageError> {
        Ok(self.caller.check_agents(state, right, &self.tenant, std::slice::from_ref(agent)).await?)
    }

    /// Returns the frame of a page.
    pub(in crate::http::console) fn shell(&self, place: ConsolePage, title: impl Into<String>) -> Shell {
        Shell {
            title: title.into(),
            place,
            tenant: self.tenant.to_string(),
            tenants: self.tenants.iter().map(ToString::to_string).collect(),
            theme: self.theme,
            times: self.times.clone(),
            here: self.current_path.clone(),
            who: self.caller.name().to_string(),
            role: self.caller.role().map_or("", crate::domain::access::rights::Role::name),
            can_sign_out: self.caller.has_session(),
            places: ConsolePage::ALL.into_iter().filter(|place| self.caller.has_right(place.right())).collect(),
            waiting: self.pending_approvals,
            may_change: self.caller.has_right(Right::Change),
            now_ms: self.now.as_micros().div_euclid(1000),
            speed: self.speed,
        }
    }
}
