//! Sends the requests of a dialect with the tenant's token, each once, and maps every answer to a value or a
//! [`Failure`].

use std::sync::Arc;

use reqwest::{Method, StatusCode, Url};
use serde::de::IgnoredAny;

use super::Answer;
use super::client::{ApiReply, HttpCaller};
use super::error::{CallError, CallSite, Failure};
use super::status::{CallCounts, CallKind};
use super::token::{Token, TokenSource};
use super::url_path::join_path;
use crate::clock::{SharedClock, Stopwatch};
use crate::domain::time::UtcMicros;

/// The maximum size of an ordinary answer, in bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A request that is about to be sent.
pub(super) struct ApiRequest<'a> {
    pub(super) kind: CallKind,
    pub(super) purpose: &'static str,
    pub(super) method: Method,
    /// An origin that replaces the API's, to which the token may be sent.
    pub(super) origin: Option<&'a Url>,
    /// A path that replaces the API's path.
    pub(super) path: Option<&'a str>,
    /// Path segments below it, including ids.
    pub(super) segments: &'a [&'a str],
    /// The query string as it is written in the URL.
    pub(super) query: Option<String>,
    pub(super) scope: Option<&'static str>,
    pub(super) body: Option<Vec<u8>>,
    /// The value of the `Range` header.
    pub(super) range: Option<String>,
    pub(super) limit: usize,
}

impl<'a> ApiRequest<'a> {
    /// Returns a `GET` request of the API.
    pub(super) fn get(kind: CallKind, purpose: &'static str, segments: &'a [&'a str]) -> Self {
        let (origin, path, query, scope, body, range) = (None, None, None, None, None, None);
        Self {
            kind,
            purpose,
            method: Method::GET,
            origin,
            path,
            segments,
            query,
            scope,
            body,
            range,
            limit: MAX_ANSWER_BYTES,
        }
    }

    /// Returns a `POST` request of the API.
    pub(super) fn post(kind: CallKind, purpose: &'static str, segments: &'a [&'a str], body: Option<Vec<u8>>) -> Self {
        Self { method: Method::POST, body, ..Self::get(kind, purpose, segments) }
    }

    /// Names the scope that the request needs, for the error of a token without it.
    pub(super) fn with_scope(self, scope: &'static str) -> Self {
        Self { scope: Some(scope), ..self }
    }
}

/// Sends the requests of one tenant.
#[derive(Debug)]
pub(super) struct ApiClient {
    pub(super) caller: HttpCaller,
    pub(super) clock: SharedClock,
    pub(super) tokens: TokenSource,
    /// The API's path below the token's base, including the version.
    pub(super) api_path: String,
    /// The text of a refusal.
    pub(super) refusal_text: fn(&ApiReply, &[&str]) -> String,
    /// The failure that an answer with status 409 stands for.
    pub(super) read_conflict: fn(&ApiReply, &[&str]) -> Failure,
    pub(super) calls: Arc<CallCounts>,
}

impl ApiClient {
    /// Sends a request once, and converts a success with `read`.
    pub(super) async fn send<T>(
        &self,
        request: ApiRequest<'_>,
        read: impl FnOnce(&mut ApiReply, &[&str]) -> Result<T, Failure>,
    ) -> Result<Answer<T>, CallError> {
        let site = CallSite {
            purpose: request.purpose,
            method: if request.method == Method::GET { "GET" } else { "POST" },
            path: site_path(request.path.unwrap_or(&self.api_path), request.segments),
        };
        let (mut asked_at, kind, watch) = (None, request.kind, Stopwatch::start());
        let answer = self.try_send(request, read, &mut asked_at).await;
        let result = answer.map_err(|failure| CallError { site, failure, sent_at: asked_at });
        self.calls.record(kind, &result, watch.elapsed());
        result
    }

    async fn try_send<T>(
        &self,
        api_request: ApiRequest<'_>,
        read: impl FnOnce(&mut ApiReply, &[&str]) -> Result<T, Failure>,
        asked_at: &mut Option<UtcMicros>,
    ) -> Result<Answer<T>, Failure> {
        let token = self.tokens.current().await?;
        let mut url = join_path(
            api_request.origin.unwrap_or_else(|| token.base()),
            api_request.path.unwrap_or(&self.api_path),
            api_request.segments,
        )?;
        url.set_query(api_request.query.as_deref());
        let mut request = self.caller.request(api_request.method, url);
        request = request.header(reqwest::header::AUTHORIZATION, token.header());
        if let Some(body) = api_request.body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(range) = api_request.range {
            request = request.header(reqwest::header::RANGE, range);
        }
        *asked_at = Some(self.clock.now());
        let mut reply = self.caller.exchange(request, &self.clock, api_request.limit).await?;
        let secrets = [token.text().expose(), self.tokens.secret().expose()];
        self.classify(&reply, &token, api_request.scope, &secrets)?;
        let value = read(&mut reply, &secrets)?;
        Ok(reply.answer(value))
    }

    /// Maps the status to a failure. Status 304, used for snapshots, counts as a success.
    pub(super) fn classify(
        &self,
        reply: &ApiReply,
        token: &Token,
        scope: Option<&'static str>,
        secrets: &[&str],
    ) -> Result<(), Failure> {
        if reply.status == StatusCode::UNAUTHORIZED {
            self.tokens.report_refused(token);
            return Err(Failure::Unauthorized);
        }
        if reply.status.is_success() || reply.status.is_client_error() {
            self.tokens.report_accepted(token);
        }
        let status = reply.status.as_u16();
        Err(match reply.status {
            status if status.is_success() || status == StatusCode::NOT_MODIFIED => return Ok(()),
            StatusCode::FORBIDDEN => Failure::Forbidden { scope },
            StatusCode::NOT_FOUND => Failure::NotFound,
            StatusCode::REQUEST_TIMEOUT => Failure::Timeout,
            StatusCode::CONFLICT => (self.read_conflict)(reply, secrets),
            StatusCode::TOO_MANY_REQUESTS => Failure::Throttled { retry_after: reply.retry_after() },
            other if other.is_client_error() => {
                Failure::Rejected { status, excerpt: (self.refusal_text)(reply, secrets) }
            }
            other if other.is_server_error() => Failure::Server { status, retry_after: reply.retry_after() },
            _ => reply.malformed("a success or an error", secrets),
        })
    }
}

/// Checks the successful answer to a change. No dialect documents a body, so an empty one, a short text or any JSON is
/// accepted. An HTML page or incomplete JSON may come from an intermediary, so the effect is unknown.
pub(super) fn check_acceptance(reply: &mut ApiReply, secrets: &[&str]) -> Result<(), Failure> {
    let looks_like_json = matches!(reply.body.trim_ascii_start().first(), Some(b'{' | b'['));
    let broken = looks_like_json && serde_json::from_slice::<IgnoredAny>(&reply.body).is_err();
    if reply.status.is_redirection() || reply.is_html() || broken {
        return Err(reply.malformed("an acceptance", secrets));
    }
    Ok(())
}

/// Returns a path as errors show it.
fn site_path(path: &str, segments: &[&str]) -> String {
    std::iter::once(path.trim_end_matches('/')).chain(segments.iter().copied()).collect::<Vec<_>>().join("/")
}
