//! The console: pages for people, rendered here and kept up to date in the browser by our own modules.
//!
//! A page reads the live view and the store through the same functions as the API, and changes nothing; people's
//! changes go to `/api/v1`. Text from a platform, a file or a person reaches a page only escaped by the templates,
//! never as markup. Every page can be read without scripts.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "templates hand over everything by reference"
)]

mod access;
mod adherence;
mod agents;
mod analytics;
mod assets;
mod audit;
mod changes;
mod live;
mod operations;
mod reports;
mod rules;
mod schedules;
mod shared;
mod webhooks;

use axum::routing::get;

use super::routes::limits::RouteKind;
use super::routes::route::{AccessRequirement, Route};

pub use assets::asset;

pub(super) use shared::page_error::page_not_found;
pub(super) use shared::preferences::theme;
pub(super) use shared::shell::{render_page, render_page_with_status};

/// Returns the rows of the pages and files. Each handler checks access to the tenant that its page shows.
pub(super) fn page_routes() -> Vec<Route> {
    let page = |path, methods| Route::page(AccessRequirement::SignedIn, path, methods);
    vec![
        page("/", get(live::show)),
        page("/wallboard", get(live::wallboard::show)),
        page("/agents/{id}", get(agents::agent::show)),
        page("/schedule", get(schedules::board::show)),
        page("/schedule/change", get(schedules::change::show)),
        page("/schedule/import", get(schedules::import::show)),
        page("/schedule/links", get(schedules::links::show)),
        page("/schedule/offers", get(schedules::offers::show)),
        page("/changes", get(changes::list)),
        page("/changes/new", get(changes::new)),
        page("/changes/{id}", get(changes::show)),
        page("/rules", get(rules::list)),
        page("/rules/new", get(rules::new)),
        page("/rules/{id}", get(rules::show)),
        page("/approvals", get(rules::approvals::list)),
        page("/exceptions", get(adherence::exceptions::list)),
        page("/exceptions/new", get(adherence::exceptions::new)),
        page("/reports", get(reports::show)),
        page("/reports/compliance.csv", get(reports::download)).with_kind(RouteKind::Streaming),
        page("/analytics", get(analytics::list)),
        page("/analytics/{id}", get(analytics::show)),
        page("/trends", get(analytics::trends::show)).with_kind(RouteKind::Long),
        page("/audit", get(audit::show)),
        page("/webhooks", get(webhooks::list)),
        page("/webhooks/{id}", get(webhooks::deliveries)),
        page("/system", get(operations::system::show)),
        page("/account", get(access::account::show)),
        Route::page(AccessRequirement::Public, "/wall/{token}", get(schedules::wall::show)),
        Route::page(
            AccessRequirement::Public,
            "/offer/{secret}",
            get(schedules::offer::show).post(schedules::offer::answer),
        ),
        Route::page(AccessRequirement::Public, "/preferences", get(shared::preferences::set_preferences)),
        Route::page(AccessRequirement::Public, "/assets/{version}/{name}", get(assets::serve_asset)),
    ]
}
