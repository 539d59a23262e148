//! What of a head is in no [`HeaderMap`](http::HeaderMap): how its names were spelt, and its reason phrase.

use bytes::Bytes;
use http::HeaderName;
use memchr::memchr;

/// Lines that are looked at in any case.
const MIN_PATIENCE: usize = 4096;

/// How a head was worded; an extension of requests and responses. Whoever has to write it again writes it so.
#[derive(Debug, Clone)]
pub(super) struct Wording {
    /// The lines of its headers.
    pub(super) lines: Bytes,
    /// A response's reason phrase, where it is not the usual one.
    pub(super) reason: Option<Bytes>,
}

/// Finds names in lines. Asked for them in the order of a [`HeaderMap`](http::HeaderMap), that is in the order in which
/// each stood there first, all values of a name together, it is quick.
pub(super) struct Names<'w> {
    lines: &'w [u8],
    /// The name that was asked for last.
    last: Option<HeaderName>,
    /// Behind where it stood first.
    first: usize,
    /// Behind where it was found last.
    at: usize,
    /// How many lines are still looked at, so that names in a contrived order don't take their square.
    patience: usize,
}

impl<'w> Names<'w> {
    pub(super) fn of(wording: Option<&'w Wording>) -> Self {
        let lines: &[u8] = wording.map_or(&[], |wording| &wording.lines);
        Self {
            lines,
            last: None,
            first: 0,
            at: 0,
            patience: lines.len().max(MIN_PATIENCE),
        }
    }

    /// A name as it was spelt; where it stands several times, as it was spelt each time. In small letters, if it does
    /// not stand there.
    pub(super) fn spelt<'n>(&mut self, name: &'n HeaderName) -> &'n [u8]
    where
        'w: 'n,
    {
        let is_repeated = self.last.as_ref() == Some(name);
        let from = if is_repeated { self.at } else { self.first };
        let text = name.as_str().as_bytes();
        let found = self.find(text, from, self.lines.len());
        let found = found.or_else(|| self.find(text, 0, from));
        let Some((spelt, behind)) = found else {
            return text;
        };
        self.at = behind;
        if !is_repeated {
            self.first = behind;
            self.last = Some(name.clone());
        }
        spelt
    }

    /// How a name is spelt in these lines, and where the next line is.
    fn find(&mut self, name: &[u8], from: usize, to: usize) -> Option<(&'w [u8], usize)> {
        let mut start = from;
        while start < to {
            self.patience = self.patience.checked_sub(1)?;
            let line = &self.lines[start..];
            let next = start + memchr(b'\n', line).map_or(line.len(), |end| end + 1);
            if let Some((spelt, rest)) = line.split_at_checked(name.len())
                && rest.first() == Some(&b':')
                && spelt.eq_ignore_ascii_case(name)
            {
                return Some((spelt, next));
            }
            start = next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_they_were_each_time() {
        let lines = "Host: a\r\nX-A: 1\r\nX-AB: 2\r\nx-a: 3\r\nX-a:4\r\n\r\n";
        let wording = Wording {
            lines: Bytes::from_static(lines.as_bytes()),
            reason: None,
        };
        let mut names = Names::of(Some(&wording));
        let mut spelt = |name: &'static str| {
            let name = HeaderName::from_static(name);
            String::from_utf8(names.spelt(&name).to_vec()).expect("a name")
        };
        let asked = ["host", "x-a", "x-a", "x-a", "x-ab", "x-new", "host"];
        let expected = ["Host", "X-A", "x-a", "X-a", "X-AB", "x-new", "Host"];
        assert_eq!(asked.map(&mut spelt), expected);
    }

    #[test]
    fn without_any_wording_names_are_in_small_letters() {
        let name = HeaderName::from_static("x-a");
        assert_eq!(Names::of(None).spelt(&name), b"x-a");
    }

    /// A header map has the values of a name together, wherever they stood.
    #[test]
    fn names_that_alternate_are_spelt_as_they_were_each_time() {
        let wording = Wording {
            lines: Bytes::from_static(b"X-A: 1\r\nx-b: 2\r\nx-a: 3\r\nX-B: 4\r\n\r\n"),
            reason: None,
        };
        let mut names = Names::of(Some(&wording));
        let mut spelt = |name: &'static str| {
            let name = HeaderName::from_static(name);
            String::from_utf8(names.spelt(&name).to_vec()).expect("a name")
        };
        let asked = ["x-a", "x-a", "x-b", "x-b"];
        assert_eq!(asked.map(&mut spelt), ["X-A", "x-a", "x-b", "X-B"]);
    }
}
