//! The import profile of a request, and the agents whom its file can name.

use std::path::Path;

use super::Importer;
use crate::domain::ids::TenantId;
use crate::domain::schedules::import::profile::{AgentKey, AgentLookup, Profile, RosterAgent, parse_roster, read};
use crate::domain::schedules::import::{ImportOptions, MAX_FILE_BYTES, ScheduleImportError, read_schedule};
use crate::http::{ImportError, ImportRequest};

impl Importer {
    /// Returns the profile that a request names, with the agents whom its file can name.
    pub(super) async fn profile(
        &self,
        request: &ImportRequest,
        options: &ImportOptions,
    ) -> Result<Option<(Profile, AgentLookup)>, ImportError> {
        let Some(name) = &request.profile else { return Ok(None) };
        let profile = find_profile(name, options)?.clone();
        let agents = match profile.roster() {
            Some(path) => {
                let (path, key) = (path.clone(), profile.agent_key());
                let read = self.heavy_work.run(move || read_roster(&path, key)).await;
                read.unwrap_or_else(|panicked| Err(ImportError::Profile(panicked.to_string())))?
            }
            None => self.stored_agents(&request.tenant, profile.agent_key()).await?,
        };
        Ok(Some((profile, agents)))
    }

    /// Returns the agents whom the store knows, by a key of the platform.
    async fn stored_agents(&self, tenant: &TenantId, key: AgentKey) -> Result<AgentLookup, ImportError> {
        let stored = self.reader.agents(tenant).await.map_err(ImportError::Read)?;
        let agents = stored.into_iter().filter(|stored| !stored.is_being_erased).filter_map(|stored| {
            let agent = RosterAgent {
                id: stored.agent.id.to_string(),
                zone: stored.agent.zone.as_deref().unwrap_or_default().to_owned(),
            };
            let text = match key {
                AgentKey::Id => Some(agent.id.clone()),
                AgentKey::UserName => stored.user_name.as_deref().map(str::to_owned),
                AgentKey::Uuid => stored.user_id.as_deref().map(str::to_owned),
                AgentKey::EmployeeNumber | AgentKey::Login => None,
            };
            Some((text?, agent))
        });
        let lookup = AgentLookup::new(agents);
        Ok(if key == AgentKey::Id { lookup.accepting_unknown_ids() } else { lookup })
    }
}

fn find_profile<'o>(name: &str, options: &'o ImportOptions) -> Result<&'o Profile, ImportError> {
    options.profiles.get(name).ok_or_else(|| {
        let known: Vec<_> = options.profiles.keys().map(String::as_str).collect();
        let known =
            if known.is_empty() { "none is configured".to_owned() } else { format!("known: {}", known.join(", ")) };
        ImportError::Profile(format!("there is no import profile \"{name}\" ({known})"))
    })
}

fn read_roster(path: &Path, key: AgentKey) -> Result<AgentLookup, ImportError> {
    let fault = |reason: String| {
        ImportError::Profile(format!("the list of agents {} cannot be used: {reason}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if size > MAX_FILE_BYTES as u64 {
        return Err(fault(format!("it has {size} bytes, more than {MAX_FILE_BYTES}")));
    }
    let bytes = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    parse_roster(&bytes, key).map_err(fault)
}

/// Checks a file as far as it can be checked without a store: not at all if only the store knows its agents.
pub fn check_file(
    request: &ImportRequest,
    options: &ImportOptions,
) -> Result<Result<(), ScheduleImportError>, ImportError> {
    let Some(name) = &request.profile else {
        return Ok(read_schedule(&request.name, &request.bytes, options).map(drop));
    };
    let profile = find_profile(name, options)?;
    let Some(path) = profile.roster() else { return Ok(Ok(())) };
    let agents = read_roster(path, profile.agent_key())?;
    Ok(read(&request.bytes, profile, &agents, options).map(drop))
}
