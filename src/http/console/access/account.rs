//! The account page: the caller's access, the sessions, and changing the password.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::domain::time::UtcMicros;
use crate::http::api::access::{me, own_account};
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::state::ApiState;

#[derive(Deserialize)]
struct TenantAccess {
    id: String,
    teams: Option<Vec<String>>,
}

impl TenantAccess {
    /// Returns the teams, for people.
    fn teams(&self) -> String {
        self.teams.as_ref().map_or_else(|| "all teams".to_owned(), |teams| teams.join(", "))
    }
}

#[derive(Deserialize)]
struct CallerInfo {
    id: String,
    name: String,
    kind: String,
    role: Option<String>,
    everywhere: bool,
    tenants: Vec<TenantAccess>,
    has_password: bool,
}

/// A session of the user.
#[derive(Deserialize)]
struct Session {
    id: String,
    made_at: UtcMicros,
    seen_at: UtcMicros,
    source: Option<String>,
    expires_at: UtcMicros,
    this: bool,
}

#[derive(Deserialize)]
struct SessionList {
    sessions: Vec<Session>,
}

#[derive(Template)]
#[template(path = "access/account.html")]
struct AccountPage {
    shell: Shell,
    me: CallerInfo,
    sessions: Vec<Session>,
}

/// `GET /account`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    let me: CallerInfo = request.api("/api/v1/me").call(&state, me::show).await?;
    let SessionList { sessions } = request.api("/api/v1/me/sessions").call(&state, own_account::sessions).await?;
    let shell = request.shell(ConsolePage::Account, "Your account");
    Ok(render_page(&AccountPage { shell, me, sessions }))
}
