//! The program: reads its arguments, runs, and says how it went.

use std::process::ExitCode;

/// Calls allocate a little each, on many threads at once.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    token_authority::cli::run(std::env::args_os())
}
