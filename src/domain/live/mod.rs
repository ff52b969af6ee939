//! The live view: figures of skills and queues, and the thresholds that mark them.

pub mod figures;
pub mod thresholds;
