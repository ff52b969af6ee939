//! What a disk holds after a power cut, worked out from a recording of every write and sync.
//!
//! What was synced is there. Of what was not, anything may be: none of it, some writes in any order, parts of writes. A sector
//! of 512 bytes is written whole or not at all. A file's name is on the disk once its folder was synced after its making, and
//! off it once it was synced after the removal; until then both may be found. The shared-memory file beside a SQLite database
//! is made anew at every start and is left out.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use super::TestRandom;
use super::witness::Extent;

const SECTOR: usize = 512;

/// Length of a record's header.
const HEADER: usize = 16;

/// One thing that was done to the files of the folder, or a marker between.
#[derive(Debug, Clone)]
pub enum Record {
    Write {
        name: String,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        name: String,
        length: usize,
    },
    Sync {
        name: String,
    },
    SyncFolder,
    Remove {
        name: String,
    },
    Fault {
        name: String,
        errno: u64,
    },
    /// A file got another name.
    Rename {
        name: String,
        to: String,
    },
    /// So much was acknowledged by now.
    Marker(Extent),
}

/// Reads the shim's log.
pub fn records_of(mut log: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while log.len() >= HEADER {
        let name_length = usize::from(log[1]);
        let length = u32::from_le_bytes(log[4..8].try_into().expect("4 bytes")) as usize;
        let number = u64::from_le_bytes(log[8..16].try_into().expect("8 bytes"));
        if log.len() < HEADER + name_length + length {
            break;
        }
        let name = String::from_utf8(log[HEADER..HEADER + name_length].to_vec()).expect("a plain name");
        let data = log[HEADER + name_length..HEADER + name_length + length].to_vec();
        let place = usize::try_from(number).expect("a small file");
        records.push(match log[0] {
            b'W' => Record::Write { name, offset: place, data },
            b'T' => Record::Truncate { name, length: place },
            b'S' if name.is_empty() => Record::SyncFolder,
            b'S' => Record::Sync { name },
            b'U' => Record::Remove { name },
            b'R' => Record::Rename { name, to: String::from_utf8(data).expect("a plain name") },
            b'F' => Record::Fault { name, errno: number },
            b'M' => Record::Marker(extent_of(&data)),
            other => panic!("a record of kind {other}"),
        });
        log = &log[HEADER + name_length + length..];
    }
    records
}

/// A marker as it is appended to the log between the shim's records.
pub fn encode_marker(extent: Extent) -> Vec<u8> {
    let data: Vec<u8> = [extent.audit, extent.events, extent.transitions]
        .iter()
        .flat_map(|count| (*count as u64).to_le_bytes())
        .collect();
    let mut record = vec![0; HEADER];
    record[0] = b'M';
    record[4..8].copy_from_slice(&u32::try_from(data.len()).expect("small").to_le_bytes());
    record.extend(data);
    record
}

fn extent_of(data: &[u8]) -> Extent {
    let count = |place: usize| {
        let bytes = data[place * 8..place * 8 + 8].try_into().expect("8 bytes");
        usize::try_from(u64::from_le_bytes(bytes)).expect("a small count")
    };
    Extent { audit: count(0), events: count(1), transitions: count(2) }
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone, Default, Debug)]
struct File {
    /// As it is on the disk for certain.
    synced: Vec<u8>,
    /// What came since, in its order.
    pending: Vec<Change>,
    /// Whether its name is on the disk.
    named: bool,
}

/// What becomes of what was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnsyncedWrites {
    /// It is gone.
    Dropped,
    /// Some writes are there and others are not, whichever came first.
    Reordered,
    /// The same by sectors: writes are torn.
    Torn,
    /// Everything up to some write is there, part of that one, and nothing after it.
    CutOff,
}

pub const ALL_OUTCOMES: [UnsyncedWrites; 4] =
    [UnsyncedWrites::Dropped, UnsyncedWrites::Reordered, UnsyncedWrites::Torn, UnsyncedWrites::CutOff];

/// The disk, as far as a recording was played.
#[derive(Default, Debug)]
pub struct Disk {
    files: BTreeMap<String, File>,
    /// Removed, and not yet for certain.
    removed: BTreeMap<String, File>,
    /// What was acknowledged by now.
    pub acknowledged: Extent,
}

impl Disk {
    /// Plays one record.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Write { name, offset, data } => {
                self.file(name).pending.push(Change::Write { offset: *offset, data: data.clone() });
            }
            Record::Truncate { name, length } => self.file(name).pending.push(Change::Truncate(*length)),
            Record::Sync { name } => {
                let file = self.file(name);
                for change in std::mem::take(&mut file.pending) {
                    change.apply(&mut file.synced);
                }
            }
            Record::SyncFolder => {
                self.files.values_mut().for_each(|file| file.named = true);
                self.removed.clear();
            }
            Record::Remove { name } => {
                if let Some(file) = self.files.remove(name).filter(|file| file.named) {
                    self.removed.insert(name.clone(), file);
                }
            }
            Record::Rename { name, to } => {
                let Some(file) = self.files.remove(name) else { return };
                if let Some(replaced) = self.files.remove(to).filter(|file| file.named) {
                    self.removed.insert(to.clone(), replaced);
                }
                if file.named {
                    self.removed.insert(name.clone(), file.clone());
                }
                self.files.insert(to.clone(), File { named: false, ..file });
            }
            Record::Fault { name, errno } => panic!("{name} failed with {errno} in a recording"),
            Record::Marker(extent) => self.acknowledged = *extent,
        }
    }

    fn file(&mut self, name: &str) -> &mut File {
        self.files.entry(name.to_owned()).or_default()
    }

    /// A file as the running system sees it; none where it is not there.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files.get(name)?;
        let mut bytes = file.synced.clone();
        file.pending.iter().for_each(|change| change.apply(&mut bytes));
        Some(bytes)
    }

    /// Writes what may be found after a power cut into a folder.
    pub fn write_image(&self, folder: &Path, fate: UnsyncedWrites, draws: &TestRandom) {
        let kept = |file: &File| file.named || (fate != UnsyncedWrites::Dropped && draws.coin());
        let mut found: BTreeMap<&String, Vec<u8>> = BTreeMap::new();
        for (name, file) in &self.removed {
            if draws.coin() {
                found.insert(name, file.content_after_cut(fate, draws));
            }
        }
        for (name, file) in &self.files {
            if kept(file) {
                found.insert(name, file.content_after_cut(fate, draws));
            }
        }
        for (name, bytes) in found {
            if !name.ends_with("-shm") {
                std::fs::write(folder.join(name), bytes).expect("written");
            }
        }
    }
}

impl File {
    fn content_after_cut(&self, fate: UnsyncedWrites, draws: &TestRandom) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let cut_off = if self.pending.is_empty() { 0 } else { draws.below(self.pending.len()) };
        for (number, change) in self.pending.iter().enumerate() {
            match fate {
                UnsyncedWrites::Dropped => {}
                UnsyncedWrites::Reordered => {
                    let all = draws.coin();
                    change.apply_torn(&mut bytes, |_| all);
                }
                UnsyncedWrites::Torn => change.apply_torn(&mut bytes, |_| draws.coin()),
                UnsyncedWrites::CutOff => {
                    let whole = match number.cmp(&cut_off) {
                        Ordering::Less => change.sectors(),
                        Ordering::Equal => draws.below(change.sectors() + 1),
                        Ordering::Greater => 0,
                    };
                    change.apply_torn(&mut bytes, |sector| sector < whole);
                }
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        self.apply_torn(bytes, |_| true);
    }

    fn sectors(&self) -> usize {
        match self {
            Self::Truncate(_) => 1,
            Self::Write { offset, data } => (offset + data.len()).div_ceil(SECTOR) - offset / SECTOR,
        }
    }

    /// Applies those sectors of the change, counted from its first, that `keeps` says.
    fn apply_torn(&self, bytes: &mut Vec<u8>, mut keeps: impl FnMut(usize) -> bool) {
        match self {
            Self::Truncate(length) => {
                if keeps(0) {
                    bytes.resize(*length, 0);
                }
            }
            Self::Write { offset, data } => {
                for sector in 0..self.sectors() {
                    let start = ((offset / SECTOR + sector) * SECTOR).max(*offset);
                    let end = ((offset / SECTOR + sector + 1) * SECTOR).min(offset + data.len());
                    if keeps(sector) {
                        if bytes.len() < end {
                            bytes.resize(end, 0);
                        }
                        bytes[start..end].copy_from_slice(&data[start - offset..end - offset]);
                    }
                }
            }
        }
    }
}

#[test]
fn what_was_synced_is_there_and_what_was_not_may_be_in_part() {
    let write = |byte: u8, offset: usize| Record::Write { name: "a".into(), offset, data: vec![byte; 1000] };
    let draws = TestRandom::of_this_run();
    let image = |disk: &Disk, fate| {
        let folder = tempfile::tempdir().expect("a folder");
        disk.write_image(folder.path(), fate, &draws);
        std::fs::read(folder.path().join("a")).ok()
    };
    let mut disk = Disk::default();
    disk.apply(&write(1, 0));
    disk.apply(&Record::Sync { name: "a".into() });
    assert_eq!(image(&disk, UnsyncedWrites::Dropped), None, "nobody synced the folder");
    disk.apply(&Record::SyncFolder);
    disk.apply(&write(2, 500));
    disk.apply(&Record::Marker(Extent { audit: 7, events: 8, transitions: 9 }));
    assert_eq!(image(&disk, UnsyncedWrites::Dropped), Some(vec![1; 1000]));
    for _ in 0..100 {
        let torn = image(&disk, UnsyncedWrites::Torn).expect("its name is there");
        assert!(torn[..500].iter().all(|byte| *byte == 1), "what was synced is whole");
        assert!(torn[500..512].iter().all(|byte| *byte == torn[500]), "so is each sector");
        let reordered = image(&disk, UnsyncedWrites::Reordered).expect("its name is there");
        assert!([1000, 1500].contains(&reordered.len()), "a write is there whole or not at all");
    }
    disk.apply(&Record::Remove { name: "a".into() });
    let found: Vec<bool> = (0..50).map(|_| image(&disk, UnsyncedWrites::Dropped).is_some()).collect();
    assert!(found.contains(&true) && found.contains(&false), "the removal may have come through or not");
    disk.apply(&Record::SyncFolder);
    assert_eq!(image(&disk, UnsyncedWrites::Torn), None);
    let Record::Marker(read) = records_of(&encode_marker(disk.acknowledged)).remove(0) else { panic!("a marker") };
    assert_eq!(read, Extent { audit: 7, events: 8, transitions: 9 });
}
