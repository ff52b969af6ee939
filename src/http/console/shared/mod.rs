//! What all pages share: their requests, their frame, and how times and states are written.

pub(super) mod api_call;
pub(super) mod page_error;
pub(super) mod page_request;
pub(super) mod preferences;
pub(super) mod shell;
#[cfg(test)]
pub(super) mod templates;
pub(super) mod times;
pub(super) mod wording;
