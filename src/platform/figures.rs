//! Figures of skills and queues as an answer gives them, in our words, and what is wrong with what was said.

use std::sync::Arc;

use crate::domain::ids::QueueId;

use super::Call;
use super::error::{CallError, CallSite, Failure};
use super::snapshot::{Fault, MAX_COMPLAINTS};

/// The most skills or queues that one read of their figures may name (source: guide 001, of queues).
pub const MOST_IN_ONE_READ: usize = 100;

/// What a dialect without figures answers. Nothing is sent.
pub(super) fn not_told<'a, T: Send + 'a>(purpose: &'static str) -> Call<'a, T> {
    let site = CallSite { purpose, method: "", path: String::new() };
    let failure = Failure::Unsupported { what: purpose.to_owned() };
    Box::pin(std::future::ready(Err(CallError { site, failure, asked_at: None })))
}

/// What an answer says of skills or queues.
#[derive(Clone, PartialEq, Debug)]
pub struct FiguresRead<T> {
    /// At most one of each that was asked about. One that is not here was not told: what was known of it is old, not zero.
    pub figures: Vec<T>,
    /// What is wrong with the answer, at most [`MAX_COMPLAINTS`].
    pub complaints: Vec<FigureComplaint>,
    /// How many more complaints there were.
    pub more_complaints: usize,
}

/// Something wrong with an answer that did not stop it from being read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FigureComplaint {
    /// The row, from 0.
    pub row: usize,
    /// The skill or queue, where the row names one.
    pub subject: Option<Arc<str>>,
    /// What.
    pub fault: Fault,
}

impl<T> Default for FiguresRead<T> {
    fn default() -> Self {
        Self { figures: Vec::new(), complaints: Vec::new(), more_complaints: 0 }
    }
}

impl<T> FiguresRead<T> {
    pub(super) fn complain(&mut self, row: usize, subject: Option<&str>, fault: Fault) {
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(FigureComplaint { row, subject: subject.map(Arc::from), fault });
        } else {
            self.more_complaints += 1;
        }
    }
}

/// A queue as the platform lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedQueue {
    /// Its id.
    pub id: QueueId,
    /// Its name, where it has one.
    pub name: Option<Arc<str>>,
}

/// What a platform counts service levels in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareUnit {
    /// As a share of 1.
    OfOne,
    /// As percent.
    Percent,
}
