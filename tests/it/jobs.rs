//! Jobs of the calendar through the real binary: a folder that is watched, and copies of the running database.

use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::harness::process::{CommandFolder, CommandOutput, Server, run, shiftkeeper};
use crate::harness::{WAIT_TIMEOUT, wait_until};

const HEAD: &str = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n";

fn week(agent: &str, zone: &str) -> String {
    format!("{HEAD}{agent},Ida,blue,{zone},shift,2026-10-26T09:00,2026-10-26T17:30,false\n")
}

/// Only people run the folder's job here, so that a look never falls between two steps of the test.
const JOBS: &str = "schedule_folder = \"drop\"\n[[jobs]]\nid = \"schedule-folder\"\ncron = \"0 0 1 1 *\"\n\
    [[jobs]]\nid = \"backup\"\nfolder = \"copies\"\nkeep = 1\n";

async fn run_job(desk: &CommandFolder, job: &str) -> CommandOutput {
    run(desk.command(&["jobs", "run", job, "--wait", "60s", "--output", "json"])).await
}

/// Runs the folder's job until `path` is there; gives what the runs said.
async fn wait_for_file(desk: &CommandFolder, path: &Path) -> Vec<String> {
    let said = Mutex::new(Vec::new());
    wait_until(&format!("{} is there", path.display()), WAIT_TIMEOUT, || async {
        let ended = run_job(desk, "schedule-folder").await;
        let message = ended.json()["last"]["message"].as_str().unwrap_or_default().to_owned();
        said.lock().expect("a lock").push(message);
        if path.exists() { Ok(()) } else { Err(format!("{ended:?}")) }
    })
    .await;
    said.into_inner().expect("a lock")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn start_all(jobs: &str) -> (tempfile::TempDir, Server, CommandFolder, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["simulate", "--listen", "127.0.0.1:0", "--agents", "8", "--quiet"];
    let simulator = Server::start(shiftkeeper(folder.path(), &arguments)).await;
    let desk = CommandFolder::new(&simulator.ready, jobs);
    let daemon = Server::start(desk.command(&["run"])).await;
    (folder, simulator, desk, daemon)
}

/// What is added to the file is not the daemon's before a reload.
async fn assert_reload_adds_job(desk: &CommandFolder, daemon: &Server) {
    let text = std::fs::read_to_string(desk.config()).expect("readable");
    let more = "[[jobs]]\nid = \"hourly\"\nkind = \"backup\"\ncron = \"0 * * * *\"\nfolder = \"hourly\"\n";
    std::fs::write(desk.config(), format!("{text}{more}")).expect("written");
    let listed = run(desk.command(&["jobs", "--output", "json"])).await.json();
    let later: Vec<_> =
        listed["jobs"].as_array().expect("a list").iter().filter(|job| job["after_reload"] == true).collect();
    assert!(later.len() == 1 && later[0]["id"] == "hourly" && later[0]["next_due_at"].is_null(), "{listed}");
    daemon.signal("HUP");
    wait_until("the daemon has the job", WAIT_TIMEOUT, || async {
        let listed = run(desk.command(&["jobs", "--output", "json"])).await.json();
        let jobs = listed["jobs"].as_array().expect("a list");
        let taken = |job: &&Value| job["id"] == "hourly" && job["after_reload"] == false;
        if jobs.iter().any(|job| taken(&job)) { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;
    assert_eq!(run_job(desk, "hourly").await.code, Some(0));
    assert_eq!(names(&desk.folder.path().join("hourly")).len(), 1);
    std::fs::write(desk.config(), text).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_dropped_is_imported_once_it_has_settled_and_one_with_faults_is_set_aside_with_their_list() {
    let (_folder, _simulator, desk, daemon) = start_all(JOBS).await;
    let drop = desk.folder.path().join("drop");
    assert_eq!(run_job(&desk, "schedule-folder").await.code, Some(0), "an empty folder is no failure");

    // A file that is still being written: each look finds it grown.
    let whole = week("u_0001", "Europe/Berlin");
    std::fs::write(drop.join("week.csv"), &whole[..HEAD.len()]).expect("written");
    run_job(&desk, "schedule-folder").await;
    std::fs::write(drop.join("week.csv"), &whole).expect("written");
    run_job(&desk, "schedule-folder").await;
    assert_eq!(names(&drop), ["done", "failed", "week.csv"], "it is not taken at the look that finds it grown");
    wait_for_file(&desk, &drop.join("done/week.csv")).await;

    std::fs::write(drop.join("bad.csv"), week("u_0002", "Mars")).expect("written");
    std::fs::write(drop.join("later.csv.part"), &whole).expect("written");
    std::fs::create_dir(drop.join("folder.csv")).expect("a folder");
    std::fs::write(desk.folder.path().join("elsewhere.csv"), week("u_0003", "Europe/Berlin")).expect("written");
    std::os::unix::fs::symlink(desk.folder.path().join("elsewhere.csv"), drop.join("link.csv")).expect("a link");
    let said = wait_for_file(&desk, &drop.join("failed/bad.csv")).await;
    assert_eq!(said[0], "1 file found for the first time; imported in the next run", "{said:?}");
    assert!(said.last().is_some_and(|said| said.contains("1 of 1 schedule file(s) refused: bad.csv")), "{said:?}");
    let list = std::fs::read_to_string(drop.join("failed/bad.csv.errors.txt")).expect("a list");
    assert!(list.starts_with("line 2, column time_zone: ") && list.contains("Mars"), "{list}");

    // A look that finds nothing new mends nothing; taking the file away does.
    let empty = run_job(&desk, "schedule-folder").await;
    assert_eq!((empty.code, empty.json()["last"]["message"].as_str()), (Some(1), said.last().map(String::as_str)));
    std::fs::rename(drop.join("failed/bad.csv"), desk.folder.path().join("bad.csv")).expect("moved");
    let mended = run_job(&desk, "schedule-folder").await;
    assert_eq!((mended.code, mended.json()["last"]["message"].as_str()), (Some(0), Some("no new file")), "{mended:?}");
    std::fs::rename(desk.folder.path().join("bad.csv"), drop.join("bad-again.csv")).expect("moved");
    wait_for_file(&desk, &drop.join("failed/bad-again.csv")).await;
    assert_eq!(run_job(&desk, "schedule-folder").await.code, Some(1));

    std::fs::write(drop.join("week.csv"), week("u_0004", "Europe/Berlin")).expect("written");
    wait_for_file(&desk, &drop.join("done/week-2.csv")).await;
    assert_eq!(names(&drop.join("done")), ["week-2.csv", "week.csv"]);
    let good = run_job(&desk, "schedule-folder").await;
    assert_eq!(good.code, Some(0), "one that was imported mends it, though the refused one lies there still: {good:?}");
    assert_eq!(names(&drop), ["done", "failed", "folder.csv", "later.csv.part", "link.csv"], "those are left alone");

    let listed = run(desk.command(&["jobs", "--output", "json"])).await.json();
    let job = |id: &str| listed["jobs"].as_array().and_then(|jobs| jobs.iter().find(|job| job["id"] == id)).cloned();
    let watch = job("schedule-folder").unwrap_or_else(|| panic!("{listed}"));
    assert_eq!((&watch["tenant"], &watch["last"]["outcome"]), (&"acme".into(), &"done".into()), "{watch}");
    assert_eq!(watch["last"]["asked_by"], "operator", "{watch}");
    assert!(watch["next_due_at"].as_str().is_some_and(|next| next.contains("-01-01T00:00:00Z")), "{watch}");

    assert_reload_adds_job(&desk, &daemon).await;

    let unknown = run_job(&desk, "backups").await;
    assert!(unknown.code == Some(2) && unknown.stderr.contains("backup"), "{unknown:?}");
    daemon.signal("TERM");
    assert!(daemon.wait_for_exit().await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_database_is_copied_checked_and_only_the_last_copies_are_kept() {
    let (_folder, _simulator, desk, daemon) = start_all(JOBS).await;
    let drop = desk.folder.path().join("drop");
    run_job(&desk, "schedule-folder").await;
    std::fs::write(drop.join("week.csv"), week("u_0001", "Europe/Berlin")).expect("written");
    wait_for_file(&desk, &drop.join("done/week.csv")).await;
    for _ in 0..2 {
        let made = run_job(&desk, "backup").await;
        assert_eq!(made.code, Some(0), "{made:?}");
        assert!(made.json()["last"]["message"].as_str().is_some_and(|said| said.contains("checked")), "{made:?}");
    }
    let copies = names(&desk.folder.path().join("copies"));
    assert!(copies.len() == 1 && copies[0].starts_with("shiftkeeper-"), "{copies:?}");

    let copy = format!("store.url=sqlite://copies/{}", copies[0]);
    let verified = run(desk.command(&["audit", "verify", "--output", "json", "--set", &copy])).await;
    let chain: Value = verified.json()["tenants"][0].clone();
    assert_eq!((verified.code, &chain["verified"]), (Some(0), &true.into()), "{verified:?}");
    assert!(chain["entries"].as_u64().is_some_and(|entries| entries > 0), "{chain}");
    daemon.signal("TERM");
    assert!(daemon.wait_for_exit().await.0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_file_is_read_by_the_profile_of_the_folder() {
    let jobs = format!(
        "schedule_profile = \"wfm\"\n{JOBS}[import.profiles.wfm]\nlayout = \"days\"\ndelimiter = \",\"\nagent_key = \"id\"\n\
         date_format = \"DD/MM/YYYY\"\ntime_format = \"HH:mm\"\nmidnight = \"next_day\"\ntime_zone = \"UTC\"\n\
         columns = {{ agent = \"Agent\", date = \"Date\", shift_start = \"From\", shift_end = \"To\" }}\n"
    );
    let (_folder, _simulator, desk, _daemon) = start_all(&jobs).await;
    let drop = desk.folder.path().join("drop");
    assert_eq!(run_job(&desk, "schedule-folder").await.code, Some(0), "the folder is made");
    std::fs::write(drop.join("week.csv"), "Agent,Date,From,To\nu_0001,26/10/2026,22:00,06:00\n").expect("written");
    wait_for_file(&desk, &drop.join("done/week.csv")).await;
    let listed = run(desk.command(&["schedules", "export", "--from", "2026-10-26", "--through", "2026-10-26"])).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.stdout.contains("shift,2026-10-26T22:00,2026-10-27T06:00"), "{listed:?}");
    // A file of another shape is not guessed.
    std::fs::write(drop.join("own.csv"), week("u_0002", "UTC")).expect("written");
    wait_for_file(&desk, &drop.join("failed/own.csv")).await;
    let list = std::fs::read_to_string(drop.join("failed/own.csv.errors.txt")).expect("a list");
    assert!(list.contains("Agent"), "{list}");
}
