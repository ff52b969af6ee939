//! `shiftkeeper completions` and `shiftkeeper man`: shell completion scripts and manual pages, generated from the
//! commands.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::messages::print_message;
use crate::cli::shared::output::print;

/// Options of `completions`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  shiftkeeper completions bash > ~/.local/share/bash-completion/completions/shiftkeeper
  shiftkeeper completions zsh > ~/.zfunc/_shiftkeeper
  shiftkeeper completions fish > ~/.config/fish/completions/shiftkeeper.fish")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    pub shell: String,
}

/// Prints the completion script of a shell.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let shell = match args.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::full_command(), "shiftkeeper", &mut script);
    print(String::from_utf8(script).context("the script is no text")?)?;
    Ok(Exit::Done.into())
}

/// Options of `man`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Writes one page per command: shiftkeeper.1, shiftkeeper-change.1, shiftkeeper-audit-verify.1, …

Examples:
  shiftkeeper man ~/.local/share/man/man1
  shiftkeeper man . && man ./shiftkeeper.1"
)]
pub struct ManArgs {
    /// The folder for the pages. It is created if it does not exist.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Writes manual pages.
pub fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let folder = args.folder.display();
    fs::create_dir_all(&args.folder).with_context(|| format!("the folder {folder} cannot be made"))?;
    clap_mangen::generate_to(Cli::full_command(), &args.folder)
        .with_context(|| format!("{folder} cannot be written to"))?;
    print_message(format!("a manual page for each command is in {folder}; begin with shiftkeeper.1"));
    Ok(Exit::Done.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every command that can be run, with its name.
    fn commands() -> Vec<(String, clap::Command)> {
        fn walk(command: &clap::Command, place: &str, into: &mut Vec<(String, clap::Command)>) {
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                let place = format!("{place} {}", below.get_name());
                into.push((place.clone(), below.clone()));
                walk(below, &place, into);
            }
        }
        let mut found = Vec::new();
        walk(&Cli::full_command(), "shiftkeeper", &mut found);
        found
    }

    #[test]
    fn every_command_has_a_page_and_is_completed_in_each_shell() {
        let folder = tempfile::tempdir().expect("a folder");
        man(&ManArgs { folder: folder.path().join("man1") }).expect("written");
        for (place, _) in commands() {
            let page = folder.path().join("man1").join(format!("{}.1", place.replace(' ', "-")));
            let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(text.contains(".SH NAME"), "{place}");
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::full_command(), "shiftkeeper", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("healthcheck") && script.contains("verify"), "{shell}");
        }
    }

    #[test]
    fn the_prose_of_help_is_broken_where_the_terminal_ends_and_nowhere_else() {
        for (place, command) in commands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = help.lines().collect();
            let is_prose = |line: &&str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
            let broken = lines.windows(2).find(|pair| pair.iter().all(is_prose));
            assert_eq!(broken, None, "{place}");
            // A wrapped example cannot be copied.
            let long = lines.iter().find(|line| line.starts_with(' ') && line.chars().count() > 100);
            assert_eq!(long, None, "{place}");
        }
        let written = "One.\nTwo:\n  a\n  b\n\nThree\nfour.\n\nExamples:\n  c\n";
        assert_eq!(crate::cli::join_paragraphs(written), "One.\nTwo:\n  a\n  b\n\nThree four.\n\nExamples:\n  c");
    }

    #[test]
    fn the_help_of_every_command_ends_with_examples_that_its_own_options_fit() {
        for (place, command) in commands().into_iter().filter(|(_, command)| !command.has_subcommands()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{place} has no examples"));
            let lines: Vec<_> = examples.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
            assert!(!lines.is_empty(), "{place} has no examples");
            assert!(lines.iter().any(|line| line.starts_with(&place)), "{place}: {lines:?}");
            for line in lines.iter().filter(|line| line.starts_with("shiftkeeper ")) {
                // Text after three spaces is a remark, and text after a pipe or redirection belongs to another
                // program.
                let ours = line.split("   ").next().unwrap_or_default().split_whitespace();
                let words: Vec<&str> = ours.take_while(|word| !["|", ">", "2>", "&&", "#"].contains(word)).collect();
                if words.iter().any(|word| word.contains(['\'', '"', '$'])) {
                    continue;
                }
                let parsed = Cli::full_command().try_get_matches_from(&words);
                assert!(
                    parsed.is_ok(),
                    "{place}: {line}: {}",
                    parsed.err().map(|error| error.to_string()).unwrap_or_default()
                );
            }
        }
    }
}
