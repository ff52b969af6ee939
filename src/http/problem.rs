//! Errors as RFC 9457 problem documents with a stable `code`. Internal errors are logged here, once, and their details
//! are not sent to the client.

use std::any::Any;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::routes::limits::BODY_LIMIT;
use crate::domain::schedules::import::MAX_FILE_BYTES;
use crate::engine::access::accounts::{AccountError, SignInError};
use crate::engine::changes::request::KeeperError;
use crate::engine::jobs::RunJobError;
use crate::engine::webhooks::deliver::OutboxError;
use crate::store::ReadError;

/// Defines all codes with their status and meaning; the OpenAPI document and `docs/api.md` are built from this list.
macro_rules! codes {
    ($($variant:ident = $name:literal in $status:ident: $means:literal,)+) => {
        /// The kind of error, with a stable name.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Code {
            $(#[doc = $means] $variant,)+
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the `code` of the problem document.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns the status of the response; a body with the wrong shape gets 422 instead.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)+
                }
            }

            /// Returns the meaning of the code, for people.
            pub const fn means(self) -> &'static str {
                match self {
                    $(Self::$variant => $means,)+
                }
            }
        }
    };
}

codes! {
    BadRequest = "bad_request" in BAD_REQUEST: "a path, query, header or value that cannot be used; `detail` says which",
    BadBody = "bad_body" in BAD_REQUEST: "the body is not JSON (400), or does not have the right shape (422)",
    Unauthorized = "unauthorized" in UNAUTHORIZED: "no token, or an unknown one",
    SignInFailed = "sign_in_wrong" in UNAUTHORIZED: "the name or the password is wrong",
    NotPermitted = "not_permitted" in FORBIDDEN: "the token or the account lacks the right",
    ExceedsOwnRights = "beyond_own" in FORBIDDEN: "you cannot grant rights, tenants or teams that you do not have yourself",
    CrossSite = "cross_site" in FORBIDDEN: "a page of another site sent this on behalf of a signed-in user",
    NotAProxy = "not_a_proxy" in FORBIDDEN: "the request names a signed-in user, but does not come from a trusted proxy",
    WrongPassword = "password_wrong" in FORBIDDEN: "the current password is wrong",
    SessionNeeded = "session_needed" in FORBIDDEN: "only users who have signed in here have a password and sessions",
    SignInRefused = "sign_in_refused" in FORBIDDEN: "nobody can sign in over this connection; `detail` says why",
    NoSuchTenant = "no_such_tenant" in NOT_FOUND: "no such tenant, or the token cannot access it",
    NoSuchAgent = "no_such_agent" in NOT_FOUND: "the tenant has no agent of that id, or the caller cannot access it",
    NoSuchTransition = "no_such_transition" in NOT_FOUND: "the tenant has no transition of that id",
    NoSuchAccount = "no_such_account" in NOT_FOUND: "no account of that id, or the caller cannot access it",
    NoSuchToken = "no_such_token" in NOT_FOUND: "no stored token of that id, or the caller cannot access it",
    NoSuchSession = "no_such_session" in NOT_FOUND: "the account has no session of that id, or it is over",
    NoSuchJob = "no_such_job" in NOT_FOUND: "there is no job of that id",
    NoSuchWebhook = "no_such_webhook" in NOT_FOUND: "no endpoint of that id serves or served the tenant",
    NoSuchEvent = "no_such_event" in NOT_FOUND: "the tenant has no event of that id, or no longer has it",
    NoSuchSkill = "no_such_skill" in NOT_FOUND: "the tenant has no skill of that id",
    NoSuchQueue = "no_such_queue" in NOT_FOUND: "the tenant has no queue of that id",
    NoSuchChangeSet = "no_such_change_set" in NOT_FOUND: "the tenant has no change set of that id, or none within the caller's teams",
    NoSuchApproval = "no_such_approval" in NOT_FOUND: "no rule's change of that id waits or waited for approval",
    NoSuchTeam = "no_such_team" in NOT_FOUND: "no agent is in a team of that name, or the caller cannot access it",
    NoSuchRule = "no_such_rule" in NOT_FOUND: "the tenant has no rule of that id",
    NoSuchBacktest = "no_such_trial" in NOT_FOUND: "there is no backtest of that id; backtests are discarded at a restart",
    NoSuchReport = "no_such_report" in NOT_FOUND: "the tenant has no report of that id, or none within the caller's teams",
    NoReportFile = "no_report_file" in NOT_FOUND: "the report has no file yet, or no longer has one; `detail` says which",
    NoSuchQuery = "no_such_query" in NOT_FOUND: "the tenant's configuration has no analytics query of that id",
    NoSuchRun = "no_such_run" in NOT_FOUND: "the tenant has no analytics run of that id",
    NoRows = "no_rows" in NOT_FOUND: "the analytics run has no rows yet, or no longer has them; `detail` says which",
    NoSuchErasure = "no_such_erasure" in NOT_FOUND: "the tenant has no erasure of that id",
    NoSuchException = "no_such_exception" in NOT_FOUND: "the tenant has no exception of that id",
    NoSuchOffer = "no_such_offer" in NOT_FOUND: "the tenant has no offer of that id, or none within the caller's teams",
    NoSuchScheduleVersion = "no_such_version" in NOT_FOUND: "the schedule of the tenant has no such version",
    NoSuchPath = "no_such_place" in NOT_FOUND: "nothing is served at this path",
    MethodNotAllowed = "method_not_allowed" in METHOD_NOT_ALLOWED: "the path does not accept this method; `Allow` names those that it does",
    RequestTimeout = "not_in_time" in REQUEST_TIMEOUT: "no answer in time; it may have been carried out",
    TooLate = "too_late" in CONFLICT: "the transition, or all of the change set, has been sent or has ended",
    HashMismatch = "hash_differs" in CONFLICT: "the hash is not that of the preview or the check",
    OfferNotProposed = "offer_not_proposed" in CONFLICT: "the offer does not wait for approval: it was approved or withdrawn, or its time is over",
    NothingChanges = "nothing_changes" in CONFLICT: "the schedule is already as the change would make it; `detail` says why",
    PreviewExpired = "preview_expired" in CONFLICT: "the preview is older than ten minutes; make a new one",
    AlreadyStarted = "started_already" in CONFLICT: "somebody else started the change set",
    AlreadyCancelled = "cancelled_already" in CONFLICT: "the change set was cancelled",
    NothingToChange = "nothing_to_change" in CONFLICT: "no agent would be changed; `detail` says why, and nothing was started",
    NotStarted = "not_started" in CONFLICT: "the change set was never started, so there is nothing to undo",
    ChangesInFlight = "still_leaving" in CONFLICT: "changes of the set have not been answered yet; cancel it or wait",
    TooLateToUndo = "too_late_to_undo" in CONFLICT: "the change set ended more than an hour ago",
    TooManyPreviews = "too_many_previews" in CONFLICT: "fifty previews of the tenant wait for their start; cancel one",
    TooManySkills = "too_many_skills" in CONFLICT: "a thousand skills of the tenant have a name or floor",
    JobRunning = "job_running" in CONFLICT: "the job runs; `run` is the number of that run",
    BlockedByEarlierEvent = "behind_another" in CONFLICT: "the event waits behind an earlier one of its agent",
    RuleNotStored = "rule_not_stored" in CONFLICT: "the rule is only in the configuration, and cannot be removed here",
    NoReportFolder = "no_report_folder" in CONFLICT: "the daemon has no folder for reports; `detail` says what to do",
    AgentStillReferenced = "still_named" in CONFLICT: "the configuration or a schedule file that waits names the agent and would bring the agent back; `detail` says where",
    ExceptionOver = "exception_over" in CONFLICT: "the exception is over already",
    VerificationRunning = "verifying" in CONFLICT: "a check of an audit chain is in progress; only one runs at a time",
    SecretNotWritable = "secret_not_here" in CONFLICT: "the secret is not in a file that the daemon may write; `detail` says what to do",
    RotatedRecently = "rotated_lately" in CONFLICT: "the key was changed less than a day ago; wait, or drop the old one",
    IdTaken = "id_taken" in CONFLICT: "an account or a token has that id",
    OwnAccount = "own_account" in CONFLICT: "you cannot disable or demote your own account",
    ChangedMeanwhile = "changed_meanwhile" in PRECONDITION_FAILED: "it was changed since the version that `If-Match` names; read it again",
    BodyTooLarge = "body_too_large" in PAYLOAD_TOO_LARGE: "see the limits above",
    NotJson = "not_json" in UNSUPPORTED_MEDIA_TYPE: "`Content-Type: application/json` is missing",
    KeyReused = "idempotency_key_reused" in UNPROCESSABLE_ENTITY: "the key was used for another request",
    StateNotSettable = "state_not_settable" in UNPROCESSABLE_ENTITY: "the platform cannot set this state",
    NoAgentsSelected = "nobody_chosen" in UNPROCESSABLE_ENTITY: "the selection contains no agent",
    TooManyAgents = "too_many_agents" in UNPROCESSABLE_ENTITY: "more agents than one request may name",
    AccountRefused = "account_refused" in UNPROCESSABLE_ENTITY: "the account or the token cannot be created or changed like this; `detail` says why",
    ScheduleRefused = "schedule_refused" in UNPROCESSABLE_ENTITY:
        "the file has faults: `complaints` has line, column, value and reason of each, `faults` their number",
    ImportProfile = "import_profile" in UNPROCESSABLE_ENTITY: "there is no import profile of this name, or its list of agents cannot be read",
    ShiftsRefused = "shifts_refused" in UNPROCESSABLE_ENTITY: "the shifts are not valid: `complaints` says why",
    RuleRefused = "rule_refused" in UNPROCESSABLE_ENTITY: "the rule does not pass the check: `complaints` has line, field and message of each",
    TooManyRules = "too_many_rules" in UNPROCESSABLE_ENTITY: "the store already has the maximum number of rules of the tenant",
    BacktestRefused = "trial_refused" in UNPROCESSABLE_ENTITY: "the backtest cannot be run; `detail` says why",
    TooManyExceptions = "too_many_exceptions" in UNPROCESSABLE_ENTITY: "the maximum number of exceptions is already active or planned",
    ReportRefused = "report_refused" in UNPROCESSABLE_ENTITY: "the report cannot be made like this; `detail` says why",
    QueryRefused = "query_refused" in UNPROCESSABLE_ENTITY: "the analytics query is not valid; `detail` says why",
    NotAWebsocket = "not_a_websocket" in UPGRADE_REQUIRED: "`/live` accepts only WebSocket; use `/live/events` otherwise",
    IfMatchMissing = "if_match_missing" in PRECONDITION_REQUIRED: "send the `ETag` of what you read as `If-Match`",
    TooManyBacktests = "too_many_trials" in TOO_MANY_REQUESTS: "the maximum number of backtests of the tenant already waits or runs",
    TooManyReports = "too_many_reports" in TOO_MANY_REQUESTS: "the maximum number of reports of the tenant already waits or runs",
    TooManyQueries = "too_many_queries" in TOO_MANY_REQUESTS: "the maximum number of analytics runs of the tenant already waits or runs",
    SignInThrottled = "sign_in_slow" in TOO_MANY_REQUESTS: "too many wrong passwords for the account or from the address (`Retry-After`)",
    StoreUnreadable = "store_unreadable" in INTERNAL_SERVER_ERROR: "an error in the daemon; its log has the details",
    Internal = "internal" in INTERNAL_SERVER_ERROR: "an error in the daemon; its log has the details",
    TooManyViewers = "too_many_viewers" in SERVICE_UNAVAILABLE: "`server.viewers` viewers are already connected",
    Unavailable = "unavailable" in SERVICE_UNAVAILABLE: "try again soon (`Retry-After`); nothing was changed",
    StoreUnavailable = "store_unavailable" in SERVICE_UNAVAILABLE: "try again soon (`Retry-After`); nothing was changed",
}

/// The body of an error response (RFC 9457). Some errors have further members, which the descriptions of their codes
/// name.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what `Problem` writes")]
pub(super) struct ProblemDocument {
    /// Always `about:blank`, because `code` is more specific.
    r#type: String,
    /// The HTTP status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable name of the error.
    code: String,
    /// An explanation for people of what went wrong and what to do.
    detail: String,
}

/// A response that says what went wrong and what to do about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    extra_members: Map<String, Value>,
    retry_after_s: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), extra_members: Map::new(), retry_after_s: None }
    }

    /// Creates a problem with the code and its status; `detail` is for people. What is unavailable for a moment gets a
    /// `Retry-After` header.
    pub fn from_code(code: Code, detail: impl Into<String>) -> Self {
        let retry_after_s = matches!(code, Code::Unavailable | Code::StoreUnavailable).then_some(2);
        Self { retry_after_s, ..Self::new(code.status(), code.name(), detail) }
    }

    /// Creates a problem with status 400; `detail` says what is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::from_code(Code::BadRequest, detail)
    }

    /// Returns the status of the response.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the stable name of what went wrong.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Returns what went wrong, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds a member to the document.
    #[must_use]
    pub fn with_member(mut self, key: &str, value: Value) -> Self {
        self.extra_members.insert(key.to_owned(), value);
        self
    }

    /// Adds a `Retry-After` header.
    #[must_use]
    pub(super) fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(fields) = body.as_object_mut() {
            fields.extend(self.extra_members);
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<KeeperError> for Problem {
    fn from(error: KeeperError) -> Self {
        let detail = error.to_string();
        match error {
            KeeperError::NoTenant(_) => Self::from_code(Code::NoSuchTenant, detail),
            KeeperError::KeyReused => Self::from_code(Code::KeyReused, detail),
            KeeperError::NotSettable { .. } => Self::from_code(Code::StateNotSettable, detail),
            KeeperError::TooMany { .. } => Self::from_code(Code::TooManyAgents, detail),
            KeeperError::StoreUnavailable(_) => Self::from_code(Code::StoreUnavailable, detail),
            KeeperError::Unavailable => Self::from_code(Code::Unavailable, detail),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::NoAccount(_) => Self::from_code(Code::NoSuchAccount, detail),
            AccountError::NoToken(_) => Self::from_code(Code::NoSuchToken, detail),
            AccountError::NoTenant(_) => Self::from_code(Code::NoSuchTenant, detail),
            AccountError::IdInUse(_) => Self::from_code(Code::IdTaken, detail),
            AccountError::BeyondOwnRights => Self::from_code(Code::ExceedsOwnRights, detail),
            AccountError::OwnAccount => Self::from_code(Code::OwnAccount, detail),
            AccountError::Changed { .. } => Self::from_code(Code::ChangedMeanwhile, detail),
            AccountError::Field(_)
            | AccountError::Scope(_)
            | AccountError::TooMany(_)
            | AccountError::AmbiguousGrant
            | AccountError::InvalidExpiry => Self::from_code(Code::AccountRefused, detail),
            AccountError::NoSession(_) => Self::from_code(Code::NoSuchSession, detail),
            AccountError::WrongPassword => Self::from_code(Code::WrongPassword, detail),
            AccountError::Throttled(wait) => throttled_problem(wait, detail),
            AccountError::Busy => Self::from_code(Code::Unavailable, detail),
            AccountError::Store(error) => store_unavailable(error, "a request could not be stored", detail),
        }
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        let detail = error.to_string();
        match error {
            SignInError::WrongPassword | SignInError::InvalidLink => Self::from_code(Code::SignInFailed, detail),
            SignInError::Throttled(wait) => throttled_problem(wait, detail),
            SignInError::Busy => Self::from_code(Code::Unavailable, detail),
            SignInError::Store(error) => store_unavailable(error, "a request could not be stored", detail),
        }
    }
}

fn throttled_problem(wait: Duration, detail: String) -> Problem {
    Problem::from_code(Code::SignInThrottled, detail)
        .with_retry_after(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX))
}

/// Logs why the store could not be used, with what came to nothing, and returns the problem.
pub(super) fn store_unavailable(error: impl Into<anyhow::Error>, what: &'static str, detail: String) -> Problem {
    tracing::error!(error = format!("{:#}", error.into()), "{what}");
    Problem::from_code(Code::StoreUnavailable, detail)
}

impl From<RunJobError> for Problem {
    fn from(refused: RunJobError) -> Self {
        let detail = refused.to_string();
        match refused {
            RunJobError::Unknown { .. } => Self::from_code(Code::NoSuchJob, detail),
            RunJobError::Running { run, .. } => {
                Self::from_code(Code::JobRunning, detail).with_member("run", run.into())
            }
            RunJobError::Unavailable => Self::from_code(Code::Unavailable, detail),
        }
    }
}

impl From<OutboxError> for Problem {
    fn from(error: OutboxError) -> Self {
        let detail = error.to_string();
        match error {
            OutboxError::NoEndpoint { .. } => Self::from_code(Code::NoSuchWebhook, detail),
            OutboxError::NoEvent(_) => Self::from_code(Code::NoSuchEvent, detail),
            OutboxError::Blocked { .. } => Self::from_code(Code::BlockedByEarlierEvent, detail),
            OutboxError::Unavailable => Self::from_code(Code::Unavailable, detail),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let cause = anyhow::Error::from(error);
        tracing::error!(error = format!("{cause:#}"), "a request could not read the store");
        Self::from_code(Code::StoreUnreadable, "the store could not be read; see the log")
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        body_problem(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        body_problem(rejection.status(), rejection.body_text())
    }
}

/// Returns the problem for a body that cannot be accepted.
pub(super) fn body_problem(status: StatusCode, text: String) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!(
                "the body is too large: a schedule file may have {} MiB (import it in parts), anything else {} MiB",
                MAX_FILE_BYTES >> 20,
                BODY_LIMIT >> 20,
            );
            Problem::from_code(Code::BodyTooLarge, detail)
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::from_code(Code::NotJson, "send the body as JSON, with the header `Content-Type: application/json`")
        }
        _ => Problem::new(status, Code::BadBody.name(), text),
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

pub(super) fn no_such_path(uri: &Uri) -> Problem {
    Problem::from_code(Code::NoSuchPath, format!("nothing is served at {}", uri.path()))
}

pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; the Allow header names what it takes", uri.path());
    Problem::from_code(Code::MethodNotAllowed, detail)
}

/// Replaces a timeout response by a problem document; the layer that ends the request sets only the status.
pub(super) async fn replace_timeout(response: Response) -> Response {
    if response.status() != StatusCode::REQUEST_TIMEOUT {
        return response;
    }
    let detail = "it was not answered in time and may have been carried out all the same: check before you repeat \
                  it; imports and requests with an Idempotency-Key can be repeated safely";
    Problem::from_code(Code::RequestTimeout, detail).into_response()
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(super) fn panic_response(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of another type"), "a request handler panicked");
    Problem::from_code(Code::Internal, "something went wrong here; see the log").into_response()
}
