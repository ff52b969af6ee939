//! Filters: which messages a viewer wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::agents::skill::Skills;
use crate::domain::ids::{TeamName, TenantId};

/// A viewer's filter over its tenants. Empty lists of teams or skills mean all of them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ViewerFilter {
    /// The teams whose agents are wanted.
    pub teams: Vec<TeamName>,
    /// The ids or names of skills and queues: selects these, the agents who have one of the skills, and the agents whom
    /// the platform shows in one of the queues.
    pub skills: Vec<Arc<str>>,
    /// The only teams that the viewer may see, for tenants with such a restriction.
    pub permitted_teams: BTreeMap<TenantId, BTreeSet<TeamName>>,
}

/// A viewer's filter for one tenant.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TenantViewerFilter {
    teams: Vec<TeamName>,
    skills: Vec<Arc<str>>,
    permitted_teams: Option<BTreeSet<TeamName>>,
}

/// An agent's team, skills and queue, as far as known.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AgentMembership {
    /// The team.
    pub team: Option<TeamName>,
    /// The queue.
    pub queue: Option<Arc<str>>,
    /// The skills.
    pub skills: Skills,
}

/// The subject of a message, for filtering.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MessageSubject {
    /// Every viewer of the tenant.
    All,
    /// An agent, with the present and the previously published membership: viewers of a queue that the agent left need
    /// the message too.
    Agent {
        /// The membership now.
        now: AgentMembership,
        /// The membership before; `None` if unchanged.
        before: Option<AgentMembership>,
    },
    /// A skill or a queue.
    Figures {
        /// The id.
        id: Arc<str>,
        /// The name.
        name: Option<Arc<str>>,
    },
}

impl MessageSubject {
    /// Returns the subject for an agent whose membership has not changed.
    pub const fn agent(now: AgentMembership) -> Self {
        Self::Agent { now, before: None }
    }

    /// Returns the subject for an agent whose membership may have changed.
    pub fn moved(now: AgentMembership, before: AgentMembership) -> Self {
        let before = (before != now).then_some(before);
        Self::Agent { now, before }
    }
}

impl ViewerFilter {
    /// Returns the filter for one tenant.
    pub fn for_tenant(&self, tenant: &TenantId) -> TenantViewerFilter {
        TenantViewerFilter {
            teams: self.teams.clone(),
            skills: self.skills.clone(),
            permitted_teams: self.permitted_teams.get(tenant).cloned(),
        }
    }
}

impl TenantViewerFilter {
    /// Returns whether the viewer wants messages about the subject.
    pub fn matches(&self, subject: &MessageSubject) -> bool {
        match subject {
            MessageSubject::All => true,
            MessageSubject::Agent { now, before } => {
                self.matches_agent(now) || before.as_ref().is_some_and(|before| self.matches_agent(before))
            }
            MessageSubject::Figures { id, name } => {
                self.skills.is_empty() || self.skills.iter().any(|wanted| wanted == id || Some(wanted) == name.as_ref())
            }
        }
    }

    fn matches_agent(&self, membership: &AgentMembership) -> bool {
        let may = self
            .permitted_teams
            .as_ref()
            .is_none_or(|bound| membership.team.as_ref().is_some_and(|team| bound.contains(team)));
        let team = self.teams.is_empty() || membership.team.as_ref().is_some_and(|team| self.teams.contains(team));
        let has = |word: &Arc<str>| membership.skills.iter().any(|skill| skill.matches_name(word));
        let skill = self.skills.is_empty()
            || membership.queue.as_ref().is_some_and(|queue| self.skills.contains(queue))
            || self.skills.iter().any(has);
        may && team && skill
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::skill::Skill;

    fn membership(team: &str, queue: Option<&str>) -> AgentMembership {
        AgentMembership { team: Some(team.into()), queue: queue.map(Arc::from), skills: Skills::default() }
    }

    #[test]
    fn a_viewer_of_a_skill_sees_its_agents_by_id_or_name() {
        let voice = Skill { id: "4711".into(), name: Some("Voice".into()), floor: None };
        let ann = AgentMembership {
            skills: Arc::from([Arc::new(voice), Arc::new(Skill::unnamed("12".into()))]),
            ..AgentMembership::default()
        };
        for (word, expected) in [("4711", true), ("Voice", true), ("12", true), ("voice", false), ("Mail", false)] {
            let asked = ViewerFilter { skills: vec![word.into()], ..ViewerFilter::default() };
            assert_eq!(
                asked.for_tenant(&"acme".into()).matches(&MessageSubject::agent(ann.clone())),
                expected,
                "{word}"
            );
        }
    }

    #[test]
    fn a_viewer_sees_the_requested_teams_and_queues_and_agents_that_leave_them() {
        let all = ViewerFilter::default();
        let billing = ViewerFilter { teams: vec!["Billing".into(), "Sales".into()], ..ViewerFilter::default() };
        let voice = ViewerFilter { skills: vec!["Voice".into()], ..ViewerFilter::default() };
        let both = ViewerFilter { skills: voice.skills.clone(), ..billing.clone() };
        for (about, expected) in [
            (MessageSubject::All, [true; 4]),
            (MessageSubject::Figures { id: "7".into(), name: Some("Voice".into()) }, [true; 4]),
            (MessageSubject::Figures { id: "Voice".into(), name: None }, [true; 4]),
            (MessageSubject::Figures { id: "8".into(), name: Some("Mail".into()) }, [true, true, false, false]),
            (MessageSubject::agent(membership("Billing", None)), [true, true, false, false]),
            (MessageSubject::agent(membership("Billing", Some("Voice"))), [true; 4]),
            (MessageSubject::agent(membership("Care", Some("Voice"))), [true, false, true, false]),
            (MessageSubject::agent(AgentMembership::default()), [true, false, false, false]),
            (MessageSubject::moved(membership("Billing", None), membership("Billing", Some("Voice"))), [true; 4]),
            (MessageSubject::moved(membership("Care", None), membership("Sales", None)), [true, true, false, false]),
        ] {
            let passes = |narrow: &ViewerFilter| narrow.for_tenant(&"acme".into()).matches(&about);
            assert_eq!([&all, &billing, &voice, &both].map(passes), expected, "{about:?}");
        }
    }

    #[test]
    fn a_viewer_restricted_to_teams_sees_no_others() {
        let bound = BTreeMap::from([(TenantId::from("acme"), BTreeSet::from([TeamName::from("Billing")]))]);
        let wide = ViewerFilter { permitted_teams: bound.clone(), ..ViewerFilter::default() };
        let asks = ViewerFilter { teams: vec!["Care".into()], permitted_teams: bound, ..ViewerFilter::default() };
        for (about, expected) in [
            (MessageSubject::All, [true, true]),
            (MessageSubject::Figures { id: "7".into(), name: None }, [true, true]),
            (MessageSubject::agent(membership("Billing", None)), [true, false]),
            (MessageSubject::agent(membership("Care", None)), [false, false]),
            (MessageSubject::agent(AgentMembership::default()), [false, false]),
            (MessageSubject::moved(membership("Care", None), membership("Billing", None)), [true, false]),
        ] {
            let passes = |narrow: &ViewerFilter| narrow.for_tenant(&"acme".into()).matches(&about);
            assert_eq!([&wide, &asks].map(passes), expected, "{about:?}");
            assert!(wide.for_tenant(&"beta".into()).matches(&about), "another tenant is another matter");
        }
    }

    #[test]
    fn an_agent_without_a_change_of_team_has_no_previous_team() {
        let here = membership("Billing", Some("Voice"));
        assert_eq!(MessageSubject::moved(here.clone(), here.clone()), MessageSubject::agent(here));
    }
}
