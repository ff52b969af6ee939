//! Calendars: what events mean, how rules repeat over clock changes, what is refused.

use super::*;

/// Reads a calendar of events, each given as its lines; a shift of `u_1` unless the lines say otherwise.
fn import_calendar(events: &[&str]) -> Result<ScheduleDraft, ScheduleImportError> {
    import_calendar_with(events, &ImportOptions::default())
}

fn import_calendar_with(events: &[&str], options: &ImportOptions) -> Result<ScheduleDraft, ScheduleImportError> {
    let mut lines = vec!["BEGIN:VCALENDAR", "VERSION:2.0"];
    for event in events {
        lines.extend(["BEGIN:VEVENT", event]);
        for (name, default_line) in [("CATEGORIES", "CATEGORIES:SHIFT"), ("ATTENDEE", "ATTENDEE;CN=Ada:urn:agent:u_1")]
        {
            lines.extend((!event.contains(name)).then_some(default_line));
        }
        lines.push("END:VEVENT");
    }
    lines.push("END:VCALENDAR");
    read_schedule("shifts.ics", lines.join("\n").as_bytes(), options)
}

/// The starts of `u_1`'s shifts.
fn starts(draft: &ScheduleDraft) -> Vec<String> {
    draft.agents[0].shifts.iter().map(|shift| shift.start.to_string()).collect()
}

fn single_error(events: &[&str]) -> String {
    let faults = error_texts(import_calendar(events));
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults[0].clone()
}

#[test]
fn an_event_may_say_whose_zone_it_is_and_which_days_are_off() {
    let draft = import_calendar(&[
        "DTSTART:20261025T013000Z\nDTEND:20261025T093000Z\nX-TIME-ZONE:Europe/Berlin\nX-TEAM:Sales\\, north",
        "CATEGORIES:OFF\nDTSTART;TZID=Europe/Berlin:20261026T000000\nDURATION:P2D",
    ]);
    let draft = draft.expect("sound");
    assert_eq!((draft.agents[0].zone.as_str(), draft.agents[0].team.as_str()), ("Europe/Berlin", "Sales, north"));
    assert_eq!((draft.first_day.to_string(), draft.last_day.to_string()), ("2026-10-25".into(), "2026-10-27".into()));
    for when in ["DTSTART:20261026T000000Z\nDURATION:P1D", "DTSTART;TZID=Europe/Berlin:20261026T000000\nDURATION:PT12H"]
    {
        let refused = single_error(&[&format!("CATEGORIES:OFF\n{when}")]);
        assert!(refused.contains("is not about whole days"), "{refused}");
    }
    assert!(single_error(&["DTSTART:20261025T013000Z\nDURATION:PT8H\nX-TIME-ZONE:Berlin"]).contains("did you mean"));
}

#[test]
fn the_sample_says_the_same_shifts_as_the_table_but_for_what_their_forms_differ_in() {
    let table = read_schedule("schedule-300.csv", SAMPLE_CSV, &ImportOptions::default()).expect("sound");
    let calendar = read_schedule("schedule-12.ics", SAMPLE_ICS, &ImportOptions::default()).expect("sound");
    assert!(calendar.warnings.is_empty(), "{:?}", calendar.warnings);
    assert_eq!(calendar.agents.len(), 12);
    let (mut same, mut longer, mut only_table, mut after) = (0, 0, 0, 0);
    for agent in &calendar.agents {
        let in_table = table.agents.iter().find(|other| other.id == agent.id).expect("in both");
        assert_eq!((&agent.name, &agent.zone), (&in_table.name, &in_table.zone));
        assert_eq!(agent.team.as_str(), "");
        for shift in &agent.shifts {
            let lunch = shift.activities.iter().find(|activity| activity.activity == Activity::Lunch);
            assert_eq!(shift.end.since(shift.start), Duration::from_secs(510 * 60), "a DURATION is elapsed time");
            match in_table.shifts.iter().find(|other| other.start == shift.start) {
                None => {
                    assert!(shift.start >= in_table.coverage.end, "UNTIL reaches into 9 November in the east");
                    after += 1;
                }
                Some(other) if other.end == shift.end => {
                    assert!(lunch.is_some_and(|lunch| !lunch.mandatory));
                    same += 1;
                }
                Some(other) => {
                    assert_eq!(
                        other.end.since(shift.end),
                        Duration::from_secs(3600),
                        "the hour that the clocks repeat"
                    );
                    longer += 1;
                }
            }
        }
        only_table +=
            in_table.shifts.iter().filter(|shift| !agent.shifts.iter().any(|o| o.start == shift.start)).count();
    }
    assert_eq!(only_table, 13, "the EXDATE of every agent, and the night that begins after UNTIL in the west");
    // Counted with another program from the same definition.
    assert_eq!((same, longer, after), (166, 1, 1));
}

#[test]
fn a_weekly_rule_keeps_its_local_time_over_a_clock_change_and_ends_at_the_instant_of_until() {
    let rule = |until: &str| {
        let event = format!(
            "DTSTART;TZID=Europe/Berlin:20261019T090000\nDURATION:PT8H\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE;UNTIL={until}\n\
             EXDATE;TZID=Europe/Berlin:20261021T090000"
        );
        starts(&import_calendar(&[&event]).expect("sound"))
    };
    let three = ["2026-10-19T07:00:00Z", "2026-10-26T08:00:00Z", "2026-10-28T08:00:00Z"];
    assert_eq!(rule("20261028T080000Z"), three, "UNTIL itself counts");
    assert_eq!(rule("20261028T075959Z"), three[..2]);
    assert_eq!(rule("20261026T073000Z"), three[..1], "half an hour before, though later by the summer's clock");
}

#[test]
fn rules_are_bounded_and_say_what_is_not_supported() {
    let fault = |rule: &str| single_error(&[&format!("DTSTART;TZID=UTC:20261019T090000\nDURATION:PT8H\nRRULE:{rule}")]);
    for (rule, reason) in [
        ("FREQ=DAILY", "must end, by either UNTIL or COUNT"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20261020T000000Z", "must end, by either UNTIL or COUNT"),
        ("COUNT=3", "has no FREQ"),
        ("FREQ=HOURLY;COUNT=3", "shifts repeat DAILY, WEEKLY or MONTHLY"),
        ("FREQ=YEARLY;COUNT=3", "shifts repeat DAILY, WEEKLY or MONTHLY"),
        ("FREQ=DAILY;COUNT=3;BYHOUR=9", "has BYHOUR, which is not supported"),
        ("FREQ=DAILY;COUNT=3;COUNT=4", "has COUNT twice"),
        ("FREQ=DAILY;COUNT=0", "has COUNT=0, which cannot be read"),
        ("FREQ=DAILY;COUNT=3;INTERVAL=0", "has INTERVAL=0, which cannot be read"),
        ("FREQ=WEEKLY;COUNT=3;BYDAY=XMO", "has BYDAY=XMO, which cannot be read"),
        ("FREQ=WEEKLY;COUNT=3;BYDAY=1MO", "has BYDAY=1MO, which cannot be read"),
        ("FREQ=WEEKLY;COUNT=3;BYMONTHDAY=19", "which means nothing"),
        ("FREQ=WEEKLY;COUNT=3;BYDAY=MO,TU;BYSETPOS=1", "read in monthly rules only"),
        ("FREQ=WEEKLY;COUNT=3;BYDAY=TU", "does not give its own DTSTART"),
        ("FREQ=DAILY;COUNT=3;BYMONTH=2;BYMONTHDAY=30", "does not give its own DTSTART"),
        ("FREQ=DAILY;UNTIL=20261018T000000Z", "does not give its own DTSTART"),
        ("FREQ=DAILY;COUNT=401", "reaches more than 400 days"),
        ("FREQ=DAILY;UNTIL=20261025", "has an UNTIL that is a whole day"),
        ("FREQ=DAILY;UNTIL=20261025T000000", "has an UNTIL without a Z"),
        ("FREQ=DAILY;COUNT=3;BYDAY=ДО", "is not a recurrence rule"),
        ("gibberish", "cannot be read"),
    ] {
        let fault = fault(rule);
        assert!(fault.starts_with("line 6, column RRULE: ") && fault.contains(reason), "{rule}: {fault}");
    }
}

#[test]
fn rules_by_day_and_month_give_their_local_times() {
    let starts = |rule: &str| {
        let event = format!("DTSTART;TZID=UTC:20261030T090000\nDURATION:PT1H\nRRULE:{rule}");
        starts(&import_calendar(&[&event]).expect("sound"))
            .into_iter()
            .map(|start| start[..10].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(starts("FREQ=DAILY;INTERVAL=2;COUNT=3"), ["2026-10-30", "2026-11-01", "2026-11-03"]);
    assert_eq!(starts("FREQ=MONTHLY;BYDAY=-1FR;COUNT=3"), ["2026-10-30", "2026-11-27", "2026-12-25"]);
    assert_eq!(
        starts("FREQ=MONTHLY;BYMONTHDAY=30;COUNT=5"),
        ["2026-10-30", "2026-11-30", "2026-12-30", "2027-01-30", "2027-03-30"]
    );
    assert_eq!(starts("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=2"), ["2026-10-30", "2026-11-30"]);
    assert_eq!(
        starts("FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=FR,SU;COUNT=3"),
        ["2026-10-30", "2026-11-08", "2026-11-13"]
    );
    assert_eq!(starts("FREQ=DAILY;BYMONTH=10,12;COUNT=3"), ["2026-10-30", "2026-10-31", "2026-12-01"]);
}

#[test]
fn an_occurrence_that_a_clock_change_repeats_is_the_first_and_one_that_it_skips_is_a_fault() {
    let nightly = |start: &str, until: &str| {
        format!("DTSTART;TZID=America/New_York:{start}\nDURATION:PT4H\nRRULE:FREQ=DAILY;UNTIL={until}")
    };
    let draft = import_calendar(&[&nightly("20261031T013000", "20261102T120000Z")]).expect("sound");
    assert_eq!(starts(&draft), ["2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
    let first_only = import_calendar(&[&nightly("20261031T013000", "20261101T060000Z")]).expect("sound");
    assert_eq!(starts(&first_only).len(), 2, "UNTIL lies between the two occurrences of the local time");
    let fault = single_error(&[&nightly("20270312T023000", "20270316T000000Z")]);
    assert!(
        fault.starts_with("line 3, column DTSTART: \"2027-03-14T02:30\" does not exist in America/New_York"),
        "{fault}"
    );
    let moved = ImportOptions { move_weeks: 1, ..ImportOptions::default() };
    let draft =
        import_calendar_with(&[&nightly("20270312T023000", "20270316T000000Z")], &moved).expect("no gap a week later");
    assert_eq!(starts(&draft).len(), 4);
}

#[test]
fn dates_are_added_and_taken_away() {
    let draft =
        import_calendar(&["DTSTART;TZID=Europe/London:20261019T090000\nDTEND;TZID=Europe/London:20261019T170000\n\
         RDATE;TZID=Europe/London:20261026T090000,20261027T090000\nRDATE:20261026T090000Z,20261029T100000Z\n\
         EXDATE:20261027T090000Z\nEXDATE;TZID=Europe/London:20261019T090000,20261020T090000"])
        .expect("sound");
    assert_eq!(starts(&draft), ["2026-10-26T09:00:00Z", "2026-10-29T10:00:00Z"]);
    let warnings = warning_texts(&draft);
    assert_eq!(warnings, ["line 9, column EXDATE: takes away no occurrence; is it meant for another time?"]);
}

#[test]
fn times_need_a_zone_and_ends() {
    for (event, fault) in [
        (
            "DTSTART:20261019T090000\nDURATION:PT8H",
            "line 4, column DTSTART: \"20261019T090000\" names no time zone; add a TZID",
        ),
        ("DTSTART;TZID=Mars:20261019T090000\nDURATION:PT8H", "is in the zone Mars, which is not a known time zone"),
        ("DTSTART;TZID=UTC:20261019T090000Z\nDURATION:PT8H", "has both a TZID and a Z"),
        ("DTSTART;VALUE=DATE:20261019\nDURATION:P1D", "is a date or a period"),
        ("DTSTART;TZID=UTC:20261019\nDURATION:P1D", "is a whole day"),
        ("DTSTART;TZID=UTC:2026-10-19\nDURATION:P1D", "is not a date and time; write it as 20261019T090000"),
        ("DTSTART;TZID=UTC:20261319T090000\nDURATION:P1D", "is not in the calendar"),
        ("DURATION:PT8H", "line 3, column DTSTART: is missing"),
        ("DTSTART;TZID=UTC:20261019T090000", "line 3, column DTEND: is missing, and there is no DURATION"),
        ("DTSTART;TZID=UTC:20261019T090000\nDURATION:-PT8H", "is not a duration; write it as PT8H30M"),
        ("DTSTART;TZID=UTC:20261019T090000\nDURATION:PT0S", "is not longer than nothing"),
        ("DTSTART;TZID=UTC:20261019T090000\nDURATION:P1M", "counts months or years"),
        ("DTSTART;TZID=UTC:20261019T090000\nDURATION:8 hours", "is not a duration"),
        ("DTSTART;TZID=UTC:20261019T090000\nDURATION:P2D", "the shift lasts 48h, more than the 24h allowed"),
        ("DTSTART;TZID=UTC:20261019T090000\nDTEND;TZID=UTC:20261019T090000", "is not after DTSTART"),
        (
            "DTSTART;TZID=UTC:20261019T090000\nDTEND;TZID=UTC:20261019T100000\nDURATION:PT8H",
            "cannot be combined with a DURATION",
        ),
        ("DTSTART;TZID=UTC:20261019T090000\nDTSTART;TZID=UTC:20261019T080000\nDURATION:PT8H", "line 5, column DTSTART"),
        ("DTSTART:20261019T090000Z\nDURATION:PT8H", "line 3: nothing says the time zone of agent u_1"),
        (
            "DTSTART;TZID=Europe/Berlin:20270328T023000\nDTEND;TZID=Europe/Berlin:20270328T083000",
            "does not exist in Europe/Berlin",
        ),
    ] {
        let found = single_error(&[event]);
        assert!(found.contains(fault), "{event}: {found}");
    }
}

#[test]
fn a_default_zone_applies_if_the_file_names_none() {
    let options = ImportOptions { default_zone: Some("europe/berlin".to_owned()), ..ImportOptions::default() };
    let floating = "DTSTART:20261019T090000\nDURATION:PT8H\nRRULE:FREQ=DAILY;UNTIL=20261020T090000";
    let draft = import_calendar_with(&[floating], &options).expect("sound");
    assert_eq!(starts(&draft), ["2026-10-19T07:00:00Z", "2026-10-20T07:00:00Z"]);
    assert_eq!(draft.agents[0].zone, "Europe/Berlin");
    let draft = import_calendar_with(&["DTSTART:20261019T230000Z\nDURATION:PT8H"], &options).expect("sound");
    assert_eq!(draft.first_day.to_string(), "2026-10-20", "the local date");
}

#[test]
fn a_duration_of_days_follows_the_calendar_and_one_of_hours_the_clock() {
    let end = |duration: &str| {
        let event = format!("DTSTART;TZID=Europe/Berlin:20261024T120000\nDURATION:{duration}");
        let options = ImportOptions { max_shift: Duration::from_secs(30 * 3600), ..ImportOptions::default() };
        import_calendar_with(&[&event], &options).expect("sound").agents[0].shifts[0].end
    };
    assert_eq!(end("PT24H"), utc("2026-10-25T10:00:00Z"));
    assert_eq!(end("P1D"), utc("2026-10-25T11:00:00Z"));
    assert_eq!(end("P1DT30M"), utc("2026-10-25T11:30:00Z"));
}

#[test]
fn an_event_can_be_for_several_agents_and_in_another_zone_than_theirs() {
    let shift = |agent: &str, zone: &str| {
        format!(
            "DTSTART;TZID={zone}:20261019T090000\nDURATION:PT8H\nATTENDEE;CN=\"{agent}; x\":URN:AGENT:{agent}\nX-TEAM:Red\nLOCATION:x"
        )
    };
    let meeting = "DTSTART;TZID=UTC:20261019T100000\nDURATION:PT30M\nCATEGORIES:Town hall\nX-MANDATORY:TRUE\nATTENDEE:urn:agent:u_1\n\
                   ATTENDEE:urn:agent:u_2\nATTENDEE:mailto:boss@example.com";
    let draft =
        import_calendar(&[&shift("u_1", "Europe/London"), meeting, &shift("u_2", "Europe/Berlin")]).expect("sound");
    assert_eq!((draft.rows, draft.shifts), (4, 2));
    for (agent, zone) in draft.agents.iter().zip(["Europe/London", "Europe/Berlin"]) {
        assert_eq!((agent.zone.as_str(), agent.team.as_str()), (zone, "Red"));
        assert_eq!(agent.name, format!("{}; x", agent.id));
        let activity = &agent.shifts[0].activities[0];
        assert_eq!((activity.activity.name(), activity.start), ("town hall", utc("2026-10-19T10:00:00Z")));
        assert!(activity.mandatory);
    }
}

#[test]
fn events_that_are_no_plan_are_refused_or_ignored_by_name() {
    let event = "DTSTART;TZID=UTC:20261019T090000\nDURATION:PT8H";
    let with = |more: &str| single_error(&[&format!("{event}\n{more}")]);
    assert!(with("RECURRENCE-ID:20261019T090000Z").contains("RECURRENCE-ID: \"20261019T090000Z\" is not supported"));
    assert!(with("EXRULE:FREQ=DAILY").contains("EXRULE"));
    assert!(with("CATEGORIES:SHIFT,WORK").contains("is more than one activity"));
    assert!(with("CATEGORIES:").contains("is empty; name the activity"));
    assert!(with("ATTENDEE:mailto:a@example.com").contains("line 3, column ATTENDEE: names no agent"));
    assert!(with("ATTENDEE:urn:agent:").contains("names no agent after urn:agent:"));
    assert!(with("X-MANDATORY:perhaps").contains("neither true nor false"));
    assert!(with("RDATE;VALUE=PERIOD:20261020T090000Z/PT1H").contains("is a date or a period"));
    let all_gone = format!("{event}\nEXDATE;TZID=UTC:20261019T090000");
    let draft = import_calendar(&[&all_gone, &event.replace("1019T", "1020T")]).expect("sound");
    assert_eq!(warning_texts(&draft), ["line 3: EXDATE takes away every occurrence; the event is ignored"]);
    let cancelled = format!("{event}\nSTATUS:CANCELLED\nSUMMARY:x");
    let later = event.replace("1019T", "1020T");
    let draft = import_calendar(&[&cancelled, &later]).expect("sound");
    assert_eq!(
        (draft.shifts, warning_texts(&draft)),
        (1, vec!["line 3: the event is cancelled; it is ignored".to_owned()])
    );
}

#[test]
fn one_broken_event_does_not_hide_the_faults_of_the_next() {
    let faults = error_texts(import_calendar(&[
        "DTSTART:x\nDURATION:y",
        "DTSTART;TZID=UTC:20261019T090000\nDURATION:PT8H",
        "DURATION:z",
    ]));
    let lines: Vec<&str> = faults.iter().map(|fault| fault.split(',').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["line 4", "line 5", "line 15", "line 16"], "{faults:?}");
}

#[test]
fn files_that_are_no_whole_calendar_are_refused() {
    let read = |text: &str| error_texts(read_schedule("a.ics", text.as_bytes(), &ImportOptions::default())).join("\n");
    assert_eq!(read(""), "the file holds no calendar; it begins with BEGIN:VCALENDAR");
    assert_eq!(read("x"), "line 1: this is outside of every component; a calendar begins with BEGIN:VCALENDAR");
    assert_eq!(read("BEGIN:VEVENT"), "line 1: this is not a calendar; the file begins with BEGIN:VCALENDAR");
    assert_eq!(
        read("BEGIN:VCALENDAR\nBEGIN:VEVENT\n"),
        "line 2: BEGIN:VEVENT has no END; the file is cut off, export it again"
    );
    assert_eq!(read("BEGIN:VCALENDAR\nEND:VEVENT\n"), "line 2: this END does not belong to the BEGIN of line 1");
    assert_eq!(
        read("BEGIN:VCALENDAR\nMETHOD:CANCEL\nEND:VCALENDAR"),
        "line 2, column METHOD: \"CANCEL\" is not supported; only PUBLISH or REQUEST is"
    );
    assert_eq!(read("BEGIN:VCALENDAR\nEND:VCALENDAR"), "the file has no rows; it needs at least one shift");
    assert_eq!(read(&"BEGIN:VCALENDAR\n".repeat(100_000)).lines().count(), 1, "one fault");
}

#[test]
fn lines_are_unfolded_also_within_a_character() {
    let mut bytes = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;TZID=UTC:2026\r\n 1019T090000\r\nDURATION:PT8H\r\nCATEGORIES:SHIFT\r\n".to_vec();
    bytes.extend_from_slice(
        b"ATTENDEE;CN=Ren\xc3\r\n \xa9:urn:\r\n\tagent:u_1\r\nBEGIN:VALARM\r\nDTSTART:x\r\nEND:VALARM\r\n",
    );
    bytes.extend_from_slice(b"END:VEVENT\r\nBEGIN:VTODO\r\nDTSTART:x\r\nEND:VTODO\r\nEND:VCALENDAR\r\n");
    let draft = read_schedule("a.ics", &bytes, &ImportOptions::default()).expect("sound");
    assert_eq!((draft.agents[0].name.as_str(), draft.agents[0].id.as_str()), ("René", "u_1"));
    assert_eq!(warning_texts(&draft), ["line 14: VTODO is not an event; it is ignored"]);
}

#[test]
fn a_rule_cannot_make_more_rows_than_allowed() {
    let options = ImportOptions { max_rows: 5, ..ImportOptions::default() };
    let event = "DTSTART;TZID=UTC:20261019T090000\nDURATION:PT8H\nRRULE:FREQ=DAILY;COUNT=6";
    assert_eq!(
        error_texts(import_calendar_with(&[event], &options)),
        ["line 3: the file has more than 5 rows; import it in parts"]
    );
}

#[test]
fn a_calendar_of_fruitless_rules_is_given_up() {
    let event = "DTSTART;TZID=UTC:20261019T090000\nDURATION:PT8H\nRRULE:FREQ=DAILY;COUNT=3;BYDAY=TU";
    let faults = error_texts(import_calendar(&[event; 300]));
    assert_eq!(faults.len(), 101);
    assert!(faults.iter().any(|fault| fault.contains("the rest of the file was not read")), "{faults:?}");
}

#[test]
fn an_event_may_say_the_skills_of_its_agents() {
    let with = |skills: &str| format!("DTSTART;TZID=Europe/Berlin:20261019T090000\nDURATION:PT8H{skills}");
    let named = |event: &str| import_calendar(&[event]).expect("sound").agents[0].skills.clone();
    assert_eq!(named(&with("")), None, "who says nothing of them leaves them as they are");
    assert_eq!(named(&with("\nX-SKILLS:4711| 12")), Some(vec!["12".into(), "4711".into()]));
    let fault = single_error(&[&with("\nX-SKILLS:4711||12")]);
    assert!(fault.contains("X-SKILLS") && fault.contains("empty skill"), "{fault}");
}
