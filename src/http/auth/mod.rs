//! Who is asking, for which tenants, with which rights: a bearer token of the configuration or a stored one, somebody who signed in
//! with a browser, or somebody for whom an identity proxy vouches.
//!
//! What is known of callers is in memory, here or in `engine::access::accounts`; no request waits for the store to be known.

mod arrival;
mod known;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;

use super::ApiState;
use super::problem::{Code, Problem};
use crate::domain::access::rights::{Asker, Role};
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::engine::access::accounts::{Kind, Powers, Standing};

pub use crate::domain::access::rights::Right;
pub(super) use arrival::{Arrival, COOKIE, Identity, Line, Peer};
pub use known::{Access, GroupRole, Proxy, Tokens};

/// What a caller is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Credential {
    /// A token of the configuration, by its hash.
    Configured([u8; 32]),
    /// A stored token.
    Stored(Hash),
    /// A session.
    Session(Hash),
    /// The word of a proxy.
    Proxy { user: Arc<str>, groups: Arc<[String]> },
}

/// Whoever asks.
#[derive(Clone, Debug)]
pub struct Caller {
    powers: Arc<Powers>,
    credential: Credential,
    source: Option<std::net::IpAddr>,
}

impl Caller {
    /// The name of the token or the account, as audit entries have it.
    pub(super) fn id(&self) -> Arc<str> {
        self.powers.id.clone()
    }

    /// The caller's name for people.
    pub(super) fn name(&self) -> Arc<str> {
        self.powers.name.clone()
    }

    /// Who asks, and from where.
    pub(super) fn asker(&self) -> Asker {
        Asker { id: self.id(), source: self.source }
    }

    /// All that the caller has.
    pub(super) const fn powers(&self) -> &Arc<Powers> {
        &self.powers
    }

    /// The caller's role; none where the rights are given by name.
    pub(super) fn role(&self) -> Option<Role> {
        self.powers.role
    }

    /// Whether a browser asks, with a session of its own that can be ended.
    pub const fn by_cookie(&self) -> bool {
        matches!(self.credential, Credential::Session(_))
    }

    /// The caller's session.
    pub(super) const fn session(&self) -> Option<&Hash> {
        match &self.credential {
            Credential::Session(hash) => Some(hash),
            Credential::Configured(_) | Credential::Stored(_) | Credential::Proxy { .. } => None,
        }
    }

    /// Names the caller where two must never be taken for one, such as the keys of repeated requests: an account and a token may come
    /// to have one name.
    pub(super) fn owner(&self) -> Arc<str> {
        match &self.credential {
            Credential::Configured(_) => self.id(),
            Credential::Stored(_) => format!("token/{}", self.powers.id).into(),
            Credential::Session(_) => format!("account/{}", self.powers.id).into(),
            Credential::Proxy { user, .. } => format!("proxy/{user}").into(),
        }
    }

    /// What the caller has now; `None` when that is nothing any more.
    fn now(&self, state: &ApiState) -> Option<Arc<Powers>> {
        match &self.credential {
            Credential::Configured(hash) => state.tokens.borrow().find(hash),
            Credential::Stored(hash) => state.accounts.token_of(hash),
            Credential::Session(hash) => state.accounts.session_of(hash),
            Credential::Proxy { user, groups } => vouched(state, user, groups),
        }
    }

    /// Whether the caller may still do this at these tenants, for agents of the same teams.
    pub(super) fn may_still(&self, state: &ApiState, right: Right, tenants: &BTreeSet<TenantId>) -> bool {
        self.now(state).is_some_and(|now| {
            let same = |tenant| now.reach.has(tenant) && now.reach.teams(tenant) == self.teams(tenant);
            now.rights.contains(&right) && tenants.iter().all(same)
        })
    }

    /// The caller looks on: a session does not go idle by that.
    pub(super) fn looks_on(&self, state: &ApiState) {
        if let Some(session) = self.session() {
            state.accounts.touch(session);
        }
    }

    /// Whether the caller may do this to the tenant. A tenant out of reach looks like one that does not exist.
    pub(super) fn check(&self, state: &ApiState, right: Right, tenant: &TenantId) -> Result<(), Problem> {
        if !self.reaches(tenant) || !state.door.tenants().has(tenant) {
            let detail = format!("there is no tenant {tenant} within reach of {}", self.called());
            return Err(Problem::of(Code::NoSuchTenant, detail));
        }
        self.may(right)
    }

    /// Whether the caller may do this to the agents of a tenant. For a caller who is bound to teams, an agent of another team looks
    /// like one that does not exist.
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
        let within =
            |agent: &&AgentId| known.get(*agent).and_then(Option::as_ref).is_some_and(|team| teams.contains(team));
        match agents.iter().find(|agent| !within(agent)) {
            None => Ok(()),
            Some(agent) => {
                let detail = format!("there is no agent {agent} within reach of {} at tenant {tenant}", self.called());
                Err(Problem::of(Code::NoSuchAgent, detail))
            }
        }
    }

    /// The agents of a tenant whom the caller may see; `None` is all of them.
    pub(super) async fn visible_agents(
        &self,
        state: &ApiState,
        tenant: &TenantId,
    ) -> Result<Option<BTreeSet<AgentId>>, Problem> {
        let Some(teams) = self.teams(tenant) else { return Ok(None) };
        let agents = state.reader.agents(tenant).await?.into_iter().map(|stored| stored.agent);
        let within = agents.filter(|agent| agent.team.as_ref().is_some_and(|team| teams.contains(team)));
        Ok(Some(within.map(|agent| agent.id).collect()))
    }

    /// Whether the tenant is one of the caller's.
    pub(super) fn reaches(&self, tenant: &TenantId) -> bool {
        self.powers.reach.has(tenant)
    }

    /// The teams of the tenant that the caller is bound to; `None` is all of them.
    pub(super) fn teams(&self, tenant: &TenantId) -> Option<&BTreeSet<TeamName>> {
        self.powers.reach.teams(tenant)
    }

    /// Whether an agent of this team is within reach; one without a team is where all teams are.
    pub(super) fn has_team(&self, tenant: &TenantId, team: Option<&TeamName>) -> bool {
        self.powers.reach.has_team(tenant, team)
    }

    /// The same as [`check`](Self::check) for what is about a tenant as a whole, which takes all of its teams.
    pub(super) fn check_whole(&self, state: &ApiState, right: Right, tenant: &TenantId) -> Result<(), Problem> {
        self.check(state, right, tenant)?;
        if self.teams(tenant).is_none() {
            return Ok(());
        }
        let detail = format!("{} is limited to teams, and this covers all of tenant {tenant}", self.called());
        Err(Problem::of(Code::NotPermitted, detail))
    }

    /// Whether the caller has a right, whatever the tenant.
    pub(super) fn has(&self, right: Right) -> bool {
        self.powers.rights.contains(&right)
    }

    /// Whether the caller may do this at all.
    pub(super) fn may(&self, right: Right) -> Result<(), Problem> {
        if self.has(right) {
            return Ok(());
        }
        let way_out = match self.powers.kind {
            Kind::Configured => "give it the right in [[server.tokens]]",
            Kind::Token => "make one that may with `shiftkeeper token create`",
            Kind::Account => "an administrator can give it another role",
            Kind::Proxy => "[[server.proxy.roles]] says what the groups give",
        };
        let detail = format!("{} may not {}; {way_out}", self.called(), right.name());
        Err(Problem::of(Code::NotPermitted, detail))
    }

    fn called(&self) -> String {
        let kind = match self.powers.kind {
            Kind::Configured | Kind::Token => "the token",
            Kind::Account => "the account",
            Kind::Proxy => "the user",
        };
        format!("{kind} {}", self.powers.id)
    }
}

/// What somebody has for whom a proxy vouches: what his account here gives him, or else his groups.
fn vouched(state: &ApiState, user: &Arc<str>, groups: &[String]) -> Option<Arc<Powers>> {
    match state.accounts.standing(user) {
        Standing::Counts(powers) => Some(powers),
        Standing::Disabled => None,
        Standing::Nobody => state.tokens.borrow().proxy().powers(user, groups),
    }
}

/// The subprotocol of `/live`.
pub(super) const SUBPROTOCOL: &str = "shiftkeeper.live.v1";

/// What stands before the token where it comes as a subprotocol.
const TOKEN_PROTOCOL: &str = "bearer.";

/// The token that a request brings, in a header that no browser sends by itself.
pub(super) fn brought_token(headers: &HeaderMap) -> Option<String> {
    bearer(headers).or_else(|| subprotocol_token(headers))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// A browser cannot give a WebSocket a header of its own. It offers `bearer.` and the token in base64url beside the real
/// subprotocol; in the address the token would stand in the logs of whatever is in between.
fn subprotocol_token(headers: &HeaderMap) -> Option<String> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let encoded =
        offered.flat_map(|value| value.split(',')).find_map(|name| name.trim().strip_prefix(TOKEN_PROTOCOL))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?).ok()
}

/// The cookie of this name. Where there are two, somebody put one beside ours: neither counts.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

/// Finds out who asks.
fn recognise(parts: &Parts, state: &ApiState) -> Result<Option<Caller>, Problem> {
    let (arrival, token) = {
        let tokens = state.tokens.borrow();
        (Arrival::of(parts, tokens.proxy()), brought_token(&parts.headers))
    };
    let source = arrival.source;
    let caller = |powers, credential| Some(Caller { powers, credential, source });
    if let Some(token) = &token {
        let hash = known::digest(token);
        if let Some(powers) = state.tokens.borrow().find(&hash) {
            return Ok(caller(powers, Credential::Configured(hash)));
        }
        if let Some((hash, powers)) = state.accounts.token(token) {
            return Ok(caller(powers, Credential::Stored(hash)));
        }
    }
    match arrival.identity {
        Identity::Somebody { user, groups } => {
            let user: Arc<str> = user.into();
            let powers = vouched(state, &user, &groups).ok_or_else(|| nothing_given(&user))?;
            return Ok(caller(powers, Credential::Proxy { user, groups: groups.into() }));
        }
        Identity::Stranger => {
            let detail = "this request says who has signed in, and comes from an address that [server.proxy] peers does not name";
            return Err(Problem::of(Code::NotAProxy, detail));
        }
        Identity::Garbled => {
            return Err(Problem::bad_request("the proxy names more than one user, or one that cannot be read"));
        }
        Identity::None => {}
    }
    if token.is_some() {
        let detail = "this token is none of the daemon at this address, or not any more: it may be revoked or expired";
        return Err(Problem::of(Code::Unauthorized, detail));
    }
    let cookie_name = arrival.line.cookie();
    let value = cookie_name.as_deref().and_then(|name| cookie(&parts.headers, name));
    Ok(value
        .and_then(|value| state.accounts.session(value))
        .and_then(|(hash, powers)| caller(powers, Credential::Session(hash))))
}

fn nothing_given(user: &str) -> Problem {
    let detail =
        format!("{user} has no account here that counts, and no group that [[server.proxy.roles]] gives a role");
    Problem::of(Code::NotPermitted, detail)
}

fn unauthorized() -> Problem {
    let detail = "send `Authorization: Bearer TOKEN` with a token of [[server.tokens]] or of `shiftkeeper token create`, or sign in";
    Problem::of(Code::Unauthorized, detail)
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        // The row of the route has looked already.
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        recognise(parts, state)?.ok_or_else(unauthorized)
    }
}

/// For pages that are for everybody and say who has signed in. What is wrong with a token or a proxy's word is passed over.
impl OptionalFromRequestParts<ApiState> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Option<Self>, Infallible> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(Some(caller.clone()));
        }
        Ok(recognise(parts, state).ok().flatten())
    }
}

/// Whoever opens a page: who has not signed in is sent to where that is done.
#[derive(Clone, Debug)]
pub struct Visitor(pub Caller);

impl FromRequestParts<ApiState> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Response> {
        match <Caller as FromRequestParts<ApiState>>::from_request_parts(parts, state).await {
            Ok(caller) => Ok(Self(caller)),
            Err(problem) => Err(sent_to_sign_in(parts, problem)),
        }
    }
}

/// Where a browser goes that nobody has signed in with; anybody else gets the problem.
pub(super) fn sent_to_sign_in(parts: &Parts, problem: Problem) -> Response {
    if problem.code() != Code::Unauthorized.name() || brought_token(&parts.headers).is_some() {
        return problem.into_response();
    }
    let place = match parts.method {
        Method::GET | Method::HEAD => parts.uri.path_and_query().map_or("/", |place| place.as_str()),
        _ => "/",
    };
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", place).finish();
    Redirect::to(&format!("/sign-in?{query}")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_that_somebody_put_beside_ours_makes_both_void() {
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
            assert_eq!(cookie(&headers, "shiftkeeper-80"), found, "{cookies:?}");
        }
    }
}
