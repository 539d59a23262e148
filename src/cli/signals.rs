//! SIGTERM and SIGINT: the first asks miffy to stop, the second ends it at once. SIGHUP: reads the configuration
//! again.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// How long the log has for its last line before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(50);

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
            tokio::time::sleep(LAST_WORDS).await;
            std::process::exit(1);
        });
    })
}

/// SIGHUP, which has no other effect from now on.
pub(super) fn hangups() -> io::Result<Hangups> {
    signal(SignalKind::hangup()).map(Hangups)
}

/// The signals of this kind.
pub(super) struct Hangups(Signal);

impl Hangups {
    /// Acts on one after the other; those that come while it acts are one.
    pub(super) async fn each<F: Future<Output = ()>>(mut self, act: impl Fn() -> F) {
        while self.0.recv().await.is_some() {
            act().await;
        }
    }
}
