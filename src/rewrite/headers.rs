//! Edits of headers.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

use super::template::Template;

/// What becomes of headers; nothing, by default. Their names are those that [`is_protected`] says nothing of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edits {
    /// Those that are left out.
    pub remove: Vec<HeaderName>,
    /// Those that have this value and no other; each name once. Without the value, they are left out.
    pub set: Vec<(HeaderName, Template)>,
    /// Those that have this value as well, if there is one.
    pub add: Vec<(HeaderName, Template)>,
}

/// Why a header can't be edited, if it can't: it is about the connection or the framing (RFC 9110 §7.6.1, RFC 9112
/// §6), or miffy's own.
#[must_use]
pub fn is_protected(name: &HeaderName) -> Option<&'static str> {
    static FRAMING: [HeaderName; 9] = [
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    if FRAMING.contains(name) {
        Some("can't be edited: it is about the connection, or how a body is sent")
    } else if name == HOST {
        Some("can't be edited here: use host")
    } else if name == "x-shadow-test-role" {
        Some("can't be edited: it tells each backend the part that it plays")
    } else {
        None
    }
}

impl Edits {
    /// Changes headers. `params` are those of the request's path, as they stand in it.
    pub(super) fn apply(&self, headers: &mut HeaderMap, params: &[(&str, &str)]) {
        if *self == Self::default() {
            return;
        }
        let value = |(name, template): &(HeaderName, Template)| {
            (name.clone(), template.value(headers, params))
        };
        let mut set: Vec<(HeaderName, Option<HeaderValue>)> = self.set.iter().map(value).collect();
        let add: Vec<(HeaderName, Option<HeaderValue>)> = self.add.iter().map(value).collect();
        let mut edited = HeaderMap::with_capacity(headers.keys_len());
        let mut current = None;
        for (name, value) in headers.drain() {
            // A repeated one's name comes with its first value only.
            current = name.or(current);
            let Some(name) = &current else { continue };
            if let Some((_, value)) = set.iter_mut().find(|(of, _)| of == name) {
                // In the place of the first.
                if let Some(value) = value.take() {
                    edited.append(name.clone(), value);
                }
            } else if !self.remove.contains(name) {
                edited.append(name.clone(), value);
            }
        }
        for (name, value) in set.into_iter().chain(add) {
            if let Some(value) = value {
                // Only of a client that sends tens of thousands of headers it can't have one more.
                let _is_full = edited.try_append(name, value);
            }
        }
        *headers = edited;
    }
}
