//! What differences of one class have in common, in every process and version.

use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use crate::compare::Difference;
use crate::outcome::Outcome;

/// XXH3 (64 bits, seed 0) of an experiment's name, a candidate's name, and two words more, with NUL bytes
/// between them. Written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

/// An experiment's name, and that of one of its candidates.
pub(super) type Names<'n> = [&'n str; 2];

impl Fingerprint {
    /// Of a difference, between these two by name: by its place, with `*` for indices of arrays, and its kind.
    pub(super) fn of_difference(names: Names<'_>, difference: &Difference) -> Self {
        Self::new(names, &difference.location, difference.kind.name())
    }

    /// Of an exchange that failed on a side: by its outcome and reason.
    pub(super) fn of_failure(names: Names<'_>, outcome: Outcome) -> Self {
        let reason = outcome.reason().unwrap_or_default();
        Self::new(names, outcome.name(), reason)
    }

    fn new([experiment, candidate]: Names<'_>, place: &str, kind: &str) -> Self {
        let words = [experiment, candidate, place, kind];
        Self(xxh3_64(words.join("\0").as_bytes()))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Cause;

    fn shown(fingerprint: Fingerprint) -> String {
        serde_json::to_string(&fingerprint).expect("a string")
    }

    #[test]
    fn it_is_the_same_in_every_version() {
        // Consumers have stored these: they never change.
        let double = Fingerprint::new(["/api/{value}", "candidate"], "/double", "changed");
        assert_eq!(shown(double), "\"85ca6b02a5939b57\"");
        let outcome = Outcome::CandidateFailed(Cause::Timeout);
        let failure = Fingerprint::of_failure(["x", "candidate"], outcome);
        assert_eq!(shown(failure), "\"7de3288dfd0cc3ec\"");
    }

    #[test]
    fn experiments_places_and_kinds_are_told_apart() {
        let of = |name, place, kind| Fingerprint::new([name, "candidate"], place, kind);
        let one = of("x", "/a", "changed");
        for other in [
            of("y", "/a", "changed"),
            of("x", "/b", "changed"),
            of("x", "/a", "missing"),
            of("x", "/achanged", ""),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, of("x", "/a", "changed"));
    }
}
