//! SIGTERM and SIGINT: the first asks miffy to stop, the second ends it at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

/// A future that ends with the first of the signals. From now on they have no other effect, but for the
/// second, which ends the process.
pub(super) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            next().await;
            warn!("told to stop twice: ending at once");
            std::process::exit(1);
        });
    })
}
