//! The one table of routes. The router and the OpenAPI document are both made of it, so that no route can be without a row: what
//! it needs, how large and how long a request may be, and which errors it answers with.
//!
//! A row's right is enforced before its handler is asked; which tenant and which agents are meant only the handler knows, and it
//! checks those.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::MethodRouter;
use tower_http::timeout::TimeoutLayer;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::HttpMethod;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::auth::{Caller, Right, sent_to_sign_in};
use super::problem::{self, Code, Problem};
use super::{ApiState, api, console, document, guard, live, metrics, sign_in};
use crate::domain::import::LARGEST_FILE;

/// The largest request body but for imports.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;

/// A request is answered within this, or ended with 408.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// The same for what takes its time: a large schedule to be read and stored, a long chain to be checked.
pub const IMPORTED_WITHIN: Duration = Duration::from_secs(300);

/// What a request needs to be let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing: whoever reaches the port may ask.
    Nothing,
    /// This right, at some tenant at least.
    Right(Right),
    /// To be known, whatever the rights.
    SignedIn,
}

/// How large a request may be, and how long it may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 1 MiB, 60 s.
    Ordinary,
    /// 1 MiB, 300 s.
    Long,
    /// A file: 64 MiB, 300 s.
    Import,
    /// It lasts; what limits it stands in `live` and `stall`.
    Lasting,
}

impl Kind {
    /// Bytes and time, where there are limits.
    const fn limits(self) -> Option<(usize, Duration)> {
        match self {
            Self::Ordinary => Some((BODY_LIMIT, ANSWERED_WITHIN)),
            Self::Long => Some((BODY_LIMIT, IMPORTED_WITHIN)),
            Self::Import => Some((LARGEST_FILE, IMPORTED_WITHIN)),
            Self::Lasting => None,
        }
    }
}

enum Serves {
    /// It stands in the document, with one path.
    Described(UtoipaMethodRouter<ApiState>),
    /// A page or a file for browsers.
    Page(&'static str, MethodRouter<ApiState>),
}

/// One row.
pub(super) struct Row {
    pub(super) needs: Needs,
    pub(super) kind: Kind,
    /// Errors of its own, beside those that every request may end with.
    pub(super) refuses: &'static [Code],
    serves: Serves,
}

impl Row {
    /// Handlers with `#[utoipa::path]` of one path that need the same.
    pub(super) const fn new(needs: Needs, routes: UtoipaMethodRouter<ApiState>) -> Self {
        Self { needs, kind: Kind::Ordinary, refuses: &[], serves: Serves::Described(routes) }
    }

    /// A page, which the document does not have.
    pub(super) const fn page(needs: Needs, path: &'static str, methods: MethodRouter<ApiState>) -> Self {
        Self { needs, kind: Kind::Ordinary, refuses: &[], serves: Serves::Page(path, methods) }
    }

    /// With other limits.
    pub(super) fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// With errors of its own.
    pub(super) fn refusing(self, refuses: &'static [Code]) -> Self {
        Self { refuses, ..self }
    }
}

/// Every row there is.
fn table() -> Vec<Row> {
    [
        watchdog(),
        daemon(),
        agents(),
        figures(),
        transitions(),
        jobs(),
        webhooks(),
        audit(),
        schedules(),
        the_live_picture(),
        access(),
        change_sets(),
        approvals(),
        skills(),
        rules(),
        exceptions(),
        console::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const READ: Needs = Needs::Right(Right::Read);
const CHANGE: Needs = Needs::Right(Right::Change);
const IMPORT: Needs = Needs::Right(Right::Import);

const OF_TENANT: &[Code] = &[Code::NoSuchTenant];

fn watchdog() -> Vec<Row> {
    vec![
        Row::new(Needs::Nothing, routes!(api::health::alive)),
        Row::new(Needs::Nothing, routes!(api::health::ready)),
        // What it needs is a setting, which the handler looks at.
        Row::new(Needs::Nothing, routes!(metrics::show)).refusing(&[Code::Unauthorized, Code::NotPermitted]),
        Row::new(Needs::Nothing, routes!(document::show)),
        Row::page(Needs::Nothing, "/api/docs", document::page()),
        Row::page(Needs::Nothing, "/api/docs/", document::page()),
        Row::page(Needs::Nothing, "/api/docs/{file}", document::page()),
    ]
}

fn daemon() -> Vec<Row> {
    vec![
        Row::new(READ, routes!(api::tenants::list)),
        Row::new(READ, routes!(api::status::show)).refusing(OF_TENANT),
        Row::new(CHANGE, routes!(api::platform_checks::create)).refusing(&[
            Code::NoSuchTenant,
            Code::NoSuchAgent,
            Code::Unavailable,
        ]),
    ]
}

fn agents() -> Vec<Row> {
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::Unavailable];
    const PUT: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchAgent,
        Code::ShiftsRefused,
        Code::ChangedMeanwhile,
        Code::IfMatchMissing,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    vec![
        Row::new(READ, routes!(api::agents::list)).refusing(&[Code::NoSuchTenant, Code::Unavailable]),
        Row::new(READ, routes!(api::agents::show)).refusing(ONE),
        Row::new(READ, routes!(api::course::history)).refusing(ONE),
        Row::new(READ, routes!(api::course::timeline)).refusing(ONE),
        Row::new(READ, routes!(api::shifts::list)).refusing(ONE),
        Row::new(READ, routes!(api::shifts::day)).refusing(ONE),
        Row::new(IMPORT, routes!(api::shifts::put)).refusing(PUT),
    ]
}

fn figures() -> Vec<Row> {
    vec![
        Row::new(READ, routes!(api::figures::queues)).refusing(OF_TENANT),
        Row::new(READ, routes!(api::figures::queue_history)).refusing(&[Code::NoSuchTenant, Code::NoSuchQueue]),
        Row::new(READ, routes!(api::figures::skills)).refusing(OF_TENANT),
        Row::new(READ, routes!(api::figures::skill_history)).refusing(&[Code::NoSuchTenant, Code::NoSuchSkill]),
    ]
}

fn audit() -> Vec<Row> {
    vec![
        Row::new(Needs::Right(Right::Audit), routes!(api::audit::list)).refusing(OF_TENANT),
        Row::new(Needs::Right(Right::Audit), routes!(api::audit::verify))
            .of(Kind::Long)
            .refusing(&[Code::NoSuchTenant, Code::Verifying]),
        Row::new(Needs::Right(Right::Audit), routes!(api::audit::export)).refusing(OF_TENANT),
    ]
}

fn transitions() -> Vec<Row> {
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchTransition];
    const CANCEL: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchTransition,
        Code::TooLate,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const CREATE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchAgent,
        Code::KeyReused,
        Code::StateNotSettable,
        Code::TooManyAgents,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    vec![
        Row::new(CHANGE, routes!(api::transitions::create)).refusing(CREATE),
        Row::new(READ, routes!(api::transitions::list)).refusing(OF_TENANT),
        Row::new(READ, routes!(api::transitions::show)).refusing(ONE),
        Row::new(CHANGE, routes!(api::transitions::cancel)).refusing(CANCEL),
    ]
}

fn jobs() -> Vec<Row> {
    const RUN: &[Code] = &[Code::NoSuchTenant, Code::NoSuchJob, Code::JobRunning, Code::KeyReused, Code::Unavailable];
    vec![
        Row::new(READ, routes!(api::jobs::list)).refusing(OF_TENANT),
        Row::new(READ, routes!(api::jobs::runs)).refusing(OF_TENANT),
        Row::new(Needs::Right(Right::RunJobs), routes!(api::jobs::run)).refusing(RUN),
    ]
}

fn webhooks() -> Vec<Row> {
    const LIST: &[Code] = &[Code::NoSuchTenant, Code::NoSuchWebhook, Code::NoSuchEvent];
    const ROTATE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchWebhook,
        Code::SecretNotHere,
        Code::RotatedLately,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const WISH: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchWebhook,
        Code::NoSuchEvent,
        Code::BehindAnother,
        Code::KeyReused,
        Code::Unavailable,
    ];
    vec![
        Row::new(READ, routes!(api::webhooks::list)).refusing(OF_TENANT),
        Row::new(READ, routes!(api::webhooks::deliveries)).refusing(LIST),
        Row::new(Needs::Right(Right::Webhooks), routes!(api::webhooks::retry)).refusing(WISH),
        Row::new(Needs::Right(Right::Webhooks), routes!(api::webhooks::recover)).refusing(WISH),
        Row::new(Needs::Right(Right::Webhooks), routes!(api::webhooks::test)).refusing(WISH),
        Row::new(Needs::Right(Right::Webhooks), routes!(api::webhooks::rotate)).refusing(ROTATE),
    ]
}

fn schedules() -> Vec<Row> {
    const CREATE: &[Code] = &[Code::NoSuchTenant, Code::ScheduleRefused, Code::KeyReused, Code::StoreUnavailable];
    vec![Row::new(IMPORT, routes!(api::imports::create)).of(Kind::Import).refusing(CREATE)]
}

fn the_live_picture() -> Vec<Row> {
    const VIEWER: &[Code] = &[Code::NoSuchTenant, Code::TooManyViewers];
    const SOCKET: &[Code] = &[Code::NoSuchTenant, Code::TooManyViewers, Code::NotAWebsocket];
    vec![
        Row::new(READ, routes!(live::socket)).of(Kind::Lasting).refusing(SOCKET),
        Row::new(READ, routes!(live::events)).of(Kind::Lasting).refusing(VIEWER),
    ]
}

/// Signing in and out, accounts and tokens.
fn access() -> Vec<Row> {
    const ACCOUNTS: Needs = Needs::Right(Right::Accounts);
    const SIGN_IN: &[Code] =
        &[Code::SignInWrong, Code::SignInSlow, Code::SignInRefused, Code::Unavailable, Code::StoreUnavailable];
    const ACCOUNT: &[Code] = &[
        Code::NoSuchAccount,
        Code::NoSuchTenant,
        Code::AccountRefused,
        Code::BeyondOwn,
        Code::OwnAccount,
        Code::IdTaken,
        Code::KeyReused,
        Code::ChangedMeanwhile,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const PUT: &[Code] = &[
        Code::NoSuchAccount,
        Code::NoSuchTenant,
        Code::AccountRefused,
        Code::BeyondOwn,
        Code::OwnAccount,
        Code::KeyReused,
        Code::ChangedMeanwhile,
        Code::IfMatchMissing,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const TOKEN: &[Code] = &[
        Code::NoSuchAccount,
        Code::NoSuchToken,
        Code::NoSuchTenant,
        Code::AccountRefused,
        Code::BeyondOwn,
        Code::IdTaken,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    vec![
        Row::new(Needs::SignedIn, routes!(api::me::show)),
        Row::new(ACCOUNTS, routes!(api::accounts::list, api::accounts::create)).refusing(ACCOUNT),
        Row::new(ACCOUNTS, routes!(api::accounts::show, api::accounts::put)).refusing(PUT),
        Row::new(ACCOUNTS, routes!(api::accounts::set_password)).refusing(ACCOUNT),
        Row::new(ACCOUNTS, routes!(api::accounts::make_link)).refusing(ACCOUNT),
        Row::new(ACCOUNTS, routes!(api::tokens::list, api::tokens::create)).refusing(TOKEN),
        Row::new(ACCOUNTS, routes!(api::tokens::revoke)).refusing(TOKEN),
        Row::new(Needs::Nothing, routes!(sign_in::sign_in)).refusing(SIGN_IN),
        Row::new(Needs::Nothing, routes!(sign_in::sign_out)).refusing(&[Code::StoreUnavailable]),
        Row::page(Needs::Nothing, "/sign-in", sign_in::page()),
        Row::page(Needs::Nothing, "/sign-in/once/{code}", sign_in::once()),
    ]
}

fn change_sets() -> Vec<Row> {
    const CREATE: &[Code] = &[
        Code::NoSuchTenant,
        Code::TooManyPreviews,
        Code::KeyReused,
        Code::StateNotSettable,
        Code::NobodyChosen,
        Code::TooManyAgents,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchChangeSet];
    const START: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchChangeSet,
        Code::HashDiffers,
        Code::PreviewExpired,
        Code::StartedAlready,
        Code::CancelledAlready,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const CANCEL: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchChangeSet,
        Code::TooLate,
        Code::CancelledAlready,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const UNDO: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchChangeSet,
        Code::NotStarted,
        Code::StillLeaving,
        Code::TooLateToUndo,
        Code::TooManyPreviews,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    vec![
        Row::new(CHANGE, routes!(api::change_sets::create)).refusing(CREATE),
        Row::new(READ, routes!(api::change_sets::list)).refusing(OF_TENANT),
        Row::new(READ, routes!(api::change_sets::show)).refusing(ONE),
        Row::new(CHANGE, routes!(api::change_sets::start)).refusing(START),
        Row::new(CHANGE, routes!(api::change_sets::cancel)).refusing(CANCEL),
        Row::new(CHANGE, routes!(api::change_sets::undo)).refusing(UNDO),
    ]
}

fn approvals() -> Vec<Row> {
    const DECIDE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchApproval,
        Code::TooLate,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    vec![
        Row::new(READ, routes!(api::approvals::list)).refusing(OF_TENANT),
        Row::new(CHANGE, routes!(api::approvals::accept)).refusing(DECIDE),
        Row::new(CHANGE, routes!(api::approvals::deny)).refusing(DECIDE),
    ]
}

fn skills() -> Vec<Row> {
    const AGENT: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent];
    const SET_AGENT: &[Code] =
        &[Code::NoSuchTenant, Code::NoSuchAgent, Code::KeyReused, Code::Unavailable, Code::StoreUnavailable];
    const SET: &[Code] =
        &[Code::NoSuchTenant, Code::TooManySkills, Code::KeyReused, Code::Unavailable, Code::StoreUnavailable];
    vec![
        Row::new(READ, routes!(api::skills::of_agent)).refusing(AGENT),
        Row::new(IMPORT, routes!(api::skills::set_of_agent)).refusing(SET_AGENT),
        Row::new(IMPORT, routes!(api::skills::set)).refusing(SET),
    ]
}

fn rules() -> Vec<Row> {
    const EDIT: Needs = Needs::Right(Right::EditRules);
    const LOOK: &[Code] = &[Code::NoSuchTenant, Code::NoSuchRule, Code::Unavailable];
    const WRITE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchRule,
        Code::RuleNotStored,
        Code::ChangedMeanwhile,
        Code::IfMatchMissing,
        Code::RuleRefused,
        Code::TooManyRules,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const TRY: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchRule,
        Code::RuleRefused,
        Code::TrialRefused,
        Code::TooManyTrials,
        Code::KeyReused,
        Code::Unavailable,
    ];
    const TRIAL: &[Code] = &[Code::NoSuchTenant, Code::NoSuchTrial, Code::KeyReused];
    const AGENT: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::Unavailable];
    vec![
        Row::new(READ, routes!(api::rules::list)).refusing(LOOK),
        Row::new(READ, routes!(api::rules::show)).refusing(LOOK),
        Row::new(EDIT, routes!(api::rules::write)).refusing(WRITE),
        Row::new(EDIT, routes!(api::rules::remove)).refusing(WRITE),
        Row::new(EDIT, routes!(api::rules::set_mode)).refusing(WRITE),
        Row::new(EDIT, routes!(api::rules::enable)).refusing(WRITE),
        Row::new(EDIT, routes!(api::rules::disable)).refusing(WRITE),
        Row::new(READ, routes!(api::rules::check)).refusing(LOOK),
        Row::new(READ, routes!(api::rules::versions)).refusing(OF_TENANT),
        Row::new(READ, routes!(api::rule_findings::list)).refusing(OF_TENANT),
        Row::new(READ, routes!(api::rule_findings::explain)).refusing(AGENT),
        Row::new(EDIT, routes!(api::rule_trials::create)).refusing(TRY),
        Row::new(EDIT, routes!(api::rule_trials::list)).refusing(OF_TENANT),
        Row::new(EDIT, routes!(api::rule_trials::show)).refusing(TRIAL),
        Row::new(EDIT, routes!(api::rule_trials::cancel)).refusing(TRIAL),
    ]
}

fn exceptions() -> Vec<Row> {
    const EXCUSE: Needs = Needs::Right(Right::Excuse);
    const MAKE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchAgent,
        Code::NoSuchTeam,
        Code::TooManyExceptions,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const END: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchException,
        Code::ExceptionOver,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    const LOOK: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::NoSuchException];
    vec![
        Row::new(EXCUSE, routes!(api::exceptions::create)).refusing(MAKE),
        Row::new(READ, routes!(api::exceptions::list)).refusing(LOOK),
        Row::new(READ, routes!(api::exceptions::show)).refusing(LOOK),
        Row::new(EXCUSE, routes!(api::exceptions::end)).refusing(END),
    ]
}

/// The router of the table.
pub(super) fn router(state: ApiState) -> Router {
    let (routes, _) = put_together(table(), Some(&state));
    routes
        .fallback(console::no_such_page)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(from_fn_with_state(state.clone(), guard::refuse_other_sites))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(state.clone(), guard::add_headers))
        .with_state(state)
}

/// The document of the table.
pub(super) fn described() -> OpenApi {
    put_together(table(), None).1
}

fn put_together(table: Vec<Row>, guard: Option<&ApiState>) -> (Router<ApiState>, OpenApi) {
    let mut described = OpenApiRouter::with_openapi(document::frame());
    let mut pages = Router::new();
    for row in table {
        let Row { needs, kind, refuses, serves } = row;
        let is_page = matches!(serves, Serves::Page(..));
        let kept = |methods| limited(guarded(methods, needs, is_page, guard), kind);
        match serves {
            Serves::Described((schemas, mut paths, methods)) => {
                document::complete(&mut paths, needs, kind, refuses);
                described = described.routes((schemas, paths, kept(methods)));
            }
            Serves::Page(path, methods) => pages = pages.route(path, kept(methods)),
        }
    }
    let (routes, document) = described.split_for_parts();
    (routes.merge(pages), document)
}

/// Lets in whom the row lets in. The caller is handed on, so that nobody has to look twice.
fn guarded(
    methods: MethodRouter<ApiState>,
    needs: Needs,
    is_page: bool,
    state: Option<&ApiState>,
) -> MethodRouter<ApiState> {
    match (needs, state) {
        (Needs::Nothing, _) | (_, None) => methods,
        (Needs::Right(_) | Needs::SignedIn, Some(state)) => {
            methods.route_layer(from_fn_with_state((state.clone(), needs, is_page), enforce))
        }
    }
}

async fn enforce(
    State((state, needs, is_page)): State<(ApiState, Needs, bool)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = match Caller::from_request_parts(&mut parts, &state).await {
        Ok(caller) => caller,
        Err(problem) if is_page => return Ok(sent_to_sign_in(&parts, problem)),
        Err(problem) => return Err(problem),
    };
    match needs {
        Needs::Right(right) => caller.may(right)?,
        Needs::Nothing | Needs::SignedIn => {}
    }
    parts.extensions.insert(caller);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Requests may be so large and take so long.
fn limited(methods: MethodRouter<ApiState>, kind: Kind) -> MethodRouter<ApiState> {
    let Some((body_bytes, within)) = kind.limits() else {
        return methods.route_layer(DefaultBodyLimit::max(BODY_LIMIT));
    };
    within_limits(methods, body_bytes, within)
}

fn within_limits<S>(methods: MethodRouter<S>, body_bytes: usize, within: Duration) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    methods
        .route_layer(DefaultBodyLimit::max(body_bytes))
        .route_layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, within))
        .route_layer(map_response(problem::ended))
}

/// A route as tests of rights walk it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// `GET`, `POST`, `PUT` or `DELETE`; none where a page takes what its router says.
    pub method: Option<&'static str>,
    /// The path, with `{id}` for its parts.
    pub path: String,
    /// What it needs.
    pub needs: Needs,
}

/// Every route of the table.
pub fn listed() -> Vec<Listed> {
    let mut all = Vec::new();
    for Row { needs, serves, .. } in table() {
        match serves {
            Serves::Page(path, _) => all.push(Listed { method: None, path: path.to_owned(), needs }),
            Serves::Described((_, paths, _)) => {
                for (path, item) in paths.paths {
                    let methods = METHODS.iter().filter(|(method, _)| document::operation(&item, method).is_some());
                    all.extend(methods.map(|(_, name)| Listed { method: Some(name), path: path.clone(), needs }));
                }
            }
        }
    }
    all
}

/// The methods that rows may have, with their names.
pub(super) const METHODS: [(HttpMethod, &str); 4] =
    [(HttpMethod::Get, "GET"), (HttpMethod::Post, "POST"), (HttpMethod::Put, "PUT"), (HttpMethod::Delete, "DELETE")];

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header;
    use axum::routing::get;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_request_that_is_not_answered_in_time_ends_with_a_problem_document() {
        let methods = within_limits(get(std::future::pending::<()>), BODY_LIMIT, Duration::from_millis(1));
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let answered = Router::new().route("/", methods).oneshot(request).await.expect("an answer");
        assert_eq!(answered.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(answered.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(answered.into_body(), BODY_LIMIT).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&body["code"], &body["status"]), (&json!("not_in_time"), &json!(408)));
    }

    #[test]
    fn every_row_has_a_place_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for route in listed() {
            assert!(seen.insert((route.method, route.path.clone())), "{route:?} is there twice");
        }
        assert!(seen.len() > 15, "{seen:?}");
    }
}
