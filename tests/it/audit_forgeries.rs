//! Somebody with a database tool and all the time in the world forges the audit table; heads that left the host before show it.
//!
//! 300 forgeries, with `SHIFTKEEPER_TEST_FULL=1` 10,000, each on the same chain as it was written. Most are held against every
//! head that was received, so that the first bad entry must be named exactly; some against the last one alone, where it must be
//! found, and be named within what that head can know.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use shiftkeeper::clock::{Clock, ManualClock, Random, SeededRandom};
use shiftkeeper::domain::audit::head::{HeadSigningKey, SignedHead, read_heads};
use shiftkeeper::domain::audit::{AuditDraft, Hash};
use shiftkeeper::domain::ids::{SubjectId, TenantId, TransitionId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::engine::audit::heads::{HeadParts, HeadSettings, pass};
use shiftkeeper::engine::operations::tenants::Tenants;
use shiftkeeper::store::{ChainTrust, Commit, ProcessIdentity, ProcessRole, Store};

use crate::harness::full_size;

/// Entries of the chain; those after the last head are younger than five minutes.
const ENTRIES: u64 = 240;
const LAST_HEAD: u64 = 220;
const SEED: u64 = 20_261_122;

fn draft(n: u64, at: UtcMicros) -> AuditDraft {
    AuditDraft {
        tenant: "acme".into(),
        at,
        actor: format!("rule:rule-{}", n % 7),
        action: ["transition.requested", "transition.accepted", "transition.confirmed"][(n % 3) as usize],
        subject: Some(SubjectId(uuid::Uuid::from_u128(u128::from(n % 11)))),
        transition: (!n.is_multiple_of(5)).then(|| TransitionId(uuid::Uuid::from_u128(u128::from(n / 3)))),
        before: Some("Paused".into()),
        after: Some("Ready".into()),
        outcome: None,
        facts: json!({"for_s": n, "planned": "work", "words": "Mittagspause für \u{1F600}"}),
        note_hash: None,
    }
}

/// Writes the chain with heads on the way; gives them as webhooks brought them, and the key that signed.
async fn write_chain(url: &str) -> (Vec<SignedHead>, HeadSigningKey) {
    let clock = ManualClock::at(UtcMicros::from_micros(1_790_000_000_000_000));
    let identity = ProcessIdentity { host: "desk-7".into(), pid: 1, version: "0.1.0".into() };
    let store = Store::open(url, ProcessRole::Daemon, Arc::new(clock.clone()), &identity).await.expect("opens");
    let tenants = Tenants::from_ids([TenantId::from("acme")]);
    let parts = HeadParts {
        writer: store.writer().clone(),
        reader: store.reader().clone(),
        clock: Arc::new(clock.clone()),
        random: Arc::new(SeededRandom::new(SEED)),
        key: HeadSigningKey::from_seed([7; 32]),
        tenants,
        settings: HeadSettings { entries: 1000, folder: None },
        signing_lock: Arc::default(),
    };
    let mut written = 0;
    for until in [1, 30, 31, 90, 140, LAST_HEAD, ENTRIES] {
        let audit = (written + 1..=until).map(|n| draft(n, clock.now())).collect();
        store.writer().commit(Commit { audit, ..Commit::default() }).await.expect("commits");
        written = until;
        clock.advance(Duration::from_secs(290));
        if until <= LAST_HEAD {
            assert_eq!(pass(&parts, 1).await.expect("signs").made, 1);
        }
    }
    let events = store.reader().events(&"acme".into(), 0, 500).await.expect("reads");
    let bodies = events.iter().filter(|event| event.kind == EventKind::AuditHead).map(|event| event.body.as_str());
    let heads = read_heads(&bodies.collect::<Vec<_>>().join("\n")).expect("heads");
    store.close().await;
    (heads, parts.key)
}

#[derive(Clone)]
struct Row {
    seq: u64,
    at: i64,
    action: String,
    subject: Option<String>,
    transition: Option<String>,
    body: String,
    hash: Vec<u8>,
}

impl Row {
    /// Takes this place in a chain: number, link and hash fit, as a forger who knows how would make them.
    fn link_to(&mut self, seq: u64, prev: &str) {
        let mut body: Value = serde_json::from_str(&self.body).expect("JSON");
        body["seq"] = json!(seq);
        body["prev"] = json!(prev);
        self.seq = seq;
        self.body = serde_jcs::to_string(&body).expect("canonical");
        self.hash = Hash::of(self.body.as_bytes()).0.to_vec();
    }

    fn hash_text(&self) -> String {
        Hash::from_slice(&self.hash).expect("whole").to_string()
    }
}

/// Links all entries again, from position `from` on.
fn relink(rows: &mut [Row], from: usize) {
    for place in from..rows.len() {
        let prev = place.checked_sub(1).map_or_else(|| "0".repeat(64), |before| rows[before].hash_text());
        rows[place].link_to(place as u64 + 1, &prev);
    }
}

/// Another text that is still an entry: the action is described differently.
fn alter_row(row: &mut Row, dice: &mut TestRandom) {
    let mut body: Value = serde_json::from_str(&row.body).expect("JSON");
    match dice.below(4) {
        0 => body["actor"] = json!("person:somebody-else"),
        1 => body["after"] = json!("LoggedOut"),
        2 => body["why"] = json!({"planned": "nothing"}),
        _ => body["outcome"] = json!("confirmed"),
    }
    row.body = serde_jcs::to_string(&body).expect("canonical");
}

struct TestRandom(SeededRandom);

impl TestRandom {
    /// Uniform in `0..limit`.
    fn below(&mut self, limit: u64) -> u64 {
        let bytes = self.0.bytes();
        u64::from_le_bytes(bytes[..8].try_into().expect("eight")) % limit
    }

    /// A place among the first `count`.
    fn index_below(&mut self, count: u64) -> usize {
        usize::try_from(self.below(count)).expect("small")
    }
}

const KINDS: [&str; 12] = [
    "body edited",
    "one letter changed",
    "column edited",
    "hash edited",
    "edited and hashed anew",
    "deleted",
    "several deleted",
    "inserted",
    "two swapped",
    "tail cut",
    "suffix re-chained after an edit",
    "suffix re-chained after a deletion",
];

/// Forges; gives the first entry that is not what was written.
fn forge(kind: &str, rows: &mut Vec<Row>, dice: &mut TestRandom) -> u64 {
    let (all, headed) = (dice.index_below(ENTRIES), dice.index_below(LAST_HEAD));
    let place = match kind {
        "body edited" => {
            alter_row(&mut rows[all], dice);
            all
        }
        "one letter changed" => {
            let letters: Vec<char> = rows[all].body.chars().collect();
            let victim = dice.index_below(letters.len() as u64);
            let other = if letters[victim] == 'x' { 'y' } else { 'x' };
            rows[all].body = letters.iter().enumerate().map(|(n, l)| if n == victim { other } else { *l }).collect();
            all
        }
        "column edited" => {
            let row = &mut rows[all];
            match dice.below(4) {
                0 => row.at += 1,
                1 => row.action.push('s'),
                2 => row.subject = row.subject.is_none().then(|| "someone".to_owned()),
                _ => row.transition = row.transition.is_none().then(|| "some".to_owned()),
            }
            all
        }
        "hash edited" => {
            let byte = dice.index_below(32);
            rows[all].hash[byte] ^= 1 << dice.below(8);
            all
        }
        "edited and hashed anew" => {
            alter_row(&mut rows[headed], dice);
            rows[headed].hash = Hash::of(rows[headed].body.as_bytes()).0.to_vec();
            headed
        }
        other => return forge_order(other, rows, dice),
    };
    place as u64 + 1
}

/// [`forge`] for what touches more entries than one. Only where heads reach: a younger tail may be rewritten unseen.
fn forge_order(kind: &str, rows: &mut Vec<Row>, dice: &mut TestRandom) -> u64 {
    let headed = dice.index_below(LAST_HEAD);
    let place = match kind {
        "deleted" => {
            rows.remove(headed);
            headed
        }
        "several deleted" => {
            let count = 1 + dice.index_below(20).min(rows.len() - headed - 1);
            rows.drain(headed..headed + count);
            headed
        }
        "inserted" => {
            let mut fresh = rows[headed].clone();
            let prev = headed.checked_sub(1).map_or_else(|| "0".repeat(64), |before| rows[before].hash_text());
            alter_row(&mut fresh, dice);
            fresh.link_to(headed as u64 + 1, &prev);
            rows[headed..].iter_mut().for_each(|row| row.seq += 1);
            rows.insert(headed, fresh);
            headed
        }
        "two swapped" => {
            let other = (headed + 1 + dice.index_below(ENTRIES - 1)) % rows.len();
            let (first, second) = (headed.min(other), headed.max(other));
            rows.swap(first, second);
            rows[first].seq = first as u64 + 1;
            rows[second].seq = second as u64 + 1;
            first
        }
        "tail cut" => {
            rows.truncate(headed);
            headed
        }
        "suffix re-chained after an edit" => {
            alter_row(&mut rows[headed], dice);
            relink(rows, headed);
            headed
        }
        "suffix re-chained after a deletion" => {
            rows.remove(headed);
            relink(rows, headed);
            headed
        }
        other => panic!("{other}"),
    };
    place as u64 + 1
}

/// What happens to the heads that are stored beside the chain.
fn forge_heads(forger: &Connection, dice: &mut TestRandom, bad: u64) {
    match dice.below(4) {
        0 => {}
        1 => {
            forger.execute("DELETE FROM audit_heads WHERE seq >= ?1", [bad.cast_signed()]).expect("deleted");
        }
        2 => {
            forger.execute("DELETE FROM audit_heads", []).expect("deleted");
        }
        _ => {
            forger
                .execute("UPDATE audit_heads SET hash = zeroblob(32) WHERE seq >= ?1", [bad.cast_signed()])
                .expect("forged");
        }
    }
}

fn read(forger: &Connection) -> Vec<Row> {
    let mut statement = forger
        .prepare("SELECT seq, at, action, subject, transition, body, hash FROM audit_entries ORDER BY seq")
        .expect("prepares");
    let rows = statement.query_map([], |row| {
        Ok(Row {
            seq: row.get::<_, i64>(0)?.unsigned_abs(),
            at: row.get(1)?,
            action: row.get(2)?,
            subject: row.get(3)?,
            transition: row.get(4)?,
            body: row.get(5)?,
            hash: row.get(6)?,
        })
    });
    rows.expect("reads").map(|row| row.expect("a row")).collect()
}

fn write(forger: &mut Connection, rows: &[Row], heads: impl FnOnce(&Connection)) {
    let transaction = forger.transaction().expect("begins");
    transaction
        .execute_batch(
            "DELETE FROM audit_entries; DELETE FROM audit_heads; INSERT INTO audit_heads SELECT * FROM kept_heads",
        )
        .expect("as it was");
    {
        let mut insert = transaction
            .prepare("INSERT INTO audit_entries VALUES ('acme', ?1, ?2, ?3, ?4, ?5, ?6, ?7)")
            .expect("prepares");
        for row in rows {
            let Row { seq, at, action, subject, transition, body, hash } = row;
            insert.execute(params![seq.cast_signed(), at, action, subject, transition, body, hash]).expect("inserts");
        }
    }
    heads(&transaction);
    transaction.commit().expect("commits");
}

fn open_without_triggers(file: &Path) -> Connection {
    let forger = Connection::open(file).expect("opens");
    let triggers: Vec<String> = {
        let mut names = forger.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").expect("prepares");
        names.query_map([], |row| row.get(0)).expect("reads").map(|name| name.expect("a name")).collect()
    };
    for name in triggers {
        forger.execute_batch(&format!("DROP TRIGGER {name}")).expect("dropped");
    }
    forger
        .execute_batch("PRAGMA synchronous = OFF; CREATE TABLE kept_heads AS SELECT * FROM audit_heads")
        .expect("settings");
    forger
}

#[tokio::test(flavor = "multi_thread")]
async fn every_forgery_is_found_and_the_first_bad_entry_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keeper.db");
    let url = format!("sqlite://{}", file.display());
    let (heads, key) = write_chain(&url).await;
    let keys = [key.public_key()];
    let mut forger = open_without_triggers(&file);
    let whole = read(&forger);
    let mut dice = TestRandom(SeededRandom::new(SEED));
    let reader = Store::read(&url).await.expect("reads");
    let acme = TenantId::from("acme");
    let sound = reader.verify_chain(&acme, ChainTrust { keys: &keys, heads: &heads }).await.expect("reads");
    assert!(sound.is_valid() && sound.entries == ENTRIES, "{sound:?}");

    let rounds: usize = if full_size() { 10_000 } else { 300 };
    let mut found: BTreeMap<(&str, &str), (u32, u32)> = BTreeMap::new();
    for round in 0..rounds {
        let kind = KINDS[round % KINDS.len()];
        // Now and then only the last head was kept, and the stored ones are gone.
        let last_alone = dice.below(5) == 0;
        let mut rows = whole.clone();
        let bad = forge(kind, &mut rows, &mut dice);
        write(&mut forger, &rows, |forger| {
            if last_alone {
                forger.execute("DELETE FROM audit_heads", []).expect("deleted");
            } else {
                forge_heads(forger, &mut dice, bad);
            }
        });
        let kept = if last_alone { &heads[heads.len() - 1..] } else { &heads[..] };
        let verdict = reader.verify_chain(&acme, ChainTrust { keys: &keys, heads: kept }).await.expect("reads");
        let named = verdict.first_bad.unwrap_or_else(|| panic!("round {round}: {kind} at {bad} was not found"));
        let what = format!("round {round}: {kind} at {bad}, the last head alone: {last_alone}, named: {named:?}");
        let exact = named.seq == bad;
        if last_alone {
            let first_marked = heads[heads.len() - 1].claim.first_marked_seq();
            let is_known = exact || named.seq == bad + 1 || named.seq == first_marked;
            assert!(is_known && named.seq >= bad, "{what}");
        } else {
            assert!(exact, "{what}");
        }
        let tally = found.entry((if last_alone { "last head" } else { "all heads" }, kind)).or_default();
        tally.0 += 1;
        tally.1 += u32::from(exact);
    }
    reader.close().await;
    for ((kept, kind), (count, exact)) in found {
        println!("{kept}, {kind}: {count} of {count} found, {exact} named exactly");
    }
}
