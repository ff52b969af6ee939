//! Code shared by all sections: reading keys with their origins, and reporting mistakes.

pub(super) mod diagnostic;
pub(super) mod document;
pub(super) mod environment;
pub(super) mod kind;
pub(super) mod reader;
pub(super) mod secrets;
pub(super) mod settings;
pub(super) mod sources;
pub(super) mod tree;
