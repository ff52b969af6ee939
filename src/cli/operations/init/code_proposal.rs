//! Proposes which unavailable codes stand for which states, by their names, team by team.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::UnavailableCode;
use crate::domain::ids::TeamName;
use crate::domain::wording::list_names;

/// The words of names of codes, by state. The first word of a state is the best name for it.
const WORDS: [(AgentState, &[&str]); 3] = [
    (
        AgentState::NotReady,
        &["meeting", "training", "coaching", "huddle", "project", "admin", "administration", "backoffice", "offline"],
    ),
    (AgentState::Paused, &["break", "lunch", "pause", "meal", "dinner", "breakfast", "rest", "coffee", "restroom"]),
    (AgentState::Idle, &["away", "idle", "afk", "personal"]),
];

/// The codes of a team.
#[derive(Clone, Debug)]
pub(super) struct TeamCodes {
    pub(super) team: TeamName,
    pub(super) codes: Vec<UnavailableCode>,
}

/// A proposed line of the map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CodeLine {
    /// The state, or the state and a reason, as in `Paused:LUNCH`.
    pub(super) key: String,
    /// The platform's number of the code.
    pub(super) code: i64,
    /// The name of the code.
    pub(super) name: Arc<str>,
}

/// A code that the proposal leaves out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LeftOut {
    code: i64,
    name: Arc<str>,
    why: &'static str,
    teams: BTreeSet<TeamName>,
}

/// The proposed map of a tenant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct CodeProposal {
    /// The lines for all teams.
    pub(super) common: Vec<CodeLine>,
    /// The lines of single teams.
    pub(super) by_team: BTreeMap<TeamName, Vec<CodeLine>>,
    /// Active codes whose names do not say which state they stand for.
    pub(super) unclear: Vec<LeftOut>,
    /// Codes that cannot be set.
    pub(super) unusable: Vec<LeftOut>,
    /// Whether a person has refused the lines, so that they become comments.
    pub(super) is_refused: bool,
}

type LinesByKey = BTreeMap<String, (i64, Arc<str>)>;

impl CodeProposal {
    /// Proposes a map for these teams. Teams without codes do not count.
    pub(super) fn of(teams: &[TeamCodes]) -> Self {
        let teams: Vec<&TeamCodes> = teams.iter().filter(|team| !team.codes.is_empty()).collect();
        let lines: Vec<LinesByKey> = teams.iter().map(|team| lines_of(&team.codes)).collect();
        let mut proposal = Self::default();
        let keys: BTreeSet<&String> = lines.iter().flat_map(BTreeMap::keys).collect();
        for key in keys {
            let common = common_code(key, &teams, &lines);
            if let Some((code, name)) = common {
                proposal.common.push(CodeLine { key: key.clone(), code: *code, name: Arc::clone(name) });
            }
            for (team, lines) in teams.iter().zip(&lines) {
                let Some((code, name)) =
                    lines.get(key).filter(|(code, _)| common.is_none_or(|(other, _)| other != code))
                else {
                    continue;
                };
                let line = CodeLine { key: key.clone(), code: *code, name: Arc::clone(name) };
                proposal.by_team.entry(team.team.clone()).or_default().push(line);
            }
        }
        for (team, lines) in teams.iter().zip(&lines) {
            for code in &team.codes {
                proposal.leave_out(team, code, lines);
            }
        }
        proposal
    }

    fn leave_out(&mut self, team: &TeamCodes, code: &UnavailableCode, lines: &LinesByKey) {
        let (list, why) = if !code.is_active {
            (&mut self.unusable, "inactive")
        } else if code.is_after_contact_work {
            (&mut self.unusable, "after-contact work")
        } else if lines.values().any(|(known, _)| *known == code.code) {
            return;
        } else {
            (&mut self.unclear, "read as NotReady")
        };
        let known = list.iter_mut().find(|known| (known.code, &known.name, known.why) == (code.code, &code.name, why));
        if let Some(known) = known {
            known.teams.insert(team.team.clone());
        } else {
            let teams = BTreeSet::from([team.team.clone()]);
            list.push(LeftOut { code: code.code, name: Arc::clone(&code.name), why, teams });
        }
    }

    /// Returns whether no line is proposed.
    pub(super) fn is_empty(&self) -> bool {
        self.common.is_empty() && self.by_team.is_empty()
    }

    /// Returns the proposal for a configuration that has its lines as comments.
    pub(super) fn into_comments(self) -> Self {
        Self { is_refused: true, ..self }
    }

    /// Returns the lines in effect for all teams, as an object.
    pub(super) fn common_json(&self) -> Value {
        if self.is_refused { json!({}) } else { lines_json(&self.common) }
    }

    /// Returns the lines in effect for single teams, as an object of objects.
    pub(super) fn teams_json(&self) -> Value {
        let teams = self.by_team.iter().filter(|_| !self.is_refused);
        Value::Object(teams.map(|(team, lines)| (team.to_string(), lines_json(lines))).collect())
    }
}

fn lines_json(lines: &[CodeLine]) -> Value {
    Value::Object(lines.iter().map(|line| (line.key.clone(), line.code.into())).collect())
}

/// Returns the lines of a team's codes. The best name of a state is its line for all reasons, and each other code of the
/// state gets its own name as the reason.
fn lines_of(codes: &[UnavailableCode]) -> LinesByKey {
    let mut lines = LinesByKey::new();
    for (state, words) in WORDS {
        let usable = codes.iter().filter(|code| code.is_active && !code.is_after_contact_work);
        let mut fitting: Vec<_> = usable
            .filter(|code| state_of(&code.name).as_ref() == Some(&state))
            .map(|code| (rank(&code.name, words), code.code, &code.name))
            .collect();
        fitting.sort_unstable();
        for (place, (_, code, name)) in fitting.into_iter().enumerate() {
            let key = if place == 0 { state.to_string() } else { format!("{state}:{}", reason_of(name)) };
            lines.entry(key).or_insert_with(|| (code, Arc::clone(name)));
        }
    }
    lines
}

/// Returns the code that most teams have for a key, if all teams have one for it, and the number stands for nothing else
/// in the teams that have another.
fn common_code<'l>(key: &str, teams: &[&TeamCodes], lines: &'l [LinesByKey]) -> Option<&'l (i64, Arc<str>)> {
    let of_teams: Vec<&(i64, Arc<str>)> = lines.iter().map(|lines| lines.get(key)).collect::<Option<_>>()?;
    let count = |code: i64| of_teams.iter().filter(|(other, _)| *other == code).count();
    let common = *of_teams.iter().max_by_key(|(code, _)| (count(*code), std::cmp::Reverse(*code)))?;
    let mut others = teams.iter().zip(&of_teams).filter(|(_, (code, _))| *code != common.0);
    others.all(|(team, _)| team.codes.iter().all(|code| code.code != common.0)).then_some(common)
}

/// Returns the words of a name in lower case and without a plural.
fn words_of(name: &str) -> Vec<String> {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).map(|word| word.strip_suffix('s').map(str::to_owned).unwrap_or(word)).collect()
}

/// Returns the only state that the words of a name speak for.
fn state_of(name: &str) -> Option<AgentState> {
    let words = words_of(name);
    let mut fitting = WORDS
        .into_iter()
        .filter(|(_, known)| words.iter().any(|word| known.contains(&word.as_str())))
        .map(|(state, _)| state);
    fitting.next().filter(|_| fitting.next().is_none())
}

/// Returns how well a name fits: the place of its best word, and how many words it has.
fn rank(name: &str, known: &[&str]) -> (Option<usize>, usize) {
    let words = words_of(name);
    let best = words.iter().filter_map(|word| known.iter().position(|known| known == word)).min();
    (best, words.len())
}

/// Returns a name as a reason code.
fn reason_of(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_uppercase).collect::<Vec<_>>().join("_")
}

impl fmt::Display for CodeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.key, self.code, self.name)
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let teams: Vec<&TeamName> = self.teams.iter().collect();
        write!(f, "{} {}: {}; {}", self.code, self.name, self.why, list_names(&teams))
    }
}

/// For the terminal.
impl fmt::Display for CodeProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            f.write_str("no unavailable code has a name that says which state it stands for")?;
        } else {
            f.write_str("unavailable codes by state:")?;
        }
        self.common.iter().try_for_each(|line| write!(f, "\n  all teams: {line}"))?;
        for (team, lines) in &self.by_team {
            lines.iter().try_for_each(|line| write!(f, "\n  {team}: {line}"))?;
        }
        self.unclear.iter().try_for_each(|code| write!(f, "\n  not used: {code}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: i64, name: &str) -> UnavailableCode {
        UnavailableCode { code, name: name.into(), is_active: true, is_after_contact_work: false, timeout: None }
    }

    fn team(name: &str, codes: Vec<UnavailableCode>) -> TeamCodes {
        TeamCodes { team: TeamName::new(name), codes }
    }

    #[test]
    fn names_decide_and_doubtful_ones_are_left_out() {
        for (name, state) in [
            ("Break", Some(AgentState::Paused)),
            ("Short breaks (paid)", Some(AgentState::Paused)),
            ("LUNCH", Some(AgentState::Paused)),
            ("Team Meeting", Some(AgentState::NotReady)),
            ("Training", Some(AgentState::NotReady)),
            ("Away from desk", Some(AgentState::Idle)),
            ("Training break", None),
            ("Breakdown", None),
            ("Other", None),
        ] {
            assert_eq!(state_of(name), state, "{name}");
        }
        let inactive = UnavailableCode { is_active: false, ..code(14, "Old break") };
        let wrap = UnavailableCode { is_after_contact_work: true, ..code(19, "Break after contact") };
        let proposal = CodeProposal::of(&[team("Care", vec![code(12, "Break"), inactive, wrap, code(30, "Other")])]);
        assert_eq!(proposal.common_json(), json!({"Paused": 12}));
        let texts = |codes: &[LeftOut]| codes.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&proposal.unclear), ["30 Other: read as NotReady; Care"]);
        assert_eq!(
            texts(&proposal.unusable),
            ["14 Old break: inactive; Care", "19 Break after contact: after-contact work; Care"]
        );
    }

    #[test]
    fn what_all_teams_share_is_common_and_the_rest_belongs_to_its_team() {
        let care = team("Care", vec![code(11, "Meeting"), code(12, "Break"), code(15, "Lunch"), code(13, "Away")]);
        let sales = team("Sales", vec![code(11, "Meeting"), code(112, "Break"), code(15, "Lunch")]);
        let nobody = team("Nobody", Vec::new());
        let proposal = CodeProposal::of(&[care.clone(), sales, nobody]);
        assert_eq!(proposal.common_json(), json!({"NotReady": 11, "Paused": 12, "Paused:LUNCH": 15}));
        assert_eq!(proposal.teams_json(), json!({"Care": {"Idle": 13}, "Sales": {"Paused": 112}}));

        // The number of one team's break is another team's training.
        let odd = team("Odd", vec![code(12, "Training"), code(112, "Break")]);
        let proposal = CodeProposal::of(&[care, odd]);
        assert_eq!(proposal.teams_json()["Care"]["Paused"], 12);
        assert_eq!(proposal.teams_json()["Odd"], json!({"NotReady": 12, "Paused": 112}));
        assert_eq!(proposal.common_json(), json!({"NotReady": 11}));
        assert_eq!(proposal.into_comments().common_json(), json!({}));
    }
}
