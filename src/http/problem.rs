//! Errors as RFC 9457 problem documents with a stable `code`. What goes wrong inside is logged here, once, and not told.

use std::any::Any;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::routes::BODY_LIMIT;
use crate::domain::schedules::import::LARGEST_FILE;
use crate::engine::access::accounts::{AccountError, SignInError};
use crate::engine::changes::door::DoorError;
use crate::engine::jobs::RunRefused;
use crate::engine::webhooks::deliver::OutboxError;
use crate::store::{CommitError, ReadError};

/// One list says which codes there are, with which status, and what they mean; the OpenAPI document and `docs/api.md` have them
/// from here.
macro_rules! codes {
    ($($variant:ident = $name:literal in $status:ident: $means:literal,)+) => {
        /// What went wrong, by a name that stays.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Code {
            $(#[doc = $means] $variant,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The `code` of the document.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The status of the answer; a body that does not fit its shape has 422.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)+
                }
            }

            /// What it means, for people.
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
    SignInWrong = "sign_in_wrong" in UNAUTHORIZED: "the name or the password is wrong",
    NotPermitted = "not_permitted" in FORBIDDEN: "the token or the account lacks the right",
    BeyondOwn = "beyond_own" in FORBIDDEN: "you cannot grant rights, tenants or teams that you do not have yourself",
    CrossSite = "cross_site" in FORBIDDEN: "a page of another site sent this on behalf of a signed-in user",
    NotAProxy = "not_a_proxy" in FORBIDDEN: "the request names a signed-in user, but does not come from a trusted proxy",
    PasswordWrong = "password_wrong" in FORBIDDEN: "the current password is wrong",
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
    NoSuchTeam = "no_such_team" in NOT_FOUND: "nobody is in a team of that name, or the caller cannot access it",
    NoSuchRule = "no_such_rule" in NOT_FOUND: "the tenant has no rule of that id",
    NoSuchTrial = "no_such_trial" in NOT_FOUND: "there is no backtest of that id; backtests are discarded at a restart",
    NoSuchReport = "no_such_report" in NOT_FOUND: "the tenant has no report of that id, or none within the caller's teams",
    NoReportFile = "no_report_file" in NOT_FOUND: "the report has no file yet, or no longer has one; `detail` says which",
    NoSuchQuery = "no_such_query" in NOT_FOUND: "the tenant's configuration has no analytics query of that id",
    NoSuchRun = "no_such_run" in NOT_FOUND: "the tenant has no analytics run of that id",
    NoRows = "no_rows" in NOT_FOUND: "the analytics run has no rows yet, or no longer has them; `detail` says which",
    NoSuchErasure = "no_such_erasure" in NOT_FOUND: "the tenant has no erasure of that id",
    NoSuchException = "no_such_exception" in NOT_FOUND: "the tenant has no exception of that id",
    NoSuchPlace = "no_such_place" in NOT_FOUND: "nothing is served at this path",
    MethodNotAllowed = "method_not_allowed" in METHOD_NOT_ALLOWED: "the path does not accept this method; `Allow` names those that it does",
    NotInTime = "not_in_time" in REQUEST_TIMEOUT: "no answer in time; it may have been carried out",
    TooLate = "too_late" in CONFLICT: "the transition, or all of the change set, has been sent or has ended",
    HashDiffers = "hash_differs" in CONFLICT: "the hash is not that of the preview",
    PreviewExpired = "preview_expired" in CONFLICT: "the preview is older than ten minutes; make a new one",
    StartedAlready = "started_already" in CONFLICT: "somebody else started the change set",
    CancelledAlready = "cancelled_already" in CONFLICT: "the change set was cancelled",
    NothingToChange = "nothing_to_change" in CONFLICT: "nobody would be changed; `detail` says why, and nothing was started",
    NotStarted = "not_started" in CONFLICT: "the change set was never started, so there is nothing to undo",
    StillLeaving = "still_leaving" in CONFLICT: "changes of the set have not been answered yet; cancel it or wait",
    TooLateToUndo = "too_late_to_undo" in CONFLICT: "the change set ended more than an hour ago",
    TooManyPreviews = "too_many_previews" in CONFLICT: "fifty previews of the tenant wait for their start; cancel one",
    TooManySkills = "too_many_skills" in CONFLICT: "a thousand skills of the tenant have a name or floor",
    JobRunning = "job_running" in CONFLICT: "the job runs; `run` is the number of that run",
    BehindAnother = "behind_another" in CONFLICT: "the event waits behind an earlier one of its agent",
    RuleNotStored = "rule_not_stored" in CONFLICT: "the rule is only in the configuration, and cannot be removed here",
    NoReportFolder = "no_report_folder" in CONFLICT: "the daemon has no folder for reports; `detail` says what to do",
    StillNamed = "still_named" in CONFLICT: "the configuration or a schedule file that waits names the agent and would bring the agent back; `detail` says where",
    ExceptionOver = "exception_over" in CONFLICT: "the exception is over already",
    Verifying = "verifying" in CONFLICT: "a check of an audit chain is in progress; only one runs at a time",
    SecretNotHere = "secret_not_here" in CONFLICT: "the secret is not in a file that the daemon may write; `detail` says what to do",
    RotatedLately = "rotated_lately" in CONFLICT: "the key was changed less than a day ago; wait, or drop the old one",
    IdTaken = "id_taken" in CONFLICT: "an account or a token has that id",
    OwnAccount = "own_account" in CONFLICT: "you cannot disable or demote your own account",
    ChangedMeanwhile = "changed_meanwhile" in PRECONDITION_FAILED: "it was changed since the version that `If-Match` names; read it again",
    BodyTooLarge = "body_too_large" in PAYLOAD_TOO_LARGE: "see the limits above",
    NotJson = "not_json" in UNSUPPORTED_MEDIA_TYPE: "`Content-Type: application/json` is missing",
    KeyReused = "idempotency_key_reused" in UNPROCESSABLE_ENTITY: "the key was used for another request",
    StateNotSettable = "state_not_settable" in UNPROCESSABLE_ENTITY: "the platform cannot set this state",
    NobodyChosen = "nobody_chosen" in UNPROCESSABLE_ENTITY: "the selection contains no agent",
    TooManyAgents = "too_many_agents" in UNPROCESSABLE_ENTITY: "more agents than one request may name",
    AccountRefused = "account_refused" in UNPROCESSABLE_ENTITY: "the account or the token cannot be created or changed like this; `detail` says why",
    ScheduleRefused = "schedule_refused" in UNPROCESSABLE_ENTITY:
        "the file has faults: `complaints` has line, column, value and reason of each, `faults` their number",
    ShiftsRefused = "shifts_refused" in UNPROCESSABLE_ENTITY: "the shifts are not valid: `complaints` says why",
    RuleRefused = "rule_refused" in UNPROCESSABLE_ENTITY: "the rule does not pass the check: `complaints` has line, field and message of each",
    TooManyRules = "too_many_rules" in UNPROCESSABLE_ENTITY: "the store already has the maximum number of rules of the tenant",
    TrialRefused = "trial_refused" in UNPROCESSABLE_ENTITY: "the backtest cannot be run; `detail` says why",
    TooManyExceptions = "too_many_exceptions" in UNPROCESSABLE_ENTITY: "the maximum number of exceptions is already active or planned",
    ReportRefused = "report_refused" in UNPROCESSABLE_ENTITY: "the report cannot be made like this; `detail` says why",
    QueryRefused = "query_refused" in UNPROCESSABLE_ENTITY: "the analytics query is not valid; `detail` says why",
    NotAWebsocket = "not_a_websocket" in UPGRADE_REQUIRED: "`/live` accepts only WebSocket; use `/live/events` otherwise",
    IfMatchMissing = "if_match_missing" in PRECONDITION_REQUIRED: "send the `ETag` of what you read as `If-Match`",
    TooManyTrials = "too_many_trials" in TOO_MANY_REQUESTS: "the maximum number of backtests of the tenant already waits or runs",
    TooManyReports = "too_many_reports" in TOO_MANY_REQUESTS: "the maximum number of reports of the tenant already waits or runs",
    TooManyQueries = "too_many_queries" in TOO_MANY_REQUESTS: "the maximum number of analytics runs of the tenant already waits or runs",
    SignInSlow = "sign_in_slow" in TOO_MANY_REQUESTS: "too many wrong passwords for the account or from the address (`Retry-After`)",
    StoreUnreadable = "store_unreadable" in INTERNAL_SERVER_ERROR: "an error in the daemon; its log has the details",
    Internal = "internal" in INTERNAL_SERVER_ERROR: "an error in the daemon; its log has the details",
    TooManyViewers = "too_many_viewers" in SERVICE_UNAVAILABLE: "`server.viewers` viewers are already connected",
    Unavailable = "unavailable" in SERVICE_UNAVAILABLE: "try again soon (`Retry-After`); nothing was changed",
    StoreUnavailable = "store_unavailable" in SERVICE_UNAVAILABLE: "try again soon (`Retry-After`); nothing was changed",
}

/// What every error answers with (RFC 9457). Some have more members, named where their code is.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what `Problem` writes")]
pub(super) struct ProblemDocument {
    /// `about:blank`: the code says more.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What went wrong, by a name that stays.
    code: String,
    /// The same for people, and what to do.
    detail: String,
}

/// An answer that says what went wrong and what to do about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    more: Map<String, Value>,
    retry_after_s: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), more: Map::new(), retry_after_s: None }
    }

    /// One of the list, with its status; `detail` is for a person.
    pub fn of(code: Code, detail: impl Into<String>) -> Self {
        Self::new(code.status(), code.name(), detail)
    }

    /// 400 with what is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::of(Code::BadRequest, detail)
    }

    /// The status of the answer.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// What went wrong, by a name that stays.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The same for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }

    /// With a `Retry-After`.
    #[must_use]
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
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
            fields.extend(self.more);
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

impl From<DoorError> for Problem {
    fn from(error: DoorError) -> Self {
        let detail = error.to_string();
        match error {
            DoorError::NoTenant(_) => Self::of(Code::NoSuchTenant, detail),
            DoorError::KeyReused => Self::of(Code::KeyReused, detail),
            DoorError::NotSettable { .. } => Self::of(Code::StateNotSettable, detail),
            DoorError::TooMany { .. } => Self::of(Code::TooManyAgents, detail),
            DoorError::NotRecordable(_) => Self::of(Code::StoreUnavailable, detail).retry_after(2),
            DoorError::Unavailable => Self::of(Code::Unavailable, detail).retry_after(2),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::NoAccount(_) => Self::of(Code::NoSuchAccount, detail),
            AccountError::NoToken(_) => Self::of(Code::NoSuchToken, detail),
            AccountError::NoTenant(_) => Self::of(Code::NoSuchTenant, detail),
            AccountError::Taken(_) => Self::of(Code::IdTaken, detail),
            AccountError::BeyondOwn => Self::of(Code::BeyondOwn, detail),
            AccountError::Own => Self::of(Code::OwnAccount, detail),
            AccountError::Changed { .. } => Self::of(Code::ChangedMeanwhile, detail),
            AccountError::Field(_)
            | AccountError::Reach(_)
            | AccountError::TooMany(_)
            | AccountError::Grant
            | AccountError::Expiry => Self::of(Code::AccountRefused, detail),
            AccountError::NoSession(_) => Self::of(Code::NoSuchSession, detail),
            AccountError::WrongPassword => Self::of(Code::PasswordWrong, detail),
            AccountError::Slow(wait) => too_often(wait, detail),
            AccountError::Busy => Self::of(Code::Unavailable, detail).retry_after(2),
            AccountError::Store(error) => not_stored(error, detail),
        }
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        let detail = error.to_string();
        match error {
            SignInError::Wrong | SignInError::Link => Self::of(Code::SignInWrong, detail),
            SignInError::Slow(wait) => too_often(wait, detail),
            SignInError::Busy => Self::of(Code::Unavailable, detail).retry_after(2),
            SignInError::Store(error) => not_stored(error, detail),
        }
    }
}

fn too_often(wait: Duration, detail: String) -> Problem {
    Problem::of(Code::SignInSlow, detail).retry_after(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX))
}

fn not_stored(error: CommitError, detail: String) -> Problem {
    let cause = anyhow::Error::from(error);
    tracing::error!(error = format!("{cause:#}"), "a request could not be stored");
    Problem::of(Code::StoreUnavailable, detail).retry_after(2)
}

impl From<RunRefused> for Problem {
    fn from(refused: RunRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            RunRefused::Unknown { .. } => Self::of(Code::NoSuchJob, detail),
            RunRefused::Running { run, .. } => Self::of(Code::JobRunning, detail).with("run", run.into()),
            RunRefused::Unavailable => Self::of(Code::Unavailable, detail).retry_after(2),
        }
    }
}

impl From<OutboxError> for Problem {
    fn from(error: OutboxError) -> Self {
        let detail = error.to_string();
        match error {
            OutboxError::NoEndpoint { .. } => Self::of(Code::NoSuchWebhook, detail),
            OutboxError::NoEvent(_) => Self::of(Code::NoSuchEvent, detail),
            OutboxError::Behind { .. } => Self::of(Code::BehindAnother, detail),
            OutboxError::Unavailable => Self::of(Code::Unavailable, detail).retry_after(2),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let cause = anyhow::Error::from(error);
        tracing::error!(error = format!("{cause:#}"), "a request could not read the store");
        Self::of(Code::StoreUnreadable, "the store could not be read; see the log")
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        bad_body(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        bad_body(rejection.status(), rejection.body_text())
    }
}

/// A body that cannot be taken, by what is wrong with it.
pub(super) fn bad_body(status: StatusCode, text: String) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!(
                "the body is too large: a schedule file may have {} MiB (import it in parts), anything else {} MiB",
                LARGEST_FILE >> 20,
                BODY_LIMIT >> 20,
            );
            Problem::of(Code::BodyTooLarge, detail)
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::of(Code::NotJson, "send the body as JSON, with the header `Content-Type: application/json`")
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

pub(super) fn no_such_place(uri: &Uri) -> Problem {
    Problem::of(Code::NoSuchPlace, format!("nothing is served at {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; the Allow header names what it takes", uri.path());
    Problem::of(Code::MethodNotAllowed, detail)
}

/// What a request that was not answered in time becomes: the layer that ends it knows the status alone.
pub(super) async fn ended(response: Response) -> Response {
    if response.status() != StatusCode::REQUEST_TIMEOUT {
        return response;
    }
    let detail = "it was not answered in time and may have been carried out all the same: look before repeating it; what \
                  has an Idempotency-Key, and an import, may be repeated as it is";
    Problem::of(Code::NotInTime, detail).into_response()
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of another type"), "a request handler panicked");
    Problem::of(Code::Internal, "something went wrong here; see the log").into_response()
}
