//! The skills, queues and series that a rule refers to. The caller knows which of them the tenant reads or monitors.

use std::fmt;

use super::Rule;

/// Something that a condition refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReferencedSubject<'r> {
    /// A skill, by its id on the platform.
    Skill(&'r str),
    /// A queue, by its id on the platform.
    Queue(&'r str),
    /// A monitored series, by its id.
    Series(&'r str),
}

/// Formats the reason why nothing is known of the subject.
impl fmt::Display for ReferencedSubject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skill(id) => write!(f, "the figures of skill {id} are not read (`tenants.skills`)"),
            Self::Queue(id) => write!(f, "the figures of queue {id} are not read (`tenants.queues`)"),
            Self::Series(id) => write!(f, "no series {id} is monitored (`[[tenants.series]]`)"),
        }?;
        f.write_str(", so the condition never holds")
    }
}

/// Returns the conditions of a rule that refer to unknown subjects, each with its field.
pub fn unknown_references<'r>(
    rule: &'r Rule,
    is_known: impl Fn(ReferencedSubject<'r>) -> bool,
) -> Vec<(String, ReferencedSubject<'r>)> {
    let mut found = Vec::new();
    for (prefix, conditions) in [("when", Some(&rule.when)), ("unless", rule.unless.as_ref())] {
        let Some(conditions) = conditions else { continue };
        let skill =
            conditions.skill_figures.as_ref().map(|asked| ("skill_figures", ReferencedSubject::Skill(&asked.id.0)));
        let queue =
            conditions.queue_figures.as_ref().map(|asked| ("queue_figures", ReferencedSubject::Queue(&asked.id.0)));
        let series = conditions.anomaly.as_ref().map(|asked| ("anomaly", ReferencedSubject::Series(&asked.series)));
        let references = skill.into_iter().chain(queue).chain(series);
        found.extend(
            references.filter(|(_, one)| !is_known(*one)).map(|(field, one)| (format!("{prefix}.{field}"), one)),
        );
    }
    found
}
