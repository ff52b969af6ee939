//! The rows of the table, in one function per group.

use utoipa_axum::routes;

use super::limits::RouteKind;
use super::route::{AccessRequirement, Route};
use crate::http::auth::Right;
use crate::http::problem::Code;
use crate::http::{api, console, live_stream, metrics, openapi, sign_in};

/// Returns all rows.
pub(super) fn table() -> Vec<Route> {
    [
        health(),
        daemon(),
        agents(),
        figures(),
        transitions(),
        jobs(),
        webhooks(),
        audit(),
        reports(),
        analytics(),
        schedules(),
        offers(),
        live_view(),
        own_account(),
        access(),
        change_sets(),
        approvals(),
        skills(),
        rules(),
        exceptions(),
        erasures(),
        console::page_routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const READ: AccessRequirement = AccessRequirement::Right(Right::Read);
const CHANGE: AccessRequirement = AccessRequirement::Right(Right::Change);
const IMPORT: AccessRequirement = AccessRequirement::Right(Right::Import);
const EDIT_SCHEDULES: AccessRequirement = AccessRequirement::Right(Right::EditSchedules);

const TENANT_ERRORS: &[Code] = &[Code::NoSuchTenant];

fn health() -> Vec<Route> {
    vec![
        Route::new(AccessRequirement::Public, || routes!(api::operations::health::alive)),
        Route::new(AccessRequirement::Public, || routes!(api::operations::health::ready)),
        // The requirement is a setting, which the handler checks.
        Route::new(AccessRequirement::Public, || routes!(metrics::show))
            .with_errors(&[Code::Unauthorized, Code::NotPermitted]),
        Route::new(AccessRequirement::Public, || routes!(openapi::show)),
        Route::page(AccessRequirement::Public, "/api/docs", openapi::docs_page()),
        Route::page(AccessRequirement::Public, "/api/docs/", openapi::docs_page()),
        Route::page(AccessRequirement::Public, "/api/docs/{file}", openapi::docs_page()),
    ]
}

fn daemon() -> Vec<Route> {
    vec![
        Route::new(READ, || routes!(api::operations::tenants::list)),
        Route::new(READ, || routes!(api::operations::status::show)).with_errors(TENANT_ERRORS),
        Route::new(CHANGE, || routes!(api::platform::platform_checks::create)).with_errors(&[
            Code::NoSuchTenant,
            Code::NoSuchAgent,
            Code::Unavailable,
        ]),
    ]
}

fn agents() -> Vec<Route> {
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::Unavailable];
    const PUT: &[Code] =
        &[Code::NoSuchTenant, Code::NoSuchAgent, Code::ShiftsRefused, Code::ChangedMeanwhile, Code::IfMatchMissing];
    vec![
        Route::new(READ, || routes!(api::agents::list)).with_errors(&[Code::NoSuchTenant, Code::Unavailable]),
        Route::new(READ, || routes!(api::agents::show)).with_errors(ONE),
        Route::new(READ, || routes!(api::agents::history::history)).with_errors(ONE),
        Route::new(READ, || routes!(api::agents::history::timeline)).with_errors(ONE),
        Route::new(READ, || routes!(api::schedules::board::show)).with_errors(&[Code::NoSuchTenant, Code::Unavailable]),
        Route::new(READ, || routes!(api::schedules::shifts::list)).with_errors(ONE),
        Route::new(READ, || routes!(api::schedules::shifts::day)).with_errors(ONE),
        Route::new(IMPORT, || routes!(api::schedules::shifts::put)).with_errors(PUT).that_changes(),
    ]
}

fn figures() -> Vec<Route> {
    vec![
        Route::new(READ, || routes!(api::live::figures::queues)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::live::figures::queue_history))
            .with_errors(&[Code::NoSuchTenant, Code::NoSuchQueue]),
        Route::new(READ, || routes!(api::live::figures::skills)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::live::figures::skill_history))
            .with_errors(&[Code::NoSuchTenant, Code::NoSuchSkill]),
        Route::new(READ, || routes!(api::analytics::trends::show))
            .with_kind(RouteKind::Long)
            .with_errors(&[Code::NoSuchTenant, Code::NoSuchAgent]),
        Route::new(READ, || routes!(api::analytics::trends::series)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::analytics::trends::anomalies)).with_errors(TENANT_ERRORS),
    ]
}

fn audit() -> Vec<Route> {
    const AUDIT: AccessRequirement = AccessRequirement::Right(Right::Audit);
    vec![
        Route::new(AUDIT, || routes!(api::audit::list)).with_errors(TENANT_ERRORS),
        Route::new(AUDIT, || routes!(api::audit::verify))
            .with_kind(RouteKind::Long)
            .with_errors(&[Code::NoSuchTenant, Code::VerificationRunning]),
        Route::new(AUDIT, || routes!(api::audit::export)).with_errors(TENANT_ERRORS),
    ]
}

fn reports() -> Vec<Route> {
    const REPORT: AccessRequirement = AccessRequirement::Right(Right::Report);
    const CREATE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchTeam,
        Code::ReportRefused,
        Code::TooManyReports,
        Code::NoReportFolder,
        Code::KeyReused,
        Code::StoreUnavailable,
    ];
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchReport];
    const FILE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchReport, Code::NoReportFile];
    const CANCEL: &[Code] = &[Code::NoSuchTenant, Code::NoSuchReport, Code::KeyReused, Code::StoreUnavailable];
    vec![
        Route::new(REPORT, || routes!(api::reports::create)).with_errors(CREATE),
        Route::new(REPORT, || routes!(api::reports::list)).with_errors(TENANT_ERRORS),
        Route::new(REPORT, || routes!(api::reports::show)).with_errors(ONE),
        Route::new(REPORT, || routes!(api::reports::cancel)).with_errors(CANCEL),
        Route::new(REPORT, || routes!(api::reports::file)).with_kind(RouteKind::Long).with_errors(FILE),
        Route::new(REPORT, || routes!(api::reports::manifest)).with_errors(FILE),
    ]
}

fn analytics() -> Vec<Route> {
    const ANALYTICS: AccessRequirement = AccessRequirement::Right(Right::Analytics);
    const RUN: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchQuery,
        Code::QueryRefused,
        Code::TooManyQueries,
        Code::KeyReused,
        Code::StoreUnavailable,
    ];
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchRun];
    const ROWS: &[Code] = &[Code::NoSuchTenant, Code::NoSuchRun, Code::NoRows];
    const SERIES: &[Code] = &[Code::NoSuchTenant, Code::NoSuchQuery, Code::NoSuchRun, Code::NoRows];
    const CANCEL: &[Code] = &[Code::NoSuchTenant, Code::NoSuchRun, Code::KeyReused, Code::StoreUnavailable];
    vec![
        Route::new(ANALYTICS, || routes!(api::analytics::queries)).with_errors(TENANT_ERRORS),
        Route::new(ANALYTICS, || routes!(api::analytics::series::series)).with_errors(SERIES),
        Route::new(ANALYTICS, || routes!(api::analytics::create)).with_errors(RUN),
        Route::new(ANALYTICS, || routes!(api::analytics::list)).with_errors(TENANT_ERRORS),
        Route::new(ANALYTICS, || routes!(api::analytics::show)).with_errors(ONE),
        Route::new(ANALYTICS, || routes!(api::analytics::rows::rows)).with_errors(ROWS),
        Route::new(ANALYTICS, || routes!(api::analytics::rows::csv)).with_kind(RouteKind::Long).with_errors(ROWS),
        Route::new(ANALYTICS, || routes!(api::analytics::cancel)).with_errors(CANCEL),
    ]
}

fn transitions() -> Vec<Route> {
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchTransition];
    const CANCEL: &[Code] = &[Code::NoSuchTenant, Code::NoSuchTransition, Code::TooLate];
    const CREATE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::StateNotSettable, Code::TooManyAgents];
    vec![
        Route::new(CHANGE, || routes!(api::changes::transitions::create)).with_errors(CREATE).that_changes(),
        Route::new(READ, || routes!(api::changes::transitions::list)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::changes::transitions::show)).with_errors(ONE),
        Route::new(CHANGE, || routes!(api::changes::transitions::cancel)).with_errors(CANCEL).that_changes(),
    ]
}

fn jobs() -> Vec<Route> {
    const RUN: &[Code] = &[Code::NoSuchTenant, Code::NoSuchJob, Code::JobRunning, Code::KeyReused, Code::Unavailable];
    vec![
        Route::new(READ, || routes!(api::jobs::list)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::jobs::runs)).with_errors(TENANT_ERRORS),
        Route::new(AccessRequirement::Right(Right::RunJobs), || routes!(api::jobs::run)).with_errors(RUN),
    ]
}

fn webhooks() -> Vec<Route> {
    const WEBHOOKS: AccessRequirement = AccessRequirement::Right(Right::Webhooks);
    const LIST: &[Code] = &[Code::NoSuchTenant, Code::NoSuchWebhook, Code::NoSuchEvent];
    const ROTATE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchWebhook, Code::SecretNotWritable, Code::RotatedRecently];
    const REDELIVER: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchWebhook,
        Code::NoSuchEvent,
        Code::BlockedByEarlierEvent,
        Code::KeyReused,
        Code::Unavailable,
    ];
    vec![
        Route::new(READ, || routes!(api::webhooks::list)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::webhooks::deliveries)).with_errors(LIST),
        Route::new(WEBHOOKS, || routes!(api::webhooks::retry)).with_errors(REDELIVER),
        Route::new(WEBHOOKS, || routes!(api::webhooks::recover)).with_errors(REDELIVER),
        Route::new(WEBHOOKS, || routes!(api::webhooks::test)).with_errors(REDELIVER),
        Route::new(WEBHOOKS, || routes!(api::webhooks::rotate)).with_errors(ROTATE).that_changes(),
    ]
}

fn schedules() -> Vec<Route> {
    const CHECK: &[Code] = &[Code::NoSuchTenant, Code::ScheduleRefused, Code::ImportProfile, Code::StoreUnavailable];
    const CREATE: &[Code] = &[
        Code::NoSuchTenant,
        Code::ScheduleRefused,
        Code::ImportProfile,
        Code::HashMismatch,
        Code::KeyReused,
        Code::StoreUnavailable,
    ];
    const IMPORT_STAFFING: &[Code] =
        &[Code::NoSuchTenant, Code::ScheduleRefused, Code::KeyReused, Code::StoreUnavailable];
    const CHECK_EDIT: &[Code] =
        &[Code::NoSuchTenant, Code::NoSuchAgent, Code::NoSuchTeam, Code::BadBody, Code::StoreUnavailable];
    const EDIT: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchAgent,
        Code::NoSuchTeam,
        Code::BadBody,
        Code::HashMismatch,
        Code::NothingChanges,
        Code::KeyReused,
        Code::StoreUnavailable,
    ];
    const CHECK_UNDO: &[Code] =
        &[Code::NoSuchTenant, Code::NoSuchScheduleVersion, Code::BadBody, Code::StoreUnavailable];
    const UNDO: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchScheduleVersion,
        Code::BadBody,
        Code::HashMismatch,
        Code::NothingChanges,
        Code::KeyReused,
        Code::StoreUnavailable,
    ];
    vec![
        Route::new(IMPORT, || routes!(api::schedules::imports::create))
            .with_kind(RouteKind::Import)
            .with_errors(CREATE),
        Route::new(IMPORT, || routes!(api::schedules::imports::profiles)).with_errors(TENANT_ERRORS),
        Route::new(IMPORT, || routes!(api::schedules::imports::check)).with_kind(RouteKind::Import).with_errors(CHECK),
        Route::new(IMPORT, || routes!(api::schedules::staffing::import))
            .with_kind(RouteKind::Import)
            .with_errors(IMPORT_STAFFING),
        Route::new(READ, || routes!(api::schedules::staffing::show))
            .with_errors(&[Code::NoSuchTenant, Code::Unavailable]),
        Route::new(EDIT_SCHEDULES, || routes!(api::schedules::edits::check)).with_errors(CHECK_EDIT),
        Route::new(EDIT_SCHEDULES, || routes!(api::schedules::edits::create)).with_errors(EDIT),
        Route::new(READ, || routes!(api::schedules::export::show)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::schedules::versions::list)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::schedules::sources::list)).with_errors(TENANT_ERRORS),
        Route::new(IMPORT, || routes!(api::schedules::versions::check_undo)).with_errors(CHECK_UNDO),
        Route::new(IMPORT, || routes!(api::schedules::versions::undo)).with_errors(UNDO),
    ]
}

fn offers() -> Vec<Route> {
    const MAKE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchAgent,
        Code::NoSuchTeam,
        Code::BadBody,
        Code::NothingChanges,
        Code::KeyReused,
        Code::StoreUnavailable,
    ];
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchOffer];
    const APPROVE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchOffer,
        Code::BadBody,
        Code::OfferNotProposed,
        Code::NothingChanges,
        Code::KeyReused,
        Code::StoreUnavailable,
    ];
    const WITHDRAW: &[Code] =
        &[Code::NoSuchTenant, Code::NoSuchOffer, Code::BadBody, Code::KeyReused, Code::StoreUnavailable];
    vec![
        Route::new(EDIT_SCHEDULES, || routes!(api::schedules::offers::create)).with_errors(MAKE),
        Route::new(READ, || routes!(api::schedules::offers::list)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::schedules::offers::show)).with_errors(ONE),
        Route::new(EDIT_SCHEDULES, || routes!(api::schedules::offers::approve)).with_errors(APPROVE),
        Route::new(EDIT_SCHEDULES, || routes!(api::schedules::offers::withdraw)).with_errors(WITHDRAW),
    ]
}

fn live_view() -> Vec<Route> {
    const VIEWER: &[Code] = &[Code::NoSuchTenant, Code::TooManyViewers];
    const SOCKET: &[Code] = &[Code::CrossSite, Code::NoSuchTenant, Code::TooManyViewers, Code::NotAWebsocket];
    vec![
        Route::new(READ, || routes!(live_stream::socket)).with_kind(RouteKind::Streaming).with_errors(SOCKET),
        Route::new(READ, || routes!(live_stream::events)).with_kind(RouteKind::Streaming).with_errors(VIEWER),
    ]
}

/// Returns the routes for signing in and out, accounts and tokens.
fn access() -> Vec<Route> {
    const ACCOUNTS: AccessRequirement = AccessRequirement::Right(Right::Accounts);
    const SIGN_IN: &[Code] =
        &[Code::SignInFailed, Code::SignInThrottled, Code::SignInRefused, Code::Unavailable, Code::StoreUnavailable];
    const ACCOUNT: &[Code] = &[
        Code::NoSuchAccount,
        Code::NoSuchTenant,
        Code::AccountRefused,
        Code::ExceedsOwnRights,
        Code::OwnAccount,
        Code::IdTaken,
        Code::ChangedMeanwhile,
    ];
    const PUT: &[Code] = &[
        Code::NoSuchAccount,
        Code::NoSuchTenant,
        Code::AccountRefused,
        Code::ExceedsOwnRights,
        Code::OwnAccount,
        Code::ChangedMeanwhile,
        Code::IfMatchMissing,
    ];
    const TOKEN: &[Code] = &[
        Code::NoSuchAccount,
        Code::NoSuchToken,
        Code::NoSuchTenant,
        Code::AccountRefused,
        Code::ExceedsOwnRights,
        Code::IdTaken,
    ];
    vec![
        Route::new(ACCOUNTS, || routes!(api::access::accounts::list, api::access::accounts::create))
            .with_errors(ACCOUNT)
            .that_changes(),
        Route::new(ACCOUNTS, || routes!(api::access::accounts::show, api::access::accounts::put))
            .with_errors(PUT)
            .that_changes(),
        Route::new(ACCOUNTS, || routes!(api::access::accounts::set_password)).with_errors(ACCOUNT).that_changes(),
        Route::new(ACCOUNTS, || routes!(api::access::accounts::make_link)).with_errors(ACCOUNT).that_changes(),
        Route::new(ACCOUNTS, || routes!(api::access::tokens::list, api::access::tokens::create))
            .with_errors(TOKEN)
            .that_changes(),
        Route::new(ACCOUNTS, || routes!(api::access::tokens::revoke)).with_errors(TOKEN).that_changes(),
        Route::new(AccessRequirement::Public, || routes!(sign_in::sign_in)).with_errors(SIGN_IN),
        Route::new(AccessRequirement::Public, || routes!(sign_in::sign_out)).with_errors(&[Code::StoreUnavailable]),
        Route::page(AccessRequirement::Public, "/sign-in", sign_in::sign_in_page()),
        Route::page(AccessRequirement::Public, "/sign-in/once/{code}", sign_in::one_time_link_page()),
    ]
}

/// Returns the routes of the caller's own account.
fn own_account() -> Vec<Route> {
    const SESSION: &[Code] = &[Code::SessionNeeded, Code::NoSuchSession];
    const PASSWORD: &[Code] =
        &[Code::SessionNeeded, Code::NoSuchSession, Code::WrongPassword, Code::AccountRefused, Code::SignInThrottled];
    vec![
        Route::new(AccessRequirement::SignedIn, || routes!(api::access::me::show)),
        Route::new(AccessRequirement::SignedIn, || routes!(api::access::own_account::sessions)),
        Route::new(AccessRequirement::SignedIn, || routes!(api::access::own_account::end_session))
            .with_errors(SESSION)
            .that_changes(),
        Route::new(AccessRequirement::SignedIn, || routes!(api::access::own_account::change_password))
            .with_errors(PASSWORD)
            .that_changes(),
    ]
}

fn change_sets() -> Vec<Route> {
    const CREATE: &[Code] = &[
        Code::NoSuchTenant,
        Code::TooManyPreviews,
        Code::StateNotSettable,
        Code::NoAgentsSelected,
        Code::TooManyAgents,
    ];
    const ONE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchChangeSet];
    const START: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchChangeSet,
        Code::HashMismatch,
        Code::PreviewExpired,
        Code::AlreadyStarted,
        Code::AlreadyCancelled,
        Code::NothingToChange,
    ];
    const CANCEL: &[Code] = &[Code::NoSuchTenant, Code::NoSuchChangeSet, Code::TooLate, Code::AlreadyCancelled];
    const UNDO: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchChangeSet,
        Code::NotStarted,
        Code::ChangesInFlight,
        Code::TooLateToUndo,
        Code::TooManyPreviews,
    ];
    vec![
        Route::new(CHANGE, || routes!(api::changes::change_sets::create)).with_errors(CREATE).that_changes(),
        Route::new(READ, || routes!(api::changes::change_sets::list)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::changes::change_sets::show)).with_errors(ONE),
        Route::new(CHANGE, || routes!(api::changes::change_sets::start)).with_errors(START).that_changes(),
        Route::new(CHANGE, || routes!(api::changes::change_sets::cancel)).with_errors(CANCEL).that_changes(),
        Route::new(CHANGE, || routes!(api::changes::change_sets::undo)).with_errors(UNDO).that_changes(),
    ]
}

fn approvals() -> Vec<Route> {
    const DECIDE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchApproval, Code::TooLate];
    vec![
        Route::new(READ, || routes!(api::rules::approvals::list)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::rules::approvals::decisions)).with_errors(TENANT_ERRORS),
        Route::new(CHANGE, || routes!(api::rules::approvals::accept)).with_errors(DECIDE).that_changes(),
        Route::new(CHANGE, || routes!(api::rules::approvals::deny)).with_errors(DECIDE).that_changes(),
    ]
}

fn skills() -> Vec<Route> {
    const AGENT: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent];
    const SET_AGENT: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent];
    const SET: &[Code] = &[Code::NoSuchTenant, Code::TooManySkills];
    vec![
        Route::new(READ, || routes!(api::agents::skills::agent_skills)).with_errors(AGENT),
        Route::new(IMPORT, || routes!(api::agents::skills::set_agent_skills)).with_errors(SET_AGENT).that_changes(),
        Route::new(IMPORT, || routes!(api::agents::skills::set_skill)).with_errors(SET).that_changes(),
    ]
}

fn rules() -> Vec<Route> {
    const EDIT: AccessRequirement = AccessRequirement::Right(Right::EditRules);
    const SHOW: &[Code] = &[Code::NoSuchTenant, Code::NoSuchRule, Code::Unavailable];
    const WRITE: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchRule,
        Code::RuleNotStored,
        Code::ChangedMeanwhile,
        Code::IfMatchMissing,
        Code::RuleRefused,
        Code::TooManyRules,
    ];
    const BACKTEST: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchRule,
        Code::RuleRefused,
        Code::BacktestRefused,
        Code::TooManyBacktests,
        Code::KeyReused,
        Code::Unavailable,
    ];
    const SHOW_BACKTEST: &[Code] = &[Code::NoSuchTenant, Code::NoSuchBacktest, Code::KeyReused];
    const AGENT: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::Unavailable];
    vec![
        Route::new(READ, || routes!(api::rules::list)).with_errors(SHOW),
        Route::new(READ, || routes!(api::rules::show)).with_errors(SHOW),
        Route::new(EDIT, || routes!(api::rules::write)).with_errors(WRITE).that_changes(),
        Route::new(EDIT, || routes!(api::rules::remove)).with_errors(WRITE).that_changes(),
        Route::new(EDIT, || routes!(api::rules::set_mode)).with_errors(WRITE).that_changes(),
        Route::new(EDIT, || routes!(api::rules::enable)).with_errors(WRITE).that_changes(),
        Route::new(EDIT, || routes!(api::rules::disable)).with_errors(WRITE).that_changes(),
        Route::new(READ, || routes!(api::rules::check)).with_errors(SHOW),
        Route::new(READ, || routes!(api::rules::versions)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::rules::rule_findings::list)).with_errors(TENANT_ERRORS),
        Route::new(READ, || routes!(api::rules::rule_findings::explain)).with_errors(AGENT),
        Route::new(EDIT, || routes!(api::rules::backtests::create)).with_errors(BACKTEST),
        Route::new(EDIT, || routes!(api::rules::backtests::list)).with_errors(TENANT_ERRORS),
        Route::new(EDIT, || routes!(api::rules::backtests::show)).with_errors(SHOW_BACKTEST),
        Route::new(EDIT, || routes!(api::rules::backtests::cancel)).with_errors(SHOW_BACKTEST),
    ]
}

fn exceptions() -> Vec<Route> {
    const APPROVE: AccessRequirement = AccessRequirement::Right(Right::Excuse);
    const CREATE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::NoSuchTeam, Code::TooManyExceptions];
    const END: &[Code] = &[Code::NoSuchTenant, Code::NoSuchException, Code::ExceptionOver];
    const SHOW: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::NoSuchException];
    vec![
        Route::new(APPROVE, || routes!(api::adherence::exceptions::create)).with_errors(CREATE).that_changes(),
        Route::new(READ, || routes!(api::adherence::exceptions::list)).with_errors(SHOW),
        Route::new(READ, || routes!(api::adherence::exceptions::show)).with_errors(SHOW),
        Route::new(APPROVE, || routes!(api::adherence::exceptions::end)).with_errors(END).that_changes(),
    ]
}

fn erasures() -> Vec<Route> {
    const ERASE: AccessRequirement = AccessRequirement::Right(Right::Erase);
    const CREATE: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent, Code::AgentStillReferenced];
    vec![
        Route::new(ERASE, || routes!(api::agents::erasures::create)).with_errors(CREATE).that_changes(),
        Route::new(ERASE, || routes!(api::agents::erasures::list)).with_errors(TENANT_ERRORS),
        Route::new(ERASE, || routes!(api::agents::erasures::show))
            .with_errors(&[Code::NoSuchTenant, Code::NoSuchErasure]),
    ]
}
