//! A sink in code: records are gathered and written to a directory, a file for each experiment's topic.
//!
//! ```text
//! cargo run --example demo     two services, on ports 3000 and 3001
//! cargo run --example sink -- DIRECTORY
//! curl localhost:8080/api/1
//! ```

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use miffy::app::App;
use miffy::hooks::{Hooks, Record, Refusal, Sink};

/// Records go to the sink alone.
pub(crate) const CONFIG: &str = r#"
    reference = "http://127.0.0.1:3000"
    candidate = "http://127.0.0.1:3001"
    routes = [{ path = "/{*path}", topic = "differences" }]
    kafka.enabled = false
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let app = App::from_toml(CONFIG, hooks(directory).into())?;
    app.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await
}

pub(crate) fn hooks(directory: impl Into<PathBuf>) -> Hooks {
    let directory = directory.into();
    let lines = BTreeMap::new();
    Hooks::new().sink("directory", Directory { directory, lines })
}

struct Directory {
    directory: PathBuf,
    /// What is not written yet, by topic.
    lines: BTreeMap<String, Vec<u8>>,
}

impl Sink for Directory {
    fn write(&mut self, record: &Record<'_>) -> Result<(), Refusal> {
        let lines = self.lines.entry(record.topic.to_owned()).or_default();
        lines.extend_from_slice(record.payload);
        lines.push(b'\n');
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        // What can't be written is given to it again.
        for (topic, lines) in std::mem::take(&mut self.lines) {
            let appended = self.append(&topic, &lines);
            appended.map_err(|error| Refusal::Retry(error.to_string()))?;
        }
        Ok(())
    }
}

impl Directory {
    fn append(&self, topic: &str, lines: &[u8]) -> io::Result<()> {
        let path = self.directory.join(format!("{topic}.jsonl"));
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(path)?;
        file.write_all(lines)
    }
}
