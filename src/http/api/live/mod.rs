//! The live view: figures of queues and skills.

pub(in crate::http) mod figures;
