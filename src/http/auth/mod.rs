//! Authentication and access rights: who the caller is, for which tenants, and with which rights. A caller has a bearer
//! token from the configuration or the store, has signed in with a browser, or is vouched for by an identity proxy.
//!
//! All data about callers is in memory, here or in `engine::access::accounts`, so no request waits for the store to
//! authenticate.

mod configured_access;
mod connection_info;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;

use super::problem::{Code, Problem};
use super::state::ApiState;
use crate::domain::access::rights::{Requester, Role};
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::engine::access::accounts::{AccountStatus, CredentialKind, Permissions};

pub use crate::domain::access::rights::Right;
pub use configured_access::{ConfiguredAccess, ConfiguredToken, GroupRole, TrustedProxy};
pub(super) use connection_info::{ConnectionInfo, Peer, ProxyIdentity, SECURE_SESSION_COOKIE, TransportSecurity};

/// How a caller is authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Credential {
    /// A token from the configuration, by its hash.
    Configured([u8; 32]),
    /// A stored token.
    Stored(Hash),
    /// A session.
    Session(Hash),
    /// The statement of a trusted proxy.
    Proxy { user: Arc<str>, groups: Arc<[String]> },
}

/// The caller of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    permissions: Arc<Permissions>,
    credential: Credential,
    source: Option<std::net::IpAddr>,
}

impl Caller {
    /// Returns the caller who opens a link to a schedule board, who may read what the board shows; `None` if the link was
    /// revoked, has expired or is of another kind.
    pub(super) fn of_board_link(state: &ApiState, token: &str) -> Option<Self> {
        let (hash, permissions) = state.accounts.authenticate_token(token)?;
        if !permissions.rights.contains(&Right::ViewBoard) {
            return None;
        }
        let permissions = Permissions { rights: BTreeSet::from([Right::Read]), ..(*permissions).clone() };
        Some(Self { permissions: Arc::new(permissions), credential: Credential::Stored(hash), source: None })
    }

    /// Returns the id of the token or account, as the audit log names it.
    pub(super) fn id(&self) -> Arc<str> {
        self.permissions.id.clone()
    }

    /// Returns the caller's name, for people.
    pub(super) fn name(&self) -> Arc<str> {
        self.permissions.name.clone()
    }

    /// Returns who makes the request, and from which address.
    pub(super) fn requester(&self) -> Requester {
        Requester { id: self.id(), source: self.source }
    }

    /// Returns all permissions of the caller.
    pub(super) const fn permissions(&self) -> &Arc<Permissions> {
        &self.permissions
    }

    /// Returns the caller's role, or `None` if the rights are listed by name.
    pub(super) fn role(&self) -> Option<Role> {
        self.permissions.role
    }

    /// Whether the caller uses a browser with a session, which can be ended.
    pub const fn has_session(&self) -> bool {
        matches!(self.credential, Credential::Session(_))
    }

    /// Returns the caller's session.
    pub(super) const fn session(&self) -> Option<&Hash> {
        match &self.credential {
            Credential::Session(hash) => Some(hash),
            Credential::Configured(_) | Credential::Stored(_) | Credential::Proxy { .. } => None,
        }
    }

    /// Returns a name that no two callers share, for example to separate idempotency keys: an account and a token may
    /// come to have the same id.
    pub(super) fn idempotency_owner(&self) -> Arc<str> {
        match &self.credential {
            Credential::Configured(_) => self.id(),
            Credential::Stored(_) => format!("token/{}", self.permissions.id).into(),
            Credential::Session(_) => format!("account/{}", self.permissions.id).into(),
            Credential::Proxy { user, .. } => format!("proxy/{user}").into(),
        }
    }

    /// Returns the permissions that the caller has now, or `None` if there are none any more.
    fn current_permissions(&self, state: &ApiState) -> Option<Arc<Permissions>> {
        match &self.credential {
            Credential::Configured(hash) => state.tokens.borrow().find_token(hash),
            Credential::Stored(hash) => state.accounts.token_permissions(hash),
            Credential::Session(hash) => state.accounts.session_permissions(hash),
            Credential::Proxy { user, groups } => proxy_permissions(state, user, groups),
        }
    }

    /// Whether the caller still has this right at these tenants, for agents of the same teams.
    pub(super) fn is_still_permitted(&self, state: &ApiState, right: Right, tenants: &BTreeSet<TenantId>) -> bool {
        self.current_permissions(state).is_some_and(|now| {
            let same_scope = |tenant| now.scope.covers_tenant(tenant) && now.scope.teams(tenant) == self.teams(tenant);
            now.rights.contains(&right) && tenants.iter().all(same_scope)
        })
    }

    /// Records that the caller is watching, so that the session does not become idle.
    pub(super) fn touch_session(&self, state: &ApiState) {
        if let Some(session) = self.session() {
            state.accounts.record_session_use(session);
        }
    }

    /// Checks that the caller has this right at the tenant. A tenant that the caller cannot access is reported as not
    /// existing.
    pub(super) fn check(&self, state: &ApiState, right: Right, tenant: &TenantId) -> Result<(), Problem> {
        if !self.can_access_tenant(tenant) || !state.keepers.tenants().contains(tenant) {
            let detail = format!("there is no tenant {tenant} that {} can access", self.described_id());
            return Err(Problem::from_code(Code::NoSuchTenant, detail));
        }
        self.require(right)
    }

    /// Checks that the caller has this right for these agents of a tenant. For a caller restricted to teams, an agent
    /// of another team is reported as not existing.
    pub(super) async fn check_agents(
        &self,
        state: &ApiState,
        right: Right,
        tenant: &TenantId,
        agents: &[AgentId],
    ) -> Result<(), Problem> {
        self.check(state, right, tenant)?;
        let Some(teams) = self.teams(tenant) else { return Ok(()) };
        let known: HashMap<AgentId, Option<TeamName>> =
            state.reader.agents(tenant).await?.into_iter().map(|stored| (stored.agent.id, stored.agent.team)).collect();
        let is_visible =
            |agent: &&AgentId| known.get(*agent).and_then(Option::as_ref).is_some_and(|team| teams.contains(team));
        match agents.iter().find(|agent| !is_visible(agent)) {
            None => Ok(()),
            Some(agent) => {
                let detail = format!("tenant {tenant} has no agent {agent} that {} can access", self.described_id());
                Err(Problem::from_code(Code::NoSuchAgent, detail))
            }
        }
    }

    /// Returns the agents of a tenant that the caller may see, or `None` for all of them.
    pub(super) async fn visible_agents(
        &self,
        state: &ApiState,
        tenant: &TenantId,
    ) -> Result<Option<BTreeSet<AgentId>>, Problem> {
        let Some(teams) = self.teams(tenant) else { return Ok(None) };
        let agents = state.reader.agents(tenant).await?.into_iter().map(|stored| stored.agent);
        let visible = agents.filter(|agent| agent.team.as_ref().is_some_and(|team| teams.contains(team)));
        Ok(Some(visible.map(|agent| agent.id).collect()))
    }

    /// Whether the caller can access the tenant.
    pub(super) fn can_access_tenant(&self, tenant: &TenantId) -> bool {
        self.permissions.scope.covers_tenant(tenant)
    }

    /// Returns the teams of the tenant that the caller is restricted to, or `None` for all of them.
    pub(super) fn teams(&self, tenant: &TenantId) -> Option<&BTreeSet<TeamName>> {
        self.permissions.scope.teams(tenant)
    }

    /// Whether the caller can access agents of this team; an agent without a team takes access to all teams.
    pub(super) fn has_team(&self, tenant: &TenantId, team: Option<&TeamName>) -> bool {
        self.permissions.scope.covers_team(tenant, team)
    }

    /// Like [`check`](Self::check), for requests about a tenant as a whole, which take access to all of its teams.
    pub(super) fn check_all_teams(&self, state: &ApiState, right: Right, tenant: &TenantId) -> Result<(), Problem> {
        self.check(state, right, tenant)?;
        if self.teams(tenant).is_none() {
            return Ok(());
        }
        let detail = format!("{} is limited to teams, and this covers all of tenant {tenant}", self.described_id());
        Err(Problem::from_code(Code::NotPermitted, detail))
    }

    /// Whether the caller has a right, whatever the tenant.
    pub(super) fn has_right(&self, right: Right) -> bool {
        self.permissions.rights.contains(&right)
    }

    /// Checks that the caller has a right, whatever the tenant.
    pub(super) fn require(&self, right: Right) -> Result<(), Problem> {
        if self.has_right(right) {
            return Ok(());
        }
        let remedy = match self.permissions.kind {
            CredentialKind::Configured => "give it the right in [[server.tokens]]",
            CredentialKind::Token => "make one that may with `shiftkeeper token create`",
            CredentialKind::Account => "an administrator can give it another role",
            CredentialKind::Proxy => "[[server.proxy.roles]] says what the groups give",
        };
        let detail = format!("{} may not {}; {remedy}", self.described_id(), right.name());
        Err(Problem::from_code(Code::NotPermitted, detail))
    }

    fn described_id(&self) -> String {
        let kind = match self.permissions.kind {
            CredentialKind::Configured | CredentialKind::Token => "the token",
            CredentialKind::Account => "the account",
            CredentialKind::Proxy => "the user",
        };
        format!("{kind} {}", self.permissions.id)
    }
}

/// Returns the permissions of a user for whom a proxy vouches: those of the user's account here, or else those of the
/// groups.
fn proxy_permissions(state: &ApiState, user: &Arc<str>, groups: &[String]) -> Option<Arc<Permissions>> {
    match state.accounts.status(user) {
        AccountStatus::Active(powers) => Some(powers),
        AccountStatus::Disabled => None,
        AccountStatus::NotFound => state.tokens.borrow().proxy().group_permissions(user, groups),
    }
}

/// The WebSocket subprotocol of `/live`.
pub(super) const SUBPROTOCOL: &str = "shiftkeeper.live.v1";

/// The prefix of a token that is sent as a subprotocol.
const TOKEN_PROTOCOL: &str = "bearer.";

/// Returns the token of a request, from a header that no browser sends by itself.
pub(super) fn request_token(headers: &HeaderMap) -> Option<String> {
    bearer_token(headers).or_else(|| subprotocol_token(headers))
}

fn bearer_token(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// Returns the token that is sent as a WebSocket subprotocol.
///
/// A browser cannot set headers of a WebSocket. It offers `bearer.` and the token in base64url in addition to the real
/// subprotocol. In the address the token would appear in the logs of everything on the way.
fn subprotocol_token(headers: &HeaderMap) -> Option<String> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let encoded =
        offered.flat_map(|value| value.split(',')).find_map(|name| name.trim().strip_prefix(TOKEN_PROTOCOL))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?).ok()
}

/// Returns the cookie of this name. If there are two, somebody has added one to ours, and neither is used.
pub(super) fn cookie_value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

/// Authenticates the caller of a request.
fn authenticate(parts: &Parts, state: &ApiState) -> Result<Option<Caller>, Problem> {
    let (connection, token) = {
        let tokens = state.tokens.borrow();
        (ConnectionInfo::from_parts(parts, tokens.proxy()), request_token(&parts.headers))
    };
    let source = connection.source;
    let caller = |powers, credential| Some(Caller { permissions: powers, credential, source });
    if let Some(token) = &token {
        let hash = configured_access::token_digest(token);
        if let Some(powers) = state.tokens.borrow().find_token(&hash) {
            return Ok(caller(powers, Credential::Configured(hash)));
        }
        if let Some((hash, powers)) = state.accounts.authenticate_token(token) {
            return Ok(caller(powers, Credential::Stored(hash)));
        }
    }
    match connection.proxy_identity {
        ProxyIdentity::User { user, groups } => {
            let user: Arc<str> = user.into();
            let powers = proxy_permissions(state, &user, &groups).ok_or_else(|| no_role_problem(&user))?;
            return Ok(caller(powers, Credential::Proxy { user, groups: groups.into() }));
        }
        ProxyIdentity::Untrusted => {
            let detail = "this request says who has signed in, and comes from an address that [server.proxy] peers does not name";
            return Err(Problem::from_code(Code::NotAProxy, detail));
        }
        ProxyIdentity::Malformed => {
            return Err(Problem::bad_request("the proxy names more than one user, or one that cannot be read"));
        }
        ProxyIdentity::None => {}
    }
    if token.is_some() {
        let detail = "this token is none of the daemon at this address, or not any more: it may be revoked or expired";
        return Err(Problem::from_code(Code::Unauthorized, detail));
    }
    let cookie_name = connection.transport.session_cookie_name();
    let value = cookie_name.as_deref().and_then(|name| cookie_value(&parts.headers, name));
    Ok(value
        .and_then(|value| state.accounts.authenticate_session(value))
        .and_then(|(hash, powers)| caller(powers, Credential::Session(hash))))
}

fn no_role_problem(user: &str) -> Problem {
    let detail =
        format!("{user} has no account here that counts, and no group that [[server.proxy.roles]] gives a role");
    Problem::from_code(Code::NotPermitted, detail)
}

fn unauthorized_problem() -> Problem {
    let detail = "send `Authorization: Bearer TOKEN` with a token of [[server.tokens]] or of `shiftkeeper token create`, or sign in";
    Problem::from_code(Code::Unauthorized, detail)
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        // The check of the route has already authenticated the caller.
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        authenticate(parts, state)?.ok_or_else(unauthorized_problem)
    }
}

/// For pages that are public and show who has signed in. An invalid token or proxy statement is ignored.
impl OptionalFromRequestParts<ApiState> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Option<Self>, Infallible> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(Some(caller.clone()));
        }
        Ok(authenticate(parts, state).ok().flatten())
    }
}

/// The caller of a page; somebody who has not signed in is redirected to the sign-in page.
#[derive(Clone, Debug)]
pub struct PageCaller(pub Caller);

impl FromRequestParts<ApiState> for PageCaller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Response> {
        match <Caller as FromRequestParts<ApiState>>::from_request_parts(parts, state).await {
            Ok(caller) => Ok(Self(caller)),
            Err(problem) => Err(redirect_to_sign_in(parts, problem)),
        }
    }
}

/// Redirects a browser without a signed-in user to the sign-in page; other clients get the problem.
pub(super) fn redirect_to_sign_in(parts: &Parts, problem: Problem) -> Response {
    if problem.code() != Code::Unauthorized.name() || request_token(&parts.headers).is_some() {
        return problem.into_response();
    }
    let path = match parts.method {
        Method::GET | Method::HEAD => parts.uri.path_and_query().map_or("/", |place| place.as_str()),
        _ => "/",
    };
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", path).finish();
    Redirect::to(&format!("/sign-in?{query}")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_second_session_cookie_invalidates_both() {
        for (cookies, found) in [
            (&["a=1; shiftkeeper-80=x; b=2"][..], Some("x")),
            (&["a=1", "shiftkeeper-80=x"], Some("x")),
            (&["shiftkeeper-80=x; shiftkeeper-80=y"], None),
            (&["shiftkeeper-80=x", "shiftkeeper-80=y"], None),
            (&["shiftkeeper-8080=x"], None),
            (&["shiftkeeper-80"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in cookies {
                headers.append(header::COOKIE, HeaderValue::from_static(value));
            }
            assert_eq!(cookie_value(&headers, "shiftkeeper-80"), found, "{cookies:?}");
        }
    }
}
