//! Of the workers, what reads the answers of webhook receivers.

pub mod webhooks;
