//! The page that imports a schedule file: the file is checked, what it would change is shown, and it is applied.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::http::api::schedules::imports::{self, ImportProfilesResponse};
use crate::http::auth::Right;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::state::ApiState;

#[derive(Template)]
#[template(path = "schedules/import.html")]
struct ScheduleImportPage {
    shell: Shell,
    /// An import is about agents of all teams, so a caller who is limited to teams cannot import.
    may_import: bool,
    profiles: Vec<String>,
}

/// `GET /schedule/import`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let may_import = request.has_right(Right::Import) && request.has_all_teams();
    let shell = request.shell(ConsolePage::Schedule, "Import a schedule");
    let profiles = if may_import {
        let listed: ImportProfilesResponse =
            request.api("/api/v1/import-profiles").call(&state, imports::profiles).await?;
        listed.profiles
    } else {
        Vec::new()
    };
    Ok(render_page(&ScheduleImportPage { shell, may_import, profiles }))
}
