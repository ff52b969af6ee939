//! What a rule looks at beside agents and plans, by name: whether anybody reads or watches it is for whoever knows the tenant to say.

use std::fmt;

use super::Rule;

/// Something that a condition names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject<'r> {
    /// A skill, by the platform's id.
    Skill(&'r str),
    /// A queue, by the platform's id.
    Queue(&'r str),
    /// A watched series, by its id.
    Series(&'r str),
}

/// Why nothing is known of it, where the tenant that is meant does not have it.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skill(id) => write!(f, "nobody reads the figures of skill {id} (`tenants.skills`)"),
            Self::Queue(id) => write!(f, "nobody reads the figures of queue {id} (`tenants.queues`)"),
            Self::Series(id) => write!(f, "nobody watches a series {id} (`[[tenants.series]]`)"),
        }?;
        f.write_str(", so nothing is known of it and the condition never holds")
    }
}

/// The conditions of a rule on something that is not known, each by its field.
pub fn unknown_subjects<'r>(rule: &'r Rule, is_known: impl Fn(Subject<'r>) -> bool) -> Vec<(String, Subject<'r>)> {
    let mut found = Vec::new();
    for (part, conditions) in [("when", Some(&rule.when)), ("unless", rule.unless.as_ref())] {
        let Some(conditions) = conditions else { continue };
        let skill = conditions.skill_figures.as_ref().map(|asked| ("skill_figures", Subject::Skill(&asked.id.0)));
        let queue = conditions.queue_figures.as_ref().map(|asked| ("queue_figures", Subject::Queue(&asked.id.0)));
        let series = conditions.anomaly.as_ref().map(|asked| ("anomaly", Subject::Series(&asked.series)));
        let named = skill.into_iter().chain(queue).chain(series);
        found.extend(named.filter(|(_, one)| !is_known(*one)).map(|(field, one)| (format!("{part}.{field}"), one)));
    }
    found
}
