//! Audit: signed heads of the audit chains.

pub mod heads;
