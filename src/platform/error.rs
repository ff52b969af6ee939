//! What can go wrong with a call, by what the caller can do about it.
//!
//! An error names the call, the path and the way out; it never holds a token, a secret, a query string or more of an answer
//! than [`EXCERPT_CHARS`] characters.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::domain::agents::state::AgentState;
use crate::domain::time::{UtcMicros, duration_text};

/// How much of an unexpected answer an error shows, in characters.
pub const EXCERPT_CHARS: usize = 200;

/// A call that did not get what it asked for.
#[derive(Error, Clone, PartialEq, Eq, Debug)]
#[error("{site}: {failure}")]
pub struct CallError {
    /// Which call.
    pub site: CallSite,
    /// What happened.
    pub failure: Failure,
    /// Our clock just before the request was made, where it came to one: not when no token was to be had.
    pub asked_at: Option<UtcMicros>,
}

/// The request that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallSite {
    /// What it was for, as in "set the state".
    pub purpose: &'static str,
    /// `GET` or `POST`; empty when nothing was to be sent.
    pub method: &'static str,
    /// The URL's path, without host and query.
    pub path: String,
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.method.is_empty() {
            return f.write_str(self.purpose);
        }
        write!(f, "{} ({} {})", self.purpose, self.method, self.path)
    }
}

/// Whether a failed change may still have been made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The platform certainly did nothing: the call may be repeated.
    NotApplied,
    /// It may have been applied, now or later: read back before anything is sent again.
    Unknown,
}

/// What a failure says of the platform.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It cannot be reached, or says itself that it does not serve.
    OutOfService,
    /// The answer did not arrive: it may well be at work.
    AnswerLost,
}

/// What happened, by what the caller can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No connection: refused, unreachable, no such host, TLS not agreed. Nothing was sent; try again later.
    NotSent {
        /// Why, in the words of the network.
        reason: String,
    },
    /// 429. Not applied; wait at least `retry_after`.
    Throttled {
        /// The answer's `Retry-After`, in the clock's time.
        retry_after: Option<Duration>,
    },
    /// 401. Not applied; the token is already dropped, so that the next call brings a fresh one. Repeat a read once.
    Unauthorized,
    /// The token endpoint refused our credentials. Nothing was sent; a person must look at the configuration.
    TokenRefused {
        /// The token endpoint's status.
        status: u16,
        /// The start of its answer.
        excerpt: String,
    },
    /// The token endpoint gave no usable answer. Nothing was sent; try again later.
    TokenUnavailable {
        /// What went wrong there.
        reason: String,
        /// Its `Retry-After`, if it sent one.
        retry_after: Option<Duration>,
    },
    /// Three 401 in a row: no token is asked for until then. Nothing was sent.
    CircuitOpen {
        /// When the next attempt is allowed, by our clock.
        until: UtcMicros,
    },
    /// 403. Not applied; the client lacks a right.
    Forbidden {
        /// The scope that the call needs, where the dialect knows it.
        scope: Option<&'static str>,
    },
    /// 404. Not applied; no such agent, or the subscription is gone.
    NotFound,
    /// 409. Not applied; a policy of the platform stands against it now.
    Conflict {
        /// The platform's code for the policy, if the answer names one.
        code: Option<String>,
    },
    /// Another 4xx. Not applied; repeating the same will not help.
    Rejected {
        /// The status.
        status: u16,
        /// The start of the answer.
        excerpt: String,
    },
    /// Changes are only recorded here; this one was not sent.
    DryRun,
    /// The dialect cannot do this. Nothing was sent.
    Unsupported {
        /// What it cannot do.
        what: String,
    },
    /// 5xx. The request arrived; whether it was applied is unknown.
    Server {
        /// The status.
        status: u16,
        /// The answer's `Retry-After`, in the clock's time.
        retry_after: Option<Duration>,
    },
    /// No whole answer within the request's time limit, or a 408 from something on the way. Unknown.
    Timeout,
    /// The connection ended before the answer was whole. Unknown.
    Broken {
        /// Why, in the words of the network.
        reason: String,
    },
    /// An answer that cannot be what it should be: a success with a page of HTML or broken JSON, a redirect. Something on the
    /// way may have answered in the platform's stead, or the platform and then garbled it: unknown.
    Nonsense {
        /// The status.
        status: u16,
        /// What was expected, and the start of what came.
        excerpt: String,
    },
    /// The answer is longer than the limit; reading stopped there. Unknown.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl Failure {
    /// The dialect cannot set this state.
    pub fn cannot_set(state: &AgentState) -> Self {
        Self::Unsupported { what: format!("set the state {state}") }
    }

    /// Whether the request may have had an effect.
    pub const fn effect(&self) -> Effect {
        match self {
            Self::NotSent { .. }
            | Self::Throttled { .. }
            | Self::Unauthorized
            | Self::TokenRefused { .. }
            | Self::TokenUnavailable { .. }
            | Self::CircuitOpen { .. }
            | Self::Forbidden { .. }
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::Rejected { .. }
            | Self::DryRun
            | Self::Unsupported { .. } => Effect::NotApplied,
            Self::Server { .. }
            | Self::Timeout
            | Self::Broken { .. }
            | Self::Nonsense { .. }
            | Self::TooLarge { .. } => Effect::Unknown,
        }
    }

    /// Whether the request may have reached the platform and so counts in its window. When not, give the slot back with
    /// [`super::budget::Budget::release`].
    pub const fn was_sent(&self) -> bool {
        !matches!(
            self,
            Self::NotSent { .. }
                | Self::TokenRefused { .. }
                | Self::TokenUnavailable { .. }
                | Self::CircuitOpen { .. }
                | Self::DryRun
                | Self::Unsupported { .. }
        )
    }

    /// Whether a read that failed so may be tried again after a wait: the network, the platform's health and our credentials pass
    /// or are mended. What fails because of this agent or of this dialect stays as it is.
    pub const fn is_retryable_read(&self) -> bool {
        match self {
            Self::NotSent { .. }
            | Self::Throttled { .. }
            | Self::Unauthorized
            | Self::TokenRefused { .. }
            | Self::TokenUnavailable { .. }
            | Self::CircuitOpen { .. }
            | Self::Forbidden { .. }
            | Self::Server { .. }
            | Self::Timeout
            | Self::Broken { .. }
            | Self::Nonsense { .. }
            | Self::TooLarge { .. } => true,
            Self::NotFound
            | Self::Conflict { .. }
            | Self::Rejected { .. }
            | Self::DryRun
            | Self::Unsupported { .. } => false,
        }
    }

    /// What it tells the tenant's breaker of the platform; nothing when the platform is at work or was not asked.
    pub const fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::NotSent { .. } | Self::TokenUnavailable { .. } | Self::Server { .. } => Some(Trouble::OutOfService),
            Self::Timeout | Self::Broken { .. } | Self::Nonsense { .. } => Some(Trouble::AnswerLost),
            Self::Throttled { .. }
            | Self::Unauthorized
            | Self::TokenRefused { .. }
            | Self::CircuitOpen { .. }
            | Self::Forbidden { .. }
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::Rejected { .. }
            | Self::DryRun
            | Self::Unsupported { .. }
            | Self::TooLarge { .. } => None,
        }
    }

    /// The wait that the platform asked for, in the clock's time: the floor of the retry's delay.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after }
            | Self::Server { retry_after, .. }
            | Self::TokenUnavailable { retry_after, .. } => *retry_after,
            Self::NotSent { .. }
            | Self::Unauthorized
            | Self::TokenRefused { .. }
            | Self::CircuitOpen { .. }
            | Self::Forbidden { .. }
            | Self::NotFound
            | Self::Conflict { .. }
            | Self::Rejected { .. }
            | Self::DryRun
            | Self::Unsupported { .. }
            | Self::Timeout
            | Self::Broken { .. }
            | Self::Nonsense { .. }
            | Self::TooLarge { .. } => None,
        }
    }

    /// A short stable name of the class, for the store, metrics and logs.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::NotSent { .. } => "not_sent",
            Self::Throttled { .. } => "throttled",
            Self::Unauthorized => "unauthorized",
            Self::TokenRefused { .. } => "token_refused",
            Self::TokenUnavailable { .. } => "token_unavailable",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict { .. } => "conflict",
            Self::Rejected { .. } => "rejected",
            Self::DryRun => "dry_run",
            Self::Unsupported { .. } => "unsupported",
            Self::Server { .. } => "server",
            Self::Timeout => "timeout",
            Self::Broken { .. } => "broken",
            Self::Nonsense { .. } => "nonsense",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

impl CallError {
    /// See [`Failure::effect`].
    pub const fn effect(&self) -> Effect {
        self.failure.effect()
    }

    /// See [`Failure::is_retryable_read`].
    pub const fn is_retryable_read(&self) -> bool {
        self.failure.is_retryable_read()
    }

    /// See [`Failure::trouble`].
    pub const fn trouble(&self) -> Option<Trouble> {
        self.failure.trouble()
    }

    /// See [`Failure::retry_after`].
    pub const fn retry_after(&self) -> Option<Duration> {
        self.failure.retry_after()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { reason } => write!(f, "no connection to the platform ({reason}); it is tried again"),
            Self::Throttled { retry_after } => {
                f.write_str("the platform throttles us (429)")?;
                write_wait(f, *retry_after)?;
                f.write_str("; does another client share this tenant's budget?")
            }
            Self::Unauthorized => {
                f.write_str("the platform did not take our token (401); the next call brings a fresh one")
            }
            Self::TokenRefused { status, excerpt } => {
                write!(
                    f,
                    "no token: the platform refused our credentials ({status}); check client_id, client_secret, scope"
                )?;
                f.write_str(" and the token's style")?;
                write_excerpt(f, excerpt)
            }
            Self::TokenUnavailable { reason, retry_after } => {
                write!(f, "no token: {reason}; it is asked for again")?;
                write_wait(f, *retry_after)
            }
            Self::CircuitOpen { until } => {
                write!(
                    f,
                    "no token: refused three times in a row, not asked again before {until}; check the credentials"
                )
            }
            Self::Forbidden { scope: Some(scope) } => {
                write!(f, "the platform forbids it (403); give the client the scope {scope}")
            }
            Self::Forbidden { scope: None } => f.write_str("the platform forbids it (403); check the client's rights"),
            Self::NotFound => f.write_str("the platform does not know it (404)"),
            Self::Conflict { code: Some(code) } => {
                write!(f, "a policy of the platform stands against it (409, {code})")
            }
            Self::Conflict { code: None } => f.write_str("a policy of the platform stands against it (409)"),
            Self::Rejected { status, excerpt } => {
                write!(f, "the platform rejected the request ({status}); it is not repeated")?;
                write_excerpt(f, excerpt)
            }
            Self::DryRun => f.write_str("not sent: the tenant's mode is dry_run"),
            Self::Unsupported { what } => write!(f, "this platform cannot {what}"),
            Self::Server { status, retry_after } => {
                write!(f, "the platform failed ({status})")?;
                write_wait(f, *retry_after)
            }
            Self::Timeout => f.write_str("no answer within the time limit"),
            Self::Broken { reason } => write!(f, "the connection broke before the answer was whole ({reason})"),
            Self::Nonsense { status, excerpt } => {
                write!(f, "the answer ({status}) makes no sense; is something between us and the platform?")?;
                write_excerpt(f, excerpt)
            }
            Self::TooLarge { limit } => {
                write!(f, "the answer is longer than {limit} bytes; raise the limit or ask for fewer agents")
            }
        }
    }
}

fn write_wait(f: &mut fmt::Formatter<'_>, wait: Option<Duration>) -> fmt::Result {
    wait.map_or(Ok(()), |wait| write!(f, ", to be tried again after {}", duration_text(wait)))
}

fn write_excerpt(f: &mut fmt::Formatter<'_>, excerpt: &str) -> fmt::Result {
    if excerpt.is_empty() { Ok(()) } else { write!(f, ": {excerpt}") }
}

/// The start of a text for an error: one line, without control characters, at most [`EXCERPT_CHARS`] long, and with every
/// occurrence of `secrets` replaced by stars before it is cut.
pub fn excerpt(body: &[u8], secrets: &[&str]) -> String {
    // A few times the length that is shown is enough to look through, whatever the body's size.
    let longest = secrets.iter().map(|secret| secret.len()).max().unwrap_or(0);
    let head = &body[..body.len().min(EXCERPT_CHARS * 4 + longest)];
    let mut text = String::from_utf8_lossy(head).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
