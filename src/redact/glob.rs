//! Names, some of them with `*` for anything.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// A name in which `*` stands for any text, none included. Capitals make no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// A glob as it is written.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it stands for this name.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let glob = self.0.as_bytes();
        let (mut at, mut here) = (0, 0);
        // Behind the last `*`, and where in the name it was tried last.
        let mut retry = None;
        while here < name.len() {
            match glob.get(at) {
                Some(b'*') => {
                    at += 1;
                    retry = Some((at, here));
                }
                Some(byte) if byte.eq_ignore_ascii_case(&name[here]) => {
                    at += 1;
                    here += 1;
                }
                _ => match &mut retry {
                    None => return false,
                    Some((behind, tried)) => {
                        *tried += 1;
                        (at, here) = (*behind, *tried);
                    }
                },
            }
        }
        glob[at..].iter().all(|byte| *byte == b'*')
    }
}

/// What tells whether any of these globs stands for a name, in one go.
pub(super) fn any(globs: &[Glob]) -> Regex {
    let of = |glob: &Glob| regex::escape(&glob.0).replace(r"\*", ".*");
    let globs: Vec<String> = globs.iter().map(of).collect();
    let any = RegexBuilder::new(&format!("^(?:{})$", globs.join("|")))
        .unicode(false)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .size_limit(usize::MAX)
        .build();
    any.expect("escaped texts are a pattern")
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_the_rest_for_itself() {
        for (glob, name) in [
            ("cookie", "Cookie"),
            ("*token*", "token"),
            ("*token*", "x-Token-id"),
            ("x-*", "x-"),
            ("*-auth", "x-auth-auth"),
            ("a*b*c", "aXbbYc"),
            ("*", ""),
            ("**", "a"),
        ] {
            assert!(Glob::new(glob).matches(name.as_bytes()), "{glob} {name}");
        }
        for (glob, name) in [
            ("cookie", "cookies"),
            ("cookie", "set-cookie"),
            ("x-*", "x"),
            ("*-auth", "x-author"),
            ("a*b*c", "acb"),
            ("", "a"),
        ] {
            assert!(!Glob::new(glob).matches(name.as_bytes()), "{glob} {name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_for_a_star_is_matched(parts in prop::collection::vec("[a-c]{0,3}", 1..4), filler in "[a-c]{0,5}") {
            let glob = Glob::new(parts.join("*"));
            prop_assert!(glob.matches(parts.join(&filler).as_bytes()));
        }

        #[test]
        fn globs_together_stand_for_what_each_stands_for(
            globs in prop::collection::vec("[a-cA-C.*-]{0,5}", 1..4),
            name in "[a-cA-C.-]{0,6}",
        ) {
            let globs: Vec<Glob> = globs.into_iter().map(Glob::new).collect();
            let each = globs.iter().any(|glob| glob.matches(name.as_bytes()));
            prop_assert_eq!(super::any(&globs).is_match(name.as_bytes()), each);
        }
    }
}
