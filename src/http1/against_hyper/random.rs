//! Bytes that are messages, nearly.

use bytes::Bytes;

use super::MAX_BYTES;

/// Some bytes that may be requests.
pub(super) fn requests(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..4) {
        let methods = ["GET", "POST", "HEAD", "PUT", "X-Y", "get", "G(T", "OPTIONS"];
        let targets = [
            "/",
            "/a?b#c",
            "*",
            "http://b/c",
            "/%zz\\",
            "a:80",
            "//x",
            "/a b",
            "/{|}\"",
            "?q",
            "",
            "/\u{e9}",
            "http:///x",
        ];
        let versions = [
            "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1",
        ];
        let start = [
            mostly(random, "POST", &methods),
            mostly(random, "/", &targets),
            mostly(random, "HTTP/1.1", &versions),
        ];
        bytes.extend(start.join(" ").into_bytes());
        bytes.extend(line_end(random));
        let body = body(random, &mut bytes);
        bytes.extend(line_end(random));
        bytes.extend(body);
        if random.u8(..8) == 0 {
            bytes.extend(line_end(random));
        }
    }
    bytes
}

fn mostly(random: &mut fastrand::Rng, usual: &'static str, others: &[&'static str]) -> String {
    if random.u8(..10) < 7 {
        return usual.to_owned();
    }
    others[random.usize(..others.len())].to_owned()
}

fn line_end(random: &mut fastrand::Rng) -> &'static [u8] {
    match random.u8(..60) {
        0 => b"\n",
        1 => b"\r",
        2 => b"\r\r\n",
        3 => b"\n\n",
        4 => b" \r\n",
        _ => b"\r\n",
    }
}

/// Headers, and the body that they announce, more or less.
fn body(random: &mut fastrand::Rng, headers: &mut Vec<u8>) -> Vec<u8> {
    let other = [
        "Host: a",
        "X: y",
        "x:  y\t",
        "X:",
        "Expect: 100-continue",
        "Connection: close",
        "Connection: keep-alive, X",
        "TE: trailers",
        "Trailer: A",
        "X: \u{e9}",
        ": a",
        "X : a",
        " fold",
        "X: a\0b",
        "X: a\rb",
        "Content-Lengt\u{ff}: 3",
        "Upgrade: x",
        "Connection: upgrade",
        "Keep-Alive: 5",
        "CONNECTION: CLOSE",
    ];
    let framings = [
        "Content-Length: 5",
        "Content-Length: 5",
        "Content-Length: 3",
        "content-length: 05",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: ",
        "Content-Length: 5 ",
        "Content-Length: 18446744073709551615",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
        "transfer-encoding: CHUNKED",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, x",
        "Transfer-Encoding:",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: xchunked",
    ];
    for _ in 0..random.usize(..4) {
        headers.extend(
            other[if random.u8(..5) > 0 {
                0
            } else {
                random.usize(..other.len())
            }]
            .as_bytes(),
        );
        headers.extend(line_end(random));
    }
    let mut body = Vec::new();
    for _ in 0..random.usize(..3) {
        let framing = framings[random.usize(..framings.len())];
        headers.extend(framing.as_bytes());
        headers.extend(line_end(random));
        if !body.is_empty() {
            continue;
        }
        if framing.starts_with('C') || framing.starts_with('c') {
            body.extend(b"hello");
        } else {
            for _ in 0..random.usize(..3) {
                let data = vec![b'd'; random.usize(1..20)];
                let extension =
                    ["", "", "", ";a=b", " ", "\t;a", ";a\"\n", "; \0"][random.usize(..8)];
                body.extend(format!("{:x}{extension}", data.len()).into_bytes());
                body.extend(line_end(random));
                body.extend(&data);
                body.extend(line_end(random));
            }
            body.extend(b"0\r\n");
            if random.u8(..4) == 0 {
                body.extend(
                    ["A: b", "A", "Content-Length: 7", ": x", "A : b", " x"][random.usize(..6)]
                        .as_bytes(),
                );
                body.extend(line_end(random));
            }
            body.extend(line_end(random));
        }
    }
    if random.u8(..200) == 0 {
        for at in 0..random.usize(60..90) {
            headers.extend(format!("H{at}: v\r\n").into_bytes());
        }
    }
    if random.u8(..200) == 0 {
        let long = random.usize(MAX_BYTES - 200..MAX_BYTES + 200);
        headers.extend(format!("L: {}\r\n", "l".repeat(long)).into_bytes());
    }
    body
}

/// Changes a few bytes.
pub(super) fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    const BYTES: &[u8] = b"\r\n\0 \t:;,0159afxG\x7f\xe9\"/#%";
    if random.bool() {
        return;
    }
    for _ in 0..random.usize(1..3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.usize(..bytes.len());
        match random.u8(..3) {
            0 => bytes[at] = BYTES[random.usize(..BYTES.len())],
            1 => bytes.insert(at, BYTES[random.usize(..BYTES.len())]),
            _ => drop(bytes.remove(at)),
        }
    }
}

/// Cuts bytes into pieces, often at each of them.
pub(super) fn cut(random: &mut fastrand::Rng, bytes: &[u8]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let most = [1, 3, 50, MAX_BYTES][random.usize(..4)];
    let most = if bytes.len() > 4000 { MAX_BYTES } else { most };
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let length = random.usize(1..=most).min(rest.len());
        pieces.push(rest.split_to(length));
    }
    pieces
}

/// Some bytes that may be a response.
pub(super) fn response(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    let statuses = [
        "200 OK",
        "200 Fine",
        "200",
        "200 ",
        "204 No Content",
        "304 Not Modified",
        "100 Continue",
        "103 Early Hints",
        "101 Switching Protocols",
        "099 X",
        "999 X",
        "20 X",
        "2000 X",
        "200 \u{e9}",
        "500 a\tb",
        "102 P",
    ];
    loop {
        let version = mostly(
            random,
            "HTTP/1.1",
            &["HTTP/1.0", "HTTP/1.2", "HTTP/1.1 ", "ICY", "HTTP/2.0"],
        );
        let status = mostly(random, "200 OK", &statuses);
        bytes.extend(format!("{version} {status}").into_bytes());
        bytes.extend(line_end(random));
        let body = body(random, &mut bytes);
        bytes.extend(line_end(random));
        if status.starts_with("10") && random.u8(..8) > 0 {
            continue;
        }
        bytes.extend(body);
        return bytes;
    }
}
