//! Access: TLS, sessions, and proxies that sign people in.

pub(super) mod server_access;
