//! The rows themselves, a function per group of them.

use utoipa_axum::routes;

use super::{Kind, Needs, Row};
use crate::http::auth::Right;
use crate::http::problem::Code;
use crate::http::{api, console, document, live, metrics, sign_in};

/// Every row there is.
pub(super) fn table() -> Vec<Row> {
    [
        watchdog(),
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
        the_live_picture(),
        own(),
        access(),
        change_sets(),
        approvals(),
        skills(),
        rules(),
        exceptions(),
        erasures(),
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
        Row::new(Needs::Nothing, || routes!(api::operations::health::alive)),
        Row::new(Needs::Nothing, || routes!(api::operations::health::ready)),
        // What it needs is a setting, which the handler looks at.
        Row::new(Needs::Nothing, || routes!(metrics::show)).refusing(&[Code::Unauthorized, Code::NotPermitted]),
        Row::new(Needs::Nothing, || routes!(document::show)),
        Row::page(Needs::Nothing, "/api/docs", document::page()),
        Row::page(Needs::Nothing, "/api/docs/", document::page()),
        Row::page(Needs::Nothing, "/api/docs/{file}", document::page()),
    ]
}

fn daemon() -> Vec<Row> {
    vec![
        Row::new(READ, || routes!(api::operations::tenants::list)),
        Row::new(READ, || routes!(api::operations::status::show)).refusing(OF_TENANT),
        Row::new(CHANGE, || routes!(api::platform::platform_checks::create)).refusing(&[
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
        Row::new(READ, || routes!(api::agents::list)).refusing(&[Code::NoSuchTenant, Code::Unavailable]),
        Row::new(READ, || routes!(api::agents::show)).refusing(ONE),
        Row::new(READ, || routes!(api::agents::course::history)).refusing(ONE),
        Row::new(READ, || routes!(api::agents::course::timeline)).refusing(ONE),
        Row::new(READ, || routes!(api::schedules::shifts::list)).refusing(ONE),
        Row::new(READ, || routes!(api::schedules::shifts::day)).refusing(ONE),
        Row::new(IMPORT, || routes!(api::schedules::shifts::put)).refusing(PUT),
    ]
}

fn figures() -> Vec<Row> {
    vec![
        Row::new(READ, || routes!(api::live::figures::queues)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::live::figures::queue_history))
            .refusing(&[Code::NoSuchTenant, Code::NoSuchQueue]),
        Row::new(READ, || routes!(api::live::figures::skills)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::live::figures::skill_history))
            .refusing(&[Code::NoSuchTenant, Code::NoSuchSkill]),
        Row::new(READ, || routes!(api::analytics::trends::show))
            .of(Kind::Long)
            .refusing(&[Code::NoSuchTenant, Code::NoSuchAgent]),
        Row::new(READ, || routes!(api::analytics::trends::series)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::analytics::trends::anomalies)).refusing(OF_TENANT),
    ]
}

fn audit() -> Vec<Row> {
    vec![
        Row::new(Needs::Right(Right::Audit), || routes!(api::audit::list)).refusing(OF_TENANT),
        Row::new(Needs::Right(Right::Audit), || routes!(api::audit::verify))
            .of(Kind::Long)
            .refusing(&[Code::NoSuchTenant, Code::Verifying]),
        Row::new(Needs::Right(Right::Audit), || routes!(api::audit::export)).refusing(OF_TENANT),
    ]
}

fn reports() -> Vec<Row> {
    const REPORT: Needs = Needs::Right(Right::Report);
    const ASK: &[Code] = &[
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
        Row::new(REPORT, || routes!(api::reports::create)).refusing(ASK),
        Row::new(REPORT, || routes!(api::reports::list)).refusing(OF_TENANT),
        Row::new(REPORT, || routes!(api::reports::show)).refusing(ONE),
        Row::new(REPORT, || routes!(api::reports::cancel)).refusing(CANCEL),
        Row::new(REPORT, || routes!(api::reports::file)).of(Kind::Long).refusing(FILE),
        Row::new(REPORT, || routes!(api::reports::manifest)).refusing(FILE),
    ]
}

fn analytics() -> Vec<Row> {
    const ANALYTICS: Needs = Needs::Right(Right::Analytics);
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
        Row::new(ANALYTICS, || routes!(api::analytics::queries)).refusing(OF_TENANT),
        Row::new(ANALYTICS, || routes!(api::analytics::series::series)).refusing(SERIES),
        Row::new(ANALYTICS, || routes!(api::analytics::create)).refusing(RUN),
        Row::new(ANALYTICS, || routes!(api::analytics::list)).refusing(OF_TENANT),
        Row::new(ANALYTICS, || routes!(api::analytics::show)).refusing(ONE),
        Row::new(ANALYTICS, || routes!(api::analytics::rows::rows)).refusing(ROWS),
        Row::new(ANALYTICS, || routes!(api::analytics::rows::csv)).of(Kind::Long).refusing(ROWS),
        Row::new(ANALYTICS, || routes!(api::analytics::cancel)).refusing(CANCEL),
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
        Row::new(CHANGE, || routes!(api::changes::transitions::create)).refusing(CREATE),
        Row::new(READ, || routes!(api::changes::transitions::list)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::changes::transitions::show)).refusing(ONE),
        Row::new(CHANGE, || routes!(api::changes::transitions::cancel)).refusing(CANCEL),
    ]
}

fn jobs() -> Vec<Row> {
    const RUN: &[Code] = &[Code::NoSuchTenant, Code::NoSuchJob, Code::JobRunning, Code::KeyReused, Code::Unavailable];
    vec![
        Row::new(READ, || routes!(api::jobs::list)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::jobs::runs)).refusing(OF_TENANT),
        Row::new(Needs::Right(Right::RunJobs), || routes!(api::jobs::run)).refusing(RUN),
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
        Row::new(READ, || routes!(api::webhooks::list)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::webhooks::deliveries)).refusing(LIST),
        Row::new(Needs::Right(Right::Webhooks), || routes!(api::webhooks::retry)).refusing(WISH),
        Row::new(Needs::Right(Right::Webhooks), || routes!(api::webhooks::recover)).refusing(WISH),
        Row::new(Needs::Right(Right::Webhooks), || routes!(api::webhooks::test)).refusing(WISH),
        Row::new(Needs::Right(Right::Webhooks), || routes!(api::webhooks::rotate)).refusing(ROTATE),
    ]
}

fn schedules() -> Vec<Row> {
    const CREATE: &[Code] = &[Code::NoSuchTenant, Code::ScheduleRefused, Code::KeyReused, Code::StoreUnavailable];
    vec![Row::new(IMPORT, || routes!(api::schedules::imports::create)).of(Kind::Import).refusing(CREATE)]
}

fn the_live_picture() -> Vec<Row> {
    const VIEWER: &[Code] = &[Code::NoSuchTenant, Code::TooManyViewers];
    const SOCKET: &[Code] = &[Code::CrossSite, Code::NoSuchTenant, Code::TooManyViewers, Code::NotAWebsocket];
    vec![
        Row::new(READ, || routes!(live::socket)).of(Kind::Lasting).refusing(SOCKET),
        Row::new(READ, || routes!(live::events)).of(Kind::Lasting).refusing(VIEWER),
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
        Row::new(ACCOUNTS, || routes!(api::access::accounts::list, api::access::accounts::create)).refusing(ACCOUNT),
        Row::new(ACCOUNTS, || routes!(api::access::accounts::show, api::access::accounts::put)).refusing(PUT),
        Row::new(ACCOUNTS, || routes!(api::access::accounts::set_password)).refusing(ACCOUNT),
        Row::new(ACCOUNTS, || routes!(api::access::accounts::make_link)).refusing(ACCOUNT),
        Row::new(ACCOUNTS, || routes!(api::access::tokens::list, api::access::tokens::create)).refusing(TOKEN),
        Row::new(ACCOUNTS, || routes!(api::access::tokens::revoke)).refusing(TOKEN),
        Row::new(Needs::Nothing, || routes!(sign_in::sign_in)).refusing(SIGN_IN),
        Row::new(Needs::Nothing, || routes!(sign_in::sign_out)).refusing(&[Code::StoreUnavailable]),
        Row::page(Needs::Nothing, "/sign-in", sign_in::page()),
        Row::page(Needs::Nothing, "/sign-in/once/{code}", sign_in::once()),
    ]
}

/// The caller's own account.
fn own() -> Vec<Row> {
    const SESSION: &[Code] =
        &[Code::SessionNeeded, Code::NoSuchSession, Code::KeyReused, Code::Unavailable, Code::StoreUnavailable];
    const PASSWORD: &[Code] = &[
        Code::SessionNeeded,
        Code::NoSuchSession,
        Code::PasswordWrong,
        Code::AccountRefused,
        Code::SignInSlow,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    vec![
        Row::new(Needs::SignedIn, || routes!(api::access::me::show)),
        Row::new(Needs::SignedIn, || routes!(api::access::own::sessions)),
        Row::new(Needs::SignedIn, || routes!(api::access::own::end_session)).refusing(SESSION),
        Row::new(Needs::SignedIn, || routes!(api::access::own::change_password)).refusing(PASSWORD),
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
        Code::NothingToChange,
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
        Row::new(CHANGE, || routes!(api::changes::change_sets::create)).refusing(CREATE),
        Row::new(READ, || routes!(api::changes::change_sets::list)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::changes::change_sets::show)).refusing(ONE),
        Row::new(CHANGE, || routes!(api::changes::change_sets::start)).refusing(START),
        Row::new(CHANGE, || routes!(api::changes::change_sets::cancel)).refusing(CANCEL),
        Row::new(CHANGE, || routes!(api::changes::change_sets::undo)).refusing(UNDO),
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
        Row::new(READ, || routes!(api::rules::approvals::list)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::rules::approvals::decided)).refusing(OF_TENANT),
        Row::new(CHANGE, || routes!(api::rules::approvals::accept)).refusing(DECIDE),
        Row::new(CHANGE, || routes!(api::rules::approvals::deny)).refusing(DECIDE),
    ]
}

fn skills() -> Vec<Row> {
    const AGENT: &[Code] = &[Code::NoSuchTenant, Code::NoSuchAgent];
    const SET_AGENT: &[Code] =
        &[Code::NoSuchTenant, Code::NoSuchAgent, Code::KeyReused, Code::Unavailable, Code::StoreUnavailable];
    const SET: &[Code] =
        &[Code::NoSuchTenant, Code::TooManySkills, Code::KeyReused, Code::Unavailable, Code::StoreUnavailable];
    vec![
        Row::new(READ, || routes!(api::agents::skills::of_agent)).refusing(AGENT),
        Row::new(IMPORT, || routes!(api::agents::skills::set_of_agent)).refusing(SET_AGENT),
        Row::new(IMPORT, || routes!(api::agents::skills::set)).refusing(SET),
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
        Row::new(READ, || routes!(api::rules::list)).refusing(LOOK),
        Row::new(READ, || routes!(api::rules::show)).refusing(LOOK),
        Row::new(EDIT, || routes!(api::rules::write)).refusing(WRITE),
        Row::new(EDIT, || routes!(api::rules::remove)).refusing(WRITE),
        Row::new(EDIT, || routes!(api::rules::set_mode)).refusing(WRITE),
        Row::new(EDIT, || routes!(api::rules::enable)).refusing(WRITE),
        Row::new(EDIT, || routes!(api::rules::disable)).refusing(WRITE),
        Row::new(READ, || routes!(api::rules::check)).refusing(LOOK),
        Row::new(READ, || routes!(api::rules::versions)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::rules::rule_findings::list)).refusing(OF_TENANT),
        Row::new(READ, || routes!(api::rules::rule_findings::explain)).refusing(AGENT),
        Row::new(EDIT, || routes!(api::rules::rule_trials::create)).refusing(TRY),
        Row::new(EDIT, || routes!(api::rules::rule_trials::list)).refusing(OF_TENANT),
        Row::new(EDIT, || routes!(api::rules::rule_trials::show)).refusing(TRIAL),
        Row::new(EDIT, || routes!(api::rules::rule_trials::cancel)).refusing(TRIAL),
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
        Row::new(EXCUSE, || routes!(api::adherence::exceptions::create)).refusing(MAKE),
        Row::new(READ, || routes!(api::adherence::exceptions::list)).refusing(LOOK),
        Row::new(READ, || routes!(api::adherence::exceptions::show)).refusing(LOOK),
        Row::new(EXCUSE, || routes!(api::adherence::exceptions::end)).refusing(END),
    ]
}

fn erasures() -> Vec<Row> {
    const ERASE: Needs = Needs::Right(Right::Erase);
    const ASK: &[Code] = &[
        Code::NoSuchTenant,
        Code::NoSuchAgent,
        Code::StillNamed,
        Code::KeyReused,
        Code::Unavailable,
        Code::StoreUnavailable,
    ];
    vec![
        Row::new(ERASE, || routes!(api::agents::erasures::create)).refusing(ASK),
        Row::new(ERASE, || routes!(api::agents::erasures::list)).refusing(OF_TENANT),
        Row::new(ERASE, || routes!(api::agents::erasures::show)).refusing(&[Code::NoSuchTenant, Code::NoSuchErasure]),
    ]
}
