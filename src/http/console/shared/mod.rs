//! What all pages share: how a page is asked for, its frame, and how times and states read.

pub(super) mod ask;
pub(super) mod failure;
pub(super) mod preferences;
pub(super) mod read;
pub(super) mod shell;
#[cfg(test)]
pub(super) mod templates;
pub(super) mod times;
pub(super) mod words;
