//! Cron texts over clock changes.

use jiff::tz::TimeZone;
use shiftkeeper::domain::jobs::cron::{Calendar, Pattern};
use shiftkeeper::domain::time::UtcMicros;

/// Clock changes of an hour and of half an hour, at midnight, a day that was skipped, and none.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/Havana",
    "Asia/Kathmandu",
];

/// Seconds from 1970 to 2100.
const SPAN_S: u32 = 4_102_444_800;

/// A byte for the zone, four for the instant, the rest is the text.
///
/// A text is refused with a place that it has, or comes due: later each time, and the same whether counted, looked for from
/// behind or from before.
pub fn read(bytes: &[u8]) {
    let Some(([zone, instant @ ..], text)) = bytes.split_first_chunk::<5>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let pattern = match Pattern::parse(text) {
        Ok(pattern) => pattern,
        Err(fault) => {
            let characters = text.chars().count();
            assert!(fault.position.is_none_or(|at| (1..=characters + 1).contains(&at)), "{fault:?}");
            assert!(!fault.problem.is_empty() && !fault.suggestion.is_empty(), "{fault:?}");
            return;
        }
    };
    assert_eq!(
        Pattern::parse(pattern.as_str()).map(|again| again.as_str().to_owned()).as_deref(),
        Ok(pattern.as_str())
    );
    let zone = TimeZone::get(ZONES[usize::from(*zone) % ZONES.len()]).expect("a zone");
    let calendar = Calendar::new(pattern, zone);
    let start = UtcMicros::from_micros(i64::from(u32::from_be_bytes(*instant) % SPAN_S) * 1_000_000);
    let (mut from, mut dues) = (start, Vec::new());
    for _ in 0..3 {
        let due = calendar.next_after(from).expect("it comes due before the end of all years");
        assert!(due > from, "{due} is not after {from}");
        assert!(due.as_micros() % 1_000_000 == 0, "{due} is within a second");
        dues.push(due);
        from = due;
    }
    assert_eq!(calendar.next_after(dues[1] + std::time::Duration::from_micros(1)), Some(dues[2]));
    assert_eq!(calendar.last_due(start, dues[2]), Some(dues[2]));
    assert_eq!(calendar.count_due(start, dues[2], 10), 3);
    assert_eq!(calendar.last_due(dues[2], dues[2]), None);
}
