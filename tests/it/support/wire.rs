//! Messages as bytes, read strictly.

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in small letters, and values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A response; interim ones are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// All lines but those of the connection itself.
    pub(crate) head: String,
    /// Without chunks; trailers, if there are any, behind it.
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As it said it would.
    Whole,
    /// It is not all there.
    Cut,
    /// With its connection, and did not say when.
    Connection,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }
}

/// The first request and its length; `None` if it is not all there, an error if it can be read in more
/// than one way.
pub(crate) fn request(bytes: &[u8]) -> Result<Option<(Request, usize)>, String> {
    let Some(head) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = (latin1(&bytes[..head]), &bytes[head + 4..]);
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err("a control character".to_owned());
    }
    let (line, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let line: Vec<&str> = line.split(' ').collect();
    let &[method, target, "HTTP/1.1"] = &line[..] else {
        return Err("the request line".to_owned());
    };
    let headers = headers(rest)?;
    if values(&headers, "host").len() != 1 {
        return Err(format!("{} hosts", values(&headers, "host").len()));
    }
    let lengths = values(&headers, "content-length");
    let encodings = values(&headers, "transfer-encoding");
    let read = match (&lengths[..], &encodings[..]) {
        ([], []) => Some((Vec::new(), 0)),
        ([length], []) => {
            if !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("the length {length:?}"));
            }
            let length = length.parse().map_err(|_| "an endless length")?;
            body.get(..length).map(|body| (body.to_vec(), length))
        }
        ([], ["chunked"]) => {
            let (body, length, is_whole) = chunks(body);
            is_whole?.then_some((body, length))
        }
        _ => return Err(format!("lengths {lengths:?}, encodings {encodings:?}")),
    };
    Ok(read.map(|(read, length)| {
        let request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.clone(),
            body: read,
        };
        (request, bytes.len() - body.len() + length)
    }))
}

/// The responses to requests of these methods.
pub(crate) fn answers(mut bytes: &[u8], methods: &[&str]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let (Some(length), Some(method)) = (find(bytes, b"\r\n\r\n"), methods.get(answers.len()))
    {
        let head = latin1(&bytes[..length]);
        bytes = &bytes[length + 4..];
        let (line, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
        if line.starts_with("HTTP/1.1 1") && !line.starts_with("HTTP/1.1 101") {
            continue;
        }
        let headers = headers(rest).unwrap();
        let is_empty = *method == "HEAD"
            || [" 204", " 304", " 101"]
                .iter()
                .any(|status| line[8..].starts_with(status));
        let length = values(&headers, "content-length")
            .first()
            .map(|length| length.parse::<usize>().unwrap());
        let (body, taken, end) = if is_empty {
            (Vec::new(), 0, End::Whole)
        } else if !values(&headers, "transfer-encoding").is_empty() {
            let (body, length, is_whole) = chunks(bytes);
            (
                body,
                length,
                if is_whole == Ok(true) {
                    End::Whole
                } else {
                    End::Cut
                },
            )
        } else if let Some(length) = length {
            let there = length.min(bytes.len());
            let end = if there == length {
                End::Whole
            } else {
                End::Cut
            };
            (bytes[..there].to_vec(), there, end)
        } else {
            (bytes.to_vec(), bytes.len(), End::Connection)
        };
        bytes = &bytes[taken..];
        let lines = head
            .split("\r\n")
            .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let head = lines.collect::<Vec<_>>().join("\n");
        answers.push(Answer { head, body, end });
    }
    answers
}

fn headers(lines: &str) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("the header {name:?}"));
        }
        headers.push((
            name.to_ascii_lowercase(),
            value.trim_matches(' ').to_owned(),
        ));
    }
    Ok(headers)
}

fn values<'h>(headers: &'h [(String, String)], wanted: &str) -> Vec<&'h str> {
    let of_name = headers.iter().filter(|(name, _)| name == wanted);
    of_name.map(|(_, value)| value.as_str()).collect()
}

/// A body in chunks with its trailers, its length as it was sent, and whether it is all there.
type Chunks = (Vec<u8>, usize, Result<bool, String>);

fn chunks(bytes: &[u8]) -> Chunks {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else {
            return (body, bytes.len(), Ok(false));
        };
        let digits = latin1(&bytes[at..at + line]);
        let size = usize::from_str_radix(&digits, 16);
        let (Ok(size), true) = (size, digits.bytes().all(|byte| byte.is_ascii_hexdigit())) else {
            return (body, bytes.len(), Err(format!("the chunk size {digits:?}")));
        };
        if size == 0 {
            // The trailers' end, or that of the size's own line.
            let Some(end) = find(&bytes[at + line..], b"\r\n\r\n") else {
                return (body, bytes.len(), Ok(false));
            };
            body.extend_from_slice(&bytes[at + line..][..end]);
            return (body, at + line + end + 4, Ok(true));
        }
        at += line + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else {
            let there = &bytes[at..];
            body.extend_from_slice(&there[..there.len().min(size)]);
            return (body, bytes.len(), Ok(false));
        };
        let (chunk, end) = chunk.split_at(size);
        body.extend_from_slice(chunk);
        if end != b"\r\n" {
            return (body, bytes.len(), Err("a chunk's end".to_owned()));
        }
        at += size + 2;
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Bytes as text, one character each.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
