//! The live view: figures of skills and queues.

pub(in crate::store) mod figures;
