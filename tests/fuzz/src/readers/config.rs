//! Configurations.

use shiftkeeper::config::{Config, ConfigText, Environment};

/// A secret of the environment; no complaint and no setting shows it.
const SECRET: &str = "hunter2-of-the-environment";

/// Reads the bytes as a configuration file.
///
/// It is taken, and taken the same way again, or refused with a place and a reason for each complaint; no secret is shown.
pub fn read(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment: Environment =
        [("ACME_SECRET".to_owned(), SECRET.to_owned()), ("API_TOKEN".to_owned(), SECRET.to_owned())]
            .into_iter()
            .collect();
    // Paths in it are relative to a folder that is not there.
    let file = || ConfigText { file: "/nowhere/shiftkeeper.toml".into(), text: text.to_owned() };
    match Config::load_texts(&[file()], &environment, &[]) {
        Ok(loaded) => {
            let again = Config::load_texts(&[file()], &environment, &[]).expect("it was sound a moment ago");
            assert!(loaded.settings.changes_to(&again.settings).is_empty(), "the same text says something else");
            assert!(!format!("{:?} {:?}", loaded.settings, loaded.warnings).contains(SECRET), "a secret is shown");
            assert!(!format!("{:?}", loaded.config).contains(SECRET), "a secret is shown");
        }
        Err(refused) => {
            assert!(!refused.diagnostics.is_empty(), "refused without a complaint");
            for complaint in &refused.diagnostics {
                assert!(!complaint.problem.trim().is_empty(), "{complaint:?}");
            }
            assert!(!refused.to_string().contains(SECRET), "a secret is shown");
        }
    }
}
