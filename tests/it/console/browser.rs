//! A browser for tests: a real Chromium, driven over the W3C `WebDriver` protocol. Where none is at hand, tests say so loudly and
//! do nothing; `tests/run` sees to one.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shiftkeeper::platform::client::{ClientSettings, build_client};
use tempfile::TempDir;

use crate::faults::print_progress;
use crate::harness::{WAIT_TIMEOUT, wait_until};

/// How often Chromium is started before the test fails.
const MAX_STARTS: usize = 3;

/// The name of an element in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Flags of the browser: no window and yet a desk's size, no sandbox (tests may run as root), nothing of its own on the network.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--window-size=1280,900",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
];

/// A driver and one session with it.
pub struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    _profile: TempDir,
}

/// An element of the page.
pub struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

/// A tool for a test: named by a variable, or on the path.
#[expect(clippy::disallowed_methods, reason = "how the tests are run is not for the configuration")]
fn tool(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(PathBuf::from(named)).filter(|named| named.as_os_str() != "none");
    }
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file())
}

/// The text of axe-core, which judges accessibility; none where it is not at hand.
#[expect(clippy::disallowed_methods, reason = "how the tests are run is not for the configuration")]
pub fn axe() -> Option<String> {
    let folder =
        std::env::var_os("SHIFTKEEPER_TEST_AXE").map(PathBuf::from).filter(|named| named.as_os_str() != "none");
    let found = folder.and_then(|file| std::fs::read_to_string(file).ok());
    if found.is_none() {
        print_progress(
            "SKIPPED: accessibility is not judged, since axe-core is not at hand (tests/run fetches it; SHIFTKEEPER_TEST_AXE names it)",
        );
    }
    found
}

/// Starts `driver` on a free port and returns it with the port. `log` receives what it prints.
///
/// The driver chooses a port for IPv6 and then wants the same one for IPv4; where another process has taken that
/// one, it exits, so it is started again.
async fn start_driver(driver: &Path, log: &Path) -> (Child, u16) {
    let mut attempts = Vec::new();
    while attempts.len() < MAX_STARTS {
        let child = Command::new(driver)
            .arg("--port=0")
            .stdout(std::fs::File::create(log).expect("a log"))
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver starts");
        let child = RefCell::new(child);
        let started = wait_until("the driver serves or exits", WAIT_TIMEOUT, || async {
            let exited = child.borrow_mut().try_wait().expect("the driver's exit status is known").is_some();
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let port = text.split("started successfully on port ").nth(1).and_then(|rest| rest.split('.').next());
            match port.and_then(|port| port.trim().parse::<u16>().ok()) {
                Some(port) => Ok(Ok(port)),
                None if exited => Ok(Err(text)),
                None => Err(text),
            }
        })
        .await;
        match started {
            Ok(port) => return (child.into_inner(), port),
            Err(printed) => attempts.push(printed),
        }
    }
    panic!("the driver exited {MAX_STARTS} times: {}", attempts.join("; "))
}

impl Browser {
    /// A browser of its own; `None` where there is none on this machine.
    pub async fn start() -> Option<Self> {
        let found = (
            tool("SHIFTKEEPER_TEST_CHROMEDRIVER", &["chromedriver"]),
            tool("SHIFTKEEPER_TEST_CHROMIUM", &["chromium", "chromium-browser", "google-chrome"]),
        );
        let (Some(driver), Some(chromium)) = found else {
            print_progress(
                "SKIPPED: the console is not tried, since chromium and chromedriver are not at hand (tests/run fetches them)",
            );
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder");
        let (mut driver, port) = start_driver(&driver, &profile.path().join("driver.log")).await;
        let settings = ClientSettings { request_timeout: Duration::from_mins(2), ..ClientSettings::default() };
        let http = build_client(&settings).expect("a client");
        let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let base = format!("http://127.0.0.1:{port}/session");
        // On a busy machine Chromium sometimes exits while it starts, before any page is opened.
        let mut attempts = Vec::new();
        let id = loop {
            let answer: Value =
                http.post(&base).json(&wanted).send().await.expect("answered").json().await.expect("JSON");
            if let Some(id) = answer["value"]["sessionId"].as_str() {
                break id.to_owned();
            }
            attempts.push(answer["value"]["message"].to_string());
            if attempts.len() == MAX_STARTS {
                let _ = driver.kill();
                panic!("no session in {MAX_STARTS} attempts: {}", attempts.join("; "))
            }
        };
        Some(Self { session: format!("{base}/{id}"), driver, http, _profile: profile })
    }

    async fn send_command(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer: Value = request.send().await.expect("the driver answers").json().await.expect("JSON");
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.send_command(reqwest::Method::POST, path, Some(body)).await
    }

    /// Goes to an address and waits until it is loaded.
    pub async fn go(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await.expect("the page loads");
    }

    /// Where the browser is.
    pub async fn url(&self) -> String {
        let url = self.send_command(reqwest::Method::GET, "/url", None).await.expect("an address");
        url.as_str().expect("text").to_owned()
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.post("/refresh", json!({})).await.expect("the page loads");
    }

    /// The inside of the window, in pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}});
        self.post("/goog/cdp/execute", metrics).await.expect("resized");
    }

    /// Light or dark, as the system would say.
    pub async fn scheme(&self, scheme: &str) {
        let media = json!({"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]}});
        self.post("/goog/cdp/execute", media).await.expect("a scheme");
    }

    /// Where the browser is in the world.
    pub async fn zone(&self, zone: &str) {
        let params = json!({"cmd": "Emulation.setTimezoneOverride", "params": {"timezoneId": zone}});
        self.post("/goog/cdp/execute", params).await.expect("a zone");
    }

    /// Presses keys one after another, whatever has the focus.
    pub async fn press(&self, keys: &str) {
        let each = keys.chars().flat_map(|key| [("keyDown", key), ("keyUp", key)]);
        let actions: Vec<_> = each.map(|(kind, key)| json!({"type": kind, "value": key})).collect();
        let keyboard = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.post("/actions", keyboard).await.expect("pressed");
    }

    /// Drags the first element of a selector to the right by a number of pixels; negative numbers drag it to the left.
    pub async fn drag(&self, css: &str, pixels: i64) {
        self.drag_below(css, 0, pixels).await;
    }

    /// Drags as [`drag`](Self::drag) does, from a number of pixels below the centre of the element.
    pub async fn drag_below(&self, css: &str, down: i64, pixels: i64) {
        let element = self.find(css).await;
        let origin = json!({ELEMENT: element.id});
        let mut actions = vec![
            json!({"type": "pointerMove", "origin": origin, "x": 0, "y": down}),
            json!({"type": "pointerDown", "button": 0}),
        ];
        actions.push(json!({"type": "pointerMove", "origin": "pointer", "x": pixels, "y": 0, "duration": 100}));
        actions.push(json!({"type": "pointerUp", "button": 0}));
        let pointer = json!({"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]});
        self.post("/actions", pointer).await.expect("dragged");
    }

    /// Whether pages may run scripts.
    pub async fn scripts(&self, on: bool) {
        let params = json!({"cmd": "Emulation.setScriptExecutionDisabled", "params": {"value": !on}});
        self.post("/goog/cdp/execute", params).await.expect("set");
    }

    /// The page's markup.
    async fn source(&self) -> String {
        let source = self.send_command(reqwest::Method::GET, "/source", None).await.expect("a page");
        source.as_str().expect("text").to_owned()
    }

    /// The page's markup once it is as wanted. Without scripts the driver may answer before the page is there.
    pub async fn wait_for_source(&self, wanted: impl Fn(&str) -> bool) -> String {
        let attempt = || async {
            let source = self.source().await;
            if wanted(&source) { Ok(source) } else { Err(source) }
        };
        wait_until("the page's markup", WAIT_TIMEOUT, attempt).await
    }

    /// Runs a function's body in the page; gives what it returns.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": arguments})).await.expect("the script runs")
    }

    /// Runs a script that calls its last argument when it is done.
    pub async fn run_later(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/async", json!({"script": script, "args": arguments})).await.expect("the script runs")
    }

    /// The first element of a selector, once it is there.
    pub async fn find(&self, css: &str) -> Element<'_> {
        wait_until(&format!("{css} is on the page"), WAIT_TIMEOUT, || self.find_now(css)).await
    }

    async fn find_now(&self, css: &str) -> Result<Element<'_>, String> {
        let found = self.post("/element", json!({"using": "css selector", "value": css})).await?;
        let id = found[ELEMENT].as_str().map(str::to_owned).ok_or_else(|| found.to_string())?;
        Ok(Element { browser: self, id })
    }

    /// How many elements a selector finds now.
    pub async fn count(&self, css: &str) -> usize {
        let count = self.run("return document.querySelectorAll(arguments[0]).length", &[json!(css)]).await;
        usize::try_from(count.as_u64().expect("a count")).expect("small")
    }

    /// The text of the first element of a selector; empty where there is none.
    pub async fn text(&self, css: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.textContent.trim().replace(/\\s+/g, ' ') ?? ''";
        self.run(script, &[json!(css)]).await.as_str().expect("text").to_owned()
    }

    /// Waits until the text of an element is as wanted; gives it.
    pub async fn wait_for_text(&self, css: &str, wanted: impl Fn(&str) -> bool) -> String {
        wait_until(&format!("the text of {css}"), WAIT_TIMEOUT, || async {
            let text = self.text(css).await;
            if wanted(&text) { Ok(text) } else { Err(text) }
        })
        .await
    }

    /// Waits until the browser is somewhere.
    pub async fn wait_for_url(&self, wanted: impl Fn(&str) -> bool) -> String {
        wait_until("the address", WAIT_TIMEOUT, || async {
            let url = self.url().await;
            if wanted(&url) { Ok(url) } else { Err(format!("{url}: {}", self.text("body").await)) }
        })
        .await
    }

    /// Clicks the first element of a selector: what is there when the click lands, since a page may put another in its place.
    pub async fn click(&self, css: &str) {
        // A page that is being drawn may move it just then.
        wait_until(&format!("a click on {css} lands"), WAIT_TIMEOUT, || async {
            self.find_now(css).await?.click().await
        })
        .await;
    }

    /// Types into the first element of a selector.
    pub async fn write(&self, css: &str, text: &str) {
        self.find(css).await.write(text).await;
    }

    /// Chooses an option of a list, as a person would.
    pub async fn choose(&self, css: &str, value: &str) {
        self.find(css).await;
        let script = "const list = document.querySelector(arguments[0]); list.value = arguments[1];
            list.dispatchEvent(new Event('input', {bubbles: true})); list.dispatchEvent(new Event('change', {bubbles: true}));
            return list.value";
        let chosen = self.run(script, &[json!(css), json!(value)]).await;
        assert_eq!(chosen, json!(value), "{css} has no such option");
    }

    /// What the page complained of in its console since the last look: errors alone.
    pub async fn console_errors(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"})).await.expect("a log");
        let severe = log.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }

    /// A screenshot of the whole page.
    pub async fn screenshot(&self) -> Vec<u8> {
        let shot = json!({"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": true}});
        let shot = self.post("/goog/cdp/execute", shot).await.expect("a picture");
        STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64")
    }

    /// Ends it.
    pub async fn end(self) {
        let _ = self.send_command(reqwest::Method::DELETE, "", None).await;
    }
}

impl Drop for Browser {
    /// Also where a test has failed: a driver that is merely killed leaves its browser behind.
    fn drop(&mut self) {
        let address = self.session.trim_start_matches("http://");
        if let Some((host, path)) = address.split_once('/')
            && let Ok(mut driver) = std::net::TcpStream::connect(host)
        {
            let request = format!("DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let _ = driver.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = driver.write_all(request.as_bytes());
            let _ = driver.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Element<'_> {
    async fn click(&self) -> Result<(), String> {
        self.browser.post(&format!("/element/{}/click", self.id), json!({})).await.map(|_| ())
    }

    /// Puts a text into it.
    pub async fn write(&self, text: &str) {
        let at = |what: &str| format!("/element/{}/{what}", self.id);
        self.browser.post(&at("clear"), json!({})).await.expect("cleared");
        self.browser.post(&at("value"), json!({ "text": text })).await.expect("typed");
    }
}
