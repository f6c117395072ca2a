//! The program: reads its arguments, runs, and says how it went.

use std::process::ExitCode;

fn main() -> ExitCode {
    token_authority::cli::run(std::env::args_os())
}
