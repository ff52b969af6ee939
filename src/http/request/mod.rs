//! What handlers read from a request, and the answer to a repeated one.

pub(super) mod authorized_request;
pub(super) mod etag;
pub(super) mod extract;
pub(super) mod idempotency;
pub(super) mod query;
pub(super) mod text;
