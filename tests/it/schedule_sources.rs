//! Sources of schedules through the real binary: files fetched from a server of this machine, and the folder.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use shiftkeeper::platform::client::{ClientSettings, build_client};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::process::{CommandFolder, CommandOutput, Server, run, shiftkeeper};
use crate::harness::{WAIT_TIMEOUT, wait_until};

/// What no log and no output may show.
const SECRET: &str = "Bearer hunter2-of-the-wfm";
const QUERY: &str = "key=sesame-of-the-wfm";

fn week(agent: &str, start: &str) -> String {
    format!(
        "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n\
         {agent},Ida,blue,Europe/Berlin,shift,2026-10-26T{start},2026-10-26T17:30,false\n"
    )
}

/// What the server answers.
#[derive(Clone)]
enum Answer {
    File { body: String, etag: Option<&'static str>, modified: Option<&'static str> },
    Status(u16),
    Redirect(String),
    Page,
}

fn file(body: String) -> Answer {
    Answer::File { body, etag: None, modified: None }
}

#[derive(Default)]
struct Script {
    answer: Option<Answer>,
    /// The path and query, and the headers, of every request.
    requests: Vec<(String, HeaderMap)>,
}

/// A server of schedule files, which wants the credentials.
struct FileServer {
    script: Arc<Mutex<Script>>,
    url: String,
    _serving: JoinSet<()>,
}

impl FileServer {
    async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(serve).with_state(script.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { script, url, _serving: serving }
    }

    fn answer(&self, answer: Answer) {
        self.script.lock().expect("a lock").answer = Some(answer);
    }

    fn requests(&self) -> Vec<(String, HeaderMap)> {
        self.script.lock().expect("a lock").requests.clone()
    }

    /// A header of the last request.
    fn last_header(&self, name: header::HeaderName) -> Option<String> {
        let (_, headers) = self.requests().pop().expect("a request");
        headers.get(name).map(|value| value.to_str().expect("text").to_owned())
    }
}

async fn serve(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let path = request.uri().to_string();
    let headers = request.headers().clone();
    let mut script = script.lock().expect("a lock");
    script.requests.push((path.clone(), headers.clone()));
    if headers.get(header::AUTHORIZATION).is_none_or(|value| value != SECRET) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match script.answer.clone().expect("an answer") {
        Answer::Status(code) => StatusCode::from_u16(code).expect("a status").into_response(),
        // What is moved on this server is at another path.
        Answer::Redirect(to) if to != path => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Answer::Redirect(_) => week("u_0001", "10:00").into_response(),
        Answer::Page => ([(header::CONTENT_TYPE, "text/html")], "<html>Sign in</html>").into_response(),
        Answer::File { body, etag, modified } => {
            let is =
                |name, value: Option<&str>| value.is_some_and(|value| headers.get(name).is_some_and(|v| v == value));
            if is(header::IF_NONE_MATCH, etag) || is(header::IF_MODIFIED_SINCE, modified) {
                return StatusCode::NOT_MODIFIED.into_response();
            }
            let mut response = body.into_response();
            for (name, value) in [(header::ETAG, etag), (header::LAST_MODIFIED, modified)] {
                if let Some(value) = value {
                    response.headers_mut().insert(name, HeaderValue::from_static(value));
                }
            }
            response
        }
    }
}

/// A daemon with a source.
struct Desk {
    files: FileServer,
    folder: CommandFolder,
    daemon: Option<Server>,
    /// What daemons that have ended said.
    said: String,
    _simulator: (tempfile::TempDir, Server),
}

impl Desk {
    /// Starts with these keys of the source and of the tenant. Only people run the jobs.
    async fn start(source: &str, tenant: &str) -> Self {
        let files = FileServer::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = ["simulate", "--listen", "127.0.0.1:0", "--agents", "8", "--quiet"];
        let simulator = Server::start(shiftkeeper(folder.path(), &arguments)).await;
        let lines = format!(
            "{tenant}\n[[tenants.schedule_sources]]\nid = \"wfm\"\nurl = \"{}/export/week.csv?{QUERY}\"\n\
             cron = \"0 0 1 1 *\"\n{source}\n\
             [[jobs]]\nid = \"schedule-folder\"\ncron = \"0 0 1 1 *\"\n[import]\nmax_bytes = 1000\n",
            files.url
        );
        let desk = CommandFolder::new(&simulator.ready, &lines);
        let daemon = None;
        let mut this = Self { files, folder: desk, daemon, said: String::new(), _simulator: (folder, simulator) };
        this.start_daemon().await;
        this
    }

    async fn start_daemon(&mut self) {
        self.daemon = Some(Server::start(self.command(&["run"])).await);
    }

    fn daemon(&self) -> &Server {
        self.daemon.as_ref().expect("it runs")
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.folder.command(arguments);
        command.env("WFM", SECRET);
        command
    }

    async fn stop(&mut self) {
        let daemon = self.daemon.take().expect("it runs");
        daemon.signal("TERM");
        let (status, _, said) = daemon.wait_for_exit().await;
        assert!(status.success());
        self.said += &said;
        assert!(!self.said.contains("hunter2") && !self.said.contains("sesame"), "{}", self.said);
    }

    async fn run(&self, arguments: &[&str]) -> CommandOutput {
        run(self.command(arguments)).await
    }

    /// Runs the job of the source to its end; gives its message if it succeeded, or else the error.
    async fn fetch(&self) -> Result<String, String> {
        let ended = self.run(&["jobs", "run", "schedule-source:wfm", "--wait", "60s", "--output", "json"]).await;
        assert!(!ended.stdout.contains("hunter2") && !ended.stdout.contains("sesame"), "{ended:?}");
        let message = ended.json()["last"]["message"].as_str().unwrap_or_default().to_owned();
        if ended.code == Some(0) { Ok(message) } else { Err(message) }
    }

    /// What the API says of a source.
    async fn source(&self, id: &str) -> Value {
        let listed = self.run(&["schedules", "sources", "--output", "json"]).await.json();
        let sources = listed["sources"].as_array().expect("a list");
        sources.iter().find(|source| source["id"] == id).cloned().unwrap_or_else(|| panic!("{listed}"))
    }

    async fn versions(&self) -> usize {
        let listed = self.run(&["schedules", "list", "--output", "json"]).await.json();
        listed["versions"].as_array().expect("a list").len()
    }
}

/// The keys of a source with credentials.
const WITH_SECRET: &str = "authorization = { env = \"WFM\" }";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_fetched_with_credentials_imported_once_and_not_downloaded_again_even_after_a_restart() {
    let mut desk = Desk::start(WITH_SECRET, "").await;
    let new = desk.source("wfm").await;
    assert!(new["tried_at"].is_null() && new["good_at"].is_null() && new["late"] == false, "{new}");
    desk.files.answer(Answer::File { body: week("u_0001", "09:00"), etag: Some("\"one\""), modified: None });
    assert_eq!(desk.fetch().await.as_deref(), Ok("imported as version 1: 1 agent, 1 shift"));
    assert_eq!(desk.files.last_header(header::AUTHORIZATION).as_deref(), Some(SECRET));
    assert_eq!(desk.files.requests()[0].0, format!("/export/week.csv?{QUERY}"));
    let first = desk.source("wfm").await;
    assert_eq!((&first["kind"], &first["version"], &first["last_error"]), (&"https".into(), &1.into(), &Value::Null));

    assert_eq!(desk.fetch().await.as_deref(), Ok("the file has not changed since version 1"));
    let second = desk.source("wfm").await;
    assert!(second["good_at"].as_str() > first["good_at"].as_str(), "{second}");
    desk.stop().await;
    desk.start_daemon().await;
    assert_eq!(desk.fetch().await.as_deref(), Ok("the file has not changed since version 1"), "after a restart too");
    assert_eq!(desk.files.last_header(header::IF_NONE_MATCH).as_deref(), Some("\"one\""));

    let date = "Mon, 26 Oct 2026 08:00:00 GMT";
    desk.files.answer(Answer::File { body: week("u_0001", "10:00"), etag: None, modified: Some(date) });
    assert_eq!(desk.fetch().await.as_deref(), Ok("imported as version 2: 1 agent, 1 shift"));
    assert_eq!(desk.fetch().await.as_deref(), Ok("the file has not changed since version 2"));
    assert_eq!(desk.files.last_header(header::IF_MODIFIED_SINCE).as_deref(), Some(date));
    assert_eq!(desk.files.last_header(header::IF_NONE_MATCH), None, "the tag was that of another file");

    // A server without tags: what people imported since stays in force until the file changes.
    desk.files.answer(file(week("u_0001", "11:00")));
    assert_eq!(desk.fetch().await.as_deref(), Ok("imported as version 3: 1 agent, 1 shift"));
    std::fs::write(desk.folder.folder.path().join("edit.csv"), week("u_0001", "12:00")).expect("written");
    assert_eq!(desk.run(&["import", "edit.csv", "--tenant", "acme"]).await.code, Some(0));
    assert_eq!(desk.fetch().await.as_deref(), Ok("the file is the same as that of version 3"));
    assert_eq!(desk.versions().await, 4);

    // A changed setting of the source reads the file again.
    let text = std::fs::read_to_string(desk.folder.config()).expect("readable");
    std::fs::write(desk.folder.config(), text.replace(WITH_SECRET, &format!("{WITH_SECRET}\nwhole = true")))
        .expect("written");
    desk.daemon().signal("HUP");
    desk.daemon().wait_for_stderr("schedule_sources[wfm].whole").await;
    assert_eq!(desk.fetch().await.as_deref(), Ok("imported as version 5: 1 agent, 1 shift"));
    let shown = desk.run(&["check", "--show"]).await;
    assert!(shown.stdout.contains("week.csv?***") && !shown.stdout.contains("sesame"), "{shown:?}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_changes_nothing_and_is_named() {
    let mut desk = Desk::start("", "").await;
    desk.files.answer(file(week("u_0001", "09:00")));
    let failed = desk.fetch().await.expect_err("no credentials");
    assert!(failed.contains("wants credentials (401): set authorization"), "{failed}");
    let text = std::fs::read_to_string(desk.folder.config()).expect("readable");
    let cron = "cron = \"0 0 1 1 *\"\n\n";
    std::fs::write(desk.folder.config(), text.replacen(cron, &format!("{cron}{WITH_SECRET}\n"), 1)).expect("written");
    desk.daemon().signal("HUP");
    desk.daemon().wait_for_stderr("schedule_sources[wfm].authorization").await;
    assert_eq!(desk.fetch().await.as_deref(), Ok("imported as version 1: 1 agent, 1 shift"));

    let other = FileServer::start().await;
    for (answer, says) in [
        (file(week("u_0001", "09:00") + &" ".repeat(2000)), "more than the 1000 bytes of import.max_bytes"),
        (Answer::Redirect(format!("{}/week.csv?{QUERY}", other.url)), "redirects to another origin"),
        (Answer::Status(404), "no such file (404)"),
        (Answer::Status(503), "answered with status 503"),
        (Answer::Page, "a web page instead of a file"),
        (
            file(week("u_0001", "25:00")),
            "the file was refused, and nothing was changed: 1 fault: line 2, column start: ",
        ),
    ] {
        desk.files.answer(answer);
        let failed = desk.fetch().await.expect_err(says);
        assert!(failed.contains(says), "{failed}");
        let source = desk.source("wfm").await;
        assert_eq!((source["last_error"].as_str(), &source["version"]), (Some(&*failed), &1.into()), "{source}");
    }
    assert!(other.requests().is_empty(), "nothing is sent to another origin");
    assert_eq!(desk.versions().await, 1);
    let doctor = desk.run(&["doctor", "--offline", "--output", "json"]).await.json();
    let checks = doctor["checks"].as_array().expect("a list");
    let of_source = checks.iter().find(|check| check["group"] == "schedules acme").expect("a finding");
    assert_eq!((&of_source["id"], &of_source["status"]), (&"source wfm".into(), &"warning".into()), "{of_source}");

    desk.files.answer(Answer::Redirect("/moved/week.csv".to_owned()));
    assert_eq!(desk.fetch().await.as_deref(), Ok("imported as version 2: 1 agent, 1 shift"), "within the origin");
    let mended = desk.source("wfm").await;
    assert_eq!((&mended["last_error"], &mended["version"]), (&Value::Null, &2.into()), "{mended}");
    desk.stop().await;
}

/// The value of a metric of a source.
async fn late_metric(desk: &Desk, source: &str) -> Option<String> {
    let url = format!("http://{}/metrics", desk.daemon().ready["listen"].as_str().expect("an address"));
    let client = build_client(&ClientSettings::default()).expect("a client");
    let page = client.get(url).bearer_auth(crate::harness::OPERATOR).send().await.expect("an answer");
    let page = page.text().await.expect("text");
    let name = format!("shiftkeeper_schedule_source_late{{tenant=\"acme\",source=\"{source}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_a_good_version_becomes_late_and_recovers_with_the_next() {
    let keys = format!("{WITH_SECRET}\nmax_age = \"1s\"");
    let mut desk = Desk::start(&keys, "schedule_folder = \"drop\"\nschedule_max_age = \"7200h\"").await;
    let is_late = async |expected: bool| {
        wait_until(&format!("late is {expected}"), WAIT_TIMEOUT, || async {
            let source = desk.source("wfm").await;
            if source["late"] == expected { Ok(()) } else { Err(source.to_string()) }
        })
        .await;
    };
    is_late(true).await;
    desk.daemon().wait_for_stderr("a source of schedules is late: it has never given a good version").await;
    let folder = desk.source("folder").await;
    assert_eq!((&folder["kind"], &folder["late"]), (&"folder".into(), &false.into()), "{folder}");
    let listed = desk.run(&["schedules", "sources"]).await;
    assert!(listed.code == Some(4) && listed.stdout.contains("late  wfm"), "{listed:?}");
    wait_until("readiness and metrics say so", WAIT_TIMEOUT, || async {
        let status = desk.run(&["status", "--output", "json"]).await.json();
        let parts = status["parts"].as_array().cloned().unwrap_or_default();
        let part = parts.iter().find(|part| part["name"] == "schedule source wfm of acme");
        let metrics = (late_metric(&desk, "wfm").await, late_metric(&desk, "folder").await);
        let says = part.is_some_and(|part| part["ready"] == false && part["own"] == false);
        let expected = (Some("1".to_owned()), Some("0".to_owned()));
        if says && metrics == expected { Ok(()) } else { Err(format!("{part:?} {metrics:?}")) }
    })
    .await;
    let doctor = desk.run(&["doctor", "--offline"]).await;
    assert!(doctor.stdout.contains("source wfm: late: it has never given a good version"), "{doctor:?}");

    // It gives versions more often than its limit from now on.
    let text = std::fs::read_to_string(desk.folder.config()).expect("readable");
    std::fs::write(desk.folder.config(), text.replace("\"1s\"", "\"1h\"")).expect("written");
    desk.files.answer(file(week("u_0001", "09:00")));
    assert_eq!(desk.fetch().await.as_deref(), Ok("imported as version 1: 1 agent, 1 shift"));
    desk.daemon().signal("HUP");
    desk.daemon().wait_for_stderr("a source of schedules has recovered").await;
    is_late(false).await;

    let drop = desk.folder.folder.path().join("drop");
    std::fs::create_dir_all(&drop).expect("a folder");
    std::fs::write(drop.join("week.csv"), week("u_0002", "09:00")).expect("written");
    wait_until("the folder's file is imported", WAIT_TIMEOUT, || async {
        desk.run(&["jobs", "run", "schedule-folder", "--wait", "60s"]).await;
        let folder = desk.source("folder").await;
        if folder["version"] == 2 && folder["age_ms"].is_u64() { Ok(()) } else { Err(folder.to_string()) }
    })
    .await;
    desk.stop().await;
    let count = |words: &str| desk.said.matches(words).count();
    assert_eq!((count("schedules is late"), count("schedules has recovered")), (1, 1), "{}", desk.said);
}
