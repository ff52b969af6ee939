//! Jobs and retention: what is there by itself, what a file changes, and what is refused.

use std::time::Duration;

use super::super::{Config, JobKind, JobSettings};
use super::{load, with_tenant};
use crate::domain::access::secret::Secret;
use crate::domain::jobs::job::CatchUp;
use crate::domain::reports::report_run::ReportFormat;

fn job<'a>(config: &'a Config, id: &str) -> Option<&'a JobSettings> {
    config.jobs.iter().find(|job| job.id.as_str() == id)
}

#[test]
fn every_kind_of_job_is_there_by_itself_and_copies_once_they_have_a_folder() {
    let config = load(&with_tenant("")).expect("sound").config;
    let on: Vec<_> = config.jobs.iter().filter(|job| job.is_enabled).map(|job| job.id.as_str()).collect();
    assert_eq!(on, ["audit-head", "retention", "checkpoint", "schedule-folder", "platform-schedules", "report"]);
    let kept = config.retention;
    assert_eq!((kept.history_days, kept.audit_days, kept.deliveries_days), (400, 1461, 30));
}

#[test]
fn an_entry_changes_the_job_of_its_name_and_another_id_is_a_job_of_its_own() {
    let config = load(&with_tenant(
        r#"
[[jobs]]
id = "retention"
cron = "0 3 * * MON-FRI"
zone = "Europe/Berlin"
catch_up = "skip"
time_limit = "10m"
[[jobs]]
id = "checkpoint"
enabled = false
[[jobs]]
id = "hourly-copy"
kind = "backup"
cron = "0 * * * *"
folder = "copies"
keep = 24
[retention]
deliveries_days = 7
"#,
    ))
    .expect("sound")
    .config;
    let retention = job(&config, "retention").expect("a job");
    assert_eq!(
        (retention.calendar.text().as_str(), retention.catch_up),
        ("0 3 * * MON-FRI Europe/Berlin", CatchUp::Skip)
    );
    assert_eq!(retention.time_limit_real.as_secs(), 600);
    assert!(job(&config, "checkpoint").is_some_and(|job| !job.is_enabled));
    assert!(
        job(&config, "hourly-copy").is_some_and(|job| job.kind == JobKind::Backup && job.keep == 24 && job.is_enabled)
    );
    assert!(job(&config, "backup").is_some_and(|job| !job.is_enabled), "the nightly one still has no folder");
    assert_eq!(config.retention.deliveries_days, 7);
}

#[test]
fn what_cannot_be_meant_is_refused_at_its_place() {
    let refused = load(&with_tenant(
        r#"
[[jobs]]
id = "nightly"
cron = "0 25 * * *"
[[jobs]]
id = "backup"
cron = "0 0 30 2 *"
zone = "Europe/Berlim"
[[jobs]]
id = "retention"
kind = "backup"
folder = "x"
tenant = "acme"
[[jobs]]
id = "schedule-folder"
tenant = "bravo"
folder = "x"
[retention]
history_days = 0
"#,
    ))
    .expect_err("refused")
    .to_string();
    insta::assert_snapshot!(refused, @r#"
    c.toml:7:1: jobs[nightly].kind: is missing; one of "audit-head", "retention", "checkpoint", "backup", "schedule-folder", "platform-schedules", "report"
    c.toml:9:8: jobs[nightly].cron: is no hour (at character 3 of it); it takes 0-23, *, lists and steps
    c.toml:10:1: jobs[backup].folder: is missing; name the folder that copies go to
    c.toml:12:8: jobs[backup].cron: no such day ever comes (at character 5 of it); check day of month against month: April has 30 days, February 28 or 29
    c.toml:13:8: jobs[backup].zone: is not a known IANA time zone; as in "Europe/London"
    c.toml:16:1: jobs[retention].kind: is not the kind that the id names; choose another id, or leave kind out
    c.toml:18:1: jobs[retention].tenant: goes with kinds that have a job for each tenant; remove it
    c.toml:21:1: jobs[schedule-folder].tenant: names a tenant that is not configured
    c.toml:22:1: jobs[schedule-folder].folder: is for jobs of kind backup and report; the folder that is watched is the tenant's schedule_folder
    c.toml:24:16: retention.history_days: must be an integer from 1 to 36500
    "#);
}

#[test]
fn a_report_job_names_a_report_and_a_variant_that_there_are() {
    let job = |lines: &str| {
        with_tenant(&format!("\n[[jobs]]\nid = \"weekly\"\nkind = \"report\"\ncron = \"0 6 * * MON\"\n{lines}\n"))
    };
    for lines in ["report = \"adherence\"\nvariant = \"exceptions-outside\"", "report = \"breaks\"", ""] {
        load(&job(lines)).unwrap_or_else(|refused| panic!("{lines}: {refused}"));
    }
    for (lines, says) in [
        (
            "report = \"adherence\"\nvariant = \"usual\"",
            "there is no \"usual\"; there are neutral-out, in-of-scheduled, exceptions",
        ),
        ("variant = \"exceptions\"", "compliance has one formula; leave it out"),
        ("report = \"trend\"", "\"compliance\", \"adherence\", \"segments\", \"not-ready\", \"breaks\""),
    ] {
        let refused = load(&job(lines)).expect_err("refused").to_string();
        assert!(refused.contains(says), "{lines}: {refused}");
    }
}

#[test]
fn a_format_that_this_build_is_without_is_refused_with_the_way_to_get_it() {
    let text = with_tenant(
        "[[jobs]]\nid = \"typed\"\nkind = \"report\"\ncron = \"0 6 * * *\"\nformats = [\"csv\", \"parquet\"]\n",
    );
    match ReportFormat::Parquet.unavailable_reason() {
        None => {
            let config = load(&text).expect("sound").config;
            let formats = job(&config, "typed").map(|job| job.report.formats.clone());
            assert_eq!(formats, Some(vec![ReportFormat::Csv, ReportFormat::Parquet]));
        }
        Some(why) => {
            let refused = load(&text).expect_err("refused").to_string();
            assert!(why.contains("cargo build --release --features parquet") && refused.contains(&why), "{refused}");
        }
    }
}

/// A tenant with a source of schedules, in place of whose keys these are.
fn with_source(keys: &[(&str, &str)]) -> String {
    let mut source = vec![("id", "\"wfm\""), ("url", "\"https://wfm.example/week.csv\""), ("cron", "\"*/15 * * * *\"")];
    for (key, value) in keys {
        source.retain(|(known, _)| known != key);
        source.push((key, value));
    }
    let lines: Vec<_> = source.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    with_tenant(&format!("[[tenants.schedule_sources]]\n{}\n", lines.join("\n")))
}

#[test]
fn a_source_of_schedules_has_an_address_a_calendar_and_a_limit() {
    let keys = [
        ("url", "\"https://wfm.example/week.csv?key=sesame\""),
        ("zone", "\"Europe/Berlin\""),
        ("whole", "true"),
        ("authorization", "{ env = \"ACME_SECRET\" }"),
        ("max_age", "\"2h\""),
    ];
    let loaded = load(&with_source(&keys)).expect("sound");
    let source = &loaded.config.tenants[0].schedule_sources[0];
    assert_eq!((source.id.as_str(), source.job_id().as_str()), ("wfm", "schedule-source:wfm"));
    assert_eq!(source.calendar.text(), "*/15 * * * * Europe/Berlin");
    assert_eq!((source.is_whole, source.max_age), (true, Some(Duration::from_secs(7200))));
    assert_eq!(source.authorization.as_ref().map(Secret::expose), Some("hunter2"));
    assert_eq!(source.url.query(), Some("key=sesame"));
    let shown: Vec<_> = loaded.settings.iter().map(|(key, setting)| format!("{key} = {}", setting.value)).collect();
    let shown = shown.join("\n");
    assert!(shown.contains("wfm.example/week.csv?***") && !shown.contains("sesame"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let plain = load(&with_source(&[("url", "\"http://127.0.0.1:7/week.csv\"")])).expect("this machine").config;
    let source = &plain.tenants[0].schedule_sources[0];
    assert_eq!((source.is_whole, source.max_age, &source.profile), (false, None, &None));
}

#[test]
fn a_source_of_schedules_that_cannot_be_meant_is_refused() {
    for (keys, says) in [
        (("id", "\"folder\""), "schedule_sources[folder].id: is the name of the tenant's folder; choose another"),
        (("url", "\"http://wfm.example/x\""), "[wfm].url: would fetch the schedule unencrypted; use https://"),
        (("url", "\"ftp://wfm.example/x\""), "[wfm].url: must begin with https:// or http:// and a host"),
        (("url", "\"https://me:it@wfm.example/x\""), "[wfm].url: must not hold a user or password"),
        (("url", "\"https://wfm.example/x#y\""), "[wfm].url: must not have a fragment"),
        (("cron", "\"sometimes\""), "[wfm].cron: "),
        (("profile", "\"iex\""), "[wfm].profile: names an import profile that does not exist"),
        (
            ("authorization", "\"Bearer hunter2\""),
            "[wfm].authorization: a secret must not be written here in plain text",
        ),
        (("authorization", "{ env = \"TWO_LINES\" }"), "[wfm].authorization: must be one line of printable characters"),
        (("max_age", "\"0s\""), "[wfm].max_age: must be between 1s and "),
    ] {
        let variables = [("ACME_SECRET", "x"), ("TWO_LINES", "a\nb")];
        let texts = [super::text("c.toml", &with_source(&[keys]))];
        let refused = Config::load_texts(&texts, &super::environment(&variables), &[]).expect_err(says).to_string();
        assert!(refused.contains(says) && !refused.contains("hunter2"), "{keys:?}: {refused}");
    }
    let twice = with_source(&[])
        + &with_source(&[]).split_once("[[tenants.").map_or(String::new(), |(_, rest)| format!("[[tenants.{rest}"));
    let refused = load(&twice).expect_err("the same id twice").to_string();
    assert!(refused.contains("schedule_sources[wfm]: has an id that is already taken"), "{refused}");
    let refused = load(&with_tenant("schedule_max_age = \"1h\"")).expect_err("no folder").to_string();
    assert!(refused.contains("schedule_max_age: goes with schedule_folder"), "{refused}");
    let missing = load(&with_tenant("[[tenants.schedule_sources]]\nid = \"wfm\"")).expect_err("neither").to_string();
    assert!(missing.contains("[wfm].url: is missing") && missing.contains("[wfm].cron: is missing"), "{missing}");
}
