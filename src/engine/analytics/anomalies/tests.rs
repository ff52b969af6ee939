//! The watch on a clock that stands still, over figures that are put into the store.

use tokio::sync::mpsc;

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::domain::adherence::AdherenceSettings;
use crate::domain::agents::agent::Agent;
use crate::domain::analytics::analytics_run::{AnalyticsRun, DEFAULT_DEADLINE, RunRequest, RunResult};
use crate::domain::analytics::trend::AnomalyKind;
use crate::domain::analytics::{self, Aggregation, AggregationQuery, MetricRequest, QuerySpan, ResultRow};
use crate::domain::ids::{AgentId, SubjectId, TeamName};
use crate::domain::live::figures::{SkillFigures, TimedFigures};
use crate::domain::reports::report_run::RunStatus;
use crate::engine::operations::settings::tests::settings;
use crate::engine::platform::link::tests::TenantFixture;
use crate::platform::guide::{GuidePlatform, GuideSettings, TokenStyle};
use crate::store::{
    AdherenceChange, AdherenceDay, AgentWrite, AnalyticsRows, AnomalyFilter, FiguresWrite, PruneSlice, PruneTarget,
};

/// A Monday, midnight in UTC.
const MONDAY: UtcMicros = UtcMicros::from_micros(1_793_577_600_000_000);

const WEEK: i64 = 7 * 96;

fn quarter(place: i64) -> UtcMicros {
    MONDAY.offset(place * QUARTER_US)
}

fn day(place: i64) -> UtcMicros {
    quarter(place * 96)
}

struct AnomalyFixture {
    ground: TenantFixture,
    link: Arc<Link>,
}

impl AnomalyFixture {
    async fn at(now: UtcMicros) -> Self {
        let ground = TenantFixture::at(now).await;
        let (inbox, _) = mpsc::channel(1);
        // Nobody asks the platform anything.
        let nowhere = "http://127.0.0.1:9".parse().expect("a URL");
        let settings = GuideSettings::new(
            nowhere,
            TokenStyle::Body,
            "id",
            crate::domain::access::secret::Secret::stored_elsewhere(),
        );
        let platform = GuidePlatform::new(settings, ground.shared_clock()).expect("a client");
        let link = Arc::new(ground.link(Arc::new(platform), inbox));
        Self { ground, link }
    }

    fn clock(&self) -> &ManualClock {
        &self.ground.clock
    }

    /// A minute after the end of a quarter.
    fn settle(&self, place: i64) {
        self.clock().advance((quarter(place + 1) + SETTLING_TIME).since(self.clock().now()));
    }

    /// How many waited in some quarters, one read each.
    async fn reads(&self, values: &[(i64, u64)]) {
        let row = |(place, queued): &(i64, u64)| FiguresWrite {
            tenant: self.link.tenant.clone(),
            reading: TimedFigures {
                at: quarter(*place).offset(60_000_000),
                figures: SkillFigures { contacts_queued: Some(*queued), ..SkillFigures::idle("1".into()) },
            },
        };
        let commit = Commit { skill_figures: values.iter().map(row).collect(), ..Commit::default() };
        self.link.writer.commit(commit).await.expect("commits");
    }

    /// A run of the query `daily` is done that was asked for at an instant and brings these days, one after the other.
    async fn result(&self, number: u32, asked_at: UtcMicros, first: i64, values: &[f64]) {
        let query = AggregationQuery {
            name: "daily".into(),
            metrics: vec![MetricRequest { name: "count".to_owned(), aggregation: Aggregation::Sum }],
            dimensions: Vec::new(),
            filter: None,
            bucket: analytics::QueryBucket::Day,
            zone: jiff::tz::TimeZone::UTC,
        };
        let received = u64::try_from(values.len()).expect("few");
        let to = first + i64::try_from(received).expect("few");
        let (tenant, id) = (self.link.tenant.clone(), AnalyticsRunId(uuid::Uuid::from_u128(number.into())));
        let run = AnalyticsRun {
            id,
            tenant: tenant.clone(),
            query: Some("daily".into()),
            requested_by: "person:ann".into(),
            requested_at: asked_at,
            job: None,
            request: RunRequest::new(&query, QuerySpan { from: day(first), to: day(to) }, 500, DEFAULT_DEADLINE),
            status: RunStatus::Done,
            parts: Vec::new(),
            started_at: Some(asked_at),
            ended_at: Some(asked_at),
            result: Some(RunResult { has_rows: true, received, promised: Some(received), sha256: "ab".repeat(32) }),
            failure: None,
        };
        let row = |(number, value): (i64, &f64)| {
            ResultRow { at: day(number), dimensions: Vec::new(), metrics: vec![Some(*value)] }.to_canonical()
        };
        let rows = AnalyticsRows { tenant, run: id, first_index: 0, rows: (first..).zip(values).map(row).collect() };
        let commit = Commit { analytics_runs: vec![run], analytics_rows: vec![rows], ..Commit::default() };
        self.link.writer.commit(commit).await.expect("commits");
    }

    /// Drops the worker and keeps the store.
    async fn watch(&self) -> AnomalyDetector {
        AnomalyDetector::load(self.link.clone()).await.expect("loads")
    }

    async fn stored(&self) -> Vec<AnomalyRecord> {
        let all = AnomalyFilter { from: UtcMicros::EPOCH, to: UtcMicros::MAX, series: None, before: None };
        self.link.reader.anomalies(&self.link.tenant, &all, 100).await.expect("reads")
    }

    /// Entries and events, by their names.
    async fn told(&self) -> (Vec<String>, Vec<String>) {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let entries = reader.audit_entries(tenant, 0, 100).await.expect("reads");
        let action = |body: &str| serde_json::from_str::<serde_json::Value>(body).expect("JSON")["action"].to_string();
        let entries = entries.iter().map(|entry| action(&entry.body).trim_matches('"').to_owned()).collect();
        let events = reader.events(tenant, 0, 100).await.expect("reads");
        (entries, events.iter().map(|event| event.kind.selector().to_owned()).collect())
    }
}

fn watched(id: &str, of: &str, seasonal: bool) -> MonitoredSeries {
    let of = of.parse().expect("a series");
    MonitoredSeries {
        id: id.into(),
        source: of,
        window: 3,
        threshold_hundredths: 200,
        seasonal,
        zone: "UTC".to_owned(),
    }
}

fn watching(series: &[MonitoredSeries]) -> TenantSettings {
    TenantSettings { series: series.into(), ..settings(&[]) }
}

fn voice() -> TenantSettings {
    watching(&[watched("voice", "skill:1:contacts_queued", false)])
}

#[tokio::test]
async fn an_anomaly_is_stored_reported_and_shown_to_rules_once_also_across_restarts() {
    let place = AnomalyFixture::at(quarter(0)).await;
    place.reads(&[(0, 10), (1, 12), (2, 11), (3, 60)]).await;
    let mut watch = place.watch().await;
    place.settle(2);
    watch.check(&voice()).await.expect("looks");
    assert_eq!(place.stored().await, [], "the quarter that runs is not judged");
    place.settle(3);
    watch.check(&voice()).await.expect("looks");
    let found = place.stored().await;
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.kind, one.first_bucket_at, one.value, one.expected), (AnomalyKind::Spike, quarter(3), 60.0, 11.0));
    let once = (vec!["anomaly.detected".to_owned()], vec!["anomaly.detected".to_owned()]);
    assert_eq!(place.told().await, once);
    let shown = place.link.anomalies.borrow().clone();
    let within = Duration::from_mins(30);
    assert!(shown.find(&"voice".into(), Some(AnomalyKind::Spike), within, place.clock().now()).is_some());
    assert!(shown.is_monitored(&"voice".into()) && !shown.is_monitored(&"chat".into()));

    // Again, and after a crash: the same anomaly is found and not reported again.
    watch.check(&voice()).await.expect("looks");
    for _ in 0..2 {
        watch = place.watch().await;
        watch.check(&voice()).await.expect("looks");
    }
    assert_eq!((place.stored().await, place.told().await), (found.clone(), once));
    assert_eq!(*place.link.anomalies.borrow().recent, found[..]);

    place.reads(&[(4, 30)]).await;
    place.settle(4);
    watch.check(&voice()).await.expect("looks");
    let over = place.stored().await;
    assert_eq!((over.len(), over[0].ended_at), (1, Some(place.clock().now())));
    assert_eq!(place.told().await.1, ["anomaly.detected", "anomaly.ended"]);
    let gone = PruneSlice { tenant: Some("acme".into()), target: PruneTarget::Anomalies, before: place.clock().now() };
    assert_eq!(place.link.writer.prune(gone).await.expect("prunes"), 1);
    place.ground.store.close().await;
}

#[tokio::test]
async fn a_monday_morning_is_no_anomaly_and_a_monday_on_which_nobody_calls_is_one() {
    // Six weeks in which the ninth hour of Mondays brings a hundred times as much.
    let place = AnomalyFixture::at(quarter(6 * WEEK + 30)).await;
    let usual = |place: i64| {
        let busy = (36..40).contains(&(place % WEEK));
        (if busy { 1000 } else { 10 }) + (place * 7919 % 13).unsigned_abs()
    };
    let past: Vec<(i64, u64)> = (0..6 * WEEK + 36).map(|place| (place, usual(place))).collect();
    for some in past.chunks(500) {
        place.reads(some).await;
    }
    let seasonal = watching(&[watched("voice", "skill:1:contacts_queued", true)]);
    let mut watch = place.watch().await;
    for quarter in 6 * WEEK + 34..6 * WEEK + 37 {
        place.reads(&[(quarter, usual(quarter))]).await;
        place.settle(quarter);
        watch.check(&seasonal).await.expect("looks");
    }
    assert_eq!(place.stored().await, [], "a hundred times as much as before, as on each Monday");
    place.reads(&[(6 * WEEK + 37, 11)]).await;
    place.settle(6 * WEEK + 37);
    watch.check(&seasonal).await.expect("looks");
    let found = place.stored().await;
    assert_eq!(found.iter().map(|one| one.kind).collect::<Vec<_>>(), [AnomalyKind::Drop]);
    place.ground.store.close().await;
}

#[tokio::test]
async fn what_is_watched_no_more_or_brings_nothing_any_more_is_over() {
    let place = AnomalyFixture::at(quarter(0)).await;
    place.reads(&[(0, 10), (1, 12), (2, 11), (3, 60)]).await;
    place.settle(3);
    let chat = watched("chat", "skill:1:contacts_queued", false);
    let both = watching(&[watched("voice", "skill:1:contacts_queued", false), chat.clone()]);
    let mut watch = place.watch().await;
    watch.check(&both).await.expect("looks");
    assert_eq!(place.stored().await.len(), 2);
    watch.check(&watching(&[chat])).await.expect("looks");
    let open = |stored: Vec<AnomalyRecord>| -> Vec<String> {
        stored.iter().filter(|one| one.ended_at.is_none()).map(|one| one.series.to_string()).collect()
    };
    assert_eq!(open(place.stored().await), ["chat"]);
    // Restarted with another series under the same name.
    let other = watching(&[watched("chat", "skill:1:agents_available", false)]);
    place.watch().await.check(&other).await.expect("looks");
    assert_eq!(open(place.stored().await), Vec::<String>::new());

    let mut watch = place.watch().await;
    place.reads(&[(4, 11), (5, 12), (6, 10), (7, 400)]).await;
    place.settle(7);
    watch.check(&voice()).await.expect("looks");
    assert_eq!(open(place.stored().await), ["voice"]);
    place.settle(10);
    watch.check(&voice()).await.expect("looks");
    assert_eq!(open(place.stored().await), ["voice"], "three quarters of silence are not long enough");
    place.settle(11);
    watch.check(&voice()).await.expect("looks");
    assert_eq!(open(place.stored().await), Vec::<String>::new());
    place.ground.store.close().await;
}

#[tokio::test]
async fn a_day_of_a_team_is_judged_when_its_shifts_are_over_and_by_sums() {
    let place = AnomalyFixture::at(quarter(0)).await;
    let team = TeamName::new("Care");
    let basis = crate::domain::adherence::figures::computation_basis(&AdherenceSettings::default(), "UTC", Some(&team));
    let agent = |id: &str| AgentWrite {
        tenant: "acme".into(),
        agent: Agent { id: id.into(), name: None, team: Some(team.clone()), zone: None },
        subject: SubjectId(uuid::Uuid::from_u128(id.bytes().fold(0, |sum, byte| sum * 256 + u128::from(byte)))),
    };
    let day = |id: &str, day: i64, in_us: u64, out_us: u64| AdherenceDay {
        tenant: "acme".into(),
        agent: AgentId::new(id),
        day: quarter(day * 96).timestamp().to_zoned(jiff::tz::TimeZone::UTC).date(),
        starts_at: quarter(day * 96),
        ends_at: quarter(day * 96 + 96),
        settles_at: quarter(day * 96 + 96),
        stale: false,
        basis: basis.as_str().into(),
        schedule_version: 1,
        history_id: 1,
        computed_at: quarter(0),
        // Work, ready: in and out.
        sums: crate::domain::adherence::sums::Sums::from_stored(&format!("0,0,0,{in_us};0,2,2,{out_us};|"))
            .expect("sums"),
    };
    // One was seen nine times as long as the other, who was out all the time: the mean of their shares would be half of the first's.
    let days = [(0, 950), (1, 940), (2, 960), (3, 500)].into_iter().flat_map(|(number, per_mille)| {
        [day("u_1", number, per_mille * 9, (1000 - per_mille) * 9), day("u_2", number, 0, 1000)]
    });
    let adherence = AdherenceChange { days: days.collect(), ..AdherenceChange::default() };
    let commit = Commit { agents: vec![agent("u_1"), agent("u_2")], adherence, ..Commit::default() };
    place.link.writer.commit(commit).await.expect("commits");
    let settings = watching(&[watched("care", "adherence:team:Care", true)]);
    let mut watch = place.watch().await;
    let noon = |day: i64| quarter(day * 96 + 96 + 48);
    place.clock().advance((noon(3).offset(-1)).since(place.clock().now()));
    watch.check(&settings).await.expect("looks");
    assert_eq!(place.stored().await, [], "the last day is not judged before noon");
    place.clock().advance(Duration::from_secs(1));
    watch.check(&settings).await.expect("looks");
    let found = place.stored().await;
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.kind, one.first_bucket_at, one.value), (AnomalyKind::Drop, quarter(3 * 96), 0.45));
    assert!((one.expected - 0.855).abs() < 1e-12, "{one:?}");
    place.ground.store.close().await;
}

#[tokio::test]
async fn results_of_several_runs_before_a_kill_are_judged_after_the_restart() {
    let place = AnomalyFixture::at(day(30)).await;
    let settings = watching(&[watched("calls", "analytics:daily:count", false)]);
    let found = async || -> Vec<(AnomalyKind, UtcMicros)> {
        let mut found: Vec<_> = place.stored().await.iter().map(|one| (one.kind, one.first_bucket_at)).collect();
        found.sort_by_key(|(_, at)| *at);
        found
    };
    place.result(1, day(30), 0, &[10.0, 12.0, 11.0, 60.0, 11.0, 12.0, 11.0, 11.5]).await;
    place.watch().await.check(&settings).await.expect("looks");
    assert_eq!(found().await, [], "of the first result the newest value alone is judged");
    // Two runs, and nobody looks. The last day of the second was not over when it was asked for.
    place.result(2, day(30), 8, &[70.0, 11.0]).await;
    place.result(3, day(12).offset(1), 10, &[12.0, 11.0, 3.0]).await;
    place.watch().await.check(&settings).await.expect("looks");
    assert_eq!(found().await, [(AnomalyKind::Spike, day(8))]);
    place.result(4, day(30), 12, &[90.0]).await;
    place.watch().await.check(&settings).await.expect("looks");
    assert_eq!(found().await, [(AnomalyKind::Spike, day(8)), (AnomalyKind::Spike, day(12))]);
    // Days that were judged come anew with other values, and somebody else looks: they stay as they were judged.
    place.result(5, day(30), 8, &[70.0, 99.0, 12.0, 11.0, 90.0]).await;
    place.watch().await.check(&settings).await.expect("looks");
    assert_eq!(found().await.len(), 2);
    let other = watching(&[MonitoredSeries { window: 4, ..watched("calls", "analytics:daily:count", false) }]);
    place.watch().await.check(&other).await.expect("looks");
    assert_eq!(found().await.len(), 2, "judged otherwise, what was judged stays judged");
    place.ground.store.close().await;
}

#[test]
fn the_next_judgement_is_a_minute_after_the_next_quarter_hour() {
    let at = |second: i64| quarter(4).offset(second * 1_000_000);
    for (now, seconds) in [(0, 60), (59, 1), (60, 900), (61, 899), (900, 60)] {
        assert_eq!(time_until_next_quarter(at(now), SETTLING_TIME), Duration::from_secs(seconds), "{now}");
    }
}
