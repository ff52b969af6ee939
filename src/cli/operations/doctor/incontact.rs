//! A tenant of the published services: what no document says and only the tenant's own platform can show (see "What no
//! tenant has proven" in `docs/platforms.md`). Each line says what was found and which setting to change.
//!
//! The calls are made from here, within the free slots of the budget by the call log in the store. A running daemon does
//! not know of them.

mod change;
mod codes;
mod lists;
mod session;
mod states;

use std::sync::Arc;

use super::context::CheckContext;
use super::platform::{check_subscriptions, free_slots, report_clock_offset};
use crate::app::{clock_for, incontact_platform_for};
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::config::{Tenant, TokenKind};
use crate::domain::ids::AgentId;
use crate::domain::time::duration_text;
use crate::domain::wording::count_with_noun;
use crate::engine::platform::link::BudgetKind;
use crate::engine::platform::probe::offset_millis;
use crate::platform::Failure;

use self::session::Session;

pub(super) use self::change::confirm;

/// Says how to check one tenant's platform, which takes more calls than the check of everything should make.
pub(super) fn refer(context: &CheckContext, tenant: &Tenant) -> Vec<Finding> {
    let mut group = FindingGroup::new(format!("platform {}", tenant.id));
    if let Some(running) = &context.daemon {
        check_subscriptions(&mut group, tenant, running);
    }
    group.skipped("token", format!("not checked: shiftkeeper doctor --tenant {}", tenant.id));
    group.into_findings()
}

/// Checks one tenant's platform; and proves a state change with `test_agent`, if there is one.
pub(super) async fn check(context: &CheckContext, tenant: &Tenant, test_agent: Option<&AgentId>) -> Vec<Finding> {
    let mut group = FindingGroup::new(format!("platform {}", tenant.id));
    let skip = if context.offline {
        Some("not checked: --offline")
    } else if context.has_secrets {
        None
    } else {
        Some("not checked: the secrets are not available here")
    };
    if let Some(why) = skip {
        group.skipped("token", why);
        return group.into_findings();
    }
    let clock = clock_for(&context.config).await;
    let free = free_slots(tenant, context.reader.as_ref(), &clock, BudgetKind::Ordinary).await;
    let platform = match incontact_platform_for(tenant, clock.clone()) {
        Ok(platform) => Arc::new(platform),
        Err(error) => {
            group.wrong("token", format!("{:#}", anyhow::Error::from(error)), "correct the configuration");
            return group.into_findings();
        }
    };
    let mut session = Session::new(tenant, platform, clock, group, free);
    if check_token(&mut session).await {
        let roster = lists::check_agents(&mut session).await;
        states::check(&mut session, roster.as_ref()).await;
        codes::check(&mut session).await;
        lists::check_skills(&mut session).await;
        lists::check_schedules(&mut session, roster.as_ref()).await;
        if let Some(agent) = test_agent {
            change::prove(&mut session, agent).await;
        }
        check_refresh(&mut session).await;
        report_budget(&mut session);
        // A clock of simulated time has no relation to the platform's.
        let known = if context.config.clock.is_simulated() { None } else { Some(session.offset) };
        let (offset, uncertainty) = known.as_ref().map_or((None, 0), offset_millis);
        report_clock_offset(&mut session.group, offset, uncertainty);
    }
    session.group.into_findings()
}

/// Checks the token and the origins. Returns whether there is a token.
async fn check_token(session: &mut Session<'_>) -> bool {
    let tenant = session.tenant;
    let way = match tenant.incontact.token_kind {
        TokenKind::AccessKey => "access key alone",
        TokenKind::App => "access key and registered application",
    };
    let facts = match session.platform.probe().token_facts().await {
        Ok(facts) => facts,
        Err(failure) => {
            let advice = match failure {
                Failure::TokenRefused { .. } => {
                    "check client_id, client_secret, incontact.area and incontact.token_kind; the key's owner must be active"
                }
                _ => "check base_url, incontact.area, incontact.user_hub_url and incontact.api_url",
            };
            session.group.wrong("token", format!("{way}: {failure}"), advice);
            return false;
        }
    };
    let lifetime = duration_text(std::time::Duration::from_secs(facts.lifetime.as_secs()));
    match &facts.tenant {
        Some(id) => {
            session.group.ok("token", format!("{way}; valid for {lifetime}; the id token names the tenant {id}"));
        }
        None => session.group.warning(
            "token",
            format!("{way}; valid for {lifetime}; no id token names the tenant"),
            "keep incontact.api_url set: discovery is not possible",
        ),
    }
    let origin = |url: &reqwest::Url| url.as_str().trim_end_matches('/').to_owned();
    let user_hub = tenant.incontact.user_hub();
    let named_by = if tenant.incontact.api_url.is_some() { "incontact.api_url" } else { "discovery" };
    session.group.ok(
        "origins",
        format!(
            "API {} (from {named_by}), authentication {}, user hub {}",
            origin(&facts.api_url),
            origin(&tenant.base_url),
            user_hub.as_ref().map_or_else(|| "not set".to_owned(), origin),
        ),
    );
    true
}

/// Tries the refresh token, last of all, since the platform may end the present token with it.
async fn check_refresh(session: &mut Session<'_>) {
    match session.platform.probe().try_refresh().await {
        Some(Ok(lifetime)) => {
            let lifetime = duration_text(std::time::Duration::from_secs(lifetime.as_secs()));
            session.group.ok("refresh", format!("the refresh token gives a token that is valid for {lifetime}"));
        }
        Some(Err(failure)) => session.group.warning(
            "refresh",
            format!("the refresh token is not accepted: {failure}"),
            "nothing: the access key is used instead each time",
        ),
        None => session.group.ok("refresh", "there is no refresh token; the access key is used each time"),
    }
}

fn report_budget(session: &mut Session<'_>) {
    let calls = count_with_noun(session.calls(), "call");
    let limit = session.tenant.requests_per_minute;
    let detail = format!("{calls} made here; {} of {limit} left in this minute", session.free());
    if session.free() == 0 {
        session.group.warning("budget", detail, "run this again in a minute for the checks that were skipped");
    } else {
        session.group.ok("budget", detail);
    }
}
