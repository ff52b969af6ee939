//! Checking a million audit entries: numbers, links, hashes, columns and signed heads, beside a bare SHA-256 over the same
//! bytes in the same run.
//!
//! `cargo bench --bench audit`; `SMALL=1` before it takes a tenth of the entries.

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
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use shiftkeeper::clock::{SeededRandom, SystemClock};
use shiftkeeper::domain::audit::head::HeadSigningKey;
use shiftkeeper::domain::audit::{AuditDraft, ChainHead, Hash};
use shiftkeeper::domain::ids::{SubjectId, TenantId, TransitionId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::engine::audit::heads::{HeadParts, HeadSettings, pass};
use shiftkeeper::engine::operations::tenants::Tenants;
use shiftkeeper::store::{ChainTrust, ProcessIdentity, ProcessRole, Store};

const START: i64 = 1_790_000_000_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let count = if std::env::var_os("SMALL").is_some() { 100_000 } else { 1_000_000 };
    // On a worker thread of the runtime, where commands run too.
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn_on(verify(count), runtime.handle());
    runtime.block_on(tasks.join_all());
}

/// Three entries of each transition, as the daemon writes them.
fn draft(n: u64) -> AuditDraft {
    let (action, outcome) = match n % 3 {
        0 => ("transition.requested", None),
        1 => ("transition.accepted", None),
        _ => ("transition.confirmed", Some("confirmed".to_owned())),
    };
    AuditDraft {
        tenant: "acme".into(),
        at: UtcMicros::from_micros(START + i64::try_from(n).expect("small") * 1_000_000),
        actor: "rule:back-from-break".into(),
        action,
        subject: Some(SubjectId(uuid::Uuid::from_u128(u128::from(n / 3 % 300)))),
        transition: Some(TransitionId(uuid::Uuid::from_u128(u128::from(n / 3)))),
        before: Some("Paused".into()),
        after: Some("Ready".into()),
        outcome,
        facts: json!({"because": "the break is over and the plan says work", "for_s": n % 900, "planned": "work"}),
        note_hash: None,
    }
}

async fn open(folder: &Path) -> Store {
    let url = format!("sqlite://{}", folder.join("store.db").display());
    let identity = ProcessIdentity { host: "bench".into(), pid: 1, version: "bench".into() };
    Store::open(&url, ProcessRole::Daemon, Arc::new(SystemClock::real()), &identity).await.expect("opens")
}

/// Fills the chain past the writer; gives the bytes of the bodies.
fn fill(file: &Path, count: u64) -> u64 {
    let mut peer = rusqlite::Connection::open(file).expect("opens");
    peer.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000").expect("settings");
    let transaction = peer.transaction().expect("begins");
    let (mut head, mut bytes) = (ChainHead::default(), 0);
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO audit_entries (tenant, seq, at, action, subject, transition, body, hash) \
                 VALUES ('acme', ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .expect("prepares");
        for n in 0..count {
            let draft = draft(n);
            let sealed = head.seal(&draft).expect("plain facts");
            bytes += sealed.body.len() as u64;
            let (subject, transition) =
                (draft.subject.map(|id| id.to_string()), draft.transition.map(|id| id.to_string()));
            insert
                .execute(rusqlite::params![
                    sealed.seq.cast_signed(),
                    draft.at.as_micros(),
                    draft.action,
                    subject,
                    transition,
                    sealed.body,
                    sealed.hash.0
                ])
                .expect("inserts");
        }
    }
    transaction.commit().expect("commits");
    bytes
}

/// SHA-256 over the bodies, which are in memory.
async fn bare(store: &Store, count: u64) -> Duration {
    let mut took = Duration::ZERO;
    let mut after = 0;
    while after < count {
        let page = store.reader().audit_entries(&"acme".into(), after, u32::MAX).await.expect("reads");
        after = page.last().expect("there are more").seq;
        let started = Instant::now();
        for entry in &page {
            assert_eq!(Hash::of(entry.body.as_bytes()).0[..], entry.hash[..]);
        }
        took += started.elapsed();
    }
    took
}

async fn verify(count: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("store.db");
    open(folder.path()).await.close().await;
    let bytes = fill(&file, count);
    let store = open(folder.path()).await;
    let key = HeadSigningKey::from_seed([7; 32]);
    let tenants = Tenants::from_ids([TenantId::from("acme")]);
    let parts = HeadParts {
        writer: store.writer().clone(),
        reader: store.reader().clone(),
        clock: Arc::new(SystemClock::real()),
        random: Arc::new(SeededRandom::new(1)),
        key: key.clone(),
        tenants,
        settings: HeadSettings { entries: 1000, folder: None },
        signing_lock: Arc::default(),
    };
    let started = Instant::now();
    let made = pass(&parts, 1).await.expect("signs").made;
    println!("{made} heads made over {count} entries in {:.2} s", started.elapsed().as_secs_f64());
    let (keys, megabytes) = ([key.public_key()], fs::metadata(&file).expect("is there").len() >> 20);
    for round in 1..=3 {
        let hashing = bare(&store, count).await;
        let (started, worked) = (Instant::now(), processor_time());
        let trust = ChainTrust { keys: &keys, heads: &[] };
        let verdict = store.reader().verify_chain(&"acme".into(), trust).await.expect("reads");
        let (took, worked) = (started.elapsed(), processor_time().saturating_sub(worked));
        assert!(verdict.is_valid() && verdict.entries == count, "{verdict:?}");
        println!(
            "round {round}: {count} entries ({megabytes} MB file, {} MB of bodies) verified in {:.2} s (to meet: 5 s a million; processor \
             time {:.2} s); bare SHA-256 {:.2} s; ratio {:.1}; memory {} MB at most",
            bytes >> 20,
            took.as_secs_f64(),
            worked.as_secs_f64(),
            hashing.as_secs_f64(),
            took.as_secs_f64() / hashing.as_secs_f64(),
            peak_megabytes()
        );
    }
    store.close().await;
}

/// What this process has used of all processors, which other work on the machine does not lengthen.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User's and system's, in hundredths of a second, after the name in parentheses.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn peak_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) >> 10
}
