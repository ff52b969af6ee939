//! What is different for a tenant of the published services (the dialect `incontact`), and what its stored data of the
//! other dialect means.

use crate::cli::shared::scope::open_existing_reader;
use crate::config::{Config, Dialect, Tenant};
use crate::domain::agents::state::AgentState;
use crate::domain::time::duration_text;
use crate::domain::wording::{count_with_noun, list_names};
use crate::store::Reader;

/// Returns the notes about all tenants of the dialect.
pub(super) async fn notes(config: &Config) -> Vec<String> {
    let tenants: Vec<&Tenant> = config.tenants.iter().filter(|tenant| tenant.dialect == Dialect::Incontact).collect();
    let mut notes = Vec::new();
    // A store that cannot be read is reported by `doctor`. One on another host is not connected to.
    let is_file = config.store.url.starts_with("sqlite:");
    let reader = if tenants.is_empty() || !is_file { None } else { open_existing_reader(config).await.ok().flatten() };
    for tenant in tenants {
        let mut found = notes_about(tenant);
        if let Some(reader) = &reader {
            found.extend(stored_note(tenant, reader).await);
        }
        notes.extend(found.into_iter().map(|note| format!("tenant {}: {note}", tenant.id)));
    }
    if let Some(reader) = reader {
        reader.close().await;
    }
    notes
}

fn notes_about(tenant: &Tenant) -> Vec<String> {
    let interval = tenant.subscription.interval;
    let polls = 60_u64.div_ceil(interval.as_secs().max(1));
    let settable = tenant.settable_states();
    let unset: Vec<String> = [AgentState::NotReady, AgentState::Paused, AgentState::Idle]
        .into_iter()
        .filter(|state| !settable.contains(state))
        .map(|state| state.to_string())
        .collect();
    let mut notes = vec![
        format!("dialect incontact: there is no live feed, so states are up to {} old", duration_text(interval)),
        format!(
            "polls count: at least {polls} of {} requests per minute, more if the list of states has several pages",
            tenant.requests_per_minute
        ),
        "shifts and breaks are known only from schedules that were imported or exported by the platform; an agent without one \
         may be changed at any time"
            .to_owned(),
    ];
    if !tenant.analytics.is_empty() {
        let queries = count_with_noun(tenant.analytics.len(), "analytics query");
        notes.push(format!("{queries} cannot run: the dialect has no analytics"));
    }
    if !unset.is_empty() {
        notes.push(format!("{} cannot be set: no unavailable code in incontact.codes", unset.join(", ")));
    }
    notes
}

/// Returns what is different if the store has data of the tenant from the dialect `guide`. Ids of agents are numbers in
/// this dialect only.
async fn stored_note(tenant: &Tenant, reader: &Reader) -> Option<String> {
    let stored = reader.agents(&tenant.id).await.ok()?;
    let is_number = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let foreign: Vec<&str> = stored
        .iter()
        .filter(|stored| !stored.is_stand_in && !is_number(stored.agent.id.as_str()))
        .map(|stored| stored.agent.id.as_str())
        .collect();
    if foreign.is_empty() {
        return None;
    }
    Some(format!(
        "the store has {} whose ids are no numbers of this dialect ({}): their history stays, they are not observed any more, \
         and reports show them and their new ids as different people. Import schedules with the new ids.",
        count_with_noun(foreign.len(), "agent"),
        list_names(&foreign),
    ))
}
