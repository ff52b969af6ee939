//! What is exported is read back as the same schedule.

use std::time::Duration;

use jiff::ToSpan as _;
use proptest::prelude::*;

use super::*;
use crate::domain::ids::{SkillId, TeamName};
use crate::domain::schedules::import::{ImportOptions, ScheduleDraft, read_schedule};
use crate::domain::schedules::schedule::{Activity, Coverage, Shift, ShiftActivity};

const FIRST: Date = jiff::civil::date(2026, 10, 19);
const NOW: UtcMicros = UtcMicros::from_micros(1_760_000_000_000_000);

/// A shift by the day, its start in minutes, its length, and activities by gap, length and name.
type RandomShift = (u8, u16, u16, Vec<(u8, u8, u8, bool)>);

const NAMES: [&str; 6] = ["break", "lunch", "training", "team talk, weekly", "=coaching", "one; two\\three"];
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"];

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("known")
}

fn midnight(day: Date, zone: &TimeZone) -> UtcMicros {
    day.to_zoned(zone.clone()).expect("a day").start_of_day().expect("a day").timestamp().into()
}

/// Makes an agent whose schedule covers the days from `FIRST` on. A shift that would overlap the one before is left out.
fn agent(index: usize, zone_name: &str, days: i64, shifts: &[RandomShift]) -> ExportedAgent {
    let zone = zone(zone_name);
    let mut made: Vec<Shift> = Vec::new();
    for (day, start, length, activities) in shifts {
        let day = FIRST.checked_add((i64::from(*day) % days).days()).expect("a day");
        let start = midnight(day, &zone) + minutes(u64::from(*start));
        let end = start + minutes(u64::from(*length));
        let mut at = start;
        let mut planned = Vec::new();
        for (gap, length, name, mandatory) in activities {
            let (from, to) = (at + minutes(u64::from(*gap)), at + minutes(u64::from(*gap) + u64::from(*length)));
            if to <= end {
                let activity = Activity::from_name(NAMES[usize::from(*name) % NAMES.len()]);
                planned.push(ShiftActivity { activity, start: from, end: to, mandatory: *mandatory });
                at = to;
            }
        }
        let is_free = made.iter().all(|other| end <= other.start || other.end <= start);
        if is_free && start.timestamp().to_zoned(zone.clone()).date() == day {
            made.push(Shift { start, end, activities: planned });
        }
    }
    made.sort_by_key(|shift| shift.start);
    let coverage = Coverage {
        start: midnight(FIRST, &zone),
        end: midnight(FIRST.checked_add(days.days()).expect("a day"), &zone),
    };
    ExportedAgent {
        id: AgentId::new(format!("u_{index}")),
        name: Some(format!("O'Neil, \u{c4}da; {index}")),
        team: Some(TeamName::new("Team, A")),
        zone,
        skills: vec![SkillId::new("12"), SkillId::new("4711")],
        shifts: made,
        coverage: vec![coverage],
    }
}

fn read_back(format: ExportFormat, text: &str) -> ScheduleDraft {
    let read = read_schedule(&format!("a.{format}"), text.as_bytes(), &ImportOptions::default());
    let draft = read.unwrap_or_else(|refused| panic!("{:?}\n{text}", refused.diagnostics));
    assert!(draft.warnings.is_empty(), "{:?}\n{text}", draft.warnings);
    draft
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn an_exported_schedule_is_read_back(
        agents in prop::collection::vec(
            (
                0_usize..4,
                prop::collection::vec(
                    (0_u8..10, 0_u16..1_500, 1_u16..900, prop::collection::vec((0_u8..90, 1_u8..90, 0_u8..6, any::<bool>()), 0..5)),
                    0..8,
                ),
            ),
            1..5,
        ),
        days in 1_i64..10,
    ) {
        let agents: Vec<_> =
            agents.iter().enumerate().map(|(index, (zone, shifts))| agent(index, ZONES[*zone], days, shifts)).collect();
        let through = FIRST.checked_add((days - 1).days()).expect("a day");
        for format in ExportFormat::ALL {
            let exported = export(&agents, (FIRST, through), format, &ImportOptions::default(), NOW);
            prop_assert_eq!((exported.agents, &exported.partly_covered), (agents.len(), &Vec::new()));
            let draft = read_back(format, &exported.text);
            prop_assert_eq!((draft.first_day, draft.last_day, draft.shifts), (FIRST, through, exported.shifts));
            for (read, wrote) in draft.agents.iter().zip(&agents) {
                prop_assert_eq!(&read.shifts, &wrote.shifts);
                prop_assert_eq!(vec![read.coverage], wrote.coverage.clone());
                prop_assert_eq!((&read.id, Some(&read.name)), (&wrote.id, wrote.name.as_ref()));
                prop_assert_eq!((Some(&read.team), read.zone.as_str()), (wrote.team.as_ref(), wrote.zone.iana_name().expect("named")));
                prop_assert_eq!(read.skills.as_ref(), Some(&wrote.skills));
            }
            let again = export(&agents, (FIRST, through), format, &ImportOptions::default(), NOW);
            prop_assert_eq!(exported, again);
        }
    }
}

#[test]
fn a_table_names_the_second_of_two_equal_times_and_the_days_off() {
    // The clocks go back from 3:00 to 2:00 on 25 October 2026.
    let night = (6, 22 * 60, 8 * 60, vec![(0, 15, 0, false)]);
    let mut ada = agent(1, "Europe/Berlin", 8, &[(5, 22 * 60, 8 * 60, Vec::new()), night]);
    let at = |text: &str| text.parse().expect("an instant");
    ada.shifts[0].activities = vec![ShiftActivity {
        activity: Activity::Lunch,
        start: at("2026-10-25T01:15:00Z"),
        end: at("2026-10-25T01:45:30Z"),
        mandatory: true,
    }];
    ada.name = Some("=1+1".to_owned());
    let days = (jiff::civil::date(2026, 10, 23), jiff::civil::date(2026, 10, 25));
    let csv = export(&[ada.clone()], days, ExportFormat::Csv, &ImportOptions::default(), NOW);
    let expected = [
        "agent_id,agent_name,team,time_zone,activity,start,end,mandatory,skills",
        "u_1,'=1+1,\"Team, A\",Europe/Berlin,off,2026-10-23T00:00,2026-10-24T00:00,false,12|4711",
        "u_1,'=1+1,\"Team, A\",Europe/Berlin,shift,2026-10-24T22:00,2026-10-25T05:00,false,12|4711",
        "u_1,'=1+1,\"Team, A\",Europe/Berlin,lunch,2026-10-25T02:15+01:00,2026-10-25T02:45:30+01:00,true,12|4711",
        "u_1,'=1+1,\"Team, A\",Europe/Berlin,shift,2026-10-25T21:00,2026-10-26T05:00,false,12|4711",
        "u_1,'=1+1,\"Team, A\",Europe/Berlin,break,2026-10-25T21:00,2026-10-25T21:15,false,12|4711",
        "",
    ];
    assert_eq!(csv.text.split("\r\n").collect::<Vec<_>>(), expected);
    let draft = read_back(ExportFormat::Csv, &csv.text);
    assert_eq!((draft.agents[0].name.as_str(), &draft.agents[0].shifts), ("=1+1", &ada.shifts));
    let options = ImportOptions {
        columns: [("agent_id".to_owned(), "Employee".to_owned())].into(),
        delimiter: Some(b';'),
        ..ImportOptions::default()
    };
    let own = export(&[ada], days, ExportFormat::Csv, &options, NOW);
    assert!(own.text.starts_with("Employee;agent_name;"), "{}", own.text);
    assert_eq!(read_schedule("a.csv", own.text.as_bytes(), &options).expect("sound").shifts, 2);
}

#[test]
fn a_calendar_has_the_clock_changes_of_its_zones_and_short_lines() {
    let ada = agent(1, "Europe/Berlin", 9, &[(5, 22 * 60, 480, vec![(0, 15, 3, true)])]);
    let exported = export(
        &[ada],
        (FIRST, jiff::civil::date(2026, 10, 27)),
        ExportFormat::ICalendar,
        &ImportOptions::default(),
        NOW,
    );
    let lines: Vec<&str> = exported.text.split("\r\n").collect();
    assert!(lines.iter().all(|line| line.len() <= 75), "{}", exported.text);
    let zone = [
        "BEGIN:VTIMEZONE",
        "TZID:Europe/Berlin",
        "BEGIN:DAYLIGHT",
        "DTSTART:19700101T020000",
        "TZOFFSETFROM:+0200",
        "TZOFFSETTO:+0200",
        "END:DAYLIGHT",
        "BEGIN:STANDARD",
        "DTSTART:20261025T030000",
        "TZOFFSETFROM:+0200",
        "TZOFFSETTO:+0100",
        "END:STANDARD",
        "END:VTIMEZONE",
    ];
    assert_eq!(lines[4..17], zone);
    assert!(lines.contains(&"UID:u_1-shift-20261024T220000@shiftkeeper"), "{}", exported.text);
    assert!(lines.contains(&"SUMMARY:team talk\\, weekly"), "{}", exported.text);
}

#[test]
fn agents_whose_schedule_does_not_cover_all_days_of_the_file_are_named() {
    let ada = agent(1, "UTC", 5, &[(0, 540, 480, Vec::new())]);
    let mut pia = agent(2, "UTC", 2, &[]);
    let through = jiff::civil::date(2026, 10, 30);
    let options = ImportOptions::default();
    let exported = export(&[ada.clone(), pia.clone()], (FIRST, through), ExportFormat::Csv, &options, NOW);
    assert_eq!((exported.agents, exported.shifts, exported.partly_covered), (2, 1, vec![pia.id.clone()]));
    // Days that nobody's schedule covers are not in the file.
    assert_eq!(read_back(ExportFormat::Csv, &exported.text).last_day, jiff::civil::date(2026, 10, 23));
    pia.coverage.clear();
    let exported = export(&[ada, pia.clone()], (FIRST, through), ExportFormat::Csv, &options, NOW);
    assert_eq!((exported.agents, exported.partly_covered), (1, Vec::new()));
    assert_eq!(export(&[pia], (FIRST, through), ExportFormat::Csv, &options, NOW).agents, 0);
}
