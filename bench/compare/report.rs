//! The table of medians.

use std::fmt;
use std::time::Duration;

const HEADER: &str = "\
| size | pair | differences | compare MB/s | serde_json MB/s | memcmp MB/s | time / serde_json's |
|---|---|--:|--:|--:|--:|--:|
";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `miffy::compare::compare`.
    Compare,
    /// `serde_json::from_slice::<Value>` of both bodies.
    SerdeJson,
    /// Whether the bytes are the same.
    Memcmp,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Compare => "compare",
            Self::SerdeJson => "serde_json",
            Self::Memcmp => "memcmp",
        }
    }
}

/// All pairs.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Row>);

/// One pair: how long each way took, of each sample.
#[derive(Debug)]
pub(crate) struct Row {
    size: &'static str,
    pair: &'static str,
    bytes: usize,
    differences: usize,
    samples: Vec<(Way, Duration)>,
}

impl Report {
    /// A row for a pair of so many bytes together.
    pub(crate) fn row(
        &mut self,
        size: &'static str,
        pair: &'static str,
        bytes: usize,
        differences: usize,
    ) -> &mut Row {
        self.0.push(Row {
            size,
            pair,
            bytes,
            differences,
            samples: Vec::new(),
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

impl Row {
    pub(crate) fn add(&mut self, way: Way, took: Duration) {
        self.samples.push((way, took));
    }

    /// Seconds, of the sample in the middle; `None` if it was not measured. Those of warming up are among
    /// them, which a median can bear.
    fn median(&self, way: Way) -> Option<f64> {
        let samples = self.samples.iter().filter(|(of, _)| *of == way);
        let mut samples: Vec<Duration> = samples.map(|(_, took)| *took).collect();
        samples.sort_unstable();
        samples.get(samples.len() / 2).map(Duration::as_secs_f64)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        let measured = self.0.iter().filter(|row| !row.samples.is_empty());
        measured.into_iter().try_for_each(|row| row.fmt(f))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "a few megabytes are few")]
        let megabytes = self.bytes as f64 / 1e6;
        let cell = |value: Option<f64>, digits: usize| {
            value.map_or_else(String::new, |value| format!("{value:.digits$}"))
        };
        let rate = |way| cell(self.median(way).map(|seconds| megabytes / seconds), 0);
        let ours = self.median(Way::Compare);
        let ratio = ours.zip(self.median(Way::SerdeJson));
        let ratio = cell(ratio.map(|(ours, theirs)| ours / theirs), 3);
        let Self {
            size,
            pair,
            differences,
            ..
        } = self;
        let [ours, theirs, memcmp] = [Way::Compare, Way::SerdeJson, Way::Memcmp].map(rate);
        writeln!(
            f,
            "| {size} | {pair} | {differences} | {ours} | {theirs} | {memcmp} | {ratio} |"
        )
    }
}
