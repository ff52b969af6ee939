//! Files of required staff, whole and broken.

use super::*;

const HEAD: &str = "date,interval,queue,required\n";

fn read(text: &str, zone: Option<&str>) -> Result<StaffingDraft, Vec<String>> {
    let read = read_staffing(text.as_bytes(), zone, &ImportOptions::default());
    read.map_err(|error| error.diagnostics.iter().map(ToString::to_string).collect())
}

fn instant(text: &str) -> UtcMicros {
    text.parse().expect("an instant")
}

/// Starts, lengths in minutes, queues and thousandths of agents.
fn rows(draft: &StaffingDraft) -> Vec<(String, u16, String, i64)> {
    let row =
        |row: &RequiredStaffing| (row.start.to_string(), row.minutes, row.queue.to_string(), row.agents.thousandths());
    draft.rows.iter().map(row).collect()
}

#[test]
fn local_intervals_and_instants_are_read() {
    let text = format!(
        "\u{feff}{HEAD}2026-10-26,09:00-09:15,Support,12.5\r\n\r\n2026-10-26,9:15–9:45,Support,13\r\n2026-10-25,23:30-24:00,\"Sales, EU\",0\r\n"
    );
    let draft = read(&text, Some("europe/berlin")).expect("sound");
    let row = |start: &str, minutes, queue: &str, agents| (start.to_owned(), minutes, queue.to_owned(), agents);
    assert_eq!(
        rows(&draft),
        [
            row("2026-10-25T22:30:00Z", 30, "Sales, EU", 0),
            row("2026-10-26T08:00:00Z", 15, "Support", 12_500),
            row("2026-10-26T08:15:00Z", 30, "Support", 13_000),
        ]
    );
    assert_eq!((draft.zone.as_str(), draft.first_day.to_string()), ("Europe/Berlin", "2026-10-25".to_owned()));
    // The clocks go back on this day.
    let day = (instant("2026-10-24T22:00:00Z"), instant("2026-10-25T23:00:00Z"));
    assert_eq!(draft.days["Sales, EU"], [day]);
    assert_eq!(draft.days["Support"].len(), 1);

    let text = "Start;Minutes;Queue;Required;Forecast\n2026-10-26T10:00+01:00;60;Support;1.23456;9\n2026-10-26T10:00Z;15;Support;2;9\n";
    let draft = read(text, None).expect("sound");
    assert_eq!(
        rows(&draft),
        [row("2026-10-26T09:00:00Z", 60, "Support", 1_235), row("2026-10-26T10:00:00Z", 15, "Support", 2_000)]
    );
    assert_eq!(draft.zone, "UTC");
    let warnings: Vec<_> = draft.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["line 1, column Forecast: is not a column of required staff; it is ignored"]);
    let draft =
        read("date\tinterval\tminutes\tqueue\trequired\n2026-10-26\t09:30\t15\tA\t3\n", Some("UTC")).expect("sound");
    assert_eq!(rows(&draft), [row("2026-10-26T09:30:00Z", 15, "A", 3_000)]);
}

#[test]
fn the_examples_of_the_documentation_are_read() {
    let page = include_str!("../../../../../docs/schedules.md");
    let blocks = page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    let files: Vec<&str> = blocks.filter(|block| block.contains(",queue,required")).collect();
    let drafts: Vec<_> = files.iter().map(|text| read(text, Some("Europe/Berlin")).expect(text)).collect();
    assert_eq!(drafts.iter().map(|draft| draft.rows.len()).collect::<Vec<_>>(), [3, 2]);
    assert!(drafts.iter().all(|draft| draft.warnings.is_empty()));
    let missing: Vec<_> = Column::ALL.iter().filter(|(_, name)| !page.contains(&format!("| `{name}` |"))).collect();
    assert!(missing.is_empty());
}

#[test]
fn every_fault_is_named_with_line_column_and_what_to_do() {
    let interval = |field: &str, reason: &str| {
        (format!("2026-10-26,{field},Support,1"), format!("line 2, column interval: \"{field}\" {reason}"))
    };
    let required = |field: &str, reason: &str| {
        (format!("2026-10-26,09:00-09:15,Support,{field}"), format!("line 2, column required: \"{field}\" {reason}"))
    };
    let form = "is not an interval; write it as 09:00-09:15";
    let length = "does not last 15, 30 or 60 minutes";
    let number = "is not a number of agents; write it as 12 or 12.5";
    for (row, expected) in [
        interval("9am", form),
        interval("24:00-00:15", form),
        interval("09:00-09:15-09:30", form),
        interval("09:60-10:15", form),
        interval("09:00-09:20", length),
        interval("09:00-08:45", length),
        interval("09:05-09:20", "does not start on a quarter hour: 09:00, 09:15, 09:30 or 09:45"),
        interval("09:00", "does not say how long the interval is; write it as 09:00-09:15, or add the column minutes"),
        required("ten", number),
        required("-1", number),
        required("1e3", number),
        required("100001", "is more than 100000 agents"),
        required("\"1,5\"", "x"),
        ("2026-10-26,09:00-09:15,Support,".to_owned(), "line 2, column required: is missing; write the number of agents, 0 if none are required".to_owned()),
        ("2026-10-26,09:00-09:15,,1".to_owned(), "line 2, column queue: is missing; every row names its queue".to_owned()),
        ("26.10.2026,09:00-09:15,Support,1".to_owned(), "line 2, column date: \"26.10.2026\" is not a day of the calendar; write it as 2026-10-26".to_owned()),
        ("2026-03-29,02:00-02:15,Support,1".to_owned(), "line 2, column interval: \"02:00-02:15\" does not exist in Europe/Berlin: a clock change skips it; write the time that the clock shows then, such as 2026-03-29T03:00".to_owned()),
        ("2026-10-26,09:00-09:15,Support".to_owned(), "line 2: the row has 3 fields where the header has 4; write the delimiter for an empty field too".to_owned()),
    ] {
        let found = read(&format!("{HEAD}{row}\n"), Some("Europe/Berlin")).expect_err("a fault");
        if row.contains('"') {
            let comma = "holds a comma; write decimals with a point, as in 12.5, and thousands without separators";
            assert_eq!(found, [format!("line 2, column required: \"1,5\" {comma}")]);
        } else {
            assert_eq!(found, [expected], "{row}");
        }
    }
}

#[test]
fn a_file_without_a_header_a_zone_or_rows_is_refused() {
    for (text, zone, expected) in [
        ("", None, vec!["the file is empty; it needs a header and a row for each interval and queue"]),
        (HEAD, Some("UTC"), vec!["the file has a header and no rows"]),
        (
            "2026-10-26,09:00-09:15,Support,1\n",
            None,
            vec!["line 1: this is not a header; the first line names the columns date, interval, queue and required"],
        ),
        (
            "date,queue,queue\n",
            None,
            vec![
                "line 1, column required: is missing from the header; add it",
                "line 1, column interval: is missing from the header; add it",
                "line 1, column queue: is in the header twice; keep one",
            ],
        ),
        (
            "start,date,queue,required\n",
            None,
            vec!["line 1, column date: says the same as the column start; keep start, or date and interval"],
        ),
        (
            "date,interval,queue,required\n2026-10-26,09:00-09:15,A,1\n",
            None,
            vec![
                "line 2, column interval: \"09:00-09:15\" does not say in which time zone; name the zone of the file, or write \
                 2026-10-26T09:00Z in the column start",
            ],
        ),
        (HEAD, Some("Europe/Berln"), vec!["\"Europe/Berln\" is not a known time zone; did you mean Europe/Berlin?"]),
        (
            "start,minutes,queue,required\n2026-13-26T09:00Z,15,A,1\n2026-10-26T09:00Z,20,A,1\n2026-10-26T09:00,15,A,1\n",
            None,
            vec![
                "line 2, column start: \"2026-13-26T09:00Z\" is not an instant; write it as 2026-10-26T09:00Z or \
                 2026-10-26T10:00+01:00",
                "line 3, column minutes: \"20\" does not last 15, 30 or 60 minutes",
                "line 4, column start: \"2026-10-26T09:00\" does not say in which time zone; name the zone of the file, or \
                 write 2026-10-26T09:00Z in the column start",
            ],
        ),
    ] {
        assert_eq!(read(text, zone).expect_err("a fault"), expected, "{text}");
    }
    let read =
        |bytes: &[u8]| read_staffing(bytes, Some("UTC"), &ImportOptions::default()).map(|draft| draft.rows.len());
    assert!(read(b"PK\x03\x04").is_err() && read(&[0xff, 0xfe]).is_err());
    let options = ImportOptions { max_days: 7, ..ImportOptions::default() };
    let week = format!("{HEAD}2026-10-26,09:00-09:15,A,1\n2026-11-02,09:00-09:15,A,1\n");
    let refused = read_staffing(week.as_bytes(), Some("UTC"), &options).expect_err("eight days");
    let reason = "the file has days from 2026-10-26 to 2026-11-02, more than the 7 of import.max_days";
    assert_eq!(refused.diagnostics[0].to_string(), reason);
}

#[test]
fn a_time_is_in_a_file_once_for_each_queue() {
    let text = format!(
        "{HEAD}2026-10-26,09:00-10:00,A,1\n2026-10-26,09:15-09:30,B,1\n2026-10-26,09:15-09:30,A,1\n2026-10-26,09:45-10:00,A,1\n2026-10-26,10:00-10:15,A,1\n"
    );
    let found = read(&text, Some("UTC")).expect_err("overlaps");
    let lines: Vec<_> = found.iter().map(|fault| fault.split(';').next().unwrap_or_default()).collect();
    assert_eq!(
        lines,
        [
            "line 4, column interval: overlaps line 2 of the same queue",
            "line 5, column interval: overlaps line 2 of the same queue"
        ]
    );
}
