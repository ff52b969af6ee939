//! The configuration: every mistake in it, and whether the secrets can be read.

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::config::{Config, ConfigError, Environment};

/// Loads the configuration. Returns it, if it can be used, with whether the daemon's secrets can be read.
pub(super) fn check(args: &ConfigArgs) -> (Option<(Config, bool)>, Vec<Finding>) {
    let mut group = FindingGroup::new("configuration");
    let files: Vec<_> =
        args.files_in(&Environment::of_process()).iter().map(|file| file.display().to_string()).collect();
    let files = files.join(", ");
    let refused = match args.load() {
        Ok(loaded) => {
            report_sound(&mut group, &files, &loaded.warnings);
            return (Some((loaded.config, true)), group.into_findings());
        }
        Err(refused) => refused,
    };
    // Often only the daemon may read its secrets; the rest can be checked without them.
    match args.load_for_command() {
        Ok(loaded) => {
            report_sound(&mut group, &files, &loaded.warnings);
            for complaint in diagnostics(&refused) {
                let advice = "run doctor with the environment and as the user of the daemon to have them tried";
                group.warning("secrets", format!("not available here: {complaint}"), advice);
            }
            (Some((loaded.config, false)), group.into_findings())
        }
        Err(refused) => {
            for complaint in diagnostics(&refused) {
                group.wrong("file", complaint, "correct it; `shiftkeeper check` checks only the configuration");
            }
            group.skipped("everything else", "needs a configuration");
            (None, group.into_findings())
        }
    }
}

fn diagnostics(refused: &ConfigError) -> impl Iterator<Item = String> {
    refused.diagnostics.iter().map(ToString::to_string)
}

fn report_sound(group: &mut FindingGroup, files: &str, warnings: &[String]) {
    group.ok("file", format!("{files} is sound"));
    for warning in warnings {
        group.warning("file", warning, "change it, unless it is meant");
    }
}
