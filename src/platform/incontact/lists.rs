//! Reads the lists of teams, unavailable codes and agents. A row without what identifies it is left out.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::domain::agents::unavailable_codes::UnavailableCode;
use crate::domain::ids::{AgentId, TeamName};
use crate::platform::client::ApiReply;
use crate::platform::directory::{ListPage, ListedAgent, ListedTeam};
use crate::platform::error::Failure;
use crate::platform::text;

use super::wire::{AgentRow, CodeRow, Page, Row, Scalar, TeamRow, parse_page};

pub(super) fn read_teams(reply: &ApiReply, secrets: &[&str]) -> Result<ListPage<ListedTeam>, Failure> {
    let mut repaired = String::new();
    let page: Page<'_, TeamRow<'_>> = parse(reply, &mut repaired, "a list of teams", secrets)?;
    Ok(convert(page, |row| {
        Some(ListedTeam {
            id: row.team_id.id()?,
            name: TeamName::new(text::truncated(row.name.text()?)),
            is_active: row.is_active.flag() != Some(false),
        })
    }))
}

pub(super) fn read_agents(reply: &ApiReply, secrets: &[&str]) -> Result<ListPage<ListedAgent>, Failure> {
    let mut repaired = String::new();
    let page: Page<'_, AgentRow<'_>> = parse(reply, &mut repaired, "a list of agents", secrets)?;
    Ok(convert(page, |row| {
        let name = full_name(&row.first_name, &row.last_name);
        let zone = row.time_zone.text().filter(|zone| TimeZone::get(zone).is_ok());
        Some(ListedAgent {
            id: AgentId::new(row.agent_id.id().filter(|id| text::is_id(id))?),
            user_id: short(&row.user_id),
            user_name: short(&row.user_name),
            name: name.map(|name| text::truncated(&name).as_ref().into()),
            team: row.team_name.text().map(|name| TeamName::new(text::truncated(name))),
            zone: zone.map(Arc::from),
            is_active: row.is_active.flag() != Some(false),
        })
    }))
}

pub(super) fn read_codes(reply: &ApiReply, secrets: &[&str]) -> Result<Vec<UnavailableCode>, Failure> {
    let mut repaired = String::new();
    let page: Page<'_, CodeRow<'_>> = parse(reply, &mut repaired, "a list of unavailable codes", secrets)?;
    let page = convert(page, |row| {
        let code = row.code.integer()?;
        let minutes = row.timeout.integer().and_then(|minutes| u64::try_from(minutes).ok());
        Some(UnavailableCode {
            code,
            name: short(&row.name).unwrap_or_else(|| code.to_string().into()),
            is_active: row.is_active.flag() != Some(false),
            is_after_contact_work: row.is_acw.flag() == Some(true),
            timeout: minutes.filter(|minutes| *minutes > 0).map(|minutes| Duration::from_secs(minutes * 60)),
        })
    });
    Ok(page.rows)
}

/// Returns the name of a person, of which a part may be missing.
pub(super) fn full_name(first: &Scalar<'_>, last: &Scalar<'_>) -> Option<String> {
    match (first.text(), last.text()) {
        (Some(first), Some(last)) => Some(format!("{first} {last}")),
        (Some(name), None) | (None, Some(name)) => Some(name.to_owned()),
        (None, None) => None,
    }
}

fn short(value: &Scalar<'_>) -> Option<Arc<str>> {
    value.text().map(|value| text::truncated(value).as_ref().into())
}

/// Parses a page of a list. An empty body, as with status 204, is an empty list.
pub(super) fn parse<'a, R: Row<'a>>(
    reply: &'a ApiReply,
    repaired: &'a mut String,
    expected: &str,
    secrets: &[&str],
) -> Result<Page<'a, R>, Failure> {
    if reply.body.trim_ascii().is_empty() {
        return Ok(Page { rows: Some(Vec::new()), ..Page::default() });
    }
    parse_page(&reply.body, repaired).ok_or_else(|| reply.malformed(expected, secrets))
}

/// Converts the rows of a page.
pub(super) fn convert<R, T>(page: Page<'_, R>, convert: impl Fn(&R) -> Option<T>) -> ListPage<T> {
    let rows = page.rows.unwrap_or_default();
    ListPage {
        received: rows.len(),
        rows: rows.iter().filter_map(|row| convert(row.0.as_ref()?)).collect(),
        total: page.total.integer().and_then(|total| usize::try_from(total).ok()),
        polled_at: page.last_poll_time.text().map(str::to_owned),
        hidden: page.hidden.integer().and_then(|hidden| u64::try_from(hidden).ok()).unwrap_or_default(),
    }
}
