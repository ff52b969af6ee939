//! Worlds as processes of their own: nothing of one seed is left for the next, and chance is the same in each.

#![expect(clippy::disallowed_methods, reason = "a test's own switches, and threads that wait for processes")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::failure_report::{WorldOutcome, failure_text, shrink};
use crate::plan::{END, Plan};
use crate::simulation::World;

const CHILD: &str = "SHIFTKEEPER_WORLD_CHILD";
const SEED: &str = "SHIFTKEEPER_WORLD_SEED";
const SEEDS: &str = "SHIFTKEEPER_WORLD_SEEDS";
const KEEP: &str = "SHIFTKEEPER_WORLD_KEEP";
const TRACE: &str = "SHIFTKEEPER_WORLD_TRACE";
const TIMES: &str = "SHIFTKEEPER_WORLD_TIMES";
const FAULT: &str = "SHIFTKEEPER_WORLD_FAULT";
const ANSWER: &str = "world: ";

/// Seeds of a usual run.
const DEFAULT_SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn kept_events() -> Option<Vec<usize>> {
    let text = std::env::var(KEEP).ok()?;
    Some(text.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().expect("a number")).collect())
}

/// Lives one world in this process and says how it ended.
fn run_in_process(seed: u64, keep: Option<&[usize]>) -> WorldOutcome {
    let drawn = Plan::draw(seed);
    let plan = keep.map_or_else(|| drawn.clone(), |kept| drawn.keep_events(kept));
    match World::new(plan).run() {
        Ok(lived) => {
            if let Some(file) = std::env::var_os(TRACE) {
                std::fs::write(file, lived.trace.join("\n")).expect("written");
            }
            WorldOutcome::Kept { hash: lived.hash, steps: lived.steps, covered: lived.coverage }
        }
        Err(broken) => broken.into(),
    }
}

/// Lives one world in a process of its own, by this program or another one.
fn run_child(search: &Search, seed: u64, keep: Option<&[usize]>) -> WorldOutcome {
    let mut child = Command::new(&search.program);
    child.args(["--exact", "search::one_seed", "--nocapture", "--test-threads=1"]);
    child.env(CHILD, "1").env(SEED, seed.to_string()).env("LD_PRELOAD", preload_library()).stdin(Stdio::null());
    match &search.fault {
        Some(name) => child.env(FAULT, name),
        None => child.env_remove(FAULT),
    };
    if let Some(kept) = keep {
        child.env(KEEP, kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    } else {
        child.env_remove(KEEP);
    }
    let done = child.output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout);
    let answer = said.lines().find_map(|line| line.split_once(ANSWER)).map(|(_, answer)| serde_json::from_str(answer));
    match answer {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) | None => WorldOutcome::Broken {
            law: format!("the world's process ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr)),
            at_ms: 0,
            told: Vec::new(),
        },
    }
}

/// What makes chance the same in each process, built once.
fn preload_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let fresh = folder.join(format!("still-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/world/still.c");
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&fresh, &source])
            .output()
            .expect("a C compiler (`cc`) is needed");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        // Several tests may build it at once; each must load a complete file.
        let into = folder.join("still.so");
        std::fs::rename(fresh, &into).expect("renamed");
        into
    })
}

fn failure_report(search: &Search, seed: u64, keep: Option<&[usize]>, broken: WorldOutcome, whole: bool) -> String {
    let plan = Plan::draw(seed);
    if let Some(kept) = keep {
        return failure_text(&plan, kept, &broken);
    }
    if !whole {
        let story = failure_text(&plan, &[], &broken);
        return story.lines().find(|line| line.contains("BROKEN")).unwrap_or_default().trim().to_owned();
    }
    let (kept, outcome) = shrink(&plan, broken, |kept| run_child(search, seed, Some(kept)));
    failure_text(&plan, &kept, &outcome)
}

/// A search for worlds that break a law.
pub struct Search {
    /// This program, or that of a copy with faults in it.
    pub program: PathBuf,
    /// The fault that is switched on in the copy.
    pub fault: Option<String>,
    pub first: u64,
    pub seeds: u64,
    /// Ends after this number was found.
    pub max_failures: usize,
}

impl Search {
    fn here(first: u64, seeds: u64) -> Self {
        let program = std::env::current_exe().expect("this program");
        Self { program, fault: None, first, seeds, max_failures: 5 }
    }
}

/// What a search found.
pub struct SearchResult {
    /// One for each world that broke a law.
    pub stories: Vec<String>,
    /// How many worlds were lived.
    pub worlds_run: u64,
    coverage: BTreeMap<String, u64>,
    steps: u64,
    duration: Duration,
}

/// Lives worlds, one for each processor at a time; `whole` stories are taken apart to the fewest happenings.
pub fn search(search: &Search, whole: bool) -> SearchResult {
    let (next, found) = (AtomicU64::new(search.first), Mutex::new(Vec::new()));
    let covered = Mutex::new(BTreeMap::<String, u64>::new());
    let (steps, lived) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= search.first + search.seeds || found.lock().expect("a lock").len() >= search.max_failures
                    {
                        return;
                    }
                    let outcome = run_child(search, seed, None);
                    lived.fetch_add(1, Ordering::Relaxed);
                    match outcome {
                        WorldOutcome::Kept { steps: own, covered: own_covered, .. } => {
                            steps.fetch_add(own, Ordering::Relaxed);
                            let mut covered = covered.lock().expect("a lock");
                            for (what, times) in own_covered {
                                *covered.entry(what).or_default() += times;
                            }
                        }
                        broken @ WorldOutcome::Broken { .. } => found.lock().expect("a lock").push((seed, broken)),
                    }
                }
            });
        }
    });
    let took = began.elapsed();
    let mut found = found.into_inner().expect("a lock");
    found.truncate(search.max_failures);
    let stories = found.into_iter().map(|(seed, broken)| failure_report(search, seed, None, broken, whole)).collect();
    SearchResult {
        stories,
        worlds_run: lived.into_inner(),
        coverage: covered.into_inner().expect("a lock"),
        steps: steps.into_inner(),
        duration: took,
    }
}

/// One seed, as a story where it breaks a law: `SHIFTKEEPER_WORLD_SEED=7 cargo nextest run --test world one_seed --no-capture`.
#[test]
fn one_seed() {
    let seed = number(SEED).unwrap_or(1);
    let keep = kept_events();
    if std::env::var_os(CHILD).is_some() {
        let outcome = run_in_process(seed, keep.as_deref());
        println!("{ANSWER}{}", serde_json::to_string(&outcome).expect("JSON"));
        return;
    }
    let search = Search::here(seed, 1);
    let outcome = run_child(&search, seed, keep.as_deref());
    match &outcome {
        WorldOutcome::Kept { hash, steps, .. } => {
            println!("seed {seed}: every law was kept in {steps} steps; trace {hash}");
        }
        WorldOutcome::Broken { .. } => panic!("{}", failure_report(&search, seed, keep.as_deref(), outcome, true)),
    }
}

/// Many seeds: 200, or as many as `SHIFTKEEPER_WORLD_SEEDS` says.
#[test]
fn many_seeds() {
    let seeds = number(SEEDS).unwrap_or(DEFAULT_SEEDS);
    let found = search(&Search::here(number(SEED).unwrap_or(1), seeds), true);
    for (what, times) in &found.coverage {
        println!("{times:>9}  {what}");
    }
    let days = END.as_secs() * found.worlds_run / 8640;
    println!(
        "{} seeds, {}.{} simulated days, {} steps in {:.0} s",
        found.worlds_run,
        days / 10,
        days % 10,
        found.steps,
        found.duration.as_secs_f64()
    );
    assert!(found.stories.is_empty(), "{}", found.stories.join("\n\n"));
}

/// The same seed gives the same run, whatever else runs: three times each, or as often as `SHIFTKEEPER_WORLD_TIMES`
/// says.
#[test]
fn a_seed_is_one_story() {
    let times = number(TIMES).unwrap_or(3);
    for seed in [3, 17] {
        let search = Search::here(seed, 1);
        let once = run_child(&search, seed, None);
        for _ in 1..times {
            assert_eq!(once, run_child(&search, seed, None), "seed {seed}");
        }
    }
}

/// What a seed draws, without living it.
#[test]
fn a_plan_can_be_read() {
    let plan = Plan::draw(number(SEED).unwrap_or(1));
    for (index, (at, what)) in plan.events.iter().enumerate() {
        println!("{index:>3}  {:>8.3} s  {what}", at.as_secs_f64());
    }
    assert!(!plan.events.is_empty());
}
