//! Names, some of them with `*` for anything.

use std::fmt;

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
    }
}
