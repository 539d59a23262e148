//! What the management port says, read.

use std::collections::BTreeMap;

/// A metric's samples by their labels, as in `role="reference"`; those that are whole numbers.
pub(crate) fn samples(text: &str, name: &str) -> BTreeMap<String, u64> {
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let labels = match series.strip_prefix(name)? {
            "" => String::new(),
            labels => labels.strip_prefix('{')?.strip_suffix('}')?.to_owned(),
        };
        Some((labels, value.parse().ok()?))
    };
    text.lines().filter_map(sample).collect()
}

/// How many matched requests ended how, as in `skipped.in_flight`.
pub(crate) fn outcomes(text: &str) -> BTreeMap<String, u64> {
    let label = |labels: &str, name: &str| {
        let (_, rest) = labels.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let mut outcomes = BTreeMap::new();
    for (labels, value) in samples(text, "miffy_outcomes_total") {
        let name = match label(&labels, "reason").as_str() {
            "" => label(&labels, "outcome"),
            reason => format!("{}.{reason}", label(&labels, "outcome")),
        };
        if value > 0 {
            *outcomes.entry(name).or_default() += value;
        }
    }
    outcomes
}
