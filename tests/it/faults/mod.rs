//! The real binary killed, cut off from the current, and put on a disk that is full or fails: nothing that was acknowledged is
//! lost, nothing is done twice. `docs/testing.md` says how the full forms are run.

mod disk;
mod kill;
mod power_loss;
mod recording;
mod shim;
mod witness;

use std::path::Path;

use shiftkeeper::clock::{Random as _, SeededRandom};

/// Draws for the moments of kills and for what a power cut leaves; seeded, so that a run can be repeated.
pub struct TestRandom(SeededRandom);

impl TestRandom {
    /// From `SHIFTKEEPER_TEST_SEED`, 1 without it; prints it.
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, which the product must not know")]
    pub fn of_this_run() -> Self {
        let seed = std::env::var("SHIFTKEEPER_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        print_progress(format!("seed {seed}"));
        Self(SeededRandom::new(seed))
    }

    /// A whole number below `limit`, which is more than 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
    pub fn below(&self, limit: usize) -> usize {
        ((self.0.unit() * limit as f64) as usize).min(limit - 1)
    }

    /// Heads or tails.
    pub fn coin(&self) -> bool {
        self.0.unit() < 0.5
    }
}

/// Figures of a run, for `docs/testing.md`; seen with `--no-capture`.
#[expect(clippy::print_stdout, reason = "a campaign tells what it did")]
pub fn print_progress(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// The one point to try, where `SHIFTKEEPER_TEST_ONLY` names it by its number.
#[expect(clippy::disallowed_methods, reason = "a test's own switch, which the product must not know")]
pub fn only() -> Option<usize> {
    std::env::var("SHIFTKEEPER_TEST_ONLY").ok()?.parse().ok()
}

/// What SQLite itself says of a database that nobody has open; `ok` when all is well.
pub fn integrity(database: &Path) -> String {
    let connection = rusqlite::Connection::open(database).expect("SQLite opens it");
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap_or_else(|error| error.to_string())
}
