//! Answers of the platform to each kind of call, whole with head and body.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::analytics::{
    Aggregation, AggregationQuery, EqualsFilter, MetricRequest, QueryBucket, QuerySpan, ResultRow,
};
use shiftkeeper::domain::ids::{AgentId, PlatformQueryId, QueueId, ReasonCode, SkillId, SubscriptionId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::platform::guide::{GuidePlatform, TokenStyle};
use shiftkeeper::platform::snapshot::MAX_DIAGNOSTICS;
use shiftkeeper::platform::{CallError, Detail, PageRequest, Platform as _, QueryState, SubscriptionRequest};

use super::wire::{Wire, assert_tells_no_secret, good_token, guide, run};

/// The most rows of a page.
const PAGE_ROWS: u32 = 50;

/// The first byte chooses the call, the rest is its answer.
///
/// What is read keeps to what was asked; an error shows neither the token nor the client's secret.
pub fn read(bytes: &[u8]) {
    let Some((choice, answer)) = bytes.split_first() else { return };
    let answer = answer.to_vec();
    let wire = Wire::new(move |head| if head.starts_with("POST /token ") { good_token() } else { answer.clone() });
    let guide = guide(&wire, TokenStyle::Body);
    let error = run(async {
        match choice % 9 {
            0 => set_state(&guide).await,
            1 => guide.is_scheduled(&AgentId::new("u_1")).await.err(),
            2 => guide.break_required(&AgentId::new("u_1")).await.err(),
            3 => subscribe(&guide).await,
            4 => guide.snapshot(&SubscriptionId::new("sub_1")).await.err(),
            5 => skill_figures(&guide).await,
            6 => queue_figures(&guide).await,
            7 => queues_and_submit(&guide).await,
            _ => page(&guide).await,
        }
    });
    if let Some(error) = error {
        assert_tells_no_secret(&(error.to_string(), error));
    }
}

async fn set_state(guide: &GuidePlatform) -> Option<CallError> {
    guide.set_state(&AgentId::new("u_1"), &AgentState::Ready, &ReasonCode::new("shift")).await.err()
}

async fn subscribe(guide: &GuidePlatform) -> Option<CallError> {
    let agents = [AgentId::new("u_1"), AgentId::new("u_2")];
    let interval = Duration::from_secs(30);
    let wanted = SubscriptionRequest { name: "slice", interval, agents: &agents, detail: Detail::Full };
    match guide.subscribe(wanted).await {
        Ok(answer) => {
            let made = answer.value;
            assert!(made.interval >= interval && made.interval <= Duration::from_secs(3600), "{made:?}");
            assert!(!made.id.as_str().is_empty(), "{made:?}");
            None
        }
        Err(error) => Some(error),
    }
}

async fn skill_figures(guide: &GuidePlatform) -> Option<CallError> {
    let asked = [SkillId::new("1001"), SkillId::new("1002")];
    match guide.skill_figures(&asked).await {
        Ok(answer) => {
            let told: BTreeSet<_> = answer.value.figures.iter().map(|figures| figures.id.clone()).collect();
            assert_eq!(told.len(), answer.value.figures.len(), "a skill twice");
            assert!(told.iter().all(|skill| asked.contains(skill)), "a skill that was not asked about: {told:?}");
            assert!(answer.value.diagnostics.len() <= MAX_DIAGNOSTICS);
            None
        }
        Err(error) => Some(error),
    }
}

async fn queue_figures(guide: &GuidePlatform) -> Option<CallError> {
    let asked = [QueueId::new("q_1"), QueueId::new("q_2")];
    match guide.queue_figures(&asked).await {
        Ok(answer) => {
            let told: BTreeSet<_> = answer.value.figures.iter().map(|figures| figures.id.clone()).collect();
            assert_eq!(told.len(), answer.value.figures.len(), "a queue twice");
            assert!(told.iter().all(|queue| asked.contains(queue)), "a queue that was not asked about: {told:?}");
            assert!(answer.value.diagnostics.len() <= MAX_DIAGNOSTICS);
            None
        }
        Err(error) => Some(error),
    }
}

async fn queues_and_submit(guide: &GuidePlatform) -> Option<CallError> {
    if let Ok(answer) = guide.queues().await {
        assert!(answer.value.iter().all(|queue| !queue.id.as_str().is_empty()), "{:?}", answer.value);
    }
    match guide.submit_query(&query(), january(), PAGE_ROWS).await {
        Ok(answer) => {
            assert!(!answer.value.as_str().is_empty());
            None
        }
        Err(error) => Some(error),
    }
}

async fn page(guide: &GuidePlatform) -> Option<CallError> {
    let (query, id) = (query(), PlatformQueryId::new("qry_1"));
    match guide.query_page(PageRequest { query: &query, id: &id, offset: 0, limit: PAGE_ROWS }).await {
        Ok(answer) => {
            if let QueryState::Page(page) = answer.value {
                for row in &page.rows {
                    assert_eq!((row.dimensions.len(), row.metrics.len()), (1, 2), "{row:?}");
                    let again = ResultRow::from_canonical(&row.to_canonical());
                    assert_eq!(again.as_ref(), Some(row), "a row is not what its canonical text says");
                }
            }
            None
        }
        Err(error) => Some(error),
    }
}

fn query() -> AggregationQuery {
    let metric = |name: &str, aggregation| MetricRequest { name: name.to_owned(), aggregation };
    AggregationQuery {
        name: "daily".into(),
        metrics: vec![metric("duration", Aggregation::Avg), metric("count", Aggregation::Sum)],
        dimensions: vec!["group.id".to_owned()],
        filter: Some(EqualsFilter { field: "group.id".to_owned(), value: "grp_001".to_owned() }),
        bucket: QueryBucket::Day,
        zone: TimeZone::UTC,
    }
}

fn january() -> QuerySpan {
    let at = |text: &str| text.parse::<UtcMicros>().expect("an instant");
    QuerySpan { from: at("2024-01-01T00:00:00Z"), to: at("2024-02-01T00:00:00Z") }
}
