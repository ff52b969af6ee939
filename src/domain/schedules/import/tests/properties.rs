//! What holds of every file: a written schedule is read back, and no bytes make the reader panic.

use proptest::prelude::*;

use super::*;

/// A shift by its day, start and minutes, and the lengths of what lies in it with the gaps before.
type RandomShift = (u16, u16, Vec<(u16, u16, bool)>);

const KINDS: [&str; 4] = ["break", "lunch", "training", "coaching"];

/// Writes a schedule as a table and as what must be read from it. One shift a day at most, within the day, in a zone whose
/// clocks stand still.
fn to_rows_and_agents(agents: &[std::collections::BTreeMap<u16, RandomShift>]) -> (Vec<String>, Vec<DraftAgent>) {
    let (mut rows, mut expected) = (Vec::new(), Vec::new());
    let first: jiff::civil::Date = "2026-10-19".parse().expect("a day");
    for (index, days) in agents.iter().enumerate() {
        let mut shifts = Vec::new();
        for (day, (start, _, activities)) in days {
            let midnight = first.checked_add(jiff::Span::new().days(i64::from(*day))).expect("a day").at(0, 0, 0, 0);
            let local =
                |minute: u16| midnight.checked_add(jiff::Span::new().minutes(i64::from(minute))).expect("a time");
            // Manila is eight hours ahead all year.
            let instant = |minute: u16| {
                UtcMicros::from(local(minute).to_zoned(jiff::tz::TimeZone::UTC).expect("a time").timestamp())
                    - Duration::from_secs(8 * 3600)
            };
            let mut row = |kind: &str, from: u16, to: u16, mandatory: bool| {
                rows.push(format!(
                    "u_{index},\"Ag\"\"ent, {index}\",T,Asia/Manila,{kind},{},{},{mandatory}",
                    local(from).strftime("%Y-%m-%dT%H:%M"),
                    local(to).strftime("%Y-%m-%dT%H:%M"),
                ));
            };
            let mut at = *start;
            let mut expected_activities = Vec::new();
            for (number, &(gap, length, mandatory)) in activities.iter().enumerate() {
                let (from, to) = (at + gap, at + gap + length);
                let kind = KINDS[number % KINDS.len()];
                row(kind, from, to, mandatory);
                let activity = Activity::from_name(kind);
                expected_activities.push(ShiftActivity { activity, start: instant(from), end: instant(to), mandatory });
                at = to;
            }
            row("shift", *start, at + 1, false);
            shifts.push(Shift { start: instant(*start), end: instant(at + 1), activities: expected_activities });
        }
        let coverage = Coverage { start: UtcMicros::EPOCH, end: UtcMicros::EPOCH };
        let (id, name) = (AgentId::new(format!("u_{index}")), format!("Ag\"ent, {index}"));
        expected.push(DraftAgent {
            id,
            name,
            team: "T".into(),
            zone: "Asia/Manila".to_owned(),
            shifts,
            coverage,
            skills: None,
        });
    }
    (rows, expected)
}

fn random_shift() -> impl Strategy<Value = RandomShift> {
    (0_u16..1_000, 0_u16..1, prop::collection::vec((0_u16..40, 1_u16..40, any::<bool>()), 0..5))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_schedule_written_as_a_table_is_read_back(
        agents in prop::collection::vec(prop::collection::btree_map(0_u16..60, random_shift(), 1..8), 1..6),
        delimiter in prop::sample::select(vec![',', ';', '\t']),
        end in prop::sample::select(vec!["\n", "\r\n"]),
        seed in any::<u64>(),
    ) {
        let (mut rows, mut expected) = to_rows_and_agents(&agents);
        // Any order of rows says the same.
        rows.sort_by_key(|row| row.bytes().fold(seed, |hash, byte| hash.rotate_left(5).wrapping_mul(31) ^ u64::from(byte)));
        rows.insert(0, HEADER.to_owned());
        let text = rows.join(end).replace(',', &delimiter.to_string()).replace(&format!("ent{delimiter}"), "ent,");
        let mut draft = read_schedule("x.csv", text.as_bytes(), &ImportOptions::default()).expect("sound");
        prop_assert!(draft.warnings.is_empty());
        expected.sort_by(|left, right| left.id.cmp(&right.id));
        for agent in &mut draft.agents {
            prop_assert!(agent.shifts.iter().all(|s| agent.coverage.start <= s.start && s.start < agent.coverage.end));
            agent.coverage = Coverage { start: UtcMicros::EPOCH, end: UtcMicros::EPOCH };
        }
        prop_assert_eq!(draft.agents, expected);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), calendar in any::<bool>()) {
        let name = if calendar { "a.ics" } else { "a.csv" };
        drop(read_schedule(name, &bytes, &ImportOptions::default()));
    }

    #[test]
    fn no_text_under_a_header_or_in_an_event_makes_it_panic(text in "\\PC{0,80}", property in 0_usize..15) {
        drop(read_schedule("a.csv", format!("{HEADER}\n{text}\n,,,,{text},,\n").as_bytes(), &ImportOptions::default()));
        let property = calendar::event::PROPERTIES[property];
        let calendar = format!(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;TZID=UTC:20261019T090000\n{property}:{text}\n{property};TZID={text}:{text}\n\
             END:VEVENT\nEND:VCALENDAR\n"
        );
        drop(read_schedule("a.ics", calendar.as_bytes(), &ImportOptions::default()));
    }

    #[test]
    fn damaged_samples_are_read_or_refused_but_never_panic(
        cut in 0_usize..11_000,
        changes in prop::collection::vec((0_usize..11_000, any::<u8>()), 0..20),
        which in 0_usize..3,
    ) {
        let (name, sample) = [("a.csv", SAMPLE_CSV), ("a.ics", SAMPLE_ICS), ("b.csv", SAMPLE_EXCEL)][which];
        let mut bytes = sample[..cut.min(sample.len())].to_vec();
        for (at, byte) in changes {
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
        }
        match read_schedule(name, &bytes, &ImportOptions::default()) {
            Ok(draft) => prop_assert!(draft.shifts > 0),
            Err(refused) => prop_assert!(!refused.diagnostics.is_empty()),
        }
    }
}
