//! Jobs and retention: what is there by itself, what a file changes, and what is refused.

use super::super::{Config, JobKind, JobSettings};
use super::{load, with_tenant};
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
