//! Figures as they are asked for and read.

use super::*;
use crate::domain::ids::{QueueId, SkillId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::platform::snapshot::SnapshotFault;

fn skills(ids: &[&str]) -> Vec<SkillId> {
    ids.iter().copied().map(SkillId::new).collect()
}

fn queues(ids: &[&str]) -> Vec<QueueId> {
    ids.iter().copied().map(QueueId::new).collect()
}

/// What comes of a read of these skills that is answered with this.
async fn skills_read(ids: &[&str], body: &str) -> Result<FiguresRead<SkillFigures>, Failure> {
    let body = body.to_owned();
    let server = start_server(move |_| plain(200, &[], &body)).await;
    let answer = platform(&server.url).skill_figures(&skills(ids)).await;
    answer.map(|answer| answer.value).map_err(|error| error.failure)
}

async fn queues_read(ids: &[&str], body: &str) -> Result<FiguresRead<QueueFigures>, Failure> {
    let body = body.to_owned();
    let server = start_server(move |_| plain(200, &[], &body)).await;
    let answer = platform(&server.url).queue_figures(&queues(ids)).await;
    answer.map(|answer| answer.value).map_err(|error| error.failure)
}

/// As guide 000 shows it.
const SKILL: &str = r#"{"skillId":1234,"skillName":"Tier 1 Voice","contactsQueued":12,"contactsActive":8,
    "longestQueueDuration":245,"serviceLevel":0.82,"agentsAvailable":15,"agentsStaffed":20,"agentsOnContact":8,
    "agentsInACW":2,"currentEstimatedWaitTime":120}"#;

fn tier_1_voice() -> SkillFigures {
    SkillFigures {
        id: "1234".into(),
        name: Some("Tier 1 Voice".into()),
        contacts_queued: Some(12),
        contacts_active: Some(8),
        longest_queue_duration_s: Some(245),
        service_level_ppm: Some(820_000),
        agents_available: Some(15),
        agents_staffed: Some(20),
        agents_on_contact: Some(8),
        agents_in_acw: Some(2),
        estimated_wait_time_s: Some(120),
    }
}

#[tokio::test]
async fn skill_figures_are_asked_for_at_their_own_path_on_the_tokens_base() {
    let base = Server::start(Duration::ZERO, |_: &ReceivedRequest| format!(r#"{{"skillData":[{SKILL}]}}"#)).await;
    let address = base.url.join("/eu1/").expect("a URL").to_string();
    let server = Server::start(Duration::ZERO, move |_: &ReceivedRequest| {
        test_servers::json(200, &json!({ "access_token": TOKEN, "resource_server_base_uri": address }))
    })
    .await;
    let mut settings = settings(&server.url);
    settings.token_style = TokenStyle::Legacy;
    settings.skill_figures_path = "/InContact API/services/v19.0/real-time-data/skill-data".to_owned();
    let platform = GuidePlatform::new(settings, clock()).expect("a platform");
    let answer = platform.skill_figures(&skills(&["1234", "a b&c"])).await.expect("read");
    let seen = base.received_requests().pop().expect("a request");
    assert_eq!(seen.method, "GET");
    assert_eq!(seen.path, "/eu1/InContact%20API/services/v19.0/real-time-data/skill-data");
    assert_eq!(seen.query, "skillId=1234,a%20b%26c");
    assert_eq!(answer.value.figures, [tier_1_voice(), SkillFigures::idle("a b&c".into())]);
    assert_eq!(answer.received_at, "2026-10-26T12:00:00Z".parse().expect("valid"));
}

#[tokio::test]
async fn a_skill_that_is_left_out_is_idle_unless_a_row_says_not_whose_it_is() {
    let read = skills_read(&["1", "2"], r#"{"skillData":[]}"#).await.expect("read");
    assert_eq!(read.figures, [SkillFigures::idle("1".into()), SkillFigures::idle("2".into())]);
    for row in [r#"{"skillId":null,"contactsQueued":9}"#, "null", "7", r#"{"contactsQueued":9}"#, r#"{"skillId":""}"#] {
        let read = skills_read(&["1", "1234"], &format!(r#"{{"skillData":[{row},{SKILL}]}}"#)).await.expect("read");
        assert_eq!(read.figures, [tier_1_voice()], "{row}: nobody knows of skill 1");
        assert_eq!(read.diagnostics.len(), 1);
        assert_eq!((read.diagnostics[0].row, &read.diagnostics[0].fault), (0, &SnapshotFault::Unreadable));
    }
}

#[tokio::test]
async fn wrong_values_are_complained_about_and_are_no_figures() {
    let body = r#"{"skillData":[
        {"skillId":"1","contactsQueued":-3,"contactsActive":"8","longestQueueDuration":null,"serviceLevel":82,"agentsStaffed":4},
        {"skillId":9,"contactsQueued":1},
        {"skillId":1,"skillName":7,"contactsQueued":5,"agentsAvailable":[1],"serviceLevel":1.0}]}"#;
    let read = skills_read(&["1"], body).await.expect("read");
    let expected = SkillFigures {
        contacts_queued: Some(5),
        service_level_ppm: Some(1_000_000),
        ..SkillFigures::unknown("1".into())
    };
    assert_eq!(read.figures, [expected], "the last row of a skill counts");
    let said: Vec<_> = read.diagnostics.iter().map(|c| (c.row, c.subject.as_deref(), c.fault.clone())).collect();
    let expected = [
        (0, Some("1"), SnapshotFault::BadField("contactsQueued")),
        (0, Some("1"), SnapshotFault::BadField("contactsActive")),
        (0, Some("1"), SnapshotFault::BadField("serviceLevel")),
        (1, Some("9"), SnapshotFault::UnknownAgent),
        (2, Some("1"), SnapshotFault::Duplicate),
        (2, Some("1"), SnapshotFault::BadField("agentsAvailable")),
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn an_answer_that_is_no_list_of_rows_is_nonsense_and_never_zero() {
    let truncated = &format!(r#"{{"skillData":[{SKILL}]}}"#)[..100];
    let bodies =
        ["", "<html>sorry</html>", "[]", "{}", r#"{"skillData":null}"#, r#"{"skillData":{}}"#, "null", truncated];
    for body in bodies {
        assert!(matches!(skills_read(&["1234"], body).await, Err(Failure::Malformed { .. })), "{body}");
        let body = body.replace("skillData", "queues");
        assert!(matches!(queues_read(&["q"], &body).await, Err(Failure::Malformed { .. })), "{body}");
    }
    let many = format!(r#"{{"skillData":[{}{SKILL}]}}"#, r#"{"skillId":0},"#.repeat(1000));
    let read = skills_read(&["1234"], &many).await.expect("read");
    assert_eq!((read.diagnostics.len(), read.more_diagnostics), (20, 980));
}

#[tokio::test]
async fn queue_figures_are_asked_for_in_one_request_and_percent_become_a_share() {
    let row = |level: &str| {
        format!(
            r#"{{"queueId":"q_1","name":"Sales","agentsLoggedOn":9,"agentsAvailable":2,"agentsBusy":7,"callsWaiting":3,
                "averageWaitTime":15250,"serviceLevel":{level}}}"#
        )
    };
    let body = format!(r#"{{"queues":[{}]}}"#, row("82.5"));
    let server = start_server(move |_| plain(200, &[], &body)).await;
    let answer = platform(&server.url).queue_figures(&queues(&["q_1", "q_2"])).await.expect("read");
    let seen = server.received_requests().pop().expect("a request");
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v2/reporting/queues/realtime"));
    assert_eq!(seen.body, r#"{"queueIds":["q_1","q_2"]}"#);
    let sales = QueueFigures {
        id: "q_1".into(),
        name: Some("Sales".into()),
        agents_logged_on: Some(9),
        agents_available: Some(2),
        agents_busy: Some(7),
        calls_waiting: Some(3),
        average_wait_time_ms: Some(15_250),
        service_level_ppm: Some(825_000),
    };
    assert_eq!(answer.value.figures, [sales], "a queue that is left out is not known to be empty");

    let body = format!(r#"{{"queues":[{}]}}"#, row("0.825"));
    let server = start_server(move |_| plain(200, &[], &body)).await;
    let settings = GuideSettings { queue_service_level: ShareUnit::Fraction, ..settings(&server.url) };
    let platform = GuidePlatform::new(settings, clock()).expect("a platform");
    let answer = platform.queue_figures(&queues(&["q_1"])).await.expect("read");
    assert_eq!(answer.value.figures[0].service_level_ppm, Some(825_000));
}

#[tokio::test]
async fn a_name_that_is_no_unicode_or_too_long_is_mended_and_cut_and_an_id_that_is_too_long_is_none() {
    let long = "é".repeat(1000);
    let body = format!(
        r#"{{"skillData":[{{"skillId":"{long}"}},{{"skillId":1,"skillName":"A\ud800"}},{{"skillId":2,"skillName":"{long}"}}]}}"#
    );
    let read = skills_read(&["1", "2", "3"], &body).await.expect("read");
    let names: Vec<_> = read.figures.iter().map(|row| row.name.as_deref()).collect();
    let cut = format!("{}…", "é".repeat(255));
    assert_eq!(names, [Some("A\u{fffd}"), Some(&*cut)], "3 may be the one whose id cannot be read");
    assert_eq!(read.diagnostics.len(), 1);
    assert_eq!(read.diagnostics[0].fault, SnapshotFault::Unreadable);
}

#[tokio::test]
async fn queues_are_listed_with_their_names() {
    let body = r#"{"queues":[{"queueId":"q_1","name":"Sales"},{"id":7,"name":null},{"name":"nobody"},null]}"#;
    let server = start_server(move |_| plain(200, &[], body)).await;
    let listed = platform(&server.url).queues().await.expect("a list").value;
    assert_eq!(server.paths(), ["/oauth2/token", "/api/v2/queues"]);
    let expected = [("q_1", Some("Sales")), ("7", None)];
    let listed: Vec<_> = listed.iter().map(|queue| (queue.id.as_str(), queue.name.as_deref())).collect();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn a_refusal_names_the_scope_that_queues_need() {
    let server = start_server(|_| plain(403, &[], "")).await;
    let platform = platform(&server.url);
    let refused = platform.queue_figures(&queues(&["q"])).await.expect_err("403").failure;
    assert_eq!(refused, Failure::Forbidden { scope: Some("reporting:queue:view") });
    let refused = platform.skill_figures(&skills(&["1"])).await.expect_err("403");
    assert_eq!(refused.failure, Failure::Forbidden { scope: None });
    assert_eq!(refused.site.path, "/InContactAPI/services/v18.0/real-time-data/skill-data");
}
