//! Figures of skills and queues: read back as they were taken, rolled up without losing or counting a read twice.

use super::{Commit, TestDatabase, acme, at, on_each_engine};
use crate::domain::analytics::series::SeriesSource;
use crate::domain::ids::TenantId;
use crate::domain::live::figures::{Figures, QueueFigures, SKILL_MEASURES, SkillFigures, Stat, TimedFigures};
use crate::store::{FigurePoint, FiguresWrite, PruneSlice, PruneTarget, SLICE_ROWS, Store};

on_each_engine!(
    the_newest_figures_are_read_back_with_their_age,
    a_day_is_rolled_up_to_quarters_whose_averages_are_those_of_the_reads,
    rolling_up_again_counts_nothing_twice,
    many_skills_are_rolled_up_in_slices,
    quarters_go_with_their_time_and_other_tenants_stay,
    a_quarter_that_is_not_whole_is_no_value_of_a_series,
);

/// The first second of a quarter of an hour.
const QUARTER: i64 = 900 * 1000;

fn skill(tenant: &str, id: &str, seconds: i64, queued: Option<u64>) -> FiguresWrite<SkillFigures> {
    let figures = SkillFigures {
        contacts_queued: queued,
        service_level_ppm: queued.map(|n| n * 1000),
        ..SkillFigures::idle(id.into())
    };
    FiguresWrite { tenant: TenantId::from(tenant), reading: TimedFigures { at: at(seconds), figures } }
}

fn queue(id: &str, seconds: i64, waiting: u64) -> FiguresWrite<QueueFigures> {
    let figures = QueueFigures {
        calls_waiting: Some(waiting),
        average_wait_time_ms: Some(waiting * 500),
        ..QueueFigures::unknown(id.into())
    };
    FiguresWrite { tenant: acme(), reading: TimedFigures { at: at(seconds), figures } }
}

async fn write_figures(
    store: &Store,
    skill_figures: Vec<FiguresWrite<SkillFigures>>,
    queue_figures: Vec<FiguresWrite<QueueFigures>>,
) {
    store.writer().commit(Commit { skill_figures, queue_figures, ..Commit::default() }).await.expect("commits");
}

/// Rolls up until nothing is left, as retention does; gives the slices it took.
async fn roll_up(store: &Store, tenant: &str, what: PruneTarget, before: i64) -> Vec<u64> {
    let mut slices = Vec::new();
    loop {
        let slice = PruneSlice { tenant: Some(tenant.into()), target: what.clone(), before: at(before) };
        match store.writer().prune(slice).await.expect("prunes") {
            0 => return slices,
            gone => slices.push(gone),
        }
    }
}

async fn series(store: &Store, tenant: &str, id: &str) -> Vec<FigurePoint<{ SKILL_MEASURES.len() }>> {
    let span = (at(0), at(QUARTER * 10));
    store.reader().skill_series(&tenant.into(), &id.into(), span, 1000).await.expect("reads")
}

fn queued_stats(point: &FigurePoint<{ SKILL_MEASURES.len() }>) -> (i64, u64, u64, Stat) {
    (point.starts_at.as_micros() / 1_000_000, point.span.as_secs(), point.polls, point.stats[0])
}

async fn the_newest_figures_are_read_back_with_their_age(place: TestDatabase) {
    let opened = place.open().await;
    let named = |mut row: FiguresWrite<SkillFigures>| {
        row.reading.figures.name = Some("Voice".into());
        row
    };
    write_figures(&opened, vec![skill("acme", "9", 10, Some(1)), named(skill("acme", "1", 5000, Some(3)))], Vec::new())
        .await;
    write_figures(
        &opened,
        vec![skill("acme", "1", 5030, None), skill("bravo", "1", 5030, Some(99))],
        vec![queue("q", 5031, 4)],
    )
    .await;
    let mut expected = Figures::default();
    expected.put_skill(
        at(5030),
        SkillFigures { name: Some("Voice".into()), ..skill("acme", "1", 0, None).reading.figures },
    );
    expected.put_queue(at(5031), queue("q", 0, 4).reading.figures);
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(
        opened.reader().latest_figures(&acme(), hour).await.expect("reads"),
        expected,
        "the hour before the newest"
    );
    let none = opened.reader().latest_figures(&"nobody".into(), hour).await.expect("reads");
    assert_eq!(none, Figures::default());
    opened.close().await;
}

async fn a_day_is_rolled_up_to_quarters_whose_averages_are_those_of_the_reads(place: TestDatabase) {
    let opened = place.open().await;
    let reads = vec![
        skill("acme", "1", QUARTER, Some(2)),
        skill("acme", "1", QUARTER + 30, None),
        skill("acme", "1", QUARTER + 899, Some(7)),
        skill("acme", "1", QUARTER + 900, Some(4)),
        skill("acme", "1", QUARTER + 1800, Some(50)),
    ];
    write_figures(&opened, reads, vec![queue("q", QUARTER, 2), queue("q", QUARTER + 60, 5)]).await;
    assert_eq!(roll_up(&opened, "acme", PruneTarget::SkillFigures, QUARTER + 1800).await, [4]);
    assert_eq!(roll_up(&opened, "acme", PruneTarget::QueueFigures, QUARTER + 1800).await, [2]);
    let points = series(&opened, "acme", "1").await;
    let expected = [
        (QUARTER, 900, 3, Stat { sum: 9, count: 2, max: Some(7) }),
        (QUARTER + 900, 900, 1, Stat { sum: 4, count: 1, max: Some(4) }),
        (QUARTER + 1800, 0, 1, Stat { sum: 50, count: 1, max: Some(50) }),
    ];
    assert_eq!(points.iter().map(queued_stats).collect::<Vec<_>>(), expected, "the last is not old enough");
    let level = points[0].stats[3];
    assert_eq!((SKILL_MEASURES[3].column, level.mean()), ("service_level_ppm", Some(4500)));
    let agents = points[0].stats[4];
    assert_eq!(agents, Stat { sum: 0, count: 3, max: Some(0) }, "zeros count as values");
    let span = (at(0), at(QUARTER * 10));
    let waits = opened.reader().queue_series(&acme(), &"q".into(), span, 10).await.expect("reads");
    assert_eq!((waits.len(), waits[0].stats[4]), (1, Stat { sum: 3500, count: 2, max: Some(2500) }));
    assert_eq!(waits[0].stats[0], Stat::default(), "what the platform never gave");
    let one = opened.reader().skill_series(&acme(), &"1".into(), (at(QUARTER), at(QUARTER + 900)), 10).await;
    assert_eq!(one.expect("reads").len(), 1, "a span takes the quarters that begin in it");
    opened.close().await;
}

async fn rolling_up_again_counts_nothing_twice(place: TestDatabase) {
    let opened = place.open().await;
    write_figures(
        &opened,
        vec![skill("acme", "1", QUARTER, Some(2)), skill("acme", "1", QUARTER + 30, Some(4))],
        Vec::new(),
    )
    .await;
    // In the middle of a quarter, and a read that comes late, as after a clock that was set.
    assert_eq!(roll_up(&opened, "acme", PruneTarget::SkillFigures, QUARTER + 30).await, [1]);
    assert_eq!(roll_up(&opened, "acme", PruneTarget::SkillFigures, QUARTER + 30).await, [0_u64; 0]);
    write_figures(&opened, vec![skill("acme", "1", QUARTER + 10, None)], Vec::new()).await;
    assert_eq!(roll_up(&opened, "acme", PruneTarget::SkillFigures, QUARTER + 900).await, [2]);
    let points = series(&opened, "acme", "1").await;
    let whole = (QUARTER, 900, 3, Stat { sum: 6, count: 2, max: Some(4) });
    assert_eq!(points.iter().map(queued_stats).collect::<Vec<_>>(), [whole]);
    opened.close().await;
}

async fn many_skills_are_rolled_up_in_slices(place: TestDatabase) {
    let opened = place.open().await;
    for read in 0..3 {
        let reads = (0..400).map(|id| skill("acme", &id.to_string(), QUARTER + read * 30, Some(1))).collect();
        write_figures(&opened, reads, Vec::new()).await;
    }
    let slices = roll_up(&opened, "acme", PruneTarget::SkillFigures, QUARTER + 900).await;
    // The reads of one instant go together: a slice is 500 rows and the rest of its last instant.
    assert_eq!((slices.as_slice(), SLICE_ROWS), (&[800, 400][..], 500));
    for id in ["0", "399"] {
        let points = series(&opened, "acme", id).await;
        assert_eq!(
            points.iter().map(queued_stats).collect::<Vec<_>>(),
            [(QUARTER, 900, 3, Stat { sum: 3, count: 3, max: Some(1) })]
        );
    }
    opened.close().await;
}

async fn quarters_go_with_their_time_and_other_tenants_stay(place: TestDatabase) {
    let opened = place.open().await;
    let reads = ["acme", "bravo"]
        .map(|tenant| [skill(tenant, "1", QUARTER, Some(2)), skill(tenant, "1", QUARTER + 900, Some(2))]);
    write_figures(&opened, reads.concat(), Vec::new()).await;
    assert_eq!(roll_up(&opened, "acme", PruneTarget::SkillFigures, QUARTER * 2).await, [2]);
    assert_eq!(
        series(&opened, "bravo", "1").await.iter().map(|point| point.span.as_secs()).collect::<Vec<_>>(),
        [0, 0]
    );
    assert_eq!(roll_up(&opened, "bravo", PruneTarget::SkillFigures, QUARTER * 2).await, [2]);
    assert_eq!(roll_up(&opened, "acme", PruneTarget::SkillQuarters, QUARTER + 900).await, [1]);
    assert_eq!(series(&opened, "acme", "1").await.len(), 1);
    assert_eq!(series(&opened, "bravo", "1").await.len(), 2);
    opened.close().await;
}

async fn a_quarter_that_is_not_whole_is_no_value_of_a_series(place: TestDatabase) {
    let opened = place.open().await;
    let reads = [(0, 9), (300, 1), (600, 3), (900, 4), (1800, 50), (1830, 60)];
    let skills = reads.map(|(after, queued)| skill("acme", "1", QUARTER + after, Some(queued)));
    let queues = reads.map(|(after, waiting)| queue("q", QUARTER + after, waiting));
    write_figures(&opened, skills.into(), queues.into()).await;
    for of in ["skill:1:contacts_queued", "queue:q:calls_waiting"] {
        let source = of.parse::<SeriesSource>().expect("a series");
        let values = async |from: i64, to: i64| {
            let span = (at(QUARTER + from), at(QUARTER + to));
            let read =
                opened.reader().series_values(&acme(), &source, span, &jiff::tz::TimeZone::UTC).await.expect("reads");
            read.samples.iter().map(|sample| sample.value).collect::<Vec<_>>()
        };
        assert_eq!(values(-10, 2700).await, [Some(13.0 / 3.0), Some(4.0), Some(55.0)], "{of}");
        assert_eq!(values(0, 1831).await, [Some(13.0 / 3.0), Some(4.0)], "{of}: the last one goes on");
        assert_eq!(values(1, 2699).await, [Some(4.0)], "{of}: nor the first");
        assert_eq!(values(1801, 1831).await, [None; 0], "{of}");
    }
    opened.close().await;
}
