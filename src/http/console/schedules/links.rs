//! The page of links to the schedule board: for a screen on the wall, or for somebody without an account. A link is a
//! stored token that has only the right to open the board of its teams.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::domain::access::account::{StoredToken, TokenGrant};
use crate::domain::access::rights::Scope;
use crate::domain::ids::TenantId;
use crate::http::api::access::accounts::author;
use crate::http::auth::Right;
use crate::http::console::live::live_view::LiveView;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::console::shared::times::Stamp;
use crate::http::state::ApiState;

#[derive(Template)]
#[template(path = "schedules/links.html")]
struct LinksPage {
    shell: Shell,
    /// The team that was chosen on the board; empty for all of them.
    team: String,
    teams: Vec<String>,
    links: Vec<BoardLink>,
}

/// A link that can be opened.
struct BoardLink {
    id: String,
    teams: String,
    created_by: String,
    created_at: Stamp,
    /// `None` if the link does not expire.
    expires_at: Option<Stamp>,
    /// `None` if the link has not been opened.
    last_used_at: Option<Stamp>,
}

/// Returns whether the caller may create links.
pub(super) fn may_create(request: &PageRequest) -> bool {
    request.has_right(Right::Accounts) && request.has_right(Right::ViewBoard)
}

/// `GET /schedule/links?team=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Accounts)?;
    request.check(&state, Right::ViewBoard)?;
    let live_view = LiveView::load(&state, &request).await;
    let tokens = state.accounts.valid_tokens(&author(&request.caller, None));
    let links = tokens.iter().filter(|token| is_link(token, &request.tenant));
    Ok(render_page(&LinksPage {
        shell: request.shell(ConsolePage::Schedule, "Links to the schedule board"),
        team: request.value("team").unwrap_or_default().to_owned(),
        teams: live_view.as_ref().map(LiveView::teams).unwrap_or_default(),
        links: links.map(|token| board_link(token, &request)).collect(),
    }))
}

/// Returns whether a token is a link to the board of this tenant.
fn is_link(token: &StoredToken, tenant: &TenantId) -> bool {
    let is_board_only = match &token.grant {
        TokenGrant::Rights(rights) => rights.iter().eq([&Right::ViewBoard]),
        TokenGrant::Role(_) | TokenGrant::Account(_) => false,
    };
    is_board_only && token.scope != Scope::Everywhere && token.scope.covers_tenant(tenant)
}

fn board_link(token: &StoredToken, request: &PageRequest) -> BoardLink {
    let teams = token.scope.teams(&request.tenant);
    BoardLink {
        id: token.id.to_string(),
        teams: teams.map_or_else(
            || "All teams".to_owned(),
            |teams| teams.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        ),
        created_by: token.created_by.strip_prefix("person:").unwrap_or(&token.created_by).to_owned(),
        created_at: request.times.day(token.created_at),
        expires_at: token.expires_at.map(|at| request.times.day(at)),
        last_used_at: token.last_used_at.map(|at| request.times.second(at)),
    }
}
