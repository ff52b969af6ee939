//! Adherence: exceptions that people approve.

pub(in crate::http) mod exceptions;
