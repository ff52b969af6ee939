//! Access: TLS, sessions, and proxies that say who signed in.

pub(super) mod doorway;
