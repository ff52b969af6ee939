//! The errors of platform calls, distinguished by what the caller can do about them.
//!
//! An error names the call, the path and a remedy. It never contains a token, a secret, a query string or more than
//! [`EXCERPT_CHARS`] characters of an answer.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::domain::agents::state::AgentState;
use crate::domain::time::{UtcMicros, duration_text};

/// How much of an unexpected answer an error shows, in characters.
pub const EXCERPT_CHARS: usize = 200;

/// A failed platform call.
#[derive(Error, Clone, PartialEq, Eq, Debug)]
#[error("{site}: {failure}")]
pub struct CallError {
    /// The call.
    pub site: CallSite,
    /// What happened.
    pub failure: Failure,
    /// The daemon's clock just before the request was sent. `None` if no request was made, for example because there
    /// was no token.
    pub sent_at: Option<UtcMicros>,
}

/// The request that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallSite {
    /// The purpose, as in "set the state".
    pub purpose: &'static str,
    /// `GET` or `POST`; empty if there was nothing to send.
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

/// Whether a failed change may still have been applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The platform certainly did nothing: the call may be repeated.
    NotApplied,
    /// The change may have been applied, now or later: read the state back before sending anything again.
    Unknown,
}

/// What became of a request that failed.
#[derive(Clone, Copy)]
enum Fate {
    /// It never reached the platform.
    NotSent,
    /// The platform received it and did nothing.
    Refused,
    /// It may have had an effect.
    Unknown,
}

/// What a failure says about the platform.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlatformTrouble {
    /// The platform cannot be reached, or says that it is out of service.
    OutOfService,
    /// The answer did not arrive, but the platform may be working.
    AnswerLost,
}

/// What happened, distinguished by what the caller can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No connection: refused, unreachable, unknown host, or TLS failed. Nothing was sent; try again later.
    NotSent {
        /// The network's error message.
        reason: String,
    },
    /// Status 429. Not applied; wait at least `retry_after`.
    Throttled {
        /// The answer's `Retry-After`, in the clock's time.
        retry_after: Option<Duration>,
    },
    /// Status 401. Not applied. The token has been dropped, so that the next call requests a new one. Repeat a read
    /// once.
    Unauthorized,
    /// The token endpoint refused the credentials. Nothing was sent; a person must check the configuration.
    TokenRefused {
        /// The token endpoint's status.
        status: u16,
        /// The start of the token endpoint's answer.
        excerpt: String,
    },
    /// The token endpoint gave no usable answer. Nothing was sent; try again later.
    TokenUnavailable {
        /// What went wrong.
        reason: String,
        /// The token endpoint's `Retry-After`, if any.
        retry_after: Option<Duration>,
    },
    /// Three answers with status 401 in a row: no token is requested until `until`. Nothing was sent.
    CircuitOpen {
        /// When the next attempt is allowed, by the daemon's clock.
        until: UtcMicros,
    },
    /// Status 403. Not applied; the client lacks a right.
    Forbidden {
        /// The scope that the call needs, if the dialect knows it.
        scope: Option<&'static str>,
    },
    /// Status 404. Not applied; the agent does not exist, or the subscription is gone.
    NotFound,
    /// Status 409. Not applied; a policy of the platform forbids it now.
    Conflict {
        /// The platform's code for the policy, if the answer names one.
        code: Option<String>,
    },
    /// Another status 4xx. Not applied; repeating the same request will not help.
    Rejected {
        /// The status.
        status: u16,
        /// The start of the answer.
        excerpt: String,
    },
    /// The change was recorded and not sent, because of the dry run.
    DryRun,
    /// The dialect cannot do this. Nothing was sent.
    Unsupported {
        /// What the dialect cannot do.
        what: String,
    },
    /// Status 5xx. The request arrived; whether it was applied is unknown.
    Server {
        /// The status.
        status: u16,
        /// The answer's `Retry-After`, in the clock's time.
        retry_after: Option<Duration>,
    },
    /// No complete answer within the request's time limit, or a 408 from an intermediary. The effect is unknown.
    Timeout,
    /// The connection ended before the answer was complete. The effect is unknown.
    ConnectionBroken {
        /// The network's error message.
        reason: String,
    },
    /// An answer that makes no sense, such as a success with an HTML page or broken JSON, or a redirect. An
    /// intermediary may have answered in the platform's place or garbled its answer, so the effect is unknown.
    Malformed {
        /// The status.
        status: u16,
        /// What was expected, and the start of what was received.
        excerpt: String,
    },
    /// The answer is longer than the limit, where reading stopped. The effect is unknown.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl Failure {
    /// Returns the failure for a state that the dialect cannot set.
    pub fn cannot_set(state: &AgentState) -> Self {
        Self::Unsupported { what: format!("set the state {state}") }
    }

    /// Returns what each class of failures means: its name, what became of the request, whether a read may be retried,
    /// and what it says about the platform.
    const fn meaning(&self) -> (&'static str, Fate, bool, Option<PlatformTrouble>) {
        const OUT_OF_SERVICE: Option<PlatformTrouble> = Some(PlatformTrouble::OutOfService);
        const ANSWER_LOST: Option<PlatformTrouble> = Some(PlatformTrouble::AnswerLost);
        match self {
            Self::NotSent { .. } => ("not_sent", Fate::NotSent, true, OUT_OF_SERVICE),
            Self::Throttled { .. } => ("throttled", Fate::Refused, true, None),
            Self::Unauthorized => ("unauthorized", Fate::Refused, true, None),
            Self::TokenRefused { .. } => ("token_refused", Fate::NotSent, true, None),
            Self::TokenUnavailable { .. } => ("token_unavailable", Fate::NotSent, true, OUT_OF_SERVICE),
            Self::CircuitOpen { .. } => ("circuit_open", Fate::NotSent, true, None),
            Self::Forbidden { .. } => ("forbidden", Fate::Refused, true, None),
            Self::NotFound => ("not_found", Fate::Refused, false, None),
            Self::Conflict { .. } => ("conflict", Fate::Refused, false, None),
            Self::Rejected { .. } => ("rejected", Fate::Refused, false, None),
            Self::DryRun => ("dry_run", Fate::NotSent, false, None),
            Self::Unsupported { .. } => ("unsupported", Fate::NotSent, false, None),
            Self::Server { .. } => ("server", Fate::Unknown, true, OUT_OF_SERVICE),
            Self::Timeout => ("timeout", Fate::Unknown, true, ANSWER_LOST),
            Self::ConnectionBroken { .. } => ("broken", Fate::Unknown, true, ANSWER_LOST),
            Self::Malformed { .. } => ("nonsense", Fate::Unknown, true, ANSWER_LOST),
            Self::TooLarge { .. } => ("too_large", Fate::Unknown, true, None),
        }
    }

    /// Returns a short stable name of the failure's class, for the store, metrics and logs.
    pub const fn class(&self) -> &'static str {
        self.meaning().0
    }

    /// Returns whether the request may have had an effect.
    pub const fn effect(&self) -> Effect {
        match self.meaning().1 {
            Fate::NotSent | Fate::Refused => Effect::NotApplied,
            Fate::Unknown => Effect::Unknown,
        }
    }

    /// Returns whether the request may have reached the platform, and so counts against its rate limit. If not, release
    /// the slot with [`super::budget::Budget::release`].
    pub const fn was_sent(&self) -> bool {
        !matches!(self.meaning().1, Fate::NotSent)
    }

    /// Returns whether a read that failed like this may be retried after a wait.
    ///
    /// Failures of the network, the platform's health and the credentials are temporary or get fixed. Failures that
    /// depend on the agent or the dialect are permanent.
    pub const fn is_retryable_read(&self) -> bool {
        self.meaning().2
    }

    /// Returns what the failure tells the tenant's breaker about the platform. `None` if the platform is working or was
    /// not called.
    pub const fn trouble(&self) -> Option<PlatformTrouble> {
        self.meaning().3
    }

    /// Returns the wait that the platform asked for, in the clock's time: the least delay of a retry.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after }
            | Self::Server { retry_after, .. }
            | Self::TokenUnavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl CallError {
    /// Returns the error of a call for which no request was made.
    pub const fn without_request(purpose: &'static str, failure: Failure) -> Self {
        Self { site: CallSite { purpose, method: "", path: String::new() }, failure, sent_at: None }
    }

    /// See [`Failure::effect`].
    pub const fn effect(&self) -> Effect {
        self.failure.effect()
    }

    /// See [`Failure::is_retryable_read`].
    pub const fn is_retryable_read(&self) -> bool {
        self.failure.is_retryable_read()
    }

    /// See [`Failure::trouble`].
    pub const fn platform_trouble(&self) -> Option<PlatformTrouble> {
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
            Self::ConnectionBroken { reason } => {
                write!(f, "the connection broke before the answer was whole ({reason})")
            }
            Self::Malformed { status, excerpt } => {
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

/// Returns the start of a text for use in an error: one line without control characters, at most [`EXCERPT_CHARS`]
/// long. Every occurrence of `secrets` is replaced by stars before the text is cut.
pub fn excerpt(body: &[u8], secrets: &[&str]) -> String {
    // Scanning a few times the displayed length is enough, whatever the body's size.
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
