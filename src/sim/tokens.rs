//! Access tokens: their scopes, expiry and base.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::{Random, SystemRandom};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The most tokens that are kept; beyond it the one that expires first is forgotten.
const MAX_TOKENS: usize = 10_000;

/// A permission of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    SchedulesView,
    BreaksView,
    StateView,
    StateWrite,
    RealtimeRead,
    SubscriptionWrite,
    UsersRead,
    QueueView,
    AnalyticsQuery,
    AnalyticsView,
}

impl Scope {
    /// All scopes, which a token has if the request names none.
    pub(super) const ALL: [Self; 10] = [
        Self::SchedulesView,
        Self::BreaksView,
        Self::StateView,
        Self::StateWrite,
        Self::RealtimeRead,
        Self::SubscriptionWrite,
        Self::UsersRead,
        Self::QueueView,
        Self::AnalyticsQuery,
        Self::AnalyticsView,
    ];

    /// Returns the name on the wire (guides 001 to 004).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SchedulesView => "schedules:view",
            Self::BreaksView => "breaks:view",
            Self::StateView => "users:state:view",
            Self::StateWrite => "users:state:write",
            Self::RealtimeRead => "analytics:realtime:read",
            Self::SubscriptionWrite => "analytics:realtime:subscription:write",
            Self::UsersRead => "users:read",
            Self::QueueView => "reporting:queue:view",
            Self::AnalyticsQuery => "analytics:query",
            Self::AnalyticsView => "analytics:view",
        }
    }

    /// Parses the space-separated scopes of a request; an empty text means all. The error is the unknown name.
    pub(super) fn parse(text: &str) -> Result<Vec<Self>, String> {
        if text.trim().is_empty() {
            return Ok(Self::ALL.to_vec());
        }
        let one = |name: &str| Self::ALL.into_iter().find(|scope| scope.name() == name).ok_or_else(|| name.to_owned());
        text.split_whitespace().map(one).collect()
    }
}

/// Where a token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenBase {
    /// At the root of the simulator.
    Root,
    /// Under the tenant's own path (the legacy style).
    BusinessUnit,
}

struct Token {
    scopes: Vec<Scope>,
    base: TokenBase,
    expires: UtcMicros,
    tenant: TenantId,
}

/// The reason why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// Unknown, expired, revoked, or used under another base: 401.
    Invalid,
    /// Valid, but without this scope: 403.
    Scope(Scope),
}

/// A refresh token. It can be used once.
struct RefreshToken {
    expires: UtcMicros,
    tenant: TenantId,
}

/// The issued tokens.
#[derive(Default)]
pub(super) struct Tokens {
    access: HashMap<String, Token>,
    refresh: HashMap<String, RefreshToken>,
}

impl Tokens {
    /// Issues a token. Its text begins with the tenant, so that a request is counted for the tenant even with an
    /// invalid token.
    pub(super) fn issue(
        &mut self,
        tenant: &TenantId,
        scopes: Vec<Scope>,
        base: TokenBase,
        now: UtcMicros,
        lifetime: Duration,
    ) -> String {
        self.access.retain(|_, token| token.expires > now);
        if self.access.len() >= MAX_TOKENS
            && let Some(first) = self.access.iter().min_by_key(|(_, token)| token.expires).map(|(text, _)| text.clone())
        {
            self.access.remove(&first);
        }
        let text = format!("{tenant}.{}", SystemRandom.random_id().simple());
        self.access.insert(text.clone(), Token { scopes, base, expires: now + lifetime, tenant: tenant.clone() });
        text
    }

    /// Issues a refresh token.
    pub(super) fn issue_refresh(&mut self, tenant: &TenantId, now: UtcMicros, lifetime: Duration) -> String {
        self.refresh.retain(|_, token| token.expires > now);
        if self.refresh.len() >= MAX_TOKENS
            && let Some(first) =
                self.refresh.iter().min_by_key(|(_, token)| token.expires).map(|(text, _)| text.clone())
        {
            self.refresh.remove(&first);
        }
        let text = format!("{tenant}.{}", SystemRandom.random_id().simple());
        self.refresh.insert(text.clone(), RefreshToken { expires: now + lifetime, tenant: tenant.clone() });
        text
    }

    /// Uses up a refresh token and returns its tenant, if it is valid.
    pub(super) fn take_refresh(&mut self, text: &str, now: UtcMicros) -> Option<TenantId> {
        self.refresh.remove(text).filter(|token| token.expires > now).map(|token| token.tenant)
    }

    /// Forgets every token of either kind.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the tenant that a token's text names, whether or not the token is valid.
    pub(super) fn claimed_tenant(text: &str) -> &str {
        text.split_once('.').map_or("", |(tenant, _)| tenant)
    }

    /// Returns the tenant of a valid token that has the required scope, if any.
    pub(super) fn check(
        &self,
        text: &str,
        scope: Option<Scope>,
        base: TokenBase,
        now: UtcMicros,
    ) -> Result<&TenantId, Rejection> {
        let token = self
            .access
            .get(text)
            .filter(|token| token.expires > now && token.base == base)
            .ok_or(Rejection::Invalid)?;
        match scope.filter(|scope| !token.scopes.contains(scope)) {
            None => Ok(&token.tenant),
            Some(missing) => Err(Rejection::Scope(missing)),
        }
    }

    /// Revokes every access token of a tenant, or of all. Refresh tokens stay valid.
    pub(super) fn revoke(&mut self, tenant: Option<&TenantId>) {
        self.access.retain(|_, token| tenant.is_some_and(|tenant| token.tenant != *tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_scopes_its_base_and_its_time() {
        let (now, hour) = (UtcMicros::EPOCH, Duration::from_secs(3600));
        let mut tokens = Tokens::default();
        let token = tokens.issue(&"acme".into(), vec![Scope::BreaksView], TokenBase::Root, now, hour);
        let check = |tokens: &Tokens, scope, base, at| tokens.check(&token, Some(scope), base, at).cloned();
        assert_eq!(check(&tokens, Scope::BreaksView, TokenBase::Root, now), Ok("acme".into()));
        assert_eq!(check(&tokens, Scope::StateWrite, TokenBase::Root, now), Err(Rejection::Scope(Scope::StateWrite)));
        assert_eq!(check(&tokens, Scope::BreaksView, TokenBase::BusinessUnit, now), Err(Rejection::Invalid));
        assert_eq!(check(&tokens, Scope::BreaksView, TokenBase::Root, now + hour), Err(Rejection::Invalid));
        tokens.revoke(Some(&"bravo".into()));
        assert!(check(&tokens, Scope::BreaksView, TokenBase::Root, now).is_ok());
        tokens.revoke(Some(&"acme".into()));
        assert_eq!(check(&tokens, Scope::BreaksView, TokenBase::Root, now), Err(Rejection::Invalid));
        assert_eq!(Tokens::claimed_tenant(&token), "acme");
    }

    #[test]
    fn a_refresh_token_is_good_once_and_for_its_time() {
        let (now, hour) = (UtcMicros::EPOCH, Duration::from_secs(3600));
        let mut tokens = Tokens::default();
        let [first, second, third] = [(); 3].map(|()| tokens.issue_refresh(&"acme".into(), now, hour));
        assert_eq!(tokens.take_refresh(&first, now), Some("acme".into()));
        assert_eq!(tokens.take_refresh(&first, now), None);
        assert_eq!(tokens.take_refresh(&second, now + hour), None);
        tokens.revoke(None);
        assert_eq!(tokens.take_refresh(&third, now), Some("acme".into()));
        let fourth = tokens.issue_refresh(&"acme".into(), now, hour);
        tokens.clear();
        assert_eq!(tokens.take_refresh(&fourth, now), None);
    }

    #[test]
    fn the_number_of_tokens_is_limited() {
        let mut tokens = Tokens::default();
        for at in 0..MAX_TOKENS + 5 {
            let now = UtcMicros::from_micros(i64::try_from(at).expect("small"));
            tokens.issue(&"acme".into(), Scope::ALL.to_vec(), TokenBase::Root, now, Duration::from_secs(3600));
        }
        assert_eq!(tokens.access.len(), MAX_TOKENS);
    }
}
