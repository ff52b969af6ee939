//! What all sections share: reading keys with their origins, and reporting what is wrong with them.

pub(super) mod complaint;
pub(super) mod document;
pub(super) mod environment;
pub(super) mod kind;
pub(super) mod load;
pub(super) mod reader;
pub(super) mod secrets;
pub(super) mod settings;
pub(super) mod tree;
