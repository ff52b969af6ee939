//! Days that are added up: whatever changes the past marks them, in its own commit or in the one that stores them.

use jiff::civil::Date;

use super::schedules::import;
use super::{
    AdherenceChange, AdherenceDay, Commit, HistoryRow, HistoryWrite, ObservedSpanRow, Store, TestDatabase, acme,
    agent_write, at, on_each_engine, row, uuid,
};
use crate::domain::adherence::AdherenceSettings;
use crate::domain::adherence::exception::{EarlyEnd, Exception, ExceptionScope};
use crate::domain::adherence::sums::{Counts, Sums};
use crate::domain::adherence::timeline::StateInterval;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{ExceptionId, ReasonCode};

on_each_engine!(
    whatever_changes_the_past_marks_the_days_that_it_may_have_changed,
    what_came_between_reading_and_storing_marks_as_well,
    days_are_read_by_agent_and_day,
    sights_are_read_with_those_around_a_span,
    a_gap_that_is_filled_marks_the_days_that_it_may_have_changed,
    what_an_agent_was_in_is_read_whatever_its_names_are,
);

const DAY: Date = Date::constant(2026, 11, 2);

/// A day that ended at 1,000 s and was settled at 1,100 s, computed from everything that there was.
async fn day(store: &Store, agent: &str) -> AdherenceDay {
    let reader = store.reader();
    AdherenceDay {
        tenant: acme(),
        agent: agent.into(),
        day: DAY,
        starts_at: at(0),
        ends_at: at(1000),
        settles_at: at(1100),
        stale: false,
        basis: "0123".into(),
        schedule_version: reader.schedule_version_at(&acme(), at(2_000_000)).await.expect("reads").unwrap_or(0),
        history_id: reader.last_history_id(&acme()).await.expect("reads"),
        computed_at: at(5000),
        sums: Sums { counts: Counts { shifts: 3, ..Counts::default() }, ..Sums::default() },
    }
}

async fn store_days(store: &Store, days: Vec<AdherenceDay>) {
    let adherence = AdherenceChange { days, ..AdherenceChange::default() };
    store.writer().commit(Commit { adherence, ..Commit::default() }).await.expect("commits");
}

/// Who has a stale day.
async fn agents_with_stale_days(store: &Store) -> Vec<String> {
    let days = store.reader().stale_days(&acme(), at(2_000_000), 10).await.expect("reads");
    days.into_iter()
        .map(|(agent, day)| {
            assert_eq!(day, DAY);
            agent.to_string()
        })
        .collect()
}

fn exception(number: u128, from: i64, made_at: i64) -> Exception {
    Exception {
        id: ExceptionId(uuid(number)),
        tenant: acme(),
        scope: ExceptionScope::Everyone,
        from: at(from),
        to: at(from + 10),
        reason: "training".into(),
        created_by: "ann".into(),
        created_at: at(made_at),
        early_end: None,
    }
}

async fn open_with_agents(place: &TestDatabase) -> Store {
    let store = place.open().await;
    let agents = vec![agent_write("a", 1), agent_write("b", 2)];
    let history = vec![
        HistoryWrite::Enter(row("a", 10, AgentState::Ready)),
        HistoryWrite::Enter(row("b", 10, AgentState::Ready)),
    ];
    store.writer().commit(Commit { agents, history, ..Commit::default() }).await.expect("commits");
    let days = vec![day(&store, "a").await, day(&store, "b").await];
    store_days(&store, days).await;
    assert_eq!(agents_with_stale_days(&store).await, [""; 0]);
    store
}

async fn enter(store: &Store, agent: &str, second: i64) {
    let history = vec![HistoryWrite::Enter(row(agent, second, AgentState::Paused))];
    store.writer().commit(Commit { history, ..Commit::default() }).await.expect("commits");
}

async fn whatever_changes_the_past_marks_the_days_that_it_may_have_changed(place: TestDatabase) {
    let store = open_with_agents(&place).await;
    enter(&store, "a", 1100).await;
    assert_eq!(agents_with_stale_days(&store).await, [""; 0], "what comes once a day is settled is the usual case");
    enter(&store, "a", 1099).await;
    assert_eq!(agents_with_stale_days(&store).await, ["a"]);
    store_days(&store, vec![day(&store, "a").await]).await;
    assert_eq!(agents_with_stale_days(&store).await, [""; 0], "computed anew");
    let removed = HistoryWrite::Remove { tenant: acme(), agent: "b".into(), entered_at: at(10) };
    store.writer().commit(Commit { history: vec![removed], ..Commit::default() }).await.expect("commits");
    assert_eq!(agents_with_stale_days(&store).await, ["b"]);
    store_days(&store, vec![day(&store, "b").await]).await;

    let commit_exception = async |exception| {
        store.writer().commit(Commit { exceptions: vec![exception], ..Commit::default() }).await.expect("commits");
    };
    commit_exception(exception(1, 1100, 10)).await;
    assert_eq!(agents_with_stale_days(&store).await, [""; 0]);
    commit_exception(exception(2, 1099, 10)).await;
    assert_eq!(agents_with_stale_days(&store).await, ["a", "b"]);
    store_days(&store, vec![day(&store, "a").await, day(&store, "b").await]).await;
    // Ended before its time: it no longer excuses.
    let ended = EarlyEnd { at: at(20), by: "ann".into(), reason: None };
    commit_exception(Exception { to: at(1099), early_end: Some(ended), ..exception(2, 1099, 10) }).await;
    assert_eq!(agents_with_stale_days(&store).await, ["a", "b"]);
    store_days(&store, vec![day(&store, "a").await, day(&store, "b").await]).await;

    store.writer().import(import("later", &[("a", &[(1200, 1300)])], (1100, 2000))).await.expect("imports");
    assert_eq!(agents_with_stale_days(&store).await, [""; 0]);
    store.writer().import(import("past", &[("b", &[(500, 600)])], (1000, 2000))).await.expect("imports");
    assert_eq!(agents_with_stale_days(&store).await, ["b"], "the import names one of them");
    store.close().await;
    // Another start knows as much.
    let store = place.open().await;
    enter(&store, "a", 700).await;
    assert_eq!(agents_with_stale_days(&store).await, ["a", "b"]);
}

async fn what_came_between_reading_and_storing_marks_as_well(place: TestDatabase) {
    let store = open_with_agents(&place).await;
    let read = day(&store, "a").await;
    enter(&store, "a", 700).await;
    enter(&store, "b", 1200).await;
    let of_b = AdherenceDay { history_id: read.history_id, ..day(&store, "b").await };
    store_days(&store, vec![read, of_b]).await;
    assert_eq!(agents_with_stale_days(&store).await, ["a"]);

    let read = day(&store, "a").await;
    store.writer().import(import("later", &[("a", &[(1200, 1300)])], (1150, 2000))).await.expect("imports");
    store_days(&store, vec![read]).await;
    assert_eq!(agents_with_stale_days(&store).await, ["a"], "computed by another schedule");

    store_days(&store, vec![day(&store, "a").await]).await;
    let late = exception(3, 700, 5000);
    store.writer().commit(Commit { exceptions: vec![late], ..Commit::default() }).await.expect("commits");
    store_days(&store, vec![day(&store, "a").await]).await;
    assert_eq!(agents_with_stale_days(&store).await, ["a", "b"], "made when the computation began, or later");
    let later = AdherenceDay { computed_at: at(5001), ..day(&store, "a").await };
    store_days(&store, vec![later]).await;
    assert_eq!(agents_with_stale_days(&store).await, ["b"]);
}

async fn days_are_read_by_agent_and_day(place: TestDatabase) {
    let store = open_with_agents(&place).await;
    let days = (DAY.yesterday().expect("a day"), DAY.tomorrow().expect("a day"));
    let known = day(&store, "a").await;
    assert_eq!(
        store.reader().days_of_agent(&acme(), &"a".into(), days).await.expect("reads"),
        std::slice::from_ref(&known)
    );
    let packed = async |after: &str, limit| {
        let page = store.reader().packed_days(&acme(), after, days, limit).await.expect("reads");
        page.into_iter().map(|(agent, days)| (agent.to_string(), days)).collect::<Vec<_>>()
    };
    let one = vec![(DAY, known.basis.clone(), known.sums.clone())];
    assert_eq!(packed("", 9).await, [("a".to_owned(), one.clone()), ("b".to_owned(), one.clone())]);
    assert_eq!(packed("", 1).await, [("a".to_owned(), one)]);
    enter(&store, "b", 700).await;
    assert_eq!(packed("a", 9).await, [("b".to_owned(), vec![])], "what is stale is not told");
    assert_eq!(store.reader().stale_days(&acme(), at(1099), 9).await.expect("reads"), []);

    let settings: AdherenceSettings = toml::from_str("tolerance = \"3m\"").expect("settings");
    assert_eq!(store.reader().adherence_settings(&acme()).await.expect("reads"), AdherenceSettings::default());
    let basis = vec![(acme(), settings.to_stored().into())];
    let adherence = AdherenceChange { basis, ..AdherenceChange::default() };
    store.writer().commit(Commit { adherence, ..Commit::default() }).await.expect("commits");
    assert_eq!(store.reader().adherence_settings(&acme()).await.expect("reads"), settings);
}

async fn sights_are_read_with_those_around_a_span(place: TestDatabase) {
    let store = place.open().await;
    for (from, to) in [(0, 10), (20, 30), (40, 50), (60, 70), (60, 80)] {
        let sights = vec![ObservedSpanRow { tenant: acme(), starts_at: at(from), ends_at: at(to) }];
        let adherence = AdherenceChange { observed_spans: sights, ..AdherenceChange::default() };
        store.writer().commit(Commit { adherence, ..Commit::default() }).await.expect("commits");
    }
    let read = async |from, to| store.reader().observed_spans(&acme(), (at(from), at(to))).await.expect("reads");
    assert_eq!(read(25, 45).await, [(at(20), at(30)), (at(40), at(50)), (at(60), at(80))]);
    assert_eq!(read(35, 36).await, [(at(20), at(30)), (at(40), at(50))]);
    assert_eq!(read(-9, 5).await, [(at(0), at(10)), (at(20), at(30))]);
    assert_eq!(read(65, 99).await, [(at(60), at(80))]);
    assert_eq!(store.reader().last_observed_span(&acme()).await.expect("reads"), Some((at(60), at(80))));
    assert_eq!(store.reader().last_observed_span(&"other".into()).await.expect("reads"), None);
}

async fn a_gap_that_is_filled_marks_the_days_that_it_may_have_changed(place: TestDatabase) {
    let store = open_with_agents(&place).await;
    let span = |from, to| ObservedSpanRow { tenant: acme(), starts_at: at(from), ends_at: at(to) };
    let write = async |adherence| {
        store.writer().commit(Commit { adherence, ..Commit::default() }).await.expect("commits");
    };
    let observed_spans = vec![span(0, 400), span(700, 2000)];
    write(AdherenceChange { observed_spans, ..AdherenceChange::default() }).await;
    assert_eq!(agents_with_stale_days(&store).await, [""; 0]);
    write(AdherenceChange { filled_gaps: vec![span(1100, 1200)], ..AdherenceChange::default() }).await;
    assert_eq!(agents_with_stale_days(&store).await, [""; 0], "the days were settled by then");
    write(AdherenceChange { filled_gaps: vec![span(400, 700)], ..AdherenceChange::default() }).await;
    assert_eq!(agents_with_stale_days(&store).await, ["a", "b"]);
    let spans = store.reader().observed_spans(&acme(), (at(0), at(800))).await.expect("reads");
    assert_eq!(spans[..2], [(at(0), at(400)), (at(400), at(700))]);
    assert_eq!(spans[2], (at(700), at(2000)), "the last one stays as it is");
    store.close().await;
}

async fn what_an_agent_was_in_is_read_whatever_its_names_are(place: TestDatabase) {
    let store = place.open().await;
    let rows = [
        (10, AgentState::Ready, None),
        (30, AgentState::Unknown("a 12 b; 'ü'\n".into()), Some("")),
        (20, AgentState::NotReady, Some("7 8 9 10 <ß> ")),
        (40, AgentState::Unknown(" ".into()), Some("20 30 5  Ready")),
        (50, AgentState::Unknown(String::new().into()), None),
    ];
    let history = rows.iter().map(|(second, state, reason)| {
        HistoryWrite::Enter(HistoryRow { reason: reason.map(ReasonCode::new), ..row("a", *second, state.clone()) })
    });
    let commit = Commit { agents: vec![agent_write("a", 1)], history: history.collect(), ..Commit::default() };
    store.writer().commit(commit).await.expect("commits");
    let sights = vec![ObservedSpanRow { tenant: acme(), starts_at: at(0), ends_at: at(70) }];
    let adherence = AdherenceChange { observed_spans: sights, ..AdherenceChange::default() };
    store.writer().commit(Commit { adherence, ..Commit::default() }).await.expect("commits");

    let read = async |agent: &str, from, to| {
        let span = (at(from), at(to));
        let ground = store.reader().adherence_inputs(&acme(), span).await.expect("reads");
        store.reader().agent_facts(&ground, &agent.into(), None, span).await.expect("reads").intervals
    };
    let stay = |index: usize, end| {
        let (start, state, reason) = &rows[index];
        StateInterval { state: state.clone(), reason: reason.map(ReasonCode::new), start: at(*start), end: at(end) }
    };
    let all = [stay(0, 20), stay(2, 30), stay(1, 40), stay(3, 50), stay(4, 70)];
    assert_eq!(read("a", 0, 100).await, all);
    assert_eq!(read("a", 35, 45).await, all[2..4], "with what was in force when the span began");
    assert_eq!(read("a", 0, 10).await, []);
    assert_eq!(read("b", 0, 100).await, []);
}
