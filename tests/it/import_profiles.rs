//! The way from the file of a WFM system to shifts, through the real binary: a profile is proposed, written into the
//! configuration, checked and applied.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::process::{CommandFolder, CommandOutput, run};

const COMMENT: &str = "# Kept by whoever looks after this file.";

/// A folder with a configuration, the roster and one sample.
struct Desk(CommandFolder);

impl Desk {
    fn new(sample: &str) -> Self {
        let platform = json!({"base_url": "http://127.0.0.1:9", "tenants": [
            {"id": "acme", "client_id": "x", "client_secret": "secret", "agents": ["u_1001"]}
        ]});
        let folder = CommandFolder::new(&platform, COMMENT);
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedules");
        for (from, to) in [(format!("good/{sample}"), sample), ("roster.csv".to_owned(), "roster.csv")] {
            std::fs::copy(samples.join(from), folder.folder.path().join(to)).expect("a sample");
        }
        Self(folder)
    }

    async fn import(&self, arguments: &[&str]) -> CommandOutput {
        run(self.0.command(&[&["import"], arguments].concat())).await
    }

    fn configuration(&self) -> String {
        std::fs::read_to_string(self.0.config()).expect("readable")
    }
}

fn json_of(ended: &CommandOutput) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposed_profile_is_written_once_it_is_decided_and_reads_the_file() {
    let (desk, file) = (Desk::new("verint-uk-24.csv"), "verint-uk-24.csv");
    let before = desk.configuration();

    let shown = desk.import(&["--detect", file]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for line in ["[import.profiles.verint-uk-24]", "date_format = \"DD/MM/YYYY\"", "# time_zone = \"Europe/Berlin\""] {
        assert!(shown.stdout.contains(line), "{line}: {shown:?}");
    }
    assert!(shown.stderr.contains("decide: time_zone: nothing in the file says whose time it is"), "{shown:?}");
    let undecided = desk.import(&["--detect", file, "--profile", "verint"]).await;
    assert_eq!(undecided.code, Some(1), "{undecided:?}");
    assert!(undecided.stderr.contains("nothing is written yet"), "{undecided:?}");
    assert_eq!(desk.configuration(), before);

    let answers = ["--answer", "time_zone=Europe/London", "--answer", "roster=roster.csv"];
    let decided = [&["--detect", file, "--profile", "verint", "--output", "json"][..], &answers].concat();
    let written = desk.import(&decided).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    let told = json_of(&written);
    assert_eq!((&told["written"], &told["faults"], &told["read"]["shifts"]), (&json!(true), &json!(0), &json!(50)));
    let mandatory = told["keys"].as_array().expect("keys").iter().find(|key| key["key"] == "activities.Meal");
    assert_eq!(mandatory.expect("the meal")["certainty"], "doubtful", "{told}");
    assert!(desk.configuration().starts_with(&before) && before.contains(COMMENT));
    let again = desk.import(&decided).await;
    assert!(
        again.code == Some(1) && again.stderr.contains("there is an import profile \"verint\" already"),
        "{again:?}"
    );

    let checked = desk.import(&[file, "--profile", "verint", "--check", "--output", "json"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let check = json_of(&checked);
    assert_eq!((&check["agents"], &check["added"]), (&json!(5), &json!(50)), "{check}");
    let hash = check["hash"].as_str().expect("a hash");
    let applied = desk.import(&[file, "--profile", "verint", "--apply", hash, "--output", "json"]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(json_of(&applied)["shifts"], 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_leaves_out_a_key_that_a_file_without_headings_asks_for() {
    let file = "iex-line-plain.txt";
    let desk = Desk::new(file);
    let answers = ["--answer", "roster=roster.csv", "--answer", "columns.name=6", "--output", "json"];
    let arguments = [&["--detect", file, "--profile", "iex"][..], &answers].concat();
    let undecided = desk.import(&arguments).await;
    assert_eq!(undecided.code, Some(1), "{undecided:?}");
    assert!(undecided.stderr.contains("If none has it, leave the answer empty"), "{undecided:?}");
    let written = desk.import(&[&arguments[..], &["--answer", "columns.team="]].concat()).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    let told = json_of(&written);
    assert_eq!((&told["written"], &told["faults"]), (&json!(true), &json!(0)), "{told}");
    assert!(!desk.configuration().contains("team ="), "{}", desk.configuration());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_shows_nothing_is_refused_or_left_to_the_person() {
    let desk = Desk::new("verint-uk-24.csv");
    std::fs::write(desk.0.folder.path().join("note.txt"), "a line of words\nand another\n").expect("written");
    let refused = desk.import(&["--detect", "note.txt"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("is it a schedule?"), "{refused:?}");
    let undecided = desk.import(&["--detect", "roster.csv"]).await;
    assert_eq!(undecided.code, Some(0), "{undecided:?}");
    assert!(undecided.stderr.contains("decide: layout: the headings do not show what a row is"), "{undecided:?}");
    let missing = desk.import(&["--detect", "nowhere.csv"]).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("nowhere.csv cannot be read"), "{missing:?}");
    let usage = desk.import(&["roster.csv", "--answer", "year=2026"]).await;
    assert_eq!(usage.code, Some(2), "an answer without --detect: {usage:?}");
}
