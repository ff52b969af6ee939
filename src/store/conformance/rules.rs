//! Rules of the store, what rules found, exceptions, and the history that trials are fed with.

use super::{Commit, HistoryWrite, TestDatabase, acme, agent_write, at, on_each_engine, row, transition};
use crate::domain::adherence::exception::{EarlyEnd, Exception, ExceptionScope};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::transition::TransitionStatus;
use crate::domain::ids::{ExceptionId, FindingId, TenantId};
use crate::domain::rules::rule::catalog::StoredRuleVersion;
use crate::domain::time::UtcMicros;
use crate::store::{
    CommitError, ExceptionFilter, FindingFilter, FindingKind, PruneSlice, PruneTarget, RuleFinding, Store,
    StoredFinding,
};

on_each_engine!(
    every_version_of_a_rule_is_kept_and_one_is_written_once,
    findings_are_listed_newest_first_and_counted_by_rule,
    what_rules_asked_for_is_counted_over_a_span,
    an_exception_is_read_as_it_was_written_and_found_by_its_span,
    exceptions_are_listed_by_agent_team_and_page,
    findings_and_exceptions_go_with_the_history,
    history_is_read_by_the_span_in_which_it_was_entered,
);

fn edition(rule: &str, version: u64) -> StoredRuleVersion {
    StoredRuleVersion {
        rule: rule.into(),
        version,
        text: format!("[[rules]]\nid = \"{rule}\"\n# {version}\n").into(),
        enabled: version % 2 == 1,
        order: (version > 1).then_some(-3),
        removed: version == 3,
        changed_at: at(i64::try_from(version).expect("small")),
        changed_by: "ann".into(),
        comment: (version == 2).then(|| "quieter".into()),
    }
}

fn commit_of(editions: Vec<StoredRuleVersion>) -> Commit {
    Commit { editions: editions.into_iter().map(|edition| (acme(), edition)).collect(), ..Commit::default() }
}

async fn commit(store: &Store, commit: Commit) {
    store.writer().commit(commit).await.expect("commits");
}

async fn every_version_of_a_rule_is_kept_and_one_is_written_once(place: TestDatabase) {
    let store = place.open().await;
    commit(&store, commit_of(vec![edition("a", 1), edition("a", 2), edition("b", 1)])).await;
    let newest = store.reader().rule_editions(&acme()).await.expect("reads");
    assert_eq!(newest, [edition("a", 2), edition("b", 1)]);
    let again = store.writer().commit(commit_of(vec![edition("a", 2)])).await.expect_err("somebody was faster");
    assert!(matches!(again, CommitError::Refused(_)), "{again:?}");
    commit(&store, commit_of(vec![edition("a", 3)])).await;
    let all = store.reader().rule_editions_of(&acme(), &"a".into(), 10).await.expect("reads");
    assert_eq!(all, [edition("a", 3), edition("a", 2), edition("a", 1)]);
    assert_eq!(store.reader().rule_editions_of(&acme(), &"a".into(), 1).await.expect("reads").len(), 1);
    let other = TenantId::from("bravo");
    assert_eq!(store.reader().rule_editions(&other).await.expect("reads"), []);
    store.close().await;
}

/// A version 7 id of an instant.
fn id_at(seconds: u64, n: u8) -> uuid::Uuid {
    uuid::Builder::from_unix_timestamp_millis(seconds * 1000, &[n; 10]).into_uuid()
}

fn finding(seconds: u64, n: u8, rule: &str, agent: &str, kind: FindingKind) -> RuleFinding {
    RuleFinding {
        tenant: acme(),
        id: FindingId(id_at(seconds, n)),
        at: at(i64::try_from(seconds).expect("small")),
        rule: rule.into(),
        rule_version: "1f0c".into(),
        kind,
        agent: agent.into(),
        guard: (kind == FindingKind::Held).then(|| "flapping".into()),
        intended_action: "set Ready".to_owned(),
        facts: "planned work".to_owned(),
    }
}

async fn findings_are_listed_newest_first_and_counted_by_rule(place: TestDatabase) {
    use FindingKind::{Held, WouldHaveChanged};
    let store = place.open().await;
    let findings = vec![
        finding(10, 1, "a", "u_1", WouldHaveChanged),
        finding(11, 2, "a", "u_2", WouldHaveChanged),
        finding(12, 3, "a", "u_1", WouldHaveChanged),
        finding(13, 4, "b", "u_1", Held),
    ];
    commit(&store, Commit { agents: vec![agent_write("u_1", 1)], findings, ..Commit::default() }).await;
    let all =
        FindingFilter { from: UtcMicros::EPOCH, to: UtcMicros::MAX, rule: None, agent: None, kind: None, before: None };
    let list = |filter: FindingFilter, limit| {
        let reader = store.reader().clone();
        async move { reader.rule_findings(&acme(), &filter, limit).await.expect("reads") }
    };
    let seconds =
        |rows: &[StoredFinding]| rows.iter().map(|row| row.finding.at.as_micros() / 1_000_000).collect::<Vec<_>>();
    let page = list(all.clone(), 3).await;
    assert_eq!(seconds(&page), [13, 12, 11]);
    assert_eq!((page[0].name.as_deref(), page[2].name.as_deref()), (Some("Ida"), None), "who it is now");
    assert_eq!(page[0].finding, finding(13, 4, "b", "u_1", Held));
    let before = page.last().map(|row| row.finding.id);
    assert_eq!(seconds(&list(FindingFilter { before, ..all.clone() }, 3).await), [10]);
    for (filter, expected) in [
        (FindingFilter { rule: Some("a".into()), ..all.clone() }, vec![12, 11, 10]),
        (FindingFilter { rule: Some("a".into()), agent: Some("u_1".into()), ..all.clone() }, vec![12, 10]),
        (FindingFilter { agent: Some("u_1".into()), ..all.clone() }, vec![13, 12, 10]),
        (FindingFilter { kind: Some(Held), ..all.clone() }, vec![13]),
        (FindingFilter { from: at(11), to: at(13), ..all.clone() }, vec![12, 11]),
    ] {
        assert_eq!(seconds(&list(filter.clone(), 10).await), expected, "{filter:?}");
    }
    let counts = store.reader().rule_finding_counts(&acme(), (at(0), at(13))).await.expect("reads");
    let counts: Vec<_> =
        counts.iter().map(|count| (count.rule.as_str(), count.kind, count.count, count.agents)).collect();
    assert_eq!(counts, [("a", WouldHaveChanged, 3, 2)]);
    let counts = store.reader().rule_finding_counts(&acme(), (at(13), at(14))).await.expect("reads");
    assert_eq!((counts.len(), counts[0].guard.as_deref()), (1, Some("flapping")));
    store.close().await;
}

async fn what_rules_asked_for_is_counted_over_a_span(place: TestDatabase) {
    let store = place.open().await;
    let requested_transition = |n: u128, status, seconds| {
        let mut one = transition(n, "u_1", status);
        one.requested_at = at(seconds);
        one
    };
    let transitions = vec![
        requested_transition(1, TransitionStatus::Confirmed { at: at(11) }, 10),
        requested_transition(2, TransitionStatus::Expired { waiting_for: None }, 12),
        requested_transition(3, TransitionStatus::Requested, 13),
        requested_transition(4, TransitionStatus::Requested, 20),
    ];
    commit(&store, Commit { transitions, ..Commit::default() }).await;
    let counts = store.reader().transition_counts_by_rule(&acme(), (at(10), at(20))).await.expect("reads");
    let by_status: Vec<_> = counts["back-from-break"].iter().map(|(status, count)| (*status, *count)).collect();
    assert_eq!(by_status, [("confirmed", 1), ("expired", 1), ("requested", 1)]);
    let changed = |rule: Option<&'static str>, limit| {
        let reader = store.reader().clone();
        async move {
            let rule = rule.map(Into::into);
            reader.changed_by_rules(&acme(), (at(10), at(20)), rule.as_ref(), limit).await.expect("reads")
        }
    };
    let expected = [10, 12, 13].map(|seconds| ("u_1".into(), at(seconds)));
    assert_eq!(changed(None, 10).await, expected);
    assert_eq!(changed(Some("back-from-break"), 2).await, expected[..2]);
    assert_eq!(changed(Some("another"), 10).await, []);
    store.close().await;
}

fn exception(n: u8, whom: ExceptionScope, from: i64, to: i64) -> Exception {
    Exception {
        id: ExceptionId(id_at(u64::from(n), n)),
        tenant: acme(),
        scope: whom,
        from: at(from),
        to: at(to),
        reason: "a course".into(),
        created_by: "ann".into(),
        created_at: at(i64::from(n)),
        early_end: None,
    }
}

fn sample_exceptions() -> Vec<Exception> {
    vec![
        exception(1, ExceptionScope::Agents(vec!["u_1".into(), "u_2".into()]), 10, 20),
        exception(2, ExceptionScope::Team("blue".into()), 15, 30),
        exception(3, ExceptionScope::Everyone, 40, 50),
    ]
}

async fn an_exception_is_read_as_it_was_written_and_found_by_its_span(place: TestDatabase) {
    let store = place.open().await;
    commit(
        &store,
        Commit { agents: vec![agent_write("u_1", 1)], exceptions: sample_exceptions(), ..Commit::default() },
    )
    .await;
    let reader = store.reader();
    for one in sample_exceptions() {
        assert_eq!(reader.exception(&acme(), one.id).await.expect("reads"), Some(one));
    }
    for (span, expected) in [((0, 11), vec![1]), ((20, 30), vec![2]), ((15, 41), vec![1, 2, 3]), ((30, 40), vec![])] {
        let found = reader.exceptions_touching(&acme(), (at(span.0), at(span.1))).await.expect("reads");
        let numbers: Vec<i64> = found.iter().map(|one| one.created_at.as_micros() / 1_000_000).collect();
        assert_eq!(numbers, expected, "{span:?}");
    }
    let touching = reader.exceptions_touching(&acme(), (at(0), at(11))).await.expect("reads");
    assert_eq!(touching, sample_exceptions()[..1], "with its agents");
    let why = Some("cancelled".into());
    let ended = Exception {
        to: at(17),
        early_end: Some(EarlyEnd { at: at(17), by: "bob".into(), reason: why }),
        ..sample_exceptions()[1].clone()
    };
    commit(&store, Commit { exceptions: vec![ended.clone()], ..Commit::default() }).await;
    assert_eq!(reader.exception(&acme(), ended.id).await.expect("reads"), Some(ended));
    let named = reader.exception_agents(&acme(), sample_exceptions()[0].id).await.expect("reads");
    let named: Vec<_> = named.iter().map(|agent| (agent.id.as_str(), agent.name.as_deref())).collect();
    assert_eq!(named, [("u_1", Some("Ida")), ("u_2", None)]);
    let team = reader.team_of(&acme(), &"u_1".into()).await.expect("reads");
    assert_eq!((team, reader.team_of(&acme(), &"u_9".into()).await.expect("reads")), (Some("blue".into()), None));
    assert_eq!(
        reader.exception(&"bravo".into(), sample_exceptions()[0].id).await.expect("reads"),
        None,
        "another tenant's"
    );
    store.close().await;
}

async fn exceptions_are_listed_by_agent_team_and_page(place: TestDatabase) {
    let store = place.open().await;
    commit(&store, Commit { exceptions: sample_exceptions(), ..Commit::default() }).await;
    let all = ExceptionFilter { from: UtcMicros::EPOCH, to: UtcMicros::MAX, agent: None, before: None };
    let list = |filter: ExceptionFilter, limit| {
        let reader = store.reader().clone();
        async move {
            let page = reader.exceptions(&acme(), &filter, limit).await.expect("reads");
            page.iter().map(|one| one.created_at.as_micros() / 1_000_000).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(all.clone(), 2).await, [3, 2]);
    let before = Some(sample_exceptions()[1].id);
    assert_eq!(list(ExceptionFilter { before, ..all.clone() }, 2).await, [1]);
    for (agent, team, expected) in
        [("u_1", None, vec![3, 1]), ("u_9", Some("blue"), vec![3, 2]), ("u_9", None, vec![3])]
    {
        let about = Some((agent.into(), team.map(Into::into)));
        assert_eq!(list(ExceptionFilter { agent: about, ..all.clone() }, 10).await, expected, "{agent} {team:?}");
    }
    assert_eq!(list(ExceptionFilter { from: at(25), to: at(40), ..all }, 10).await, [2]);
    store.close().await;
}

async fn findings_and_exceptions_go_with_the_history(place: TestDatabase) {
    let store = place.open().await;
    let findings = vec![
        finding(10, 1, "a", "u_1", FindingKind::WouldHaveChanged),
        finding(20, 2, "a", "u_1", FindingKind::WouldHaveChanged),
    ];
    commit(&store, Commit { findings, exceptions: sample_exceptions(), ..Commit::default() }).await;
    let prune = |what, seconds| {
        let writer = store.writer().clone();
        async move {
            writer.prune(PruneSlice { tenant: Some(acme()), target: what, before: at(seconds) }).await.expect("prunes")
        }
    };
    assert_eq!(prune(PruneTarget::RuleFindings, 10).await, 0);
    assert_eq!(prune(PruneTarget::RuleFindings, 15).await, 1);
    assert_eq!(prune(PruneTarget::Exceptions, 20).await, 0, "it ended at 20, not before");
    assert_eq!(prune(PruneTarget::Exceptions, 21).await, 1);
    let left = store.reader().exceptions_touching(&acme(), (at(0), at(100))).await.expect("reads");
    assert_eq!(left, sample_exceptions()[1..]);
    assert_eq!(store.reader().exception_agents(&acme(), sample_exceptions()[0].id).await.expect("reads"), []);
    store.close().await;
}

async fn history_is_read_by_the_span_in_which_it_was_entered(place: TestDatabase) {
    let store = place.open().await;
    let enter = |agent, seconds, state| HistoryWrite::Enter(row(agent, seconds, state));
    let history = vec![
        enter("u_1", 10, AgentState::Ready),
        enter("u_2", 12, AgentState::Ready),
        enter("u_1", 20, AgentState::Paused),
        enter("u_2", 30, AgentState::Paused),
        enter("u_3", 40, AgentState::Ready),
    ];
    commit(&store, Commit { history, ..Commit::default() }).await;
    let short = |rows: Vec<crate::store::StoredHistory>| {
        rows.into_iter().map(|row| (row.row.agent.to_string(), row.row.entered_at)).collect::<Vec<_>>()
    };
    let entered = store.reader().entered_in(&acme(), (at(12), at(30))).await.expect("reads");
    assert_eq!(short(entered), [("u_2".to_owned(), at(12)), ("u_1".to_owned(), at(20))]);
    let before = store.reader().states_before(&acme(), at(30)).await.expect("reads");
    assert_eq!(short(before), [("u_1".to_owned(), at(20)), ("u_2".to_owned(), at(12))]);
    assert_eq!(store.reader().states_before(&"bravo".into(), at(30)).await.expect("reads"), []);
    store.close().await;
}
