//! The sample schedule files of `tests/schedules`, each read by its profile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::ToSpan as _;
use serde_json::{Value, json};

use super::{load, with_tenant};
use crate::domain::schedules::import::profile::{AgentLookup, Profile, parse_roster, read};
use crate::domain::schedules::import::{
    DraftAgent, ImportDiagnostic, ImportOptions, ScheduleDraft, ScheduleImportError,
};
use crate::domain::schedules::schedule::Shift;
use crate::domain::time::UtcMicros;

/// Samples that are not read as promised yet. A test asserts that each still fails, so that the list only shrinks.
const NOT_YET: [&str; 0] = [];

pub(super) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedules").join(name)
}

/// Returns the names of the files with an ending, without it.
pub(super) fn names(folder_name: &str, ending: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder(folder_name)).expect("the samples are there");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect()
}

pub(super) fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

/// Returns the profile in a file of its own, as the configuration reads it.
fn profile(path: &Path) -> Profile {
    profile_of(std::fs::read_to_string(path).expect("readable").parse().expect("TOML"))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the profile with these keys and the roster of the samples.
pub(super) fn profile_of(mut keys: toml::Table) -> Result<Profile, String> {
    if keys["layout"].as_str() != Some("calendar") {
        keys.insert("roster".to_owned(), folder("roster.csv").display().to_string().into());
    }
    let mut import = toml::toml! { [import.profiles] };
    import["import"]["profiles"].as_table_mut().expect("a table").insert("sample".to_owned(), keys.into());
    let text = with_tenant(&toml::to_string(&import).expect("TOML"));
    let loaded = load(&text).map_err(|error| error.to_string())?;
    Ok(loaded.config.import.profiles["sample"].clone())
}

/// Reads a sample, whatever its ending.
fn read_sample(folder_name: &str, name: &str, profile_path: &Path) -> Result<ScheduleDraft, ScheduleImportError> {
    read_moved_sample(folder_name, name, profile_path, 0)
}

/// Reads a sample and moves it by weeks.
fn read_moved_sample(
    folder_name: &str,
    name: &str,
    profile_path: &Path,
    move_weeks: i32,
) -> Result<ScheduleDraft, ScheduleImportError> {
    let profile = profile(profile_path);
    let options = ImportOptions { move_weeks, ..ImportOptions::default() };
    let bytes = std::fs::read(sample_file(folder_name, name)).expect("readable");
    read(&bytes, &profile, &agents(&profile), &options)
}

/// Returns the schedule file of a sample.
pub(super) fn sample_file(folder_name: &str, name: &str) -> PathBuf {
    let files = ["csv", "txt", "xlsx", "ics", "xls"].map(|ending| folder(folder_name).join(format!("{name}.{ending}")));
    files.into_iter().find(|file| file.exists()).unwrap_or_else(|| panic!("{name} has no file"))
}

pub(super) fn agents(profile: &Profile) -> AgentLookup {
    let roster = std::fs::read(folder("roster.csv")).expect("readable");
    parse_roster(&roster, profile.agent_key()).expect("a sound roster")
}

pub(super) fn to_json(agent: &DraftAgent) -> Value {
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let time = |instant: UtcMicros| instant.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let shifts = agent.shifts.iter().map(|shift| {
        let activities = shift.activities.iter().map(|one| {
            let (start, end) = (time(one.start), time(one.end));
            json!({"activity": one.activity.name(), "start": start, "end": end, "mandatory": one.mandatory})
        });
        json!({"start": time(shift.start), "end": time(shift.end), "activities": activities.collect::<Vec<_>>()})
    });
    json!({
        "id": agent.id.as_str(), "name": text(&agent.name), "team": text(agent.team.as_str()), "zone": agent.zone,
        "shifts": shifts.collect::<Vec<_>>(),
    })
}

/// Returns what is wrong with the reading of a good sample.
fn failure_of_good(name: &str) -> Option<String> {
    let draft = match read_sample("good", name, &folder("good").join(format!("{name}.profile.toml"))) {
        Ok(draft) => draft,
        Err(refused) => return Some(format!("{refused}: {}", refused.diagnostics[0])),
    };
    difference(name, &draft)
}

/// Returns where the plan of a good sample differs from the expected one.
pub(super) fn difference(name: &str, draft: &ScheduleDraft) -> Option<String> {
    let expected = json_of(&folder("good").join(format!("{name}.expected.json")));
    let expected = expected["agents"].as_array().expect("a list");
    let found: Vec<Value> = draft.agents.iter().map(to_json).collect();
    let difference = found.iter().zip(expected).find(|(found, expected)| found != expected);
    match difference {
        Some((found, expected)) => Some(format!("read {found}\nand not {expected}")),
        None => (found.len() != expected.len()).then(|| format!("{} agents and not {}", found.len(), expected.len())),
    }
}

/// Returns what is wrong with the refusal of a bad sample.
fn failure_of_bad(name: &str) -> Option<String> {
    let promise = json_of(&folder("bad").join(format!("{name}.fault.json")));
    let file = promise["profile"].as_str().expect("a name");
    let profile = ["bad", "good"].map(|place| folder(place).join(file)).into_iter().find(|path| path.exists());
    let Err(refused) = read_sample("bad", name, &profile.expect("a profile")) else {
        return Some("is read, and should be refused".to_owned());
    };
    let first = &refused.diagnostics[0];
    if keeps(&promise, first) { None } else { Some(format!("{first} ({first:?}), and not {promise}")) }
}

fn keeps(promise: &Value, found: &ImportDiagnostic) -> bool {
    let place = json!({"line": found.line, "sheet": found.sheet, "column": found.column});
    let is_there =
        ["line", "sheet", "column"].iter().all(|part| promise[*part].is_null() || promise[*part] == place[*part]);
    let reason = promise["reason_contains"].as_str().unwrap_or_default().to_lowercase();
    is_there && found.to_string().to_lowercase().contains(&reason)
}

/// Asserts that exactly the samples of [`NOT_YET`] fail.
fn check(names: &BTreeSet<String>, failure: impl Fn(&str) -> Option<String>) {
    let failures: Vec<(&str, String)> = names.iter().filter_map(|name| Some((name.as_str(), failure(name)?))).collect();
    let unexpected: Vec<_> = failures
        .iter()
        .filter(|(name, _)| !NOT_YET.contains(name))
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    assert!(unexpected.is_empty(), "{} of {}:\n{}", unexpected.len(), names.len(), unexpected.join("\n"));
    let repaired: Vec<_> = NOT_YET
        .iter()
        .filter(|name| names.contains(**name) && !failures.iter().any(|(failed, _)| failed == *name))
        .collect();
    assert!(repaired.is_empty(), "take these from the list, they are read as promised: {repaired:?}");
}

#[test]
fn every_good_sample_gives_its_plan() {
    let names = names("good", ".expected.json");
    assert_eq!(names.len(), 68);
    check(&names, failure_of_good);
}

/// Good samples whose times are in UTC or have an offset, so that they name instants and not local times.
const ABSOLUTE_TIMES: [&str; 6] =
    ["assembled-epoch", "assembled-offset", "calabrio-utc", "calendar-utc", "genesys-offset", "genesys-utc"];

#[test]
fn a_sample_that_is_moved_by_weeks_keeps_its_local_times_across_a_clock_change() {
    const WEEKS: i32 = 17;
    let starts = |draft: &ScheduleDraft, is_absolute: bool, weeks: i32| -> Vec<_> {
        let of = |agent: &DraftAgent| {
            let zone = if is_absolute { "UTC" } else { &agent.zone };
            let zone = jiff::tz::TimeZone::get(zone).expect("a zone");
            let local = |shift: &Shift| zone.to_datetime(shift.start.timestamp());
            agent.shifts.iter().map(|shift| local(shift) - weeks.weeks()).collect::<Vec<_>>()
        };
        draft.agents.iter().map(of).collect()
    };
    let mut wrong = Vec::new();
    for name in names("good", ".expected.json") {
        let profile = folder("good").join(format!("{name}.profile.toml"));
        let is_absolute = ABSOLUTE_TIMES.contains(&name.as_str());
        let before = read_sample("good", &name, &profile).expect("sound");
        match read_moved_sample("good", &name, &profile, WEEKS) {
            Ok(moved) if starts(&moved, is_absolute, WEEKS) == starts(&before, is_absolute, 0) => {}
            Ok(_) => wrong.push(format!("{name}: other times")),
            Err(refused) => wrong.push(format!("{name}: {}", refused.diagnostics[0])),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_bad_sample_is_refused_at_its_fault() {
    let names = names("bad", ".fault.json");
    assert_eq!(names.len(), 129);
    check(&names, failure_of_bad);
}

#[test]
fn a_profile_that_contradicts_itself_is_refused_key_by_key() {
    let table = "agent_key = \"id\"\ntime_zone = \"UTC\"\ndelimiter = \",\"";
    for (keys, problems) in [
        ("layout = \"activities\"", &["columns: lacks agent", "agent_key: is missing", "time_zone: is missing"][..]),
        (
            "layout = \"shifts\"\ndate_format = \"DD/YYYY\"\nsheets = [\"A\"]\nrepeat = { from = 1, columns = [] }",
            &[
                "date_format: does not say the month",
                "delimiter: is for text",
                "repeat: changes nothing",
                "lacks shift_start",
            ],
        ),
        (
            "layout = \"wide\"\nheader_row = 0\ntime_format = \"hh:mm\"\nday_columns = [\"end\", \"start\"]",
            &["header_row: is 0", "day_columns: is not", "time_format: has to have both hh and AM"],
        ),
        (
            "layout = \"days\"\nagent_key2 = \"login\"",
            &["agent_key2: is not a known key", "did you mean \"agent_key\"?"],
        ),
        ("layout = \"days\"\ncolumns = { agent = 0 }", &["columns: must be the number of a column, from 1 to 16384"]),
    ] {
        let text = with_tenant(&format!(
            "[import.profiles.week]\n{keys}\n{}",
            if keys.contains("days\"\n") || keys.contains("shifts") { table } else { "" }
        ));
        let refused = load(&text).expect_err("a mistake").to_string();
        for problem in problems {
            assert!(refused.contains(problem), "{problem} in: {refused}");
        }
    }
}

#[test]
fn employee_numbers_and_logins_need_a_list_of_agents() {
    let keys = "layout = \"wide\"\nagent_key = \"login\"\ntime_zone = \"UTC\"\ntime_format = \"cell\"\nday_columns = [\"start\", \"end\"]\n\
                columns = { agent = \"Login\" }";
    let refused = load(&with_tenant(&format!("[import.profiles.week]\n{keys}"))).expect_err("a mistake").to_string();
    assert!(refused.contains("import.profiles.week.roster: is missing"), "{refused}");
    let tenant = with_tenant("schedule_profile = \"weak\"\n[import.profiles.week]\nlayout = \"calendar\"");
    let refused = load(&tenant).expect_err("a mistake").to_string();
    assert!(refused.contains("names an import profile that does not exist; did you mean \"week\"?"), "{refused}");
}

#[test]
fn the_profiles_of_the_documentation_are_sound_and_read_their_example() {
    let page = include_str!("../../../docs/schedules.md");
    let blocks = |fence: &'static str| page.split(fence).skip(1).filter_map(|rest| rest.split("```").next());
    let profiles: Vec<Profile> = blocks("```toml\n")
        .map(|text| {
            let loaded = load(&with_tenant(text)).unwrap_or_else(|error| panic!("{error}\n{text}"));
            loaded.config.import.profiles.into_values().next().expect("a profile")
        })
        .collect();
    assert_eq!(profiles.len(), 2);
    let files: Vec<&str> = blocks("```text\n").collect();
    let agents = parse_roster(files[1].as_bytes(), profiles[0].agent_key()).expect("sound");
    let draft = read(files[0].as_bytes(), &profiles[0], &agents, &ImportOptions::default()).expect("sound");
    let shift = &draft.agents[0].shifts[0];
    let found = (draft.shifts, shift.start.to_string(), shift.end.to_string(), shift.activities.len());
    assert_eq!(found, (1, "2026-10-26T21:00:00Z".to_owned(), "2026-10-27T05:00:00Z".to_owned(), 1));
}
