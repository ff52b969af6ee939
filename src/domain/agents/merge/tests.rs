//! What a sighting means beside what is known, each rule at its very edge.

use super::*;
use crate::domain::ids::TransitionId;

fn at(seconds: i64) -> UtcMicros {
    UtcMicros::from_micros(seconds * 1_000_000)
}

/// A microsecond later.
fn just_after(instant: UtcMicros) -> UtcMicros {
    instant.offset(1)
}

const LATE_BY: Duration = SAME_CHANGE;

/// Merges a row into a state that followed nothing.
fn merge(now: Option<&Observed>, sighted: &Sighted, contradictions: u8) -> Merged {
    super::merge(Known { now, contradictions, late_by: LATE_BY, at: at(1_000), ..Known::default() }, sighted)
}

fn known(state: AgentState, entered_at: i64, source: Source) -> Observed {
    let entered_at = at(entered_at);
    let (platform_at, row_at) = (None, entered_at);
    Observed {
        state,
        reason: None,
        queue: None,
        entered_at,
        platform_at,
        row_at,
        source,
        transition: None,
        by_person: false,
    }
}

fn row(state: AgentState, changed_at: i64, generated_at: i64) -> Sighted {
    let changed_at = Some(at(changed_at));
    Sighted { state, queue: None, changed_at, platform_at: changed_at, generated_at: at(generated_at) }
}

fn entered(merged: &Merged) -> Option<UtcMicros> {
    match merged {
        Merged::Changed(observed) | Merged::Settled(observed) | Merged::Queue(observed) => Some(observed.entered_at),
        Merged::Nothing | Merged::Contradiction | Merged::Between(_) => None,
    }
}

#[test]
fn a_change_is_a_new_state_or_the_same_entered_again() {
    use AgentState::{Paused, Ready};
    let snapshot = known(Paused, 100, Source::Snapshot);
    for (sighted, expected, why) in [
        (row(Paused, 100, 120), None, "a repeat"),
        (row(Paused, 104, 120), None, "jitter within 5 s"),
        (row(Paused, 90, 120), None, "an older row of the same state"),
        (row(Paused, 106, 120), Some(at(106)), "entered again"),
        (row(Ready, 110, 120), Some(at(110)), "a new state"),
        (row(Ready, 97, 120), Some(at(100).offset(1)), "a new state whose instant jitters below the known one"),
        (row(Ready, 80, 120), None, "an older row of another state"),
        (row(Ready, 200, 120), Some(at(120)), "an instant after the snapshot's own is cut"),
        (row(Paused, 200, 120), None, "and says nothing of the state that is known"),
        (Sighted { changed_at: None, ..row(Paused, 0, 120) }, None, "nor does none"),
    ] {
        let merged = merge(Some(&snapshot), &sighted, 0);
        assert_eq!(entered(&merged), expected, "{why}: {merged:?}");
    }
}

#[test]
fn a_stay_whose_instant_the_platform_repeats_is_not_entered_again_however_badly_its_clock_is_known() {
    use AgentState::Paused;
    let stay = Observed { platform_at: Some(at(95)), ..known(Paused, 100, Source::Snapshot) };
    let sighted = |said| Sighted { platform_at: Some(at(said)), ..row(Paused, 108, 120) };
    assert_eq!(merge(Some(&stay), &sighted(95), 0), Merged::Nothing);
    assert_eq!(entered(&merge(Some(&stay), &sighted(103), 0)), Some(at(108)), "another instant is another stay");
}

#[test]
fn the_first_sight_is_a_change_and_an_instant_that_is_missing_is_the_snapshot_s() {
    let sighted = Sighted { changed_at: None, platform_at: None, ..row(AgentState::Idle, 0, 50) };
    assert_eq!(entered(&merge(None, &sighted, 0)), Some(at(50)));
}

#[test]
fn a_snapshot_settles_the_estimate_of_an_accepted_post_whenever_it_took_effect() {
    let mut posted = known(AgentState::Ready, 100, Source::Post);
    posted.reason = Some("WORKING".into());
    for changed_at in [98, 103, 130] {
        let Merged::Settled(now) = merge(Some(&posted), &row(AgentState::Ready, changed_at, 140), 0) else {
            panic!("settled at {changed_at}")
        };
        assert_eq!((now.entered_at, now.source), (at(changed_at), Source::Snapshot));
        assert_eq!(now.reason, posted.reason, "the reason that only we know is kept");
    }
    assert_eq!(merge(Some(&posted), &row(AgentState::Paused, 50, 110), 0), Merged::Contradiction, "not shown yet");
}

#[test]
fn an_older_row_of_another_state_is_believed_the_third_time() {
    let snapshot = known(AgentState::Ready, 100, Source::Snapshot);
    let older = row(AgentState::Paused, 50, 130);
    assert_eq!(merge(Some(&snapshot), &older, 0), Merged::Contradiction);
    assert_eq!(merge(Some(&snapshot), &older, 1), Merged::Contradiction);
    assert_eq!(entered(&merge(Some(&snapshot), &older, 2)), Some(at(130)));
}

#[test]
fn a_contact_that_began_just_before_an_accepted_post_disproves_it_the_third_time() {
    let posted = known(AgentState::Paused, 100, Source::Post);
    let contact = row(AgentState::OnContact, 98, 110);
    assert_eq!(merge(Some(&posted), &contact, 0), Merged::Contradiction, "the change waits for its end");
    assert_eq!(entered(&merge(Some(&posted), &contact, 2)), Some(at(110)));
    assert_eq!(entered(&merge(Some(&posted), &row(AgentState::OnContact, 101, 110), 0)), Some(at(101)));
}

#[test]
fn a_snapshot_from_before_an_accepted_post_does_not_disprove_it() {
    let posted = known(AgentState::Ready, 100, Source::Post);
    assert_eq!(merge(Some(&posted), &row(AgentState::Paused, 50, 99), 2), Merged::Contradiction);
}

#[test]
fn a_reason_alone_is_known_from_its_acceptance_on_however_long_the_stay_has_gone_on() {
    let stay = known(AgentState::Paused, 0, Source::Snapshot);
    let reason = Observed { entered_at: at(0), row_at: at(100), ..known(AgentState::Paused, 100, Source::Post) };
    let merged = |sighted: &Sighted, contradictions| {
        let before = Some(&stay);
        super::merge(
            Known { now: Some(&reason), before, contradictions, late_by: LATE_BY, told: false, at: at(1_000) },
            sighted,
        )
    };
    let left = merged(&row(AgentState::Ready, 60, 90), 0);
    assert!(matches!(left, Merged::Between(_)), "the agent had left the state, and nobody had seen it: {left:?}");
    assert_eq!(merged(&row(AgentState::Ready, 60, 90), 2), left);
    assert_eq!(merged(&row(AgentState::Ready, 60, 110), 0), Merged::Contradiction, "not shown yet");
    assert_eq!(entered(&merged(&row(AgentState::Ready, 60, 110), 2)), Some(at(110)));
    assert_eq!(entered(&merged(&row(AgentState::Ready, 101, 110), 0)), Some(at(101)));
    assert_eq!(merged(&row(AgentState::Paused, 0, 110), 0), Merged::Nothing, "the stay goes on");
}

#[test]
fn a_late_snapshot_shows_what_the_feed_left_out_where_its_place_is_sure() {
    use AgentState::{OnContact, Paused, Ready};
    let (seen, fed) = (known(Ready, 0, Source::Snapshot), known(OnContact, 100, Source::Feed));
    let posted = known(OnContact, 100, Source::Post);
    let told_before = known(Ready, 50, Source::Feed);
    for (before, now, sighted, between, why) in [
        (&seen, &fed, row(Paused, 60, 90), true, "overtaken by the message"),
        (&seen, &posted, row(Paused, 60, 90), true, "overtaken by an answer to a change of ours"),
        (&seen, &fed, row(Paused, 96, 99), false, "the message may be so late"),
        (&seen, &fed, row(Paused, 60, 101), false, "a snapshot from after it contradicts it"),
        (&seen, &fed, row(Ready, 60, 90), false, "the stay before"),
        (&told_before, &fed, row(Paused, 54, 90), false, "what was told before may be as late"),
        (&told_before, &fed, row(Paused, 56, 90), true, "after what was told before"),
        (&seen, &known(OnContact, 100, Source::Snapshot), row(Paused, 60, 90), false, "snapshots come in order"),
    ] {
        let merged = super::merge(
            Known {
                now: Some(now),
                before: Some(before),
                told: true,
                contradictions: 0,
                late_by: LATE_BY,
                at: at(1_000),
            },
            &sighted,
        );
        assert_eq!(matches!(merged, Merged::Between(_)), between, "{why}: {merged:?}");
    }
}

#[test]
fn whoever_comes_back_into_sight_begins_a_stay_that_leaves_the_time_out_of_sight_unknown() {
    for state in [AgentState::unseen(), AgentState::off_roster()] {
        let gone = known(state, 200, Source::Snapshot);
        let Merged::Changed(same) = merge(Some(&gone), &row(AgentState::Ready, 100, 320), 0) else {
            panic!("seen again")
        };
        assert_eq!((same.entered_at, same.platform_at), (at(320), None), "the stay from before: from the sight on");
        let Merged::Changed(new) = merge(Some(&gone), &row(AgentState::Paused, 250, 320), 0) else {
            panic!("seen again")
        };
        assert_eq!((new.entered_at, new.platform_at), (at(250), Some(at(250))), "changed while nobody saw it");
        assert_eq!(merge(Some(&same), &row(AgentState::Ready, 100, 330), 0), Merged::Nothing, "the stay goes on");
    }
    assert!(!AgentState::Unknown("coffee".into()).is_out_of_sight());
}

#[test]
fn another_queue_alone_keeps_the_instant() {
    let snapshot = known(AgentState::Ready, 100, Source::Snapshot);
    let sighted = Sighted { queue: Some("Support".into()), ..row(AgentState::Ready, 100, 120) };
    let Merged::Queue(observed) = merge(Some(&snapshot), &sighted, 0) else { panic!("the queue changed") };
    assert_eq!((observed.entered_at, observed.queue.as_deref()), (at(100), Some("Support")));
}

#[test]
fn rows_keep_their_order_where_the_clock_was_set_back() {
    let mut before = known(AgentState::Ready, 100, Source::Snapshot);
    before.row_at = at(86_500);
    let Merged::Changed(next) = merge(Some(&before), &row(AgentState::Paused, 120, 130), 0) else { panic!("changed") };
    assert_eq!((next.entered_at, next.row_at), (at(120), at(86_500).offset(1)));
    let Merged::Changed(again) = merge(Some(&before), &row(AgentState::Ready, 120, 130), 0) else { panic!("again") };
    assert_eq!((again.entered_at, again.row_at), (at(120), at(86_500).offset(1)));
}

#[test]
fn an_instant_that_was_not_believed_is_not_kept_as_the_platform_s() {
    let snapshot = known(AgentState::Ready, 100, Source::Snapshot);
    let Merged::Changed(believed) = merge(Some(&snapshot), &row(AgentState::Paused, 50, 130), 2) else {
        panic!("believed")
    };
    assert_eq!(believed.platform_at, None);
    let Merged::Changed(odd) = merge(None, &row(AgentState::Paused, 500, 130), 0) else { panic!("first seen") };
    assert_eq!((odd.entered_at, odd.platform_at), (at(130), None), "an instant after the snapshot's own");
    let Merged::Changed(kept) = merge(None, &row(AgentState::Paused, 50, 130), 0) else { panic!("first seen") };
    assert_eq!(kept.platform_at, Some(at(50)));
}

/// Merges a row into an estimate that followed `before`.
fn merge_after(before: &Observed, now: &Observed, sighted: &Sighted) -> Merged {
    let known = Known { now: Some(now), before: Some(before), late_by: LATE_BY, at: at(1_000), ..Known::default() };
    super::merge(known, sighted)
}

fn row_at(state: AgentState, changed_at: UtcMicros, generated_at: UtcMicros) -> Sighted {
    Sighted { state, queue: None, changed_at: Some(changed_at), platform_at: Some(changed_at), generated_at }
}

#[test]
fn an_instant_up_to_five_seconds_after_the_snapshot_is_kept_as_the_platforms() {
    for (changed_at, kept) in [(at(125), true), (just_after(at(125)), false)] {
        let merged = merge(None, &row_at(AgentState::Ready, changed_at, at(120)), 0);
        let Merged::Changed(seen) = merged else { panic!("first seen") };
        assert_eq!((seen.entered_at, seen.platform_at), (at(120), kept.then_some(changed_at)));
    }
}

#[test]
fn a_stay_that_began_as_the_agent_went_out_of_sight_is_from_before() {
    let gone = known(AgentState::unseen(), 200, Source::Snapshot);
    assert_eq!(entered(&merge(Some(&gone), &row(AgentState::Ready, 200, 320), 0)), Some(at(320)));
    let later = row_at(AgentState::Ready, just_after(at(200)), at(320));
    assert_eq!(entered(&merge(Some(&gone), &later, 0)), Some(just_after(at(200))));
}

#[test]
fn what_is_seen_is_later_than_what_lies_ahead_of_our_clock() {
    let ahead = known(AgentState::Ready, 2_000, Source::Snapshot);
    let Merged::Changed(next) = merge(Some(&ahead), &row(AgentState::Paused, 900, 950), 0) else { panic!("a change") };
    assert_eq!((next.entered_at, next.row_at), (at(900), just_after(at(2_000))));
    assert_eq!(merge(Some(&ahead), &row(AgentState::Ready, 900, 950), 0), Merged::Nothing);
    // The clock stands at 1,000.
    let now = known(AgentState::Ready, 1_000, Source::Snapshot);
    assert_eq!(merge(Some(&now), &row(AgentState::Paused, 900, 950), 0), Merged::Contradiction);
}

#[test]
fn five_seconds_of_jitter_are_no_change_and_a_microsecond_more_is_one() {
    use AgentState::{Paused, Ready};
    let snapshot = known(Paused, 100, Source::Snapshot);
    assert_eq!(merge(Some(&snapshot), &row(Paused, 105, 120), 0), Merged::Nothing);
    let again = just_after(at(105));
    assert_eq!(entered(&merge(Some(&snapshot), &row_at(Paused, again, at(120)), 0)), Some(again));
    assert_eq!(entered(&merge(Some(&snapshot), &row(Ready, 95, 120), 0)), Some(just_after(at(100))));
    let older = row_at(Ready, at(95).offset(-1), at(120));
    assert_eq!(merge(Some(&snapshot), &older, 0), Merged::Contradiction);
}

#[test]
fn a_row_from_the_very_instant_of_an_acceptance_is_not_newer() {
    let posted = known(AgentState::Paused, 100, Source::Post);
    assert_eq!(merge(Some(&posted), &row(AgentState::OnContact, 100, 110), 0), Merged::Contradiction);
    let newer = row_at(AgentState::OnContact, just_after(at(100)), at(110));
    assert_eq!(entered(&merge(Some(&posted), &newer, 0)), Some(just_after(at(100))));
}

#[test]
fn a_contradiction_is_believed_only_of_a_snapshot_from_after_what_is_known() {
    let snapshot = known(AgentState::Ready, 100, Source::Snapshot);
    assert_eq!(merge(Some(&snapshot), &row(AgentState::Paused, 50, 100), 2), Merged::Contradiction);
    let after = row_at(AgentState::Paused, at(50), just_after(at(100)));
    assert_eq!(entered(&merge(Some(&snapshot), &after, 2)), Some(just_after(at(100))));
}

#[test]
fn a_row_beside_a_message_is_newer_where_the_message_may_be_that_late() {
    use AgentState::{OnContact, Paused, Ready};
    let fed = known(OnContact, 100, Source::Feed);
    let (stay, recent) = (known(Ready, 90, Source::Snapshot), known(Paused, 97, Source::Snapshot));
    let first = Some(just_after(at(100)));
    for (before, sighted, expected, why) in [
        (&stay, row(Paused, 95, 101), first, "five seconds are within the message's way"),
        (&stay, row_at(Paused, at(95).offset(-1), at(101)), None, "more are not"),
        (&stay, row(Paused, 96, 100), None, "the snapshot is not from after the message"),
        (&stay, row(Ready, 95, 101), None, "the stay before, jittering"),
        (&stay, row_at(Ready, just_after(at(95)), at(101)), first, "the state before, entered again"),
        (&recent, row(Paused, 100, 102), None, "the stay before, up to the very instant"),
        (
            &recent,
            row_at(Paused, just_after(at(100)), at(102)),
            first,
            "after the message's instant it is newer in any case",
        ),
    ] {
        assert_eq!(entered(&merge_after(before, &fed, &sighted)), expected, "{why}");
    }
}

#[test]
fn a_stay_between_lies_surely_after_the_one_and_before_the_other() {
    use AgentState::{OnContact, Paused, Ready};
    let fed = known(OnContact, 100, Source::Feed);
    let (told, gone) = (known(Ready, 50, Source::Feed), known(AgentState::unseen(), 0, Source::Snapshot));
    let seen = |second| known(Ready, second, Source::Snapshot);
    let without_instant = Sighted { changed_at: None, ..row(Paused, 0, 90) };
    for (before, sighted, between, why) in [
        (&seen(64), row(Paused, 60, 90), true, "a snapshot's instant may jitter by less than five seconds"),
        (&seen(65), row(Paused, 60, 90), false, "and not by five"),
        (&told, row(Paused, 55, 90), false, "what was told may be five seconds late"),
        (&told, row_at(Paused, just_after(at(55)), at(90)), true, "and not more"),
        (&seen(0), row(Paused, 95, 99), false, "the message may be late by as much"),
        (&seen(0), row_at(Paused, at(95).offset(-1), at(99)), true, "and not by more"),
        (&seen(0), row(Paused, 60, 100), false, "a snapshot from the very instant of the message"),
        (&seen(0), without_instant, false, "without an instant of its own"),
        (&seen(0), row(Paused, 95, 90), false, "with an instant that cannot be"),
        (&gone, row(Paused, 60, 90), false, "after a time out of sight"),
    ] {
        let merged = merge_after(before, &fed, &sighted);
        assert_eq!(matches!(merged, Merged::Between(_)), between, "{why}: {merged:?}");
    }
}

#[test]
fn a_doubted_row_comes_between_once_a_better_instant_leaves_it_the_room() {
    use AgentState::{OnContact, Paused, Ready};
    let (before, posted) = (known(Ready, 0, Source::Snapshot), known(Paused, 100, Source::Post));
    let contact = row(OnContact, 98, 110);
    let late_by = Duration::from_secs(60);
    let known_now = Known { now: Some(&posted), before: Some(&before), late_by, at: at(1_000), ..Known::default() };
    assert_eq!(super::merge(known_now, &contact), Merged::Contradiction, "the change waits for the contact's end");
    let settled = |second, source| between_settled(known_now, &known(Paused, second, source), &contact);
    let stay = settled(130, Source::Snapshot).expect("the contact was there");
    assert_eq!((stay.state, stay.entered_at), (OnContact, at(98)));
    assert_eq!(settled(104, Source::Snapshot), None, "the row was made after it");
    assert_eq!(settled(130, Source::Feed), None, "an estimate may be a minute late");
    assert!(settled(159, Source::Feed).is_some(), "and not more");
    assert_eq!(between_settled(Known { now: None, ..known_now }, &posted, &contact), None);
    let placed_late = Observed { row_at: at(130), ..known(Paused, 104, Source::Snapshot) };
    assert!(between_settled(known_now, &placed_late, &contact).is_some(), "history has the change from 130 on");
    let ahead = |second| Observed { row_at: at(2_000), ..known(Paused, second, Source::Post) };
    let set_back = Known { now: Some(&ahead(100)), late_by: LATE_BY, ..known_now };
    assert!(between_settled(set_back, &ahead(130), &contact).is_some(), "rows ahead of the clock say nothing of when");
}

#[test]
fn a_row_settles_an_estimate_of_its_state_unless_it_shows_an_earlier_stay() {
    use AgentState::{Paused, Ready};
    let fed = known(Ready, 100, Source::Feed);
    let (other, same) = (known(Paused, 95, Source::Feed), known(Ready, 95, Source::Snapshot));
    for (before, sighted, settled, why) in [
        (&other, row(Ready, 105, 120), Some(at(105)), "five seconds later is the same stay"),
        (&other, row(Ready, 90, 120), Some(at(90)), "as early as the one before may be late"),
        (&other, row_at(Ready, at(90).offset(-1), at(120)), None, "earlier than that it is another stay"),
        (&other, row(Ready, 93, 95), Some(at(93)), "a snapshot from the instant of the one before"),
        (&other, row_at(Ready, at(93), at(95).offset(-1)), None, "a snapshot from before it"),
        (&same, row(Ready, 100, 120), None, "the stay before was in the same state"),
        (&same, row_at(Ready, just_after(at(100)), at(120)), Some(just_after(at(100))), "and this is not it"),
    ] {
        let merged = merge_after(before, &fed, &sighted);
        assert_eq!(entered(&merged), settled, "{why}");
        assert!(matches!(merged, Merged::Settled(_) | Merged::Nothing), "{why}: {merged:?}");
    }
    let again = merge_after(&other, &fed, &row_at(Ready, just_after(at(105)), at(120)));
    assert!(matches!(again, Merged::Changed(_)), "entered again: {again:?}");
}

#[test]
fn what_settles_a_change_of_ours_keeps_what_only_we_know_of_it() {
    let posted = Observed {
        reason: Some("WORKING".into()),
        transition: Some(TransitionId(uuid::Uuid::nil())),
        by_person: true,
        ..known(AgentState::Ready, 100, Source::Post)
    };
    let ours = |observed: &Observed| (observed.reason.clone(), observed.transition, observed.by_person);
    let known_now = Known { now: Some(&posted), late_by: LATE_BY, at: at(1_000), ..Known::default() };
    let by_row = super::merge(known_now, &row(AgentState::Ready, 130, 140));
    let by_message = merge_fed(known_now, &fed(AgentState::Ready, at(130), at(131)));
    for merged in [by_row, by_message] {
        let Merged::Settled(settled) = merged else { panic!("settled: {merged:?}") };
        assert_eq!((ours(&settled), settled.entered_at), (ours(&posted), at(130)));
    }
    let without_instant = Sighted { changed_at: None, ..row(AgentState::Ready, 0, 140) };
    assert_eq!(super::merge(known_now, &without_instant), Merged::Nothing, "no instant, nothing to settle it with");
}

fn fed(state: AgentState, began_at: UtcMicros, received_at: UtcMicros) -> Fed {
    Fed { state, received_at, began_at, waited: Duration::ZERO, connection: 1 }
}

/// Merges a message into a state that followed nothing.
fn hear(now: Option<&Observed>, told: bool, fed: &Fed) -> Merged {
    merge_fed(Known { now, told, late_by: LATE_BY, at: at(1_000), ..Known::default() }, fed)
}

#[test]
fn the_first_message_is_a_change_from_when_it_says_on() {
    let Merged::Changed(seen) = hear(None, false, &fed(AgentState::Idle, at(40), at(50))) else { panic!("a change") };
    assert_eq!((seen.state, seen.entered_at, seen.source), (AgentState::Idle, at(40), Source::Feed));
    assert_eq!((seen.platform_at, seen.row_at), (None, at(40)));
}

#[test]
fn a_message_of_who_was_out_of_sight_does_not_fill_the_time_out_of_sight() {
    let gone = known(AgentState::unseen(), 200, Source::Snapshot);
    for (began_at, expected) in [(at(150), at(210)), (at(200), at(210)), (just_after(at(200)), just_after(at(200)))] {
        let merged = hear(Some(&gone), false, &fed(AgentState::Ready, began_at, at(210)));
        assert_eq!(entered(&merged), Some(expected), "began at {began_at}");
    }
}

#[test]
fn a_message_of_the_known_state_is_news_only_beyond_what_it_may_be_late_by() {
    let snapshot = known(AgentState::Ready, 100, Source::Snapshot);
    let late = |waited| Fed { waited: Duration::from_secs(waited), ..fed(AgentState::Ready, at(105 + 10), at(200)) };
    assert_eq!(hear(Some(&snapshot), true, &fed(AgentState::Ready, at(105), at(200))), Merged::Nothing);
    let again = just_after(at(105));
    assert_eq!(entered(&hear(Some(&snapshot), true, &fed(AgentState::Ready, again, at(200)))), Some(again));
    assert_eq!(hear(Some(&snapshot), true, &late(10)), Merged::Nothing, "it waited here for ten seconds");
    assert!(matches!(hear(Some(&snapshot), true, &late(9)), Merged::Changed(_)));
    let posted = known(AgentState::Ready, 100, Source::Post);
    let settled = hear(Some(&posted), false, &fed(AgentState::Ready, again, at(200)));
    assert!(matches!(settled, Merged::Settled(_)) && entered(&settled) == Some(again), "{settled:?}");
}

#[test]
fn a_message_of_another_state_is_old_news_or_in_doubt_unless_it_surely_came_later() {
    use AgentState::{Paused, Ready};
    let snapshot = known(Ready, 100, Source::Snapshot);
    let first = Some(just_after(at(100)));
    for (told, message, expected, why) in [
        (false, fed(Paused, at(95), at(200)), first, "sent after the known change began"),
        (false, fed(Paused, at(95).offset(-1), at(200)), None, "earlier than it may be late by"),
        (false, fed(Paused, at(98), just_after(at(105))), first, "it was on its way for five seconds at most"),
        (true, fed(Paused, at(98), at(101)), first, "the feed has told of what is known"),
    ] {
        assert_eq!(entered(&hear(Some(&snapshot), told, &message)), expected, "{why}");
    }
    assert_eq!(hear(Some(&snapshot), false, &fed(Paused, at(98), at(105))), Merged::Contradiction);
    assert_eq!(hear(Some(&snapshot), true, &fed(Paused, at(95).offset(-1), at(101))), Merged::Nothing);
    let waited = Fed { waited: Duration::from_secs(10), ..fed(Paused, at(98), at(115)) };
    assert_eq!(hear(Some(&snapshot), false, &waited), Merged::Contradiction, "it may have come ten seconds earlier");
}
