//! The configuration: every mistake in it, and whether the secrets are at hand.

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::finding::{Finding, Group};
use crate::config::{Config, ConfigRefused, Environment};

/// Loads it; gives it with whether the daemon's secrets are at hand, where it can be used.
pub(super) fn look(args: &ConfigArgs) -> (Option<(Config, bool)>, Vec<Finding>) {
    let mut group = Group::new("configuration");
    let files: Vec<_> =
        args.files_in(&Environment::of_process()).iter().map(|file| file.display().to_string()).collect();
    let files = files.join(", ");
    let refused = match args.load() {
        Ok(loaded) => {
            sound(&mut group, &files, &loaded.warnings);
            return (Some((loaded.config, true)), group.done());
        }
        Err(refused) => refused,
    };
    // Secrets are often for the daemon's eyes alone; the rest can be looked at without them.
    match args.load_for_command() {
        Ok(loaded) => {
            sound(&mut group, &files, &loaded.warnings);
            for complaint in complaints(&refused) {
                let advice = "run doctor with the environment and as the user of the daemon to have them tried";
                group.warning("secrets", format!("not at hand here: {complaint}"), advice);
            }
            (Some((loaded.config, false)), group.done())
        }
        Err(refused) => {
            for complaint in complaints(&refused) {
                group.wrong("file", complaint, "mend it; `shiftkeeper check` looks at it alone");
            }
            group.skipped("everything else", "needs a configuration");
            (None, group.done())
        }
    }
}

fn complaints(refused: &ConfigRefused) -> impl Iterator<Item = String> {
    refused.complaints.iter().map(ToString::to_string)
}

fn sound(group: &mut Group, files: &str, warnings: &[String]) {
    group.ok("file", format!("{files} is sound"));
    for warning in warnings {
        group.warning("file", warning, "change it, unless it is meant");
    }
}
