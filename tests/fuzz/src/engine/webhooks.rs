//! Of the delivery of webhooks, what reads the answers of receivers.

pub mod deliver;
