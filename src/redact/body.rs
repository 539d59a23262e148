//! What may be shown of a body.
//!
//! Whatever holds JSON is looked into, whether it says so or not. What says that it is JSON, or looks like
//! it, and can't be read, is hidden as a whole; so is what has parts of its own that nobody looks into.

use std::borrow::Cow;

use http::HeaderMap;

use super::{MAX_PLACES, Masks, Redaction, document, parameters};
use crate::content::{Body, Media, media_type};
use crate::json::pattern::{Segment, Tracker};
use crate::json::{Document, Kind, Value};

/// What may be shown of a body.
#[derive(Debug)]
pub(crate) struct Sight<'b> {
    pub(crate) form: Form<'b>,
    /// Where something is hidden, as JSON Pointers, at most 100; the empty one for all of it.
    pub(crate) places: Vec<String>,
}

/// What a body is, without what is hidden.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Form<'b> {
    /// A JSON text that says it is one, without content coding.
    Json(Cow<'b, str>),
    /// Anything else: as it came, unless something is hidden in it.
    Bytes(Cow<'b, [u8]>),
    /// What stands for all of it.
    Mask(String),
}

impl Redaction {
    /// What may be shown of a message's body, all of which is there.
    pub(crate) fn body<'b>(&self, body: &Body<'b>, masks: Masks) -> Sight<'b> {
        if !self.hides_bodies() || body.bytes().is_empty() {
            return as_it_is(body);
        }
        let Ok(decoded) = body.decoded() else {
            return self.hidden(body.bytes(), masks);
        };
        let media = body.media();
        if matches!(media, Media::JsonLines | Media::Events) && self.is_in_items(media, body.json())
        {
            return self.hidden(decoded, masks);
        }
        let says_json = media == Media::Json;
        let document = read(body);
        let redacted = document.as_ref().and_then(|it| self.json(it, masks));
        if let Some(redacted) = redacted {
            let form = if says_json {
                Form::Json(Cow::Owned(redacted.text))
            } else {
                Form::Bytes(Cow::Owned(redacted.text.into_bytes()))
            };
            let places = redacted.places;
            return Sight { form, places };
        }
        let is_unread = document.is_none() && looks_like_json(decoded);
        let is_hidden = match media {
            Media::Json => document.is_none(),
            Media::JsonLines | Media::Events => false,
            Media::Form | Media::Text | Media::Bytes => is_unread || is_multipart(body.headers()),
        };
        if is_hidden || self.hides_all() {
            return self.hidden(decoded, masks);
        }
        let form = (media == Media::Form).then(|| self.form(decoded, masks));
        form.flatten().unwrap_or_else(|| as_it_is(body))
    }

    /// What may be shown of a body of which only the start is there; `digest` stands for all of it.
    pub(crate) fn start_of_body<'b>(
        &self,
        start: &'b [u8],
        digest: u128,
        masks: Masks,
    ) -> Sight<'b> {
        if self.hides_bodies() {
            return self.hidden(&digest.to_le_bytes(), masks);
        }
        Sight {
            form: Form::Bytes(Cow::Borrowed(start)),
            places: Vec::new(),
        }
    }

    /// Whether anything of a message's body is hidden: then no part of its text may be shown but by
    /// [`Self::show`].
    pub(crate) fn hides_in(&self, body: &Body<'_>) -> bool {
        self.hides_bodies() && !self.body(body, Masks::Alike).places.is_empty()
    }

    /// What stands for all of a response's body.
    pub(crate) fn body_mask(&self, body: &Body<'_>) -> String {
        let bytes = body.decoded().unwrap_or(body.bytes());
        self.masked(Masks::Told, b'b', bytes)
    }

    /// What stands for all of a response's body that was not kept, if bodies may hold something hidden: the
    /// same as [`Self::start_of_body`] shows. Its hash would let guesses be tried.
    pub(crate) fn digest_mask(&self, digest: u128) -> Option<String> {
        let mask = || self.masked(Masks::Told, b'b', &digest.to_le_bytes());
        self.hides_bodies().then(mask)
    }

    fn hidden(&self, bytes: &[u8], masks: Masks) -> Sight<'static> {
        Sight {
            form: Form::Mask(self.masked(masks, b'b', bytes)),
            places: vec![String::new()],
        }
    }

    /// Whether whole bodies are hidden, whatever they are.
    fn hides_all(&self) -> bool {
        self.tracker(Media::Bytes).outermost().is_some()
    }

    /// Whether there is something to hide in an array that lines or events were made into, or none could be
    /// made. They are documents of their own as well as its items, and patterns may mean either.
    fn is_in_items(&self, media: Media, array: Option<&str>) -> bool {
        let array = array.and_then(|text| Document::parse(text.as_bytes()));
        array.is_none_or(|it| {
            let found = document::find(it.root(), &mut self.tracker(media)).values;
            !found.is_empty() || media == Media::Events && is_unread(it.root())
        })
    }

    /// Whether a body that is compared as a document is to be hidden as a whole for all that: nobody looked
    /// into all of it.
    pub(crate) fn hides_unread(&self, body: &Body<'_>) -> bool {
        let events = body.json().filter(|_| body.media() == Media::Events);
        let events = events.filter(|_| self.hides_bodies());
        let events = events.and_then(|text| Document::parse(text.as_bytes()));
        events.is_some_and(|it| is_unread(it.root()))
    }

    /// A form with masks for its hidden fields' values; `None` if there are none.
    fn form(&self, form: &[u8], masks: Masks) -> Option<Sight<'static>> {
        let found = parameters::find(form, |name| self.hides_field(name));
        if found.is_empty() {
            return None;
        }
        let mut shown = Vec::with_capacity(form.len());
        let mut from = 0;
        for it in &found {
            shown.extend_from_slice(&form[from..it.place.start]);
            let mask = self.masked(masks, b'f', &form[it.place.clone()]);
            shown.extend_from_slice(mask.as_bytes());
            from = it.place.end;
        }
        shown.extend_from_slice(&form[from..]);
        let places = found.iter().take(MAX_PLACES);
        Some(Sight {
            form: Form::Bytes(Cow::Owned(shown)),
            places: places.map(|it| format!("/{}", it.name)).collect(),
        })
    }

    /// Whether a form's field is hidden: by its name, or by the parts of one such as `user[password]`.
    fn hides_field(&self, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name);
        let leads_to = |segments: &mut dyn Iterator<Item = &str>| {
            let mut tracker: Tracker<'_> = self.tracker(Media::Form);
            segments.for_each(|key| tracker.enter(Segment::Key(key)));
            tracker.outermost().is_some()
        };
        // An item that a form gives no index is one.
        let indexed = name.replace("[]", "[0]");
        let mut parts = indexed
            .split(['[', ']', '.'])
            .filter(|part| !part.is_empty());
        leads_to(&mut std::iter::once(&*name)) || leads_to(&mut parts)
    }
}

/// A body of which nothing is hidden.
fn as_it_is<'b>(body: &Body<'b>) -> Sight<'b> {
    let json = (body.media() == Media::Json).then(|| json(body)).flatten();
    Sight {
        form: json.map_or_else(|| Form::Bytes(Cow::Borrowed(body.bytes())), Form::Json),
        places: Vec::new(),
    }
}

/// A body's JSON text. Without content coding and in UTF-8 it is not copied.
fn json<'b>(body: &Body<'b>) -> Option<Cow<'b, str>> {
    if !body.is_encoded() && crate::json::is_json(body.bytes()) {
        return std::str::from_utf8(body.bytes()).ok().map(Cow::Borrowed);
    }
    read(body).map(|document| Cow::Owned(document.root().text().to_owned()))
}

/// A decoded body as JSON, in UTF-8, or else in the charset that it says.
fn read<'d>(body: &'d Body<'_>) -> Option<Document<'d>> {
    let decoded = body.decoded().ok()?;
    Document::parse(decoded).or_else(|| Document::parse(body.text().ok()?.as_bytes()))
}

/// Parts with headers of their own (RFC 2046 §5.1), fields of forms among them.
fn is_multipart(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|it| it.starts_with("multipart/"))
}

/// Whether one of these events has data that looks like JSON and was not read as such. Without quotes there
/// are no keys in it, as in `[DONE]`.
fn is_unread(events: Value<'_>) -> bool {
    let is_unread = |(key, value): (Value<'_>, Value<'_>)| {
        let data = value.unescaped();
        key.unescaped() == "data" && looks_like_json(data.as_bytes()) && data.contains('"')
    };
    let mut events = events.items().filter(|it| it.kind() == Kind::Object);
    events.any(|event| {
        let mut strings = event.members().filter(|it| it.1.kind() == Kind::String);
        strings.any(is_unread)
    })
}

/// Whether a text begins as JSON does, or as JSON that is kept from being a script.
fn looks_like_json(text: &[u8]) -> bool {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let text = text.trim_ascii_start();
    text.starts_with(b"{") || text.starts_with(b"[") || text.starts_with(b")]}")
}
