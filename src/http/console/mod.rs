//! The console: pages for people, rendered here and made live in the browser by modules of our own.
//!
//! A page reads the picture and the store by the same functions as the API does and changes nothing; what people change goes
//! to `/api/v1`. Text from a platform, a file or a person reaches a page through the templates' escaping alone, and never as
//! markup. Without scripts every page can be read.

mod agent;
mod ask;
mod assets;
mod audit;
mod failure;
mod filter;
mod live;
mod preferences;
mod read;
mod reports;
mod rows;
mod shell;
mod system;
#[cfg(test)]
mod templates;
mod timeline;
mod times;
mod wallboard;
mod webhooks;
mod words;

pub use assets::asset;

pub(super) use agent::show as agent;
pub(super) use assets::serve as file;
pub(super) use audit::show as audit;
pub(super) use failure::no_such_page;
pub(super) use live::show as live;
pub(super) use preferences::set as preferences;
pub(super) use reports::{download as report_download, show as reports};
pub(super) use system::show as system;
pub(super) use wallboard::show as wallboard;
pub(super) use webhooks::{deliveries, list as webhooks};
