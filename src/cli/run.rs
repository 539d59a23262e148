//! `miffy run`: the proxy, until it is told to stop.

use tracing::info;

use super::{block_on, signals, warn};
use crate::app::{App, Origin, Plugs};
use crate::config::{self, Environment, Loaded, Source};
use crate::management::Trigger;
use crate::telemetry::init_logging;

/// Runs a configuration that was loaded from `source` and the environment.
pub(super) fn run(loaded: &Loaded, source: Source) -> anyhow::Result<()> {
    let log = init_logging(loaded.settings.logging, "info");
    warn(loaded);
    let file = loaded.file.as_ref();
    info!(
        file = %file.map_or_else(|| "none".into(), |file| file.to_string_lossy()),
        reference = %loaded.settings.reference,
        routes = loaded.settings.routes.len(),
        "configured"
    );
    let plugs = Plugs {
        lost_log_lines: Some(Box::new(log.dropped_lines())),
        origin: Some(Origin {
            load: Box::new(move || config::load(&source, &Environment::of_process())),
            file: loaded.file.clone(),
        }),
        ..Plugs::default()
    };
    block_on(async {
        let (stop, hangups) = (signals::stop()?, signals::hangups()?);
        let app = App::bind(&loaded.settings, plugs)?;
        let reloads = app.reloads();
        tokio::spawn(hangups.each(move || {
            let reloads = reloads.clone();
            async move {
                // The log says what comes of it.
                let _told = reloads.reload(Trigger::Signal).await;
            }
        }));
        app.run(stop).await
    })
}
