//! The `[admin]` table: who may change what runs, through the management port.

use std::fmt;
use std::path::PathBuf;

use super::kafka::MASK;
use super::reader::{Off, Section};

/// The fewest characters of a token.
const MIN_TOKEN: usize = 16;

/// Who may change what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Whoever knows this.
    pub token: Token,
}

/// A secret that is sent as a bearer token (RFC 6750). It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// What has to be sent.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is wrong with a token is told without it.
    fn new(text: &str) -> Result<Self, String> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if text.chars().count() < MIN_TOKEN {
            return Err(format!("has fewer than {MIN_TOKEN} characters"));
        }
        if !text.chars().all(is_allowed) {
            return Err("has characters that no bearer token has: letters, digits and \"-._~+/=\" are allowed".into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Reads `[admin]`; `None` if a problem was noted.
#[expect(
    clippy::option_option,
    reason = "wrong, turned off and given are three things"
)]
pub(super) fn read(mut section: Section<'_>) -> Option<Option<Admin>> {
    let token: Option<Off<String>> = section.take("token");
    let file: Option<Off<PathBuf>> = section.take("token_file");
    let (key, text) = match (token?.0, file?.0) {
        (None, None) => {
            section.finish();
            return Some(None);
        }
        (Some(_), Some(_)) => {
            section.problem("token_file", "makes no sense beside token: choose one");
            section.finish();
            return None;
        }
        (Some(token), None) => ("token", Ok(token)),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(&file);
            // Whatever else is around it, editors end the line.
            let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
            let told = |error| format!("{} can't be read: {error}", file.display());
            ("token_file", text.map_err(told))
        }
    };
    let token = text.and_then(|text| Token::new(&text));
    let token = token.map_err(|message| section.problem(key, message));
    section.finish();
    Some(Some(Admin { token: token.ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown_nor_is_one_that_is_wrong() {
        let token = Token::new("0123456789abcdef").expect("it is long enough");
        assert_eq!(token.expose(), "0123456789abcdef");
        assert!(!format!("{token:?}").contains("0123"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcdeö",
        ] {
            let message = Token::new(wrong).expect_err(wrong);
            assert!(!message.contains("0123"), "{message}");
        }
    }
}
