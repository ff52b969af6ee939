//! A tenant's access token: one request for it at a time whoever asks, renewed before it expires, and a circuit that opens
//! when the platform keeps refusing.
//!
//! The request runs in a task of its own, so that a caller who is cancelled loses nothing for the others: whoever has no
//! valid token waits for it, whoever has one that is about to expire uses it meanwhile. A failed request fails all who wait,
//! and the next one is not sent at once. Times are the clock's, so that a token of an hour lives a minute on a clock sixty
//! times as fast. Nothing here is written anywhere; the token does not survive a restart.

mod request;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::SharedClock;
use crate::domain::access::secret::Secret;

use super::client::Caller;
use super::error::Failure;
use super::vitals::TokenVitals;

pub use request::{TokenSettings, TokenStyle};

/// How long before its expiry a token is renewed, but never before half its life (source: guide 004).
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// So many refusals in a row open the circuit (source: guide 004).
const REFUSALS: u32 = 3;

/// For how long the circuit stays open (source: guide 004).
const CIRCUIT_OPEN: Duration = Duration::from_secs(30);

/// The longest pause between two failing requests.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A token and the base of the URLs that it is for.
#[derive(Debug)]
pub struct Token {
    /// Counts the tokens of this source, to know an old one's refusal from the current one's.
    serial: u64,
    /// The token itself, to keep it out of excerpts.
    text: Secret,
    /// `Authorization`, marked as sensitive.
    header: HeaderValue,
    /// What every URL is built on.
    base: Url,
    asked_at: Duration,
    expires_at: Duration,
    renew_at: Duration,
}

impl Token {
    /// The value of `Authorization`.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// What every URL of a call with this token is built on.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The token's text, to scrub it from what is shown.
    pub fn text(&self) -> &Secret {
        &self.text
    }
}

/// Gives out the token of one tenant.
#[derive(Debug)]
pub struct TokenSource {
    shared: Arc<Shared>,
    /// The request under way; ends with this source.
    flights: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    caller: Caller,
    clock: SharedClock,
    settings: TokenSettings,
    state: Mutex<State>,
    /// How many requests have ended; waiters wait for it to move.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    under_way: bool,
    tokens: u64,
    /// Requests that failed since the last that did not.
    failures: u32,
    /// Requests that failed since the start.
    all_failures: u64,
    last_failure: Option<Failure>,
    not_before: Duration,
    /// 401 in a row, of the token endpoint or of a token that never worked.
    refusals: u32,
    open_until: Option<Duration>,
}

impl TokenSource {
    /// Asks with this caller, when first asked.
    pub fn new(caller: Caller, clock: SharedClock, settings: TokenSettings) -> Self {
        let shared = Shared { caller, clock, settings, state: Mutex::default(), ended: watch::Sender::new(0) };
        Self { shared: Arc::new(shared), flights: Mutex::default() }
    }

    /// A token that is valid now. Waits for a request only when there is none.
    pub async fn current(&self) -> Result<Arc<Token>, Failure> {
        let mut ended = {
            let now = self.shared.clock.monotonic();
            let mut state = self.shared.state();
            if let Some(token) = state.token.clone().filter(|token| token.expires_at > now) {
                if token.renew_at <= now && state.may_ask(now) {
                    self.start(&mut state);
                }
                return Ok(token);
            }
            if !state.under_way {
                if let Some(refused) = self.shared.refusal(&state, now) {
                    return Err(refused);
                }
                self.start(&mut state);
            }
            let mut ended = self.shared.ended.subscribe();
            ended.mark_unchanged();
            ended
        };
        // The request has a time limit, and a task that ends in any way moves the count. An error means that the source is
        // gone, which cannot be while it is borrowed.
        let _ = ended.changed().await;
        let now = self.shared.clock.monotonic();
        let state = self.shared.state();
        match &state.token {
            Some(token) if token.expires_at > now => Ok(Arc::clone(token)),
            _ => Err(state.last_failure.clone().unwrap_or_else(no_answer)),
        }
    }

    /// A token for something that outlasts a call: one that is about to expire is renewed first, and serves only where that fails.
    pub async fn fresh(&self) -> Result<Arc<Token>, Failure> {
        let renewal = {
            let now = self.shared.clock.monotonic();
            let mut state = self.shared.state();
            let due = state.token.as_ref().is_some_and(|token| token.renew_at <= now);
            if due && state.may_ask(now) {
                self.start(&mut state);
            }
            (due && state.under_way).then(|| self.shared.ended.subscribe())
        };
        if let Some(mut ended) = renewal {
            // As in `current`: it ends in any case.
            let _ = ended.changed().await;
        }
        self.current().await
    }

    /// The platform answered 401 to a call with this token: it is dropped, if it is still the current one.
    pub fn refused(&self, token: &Token) {
        let now = self.shared.clock.monotonic();
        let mut state = self.shared.state();
        if state.token.as_ref().is_some_and(|current| current.serial == token.serial) {
            state.token = None;
            state.note_refusal(now);
        }
    }

    /// The platform took this token, whatever it answered to the call.
    pub fn accepted(&self, token: &Token) {
        let mut state = self.shared.state();
        if state.token.as_ref().is_some_and(|current| current.serial == token.serial) {
            state.refusals = 0;
            state.open_until = None;
        }
    }

    /// How the token is.
    pub fn vitals(&self) -> TokenVitals {
        let now = self.shared.clock.monotonic();
        let state = self.shared.state();
        let token = state.token.as_ref();
        TokenVitals {
            age: token.map(|token| now.saturating_sub(token.asked_at)),
            expires_in: token.map(|token| token.expires_at.saturating_sub(now)),
            granted: state.tokens,
            failed: state.all_failures,
            circuit_open: state.open_until.is_some_and(|until| until > now),
            last_failure: state.last_failure.as_ref().map(Failure::class),
        }
    }

    /// The client's secret, to scrub it from what is shown.
    pub fn client_secret(&self) -> &Secret {
        &self.shared.settings.client_secret
    }

    fn start(&self, state: &mut State) {
        state.under_way = true;
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        while flights.try_join_next().is_some() {}
        let mut flight = Flight { shared: Arc::clone(&self.shared), outcome: Err(no_answer()) };
        flights.spawn(async move {
            let shared = Arc::clone(&flight.shared);
            flight.outcome = request::ask(&shared.caller, &shared.clock, &shared.settings).await;
            drop(flight);
        });
    }
}

fn no_answer() -> Failure {
    Failure::TokenUnavailable { reason: "the request for it was given up".to_owned(), retry_after: None }
}

/// A request under way. However its task ends, dropping this writes the outcome down and wakes who waits.
struct Flight {
    shared: Arc<Shared>,
    outcome: Result<request::Grant, Failure>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Err(no_answer()));
        let now = self.shared.clock.monotonic();
        let mut state = self.shared.state();
        state.under_way = false;
        match outcome {
            Ok(grant) => state.note_grant(grant),
            Err(failure) => state.note_failure(failure, now),
        }
        // Under the lock, so that who starts to wait for the next request is not woken by this one.
        self.shared.ended.send_modify(|ended| *ended += 1);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why no request may be sent now, if so.
    fn refusal(&self, state: &State, now: Duration) -> Option<Failure> {
        if let Some(until) = state.open_until.filter(|until| *until > now) {
            return Some(Failure::CircuitOpen { until: self.clock.now() + until.saturating_sub(now) });
        }
        if state.not_before > now { state.last_failure.clone() } else { None }
    }
}

impl State {
    fn may_ask(&self, now: Duration) -> bool {
        !self.under_way && self.not_before <= now && self.open_until.is_none_or(|until| until <= now)
    }

    fn note_grant(&mut self, grant: request::Grant) {
        self.tokens += 1;
        self.failures = 0;
        self.last_failure = None;
        self.token = Some(Arc::new(Token {
            serial: self.tokens,
            text: grant.text,
            header: grant.header,
            base: grant.base,
            asked_at: grant.asked_at,
            expires_at: grant.asked_at + grant.life,
            renew_at: grant.asked_at + grant.life.saturating_sub(RENEW_BEFORE).max(grant.life / 2),
        }));
    }

    /// The pause before the next request doubles from a second; `Retry-After` is its floor.
    fn note_failure(&mut self, failure: Failure, now: Duration) {
        let doubled = Duration::from_secs(1 << self.failures.min(5)).min(LONGEST_PAUSE);
        self.not_before = now + doubled.max(failure.retry_after().unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.all_failures += 1;
        if matches!(failure, Failure::TokenRefused { .. }) {
            self.note_refusal(now);
        }
        self.last_failure = Some(failure);
    }

    /// After the circuit was open, one more refusal opens it again: the count falls only when a token works.
    fn note_refusal(&mut self, now: Duration) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= REFUSALS {
            self.open_until = Some(now + CIRCUIT_OPEN);
        }
    }
}

#[cfg(test)]
mod tests;
