//! Files as centres send them, whole and broken.

mod calendars;
mod documentation;
mod properties;
mod tables;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::domain::ids::AgentId;
use crate::domain::schedules::schedule::{Activity, Coverage, Shift, ShiftActivity};
use crate::domain::time::UtcMicros;

const HEADER: &str = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory";
const SAMPLE_CSV: &[u8] = include_bytes!("../../../../config/samples/schedule-300.csv");
const SAMPLE_ICS: &[u8] = include_bytes!("../../../../config/samples/schedule-12.ics");
const SAMPLE_EXCEL: &[u8] = include_bytes!("../../../../config/samples/excel-europe.csv");

fn utc(text: &str) -> UtcMicros {
    text.parse().expect("an instant")
}

/// Reads a table of `rows` under the usual header.
fn import_table(rows: &[&str]) -> Result<ScheduleDraft, ScheduleImportError> {
    read_schedule("shifts.csv", [&[HEADER], rows].concat().join("\n").as_bytes(), &ImportOptions::default())
}

fn error_texts(result: Result<ScheduleDraft, ScheduleImportError>) -> Vec<String> {
    let error = result.expect_err("the file has faults");
    assert_eq!(error.faults, error.diagnostics.len(), "all are listed");
    error.diagnostics.iter().map(ToString::to_string).collect()
}

fn warning_texts(draft: &ScheduleDraft) -> Vec<String> {
    draft.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_format_is_known_by_content_before_name() {
    for (name, content, format) in [
        ("a.csv", "agent_id", ImportFormat::Csv),
        ("a.ics", "", ImportFormat::ICalendar),
        ("a.ICS", "x", ImportFormat::ICalendar),
        ("a.csv", "\u{feff}\r\nbegin:vcalendar\r\n", ImportFormat::ICalendar),
        ("-", "agent_id", ImportFormat::Csv),
    ] {
        assert_eq!(ImportFormat::guess(name, content.as_bytes()), format, "{name} {content:?}");
    }
}

#[test]
fn files_that_are_no_text_are_refused_with_the_way_out() {
    let read = |bytes: &[u8]| error_texts(read_schedule("a.csv", bytes, &ImportOptions::default())).join("\n");
    assert!(read(b"PK\x03\x04rest").contains("save the sheet as CSV"));
    assert!(read(b"\xff\xfea\0").contains("UTF-16"));
    assert!(read(b"").contains("the file is empty"));
    assert!(read(b"\n \n").contains("the file is empty"));
    let options = ImportOptions { max_bytes: 10, ..ImportOptions::default() };
    assert!(
        error_texts(read_schedule("a.csv", SAMPLE_CSV, &options))[0]
            .contains("1657431 bytes, more than the 10 of import.max_bytes")
    );
}

#[test]
fn a_refusal_lists_the_first_thousand_faults_and_counts_all() {
    let row = "u_1,A,T,UTC,shift,soon,later,false";
    let refused = import_table(&vec![row; 3_000]).expect_err("bad times");
    assert_eq!((refused.diagnostics.len(), refused.faults), (1_000, 6_000));
    assert_eq!(refused.diagnostics[999].line, Some(501));
    assert_eq!(refused.to_string(), "the file has 6000 faults, nothing of it was imported");
}

#[test]
fn a_zone_that_changes_at_midnight_is_covered_from_its_first_instant() {
    // In Cairo the clocks of 24 April 2026 went from 23:59:59 to 01:00.
    let draft = import_table(&["u_1,A,T,Africa/Cairo,shift,2026-04-24T09:00,2026-04-24T17:00,no"]).expect("sound");
    assert_eq!(
        draft.agents[0].coverage,
        Coverage { start: utc("2026-04-23T22:00:00Z"), end: utc("2026-04-24T21:00:00Z") }
    );
}
