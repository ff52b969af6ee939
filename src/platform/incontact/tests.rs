//! Tests of the adapter against raw servers.
