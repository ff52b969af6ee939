//! The examples of docs/schedules.md, held to the reader.

use std::time::Duration;

use super::*;

const PAGE: &str = include_str!("../../../../../docs/schedules.md");

/// The fenced examples of one language.
fn examples(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn drafts(language: &str) -> Vec<ScheduleDraft> {
    let name = format!("example.{language}");
    let read = |text: &str| read_schedule(&name, text.as_bytes(), &ImportOptions::default());
    examples(language)
        .into_iter()
        .map(|text| read(text).unwrap_or_else(|refused| panic!("{refused:?}\n{text}")))
        .collect()
}

#[test]
fn every_example_is_imported_without_a_warning() {
    for (language, count) in [("csv", 3), ("ics", 1)] {
        let drafts = drafts(language);
        assert_eq!(drafts.len(), count, "{language}");
        for draft in drafts {
            assert_eq!(warning_texts(&draft), Vec::<String>::new());
        }
    }
}

#[test]
fn the_figures_next_to_the_examples_are_right() {
    let night = &drafts("csv")[2].agents[0].shifts;
    let length = |start: UtcMicros, end: UtcMicros| end.since(start);
    let pause = &night[0].activities[0];
    let found =
        [length(night[0].start, night[0].end), length(night[1].start, night[1].end), length(pause.start, pause.end)];
    assert_eq!(found, [Duration::from_hours(9), Duration::from_hours(7), Duration::from_mins(105)]);
    let calendar = &drafts("ics")[0];
    assert_eq!((calendar.shifts, calendar.agents[0].shifts[0].activities[0].mandatory), (9, true));
}

#[test]
fn every_column_is_explained() {
    let missing: Vec<_> = COLUMN_NAMES.iter().filter(|column| !PAGE.contains(&format!("`{column}`"))).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}
