//! What stands in place of parts of a line.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

/// What stands in place of a range of the line.
pub(super) struct Cut<'l> {
    pub(super) range: Range<usize>,
    pub(super) new: New<'l>,
}

pub(super) enum New<'l> {
    Text(Cow<'static, str>),
    /// A string of these in base64.
    Base64(&'l [u8]),
}

impl Cut<'_> {
    pub(super) fn text(range: Range<usize>, text: impl Into<Cow<'static, str>>) -> Self {
        let new = New::Text(text.into());
        Self { range, new }
    }
}

impl New<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Base64(bytes) => bytes.len().div_ceil(3) * 4 + 2,
        }
    }
    pub(super) fn write(&self, line: &mut Vec<u8>) {
        match self {
            Self::Text(text) => line.extend_from_slice(text.as_bytes()),
            Self::Base64(bytes) => {
                line.push(b'"');
                let at = line.len();
                line.resize(at + self.len() - 2, 0);
                let written = STANDARD.encode_slice(bytes, &mut line[at..]);
                written.expect("there is as much room as base64 takes");
                line.push(b'"');
            }
        }
    }
}

/// Where a part of a line is.
pub(super) fn span(line: &[u8], part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr() - line.as_ptr().addr();
    start..start + part.get().len()
}

pub(super) fn added(cuts: &[Cut<'_>]) -> usize {
    cuts.iter().map(|cut| cut.new.len()).sum()
}

pub(super) fn removed(cuts: &[Cut<'_>]) -> usize {
    cuts.iter().map(|cut| cut.range.len()).sum()
}
