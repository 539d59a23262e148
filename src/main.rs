//! The `miffy` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    miffy::cli::main()
}
