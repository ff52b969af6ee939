//! What a viewer asked for, and what a message is about: whether the one wants the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::agents::skill::Skills;
use crate::domain::ids::{TeamName, TenantId};

/// What a viewer asked for within its tenants. Without a word on teams or on skills, all of them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Narrow {
    /// Agents of these teams.
    pub teams: Vec<TeamName>,
    /// Skills and queues of these names, the agents who have one of these skills, and those whom the platform shows with one of these
    /// queues.
    pub skills: Vec<Arc<str>>,
    /// The only teams that the viewer may see, for the tenants where that is so.
    pub bound: BTreeMap<TenantId, BTreeSet<TeamName>>,
}

/// The same at one tenant.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NarrowAt {
    teams: Vec<TeamName>,
    skills: Vec<Arc<str>>,
    bound: Option<BTreeSet<TeamName>>,
}

/// An agent's team, skills and queue, as far as they are known.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Place {
    /// The team.
    pub team: Option<TeamName>,
    /// The queue.
    pub queue: Option<Arc<str>>,
    /// The skills.
    pub skills: Skills,
}

/// What a message is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// Something for every viewer of the tenant.
    All,
    /// An agent, as the agent is now and was when viewers were last told: who watches the queue that the agent left has to hear
    /// of it too.
    Agent {
        /// Now.
        now: Place,
        /// Before; `None` where that is the same.
        before: Option<Place>,
    },
    /// A skill or a queue.
    Figures {
        /// Its id.
        id: Arc<str>,
        /// Its name.
        name: Option<Arc<str>>,
    },
}

impl About {
    /// An agent at a place.
    pub const fn agent(now: Place) -> Self {
        Self::Agent { now, before: None }
    }

    /// An agent who was at a place before.
    pub fn moved(now: Place, before: Place) -> Self {
        let before = (before != now).then_some(before);
        Self::Agent { now, before }
    }
}

impl Narrow {
    /// What that is at a tenant.
    pub fn at(&self, tenant: &TenantId) -> NarrowAt {
        NarrowAt { teams: self.teams.clone(), skills: self.skills.clone(), bound: self.bound.get(tenant).cloned() }
    }
}

impl NarrowAt {
    /// Whether the viewer wants it.
    pub fn passes(&self, about: &About) -> bool {
        match about {
            About::All => true,
            About::Agent { now, before } => self.wants(now) || before.as_ref().is_some_and(|before| self.wants(before)),
            About::Figures { id, name } => {
                self.skills.is_empty() || self.skills.iter().any(|wanted| wanted == id || Some(wanted) == name.as_ref())
            }
        }
    }

    fn wants(&self, place: &Place) -> bool {
        let may = self.bound.as_ref().is_none_or(|bound| place.team.as_ref().is_some_and(|team| bound.contains(team)));
        let team = self.teams.is_empty() || place.team.as_ref().is_some_and(|team| self.teams.contains(team));
        let has = |word: &Arc<str>| place.skills.iter().any(|skill| skill.is_called(word));
        let skill = self.skills.is_empty()
            || place.queue.as_ref().is_some_and(|queue| self.skills.contains(queue))
            || self.skills.iter().any(has);
        may && team && skill
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::skill::Skill;

    fn place(team: &str, queue: Option<&str>) -> Place {
        Place { team: Some(team.into()), queue: queue.map(Arc::from), skills: Skills::default() }
    }

    #[test]
    fn a_viewer_of_a_skill_sees_the_agents_who_have_it_by_its_id_or_name() {
        let voice = Skill { id: "4711".into(), name: Some("Voice".into()), floor: None };
        let ann =
            Place { skills: Arc::from([Arc::new(voice), Arc::new(Skill::unnamed("12".into()))]), ..Place::default() };
        for (word, expected) in [("4711", true), ("Voice", true), ("12", true), ("voice", false), ("Mail", false)] {
            let asked = Narrow { skills: vec![word.into()], ..Narrow::default() };
            assert_eq!(asked.at(&"acme".into()).passes(&About::agent(ann.clone())), expected, "{word}");
        }
    }

    #[test]
    fn a_viewer_sees_the_teams_and_queues_it_asked_for_and_who_leaves_them() {
        let all = Narrow::default();
        let billing = Narrow { teams: vec!["Billing".into(), "Sales".into()], ..Narrow::default() };
        let voice = Narrow { skills: vec!["Voice".into()], ..Narrow::default() };
        let both = Narrow { skills: voice.skills.clone(), ..billing.clone() };
        for (about, expected) in [
            (About::All, [true; 4]),
            (About::Figures { id: "7".into(), name: Some("Voice".into()) }, [true; 4]),
            (About::Figures { id: "Voice".into(), name: None }, [true; 4]),
            (About::Figures { id: "8".into(), name: Some("Mail".into()) }, [true, true, false, false]),
            (About::agent(place("Billing", None)), [true, true, false, false]),
            (About::agent(place("Billing", Some("Voice"))), [true; 4]),
            (About::agent(place("Care", Some("Voice"))), [true, false, true, false]),
            (About::agent(Place::default()), [true, false, false, false]),
            (About::moved(place("Billing", None), place("Billing", Some("Voice"))), [true; 4]),
            (About::moved(place("Care", None), place("Sales", None)), [true, true, false, false]),
        ] {
            let passes = |narrow: &Narrow| narrow.at(&"acme".into()).passes(&about);
            assert_eq!([&all, &billing, &voice, &both].map(passes), expected, "{about:?}");
        }
    }

    #[test]
    fn a_viewer_who_is_bound_to_teams_sees_no_other_whatever_it_asks_for() {
        let bound = BTreeMap::from([(TenantId::from("acme"), BTreeSet::from([TeamName::from("Billing")]))]);
        let wide = Narrow { bound: bound.clone(), ..Narrow::default() };
        let asks = Narrow { teams: vec!["Care".into()], bound, ..Narrow::default() };
        for (about, expected) in [
            (About::All, [true, true]),
            (About::Figures { id: "7".into(), name: None }, [true, true]),
            (About::agent(place("Billing", None)), [true, false]),
            (About::agent(place("Care", None)), [false, false]),
            (About::agent(Place::default()), [false, false]),
            (About::moved(place("Care", None), place("Billing", None)), [true, false]),
        ] {
            let passes = |narrow: &Narrow| narrow.at(&"acme".into()).passes(&about);
            assert_eq!([&wide, &asks].map(passes), expected, "{about:?}");
            assert!(wide.at(&"beta".into()).passes(&about), "another tenant is another matter");
        }
    }

    #[test]
    fn who_stays_in_place_was_nowhere_before() {
        let here = place("Billing", Some("Voice"));
        assert_eq!(About::moved(here.clone(), here.clone()), About::agent(here));
    }
}
