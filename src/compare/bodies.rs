//! The bodies of two answers: what they are, and so how they are compared.

use super::difference::{Difference, Kind, Shown, common_prefix};
use super::findings::{BODY, Findings};
use super::rules::Place;
use super::{Hashed, text, tree};
use crate::content::{Body, Media, charset, codings};
use crate::json::Document;
use crate::redact::Redaction;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// Adds the differences of two bodies that are there whole.
pub(super) fn compare(
    reference: &Body<'_>,
    candidate: &Body<'_>,
    redaction: &Redaction,
    findings: &mut Findings<'_>,
) {
    if reference.bytes() == candidate.bytes() && are_read_alike(reference, candidate) {
        return;
    }
    findings.ignored_by = findings.ignoring(&Place::Body);
    let (a, b) = (Read::of(reference), Read::of(candidate));
    let same_media = reference.media() == candidate.media();
    let is_unread = |body: &Body<'_>| redaction.hides_unread(body);
    note("reference", why_not(reference, &a), findings);
    note("candidate", why_not(candidate, &b), findings);
    let names = (a.name(reference.media()), b.name(candidate.media()));
    let are_texts = reference.media() != Media::Bytes && candidate.media() != Media::Bytes;
    match (&a, &b) {
        (Read::Json(a), Read::Json(b))
            if same_media && !is_unread(reference) && !is_unread(candidate) =>
        {
            tree::compare(a, b, reference.media(), redaction, findings);
        }
        (Read::Nothing, Read::Nothing) => {}
        (Read::Nothing | Read::Undecodable, _) | (_, Read::Nothing | Read::Undecodable) => {
            types(names, findings);
        }
        (Read::Json(_), _) | (_, Read::Json(_)) if !same_media => types(names, findings),
        // The same bytes, and who reads them has a text on one side only.
        (Read::Text, Read::Bytes) | (Read::Bytes, Read::Text)
            if are_texts && reference.decoded() == candidate.decoded() =>
        {
            types(names, findings);
        }
        _ if redaction.hides_in(reference) || redaction.hides_in(candidate) => {
            findings.hide();
            as_text(reference, candidate, findings);
            if findings.show() {
                let mask = |body: &Body<'_>| Some(Shown::text(&redaction.body_mask(body)));
                findings.add(BODY.to_owned(), Kind::Changed, || {
                    Difference::new(BODY, Kind::Changed, (mask(reference), mask(candidate)))
                });
            }
        }
        _ => as_text(reference, candidate, findings),
    }
    findings.ignored_by = None;
}

/// Whether the same bytes mean the same in both.
fn are_read_alike(a: &Body<'_>, b: &Body<'_>) -> bool {
    let say_the_same = |name| a.headers().get_all(&name) == b.headers().get_all(&name);
    if a.bytes().is_empty()
        || [CONTENT_TYPE, CONTENT_ENCODING]
            .into_iter()
            .all(say_the_same)
    {
        return true;
    }
    let is_json = |body: &Body<'_>| {
        let media = body.media();
        matches!(media, Media::Json | Media::JsonLines | Media::Events).then_some(media)
    };
    is_json(a) == is_json(b)
        && codings(a.headers()) == codings(b.headers())
        && charset(a.headers()) == charset(b.headers())
}

/// What a body is.
enum Read<'b> {
    Nothing,
    /// Its codings can't be taken off.
    Undecodable,
    Json(Document<'b>),
    Text,
    Bytes,
}

impl<'b> Read<'b> {
    fn of(body: &'b Body<'_>) -> Self {
        if body.bytes().is_empty() {
            return Self::Nothing;
        }
        match body.decoded() {
            Err(_) => return Self::Undecodable,
            // Nothing in a coding takes some bytes.
            Ok([]) => return Self::Nothing,
            Ok(_) => {}
        }
        let document = match body.media() {
            Media::Json => body
                .text()
                .ok()
                .and_then(|text| Document::parse(text.as_bytes())),
            _ => body
                .json()
                .and_then(|text| Document::parse(text.as_bytes())),
        };
        match (document, body.media()) {
            (Some(document), _) => Self::Json(document),
            (None, Media::Bytes) => Self::Bytes,
            (None, _) if body.text().is_err() => Self::Bytes,
            (None, _) => Self::Text,
        }
    }

    fn name(&self, media: Media) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Undecodable => "undecodable",
            Self::Json(_) => media.name(),
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}

fn note(side: &str, reason: Option<String>, findings: &mut Findings<'_>) {
    if let Some(reason) = reason {
        findings.note(|| format!("{side}: {reason}"));
    }
}

/// Why a body is not what it says it is.
fn why_not(body: &Body<'_>, read: &Read<'_>) -> Option<String> {
    let media = body.media();
    match read {
        Read::Undecodable => {
            let reason = body
                .decoded()
                .err()
                .map_or("", crate::content::Undecodable::name);
            Some(format!("the body can't be decoded ({reason})"))
        }
        Read::Text | Read::Bytes
            if matches!(media, Media::Json | Media::JsonLines | Media::Events) =>
        {
            let name = media.name();
            Some(format!(
                "the body is no valid {name}, and is compared as {}",
                read.name(media)
            ))
        }
        Read::Bytes if media != Media::Bytes => {
            let reason = body.text().err().map_or("", crate::content::NoText::name);
            Some(format!(
                "the body is no text ({reason}), and is compared as bytes"
            ))
        }
        _ => None,
    }
}

/// Adds the differences of two bodies that are not documents.
fn as_text(reference: &Body<'_>, candidate: &Body<'_>, findings: &mut Findings<'_>) {
    let is_text = |body: &Body<'_>| body.media() != Media::Bytes;
    if is_text(reference)
        && is_text(candidate)
        && let (Ok(a), Ok(b)) = (reference.text(), candidate.text())
    {
        if a != b {
            let is_form = reference.media() == Media::Form && candidate.media() == Media::Form;
            text::compare(a, b, if is_form { '&' } else { '\n' }, findings);
        }
        return;
    }
    if let (Ok(a), Ok(b)) = (reference.decoded(), candidate.decoded()) {
        as_bytes(a, b, findings);
    }
}

fn as_bytes(a: &[u8], b: &[u8], findings: &mut Findings<'_>) {
    if a == b {
        return;
    }
    let offset = common_prefix(a, b);
    let kind = if offset == a.len().min(b.len()) {
        Kind::Length
    } else {
        Kind::Changed
    };
    findings.add(BODY.to_owned(), kind, || {
        let (reference, candidate) = match (std::str::from_utf8(a), std::str::from_utf8(b)) {
            (Ok(a), Ok(b)) => Shown::texts(a, b, offset),
            _ => (Shown::bytes(a, offset), Shown::bytes(b, offset)),
        };
        Difference {
            offset: Some(offset as u64),
            ..Difference::new(BODY, kind, (Some(reference), Some(candidate)))
        }
    });
}

/// Adds that the bodies are of two types.
fn types((a, b): (&str, &str), findings: &mut Findings<'_>) {
    let values = || (Some(Shown::text(a)), Some(Shown::text(b)));
    findings.add(BODY.to_owned(), Kind::TypeChanged, || {
        Difference::new(BODY, Kind::TypeChanged, values())
    });
}

/// Adds the differences of two bodies of which at least one was not kept.
pub(super) fn compare_hashes(
    (headers_a, a): (&HeaderMap, Hashed),
    (headers_b, b): (&HeaderMap, Hashed),
    redaction: &Redaction,
    findings: &mut Findings<'_>,
) {
    findings.note(|| {
        "the bodies are over capture.max_body, and are compared by length and hash".to_owned()
    });
    let name = |headers: &HeaderMap, hashed: Hashed| match hashed.len {
        0 => "none".to_owned(),
        _ => {
            let media = Media::of(headers);
            let name = match media {
                Media::Json | Media::JsonLines | Media::Events => media.name(),
                Media::Form | Media::Text | Media::Bytes => "bytes",
            };
            // What is UTF-8 anyway needs no name, and what is no text has no charset.
            let is_told = |label: &String| !matches!(&label[..], "utf-8" | "utf8" | "us-ascii");
            let charset = charset(headers).filter(|it| media != Media::Bytes && is_told(it));
            let parts = [name.to_owned()].into_iter().chain(charset);
            let parts: Vec<_> = parts.chain(codings(headers)).collect();
            parts.join(" in ")
        }
    };
    let names = (name(headers_a, a), name(headers_b, b));
    let (kind, values) = if names.0 != names.1 {
        (
            Kind::TypeChanged,
            (Shown::text(&names.0), Shown::text(&names.1)),
        )
    } else if a.len != b.len {
        (Kind::Length, (Shown::number(a.len), Shown::number(b.len)))
    } else if a.digest != b.digest {
        let shown = |digest: u128| match redaction.digest_mask(digest) {
            Some(mask) => Shown::text(&mask),
            None => Shown::bytes(&digest.to_be_bytes(), 0),
        };
        (Kind::Changed, (shown(a.digest), shown(b.digest)))
    } else {
        return;
    };
    findings.add_at(&Place::Body, kind, || (Some(values.0), Some(values.1)));
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;
    use crate::config::Redact;

    #[test]
    fn hashes_of_bodies_that_may_hold_something_hidden_are_masked() {
        let (rules, headers) = (Rules::default(), HeaderMap::new());
        let hashed = |digest| (&headers, Hashed { len: 9, digest });
        let settings = Redact {
            body: vec!["/a".parse().expect("a pattern")],
            ..Redact::default()
        };
        let redaction = Redaction::with_key(settings, b"a key");
        let mut findings = Findings::none(&rules, None);
        compare_hashes(hashed(1), hashed(2), &redaction, &mut findings);
        let [found] = findings.differences.list() else {
            panic!("one difference");
        };
        let shown = [&found.reference, &found.candidate];
        let shown = shown.map(|it| it.as_ref().map_or("", Shown::as_json));
        assert!(shown.iter().all(|it| it.starts_with("\"[redacted ")));
        assert_ne!(shown[0], shown[1]);
    }
}
