//! Tests of the snapshot reader.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::agents::state::AgentState;

fn agents(count: usize) -> Vec<AgentId> {
    (0..count).map(|n| AgentId::new(format!("u_{n}"))).collect()
}

fn reader(count: usize) -> GuideReader {
    GuideReader::new(&agents(count), Arc::new(StateNames::default()))
}

fn row(agent: usize, state: &str) -> Value {
    json!({
        "userId": format!("u_{agent}"), "userName": "Ada Lovelace", "agentState": state, "queueName": "Support",
        "wrapUpCode": null, "statusChangedTimestamp": "2026-10-26T13:29:55.000Z", "teamName": "Care",
    })
}

fn document(second: u32, rows: &[Value]) -> Value {
    json!({
        "subscriptionId": "sub_1", "status": "active",
        "lastUpdatedTimestamp": format!("2026-10-26T13:30:{second:02}.000Z"), "data": rows,
    })
}

fn read(reader: &mut GuideReader, text: impl AsRef<[u8]>) -> Result<SnapshotDelta, CallError> {
    let read = reader.read(&SubscriptionId::new("sub_1"), SnapshotBody::new(text.as_ref().to_vec()));
    read.map(|delta| delta.expect("a snapshot of this dialect has one page"))
}

fn read_rows(reader: &mut GuideReader, second: u32, rows: &[Value]) -> SnapshotDelta {
    read(reader, document(second, rows).to_string()).expect("a snapshot")
}

fn changed(delta: &SnapshotDelta) -> Vec<(&str, &str)> {
    delta.changed.iter().map(|seen| (seen.agent.as_str(), seen.state.name())).collect()
}

fn faults(delta: &SnapshotDelta) -> Vec<(Option<usize>, SnapshotFault)> {
    delta.diagnostics.iter().map(|complaint| (complaint.row, complaint.fault.clone())).collect()
}

#[test]
fn the_first_snapshot_yields_every_agent_in_our_words() {
    let mut reader = reader(3);
    let delta = read_rows(&mut reader, 0, &[row(0, "available"), row(1, "Coffee")]);
    assert_eq!(delta.generated_at, "2026-10-26T13:30:00Z".parse().expect("valid"));
    assert_eq!((delta.rows, &*delta.absent), (2, &[AgentId::new("u_2")][..]));
    let seen = &delta.changed[0];
    assert_eq!(
        (&seen.state, seen.queue.as_deref(), seen.name.as_deref()),
        (&AgentState::Ready, Some("Support"), Some("Ada Lovelace"))
    );
    assert_eq!(seen.team, Some(TeamName::new("Care")));
    assert_eq!(seen.changed_at, Some("2026-10-26T13:29:55Z".parse().expect("valid")));
    assert_eq!(delta.changed[1].state, AgentState::Unknown("Coffee".into()));
    assert!(!format!("{delta:?} {reader:?}").contains("Lovelace"), "names are not for logs");
}

#[test]
fn only_changed_rows_are_yielded_again() {
    let mut reader = reader(3);
    read_rows(&mut reader, 0, &[row(0, "available"), row(1, "idle"), row(2, "acw")]);
    let delta = read_rows(&mut reader, 10, &[row(0, "available"), row(1, "paused"), row(2, "acw")]);
    assert_eq!(changed(&delta), [("u_1", "Paused")]);
    assert!(delta.absent.is_empty());
    let delta = read_rows(&mut reader, 20, &[row(0, "available"), row(1, "paused"), row(2, "acw")]);
    assert_eq!(changed(&delta), []);
}

#[test]
fn a_later_instant_of_the_same_state_is_yielded_for_the_merge_to_judge() {
    let mut reader = reader(1);
    read_rows(&mut reader, 0, &[row(0, "available")]);
    let mut later = row(0, "available");
    later["statusChangedTimestamp"] = json!("2026-10-26T13:30:05.000Z");
    assert_eq!(changed(&read_rows(&mut reader, 10, &[later])), [("u_0", "Ready")]);
}

#[test]
fn order_space_missing_rows_and_other_columns_do_not_make_a_change() {
    let mut reader = reader(4);
    let rows: Vec<Value> = (0..4).map(|n| row(n, "available")).collect();
    read_rows(&mut reader, 0, &rows);
    let mut other: Vec<Value> = rows.iter().rev().cloned().collect();
    other.remove(1);
    other[0]["wrapUpCode"] = json!("W1");
    let pretty = serde_json::to_string_pretty(&document(10, &other)).expect("json");
    let delta = read(&mut reader, pretty).expect("a snapshot");
    assert_eq!((changed(&delta), &*delta.absent), (vec![], &[AgentId::new("u_2")][..]));
    let delta = read_rows(&mut reader, 20, &rows);
    assert_eq!(changed(&delta), [], "back, and as it was");
}

#[test]
fn equal_bytes_and_an_empty_answer_are_the_last_snapshot_again() {
    let mut reader = reader(2);
    assert!(read(&mut reader, "").is_err(), "there is no last one yet");
    let text = document(0, &[row(0, "available")]).to_string();
    read(&mut reader, &text).expect("a snapshot");
    for again in [text.as_str(), ""] {
        let delta = read(&mut reader, again).expect("a snapshot");
        assert!(delta.repeated && delta.changed.is_empty());
        assert_eq!((delta.rows, delta.absent.len()), (1, 1));
        assert_eq!(delta.generated_at, "2026-10-26T13:30:00Z".parse().expect("valid"));
    }
}

#[test]
fn a_bad_row_is_left_out_with_a_complaint_and_the_others_are_read() {
    let mut reader = reader(4);
    let mut odd = row(1, "idle");
    odd["queueName"] = json!({ "id": [1, 2] });
    odd["statusChangedTimestamp"] = json!("yesterday");
    odd["teamName"] = Value::Null;
    let rows = [
        json!(7),
        json!({ "userId": 17, "agentState": "idle" }),
        json!({ "userId": "u_2" }),
        json!(["u_3", "Ada Lovelace", "idle", null, null, null]),
        row(99, "idle"),
        odd,
        row(0, "available"),
    ];
    let delta = read_rows(&mut reader, 0, &rows);
    assert_eq!(changed(&delta), [("u_1", "Idle"), ("u_0", "Ready")]);
    assert_eq!((delta.changed[0].queue.as_ref(), delta.changed[0].changed_at), (None, None));
    let expected = [
        (Some(0), SnapshotFault::Unreadable),
        (Some(1), SnapshotFault::Unreadable),
        (Some(2), SnapshotFault::Unreadable),
        (Some(3), SnapshotFault::Unreadable),
        (Some(4), SnapshotFault::UnknownAgent),
        (Some(5), SnapshotFault::BadField("queueName")),
        (Some(5), SnapshotFault::BadInstant),
    ];
    assert_eq!(faults(&delta), expected);
    assert_eq!((delta.rows, delta.absent.len()), (7, 2));
    assert!(delta.missing.is_empty(), "the rows that name nobody may be those of the others");
}

#[test]
fn who_has_a_row_that_cannot_be_read_is_without_a_good_one_and_not_missing() {
    let mut reader = reader(3);
    let rows = [row(0, "available"), json!({ "userId": "u_2", "agentState": null })];
    for second in [0, 10] {
        let delta = read_rows(&mut reader, second, &rows);
        assert_eq!(&*delta.absent, [AgentId::new("u_1"), AgentId::new("u_2")]);
        assert_eq!(&*delta.missing, [AgentId::new("u_1")]);
    }
    let again = read(&mut reader, "").expect("the last one");
    assert_eq!(&*again.missing, [AgentId::new("u_1")]);
    assert_eq!(read_rows(&mut reader, 20, &[row(0, "available")]).missing.len(), 2);
    let strange = read_rows(&mut reader, 30, &[row(0, "available"), row(99, "idle")]);
    assert_eq!((strange.absent.len(), strange.missing.len()), (2, 0), "whom nobody asked for may be one of them");
}

#[test]
fn rows_that_cannot_be_read_are_told_with_the_agents_whom_they_name() {
    let mut reader = reader(4);
    let rows = [
        row(0, "available").to_string(),
        r#"{"userId":"u_1","agentState":"idle","teamName":"a","teamName":"b"}"#.to_owned(),
        r#"{"userId":"u_2","agentState":1e999}"#.to_owned(),
        r#"{"userId":"u_2","userId":"u_3","agentState":"idle"}"#.to_owned(),
        json!({ "userId": "u_0", "agentState": null }).to_string(),
        json!({ "userId": "x".repeat(200_000), "agentState": "idle" }).to_string(),
    ];
    let text = document(0, &[]).to_string().replace("[]", &format!("[{}]", rows.join(",")));
    for text in [text.as_str(), ""] {
        let delta = read(&mut reader, text).expect("a snapshot");
        assert_eq!(&*delta.unreadable.agents, [AgentId::new("u_1"), AgentId::new("u_2")], "u_0 has a good row as well");
        assert_eq!(delta.unreadable.without_id, 2);
        assert!(
            delta.diagnostics.iter().all(|complaint| format!("{complaint:?}").len() < 200),
            "{:?}",
            delta.diagnostics
        );
    }
}

#[test]
fn half_a_surrogate_pair_in_a_text_costs_that_character_alone() {
    let mut reader = reader(2);
    let odd = row(0, "available").to_string().replace("Ada", r"\ud83d\ud83d\ude00").replace("Care", r"Care\udfff");
    let odd = odd.replace("\"Support\"", "\"\\uD800\"").replace('}', r#","\udc00":"\ud800"}"#);
    let text = document(0, &[]).to_string().replace("[]", &format!("[{odd},{}]", row(1, "idle")));
    let text = text.replacen('{', r#"{"\ud800":7,"#, 1);
    for second in [0, 10] {
        let delta = read(&mut reader, text.replace("30:00.", &format!("30:{second:02}."))).expect("a snapshot");
        assert_eq!((delta.rows, delta.absent.len(), &delta.diagnostics[..]), (2, 0, &[][..]));
        if second == 0 {
            let seen = &delta.changed[0];
            assert_eq!(seen.name.as_deref(), Some("\u{fffd}\u{1f600} Lovelace"));
            assert_eq!(seen.team, Some(TeamName::new("Care\u{fffd}")));
            assert_eq!(seen.queue.as_deref(), Some("\u{fffd}"));
        } else {
            assert_eq!(changed(&delta), [("", ""); 0]);
        }
    }
}

#[test]
fn names_are_kept_up_to_a_limit() {
    let mut reader = reader(1);
    let long = "ß".repeat(200_000);
    let mut odd = row(0, &long);
    for field in ["userName", "queueName", "teamName"] {
        odd[field] = json!(long);
    }
    let delta = read_rows(&mut reader, 0, &[odd]);
    let seen = &delta.changed[0];
    let kept = format!("{}…", "ß".repeat(MAX_TEXT_CHARS - 1));
    assert_eq!((seen.name.as_deref(), seen.queue.as_deref()), (Some(&*kept), Some(&*kept)));
    assert_eq!((seen.team.as_ref().map(TeamName::as_str), seen.state.name()), (Some(&*kept), &*kept));
}

#[test]
fn of_two_rows_of_an_agent_the_last_counts_whichever_goes_away_later() {
    let twice = [row(0, "idle"), row(1, "idle"), row(0, "paused")];
    let mut first = reader(2);
    let delta = read_rows(&mut first, 0, &twice);
    assert_eq!(changed(&delta), [("u_0", "Paused"), ("u_1", "Idle")]);
    assert_eq!(faults(&delta), [(Some(2), SnapshotFault::Duplicate)]);
    let delta = read_rows(&mut first, 10, &twice);
    assert_eq!(changed(&delta).iter().filter(|(agent, _)| *agent == "u_0").collect::<Vec<_>>(), [&("u_0", "Paused")]);
    assert_eq!(changed(&read_rows(&mut first, 20, &[row(0, "idle"), row(1, "idle")])), [("u_0", "Idle")]);
    assert_eq!(changed(&read_rows(&mut first, 30, &twice)), [("u_0", "Paused")]);
}

#[test]
fn complaints_have_a_limit() {
    let delta = read_rows(&mut reader(1), 0, &vec![json!([]); MAX_DIAGNOSTICS + 5]);
    assert_eq!((delta.diagnostics.len(), delta.more_diagnostics), (MAX_DIAGNOSTICS, 5));
}

#[test]
fn a_snapshot_that_breaks_off_changes_nothing_that_is_remembered() {
    let mut reader = reader(3);
    let rows = [row(0, "idle"), row(1, "idle"), row(2, "idle")];
    read_rows(&mut reader, 0, &rows);
    let next = document(10, &[row(0, "paused"), row(1, "idle"), row(2, "paused")]).to_string();
    for cut in (1..next.len()).step_by(7) {
        let error = read(&mut reader, &next[..cut]).expect_err("cut short");
        assert!(matches!(error.failure, Failure::Malformed { .. }));
        assert!(!error.to_string().contains("Lovelace"));
    }
    assert_eq!(changed(&read(&mut reader, next).expect("whole")), [("u_0", "Paused"), ("u_2", "Paused")]);
}

#[test]
fn what_is_not_a_snapshot_of_this_subscription_is_nonsense() {
    let mut other = document(0, &[]);
    other["subscriptionId"] = json!("sub_2");
    let mut undated = document(0, &[]);
    undated["lastUpdatedTimestamp"] = json!("soon");
    let mut empty = document(0, &[]);
    empty.as_object_mut().expect("an object").remove("data");
    let trailing = format!("{} x", document(0, &[]));
    for text in [other.to_string(), undated.to_string(), empty.to_string(), trailing, "<html>".into(), "[]".into()] {
        let error = read(&mut reader(1), &text).expect_err(&text);
        assert!(error.to_string().contains("expected a snapshot"), "{error}");
    }
}

#[test]
fn a_dying_or_older_snapshot_is_read_with_a_complaint() {
    let mut reader = reader(1);
    read_rows(&mut reader, 10, &[row(0, "idle")]);
    let mut old = document(0, &[row(0, "paused")]);
    old["status"] = json!("expiring");
    let delta = read(&mut reader, old.to_string()).expect("a snapshot");
    assert_eq!(
        faults(&delta),
        [(None, SnapshotFault::Status("expiring".into())), (None, SnapshotFault::OlderThanPrevious)]
    );
    assert_eq!(changed(&delta), [("u_0", "Paused")]);
}

#[test]
fn what_was_forgotten_is_yielded_again() {
    let mut reader = reader(1);
    let text = document(0, &[row(0, "idle")]).to_string();
    read(&mut reader, &text).expect("a snapshot");
    reader.reset();
    assert_eq!(changed(&read(&mut reader, &text).expect("a snapshot")), [("u_0", "Idle")]);
}

proptest::proptest! {
    /// Whatever escapes the texts of a row have, nobody goes unseen.
    #[test]
    fn no_escape_in_a_text_costs_a_row(
        texts in proptest::collection::vec(
            proptest::collection::vec(
                prop_oneof![
                    "[0-9a-fA-F]{4}".prop_map(|digits| format!(r"\u{digits}")),
                    "[dD][89a-fA-F][0-9a-f]{2}".prop_map(|digits| format!(r"\u{digits}")),
                    r#"\\["\\/bfnrt]"#,
                    "[a-z €]{0,300}",
                ],
                0..6,
            ),
            4,
        ),
    ) {
        let text = |place: usize| texts[place].concat();
        let odd = format!(
            r#"{{"userName":"{}","queueName":"{}","{}":"x","userId":"u_0","agentState":"idle","teamName":"{}"}}"#,
            text(0), text(1), text(2), text(3),
        );
        let text = document(0, &[]).to_string().replace("[]", &format!("[{odd},{}]", row(1, "idle")));
        let delta = read(&mut reader(2), &text).expect("a snapshot");
        prop_assert_eq!((changed(&delta).len(), delta.diagnostics.len()), (2, 0), "{}", odd);
        let names = delta.changed.iter().flat_map(|seen| [seen.name.as_deref(), seen.queue.as_deref()]);
        for name in names.flatten() {
            prop_assert!(name.chars().count() <= MAX_TEXT_CHARS && !name.contains('\0'));
        }
    }

    /// Whatever the order, gaps and spacing, following the deltas gives the same picture as reading each snapshot afresh.
    #[test]
    fn following_the_deltas_gives_the_whole_picture(
        snapshots in proptest::collection::vec(proptest::collection::vec((0_usize..6, 0_usize..4), 0..9), 1..12),
    ) {
        let states = ["available", "idle", "paused", "acw"];
        let mut followed = HashMap::new();
        let mut expected = HashMap::new();
        let mut reader = reader(6);
        for (n, rows) in snapshots.iter().enumerate() {
            let rows: Vec<Value> = rows.iter().map(|(agent, state)| row(*agent, states[*state])).collect();
            let text = if n % 2 == 0 {
                document(u32::try_from(n).expect("small"), &rows).to_string()
            } else {
                serde_json::to_string_pretty(&document(u32::try_from(n).expect("small"), &rows)).expect("json")
            };
            let fresh = read(&mut GuideReader::new(&agents(6), Arc::new(StateNames::default())), &text).expect("fresh");
            expected.extend(fresh.changed.into_iter().map(|seen| (seen.agent.clone(), seen)));
            let delta = read(&mut reader, &text).expect("followed");
            proptest::prop_assert_eq!(&delta.absent, &fresh.absent);
            followed.extend(delta.changed.into_iter().map(|seen| (seen.agent.clone(), seen)));
            proptest::prop_assert_eq!(&followed, &expected);
        }
    }
}
