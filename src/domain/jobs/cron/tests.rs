//! Due times compared with a walk over every minute of the wall clock.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::Offset;
use proptest::prelude::*;

use super::*;

fn calendar(cron: &str, zone: &str) -> Calendar {
    Calendar::new(Pattern::parse(cron).expect(cron), TimeZone::get(zone).expect(zone))
}

fn at(text: &str) -> UtcMicros {
    text.parse().expect("an instant")
}

fn due_instants(calendar: &Calendar, after: UtcMicros, until: UtcMicros) -> Vec<UtcMicros> {
    let next = |from: &UtcMicros| calendar.next_after(*from).filter(|due| *due <= until);
    std::iter::successors(next(&after), next).collect()
}

/// The same by another way: every minute in turn (or every so many, where patterns and offsets are multiples of them), with `croner` asked of each local time.
fn due_instants_by_stepping(calendar: &Calendar, after: UtcMicros, until: UtcMicros, step_min: i64) -> Vec<UtcMicros> {
    let zone = &calendar.zone;
    let matches = |local: DateTime| {
        let instant = Offset::UTC.to_timestamp(local).expect("a time").as_second();
        let utc = chrono::DateTime::from_timestamp(instant, 0).expect("a time");
        calendar.pattern.cron.is_time_matching(&utc).expect("matches or not")
    };
    // From some hours before, so that it is known which local times have been.
    let mut instant = after.timestamp().checked_sub(3.hours()).expect("a time");
    instant = Timestamp::from_second(instant.as_second().div_euclid(step_min * 60) * step_min * 60).expect("a time");
    let mut next_local = zone.to_offset(instant).to_datetime(instant);
    let mut found = Vec::new();
    while instant <= until.timestamp() {
        let local = zone.to_offset(instant).to_datetime(instant);
        let is_after_start = instant > after.timestamp();
        let mut due = false;
        // Local times that were jumped over, and this one if it is new.
        while next_local < local {
            due |= is_after_start && matches(next_local);
            next_local = next_local.checked_add(step_min.minutes()).expect("a time");
        }
        let is_new = next_local == local;
        due |= is_after_start && (is_new || calendar.pattern.by_elapsed_time) && matches(local);
        if is_new {
            next_local = local.checked_add(step_min.minutes()).expect("a time");
        }
        if due {
            found.push(instant.into());
        }
        instant = instant.checked_add(step_min.minutes()).expect("a time");
    }
    found
}

#[test]
fn a_time_in_the_gap_is_due_right_after_it_and_once() {
    // Berlin: 02:00 to 03:00 on 28 March 2027 do not exist; 01:00 UTC.
    let night = (at("2027-03-27T12:00:00Z"), at("2027-03-28T12:00:00Z"));
    for cron in ["30 2 * * *", "*/20 2 * * *", "0 2,3 * * *"] {
        assert_eq!(
            due_instants(&calendar(cron, "Europe/Berlin"), night.0, night.1)[0],
            at("2027-03-28T01:00:00Z"),
            "{cron}"
        );
    }
    assert_eq!(due_instants(&calendar("0 2,3 * * *", "Europe/Berlin"), night.0, night.1).len(), 1);
}

#[test]
fn a_time_that_comes_twice_is_due_the_first_time() {
    // Berlin: 02:00 to 03:00 on 31 October 2027 come twice; first from 00:00 UTC.
    let night = (at("2027-10-30T12:00:00Z"), at("2027-10-31T12:00:00Z"));
    assert_eq!(due_instants(&calendar("30 2 * * *", "Europe/Berlin"), night.0, night.1), [at("2027-10-31T00:30:00Z")]);
    // Asked from within the second time round, nothing of it is left.
    assert_eq!(due_instants(&calendar("30 2 * * *", "Europe/Berlin"), at("2027-10-31T01:10:00Z"), night.1), []);
}

#[test]
fn an_interval_uses_elapsed_time_in_a_repeated_hour() {
    let (after, until) = (at("2027-10-30T22:30:00Z"), at("2027-10-31T03:30:00Z"));
    let hourly = due_instants(&calendar("0 * * * *", "Europe/Berlin"), after, until);
    assert_eq!(hourly.len(), 5, "each hour that passes: {hourly:?}");
    let steps = due_instants(&calendar("*/30 */1 * * *", "Europe/Berlin"), after, until);
    assert!(steps.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_secs(1800)), "{steps:?}");
    let listed = due_instants(&calendar("0 0-23 * * *", "Europe/Berlin"), after, until);
    assert_eq!(listed.len(), 4, "hours that are listed are local times, each once: {listed:?}");
}

#[test]
fn rare_days_are_found_and_impossible_ones_refused() {
    let leap = calendar("0 0 29 2 *", "UTC");
    assert_eq!(leap.next_after(at("2097-01-01T00:00:00Z")), Some(at("2104-02-29T00:00:00Z")));
    let sunday = calendar("0 12 * * 7", "UTC");
    assert_eq!(sunday.next_after(at("2026-11-22T12:00:00Z")), Some(at("2026-11-29T12:00:00Z")));
    let last = calendar("0 0 L * *", "Pacific/Auckland");
    assert_eq!(last.next_after(at("2027-02-10T00:00:00Z")), Some(at("2027-02-27T11:00:00Z")));
    for never in ["0 0 30 2 *", "0 0 31 4,6 *"] {
        let fault = Pattern::parse(never).expect_err(never);
        assert!(fault.problem.contains("ever") && fault.position == Some(5), "{fault}");
    }
}

#[test]
fn invalid_text_is_reported_with_its_position_and_advice() {
    let messages = [
        "",
        "@daily",
        "0 2 * *",
        "0 0 2 * * *",
        "61 2 * * *",
        "0 2,25 * * *",
        "0 22-2 * * *",
        "0 2 * FOO *",
        "*/0 * * * *",
        "0 2,,3 * * *",
        "0  2 32 * *",
        "0 2 * * 8",
        "ä 2 * * *",
    ]
    .map(|text| format!("{text:?}: {}", Pattern::parse(text).expect_err(text)));
    insta::assert_snapshot!(messages.join("\n"), @r#"
    "": there are 0 fields where five are expected; write minute, hour, day of month, month, day of week, as in `30 2 * * *`
    "@daily": such names are not known here; write it as `0 0 * * *`
    "0 2 * *": there are 4 fields where five are expected; write minute, hour, day of month, month, day of week, as in `30 2 * * *`
    "0 0 2 * * *": at character 1: there are six fields, and seconds or years are not known here; write minute, hour, day of month, month, day of week
    "61 2 * * *": at character 1: is no minute; it takes 0-59, *, lists and steps
    "0 2,25 * * *": at character 5: is no hour; it takes 0-23, *, lists and steps
    "0 22-2 * * *": at character 3: is no hour; write it as 22-23,0-2
    "0 2 * FOO *": at character 7: is no month; it takes 1-12 or JAN-DEC, *, lists and steps
    "*/0 * * * *": at character 1: is no minute; it takes 0-59, *, lists and steps
    "0 2,,3 * * *": at character 5: an empty part is no hour; it takes 0-23, *, lists and steps
    "0  2 32 * *": at character 6: is no day of month; it takes 1-31, L or 15W, *, lists and steps
    "0 2 * * 8": at character 9: is no day of week; it takes 0-7 or SUN-SAT, as in MON-FRI, 1#2 or 5L, *, lists and steps
    "ä 2 * * *": at character 1: is no minute; it takes 0-59, *, lists and steps
    "#);
}

#[test]
fn the_last_due_of_a_long_span_is_found_without_walking_it() {
    let every_minute = calendar("* * * * *", "Europe/Berlin");
    let (after, until) = (at("2016-01-01T00:00:00Z"), at("2026-01-01T00:00:30Z"));
    assert_eq!(every_minute.last_due(after, until), Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(every_minute.last_due(until, until), None);
    assert_eq!(calendar("0 0 29 2 *", "UTC").last_due(after, until), Some(at("2024-02-29T00:00:00Z")));
    assert_eq!(every_minute.count_due(after, until, 100), 100);
    assert_eq!(every_minute.count_due(until - Duration::from_secs(150), until, 100), 2);
}

/// Both clock changes of every year to 2037, in every zone of the database: no run twice, none silently missed.
#[test]
fn every_clock_change_of_every_zone_is_passed_without_a_double_or_a_missed_run() {
    let (start, end) = (at("2026-01-01T00:00:00Z").timestamp(), at("2038-01-01T00:00:00Z").timestamp());
    let mut checked = BTreeSet::new();
    let mut changes = 0;
    for name in jiff::tz::db().available() {
        let zone = TimeZone::get(name.as_str()).expect("a zone of the list");
        for change in zone.following(start).take_while(|change| change.timestamp() < end) {
            let instant = change.timestamp();
            let before = zone.to_offset(instant - 1.nanosecond());
            // Zones that change together change alike.
            if before == change.offset() || !checked.insert((instant, before.seconds(), change.offset().seconds())) {
                continue;
            }
            changes += 1;
            let hour = before.to_datetime(instant).hour();
            let window = (UtcMicros::from(instant - 150.minutes()), UtcMicros::from(instant + 150.minutes()));
            for cron in [
                "*/30 * * * *".to_owned(),
                "5 */2 * * *".to_owned(),
                format!("15,45 {hour},{} * * *", (hour + 23) % 24),
                format!("0 {hour} * * *"),
            ] {
                let calendar = Calendar::new(Pattern::parse(&cron).expect("a pattern"), zone.clone());
                let found = due_instants(&calendar, window.0, window.1);
                assert_eq!(
                    found,
                    due_instants_by_stepping(&calendar, window.0, window.1, 5),
                    "{cron} in {name:?} around {instant}"
                );
            }
        }
    }
    assert!(changes > 100, "{changes} kinds of clock change were looked at");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn due_instants_rise_and_are_those_of_the_wall_clock(
        minute in prop_oneof![Just("*".to_owned()), Just("*/7".to_owned()), (0..60_u32).prop_map(|m| m.to_string())],
        hour in prop_oneof![Just("*".to_owned()), Just("*/5".to_owned()), Just("1-3".to_owned()), (0..24_u32).prop_map(|h| h.to_string())],
        days in prop_oneof![Just("* * *"), Just("* * MON-FRI"), Just("1,15 * *"), Just("*/2 3,10,11 SUN")],
        zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Asia/Kathmandu"),
            Just("Africa/Casablanca"), Just("America/St_Johns"), Just("Pacific/Apia"), Just("UTC")],
        // 2010 to 2037.
        after in 1_262_304_000_i64..2_114_380_800,
    ) {
        let calendar = calendar(&format!("{minute} {hour} {days}"), zone);
        let after = UtcMicros::from_micros(after * 1_000_000);
        let until = after + Duration::from_secs(40 * 3600);
        let found = due_instants(&calendar, after, until);
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(&found, &due_instants_by_stepping(&calendar, after, until, 1));
        prop_assert_eq!(calendar.last_due(after, until), found.last().copied());
    }
}
