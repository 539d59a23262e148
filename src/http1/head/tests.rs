use proptest::prelude::*;

use super::*;

const HEADS: Heads = Heads {
    max_bytes: 8 * 1024,
    max_headers: 100,
};

fn request(text: &str) -> Result<Option<Asked>, Malformed> {
    HEADS.request(&mut Bytes::copy_from_slice(text.as_bytes()), 0)
}

/// A whole request with these lines of headers.
fn asked(lines: &str) -> Result<Asked, Malformed> {
    let asked = request(&format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))?;
    Ok(asked.expect("it is whole"))
}

fn told(method: &Method, text: &str) -> Result<Told, Malformed> {
    let mut bytes = Bytes::copy_from_slice(text.as_bytes());
    let told = HEADS.response(&mut bytes, 0, method)?;
    Ok(told.expect("it is whole"))
}

#[test]
fn a_head_is_taken_from_what_came() {
    let text = b"GET /a/../b?c='d' HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-A: 1 \r\nx-a: 2\r\n\r\nGET";
    let mut bytes = Bytes::from_static(text);
    let asked = HEADS.request(&mut bytes, 0).expect("a head");
    let Asked { head, length, .. } = asked.expect("all of it");
    assert_eq!(bytes, "GET");
    assert_eq!(length, Length::Exact(0));
    assert_eq!((head.method, head.version), (Method::GET, Version::HTTP_11));
    assert_eq!(head.uri, "/a/../b?c='d'");
    let all = |name| head.headers.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(all("x-a"), ["1", "2"]);
    assert_eq!(all("x-empty"), [""]);
}

#[test]
fn what_is_not_one_line_after_another_is_refused() {
    for text in [
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET /\r\n\r\n",
        "G\0T / HTTP/1.1\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
    ] {
        let refused = request(text).err();
        assert_eq!(refused, Some(Malformed::Head), "{text:?}");
    }
}

#[test]
fn a_request_is_framed_in_one_way() {
    let length = |lines: &str| asked(lines).map(|asked| asked.length);
    assert_eq!(length(""), Ok(Length::Exact(0)));
    assert_eq!(length("Content-Length: 5\r\n"), Ok(Length::Exact(5)));
    assert_eq!(
        length("Transfer-Encoding: Chunked\r\n"),
        Ok(Length::Chunked)
    );
    assert_eq!(
        length("Transfer-Encoding: gzip, chunked\r\n"),
        Ok(Length::Chunked)
    );
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: \r\n",
    ] {
        assert_eq!(length(lines), Err(Malformed::Length), "{lines:?}");
    }
    for lines in [
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        assert_eq!(length(lines), Err(Malformed::Coding), "{lines:?}");
    }
    let old = request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.err(), Some(Malformed::Coding));
    let twice = asked("Content-Length: 5\r\nContent-Length: 5\r\n").expect("one length");
    assert_eq!(twice.length, Length::Exact(5));
    assert_eq!(twice.head.headers.get_all(CONTENT_LENGTH).iter().count(), 1);
}

#[test]
fn chunks_outrank_a_length_and_end_the_connection() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: five\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    ] {
        let asked = asked(lines).expect("chunks");
        assert_eq!(asked.length, Length::Chunked, "{lines:?}");
        assert!(!asked.persists, "{lines:?}");
        assert!(
            !asked.head.headers.contains_key(CONTENT_LENGTH),
            "{lines:?}"
        );
    }
}

#[test]
fn a_connection_persists_as_its_version_and_options_say() {
    let persists = |version: &str, lines: &str| {
        let text = format!("GET / HTTP/{version}\r\n{lines}\r\n");
        request(&text).expect("a head").expect("all of it").persists
    };
    assert!(persists("1.1", ""));
    assert!(!persists("1.1", "Connection: close\r\n"));
    assert!(!persists(
        "1.1",
        "Connection: x, Close\r\nConnection: keep-alive\r\n"
    ));
    assert!(!persists("1.0", ""));
    assert!(persists("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!persists("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn only_who_has_a_body_can_wait_to_be_asked_for_it() {
    let expects = |lines: &str| asked(lines).expect("a head").expects;
    assert!(expects("Content-Length: 1\r\nExpect: 100-Continue\r\n"));
    assert!(!expects("Content-Length: 0\r\nExpect: 100-continue\r\n"));
    assert!(!expects("Expect: 100-continue\r\n"));
    let old = "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    let old = request(old).expect("a head").expect("all of it");
    assert!(!old.expects);
}

#[test]
fn a_response_is_framed_in_one_way() {
    let length = |method, status: &str, lines: &str| {
        let text = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
        told(&method, &text).map(|told| (told.length, told.persists))
    };
    let sized = "Content-Length: 5\r\n";
    let get = |status, lines| length(Method::GET, status, lines);
    assert_eq!(get("200 OK", sized), Ok((Length::Exact(5), true)));
    assert_eq!(
        get("200 OK", "Content-Length: 5, 5\r\n"),
        Ok((Length::Exact(5), true))
    );
    assert_eq!(get("200 OK", ""), Ok((Length::UntilClose, false)));
    let chunked = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(get("200 OK", chunked), Ok((Length::Chunked, true)));
    assert_eq!(
        get("200 OK", "Transfer-Encoding: gzip\r\n"),
        Ok((Length::UntilClose, false))
    );
    for status in ["204 No Content", "304 Not Modified", "103 Early Hints"] {
        assert_eq!(get(status, sized), Ok((Length::Exact(0), true)), "{status}");
    }
    assert_eq!(
        length(Method::HEAD, "200 OK", chunked),
        Ok((Length::Exact(0), true))
    );
    for lines in [
        "Content-Length: x\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
    ] {
        assert_eq!(get("200 OK", lines), Err(Malformed::Length), "{lines:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(told(&Method::GET, old).err(), Some(Malformed::Coding));
}

#[test]
fn heads_are_bounded() {
    let small = Heads {
        max_bytes: 64,
        max_headers: 2,
    };
    let read = |text: &str| {
        let mut bytes = Bytes::copy_from_slice(text.as_bytes());
        small.request(&mut bytes, 0).map(|asked| asked.is_some())
    };
    assert_eq!(read("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n"), Ok(true));
    assert_eq!(
        read("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"),
        Err(Malformed::TooLarge)
    );
    let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(64));
    assert_eq!(read(&long), Err(Malformed::TooLarge));
    assert_eq!(read(&format!("{long}\r\n\r\n")), Err(Malformed::TooLarge));
    let target = "x".repeat(MAX_TARGET);
    let large = Heads {
        max_bytes: 1024 * 1024,
        ..HEADS
    };
    let read = |target: &str| {
        let mut bytes = Bytes::from(format!("GET /{target} HTTP/1.1\r\n\r\n"));
        large.request(&mut bytes, 0).map(|asked| asked.is_some())
    };
    assert_eq!(read(&target), Err(Malformed::TargetTooLong));
    assert_eq!(read(&target[1..]), Ok(true));
}

#[test]
fn there_may_be_more_headers_than_have_room_at_first() {
    let lines: Vec<String> = (0..FEW + 10).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let asked = asked(&lines.concat()).expect("a head");
    assert_eq!(asked.head.headers.len(), FEW + 11);
    assert_eq!(asked.head.headers["x-70"], "70");
}

#[test]
fn who_keeps_a_head_keeps_no_large_body_with_it() {
    let mut bytes = Bytes::from([&b"GET / HTTP/1.1\r\nA: 1\r\n\r\n"[..], &[b'x'; 9000]].concat());
    let whole = bytes.as_ptr_range();
    let asked = HEADS.request(&mut bytes, 0).expect("a head");
    let asked = asked.expect("all of it");
    assert!(!whole.contains(&asked.head.headers["a"].as_bytes().as_ptr()));
    assert_eq!(bytes.len(), 9000);
}

/// hyper kept it.
#[test]
fn a_length_that_is_outranked_leaves_the_others_in_their_order() {
    let lines = "A: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nB: 1\r\nC: 1\r\n";
    let head = asked(lines).expect("a head").head;
    let names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["host", "a", "transfer-encoding", "b", "c"]);
}

proptest! {
    #[test]
    fn a_head_is_the_same_in_whatever_pieces_it_comes(
        lines in proptest::collection::vec("[A-Za-z-]{1,8}: ?[ -~]{0,12}", 0..6),
        ends in proptest::collection::vec(any::<bool>(), 8),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut text = "GET /x HTTP/1.1\r\n".to_owned();
        for (line, is_bare) in lines.iter().zip(&ends) {
            text += line;
            text += if *is_bare { "\n" } else { "\r\n" };
        }
        text += if ends[7] { "\n" } else { "\r\n" };
        let shown = |asked: Result<Option<Asked>, Malformed>| {
            asked.map(|asked| asked.map(|it| (it.head.headers, it.length, it.persists)))
        };
        let whole = shown(request(&text));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let mut known = 0;
        let mut last = Ok(None);
        for cut in cuts {
            let mut come = Bytes::copy_from_slice(&text.as_bytes()[..cut]);
            last = shown(HEADS.request(&mut come, known));
            if last != Ok(None) {
                break;
            }
            known = cut;
        }
        prop_assert_eq!(last.is_err(), whole.is_err());
        if whole.is_ok() {
            prop_assert_eq!(last, whole);
        }
    }
}
