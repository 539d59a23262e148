//! Waiting until something is so.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;

/// How often is looked whether it is so.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until it is so; what is said in the end if it never is.
pub(crate) fn within(
    what: &str,
    limit: Duration,
    is_so: impl Fn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let give_up = Instant::now() + limit;
    loop {
        let answer = is_so();
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > give_up {
            let why = answer.err().map(|error| format!(": {error:#}"));
            bail!("{what} took over {limit:?}{}", why.unwrap_or_default());
        }
        sleep(LOOK);
    }
}
