//! Asking for a reload of the configuration, and what comes of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::config::Problems;

/// Requests that may wait for one reload. They are all answered by the next one.
const MAX_WAITING: usize = 64;

/// What asks for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// The configuration's file is another one.
    Change,
    /// The administration.
    Administration,
}

/// What a reload has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The file that was read; `None` if there was none, and the environment alone was.
    pub file: Option<PathBuf>,
    /// Experiments that are new.
    pub added: Vec<String>,
    /// Experiments that are something else now.
    pub changed: Vec<String>,
    /// Experiments that are over.
    pub removed: Vec<String>,
    /// Keys that are changed, and take effect at a restart only.
    pub needs_restart: Vec<String>,
    /// What is valid and may still not be meant.
    pub warnings: Vec<String>,
}

/// Why a reload has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReloaded {
    /// The configuration is wrong.
    #[error(transparent)]
    Invalid(#[from] Problems),
    /// It can't be used.
    #[error("{0}")]
    Unusable(String),
    /// There is nowhere to read it from.
    #[error("this miffy was not started with a configuration that can be read again")]
    Nowhere,
    /// So many are waiting for the next reload that one more would be too many.
    #[error("many others are waiting for a reload")]
    Busy,
    /// miffy is stopping.
    #[error("miffy is stopping")]
    Stopping,
}

/// What comes of a reload.
pub type Outcome = Result<Arc<Reloaded>, NotReloaded>;

/// A request for a reload, and where its outcome is awaited.
#[derive(Debug)]
pub struct Request {
    /// What asks.
    pub trigger: Trigger,
    /// Where it is told what comes of it.
    pub answer: oneshot::Sender<Outcome>,
}

/// Where reloads are asked for.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Request>);

impl Reloads {
    /// Where they are asked for, and where the requests arrive.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self(sender), receiver)
    }

    /// Has the configuration read again, and waits for what comes of it. Where one reload is under way, it is
    /// the next one; all that are asked for until that begins are the same.
    pub async fn reload(&self, trigger: Trigger) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.try_send(Request { trigger, answer });
        asked.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotReloaded::Busy,
            mpsc::error::TrySendError::Closed(_) => NotReloaded::Stopping,
        })?;
        answered.await.unwrap_or(Err(NotReloaded::Stopping))
    }
}

impl fmt::Display for Trigger {
    /// As the log says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "SIGHUP",
            Self::Change => "the file has changed",
            Self::Administration => "the administration",
        })
    }
}
