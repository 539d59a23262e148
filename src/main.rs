//! The `miffy` command.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Requests make and drop many small things, each on the thread that it began on.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    miffy::cli::main()
}
