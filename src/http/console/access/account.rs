//! Your account: who you are here, where you are signed in, and another password.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::access::{me, own};
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::read::{Want, read};
use crate::http::console::shared::shell::{Place, Shell, page};
use crate::http::console::shared::times::{Stamp, Times};

#[derive(Deserialize)]
struct Reached {
    id: String,
    teams: Option<Vec<String>>,
}

impl Reached {
    /// The teams, in words.
    fn teams(&self) -> String {
        self.teams.as_ref().map_or_else(|| "all teams".to_owned(), |teams| teams.join(", "))
    }
}

#[derive(Deserialize)]
struct Me {
    id: String,
    name: String,
    kind: String,
    role: Option<String>,
    everywhere: bool,
    tenants: Vec<Reached>,
    has_password: bool,
}

/// Somewhere the person is signed in.
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
struct Sessions {
    sessions: Vec<Session>,
}

#[derive(Template)]
#[template(path = "access/account.html")]
struct AccountPage {
    shell: Shell,
    times: Times,
    me: Me,
    sessions: Vec<Session>,
}

impl AccountPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }
}

/// `GET /account`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    let me: Me = read(&state, &ask, Want { route: "/api/v1/me", id: None, query: &[] }, me::show).await?;
    let want = Want { route: "/api/v1/me/sessions", id: None, query: &[] };
    let Sessions { sessions } = read(&state, &ask, want, own::sessions).await?;
    let shell = ask.shell(Place::Account, "Your account");
    Ok(page(&AccountPage { shell, times: ask.times, me, sessions }))
}
