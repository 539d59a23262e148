//! `miffy run`: the proxy, until it is told to stop.

use tracing::info;

use super::{block_on, signals, warn};
use crate::app::{App, Plugs};
use crate::config::Loaded;
use crate::telemetry::init_logging;

pub(super) fn run(loaded: &Loaded) -> anyhow::Result<()> {
    let log = init_logging(loaded.settings.logging, "info");
    warn(loaded);
    info!(
        file = loaded.file.as_deref().unwrap_or("none"),
        reference = %loaded.settings.reference,
        routes = loaded.settings.routes.len(),
        "configured"
    );
    let plugs = Plugs {
        observer: None,
        lost_log_lines: Some(Box::new(log.dropped_lines())),
    };
    block_on(async {
        let stop = signals::stop()?;
        let app = App::bind(&loaded.settings, plugs)?;
        app.run(stop).await
    })
}
