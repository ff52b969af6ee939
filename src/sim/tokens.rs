//! Access tokens: what each is good for, until when, and under which base.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::{Random, SystemRandom};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The most tokens that are remembered; beyond it the one that expires first is forgotten.
const MOST_TOKENS: usize = 10_000;

/// What a token allows.
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
    /// Every scope, as a token has them that was asked for without naming any.
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

    /// The name on the wire (guides 001 to 004).
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

    /// The scopes of a request, which names them with spaces between; all for an empty one. The error is the unknown name.
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
pub(super) enum Base {
    /// At the root of the simulator.
    Root,
    /// Under the path that belongs to the tenant alone (the legacy style).
    BusinessUnit,
}

struct Token {
    scopes: Vec<Scope>,
    base: Base,
    expires: UtcMicros,
    tenant: TenantId,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// Never given out, expired, revoked, or used under another base: 401.
    Invalid,
    /// Good, but not for this: 403.
    Scope(Scope),
}

/// The tokens that were given out.
#[derive(Default)]
pub(super) struct Tokens(HashMap<String, Token>);

impl Tokens {
    /// A new token. Its text begins with the tenant, so that a request is counted for the tenant also with a dead token.
    pub(super) fn issue(
        &mut self,
        tenant: &TenantId,
        scopes: Vec<Scope>,
        base: Base,
        now: UtcMicros,
        lifetime: Duration,
    ) -> String {
        self.0.retain(|_, token| token.expires > now);
        if self.0.len() >= MOST_TOKENS
            && let Some(first) = self.0.iter().min_by_key(|(_, token)| token.expires).map(|(text, _)| text.clone())
        {
            self.0.remove(&first);
        }
        let text = format!("{tenant}.{}", SystemRandom.opaque_id().simple());
        self.0.insert(text.clone(), Token { scopes, base, expires: now + lifetime, tenant: tenant.clone() });
        text
    }

    /// The tenant that a token's text names, whether the token is good or not.
    pub(super) fn claimed_tenant(text: &str) -> &str {
        text.split_once('.').map_or("", |(tenant, _)| tenant)
    }

    /// The tenant of a good token, which has the scope where one is needed.
    pub(super) fn check(
        &self,
        text: &str,
        scope: Option<Scope>,
        base: Base,
        now: UtcMicros,
    ) -> Result<&TenantId, Rejection> {
        let token =
            self.0.get(text).filter(|token| token.expires > now && token.base == base).ok_or(Rejection::Invalid)?;
        match scope.filter(|scope| !token.scopes.contains(scope)) {
            None => Ok(&token.tenant),
            Some(lacking) => Err(Rejection::Scope(lacking)),
        }
    }

    /// Makes every token of a tenant, or of all, worthless at once.
    pub(super) fn revoke(&mut self, tenant: Option<&TenantId>) {
        self.0.retain(|_, token| tenant.is_some_and(|tenant| token.tenant != *tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_scopes_its_base_and_its_time() {
        let (now, hour) = (UtcMicros::EPOCH, Duration::from_secs(3600));
        let mut tokens = Tokens::default();
        let token = tokens.issue(&"acme".into(), vec![Scope::BreaksView], Base::Root, now, hour);
        let check = |tokens: &Tokens, scope, base, at| tokens.check(&token, Some(scope), base, at).cloned();
        assert_eq!(check(&tokens, Scope::BreaksView, Base::Root, now), Ok("acme".into()));
        assert_eq!(check(&tokens, Scope::StateWrite, Base::Root, now), Err(Rejection::Scope(Scope::StateWrite)));
        assert_eq!(check(&tokens, Scope::BreaksView, Base::BusinessUnit, now), Err(Rejection::Invalid));
        assert_eq!(check(&tokens, Scope::BreaksView, Base::Root, now + hour), Err(Rejection::Invalid));
        tokens.revoke(Some(&"bravo".into()));
        assert!(check(&tokens, Scope::BreaksView, Base::Root, now).is_ok());
        tokens.revoke(Some(&"acme".into()));
        assert_eq!(check(&tokens, Scope::BreaksView, Base::Root, now), Err(Rejection::Invalid));
        assert_eq!(Tokens::claimed_tenant(&token), "acme");
    }

    #[test]
    fn the_number_of_tokens_is_limited() {
        let mut tokens = Tokens::default();
        for at in 0..MOST_TOKENS + 5 {
            let now = UtcMicros::from_micros(i64::try_from(at).expect("small"));
            tokens.issue(&"acme".into(), Scope::ALL.to_vec(), Base::Root, now, Duration::from_secs(3600));
        }
        assert_eq!(tokens.0.len(), MOST_TOKENS);
    }
}
