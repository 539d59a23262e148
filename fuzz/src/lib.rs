//! What the fuzz targets share: how they read their input, and second opinions to compare miffy with.

pub mod body;
pub mod tree;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The parts of an input, which NUL bytes separate; the last holds the rest, those that are not there are
/// empty. Seeds can be read this way, and a mutation of one part leaves the others alone.
#[must_use]
pub fn sections<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The headers of lines as in HTTP/1.1, without those that no server would take.
#[must_use]
pub fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}
