//! Schedule files through the command line as it ships: 500 agents and four weeks checked and applied, and how much memory a
//! million rows and files that are meant to exhaust a reader take.
//!
//! `cargo bench --bench schedules`, with ` -- samples`, ` -- rows` or ` -- hostile` for one of the three. The files are written by
//! `tests/schedules/make_samples.py`, for which `PYTHON` names a Python with openpyxl. `DUCKDB` names one with `DuckDB`, which then
//! reads the same tables as the peer. It needs Linux's `/proc`.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Shapes of suites: tables with an activity per line and with an agent and day per line, and workbooks.
const SAMPLES: [&str; 5] = ["cxone-berlin", "genesys-offset", "verint-uk-24", "excel-list-dates", "excel-wide-pairs"];

const HOSTILE: [&str; 13] = [
    "zip-bomb",
    "string-bomb",
    "far-cell",
    "merged-all",
    "entities",
    "wrong-size",
    "big-cell",
    "open-quote",
    "many-columns",
    "long-list",
    "every-second",
    "no-day-fits",
    "ten-million-rows",
];

fn main() {
    // `cargo test --benches` asks every bench to show that it starts.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|part| part == name);
    if wanted("samples") {
        SAMPLES.into_iter().for_each(sample);
    }
    if wanted("rows") {
        rows();
    }
    if wanted("hostile") {
        HOSTILE.into_iter().for_each(hostile);
    }
}

/// Reads and applies a file of 500 agents and four weeks, twice: into an empty store, and an hour later over itself.
fn sample(name: &str) {
    let folder = Desk::new();
    folder.write_sample(&["--large", name, "file"]);
    folder.configure(&fs::read_to_string(folder.path("file.profile.toml")).expect("a profile"));
    let mut took = Vec::new();
    for weeks in ["0", "1"] {
        let import = ["import", "file", "--profile", "bench", "--move-weeks", weeks];
        let checked = folder.run(&[&import[..], &["--check", "--output", "json"]].concat());
        assert!(checked.output.status.success(), "{}", checked.message());
        let check: Value = serde_json::from_slice(&checked.output.stdout).expect("JSON");
        let hash = check["hash"].as_str().expect("a hash");
        let applied = folder.run(&[&import[..], &["--apply", hash, "--output", "json"]].concat());
        assert!(applied.output.status.success(), "{}", applied.message());
        took.push(format!("checked {}, applied {}", seconds(checked.took), seconds(applied.took)));
    }
    let size = fs::metadata(folder.path("file")).expect("a file").len() / 1000;
    println!("{name}, {size} kB: {}; again over itself a week later: {}{}", took[0], took[1], duckdb(&folder));
}

/// Reads the file of a sample with `DuckDB`, if it is a table and there is one.
fn duckdb(folder: &Desk) -> String {
    let Some(python) = std::env::var_os("DUCKDB") else { return String::new() };
    let profile = fs::read_to_string(folder.path("file.profile.toml")).expect("a profile");
    let Some(delimiter) = profile.lines().find_map(|line| line.strip_prefix("delimiter = ")) else {
        return String::new();
    };
    let script = "import duckdb, sys, time\nbegan = time.monotonic()\nrows = duckdb.read_csv(sys.argv[1], delimiter=sys.argv[2], \
                  all_varchar=True, ignore_errors=True).fetchall()\nprint(f'{len(rows)} rows in {time.monotonic() - began:.2f} s')";
    let read = Command::new(python)
        .args(["-c", script])
        .arg(folder.path("file"))
        .arg(delimiter.trim_matches('"').replace("\\t", "\t"))
        .output()
        .expect("DuckDB starts");
    format!("; DuckDB only reads {}", String::from_utf8_lossy(&read.stdout).trim())
}

/// Checks tables of few and of a million rows.
fn rows() {
    let mut peaks = Vec::new();
    for count in [1_000, 1_000_000] {
        let folder = Desk::new();
        folder.write_sample(&["--rows", &count.to_string(), "file"]);
        folder.configure("");
        let checked = folder.run(&["import", "file", "--check", "--output", "json"]);
        println!(
            "{count} rows: exit {:?} in {}, {} MiB at the peak; {}",
            checked.output.status.code(),
            seconds(checked.took),
            checked.peak_kib >> 10,
            checked.message().chars().take(120).collect::<String>()
        );
        peaks.push(checked.peak_kib);
    }
    println!("a million rows take {} MiB more", peaks[1].saturating_sub(peaks[0]) >> 10);
}

/// Checks a file that is meant to exhaust the reader.
fn hostile(kind: &str) {
    let folder = Desk::new();
    folder.write_sample(&["--hostile", kind, "file"]);
    folder.configure("");
    let checked = folder.run(&["import", "file", "--check"]);
    let is_refused = !checked.output.status.success();
    println!(
        "{kind}: {} in {}, {} MB at the peak: {}",
        if is_refused { "refused" } else { "ACCEPTED" },
        seconds(checked.took),
        checked.peak_kib * 1024 / 1_000_000,
        checked.message().lines().next().unwrap_or_default().chars().take(160).collect::<String>()
    );
}

fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// A command that has ended.
struct Ended {
    output: Output,
    took: Duration,
    peak_kib: u64,
}

impl Ended {
    fn message(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

/// A folder with a configuration and a store.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write_sample(&self, arguments: &[&str]) {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedules/make_samples.py");
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let made = Command::new(python).arg(samples).args(arguments).current_dir(&self.0).output().expect("Python");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Writes the configuration, with the import profile `bench` if there is one.
    fn configure(&self, profile: &str) {
        let mut text =
            "[store]\nurl = \"sqlite://bench.db\"\n[[tenants]]\nid = \"acme\"\nbase_url = \"http://127.0.0.1:9\"\n\
                        client_id = \"x\"\nclient_secret = { file = \"secret\" }\nagents = [\"u_1001\"]\n"
                .to_owned();
        if !profile.is_empty() {
            // The tables of the profile become tables below it.
            let profile = profile.replace("\n[", "\n[import.profiles.bench.");
            text.push_str("[import.profiles.bench]\n");
            text.push_str(&profile);
            if !profile.contains("agent_key = \"id\"") {
                let (keys, tables) = text.split_once("layout =").expect("a layout");
                text = format!("{keys}roster = \"file.roster.csv\"\nlayout ={tables}");
            }
        }
        fs::write(self.path("shiftkeeper.toml"), text).expect("written");
        fs::write(self.path("secret"), "secret of the bench").expect("written");
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_shiftkeeper"))
            .args(arguments)
            .args(["--config", "shiftkeeper.toml"])
            .args(if arguments.contains(&"--apply") || arguments.contains(&"--check") {
                &["--tenant", "acme"][..]
            } else {
                &[]
            })
            .current_dir(&self.0)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.path("stdout")).expect("a file"))
            .stderr(fs::File::create(self.path("stderr")).expect("a file"))
            .spawn()
            .expect("starts");
        let status_file = format!("/proc/{}/status", child.id());
        let mut peak_kib = 0;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                break status;
            }
            let text = fs::read_to_string(&status_file).unwrap_or_default();
            let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").trim().parse().ok());
            peak_kib = peak_kib.max(peak.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(1));
        };
        let took = began.elapsed();
        let read = |name: &str| fs::read(self.path(name)).expect("readable");
        Ended { output: Output { status, stdout: read("stdout"), stderr: read("stderr") }, took, peak_kib }
    }
}
