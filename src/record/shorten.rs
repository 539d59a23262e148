//! Fits a record that is a line of JSON into a size: when it is made, and again when somebody takes less.
//!
//! The line is read for where its parts are, and written once: what is cut is replaced, and all else is copied
//! as it stands, fields of other versions among it.
//!
//! Invariants:
//!
//! - What gives way is one thing after another ([`ORDER`]), and each no further than needed. Of bodies, and of
//!   headers' values, the largest are levelled down to one length, so that small ones stay whole.
//! - A smaller bound leaves no more of anything; and it is all the same whether a record is cut once or in
//!   several turns. `truncated` has the original sizes, always.
//! - Nothing is cut that would take as much room cut: a cut has to be named in `truncated`.
//! - What can't be read as what it should be is left alone.

mod cut;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use self::cut::{Cut, New, added, removed, span};
use super::shape::Truncated;
use crate::compare;

/// What gives way, and down to what, until a record fits.
const ORDER: [(Part, usize); 8] = [
    (Part::Bodies, 0),
    (Part::Differences, 10),
    (Part::Headers, 1024),
    (Part::Differences, 1),
    (Part::Headers, 64),
    (Part::Listed, 10),
    (Part::Headers, 0),
    (Part::Differences, 0),
];

/// The parts of which `truncated` speaks, in its order: two of each message.
const FIELDS: [&str; 6] = [
    "request.headers",
    "request.body",
    "reference.response.headers",
    "reference.response.body",
    "candidate.response.headers",
    "candidate.response.body",
];

/// What a text that was cut ends in.
const MARK: char = '…';

/// What can be cut.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Of each body, groups of three bytes: four characters in base64, which needs no other ones then.
    Bodies,
    /// How many differences are listed.
    Differences,
    /// Bytes of each header's value.
    Headers,
    /// How many fingerprints, notes and masked places are listed.
    Listed,
}

/// How much stays of each part.
type Plan = [usize; 4];

/// A record's fields that can be cut.
#[derive(Deserialize)]
struct Shape<'l> {
    #[serde(borrow)]
    request: Message<'l>,
    #[serde(borrow)]
    reference: Side<'l>,
    #[serde(borrow)]
    candidate: Side<'l>,
    #[serde(borrow)]
    differences: &'l RawValue,
    #[serde(borrow)]
    fingerprints: &'l RawValue,
    #[serde(borrow)]
    notes: &'l RawValue,
    #[serde(borrow)]
    redacted: &'l RawValue,
    #[serde(borrow)]
    truncated: &'l RawValue,
}

#[derive(Deserialize)]
struct Side<'l> {
    #[serde(borrow)]
    response: Message<'l>,
}

/// A request, or a response; one that failed has neither.
#[derive(Deserialize)]
struct Message<'l> {
    #[serde(borrow, default, deserialize_with = "values")]
    headers: Vec<&'l RawValue>,
    #[serde(borrow)]
    body: Option<Form<'l>>,
}

#[derive(Deserialize)]
struct Form<'l> {
    #[serde(borrow)]
    r#type: &'l RawValue,
    #[serde(borrow)]
    value: &'l RawValue,
}

/// Where a record's parts are.
struct Layout<'l> {
    line: &'l [u8],
    /// By [`FIELDS`].
    fields: Vec<Field<'l>>,
    differences: List<'l>,
    listed: [List<'l>; 3],
    truncated: &'l RawValue,
    /// What it names that is none of [`FIELDS`].
    others: Vec<&'l RawValue>,
}

/// A part of a message, and what is said of its being cut already.
struct Field<'l> {
    name: &'static str,
    content: Content<'l>,
    cut: Option<(&'l RawValue, Truncated)>,
}

enum Content<'l> {
    Headers(Vec<Text<'l>>),
    Body(Option<Body<'l>>),
}

/// A header's value.
struct Text<'l> {
    raw: &'l RawValue,
    /// Without the mark, if it was cut.
    text: String,
}

struct Body<'l> {
    form: Form<'l>,
    is_json: bool,
    /// How many bytes of it are there.
    size: usize,
}

struct List<'l> {
    raw: &'l RawValue,
    items: Vec<&'l RawValue>,
}

/// A record as a line of JSON, in at most `max` bytes. `None` if it can't be cut that far, or is no record.
///
/// What is cut, and in which order, is in `docs/record.md`. One that fits stays as it is.
#[must_use]
pub fn shorten(line: &[u8], max: usize) -> Option<Vec<u8>> {
    if line.len() <= max {
        return Some(line.to_vec());
    }
    cut(line, max).ok().filter(|line| line.len() <= max)
}

/// The record in at most `max` bytes, or else as small as it can be.
pub(super) fn cut(line: &[u8], max: usize) -> Result<Vec<u8>, serde_json::Error> {
    let layout = Layout::read(line)?;
    let plan = layout.plan(max);
    Ok(layout.write(plan))
}

impl<'l> Layout<'l> {
    fn read(line: &'l [u8]) -> Result<Self, serde_json::Error> {
        let shape: Shape<'l> = serde_json::from_slice(line)?;
        let (mut known, mut others) = ([const { None }; FIELDS.len()], Vec::new());
        for raw in List::read(shape.truncated)?.items {
            let cut = serde_json::from_str::<Truncated>(raw.get()).ok();
            let field = |cut: &Truncated| FIELDS.iter().position(|it| *it == cut.field);
            match cut.and_then(|cut| Some((field(&cut)?, cut))) {
                Some((at, cut)) => known[at] = Some((raw, cut)),
                None => others.push(raw),
            }
        }
        let messages = [
            shape.request,
            shape.reference.response,
            shape.candidate.response,
        ];
        let contents = messages.into_iter().flat_map(|message| {
            let body = message.body.and_then(Body::read);
            [
                Content::Headers(texts(&message.headers)),
                Content::Body(body),
            ]
        });
        let fields = FIELDS.iter().zip(contents).zip(known);
        let fields = fields.map(|((name, content), cut)| Field::read(name, content, cut));
        Ok(Self {
            line,
            fields: fields.collect(),
            differences: List::read(shape.differences)?,
            listed: [
                List::read(shape.fingerprints)?,
                List::read(shape.notes)?,
                List::read(shape.redacted)?,
            ],
            truncated: shape.truncated,
            others,
        })
    }

    /// With which it fits, or else the least. The line does not fit as it is.
    fn plan(&self, max: usize) -> Plan {
        let mut plan = self.everything();
        let fits = |plan| self.size(&self.cuts(plan)) <= max;
        for (part, least) in ORDER {
            let part = part as usize;
            let mut over = plan[part];
            if over <= least {
                continue;
            }
            plan[part] = least;
            if !fits(plan) {
                continue;
            }
            let mut most = least;
            while over - most > 1 {
                let middle = most + (over - most) / 2;
                plan[part] = middle;
                if fits(plan) {
                    most = middle;
                } else {
                    over = middle;
                }
            }
            plan[part] = most;
            break;
        }
        plan
    }

    /// With which nothing is cut.
    fn everything(&self) -> Plan {
        let mut plan = [0; 4];
        let mut hold = |part: Part, most: usize| {
            plan[part as usize] = plan[part as usize].max(most);
        };
        for field in &self.fields {
            match &field.content {
                Content::Headers(texts) => {
                    let most = texts.iter().map(|it| it.text.len()).max();
                    hold(Part::Headers, most.unwrap_or(0));
                }
                Content::Body(body) => {
                    let most = body.as_ref().map(|it| it.size.div_ceil(3));
                    hold(Part::Bodies, most.unwrap_or(0));
                }
            }
        }
        hold(Part::Differences, self.differences.items.len());
        for list in &self.listed {
            hold(Part::Listed, list.items.len());
        }
        plan
    }

    fn cuts(&self, plan: Plan) -> Vec<Cut<'l>> {
        let mut cuts = Vec::new();
        let mut named = Vec::with_capacity(FIELDS.len() + self.others.len());
        let mut is_cut = false;
        for field in &self.fields {
            let new = field.cuts(self.line, plan);
            is_cut |= new.is_some();
            match new {
                Some((new, name)) => {
                    cuts.extend(new);
                    named.push(Cow::Owned(name));
                }
                None => named.extend(field.cut.iter().map(|(raw, _)| Cow::Borrowed(raw.get()))),
            }
        }
        if is_cut {
            named.extend(self.others.iter().map(|raw| Cow::Borrowed(raw.get())));
            let range = span(self.line, self.truncated);
            cuts.push(Cut::text(range, format!("[{}]", named.join(","))));
        }
        let listed = self.listed.iter();
        let listed = listed.filter_map(|list| list.cut(self.line, plan[Part::Listed as usize]));
        cuts.extend(listed);
        cuts.extend(
            self.differences
                .cut(self.line, plan[Part::Differences as usize]),
        );
        cuts
    }

    /// How long it is with these cuts.
    fn size(&self, cuts: &[Cut<'_>]) -> usize {
        self.line.len() - removed(cuts) + added(cuts)
    }

    fn write(&self, plan: Plan) -> Vec<u8> {
        let mut cuts = self.cuts(plan);
        cuts.sort_unstable_by_key(|cut| cut.range.start);
        let mut written = Vec::with_capacity(self.size(&cuts));
        let mut at = 0;
        for cut in cuts {
            written.extend_from_slice(&self.line[at..cut.range.start]);
            cut.new.write(&mut written);
            at = cut.range.end;
        }
        written.extend_from_slice(&self.line[at..]);
        written
    }
}

impl<'l> Field<'l> {
    fn read(
        name: &'static str,
        mut content: Content<'l>,
        cut: Option<(&'l RawValue, Truncated)>,
    ) -> Self {
        if let (Content::Headers(texts), Some(_)) = (&mut content, &cut) {
            for text in texts {
                if let Some(start) = text.text.strip_suffix(MARK) {
                    text.text.truncate(start.len());
                }
            }
        }
        Self { name, content, cut }
    }

    /// What is cut of it, and what `truncated` says of that; nothing if that would not make it shorter.
    fn cuts(&self, line: &[u8], plan: Plan) -> Option<(Vec<Cut<'l>>, String)> {
        let (cuts, size, kept) = match &self.content {
            Content::Headers(texts) => {
                let (cuts, kept) = cut_texts(texts, line, plan[Part::Headers as usize]);
                let size: usize = texts.iter().map(|it| it.text.len()).sum();
                (cuts, size, kept)
            }
            Content::Body(body) => {
                let body = body.as_ref()?;
                let kept = 3 * plan[Part::Bodies as usize];
                (body.cuts(line, kept), body.size, kept)
            }
        };
        if cuts.is_empty() {
            return None;
        }
        let size = self.cut.as_ref().map_or(size as u64, |(_, cut)| cut.size);
        let named = Truncated {
            field: self.name.to_owned(),
            size,
            kept: kept as u64,
        };
        let named = serde_json::to_string(&named).expect("text and numbers");
        // With the comma.
        let was_named = self.cut.as_ref().map_or(0, |(raw, _)| raw.get().len() + 1);
        let is_shorter = added(&cuts) + named.len() + 1 < removed(&cuts) + was_named;
        is_shorter.then_some((cuts, named))
    }
}

impl<'l> Body<'l> {
    fn read(form: Form<'l>) -> Option<Self> {
        let (is_json, size) = match form.r#type.get() {
            r#""json""# => (true, form.value.get().len()),
            r#""bytes""# => (false, decoded_len(form.value.get())?),
            _ => return None,
        };
        Some(Self {
            form,
            is_json,
            size,
        })
    }

    /// Leaves its first `kept` bytes, which are groups of three.
    fn cuts(&self, line: &[u8], kept: usize) -> Vec<Cut<'l>> {
        if self.size <= kept {
            return Vec::new();
        }
        let value = span(line, self.form.value);
        if self.is_json {
            let start = &self.form.value.get().as_bytes()[..kept];
            let new = New::Base64(start);
            let r#type = span(line, self.form.r#type);
            return vec![Cut::text(r#type, r#""bytes""#), Cut { range: value, new }];
        }
        let end = value.start + 1 + kept / 3 * 4;
        vec![Cut::text(end..value.end - 1, "")]
    }
}

impl<'l> List<'l> {
    fn read(raw: &'l RawValue) -> Result<Self, serde_json::Error> {
        let items = serde_json::from_str(raw.get())?;
        Ok(Self { raw, items })
    }

    /// Leaves its first `kept` items.
    fn cut(&self, line: &[u8], kept: usize) -> Option<Cut<'l>> {
        if self.items.len() <= kept {
            return None;
        }
        let list = span(line, self.raw);
        let end = match kept.checked_sub(1) {
            Some(at) => span(line, self.items[at]).end,
            None => list.start + 1,
        };
        Some(Cut::text(end..list.end - 1, ""))
    }
}

/// The values of headers: texts, or arrays of them.
fn values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'de RawValue>, D::Error> {
    struct Values;

    impl<'de> Visitor<'de> for Values {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("headers by their names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some((IgnoredAny, value)) = map.next_entry()? {
                values.push(value);
            }
            Ok(values)
        }
    }

    deserializer.deserialize_map(Values)
}

fn texts<'l>(values: &[&'l RawValue]) -> Vec<Text<'l>> {
    let values = values.iter().flat_map(|&raw| {
        let several = serde_json::from_str::<Vec<&RawValue>>(raw.get());
        several.unwrap_or_else(|_| vec![raw])
    });
    let text = |raw: &'l RawValue| {
        let text = serde_json::from_str(raw.get()).ok()?;
        Some(Text { raw, text })
    };
    values.filter_map(text).collect()
}

/// Leaves at most the first `max` bytes of each text; how many are left of all of them.
fn cut_texts<'l>(texts: &[Text<'l>], line: &[u8], max: usize) -> (Vec<Cut<'l>>, usize) {
    let (mut cuts, mut kept) = (Vec::new(), 0);
    for Text { raw, text } in texts {
        let short = compare::shorten(text, max);
        let written = match &short {
            Cow::Borrowed(_) => None,
            Cow::Owned(short) => serde_json::to_string(short).ok(),
        };
        match written.filter(|it| it.len() < raw.get().len()) {
            Some(written) => {
                kept += short.len() - MARK.len_utf8();
                cuts.push(Cut::text(span(line, raw), written));
            }
            None => kept += text.len(),
        }
    }
    (cuts, kept)
}

/// How many bytes a string of base64 stands for.
fn decoded_len(value: &str) -> Option<usize> {
    let base64 = value.strip_prefix('"')?.strip_suffix('"')?;
    let digits = base64.trim_end_matches('=');
    let is_plain = base64.len().is_multiple_of(4) && !base64.contains('\\');
    is_plain.then(|| digits.len() * 3 / 4)
}

#[cfg(test)]
mod tests;
