//! The command line: parse, run, exit code.

use std::process::ExitCode;

use shiftkeeper::cli::Cli;
use shiftkeeper::cli::shared::messages;

fn main() -> ExitCode {
    let cli = match Cli::from_command_line() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            messages::print_message(format!("error: the system gives no threads: {error}"));
            ExitCode::FAILURE
        }
    }
}
