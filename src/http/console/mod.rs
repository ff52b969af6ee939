//! The console: pages for people, rendered here and made live in the browser by modules of our own.
//!
//! A page reads the picture and the store by the same functions as the API does and changes nothing; what people change goes
//! to `/api/v1`. Text from a platform, a file or a person reaches a page through the templates' escaping alone, and never as
//! markup. Without scripts every page can be read.

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
mod shared;
mod webhooks;

use axum::routing::get;

use super::routes::{Kind, Needs, Row};

pub use assets::asset;

pub(super) use shared::failure::no_such_page;
pub(super) use shared::preferences::theme;
pub(super) use shared::shell::page;

/// The rows of the pages and files. What a page shows of a tenant, its handler checks.
pub(super) fn rows() -> Vec<Row> {
    let page = |path, methods| Row::page(Needs::SignedIn, path, methods);
    vec![
        page("/", get(live::show)),
        page("/wallboard", get(live::wallboard::show)),
        page("/agents/{id}", get(agents::agent::show)),
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
        page("/reports/compliance.csv", get(reports::download)).of(Kind::Lasting),
        page("/analytics", get(analytics::list)),
        page("/analytics/{id}", get(analytics::show)),
        page("/trends", get(analytics::trends::show)).of(Kind::Long),
        page("/audit", get(audit::show)),
        page("/webhooks", get(webhooks::list)),
        page("/webhooks/{id}", get(webhooks::deliveries)),
        page("/system", get(operations::system::show)),
        page("/account", get(access::account::show)),
        Row::page(Needs::Nothing, "/preferences", get(shared::preferences::set)),
        Row::page(Needs::Nothing, "/assets/{version}/{name}", get(assets::serve)),
    ]
}
