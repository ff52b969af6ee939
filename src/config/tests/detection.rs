//! The sample schedule files of `tests/schedules`: what is proposed for each, and whether it reads the right plan.

use proptest::prelude::*;
use toml::{Table, Value};

use super::profiles::{agents, difference, folder, names, profile_of, sample_file};
use crate::domain::schedules::import::ImportOptions;
use crate::domain::schedules::import::profile::detect::{Answers, Entry, KnownAgents, Proposal, detect};
use crate::domain::schedules::import::profile::read;

/// The keys that a profile has for its lists of activities.
const LISTS: [&str; 3] = ["work", "off", "ignore"];

/// How well a profile was proposed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    /// The proposal reads the expected plan once these keys are decided.
    Right { decided: Vec<String> },
    /// It does so once these keys, which are marked as doubtful, are corrected too.
    Doubted { decided: Vec<String>, corrected: Vec<String> },
    /// It is refused, or nothing is proposed.
    Refused(String),
    /// It reads another plan.
    Wrong(String),
}

/// Returns the profile that a person wrote for a sample, by path.
fn truth(name: &str) -> Answers {
    let path = folder("good").join(format!("{name}.profile.toml"));
    let table: Table = std::fs::read_to_string(path).expect("readable").parse().expect("TOML");
    let mut truth = Answers::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !["cell", "list", "repeat"].contains(&key.as_str()) => {
                truth.extend(inner.into_iter().map(|(inner, value)| (vec![key.clone(), inner], value)));
            }
            value => {
                truth.insert(vec![key], value);
            }
        }
    }
    truth
}

/// Returns the keys and values of a proposal, as a configuration has them.
fn keys(proposal: &Proposal) -> Table {
    let mut keys = Table::new();
    for entry in &proposal.entries {
        let Some(value) = entry.value() else { continue };
        match entry.path.as_slice() {
            [key] => keys.insert(key.clone(), value.clone()),
            [table, key] => {
                let inner = keys.entry(table.clone()).or_insert_with(|| Table::new().into());
                inner.as_table_mut().expect("a table").insert(key.clone(), value.clone())
            }
            other => panic!("{other:?}"),
        };
    }
    keys
}

/// Returns a proposal without the doubtful keys that the person did without.
fn without_needless(mut proposal: Proposal, truth: &Answers, doubtful: &[Vec<String>]) -> Proposal {
    proposal.entries.retain(|entry| !doubtful.contains(&entry.path) || truth.contains_key(&entry.path));
    proposal
}

/// Answers keys as the person who wrote the sample's profile would.
fn answer(answers: &mut Answers, truth: &Answers, paths: &[Vec<String>]) {
    for path in paths {
        if let Some(value) = truth.get(path) {
            answers.insert(path.clone(), value.clone());
        }
        let Some(name) = path.get(1).filter(|_| path[0] == "activities") else { continue };
        for list in LISTS {
            let words = truth.get(&vec![list.to_owned()]).and_then(Value::as_array);
            if words.is_some_and(|words| words.iter().any(|word| word.as_str() == Some(name))) {
                answers.insert(vec![list.to_owned()], Value::from(words.expect("a list").clone()));
            }
        }
    }
}

/// Returns what is wrong with what a proposal reads, and whether it is refused.
fn failure(name: &str, bytes: &[u8], proposal: &Proposal) -> Option<(String, bool)> {
    if proposal.entries.iter().all(|entry| entry.path != ["layout"] || entry.value().is_none()) {
        return Some(("no layout".to_owned(), true));
    }
    let profile = match profile_of(keys(proposal)) {
        Ok(profile) => profile,
        Err(refused) => return Some((refused, true)),
    };
    match read(bytes, &profile, &agents(&profile), &ImportOptions::default()) {
        Ok(draft) => difference(name, &draft).map(|difference| (difference, false)),
        Err(refused) => Some((refused.diagnostics[0].to_string(), true)),
    }
}

fn outcome(name: &str, known: &KnownAgents) -> Outcome {
    let file = sample_file("good", name);
    let bytes = std::fs::read(&file).expect("readable");
    let (truth, mut answers) = (truth(name), Answers::new());
    let propose = |answers: &Answers| detect(&file.display().to_string(), &bytes, known, answers);
    let mut decided = Vec::new();
    let proposal = loop {
        let proposal = match propose(&answers) {
            Ok(proposal) => proposal,
            Err(refused) => return Outcome::Refused(refused.diagnostics[0].to_string()),
        };
        let open: Vec<Vec<String>> = proposal.undecided().map(|entry| entry.path.clone()).collect();
        let before = answers.len();
        answer(&mut answers, &truth, &open);
        decided.extend(proposal.undecided().map(Entry::key).filter(|key| !decided.contains(key)).collect::<Vec<_>>());
        if answers.len() == before {
            break proposal;
        }
    };
    let Some((first, is_refused)) = failure(name, &bytes, &proposal) else { return Outcome::Right { decided } };
    let doubtful: Vec<Vec<String>> = proposal.doubtful().map(|entry| entry.path.clone()).collect();
    let corrected = proposal.doubtful().map(Entry::key).collect();
    answer(&mut answers, &truth, &doubtful);
    let proposal = without_needless(propose(&answers).expect("it was proposed before"), &truth, &doubtful);
    match failure(name, &bytes, &proposal) {
        None => Outcome::Doubted { decided, corrected },
        Some(_) if is_refused => Outcome::Refused(first),
        Some(_) => Outcome::Wrong(first),
    }
}

fn roster() -> KnownAgents {
    KnownAgents::of_roster(&std::fs::read(folder("roster.csv")).expect("readable")).expect("sound")
}

/// The samples of which a proposal marks a wrong value as doubtful: whether an activity is mandatory, what a code means.
const DOUBTED: [&str; 2] = ["excel-teams", "excel-wide-codes"];

#[test]
fn a_profile_is_proposed_for_every_good_sample_and_only_what_is_doubtful_is_wrong() {
    let (roster, names) = (roster(), names("good", ".expected.json"));
    assert!(names.len() >= 68, "{} samples", names.len());
    for name in names {
        let outcome = outcome(&name, &roster);
        let is_as_expected = match outcome {
            Outcome::Right { .. } => !DOUBTED.contains(&name.as_str()),
            Outcome::Doubted { .. } => DOUBTED.contains(&name.as_str()),
            Outcome::Refused(_) | Outcome::Wrong(_) => false,
        };
        assert!(is_as_expected, "{name}: {outcome:?}");
    }
}

/// What a proposal shows of itself: sound TOML below the profile's name, and a reason for each key.
fn assert_is_readable(name: &str, proposal: &Proposal) {
    let section: Table = proposal.to_toml("wfm").parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(section["import"]["profiles"].get("wfm").is_some(), "{name}");
    assert!(proposal.entries.iter().all(|entry| !entry.reason.is_empty()), "{name}");
}

#[test]
fn a_faulty_file_is_refused_with_a_reason_or_gets_a_proposal_that_can_be_read() {
    let roster = roster();
    let mut proposed = 0;
    for name in names("bad", ".fault.json") {
        let file = sample_file("bad", &name);
        let bytes = std::fs::read(&file).expect("readable");
        match detect(&file.display().to_string(), &bytes, &roster, &Answers::new()) {
            Ok(proposal) => {
                assert_is_readable(&name, &proposal);
                proposed += 1;
            }
            Err(refused) => assert!(refused.faults > 0 && !refused.diagnostics[0].reason.is_empty(), "{name}"),
        }
    }
    assert!(proposed > 0, "a fault in one cell leaves the rest to be described");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_never_panics(which in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(),
                                   at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let names: Vec<_> = names("good", ".expected.json").into_iter().collect();
        let name = &names[which.index(names.len())];
        let file = sample_file("good", name);
        let mut bytes = std::fs::read(&file).expect("readable");
        bytes.truncate(cut.index(bytes.len()) + 1);
        let place = at.index(bytes.len());
        bytes[place] = byte;
        if let Ok(proposal) = detect(&file.display().to_string(), &bytes, &KnownAgents::default(), &Answers::new()) {
            assert_is_readable(name, &proposal);
        }
    }
}
