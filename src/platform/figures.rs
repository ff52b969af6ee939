//! Figures of skills and queues as read from an answer, independent of the dialect, with diagnostics.

use std::sync::Arc;

use crate::domain::ids::QueueId;
use crate::domain::live::figures::Unit;

use super::snapshot::{MAX_DIAGNOSTICS, SnapshotFault};

/// The maximum number of skills or queues in one read of figures (source: guide 001, for queues).
pub const MAX_PER_READ: usize = 100;

/// The figures of skills or queues in an answer.
#[derive(Clone, PartialEq, Debug)]
pub struct FiguresRead<T> {
    /// At most one entry for each requested skill or queue. A missing one was not reported: its last known figures are
    /// outdated, not zero.
    pub figures: Vec<T>,
    /// The problems of the answer, at most [`MAX_DIAGNOSTICS`].
    pub diagnostics: Vec<FigureDiagnostic>,
    /// The number of further problems.
    pub more_diagnostics: usize,
}

/// A problem of an answer that did not prevent it from being read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FigureDiagnostic {
    /// The row, counted from 0.
    pub row: usize,
    /// The skill or queue, if the row names one.
    pub subject: Option<Arc<str>>,
    /// The problem.
    pub fault: SnapshotFault,
}

impl<T> Default for FiguresRead<T> {
    fn default() -> Self {
        Self { figures: Vec::new(), diagnostics: Vec::new(), more_diagnostics: 0 }
    }
}

impl<T> FiguresRead<T> {
    pub(super) fn add_diagnostic(&mut self, row: usize, subject: Option<&str>, fault: SnapshotFault) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(FigureDiagnostic { row, subject: subject.map(Arc::from), fault });
        } else {
            self.more_diagnostics += 1;
        }
    }
}

/// Returns a figure in its own unit; `None` if it is impossible.
pub(super) fn figure_value(number: f64, unit: Unit, share: ShareUnit) -> Option<u64> {
    let scaled = match (unit, share) {
        (Unit::Count, _) if number.fract() == 0.0 => number,
        (Unit::Count, _) => return None,
        (Unit::Seconds | Unit::Millis, _) => number.round(),
        (Unit::Ppm, ShareUnit::Fraction) => (number * 1e6).round(),
        (Unit::Ppm, ShareUnit::Percent) => (number * 1e4).round(),
    };
    whole_within(scaled, unit.max_value())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a whole number from 0 to a limit far below 2⁵³"
)]
fn whole_within(number: f64, max: u64) -> Option<u64> {
    (0.0..=max as f64).contains(&number).then_some(number as u64)
}

/// A queue in the platform's list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedQueue {
    /// The queue's id.
    pub id: QueueId,
    /// The queue's name, if it has one.
    pub name: Option<Arc<str>>,
}

/// The unit of a platform's service levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareUnit {
    /// A share of 1.
    Fraction,
    /// Percent.
    Percent,
}
