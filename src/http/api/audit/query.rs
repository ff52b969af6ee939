//! The query of the audit log, and the agents that its text matches.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::http::problem::Problem;
use crate::store::{AuditFilter, MAX_SUBJECTS, Reader, StoredAgent};

/// The longest name of an action that is searched for, in characters.
const MAX_ACTION_CHARS: usize = 100;

/// The longest actor, id or name that is searched for, in characters.
const MAX_NAME_CHARS: usize = 250;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AuditQuery {
    /// The id of the tenant.
    pub(super) tenant: TenantId,
    /// Only entries by this actor: `person:anna`, `rule:back-from-break` or `daemon`. A name without a prefix means a
    /// person.
    actor: Option<String>,
    /// Only entries with this action. A value that ends with a dot (`transition.`) matches all actions that start with
    /// it.
    action: Option<String>,
    /// Only entries about this agent: an id, or a part of an id or name, ignoring case, that matches at most ten
    /// agents.
    agent: Option<String>,
    /// Only entries at this instant or later.
    from: Option<UtcMicros>,
    /// Only entries before this instant.
    to: Option<UtcMicros>,
    /// The maximum number of entries to return, 1 to 500; 100 by default.
    pub(super) limit: Option<u32>,
    /// The `next` of the previous page; omit it for the first page.
    cursor: Option<u64>,
}

/// An agent that matches the query's `agent`.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditAbout)]
pub(in crate::http) struct MatchedAgent {
    /// The id of the agent.
    agent: AgentId,
    /// The name of the agent; null if unknown.
    name: Option<String>,
}

/// A query with its agents looked up.
pub(super) struct ResolvedQuery {
    /// The filter, or `None` if nothing can match because no agent has that name.
    pub(super) filter: Option<AuditFilter>,
    /// The agents that the query means.
    pub(super) matched_agents: Vec<MatchedAgent>,
}

impl AuditQuery {
    /// Looks up the agents that the query means.
    pub(super) async fn resolve(self, reader: &Reader) -> Result<ResolvedQuery, Problem> {
        let (actor, action, agent) = (non_empty(self.actor), non_empty(self.action), non_empty(self.agent));
        let texts = [
            ("actor", &actor, MAX_NAME_CHARS),
            ("action", &action, MAX_ACTION_CHARS),
            ("agent", &agent, MAX_NAME_CHARS),
        ];
        for (name, text, most) in texts {
            if text.as_ref().is_some_and(|text| text.chars().count() > most) {
                return Err(Problem::bad_request(format!("{name}: at most {most} characters")));
            }
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| to <= from) {
            return Err(Problem::bad_request("to: must be later than from"));
        }
        let matched = match &agent {
            None => Vec::new(),
            Some(words) => find_agents(reader, &self.tenant, words).await?,
        };
        let (action_prefix, action) = split_action(action);
        let filter = AuditFilter {
            action,
            action_prefix,
            actor: actor.map(actor_label),
            subjects: matched.iter().map(|known| known.subject).collect(),
            from: self.from,
            to: self.to,
            before: self.cursor,
        };
        let has_no_match = agent.is_some() && matched.is_empty();
        let about = |known: StoredAgent| MatchedAgent {
            agent: known.agent.id,
            name: known.agent.name.map(|name| name.to_string()),
        };
        Ok(ResolvedQuery {
            filter: (!has_no_match).then_some(filter),
            matched_agents: matched.into_iter().map(about).collect(),
        })
    }
}

/// Returns the trimmed text, or `None` if it is empty.
fn non_empty(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Returns the action as a prefix if it ends with a dot, and otherwise as an exact name.
fn split_action(action: Option<String>) -> (Option<String>, Option<String>) {
    if action.as_ref().is_some_and(|action| action.ends_with('.')) { (action, None) } else { (None, action) }
}

/// Returns an actor as entries name it.
fn actor_label(actor: String) -> String {
    let is_whole = actor == "daemon" || actor.starts_with("person:") || actor.starts_with("rule:");
    if is_whole { actor } else { format!("person:{actor}") }
}

/// Returns the agents of a tenant that match a text.
async fn find_agents(reader: &Reader, tenant: &TenantId, text: &str) -> Result<Vec<StoredAgent>, Problem> {
    if let Some(known) = reader.agent(tenant, &AgentId::new(text)).await? {
        return Ok(vec![known]);
    }
    match_agents(reader.agents(tenant).await?, text)
}

/// Returns the agents whose id or name equals the text, or else those whose id or name contains it.
fn match_agents(agents: Vec<StoredAgent>, text: &str) -> Result<Vec<StoredAgent>, Problem> {
    let wanted = text.to_lowercase();
    let mut found: Vec<(bool, StoredAgent)> = Vec::new();
    for known in agents {
        let texts =
            [Some(known.agent.id.as_str()), known.agent.name.as_deref()].map(|text| text.map(str::to_lowercase));
        let is = |fits: &dyn Fn(&str) -> bool| texts.iter().flatten().any(|text| fits(text));
        if is(&|text| text.contains(&wanted)) {
            found.push((is(&|text| text == wanted), known));
        }
    }
    if found.iter().any(|(wholly, _)| *wholly) {
        found.retain(|(wholly, _)| *wholly);
    }
    if found.len() > MAX_SUBJECTS {
        return Err(Problem::bad_request(format!(
            "agent: {} agents have {text:?} in their id or name, and at most {MAX_SUBJECTS} are searched at once; write more of it",
            found.len()
        )));
    }
    Ok(found.into_iter().map(|(_, known)| known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::agent::Agent;
    use crate::domain::ids::SubjectId;

    #[test]
    fn an_action_with_a_dot_at_its_end_is_a_beginning() {
        let given = |text: &str| non_empty(Some(text.to_owned()));
        assert_eq!(split_action(given("transition.")), (Some("transition.".to_owned()), None));
        assert_eq!(split_action(given(" transition.accepted ")), (None, Some("transition.accepted".to_owned())));
        assert_eq!(split_action(given(" ")), (None, None));
        assert_eq!(split_action(None), (None, None));
    }

    #[test]
    fn a_name_alone_is_a_person_s() {
        for (typed, actor) in [
            ("anna", "person:anna"),
            ("person:anna", "person:anna"),
            ("rule:back", "rule:back"),
            ("daemon", "daemon"),
            ("a:b", "person:a:b"),
        ] {
            assert_eq!(actor_label(typed.to_owned()), actor);
        }
    }

    fn agent(number: u128, id: &str, name: &str) -> StoredAgent {
        let name = Some(name.into());
        StoredAgent {
            agent: Agent { id: id.into(), name, team: None, zone: None },
            subject: SubjectId(uuid::Uuid::from_u128(number)),
            imported: true,
            listed: false,
            user_id: None,
            user_name: None,
            schedule_read_at: None,
            is_being_erased: false,
            is_stand_in: false,
        }
    }

    #[test]
    fn agents_are_found_by_a_part_of_id_or_name_and_by_the_whole_before_a_part() {
        let all = || vec![agent(1, "u_1", "Ann"), agent(2, "u_2", "Hannah"), agent(3, "u_30", "Zoë ANN Lee")];
        let ids = |words: &str| {
            let found = match_agents(all(), words).expect("few");
            found.iter().map(|known| known.agent.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids("ann"), ["u_1"]);
        assert_eq!(ids("an"), ["u_1", "u_2", "u_30"]);
        assert_eq!(ids("ZOË"), ["u_30"]);
        assert_eq!(ids("U_3"), ["u_30"]);
        assert_eq!(ids("nobody"), [""; 0]);
        let many = (0..11).map(|number| agent(number, &format!("u_{number}"), "Ann")).collect();
        let problem = match_agents(many, "ann").map(|found| found.len()).expect_err("too many");
        assert!(problem.detail().contains("11 agents have \"ann\""), "{}", problem.detail());
    }
}
