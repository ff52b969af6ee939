//! Shift files, as tables and as calendars.

use std::time::Duration;

use shiftkeeper::domain::schedules::import::{ImportFormat, ImportOptions, ScheduleDraft, read_schedule};

/// Fewer than is usual, so that an input takes milliseconds: how many rows there are changes no law.
const MOST_ROWS: usize = 5_000;

/// The first byte chooses format and options, the rest is the file.
///
/// A file that is taken keeps to the limits, in order and without overlaps; the rows of a plain table are all taken; one that is
/// refused is so with a reason.
pub fn read(bytes: &[u8]) {
    let Some((choice, file)) = bytes.split_first() else { return };
    let name = if choice & 1 == 0 { "shifts.csv" } else { "shifts.ics" };
    let options = ImportOptions {
        max_rows: MOST_ROWS,
        default_zone: (choice & 2 != 0).then(|| "Europe/Berlin".to_owned()),
        delimiter: (choice & 4 != 0).then_some(b';'),
        move_weeks: if choice & 8 != 0 { -3 } else { 0 },
        ..ImportOptions::default()
    };
    match read_schedule(name, file, &options) {
        Ok(draft) => {
            check(&draft, &options);
            if ImportFormat::guess(name, file) == ImportFormat::Csv {
                no_row_is_lost(file, &draft);
            }
        }
        Err(refused) => {
            assert!(!refused.to_string().trim().is_empty(), "refused without a reason");
        }
    }
}

fn check(draft: &ScheduleDraft, options: &ImportOptions) {
    assert!(draft.rows <= options.max_rows, "{} rows", draft.rows);
    assert!(draft.agents.is_sorted_by(|left, right| left.id < right.id), "agents out of order or twice");
    assert_eq!(draft.agents.iter().map(|agent| agent.shifts.len()).sum::<usize>(), draft.shifts);
    assert!(draft.first_day <= draft.last_day);
    let days = draft.last_day.since(draft.first_day).expect("days").get_days();
    assert!(days <= i32::from(options.max_days), "{days} days");
    for agent in &draft.agents {
        let covers = agent.coverage;
        assert!(!agent.id.as_str().is_empty() && covers.start < covers.end, "{agent:?}");
        assert!(agent.shifts.windows(2).all(|pair| pair[0].end <= pair[1].start), "shifts overlap: {agent:?}");
        for shift in &agent.shifts {
            let length = shift.end.since(shift.start);
            assert!(Duration::ZERO < length && length <= options.max_shift, "{shift:?}");
            assert!(covers.start <= shift.start && shift.start < covers.end, "outside of its coverage: {shift:?}");
            let mut free_from = shift.start;
            for activity in &shift.activities {
                assert!(free_from <= activity.start && activity.start < activity.end, "{shift:?}");
                free_from = activity.end;
            }
            assert!(free_from <= shift.end, "an activity outlasts its shift: {shift:?}");
        }
    }
}

/// A table without quotes has a row on each line that is not blank.
fn no_row_is_lost(file: &[u8], draft: &ScheduleDraft) {
    if file.contains(&b'"') {
        return;
    }
    let blank = |line: &[u8]| line.iter().all(|byte| matches!(byte, b',' | b';' | b'\t') || byte.is_ascii_whitespace());
    let lines = file.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !blank(line)).count();
    assert_eq!(draft.rows + 1, lines, "rows are lost");
}
