//! The current fails: from a recording of every write and sync of the real binary, what the disk may hold afterwards is made,
//! and opened by the real store. Everything acknowledged before the cut is there, the chain holds, the database is whole.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shiftkeeper::app::identity;
use shiftkeeper::clock::{RealTime, SystemClock};
use shiftkeeper::domain::ids::TenantId;
use shiftkeeper::store::{ProcessRole, Reader, Store};

use super::recording::{ALL_OUTCOMES, Disk, Record, UnsyncedWrites, encode_marker, records_of};
use super::shim::{CHECKPOINT_OFTEN, CHECKPOINT_SELDOM, SYNC_FULL, SYNC_NORMAL, Shim};
use super::witness::{Extent, Witness};
use super::{TestRandom, integrity, print_progress};
use crate::harness::{Scenario, Setup, agent_ids, full_size};

/// Agents of the shift changes that are recorded.
fn team_size() -> usize {
    if full_size() { 120 } else { 40 }
}

/// Between two looks of the witness, in real time.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// A daemon whose disk is recorded.
struct RecordedDaemon {
    scenario: Scenario,
    shim: Shim,
    witness: Witness,
}

impl RecordedDaemon {
    async fn new(changes: &[(&str, &str)]) -> Self {
        let usual = Setup::team(team_size());
        let mut scenario = Scenario::without_daemon(Setup { speed: 20, ..usual }).await;
        let shim = Shim::over(scenario.folder.path(), true, changes);
        scenario.setup.binary = Some(shim.binary());
        for agent in agent_ids(team_size()) {
            scenario.set_agent_state(&agent, shiftkeeper::sim::SimState::Unavailable);
        }
        Self { scenario, shim, witness: Witness::default() }
    }

    /// Reads what can be read, and notes in the recording that it was there at this moment.
    async fn record_observed(&mut self, reader: &Reader) {
        let before = self.witness.extent();
        self.witness.read_new(reader, &self.scenario.tenant).await;
        if self.witness.extent() > before {
            self.mark();
        }
    }

    fn mark(&self) {
        let mut log = std::fs::File::options().append(true).open(self.shim.log()).expect("the shim's log");
        log.write_all(&encode_marker(self.witness.extent())).expect("written");
    }

    /// Requests a change of every agent, and waits until this number of changes is open.
    async fn request_changes(&mut self, to: &str, left: usize) {
        let taken = self.scenario.request_change(&agent_ids(team_size()), to).await;
        self.witness
            .record_accepted(taken.iter().map(|one| one["id"].as_str().expect("an id").parse().expect("an id")));
        self.mark();
        self.wait_until_open(left).await;
    }

    async fn wait_until_open(&mut self, left: usize) {
        let reader = self.scenario.reader().await;
        while reader.open_transitions(&self.scenario.tenant).await.expect("readable").len() > left {
            self.record_observed(&reader).await;
            RealTime::sleep(POLL_INTERVAL).await;
        }
        self.record_observed(&reader).await;
        reader.close().await;
    }

    fn records(&self) -> Vec<Record> {
        records_of(&std::fs::read(self.shim.log()).expect("readable"))
    }

    /// What was written down is what the files hold.
    fn assert_recording_matches_files(&self) {
        let mut disk = Disk::default();
        self.records().iter().for_each(|record| disk.apply(record));
        for end in ["", "-wal"] {
            let name = format!("shiftkeeper.db{end}");
            let found = std::fs::read(self.scenario.folder.path().join(&name)).ok();
            assert!(disk.content(&name) == found, "the recording of {name} is not what the file holds");
        }
    }

    /// Ends the daemon amidst its work, at a moment at which the recording is complete.
    async fn kill_daemon(&mut self) {
        self.shim.kill_at_next_call();
        let (status, _, log) = self.scenario.take_process().wait_for_exit().await;
        assert_eq!(status.signal(), Some(9), "{status}: {log}");
        self.shim.stop_failing();
    }

    /// A first start, an import, changes; a stop in order; a kill amidst changes; a recovery, changes, a stop.
    async fn run(mut self) -> (Witness, Vec<Record>) {
        self.scenario.start_daemon().await;
        let schedule = self.scenario.setup.schedule.clone().expect("a team has one");
        self.scenario.import(&schedule).await;
        self.scenario.wait_until_observed().await;
        self.request_changes("Ready", 0).await;
        self.scenario.stop_daemon().await;
        self.assert_recording_matches_files();
        self.scenario.start_daemon().await;
        self.request_changes("NotReady", team_size() / 2).await;
        self.kill_daemon().await;
        self.assert_recording_matches_files();
        self.scenario.start_daemon().await;
        self.wait_until_open(0).await;
        self.request_changes("Ready", 0).await;
        self.scenario.stop_daemon().await;
        self.assert_recording_matches_files();
        let records = self.records();
        self.scenario.sim.stop().await;
        (self.witness, records)
    }
}

/// What was found on the disks after the cuts.
#[derive(Default, Debug)]
struct Findings {
    images: BTreeMap<String, usize>,
    lost: Vec<String>,
    broken: Vec<String>,
}

/// Cuts the current so often: every second time at a sync, the others anywhere.
async fn simulate_power_cuts(
    records: &[Record],
    witness: &Witness,
    tenant: &TenantId,
    images: usize,
    draws: &TestRandom,
) -> Findings {
    let syncs: Vec<usize> = (0..records.len()).filter(|place| matches!(records[*place], Record::Sync { .. })).collect();
    let mut cuts: Vec<usize> = (0..images)
        .map(|number| match number % 4 {
            // Just before a sync takes effect, and just after.
            0 => syncs[draws.below(syncs.len())],
            2 => syncs[draws.below(syncs.len())] + 1,
            _ => draws.below(records.len()),
        })
        .collect();
    cuts.sort_unstable();
    let (mut findings, mut disk, mut played) = (Findings::default(), Disk::default(), 0);
    for cut in cuts {
        records[played..cut].iter().for_each(|record| disk.apply(record));
        played = cut;
        let fate = ALL_OUTCOMES[draws.below(ALL_OUTCOMES.len())];
        *findings.images.entry(format!("{fate:?}")).or_default() += 1;
        let folder = tempfile::tempdir().expect("a folder");
        disk.write_image(folder.path(), fate, draws);
        match examine(folder.path(), witness, disk.acknowledged, tenant).await {
            Ok(None) => {}
            Ok(Some(lost)) => findings.lost.push(cut_description(cut, records, fate, &lost)),
            Err(broken) => findings.broken.push(cut_description(cut, records, fate, &broken)),
        }
    }
    findings
}

fn cut_description(cut: usize, records: &[Record], fate: UnsyncedWrites, what: &str) -> String {
    format!("{what} (cut at {cut} of {}, what was not synced: {fate:?})", records.len())
}

/// Opens what was found: what is lost of it, or what is wrong with it.
async fn examine(
    folder: &Path,
    witness: &Witness,
    extent: Extent,
    tenant: &TenantId,
) -> Result<Option<String>, String> {
    let database = folder.join("shiftkeeper.db");
    let url = format!("sqlite://{}", database.display());
    let opened = Store::open(&url, ProcessRole::Daemon, Arc::new(SystemClock::real()), &identity()).await;
    let store = opened.map_err(|error| format!("it does not open: {:#}", anyhow::Error::from(error)))?;
    let lost = witness.loss(extent, store.reader(), tenant).await;
    store.close().await;
    match integrity(&database).as_str() {
        "ok" => Ok(lost),
        complaint => Err(complaint.to_owned()),
    }
}

async fn power_loss(changes: &[(&str, &str)]) -> Findings {
    let draws = TestRandom::of_this_run();
    let images = if full_size() { 500 } else { 60 };
    let recorded = RecordedDaemon::new(changes).await;
    let tenant = recorded.scenario.tenant.clone();
    let (witness, records) = recorded.run().await;
    let synced = |end: &str| {
        records.iter().filter(|record| matches!(record, Record::Sync { name } if name.ends_with(end))).count()
    };
    print_progress(format!(
        "{} records; the log was synced {} times, the database {} times",
        records.len(),
        synced("-wal"),
        synced(".db")
    ));
    assert!(synced(".db") > 10, "the recording holds checkpoints");
    let findings = simulate_power_cuts(&records, &witness, &tenant, images, &draws).await;
    print_progress(format!("{} lost, {} broken, of {:?}", findings.lost.len(), findings.broken.len(), findings.images));
    findings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let findings = power_loss(&[(CHECKPOINT_SELDOM, CHECKPOINT_OFTEN)]).await;
    assert!(findings.broken.is_empty(), "{:#?}", findings.broken);
    assert!(findings.lost.is_empty(), "{:#?}", findings.lost);
}

/// The judge judged: a binary that syncs its log at checkpoints alone loses what it acknowledged, and this is found. (SQLite
/// syncs a database less carefully then also while it is made, and what a cut leaves of one may not open.)
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_with_fewer_syncs_is_found_to_lose_what_was_acknowledged() {
    let findings = power_loss(&[(CHECKPOINT_SELDOM, CHECKPOINT_OFTEN), (SYNC_FULL, SYNC_NORMAL)]).await;
    assert!(!findings.lost.is_empty(), "nothing was lost although commits were not synced");
}
