//! `shiftkeeper completions` and `shiftkeeper man`: shell completion scripts and manual pages, generated from the
//! commands.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::Shell;

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

/// Prints the completion script of a shell for `command`.
pub fn completions(args: &CompletionsArgs, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let shell = match args.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "shiftkeeper", &mut script);
    print(String::from_utf8(script).context("the script is not text")?)?;
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

/// Writes the manual pages of `command` and its subcommands.
pub fn man(args: &ManArgs, command: clap::Command) -> anyhow::Result<ExitCode> {
    let folder = args.folder.display();
    fs::create_dir_all(&args.folder).with_context(|| format!("the folder {folder} cannot be created"))?;
    clap_mangen::generate_to(command, &args.folder).with_context(|| format!("{folder} cannot be written to"))?;
    print_message(format!("a manual page for each command is in {folder}; begin with shiftkeeper.1"));
    Ok(Exit::Done.into())
}
