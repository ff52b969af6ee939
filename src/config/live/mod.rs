//! The live view: figures of skills and queues, and the thresholds that mark them.

pub(super) mod figures;
pub(super) mod thresholds;
