//! Texts that are alike but for what follows a pattern: two UUIDs, two times, matches of an expression.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Bytes of a compiled expression.
const MAX_SIZE: usize = 1 << 20;

const UUID: &str = r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

/// RFC 3339 §5.6.
const TIME: &str = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})";

/// What may be different in texts that are otherwise alike.
#[derive(Debug, Clone)]
pub struct Like {
    /// As it is written: `uuid`, `time`, `time within 5s`, or `/expression/`.
    text: String,
    expression: Regex,
    within: Option<Duration>,
}

impl Like {
    /// Whether two texts are the same but for what matches: as many matches in both, and the same around
    /// them. Times have to be no further apart than it says.
    pub(super) fn covers(&self, a: &str, b: &str) -> bool {
        let (mut matches_a, mut matches_b) =
            (self.expression.find_iter(a), self.expression.find_iter(b));
        let (mut rest_a, mut rest_b) = (0, 0);
        loop {
            let (found_a, found_b) = match (matches_a.next(), matches_b.next()) {
                (Some(found_a), Some(found_b)) => (found_a, found_b),
                (None, None) => return a[rest_a..] == b[rest_b..],
                _ => return false,
            };
            if a[rest_a..found_a.start()] != b[rest_b..found_b.start()]
                || !self.are_near(found_a.as_str(), found_b.as_str())
            {
                return false;
            }
            (rest_a, rest_b) = (found_a.end(), found_b.end());
        }
    }

    /// The text with a mark for each match.
    pub(super) fn mask(&self, text: &str) -> String {
        self.expression.replace_all(text, "\u{0}").into_owned()
    }

    fn are_near(&self, a: &str, b: &str) -> bool {
        let Some(within) = self.within else {
            return true;
        };
        let time = |text: &str| OffsetDateTime::parse(&text.replacen(' ', "T", 1), &Rfc3339).ok();
        match (time(a), time(b)) {
            (Some(a), Some(b)) => (a - b).unsigned_abs() <= within,
            // The 31st of February.
            _ => false,
        }
    }
}

impl PartialEq for Like {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Like {}

impl fmt::Display for Like {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Like {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut within = None;
        let expression = match text {
            "uuid" => UUID,
            "time" => TIME,
            _ => {
                let own = text
                    .strip_prefix('/')
                    .and_then(|rest| rest.strip_suffix('/'));
                match (own, text.strip_prefix("time within ")) {
                    (Some(own), _) => own,
                    (None, Some(window)) => {
                        within = Some(humantime::parse_duration(window).map_err(|_| {
                            format!("\"{window}\" is not a duration with its unit, such as \"5s\"")
                        })?);
                        TIME
                    }
                    (None, None) => {
                        return Err(format!(
                            "\"{text}\" is not \"uuid\", \"time\", \"time within 5s\" or \"/expression/\""
                        ));
                    }
                }
            }
        };
        let expression = RegexBuilder::new(expression).size_limit(MAX_SIZE).build();
        let expression = expression.map_err(|error| format!("\"{text}\": {error}"))?;
        Ok(Self {
            text: text.to_owned(),
            expression,
            within,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_may_differ_and_nothing_else() {
        let covers = |like: &str, a: &str, b: &str| {
            let like: Like = like.parse().expect("a pattern");
            assert_eq!(like.covers(a, b), like.covers(b, a));
            like.covers(a, b)
        };
        let (uuid_a, uuid_b) = (
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF7",
        );
        assert!(covers("uuid", uuid_a, uuid_b));
        assert!(covers(
            "uuid",
            &format!("id {uuid_a}."),
            &format!("id {uuid_b}.")
        ));
        assert!(!covers("uuid", uuid_a, "none"));
        assert!(!covers(
            "uuid",
            &format!("a {uuid_a}"),
            &format!("b {uuid_b}")
        ));
        assert!(!covers("uuid", uuid_a, &format!("{uuid_b} {uuid_b}")));
        assert!(covers(
            "time",
            "2026-11-21T10:00:00Z",
            "1999-01-01 00:00:00.123+02:00"
        ));
        assert!(covers(
            "time within 5s",
            "2026-11-21T10:00:00Z",
            "2026-11-21T11:00:05+01:00"
        ));
        assert!(!covers(
            "time within 5s",
            "2026-11-21T10:00:00Z",
            "2026-11-21T10:00:05.001Z"
        ));
        assert!(!covers(
            "time within 5s",
            "2026-02-31T10:00:00Z",
            "2026-02-31T10:00:01Z"
        ));
        assert!(covers(r"/^v\d+$/", "v1", "v20"));
        assert!(!covers(r"/^v\d+$/", "v1", "w1"));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for text in [
            "",
            "guid",
            "time within",
            "time within 5",
            "/(/",
            "/(a{1000}){1000}/",
        ] {
            assert!(text.parse::<Like>().is_err(), "{text}");
        }
    }
}
