//! A tenant's access token: one request at a time for all callers, renewal before expiry, and a circuit that opens when
//! the platform keeps refusing.
//!
//! The request runs in its own task, so that a cancelled caller does not affect the others. Callers without a valid
//! token wait for it; callers with one that is about to expire use it meanwhile. A failed request fails all waiting
//! callers, and the next one is sent only after a pause. Times are the clock's, so that a token of an hour lasts a
//! minute on a clock sixty times as fast. Nothing is stored; the token does not survive a restart.

mod endpoint;
mod request;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::SharedClock;
use crate::domain::access::secret::Secret;

use super::error::Failure;
use super::status::TokenHealth;

pub use endpoint::{DEFAULT_LIFETIME, ExpiresIn, Grant, TokenEndpoint, allowed_origin, bearer_header, exchange};
pub use request::{ClientCredentials, TokenSettings, TokenStyle};

/// How long before its expiry a token is renewed, but not before half its lifetime (source: guide 004).
const RENEW_MARGIN: Duration = Duration::from_secs(300);

/// The number of consecutive refusals that opens the circuit (source: guide 004).
const MAX_REFUSALS: u32 = 3;

/// How long the circuit stays open (source: guide 004).
const CIRCUIT_OPEN_FOR: Duration = Duration::from_secs(30);

/// The longest pause between two requests after failures.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A token and the base of the URLs that it is used with.
#[derive(Debug)]
pub struct Token {
    /// A counter of this source's tokens, which distinguishes a refusal of an old token from one of the current token.
    serial: u64,
    /// The token's text, for removal from excerpts.
    text: Secret,
    /// The value of `Authorization`, marked as sensitive.
    header: HeaderValue,
    /// The base of every URL.
    base: Url,
    requested_at: Duration,
    expires_at: Duration,
    renew_at: Duration,
}

impl Token {
    /// Returns the value of `Authorization`.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Returns the base of every URL that is called with this token.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Returns the token's text, for removal from anything that is shown.
    pub fn text(&self) -> &Secret {
        &self.text
    }
}

/// Provides the access token of one tenant.
#[derive(Debug)]
pub struct TokenSource {
    shared: Arc<Shared>,
    /// The request in progress, which is aborted when this source is dropped.
    requests: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    endpoint: Box<dyn TokenEndpoint>,
    clock: SharedClock,
    state: Mutex<TokenState>,
    /// The number of finished requests; waiting callers watch it.
    request_ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct TokenState {
    token: Option<Arc<Token>>,
    in_flight: bool,
    granted: u64,
    /// Failed requests since the last success.
    failures: u32,
    /// Failed requests since the start.
    total_failures: u64,
    last_failure: Option<Failure>,
    not_before: Duration,
    /// Consecutive answers with status 401, from the token endpoint or to calls with a token that never worked.
    refusals: u32,
    open_until: Option<Duration>,
}

impl TokenSource {
    /// Creates a source of tokens from `endpoint`, which is first asked when a token is first needed.
    pub fn new(endpoint: impl TokenEndpoint + 'static, clock: SharedClock) -> Self {
        let endpoint = Box::new(endpoint);
        let shared = Shared { endpoint, clock, state: Mutex::default(), request_ended: watch::Sender::new(0) };
        Self { shared: Arc::new(shared), requests: Mutex::default() }
    }

    /// Returns a token that is valid now. Waits for a request only if there is none.
    pub async fn current(&self) -> Result<Arc<Token>, Failure> {
        let mut ended = {
            let now = self.shared.clock.monotonic();
            let mut state = self.shared.state();
            if let Some(token) = state.token.clone().filter(|token| token.expires_at > now) {
                if token.renew_at <= now && state.may_request(now) {
                    self.start_request(&mut state);
                }
                return Ok(token);
            }
            if !state.in_flight {
                if let Some(refused) = self.shared.refusal_at(&state, now) {
                    return Err(refused);
                }
                self.start_request(&mut state);
            }
            let mut ended = self.shared.request_ended.subscribe();
            ended.mark_unchanged();
            ended
        };
        // The request has a time limit, and its task updates the count however it ends. An error would mean that the
        // source is gone, which is impossible while it is borrowed.
        let _ = ended.changed().await;
        let now = self.shared.clock.monotonic();
        let state = self.shared.state();
        match &state.token {
            Some(token) if token.expires_at > now => Ok(Arc::clone(token)),
            _ => Err(state.last_failure.clone().unwrap_or_else(no_answer_error)),
        }
    }

    /// Returns a token for use that outlasts a call. A token that is about to expire is renewed first, and is returned
    /// only if that fails.
    pub async fn fresh(&self) -> Result<Arc<Token>, Failure> {
        let renewal = {
            let now = self.shared.clock.monotonic();
            let mut state = self.shared.state();
            let due = state.token.as_ref().is_some_and(|token| token.renew_at <= now);
            if due && state.may_request(now) {
                self.start_request(&mut state);
            }
            (due && state.in_flight).then(|| self.shared.request_ended.subscribe())
        };
        if let Some(mut ended) = renewal {
            // The request ends in any case, as in `current`.
            let _ = ended.changed().await;
        }
        self.current().await
    }

    /// Records that the platform answered 401 to a call with this token. The token is dropped if it is still the
    /// current one.
    pub fn report_refused(&self, token: &Token) {
        let now = self.shared.clock.monotonic();
        let mut state = self.shared.state();
        if state.token.as_ref().is_some_and(|current| current.serial == token.serial) {
            state.token = None;
            state.record_refusal(now);
        }
    }

    /// Records that the platform accepted this token, whatever it answered to the call.
    pub fn report_accepted(&self, token: &Token) {
        let mut state = self.shared.state();
        if state.token.as_ref().is_some_and(|current| current.serial == token.serial) {
            state.refusals = 0;
            state.open_until = None;
        }
    }

    /// Returns the token's health.
    pub fn status(&self) -> TokenHealth {
        let now = self.shared.clock.monotonic();
        let state = self.shared.state();
        let token = state.token.as_ref();
        TokenHealth {
            age: token.map(|token| now.saturating_sub(token.requested_at)),
            expires_in: token.map(|token| token.expires_at.saturating_sub(now)),
            granted: state.granted,
            failed: state.total_failures,
            circuit_open: state.open_until.is_some_and(|until| until > now),
            last_failure: state.last_failure.as_ref().map(Failure::class),
        }
    }

    /// Returns the secret of the credentials, for removal from anything that is shown.
    pub fn secret(&self) -> &Secret {
        self.shared.endpoint.secret()
    }

    fn start_request(&self, state: &mut TokenState) {
        state.in_flight = true;
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        while requests.try_join_next().is_some() {}
        let mut token_request = TokenRequest { shared: Arc::clone(&self.shared), result: Err(no_answer_error()) };
        requests.spawn(async move {
            let shared = Arc::clone(&token_request.shared);
            token_request.result = shared.endpoint.request().await;
            drop(token_request);
        });
    }
}

fn no_answer_error() -> Failure {
    Failure::TokenUnavailable { reason: "the request for it was given up".to_owned(), retry_after: None }
}

/// A request in progress. However its task ends, dropping this records the outcome and wakes the waiting callers.
struct TokenRequest {
    shared: Arc<Shared>,
    result: Result<Grant, Failure>,
}

impl Drop for TokenRequest {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.result, Err(no_answer_error()));
        let now = self.shared.clock.monotonic();
        let mut state = self.shared.state();
        state.in_flight = false;
        match outcome {
            Ok(grant) => state.record_grant(grant),
            Err(failure) => state.record_failure(failure, now),
        }
        // Updated under the lock, so that a caller that starts to wait for the next request is not woken by this one.
        self.shared.request_ended.send_modify(|ended| *ended += 1);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, TokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why no request may be sent now, if that is so.
    fn refusal_at(&self, state: &TokenState, now: Duration) -> Option<Failure> {
        if let Some(until) = state.open_until.filter(|until| *until > now) {
            return Some(Failure::CircuitOpen { until: self.clock.now() + until.saturating_sub(now) });
        }
        if state.not_before > now { state.last_failure.clone() } else { None }
    }
}

impl TokenState {
    fn may_request(&self, now: Duration) -> bool {
        !self.in_flight && self.not_before <= now && self.open_until.is_none_or(|until| until <= now)
    }

    fn record_grant(&mut self, grant: Grant) {
        self.granted += 1;
        self.failures = 0;
        self.last_failure = None;
        self.token = Some(Arc::new(Token {
            serial: self.granted,
            text: grant.text,
            header: grant.header,
            base: grant.base,
            requested_at: grant.requested_at,
            expires_at: grant.requested_at + grant.lifetime,
            renew_at: grant.requested_at + grant.lifetime.saturating_sub(RENEW_MARGIN).max(grant.lifetime / 2),
        }));
    }

    /// Records a failure. The pause before the next request doubles from a second, and is at least `Retry-After`.
    fn record_failure(&mut self, failure: Failure, now: Duration) {
        let doubled = Duration::from_secs(1 << self.failures.min(5)).min(MAX_PAUSE);
        self.not_before = now + doubled.max(failure.retry_after().unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.total_failures += 1;
        if matches!(failure, Failure::TokenRefused { .. }) {
            self.record_refusal(now);
        }
        self.last_failure = Some(failure);
    }

    /// Records a refusal. After the circuit was open, one more refusal opens it again: the count is reset only when a
    /// token works.
    fn record_refusal(&mut self, now: Duration) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= MAX_REFUSALS {
            self.open_until = Some(now + CIRCUIT_OPEN_FOR);
        }
    }
}

#[cfg(test)]
mod tests;
