//! Local days of a time zone as spans of instants, whatever their length.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::timeline::Span;
use crate::domain::time::UtcMicros;

/// Returns the days of a zone that overlap a span, in order; empty if the span lies beyond the supported years. Each
/// day begins where the one before ends, so the first and the last may extend beyond the span.
pub fn days_overlapping((from, to): Span, zone: &TimeZone) -> Vec<(Date, Span)> {
    let mut days = Vec::new();
    if from >= to {
        return days;
    }
    let mut day = from.timestamp().to_zoned(zone.clone()).date();
    let Some(mut start) = first_instant(day, zone) else { return days };
    // A day may begin twice if the clock goes back over midnight: time before its first instant belongs to the day
    // before.
    if from < start {
        let (Ok(before), true) = (day.yesterday(), days.is_empty()) else { return days };
        let Some(earlier) = first_instant(before, zone) else { return days };
        (day, start) = (before, earlier);
    }
    while start < to {
        let Some(next) = day.tomorrow().ok() else { break };
        let Some(end) = first_instant(next, zone) else { break };
        // A day that the zone skipped (Samoa, 30 December 2011) has no length.
        if start < end {
            days.push((day, (start, end)));
        }
        (day, start) = (next, end);
    }
    days
}

/// Returns the span of a day; `None` if the zone skipped it.
pub fn day_span(day: Date, zone: &TimeZone) -> Option<Span> {
    let span = (first_instant(day, zone)?, first_instant(day.tomorrow().ok()?, zone)?);
    (span.0 < span.1).then_some(span)
}

fn first_instant(day: Date, zone: &TimeZone) -> Option<UtcMicros> {
    let zoned = day.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    Some(zoned.timestamp().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instant(text: &str) -> UtcMicros {
        text.parse().expect("an instant")
    }

    fn days(from: &str, to: &str, zone: &str) -> Vec<(String, i64)> {
        let zone = TimeZone::get(zone).expect("a zone");
        let days = days_overlapping((instant(from), instant(to)), &zone);
        days.iter()
            .map(|(day, (start, end))| (day.to_string(), (end.as_micros() - start.as_micros()) / 60_000_000))
            .collect()
    }

    #[test]
    fn a_day_is_as_long_as_it_is() {
        let hours = |days: Vec<(String, i64)>| days.into_iter().map(|(_, minutes)| minutes / 60).collect::<Vec<_>>();
        assert_eq!(hours(days("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z", "Europe/Berlin")), [24, 23, 24, 24]);
        assert_eq!(hours(days("2026-10-25T00:00:00Z", "2026-10-26T00:00:00Z", "Europe/Berlin")), [25, 24]);
        assert_eq!(days("2026-04-04T12:00:00Z", "2026-04-04T13:00:00Z", "Australia/Lord_Howe").len(), 1);
        assert_eq!(days("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "UTC"), []);
        assert_eq!(days("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "UTC"), [("2026-01-01".to_owned(), 1440)]);
        let samoa = days("2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z", "Pacific/Apia");
        assert_eq!(
            samoa.iter().map(|(day, _)| day.as_str()).collect::<Vec<_>>(),
            ["2011-12-29", "2011-12-31", "2012-01-01"]
        );
    }

    /// Every day of 2020 to 2037 of every zone: side by side, without a gap and without an overlap.
    #[test]
    fn days_of_every_zone_lie_side_by_side_over_every_clock_change() {
        let span = (instant("2020-01-01T00:00:00Z"), instant("2038-01-01T00:00:00Z"));
        let mut rules = std::collections::HashSet::new();
        for name in jiff::tz::db().available() {
            let zone = TimeZone::get(name.as_str()).expect("a zone of the list");
            // Many names share their rules: each set of clock changes is looked at once.
            let changes: Vec<_> = zone
                .following(span.0.timestamp())
                .take_while(|change| change.timestamp() < span.1.timestamp())
                .map(|change| (change.timestamp(), change.offset()))
                .collect();
            if !rules.insert((zone.to_offset(span.0.timestamp()), changes)) {
                continue;
            }
            let days = days_overlapping(span, &zone);
            assert!(days[0].1.0 <= span.0 && days[days.len() - 1].1.1 >= span.1, "{name:?}");
            assert!(days.windows(2).all(|pair| pair[0].1.1 == pair[1].1.0 && pair[0].0 < pair[1].0), "{name:?}");
        }
        assert!(rules.len() > 50, "{} sets of rules", rules.len());
    }

    proptest! {
        #[test]
        fn days_cover_any_span(from in 1_577_836_800_i64..2_145_916_800, length in 1_i64..4_000_000, zone in 0_usize..6) {
            let names = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Beirut", "America/Santiago"];
            let zone = TimeZone::get(names[zone]).expect("a zone");
            let span = (UtcMicros::from_micros(from * 1_000_000), UtcMicros::from_micros((from + length) * 1_000_000));
            let days = days_overlapping(span, &zone);
            prop_assert!(days[0].1.0 <= span.0 && span.0 < days[0].1.1);
            prop_assert!(days[days.len() - 1].1.0 < span.1 && span.1 <= days[days.len() - 1].1.1);
            prop_assert!(days.windows(2).all(|pair| pair[0].1.1 == pair[1].1.0));
        }
    }
}
