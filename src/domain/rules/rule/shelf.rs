//! How the rules of the store join those of the configuration, and which of them are in force.
//!
//! The configuration's rules are the base. A rule of the store with the id of one of them stands in for it, in its place; the others
//! follow behind. `order` moves a rule of the store: below zero before the configuration's, from zero on behind them. Within a
//! class of priority this is the order in which rules are tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::Capabilities;
use super::compile::{MOST_RULES, RuleSet};
use super::written::{LineComplaint, placed, read_one};
use super::{Rule, RuleComplaint};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::RuleId;
use crate::domain::time::UtcMicros;

/// One version of a rule of the store. Every one is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edition {
    /// The rule.
    pub rule: RuleId,
    /// From 1, one more with every change, also over a removal.
    pub version: u64,
    /// The text of one `[[rules]]` table, with its mode.
    pub text: Arc<str>,
    /// A rule that is not enabled is not in force, and neither is the configuration's of its id.
    pub enabled: bool,
    /// Where it is tried; `None`: in the place of the configuration's rule, or as 0.
    pub order: Option<i32>,
    /// The rule was taken out of the store: the configuration's, where there is one, is back.
    pub removed: bool,
    /// When it was written.
    pub at: UtcMicros,
    /// By whom.
    pub by: Arc<str>,
    /// Why, in that person's words.
    pub why: Option<Arc<str>>,
}

/// Where a rule comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The configuration alone.
    Configuration,
    /// The store alone.
    Store,
    /// The store, in the place of the configuration's.
    Replaced,
}

impl Origin {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Store => "store",
            Self::Replaced => "replaced",
        }
    }
}

/// A rule as it is listed, in force or not.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed {
    /// Its id.
    pub id: RuleId,
    /// Where it comes from.
    pub origin: Origin,
    /// The rule; none where the store's text cannot be read.
    pub rule: Option<Rule>,
    /// The configuration's rule of this id.
    pub base: Option<Rule>,
    /// The store's.
    pub edition: Option<Edition>,
    /// Why it is not in force although it is enabled.
    pub complaints: Vec<LineComplaint>,
    /// It is one of the set.
    pub in_force: bool,
}

impl Listed {
    /// The number that goes up with every change; 0 for what the store knows nothing of.
    pub fn version(&self) -> u64 {
        self.edition.as_ref().map_or(0, |edition| edition.version)
    }

    /// Whether it is not switched off.
    pub fn is_enabled(&self) -> bool {
        self.edition.as_ref().is_none_or(|edition| edition.enabled)
    }
}

/// The rules of a tenant: what is in force, and what there is.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// What is in force, compiled.
    pub set: RuleSet,
    /// The same as rules, in the order in which they are tried within a class.
    pub rules: Vec<Rule>,
    /// Everything: what is in force in that order, then the rest by id.
    pub listed: Vec<Listed>,
}

/// What the rules of a tenant are made of.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The configuration's, as the tenant wants them.
    pub rules: &'a [Rule],
    /// What the platform can do.
    pub capabilities: Capabilities,
    /// What a change does during a contact where its rule does not say.
    pub on_contact: OnContact,
}

/// Joins the configuration's rules and the newest editions of the store's. What does not pass the check is left out and says why.
///
/// # Errors
/// The complaints about the configuration's own rules, when it is those that are wrong.
pub fn join(base: Base<'_>, editions: &[Edition]) -> Result<Shelf, Vec<RuleComplaint>> {
    let mut listed = list(base, editions);
    loop {
        let places: Vec<usize> = (0..listed.len()).filter(|place| listed[*place].in_force).collect();
        let rules: Vec<Rule> = places.iter().filter_map(|place| listed[*place].rule.clone()).collect();
        let complaints = match RuleSet::compile(&rules, base.capabilities) {
            Ok(set) => {
                listed.sort_by_key(|rule| !rule.in_force);
                return Ok(Shelf { set, rules, listed });
            }
            Err(complaints) => complaints,
        };
        let mut blamed: BTreeMap<usize, Vec<RuleComplaint>> = BTreeMap::new();
        for complaint in &complaints {
            let place = places.get(complaint.index).copied().filter(|place| listed[*place].edition.is_some());
            // A set that is too large loses the store's last rule, whichever of the rules is one too many.
            let place = place.or_else(|| {
                let last = || places.iter().copied().rfind(|place| listed[*place].edition.is_some());
                (rules.len() > MOST_RULES).then(last).flatten()
            });
            if let Some(place) = place {
                // In its own text it is the only one.
                blamed.entry(place).or_default().push(RuleComplaint { index: 0, ..complaint.clone() });
            }
        }
        if blamed.is_empty() {
            return Err(complaints);
        }
        for (place, complaints) in blamed {
            let left_out = &mut listed[place];
            let text = left_out.edition.as_ref().map(|edition| edition.text.clone()).unwrap_or_default();
            left_out.complaints = placed(&text, &complaints);
            left_out.in_force = false;
        }
    }
}

/// Everything that there is, in the order in which it is tried where it is in force.
fn list(base: Base<'_>, editions: &[Edition]) -> Vec<Listed> {
    let mut of_store: BTreeMap<&RuleId, &Edition> =
        editions.iter().filter(|edition| !edition.removed).map(|edition| (&edition.rule, edition)).collect();
    let mut found: Vec<((i32, usize), Listed)> = Vec::new();
    for (place, rule) in base.rules.iter().enumerate() {
        let (order, listed) = match of_store.remove(&rule.id) {
            Some(edition) => (edition.order, of_edition(base, edition, Some(rule))),
            None => (None, of_configuration(rule)),
        };
        // Behind the configuration's with 0, before them below it.
        found.push((order.map_or((0, place), |order| (order, usize::MAX)), listed));
    }
    for edition in of_store.into_values() {
        found.push(((edition.order.unwrap_or(0), usize::MAX), of_edition(base, edition, None)));
    }
    found.sort_by(|(left, one), (right, other)| left.cmp(right).then_with(|| one.id.cmp(&other.id)));
    found.into_iter().map(|(_, listed)| listed).collect()
}

fn of_configuration(rule: &Rule) -> Listed {
    Listed {
        id: rule.id.clone(),
        origin: Origin::Configuration,
        rule: Some(rule.clone()),
        base: Some(rule.clone()),
        edition: None,
        complaints: Vec::new(),
        in_force: true,
    }
}

fn of_edition(base: Base<'_>, edition: &Edition, replaced: Option<&Rule>) -> Listed {
    let (rule, complaints) = match read_named(base, edition) {
        Ok(rule) => (Some(rule), Vec::new()),
        Err(complaints) => (None, complaints),
    };
    Listed {
        id: edition.rule.clone(),
        origin: if replaced.is_some() { Origin::Replaced } else { Origin::Store },
        in_force: edition.enabled && rule.is_some(),
        rule,
        base: replaced.cloned(),
        edition: Some(edition.clone()),
        complaints,
    }
}

/// Reads an edition's text, which has to bear the edition's id.
fn read_named(base: Base<'_>, edition: &Edition) -> Result<Rule, Vec<LineComplaint>> {
    let mut rule = read_one(&edition.text)?;
    if rule.id != edition.rule {
        let reason =
            format!("the rule is {}, and its text has the id {}; an id stays: write a new rule", edition.rule, rule.id);
        let complaint = RuleComplaint { index: 0, rule: None, field: "id".to_owned(), reason };
        return Err(placed(&edition.text, &[complaint]));
    }
    if rule.then.set_state.is_some() || rule.then.log_out.is_some() {
        rule.then.on_contact.get_or_insert(base.on_contact);
    }
    Ok(rule)
}

/// What is wrong with an edition beside the others, whether or not it is enabled; empty when it can be in force.
pub fn check_edition(base: Base<'_>, others: &[Edition], edition: &Edition) -> Vec<LineComplaint> {
    let enabled = Edition { enabled: true, removed: false, ..edition.clone() };
    let mut editions: Vec<Edition> = others.iter().filter(|other| other.rule != edition.rule).cloned().collect();
    editions.push(enabled);
    match join(base, &editions) {
        Ok(shelf) => {
            let found = shelf.listed.into_iter().find(|listed| listed.id == edition.rule);
            found.map(|listed| listed.complaints).unwrap_or_default()
        }
        Err(complaints) => placed("", &complaints),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules::rule::Mode;

    fn text(id: &str, mode: &str) -> String {
        format!(
            "[[rules]]\nid = \"{id}\"\nmode = \"{mode}\"\nwhen = {{ state = \"Paused\" }}\nthen = {{ set_state = \"Ready\" }}\n"
        )
    }

    fn edition(id: &str, order: Option<i32>, text: String) -> Edition {
        Edition {
            rule: id.into(),
            version: 1,
            text: text.into(),
            enabled: true,
            order,
            removed: false,
            at: UtcMicros::EPOCH,
            by: "ann".into(),
            why: None,
        }
    }

    fn configured() -> Vec<Rule> {
        ["a", "b", "c"].map(|id| read_one(&text(id, "watch")).expect("sound")).to_vec()
    }

    fn base(rules: &[Rule]) -> Base<'_> {
        Base { rules, capabilities: Capabilities::guide(), on_contact: OnContact::After }
    }

    fn tried(shelf: &Shelf) -> Vec<&str> {
        shelf.rules.iter().map(|rule| rule.id.as_str()).collect()
    }

    #[test]
    fn a_rule_of_the_store_takes_the_place_of_the_configuration_s_and_the_others_follow_in_order() {
        let rules = configured();
        let editions = [
            edition("b", None, text("b", "enforce")),
            edition("z", None, text("z", "watch")),
            edition("y", None, text("y", "watch")),
            edition("first", Some(-1), text("first", "watch")),
            edition("last", Some(9), text("last", "watch")),
        ];
        let shelf = join(base(&rules), &editions).expect("sound");
        assert_eq!(tried(&shelf), ["first", "a", "b", "c", "y", "z", "last"]);
        assert_eq!(shelf.rules[2].mode, Mode::Enforce);
        let origins: Vec<Origin> = shelf.listed.iter().map(|listed| listed.origin).collect();
        assert_eq!(origins[..3], [Origin::Store, Origin::Configuration, Origin::Replaced]);
        assert_eq!(
            shelf.rules[2].then.on_contact,
            Some(OnContact::After),
            "the tenant's setting, as for the configuration's"
        );
    }

    #[test]
    fn what_is_disabled_is_out_of_force_and_what_is_removed_gives_the_configuration_s_back() {
        let rules = configured();
        let off = Edition { enabled: false, ..edition("b", None, text("b", "enforce")) };
        let shelf = join(base(&rules), std::slice::from_ref(&off)).expect("sound");
        assert_eq!(tried(&shelf), ["a", "c"]);
        let last = shelf.listed.last().expect("three");
        assert_eq!((last.id.as_str(), last.in_force, last.is_enabled(), last.version()), ("b", false, false, 1));
        assert_eq!(last.complaints, []);
        let shelf = join(base(&rules), &[Edition { removed: true, ..off }]).expect("sound");
        assert_eq!(tried(&shelf), ["a", "b", "c"]);
    }

    #[test]
    fn what_no_longer_passes_the_check_is_left_out_alone_and_says_why() {
        let rules = configured();
        let unsettable = text("x", "enforce").replace("\"Ready\"", "\"LoggedOut\"");
        let editions = [edition("x", None, unsettable), edition("y", None, "[[rules]]\nid = 7\n".to_owned())];
        let shelf = join(base(&rules), &editions).expect("the others are sound");
        assert_eq!(tried(&shelf), ["a", "b", "c"]);
        let (x, y) = (&shelf.listed[3], &shelf.listed[4]);
        assert_eq!((x.complaints[0].line, x.complaints[0].field.as_str()), (5, "then.set_state"));
        assert!(y.rule.is_none() && !y.complaints.is_empty());
        let other = edition("q", None, text("p", "watch"));
        let wrong = check_edition(base(&rules), &editions, &other);
        assert_eq!((wrong[0].line, wrong[0].field.as_str()), (2, "id"));
    }

    #[test]
    fn a_set_is_never_too_large_and_the_configuration_s_rules_stay() {
        let many: Vec<Rule> =
            (0..MOST_RULES).map(|n| read_one(&text(&format!("r{n:02}"), "watch")).expect("sound")).collect();
        let one_more = edition("more", Some(-1), text("more", "watch"));
        let shelf = join(base(&many), std::slice::from_ref(&one_more)).expect("sound");
        assert_eq!(shelf.rules.len(), MOST_RULES);
        assert!(!shelf.rules.iter().any(|rule| rule.id == one_more.rule));
        assert!(check_edition(base(&many), &[], &one_more)[0].message.contains("at most"), "and that is refused");
    }

    #[test]
    fn a_disabled_rule_is_checked_as_if_it_were_enabled() {
        let wrong = text("x", "watch").replace("\"Paused\"", "\"Pausd\"");
        let off = Edition { enabled: false, ..edition("x", None, wrong) };
        assert_eq!(check_edition(base(&[]), &[], &off)[0].line, 4);
    }
}
