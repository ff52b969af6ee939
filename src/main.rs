//! The command line: parse, run, exit code.

use std::process::ExitCode;

use shiftkeeper::cli::{Cli, talk};

fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            talk::say(format!("error: the system gives no threads: {error}"));
            ExitCode::FAILURE
        }
    }
}
