//! Memory and processor time of a process.

use anyhow::Context;

/// The system's unit of processor time.
const TICKS_PER_SECOND: f64 = 100.0;

/// The most memory that it had at a time, in MiB.
pub(crate) fn peak_memory_mib(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(kib.context("no VmHWM in its status: it has ended")? / 1024)
}

/// The processor time that it has used, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Its name may have spaces, and is in parentheses. Time as itself and in the system are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}
