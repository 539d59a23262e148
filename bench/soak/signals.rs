//! Signals that tell this process to end.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Leaves nothing behind when this process is told to end, as long as what it gives is kept.
pub(crate) fn end_on_signals(clean_up: impl FnOnce() + Send + 'static) -> anyhow::Result<Runtime> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = runtime.block_on(async {
        anyhow::Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    })?;
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        clean_up();
        std::process::exit(130);
    });
    Ok(runtime)
}
