//! Figures of skills and queues as read from an answer, independent of the dialect, with diagnostics.

use std::sync::Arc;

use crate::domain::ids::QueueId;

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
