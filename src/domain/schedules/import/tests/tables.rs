//! Tables: the bad samples, the sample schedule, every fault by line and column.

use super::*;

fn import_bad_sample(file: &str) -> Result<ScheduleDraft, ScheduleImportError> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/bad");
    let bytes = std::fs::read(folder.join(file)).expect("a sample");
    read_schedule(file, &bytes, &ImportOptions::default())
}

#[test]
fn each_bad_sample_is_refused_with_its_fault_by_name() {
    for (file, fault) in [
        (
            "break-outside-shift",
            "line 3, column start: the break 2026-10-19T18:00 to 2026-10-19T18:15 of agent u_0001 lies outside every shift of its \
             agent; move it into a shift, or add the shift's row",
        ),
        (
            "end-before-start",
            "line 2, column end: \"2026-10-19T09:00\" is not after the start; a shift over midnight ends on the next day's date",
        ),
        (
            "gap-local-time",
            "line 2, column start: \"2027-03-14T02:30\" does not exist in America/New_York: a clock change skips it; write the time \
             that the clock shows then, such as 2027-03-14T03:30",
        ),
        ("missing-agent", "line 2, column agent_id: is missing; every row names its agent"),
        ("not-a-date", "line 2, column start: \"19/10/2026 9am\" is not a date and time; write it as 2026-10-19T09:00"),
        (
            "overlapping-shifts",
            "line 3, column start: the shift 2026-10-19T12:00 to 2026-10-19T20:00 overlaps the shift of line 2, 2026-10-19T09:00 to \
             2026-10-19T17:30; an agent can do one thing at a time",
        ),
        (
            "short-row",
            "line 3: the row has 4 fields where the header has 8; write the delimiter for an empty field too",
        ),
        (
            "thirty-hour-shift",
            "line 2, column start: the shift lasts 30h, more than the 24h allowed; check the day of its end",
        ),
        (
            "unknown-zone",
            "line 2, column time_zone: \"Mars/Olympus\" is not a known time zone; write an IANA name such as Europe/Berlin",
        ),
    ] {
        assert_eq!(error_texts(import_bad_sample(&format!("{file}.csv"))), [fault], "{file}");
    }
}

#[test]
fn a_duplicate_row_is_imported_once_with_a_warning() {
    let draft = import_bad_sample("same-row-twice.csv").expect("sound");
    assert_eq!((draft.rows, draft.shifts, draft.agents[0].shifts.len()), (2, 1, 1));
    assert_eq!(warning_texts(&draft), ["line 3: says the same as line 2; it is imported once"]);
}

#[test]
fn a_formula_in_a_name_is_plain_text() {
    let draft = import_bad_sample("formula-in-name.csv").expect("sound");
    assert_eq!(draft.agents[0].name, "=HYPERLINK(\"http://x\")");
    assert_eq!(warning_texts(&draft), Vec::<String>::new());
}

#[test]
fn the_big_sample_is_read_whole() {
    let draft = read_schedule("schedule-300.csv", SAMPLE_CSV, &ImportOptions::default()).expect("sound");
    assert_eq!((draft.agents.len(), draft.rows, draft.shifts), (300, 19_250, 4_500));
    assert_eq!(draft.rows, std::str::from_utf8(SAMPLE_CSV).expect("UTF-8").lines().count() - 1);
    assert_eq!(
        (draft.first_day.to_string(), draft.last_day.to_string()),
        ("2026-10-19".to_owned(), "2026-11-08".to_owned())
    );
    assert!(draft.warnings.is_empty(), "{:?}", draft.warnings.first());
    let zones: std::collections::BTreeSet<&str> = draft.agents.iter().map(|agent| agent.zone.as_str()).collect();
    assert_eq!(zones.len(), 5);
    let listed: usize = draft.agents.iter().flat_map(|agent| &agent.shifts).map(|shift| shift.activities.len()).sum();
    assert_eq!(listed + draft.shifts, draft.rows, "every row is a shift or lies in one");
}

#[test]
fn coverage_runs_from_the_first_day_to_the_day_after_the_last_in_the_agents_zone() {
    let draft = read_schedule("schedule-300.csv", SAMPLE_CSV, &ImportOptions::default()).expect("sound");
    let coverage = |zone| draft.agents.iter().find(|agent| agent.zone == zone).expect("in the sample").coverage;
    let (start, end) = (utc("2026-10-19T04:00:00Z"), utc("2026-11-09T05:00:00Z"));
    assert_eq!(coverage("America/New_York"), Coverage { start, end });
    let (start, end) = (utc("2026-10-18T16:00:00Z"), utc("2026-11-08T16:00:00Z"));
    assert_eq!(coverage("Asia/Manila"), Coverage { start, end });
}

#[test]
fn a_european_spreadsheets_table_says_the_same_as_a_plain_one() {
    let excel = read_schedule("excel-europe.csv", SAMPLE_EXCEL, &ImportOptions::default()).expect("sound");
    assert_eq!((excel.agents.len(), excel.shifts, excel.rows), (3, 3, 15));
    let text = std::str::from_utf8(SAMPLE_EXCEL).expect("UTF-8").trim_start_matches('\u{feff}');
    let mut lines: Vec<String> = text.lines().map(|line| line.replace(';', "\t")).collect();
    lines[1..].reverse();
    let tabs = read_schedule("x.tsv", lines.join("\n").as_bytes(), &ImportOptions::default()).expect("sound");
    assert_eq!(tabs, excel);
}

#[test]
fn the_hash_changes_with_every_part_of_the_content() {
    let rows = [
        "u_1,A,T,Europe/Berlin,shift,2026-10-19T09:00,2026-10-19T17:00,no",
        "u_1,A,T,Europe/Berlin,break,2026-10-19T10:00,2026-10-19T10:15,no",
    ];
    let hash = |rows: &[&str]| import_table(rows).expect("sound").content_hash;
    let first = hash(&rows);
    assert_eq!(hash(&[rows[1], rows[0]]), first);
    assert_eq!(hash(&[rows[0], rows[1], rows[1]]), first);
    let work = "u_1,A,T,Europe/Berlin,work,2026-10-19T11:00,2026-10-19T12:00,no";
    assert_eq!(hash(&[rows[0], rows[1], work]), first, "plain work is what is left");
    for (from, to) in [
        ("u_1", "u_2"),
        (",A,", ",B,"),
        (",T,", ",U,"),
        ("Europe/Berlin", "Europe/Paris"),
        ("break", "lunch"),
        ("T10:15,no", "T10:15,yes"),
        ("T10:15", "T10:16"),
    ] {
        let changed = rows.map(|row| row.replace(from, to));
        assert_ne!(hash(&[&changed[0], &changed[1]]), first, "{from} to {to}");
    }
}

#[test]
fn every_fault_of_every_row_is_reported_by_line_and_column() {
    let faults = error_texts(import_table(&[
        "u_1,A,T,Europe/Berlim,shift,2026-10-19T09:00,2026-10-19 17:00:00,maybe",
        "",
        "u_2,\"A\nB\",T,Europe/Berlin,shift,2026-02-30T09:00,2026-10-19T09:00Z,no",
        "u_3,A,T,UTC+02:00,shift,03/04/2026 09:00,2026-10-19,no",
        ",,,,,,,",
        "u_4,A,T,Berlin,,2026-10-19T24:00,46314.375,",
        "u_5,A,T,UTC,shift,2026-10-19T09:00,2026-10-19T17:00,no,extra",
    ]));
    assert_eq!(
        faults,
        [
            "line 2, column mandatory: \"maybe\" is neither true nor false; write true or false (yes, no, 1 and 0 are read too)",
            "line 2, column time_zone: \"Europe/Berlim\" is not a known time zone; did you mean Europe/Berlin?",
            "line 4, column agent_name: holds a line break or another control character; write it as plain text on one line",
            "line 4, column start: \"2026-02-30T09:00\" is not in the calendar: there is no such day or time of day",
            "line 4, column end: \"2026-10-19T09:00Z\" carries an offset; times are local to the time zone of the row, write it as \
             2026-10-19T09:00",
            "line 6, column start: \"03/04/2026 09:00\" does not say which number is the day and which the month; write it as \
             2026-10-19T09:00",
            "line 6, column end: \"2026-10-19\" has no time of day; write it as 2026-10-19T09:00",
            "line 6, column time_zone: \"UTC+02:00\" is an offset, which is not a time zone: it does not say when the clocks change; \
             write an IANA name such as Europe/Berlin",
            "line 8, column activity: is missing; write shift, break, lunch, meeting, training or another activity",
            "line 8, column start: \"2026-10-19T24:00\" has hour 24; midnight is 00:00 of the next day, write it as 2026-10-19T09:00",
            "line 8, column end: \"46314.375\" looks like a spreadsheet's day number; format the cells as text and write it as \
             2026-10-19T09:00",
            "line 8, column mandatory: is empty; write true or false (yes, no, 1 and 0 are read too)",
            "line 8, column time_zone: \"Berlin\" is not a known time zone; did you mean Europe/Berlin?",
            "line 9: the row has 9 fields where the header has 8; put quotes around a text that holds the delimiter",
        ]
    );
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    let header = format!("notes,{HEADER}");
    let sound = "\"two\nlines\",u_1,A,T,UTC,shift,2026-10-19T09:00,2026-10-19T17:00,no";
    let faulty = "n,u_1,A,T,UTC,shift,soon,2026-10-19T17:00,no";
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("{header}\n\n{sound}\n\n{faulty}").replace('\n', end);
        let faults = error_texts(read_schedule("a.csv", text.as_bytes(), &ImportOptions::default()));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("line 6, column start"), "{end:?}: {}", faults[0]);
    }
}

#[test]
fn a_quote_that_is_never_closed_does_not_swallow_rows() {
    let text = format!(
        "{HEADER},notes\nu_1,A,T,UTC,shift,2026-10-19T09:00,2026-10-19T17:00,no,\"late\nu_2,A,T,UTC,shift,2026-10-19T09:00,\
         2026-10-19T17:00,no,x\n"
    );
    let faults = error_texts(read_schedule("a.csv", text.as_bytes(), &ImportOptions::default()));
    assert!(faults[0].starts_with("line 2: a quoted field runs over the end of the line"), "{faults:?}");
}

#[test]
fn bytes_that_are_not_utf8_are_named_by_line() {
    let mut bytes = format!("{HEADER}\nu_1,Ren").into_bytes();
    bytes.extend_from_slice(b"\xe9e,T,UTC,shift,2026-10-19T09:00,2026-10-19T17:00,no\n");
    let faults = error_texts(read_schedule("a.csv", &bytes, &ImportOptions::default()));
    assert_eq!(faults, ["line 2, column agent_name: is not UTF-8 text; save the file as UTF-8"]);
}

#[test]
fn a_header_with_missing_and_repeated_columns_says_which_may_be_meant() {
    let read =
        |header: &str| error_texts(read_schedule("a.csv", format!("{header}\n").as_bytes(), &ImportOptions::default()));
    assert_eq!(
        read("agent_id,agent_nam,team,time_zone,activity,start,end,mandatory,start,colour"),
        [
            "line 1, column agent_name: is missing from the header; did you mean \"agent_nam\"? Rename it, or map it as \
             columns.agent_name",
            "line 1, column start: is in the header twice, as column 6 and 9; keep one",
        ]
    );
    assert_eq!(
        read("u_0001,Ada,Team A"),
        [format!("line 1: this is not a header; the first line names the columns {}", HEADER.replace(',', ", "))]
    );
    assert_eq!(read(HEADER), ["the file has no rows; it needs at least one shift"]);
}

#[test]
fn columns_can_be_renamed_and_others_are_ignored_with_a_warning() {
    let columns =
        BTreeMap::from([("agent_id".to_owned(), "Login".to_owned()), ("start".to_owned(), "From".to_owned())]);
    let options = ImportOptions { columns, default_zone: Some("Europe/London".to_owned()), ..ImportOptions::default() };
    let text = "Login|x;Agent Name;Team;Activity;FROM;end;mandatory;;\nu_1;A;T;Shift;2026-10-19 09:00:30;2026-10-19T17:00;NO;;\n";
    let draft = read_schedule("a.csv", text.replace("|x", "").as_bytes(), &options).expect("sound");
    assert_eq!(draft.agents[0].zone, "Europe/London");
    assert_eq!(draft.agents[0].shifts[0].start, utc("2026-10-19T08:00:30Z"));
    let more = text.replace("|x", "").replace("mandatory;;", "mandatory;colour;");
    let draft = read_schedule("a.csv", more.as_bytes(), &options).expect("sound");
    assert_eq!(warning_texts(&draft), ["line 1, column colour: is not a column of a shift file; it is ignored"]);
    let shorter = text.replace("|x", "").replace("09:00:30", "9 Uhr");
    let twice = format!("{}u_1;A;T;Break;2026-10-19 08:00;2026-10-19T08:30;NO;;\n", text.replace("|x", ""));
    for (faulty, fault) in [(shorter, "line 2, column From: \"2026-10-19 9 Uhr\""), (twice, "line 3, column From: ")] {
        let faults = error_texts(read_schedule("a.csv", faulty.as_bytes(), &options));
        assert!(faults[0].starts_with(fault), "the name that the file's author knows: {faults:?}");
    }
    let wrong = ImportOptions { columns: BTreeMap::from([("agent".to_owned(), "x".to_owned())]), ..options.clone() };
    assert!(error_texts(read_schedule("a.csv", SAMPLE_CSV, &wrong))[0].starts_with("columns.agent renames no field"));
    let wrong = ImportOptions { default_zone: Some("Moon".to_owned()), ..options };
    assert!(
        error_texts(read_schedule("a.csv", text.replace("|x", "").as_bytes(), &wrong))[0]
            .contains("default time zone \"Moon\"")
    );
}

#[test]
fn one_agent_has_one_zone_and_the_last_name_and_team_count() {
    let row = |name: &str, zone: &str, day: u8| {
        format!("u_1,{name},T{day},{zone},shift,2026-10-{day}T09:00,2026-10-{day}T17:00,0")
    };
    let (first, second, third) = (row("A", "UTC", 19), row("B", "UTC", 20), row("B", "Europe/Berlin", 21));
    let draft = import_table(&[&first, &second]).expect("sound");
    assert_eq!((draft.agents[0].name.as_str(), draft.agents[0].team.as_str()), ("B", "T20"));
    assert_eq!(
        warning_texts(&draft),
        [
            "line 3: agent u_1 has another name on line 2; the last one counts",
            "line 3: agent u_1 has another team on line 2; the last one counts",
        ]
    );
    assert_eq!(
        error_texts(import_table(&[&first, &second, &third])),
        ["line 4: agent u_1 is in Europe/Berlin here and in UTC on line 2; keep one"]
    );
}

#[test]
fn activities_lie_inside_one_shift_without_overlap() {
    let row =
        |activity: &str, from: &str, to: &str| format!("u_1,A,T,UTC,{activity},2026-10-19T{from},2026-10-19T{to},no");
    let shift = row("shift", "09:00", "12:00");
    let next = row("shift", "12:00", "17:00");
    let touching = [row("break", "10:00", "10:15"), row("coaching", "10:15", "12:00"), row("lunch", "12:00", "12:30")];
    let draft = import_table(&[&touching[2], &touching[1], &touching[0], &next, &shift]).expect("they only touch");
    let activities: Vec<Vec<&str>> = draft.agents[0]
        .shifts
        .iter()
        .map(|shift| shift.activities.iter().map(|activity| activity.activity.name()).collect())
        .collect();
    assert_eq!(activities, [vec!["break", "coaching"], vec!["lunch"]]);

    let faults = |activities: &[String]| {
        let rows: Vec<&str> = [&shift, &next].into_iter().chain(activities).map(String::as_str).collect();
        error_texts(import_table(&rows))
    };
    let over =
        faults(&[row("break", "11:50", "12:05"), row("lunch", "08:50", "09:10"), row("break", "16:00", "17:00:01")]);
    assert!(over[0].contains("line 4") && over[0].contains("runs over the end of the shift"), "{over:?}");
    assert!(over[1].contains("line 5") && over[1].contains("lies outside every shift"), "{over:?}");
    assert!(over[2].contains("line 6") && over[2].contains("runs over the end of the shift"), "{over:?}");
    let twice = faults(&[row("break", "10:00", "10:15"), row("meeting", "10:00", "10:15")]);
    assert!(twice[0].starts_with("line 5, column start: the meeting 2026-10-19T10:00"), "{twice:?}");
    assert!(twice[0].contains("overlaps the break of line 4"), "{twice:?}");
    let worked = faults(&[row("work", "09:00", "12:00"), row("break", "10:00", "10:15")]);
    assert!(worked[0].contains("overlaps the work of line 4"), "{worked:?}");
}

#[test]
fn a_long_shift_is_compared_with_all_that_it_covers() {
    let row = |from: &str, to: &str| format!("u_1,A,T,UTC,shift,2026-10-19T{from},2026-10-19T{to},no");
    let faults = error_texts(import_table(&[&row("01:00", "20:00"), &row("02:00", "03:00"), &row("04:00", "05:00")]));
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.contains("overlaps the shift of line 2")), "{faults:?}");
}

#[test]
fn a_shift_that_could_not_be_read_does_not_make_strays_of_its_activities() {
    let faults = error_texts(import_table(&[
        "u_1,A,T,UTC,shift,soon,2026-10-19T17:00,no",
        "u_1,A,T,UTC,break,2026-10-19T10:00,2026-10-19T10:15,no",
        "u_2,A,T,UTC,break,2026-10-19T10:00,2026-10-19T10:15,no",
    ]));
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[1].contains("agent u_2"), "{faults:?}");
}

#[test]
fn days_off_are_whole_days_without_a_shift() {
    let row = |agent: &str, activity: &str, start: &str, end: &str| {
        format!("{agent},,,Europe/Berlin,{activity},{start},{end},false")
    };
    let off = row("u_2", "OFF", "2026-10-24T00:00", "2026-10-27T00:00");
    let shift = row("u_1", "shift", "2026-10-26T09:00", "2026-10-26T17:00");
    let draft = import_table(&[&shift, &off]).expect("sound");
    assert_eq!((draft.agents.len(), draft.shifts, draft.rows), (2, 1, 2));
    assert_eq!((draft.first_day.to_string(), draft.last_day.to_string()), ("2026-10-24".into(), "2026-10-26".into()));
    let only = import_table(&[&off]).expect("a file may say only who is off");
    assert_eq!((only.agents.len(), only.shifts), (1, 0));
    let night = row("u_2", "shift", "2026-10-25T22:00", "2026-10-26T06:00");
    let bad = [
        off.as_str(),
        &night,
        &row("u_3", "off", "2026-10-24T00:00", "2026-10-24T12:00"),
        &row("u_3", "off", "2026-10-24T00:00", "2026-10-24T00:00"),
    ];
    let whole = "is not about whole days; days off start at 00:00 and end at 00:00 of a later day";
    assert_eq!(
        error_texts(import_table(&bad)),
        [
            "line 3, column start: the shift begins on 2026-10-25, on which the agent is off by line 2; keep one"
                .to_owned(),
            format!("line 4, column start: \"2026-10-24T00:00\" {whole}"),
            format!("line 5, column start: \"2026-10-24T00:00\" {whole}"),
        ]
    );
    let options = ImportOptions { move_weeks: 1, ..ImportOptions::default() };
    let text = [HEADER, &off].join("\n");
    let moved = read_schedule("a.csv", text.as_bytes(), &options).expect("sound");
    assert_eq!(moved.first_day.to_string(), "2026-10-31");
}

#[test]
fn only_a_time_that_occurs_twice_may_carry_its_offset() {
    let lunch = |start: &str| {
        let shift = "u_1,,,Europe/Berlin,shift,2026-10-24T22:00,2026-10-25T06:00,false";
        import_table(&[shift, &format!("u_1,,,Europe/Berlin,lunch,{start},2026-10-25T03:30,false")])
    };
    let start = |text: &str| lunch(text).expect("sound").agents[0].shifts[0].activities[0].start.to_string();
    assert_eq!(start("2026-10-25T02:30"), "2026-10-25T00:30:00Z");
    assert_eq!(start("2026-10-25T02:30+02:00"), "2026-10-25T00:30:00Z");
    assert_eq!(start("2026-10-25 02:30:00+01:00"), "2026-10-25T01:30:00Z");
    for refused in ["2026-10-25T02:30+03:00", "2026-10-25T03:00+01:00", "2026-10-25T02:30Z", "2026-10-25T02:30+01"] {
        let reason = error_texts(lunch(refused));
        assert!(reason[0].contains("carries an offset"), "{reason:?}");
    }
}

#[test]
fn repeated_local_times_mean_their_first_occurrence_and_skipped_ones_are_faults() {
    for (zone, local, instant) in [
        ("America/New_York", "2026-11-01T01:30", "2026-11-01T05:30:00Z"),
        ("Europe/London", "2026-10-25T01:30", "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45:00Z"),
        ("America/Phoenix", "2026-11-01T01:30", "2026-11-01T08:30:00Z"),
        ("Asia/Manila", "2026-11-01T01:30", "2026-10-31T17:30:00Z"),
    ] {
        let end = local.replace("T01", "T09").replace("T02", "T09");
        let draft = import_table(&[&format!("u_1,A,T,{zone},shift,{local},{end},no")]).expect("exists");
        assert_eq!(draft.agents[0].shifts[0].start, utc(instant), "{zone}");
    }
    for (zone, local, later) in [
        ("America/New_York", "2027-03-14T02:00", "2027-03-14T03:00"),
        ("Europe/London", "2027-03-28T01:59", "2027-03-28T02:59"),
        ("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T03:30"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-04T02:45"),
    ] {
        let start = local.replace("T01", "T00").replace("T02", "T00");
        let faults = error_texts(import_table(&[&format!("u_1,A,T,{zone},shift,{start},{local},no")]));
        assert_eq!(
            faults,
            [format!(
                "line 2, column end: \"{local}\" does not exist in {zone}: a clock change skips it; write the time that the clock \
                 shows then, such as {later}"
            )]
        );
    }
}

#[test]
fn a_night_shift_over_a_clock_change_lasts_as_long_as_it_does() {
    let night = |zone: &str, from: &str, to: &str| {
        let draft = import_table(&[&format!("u_1,A,T,{zone},shift,{from}T23:00,{to}T07:30,no")]).expect("sound");
        let shift = &draft.agents[0].shifts[0];
        shift.end.since(shift.start).as_secs() / 60
    };
    assert_eq!(night("Europe/Berlin", "2026-10-24", "2026-10-25"), 570);
    assert_eq!(night("Europe/London", "2026-10-24", "2026-10-25"), 570);
    assert_eq!(night("America/New_York", "2026-10-31", "2026-11-01"), 570);
    assert_eq!(night("America/New_York", "2027-03-13", "2027-03-14"), 450);
    assert_eq!(night("Asia/Manila", "2026-10-31", "2026-11-01"), 510);
}

#[test]
fn moving_by_weeks_moves_local_times_and_applies_the_zone_after() {
    let row = "u_1,A,T,Europe/Berlin,shift,2026-10-19T09:00,2026-10-19T17:00,no";
    let text = format!("{HEADER}\n{row}\n");
    let moved = |weeks| {
        let options = ImportOptions { move_weeks: weeks, ..ImportOptions::default() };
        read_schedule("a.csv", text.as_bytes(), &options)
    };
    let draft = moved(1).expect("sound");
    assert_eq!(
        draft.agents[0].shifts[0].start,
        utc("2026-10-26T08:00:00Z"),
        "an hour later in UTC after the clock change"
    );
    assert_eq!(
        (draft.first_day, draft.last_day),
        ("2026-10-26".parse().expect("a day"), "2026-10-26".parse().expect("a day"))
    );
    assert_eq!(moved(-52).expect("sound").agents[0].shifts[0].start, utc("2025-10-20T07:00:00Z"));
    assert!(error_texts(moved(i32::MAX))[0].contains("weeks are too many"));
    assert!(error_texts(moved(1_000_000))[0].contains("outside the years that can be planned"));
}

#[test]
fn limits_on_rows_and_days_refuse_the_file() {
    let rows = [
        "u_1,A,T,UTC,shift,2026-10-19T09:00,2026-10-19T17:00,no",
        "u_1,A,T,UTC,shift,2026-10-20T09:00,2026-10-20T17:00,no",
        "u_1,A,T,UTC,shift,2027-11-23T09:00,2027-11-23T17:00,no",
    ];
    let text = |rows: &[&str]| format!("{HEADER}\n{}", rows.join("\n"));
    let options = ImportOptions { max_rows: 1, ..ImportOptions::default() };
    let faults = error_texts(read_schedule("a.csv", text(&rows[..2]).as_bytes(), &options));
    assert_eq!(faults, ["line 3: the file has more than 1 row; import it in parts"]);
    let options = ImportOptions { max_rows: 2, ..ImportOptions::default() };
    assert!(read_schedule("a.csv", text(&rows[..2]).as_bytes(), &options).is_ok());
    assert_eq!(
        error_texts(import_table(&rows)),
        [
            "line 4, column start: this shift is on 2027-11-23, more than 400 days from 2026-10-19 on line 2; check the years, or \
          import the file in parts"
        ]
    );
}

#[test]
fn mandatory_is_read_in_any_usual_form() {
    let flags = ["TRUE", "Yes", "1", "false", "NO", "0"];
    let mut rows = vec!["u_1,A,T,UTC,shift,2026-10-19T09:00,2026-10-19T17:00,no".to_owned()];
    rows.extend(
        (10..)
            .zip(flags)
            .map(|(hour, flag)| format!("u_1,A,T,UTC,BREAK,2026-10-19T{hour}:00,2026-10-19T{hour}:15,{flag}")),
    );
    let draft = import_table(&rows.iter().map(String::as_str).collect::<Vec<_>>()).expect("sound");
    let read: Vec<bool> = draft.agents[0].shifts[0].activities.iter().map(|activity| activity.mandatory).collect();
    assert_eq!(read, [true, true, true, false, false, false]);
    let first: &ShiftActivity = &draft.agents[0].shifts[0].activities[0];
    assert_eq!((first.activity.clone(), first.start), (Activity::Break, utc("2026-10-19T10:00:00Z")));
}

#[test]
fn skills_may_have_their_own_column() {
    let read = |skills: [&str; 2]| {
        let rows = skills.map(|skills| format!("u_1,A,T,UTC,break,2026-10-19T10:00,2026-10-19T10:15,no,{skills}"));
        let shift = "u_1,A,T,UTC,shift,2026-10-19T09:00,2026-10-19T17:00,no,";
        let text = format!("{HEADER},skills\n{shift}\n{}\n{}\n", rows[0], rows[1].replace("T10:", "T12:"));
        read_schedule("shifts.csv", text.as_bytes(), &ImportOptions::default())
    };
    let named = |draft: &ScheduleDraft| draft.agents[0].skills.clone();
    let both = read(["4711 | 12|4711", ""]).expect("a sound file");
    assert_eq!(named(&both), Some(vec!["12".into(), "4711".into()]));
    let silent = read(["", ""]).expect("a sound file");
    assert_eq!(named(&silent), None, "nobody says any");
    let without = "u_1,A,T,UTC,shift,2026-10-19T09:00,2026-10-19T17:00,no";
    let plain =
        import_table(&[without, &without.replace("shift", "break").replace("T17", "T11")]).expect("a sound file");
    assert_eq!(named(&plain), None);
    assert_ne!(both.content_hash, silent.content_hash);
    let last = read(["4711", "12"]).expect("a sound file");
    assert_eq!((named(&last), warning_texts(&last).len()), (Some(vec!["12".into()]), 1), "{:?}", warning_texts(&last));
    let bad = error_texts(read(["4711||12", "x"]));
    assert!(bad[0].contains("column skills") && bad[0].contains("empty skill"), "{bad:?}");
}
