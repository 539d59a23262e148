//! A body's bounded copy, while it is taken and when it is there.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use http_body::SizeHint;
use xxhash_rust::xxh3::Xxh3;

use super::budget::{Budget, Reservation};
use crate::client::BodyError;
use crate::outcome::{Cause, Failure, Stage};

/// Bytes kept from the start of a body whose copy was given up.
const EXCERPT: usize = 64 * 1024;

/// The bounds of copies.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of one body, in bytes.
    pub max_body: usize,
    /// Of all bodies together.
    pub budget: Arc<Budget>,
}

/// A body that came to an end, one way or another.
#[derive(Debug)]
pub struct Captured {
    /// Its bytes, or what stands for them.
    pub content: Content,
    /// Its length in bytes, up to its end.
    pub len: u64,
    /// How it ended.
    pub end: BodyEnd,
    /// Unless its content holds it.
    _reservation: Option<Reservation>,
}

/// What was kept of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// It was over a bound: its first bytes, and a hash of all of it. Hashes of one process can be
    /// compared with each other.
    Over {
        /// At most 64 KiB.
        first: Bytes,
        /// XXH3, 128 bits, with a seed of this process.
        digest: u128,
    },
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// With its last byte, or its trailers.
    Complete,
    /// With an error of whoever sent it.
    Failed,
    /// When its time was up.
    Late,
    /// Whoever received it went away first.
    Cut,
}

impl BodyEnd {
    /// How a body ended that failed so.
    pub(super) fn of_error(error: &(dyn Error + 'static)) -> Self {
        match error.downcast_ref() {
            Some(BodyError::Late) => Self::Late,
            Some(BodyError::Broken(_)) | None => Self::Failed,
        }
    }

    /// Why a response of this end is no answer; `None` if it is one.
    #[must_use]
    pub fn failure(self) -> Option<Failure> {
        let cause = match self {
            Self::Complete => return None,
            Self::Late => Cause::Timeout,
            Self::Failed | Self::Cut => Cause::Body,
        };
        let stage = Stage::Body;
        Some(Failure { stage, cause })
    }
}

impl Content {
    /// Its bytes, or the first of them.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Over { first, .. } => first,
        }
    }

    /// The hash of all its bytes.
    #[must_use]
    pub fn digest(&self) -> u128 {
        match self {
            Self::Whole(bytes) => hasher(bytes).digest128(),
            Self::Over { digest, .. } => *digest,
        }
    }
}

impl Captured {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            content: Content::Whole(Bytes::new()),
            len: 0,
            end: BodyEnd::Complete,
            _reservation: None,
        }
    }
}

/// Takes the copy of one body, piece by piece.
pub(super) struct Recorder {
    copy: Copy,
    len: u64,
    max: usize,
    /// How long the body says it is.
    announced: usize,
    reservation: Reservation,
}

enum Copy {
    Whole(BytesMut),
    Over { first: Bytes, hasher: Box<Xxh3> },
}

impl Recorder {
    /// For a body that says of its size so much.
    pub(super) fn new(limits: &Limits, size: &SizeHint) -> Self {
        let announced = size.exact().map(usize::try_from);
        Self {
            copy: Copy::Whole(BytesMut::new()),
            len: 0,
            max: limits.max_body,
            announced: announced.and_then(Result::ok).unwrap_or(0),
            reservation: Reservation::none(limits.budget.clone()),
        }
    }

    /// The bytes are copied, not shared: a small slice can hold on to a large buffer.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.len += data.len() as u64;
        if self.keeps(data) {
            return;
        }
        self.give_up(data);
        if let Copy::Over { hasher, .. } = &mut self.copy {
            hasher.update(data);
        }
    }

    /// Copies a piece, if that is within the bounds and the copy was not given up.
    fn keeps(&mut self, data: &[u8]) -> bool {
        let Copy::Whole(bytes) = &mut self.copy else {
            return false;
        };
        let fits = bytes.len() + data.len() <= self.max && self.reservation.grow(data.len());
        if fits {
            if bytes.is_empty() {
                // Memory that stays untouched costs nothing; to grow it would be to copy what is there.
                bytes.reserve(self.announced.min(self.max));
            }
            bytes.extend_from_slice(data);
        }
        fits
    }

    /// Copies a piece, or else gives back the copy of those before it.
    pub(super) fn copy(mut self, data: &[u8]) -> Result<Self, Bytes> {
        if self.keeps(data) {
            self.len += data.len() as u64;
            return Ok(self);
        }
        match self.copy {
            Copy::Whole(bytes) => Err(held(bytes, self.reservation)),
            Copy::Over { first, .. } => Err(first),
        }
    }

    /// Whether the copy was given up.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.copy, Copy::Over { .. })
    }

    pub(super) fn finish(self, end: BodyEnd) -> Captured {
        let (content, reservation) = match self.copy {
            Copy::Whole(bytes) => (Content::Whole(held(bytes, self.reservation)), None),
            Copy::Over { first, hasher } => {
                let digest = hasher.digest128();
                (Content::Over { first, digest }, Some(self.reservation))
            }
        };
        Captured {
            content,
            len: self.len,
            end,
            _reservation: reservation,
        }
    }

    /// Goes on without a copy, but for the first bytes of what there is and of `next`.
    fn give_up(&mut self, next: &[u8]) {
        let Copy::Whole(bytes) = &mut self.copy else {
            return;
        };
        let hasher = hasher(bytes);
        let kept = EXCERPT.min(self.max);
        let more = kept.saturating_sub(bytes.len()).min(next.len());
        let more = if self.reservation.grow(more) { more } else { 0 };
        let start = &bytes[..bytes.len().min(kept)];
        let first = Bytes::from([start, &next[..more]].concat());
        self.reservation.shrink_to(first.len());
        self.copy = Copy::Over { first, hasher };
    }
}

/// Bytes, and what they hold in the budget.
struct Held {
    bytes: BytesMut,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that are held in the budget for as long as anybody has them.
fn held(bytes: BytesMut, reservation: Reservation) -> Bytes {
    if bytes.is_empty() {
        return Bytes::new();
    }
    Bytes::from_owner(Held {
        bytes,
        _reservation: reservation,
    })
}

/// A hash of `start`, to go on from.
fn hasher(start: &[u8]) -> Box<Xxh3> {
    let mut hasher = Box::new(Xxh3::with_seed(*SEED));
    hasher.update(start);
    hasher
}

/// Nobody outside can prepare two bodies with the same hash without knowing it.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));

#[cfg(test)]
mod tests {
    use super::*;

    fn record(max: usize, budget: usize, pieces: &[&[u8]]) -> Captured {
        let limits = Limits {
            max_body: max,
            budget: Budget::new(budget),
        };
        let mut recorder = Recorder::new(&limits, &SizeHint::new());
        for piece in pieces {
            recorder.push(piece);
        }
        recorder.finish(BodyEnd::Complete)
    }

    #[test]
    fn a_body_within_its_bounds_is_kept_whole() {
        let captured = record(5, 5, &[b"ab", b"cde"]);
        assert_eq!(
            captured.content,
            Content::Whole(Bytes::from_static(b"abcde"))
        );
        assert_eq!(captured.len, 5);
    }

    #[test]
    fn over_a_bound_the_first_bytes_and_a_hash_of_all_are_kept() {
        let over = |max, budget, pieces| match record(max, budget, pieces).content {
            Content::Over { first, digest } => (first, digest),
            Content::Whole(bytes) => panic!("kept whole: {bytes:?}"),
        };
        let (first, digest) = over(4, 100, &[b"ab", b"cde"]);
        assert_eq!(first, "abcd");
        assert_eq!(
            over(100, 3, &[b"ab", b"cde"]).0,
            "ab",
            "the budget bounds it, too"
        );
        assert_eq!(over(4, 100, &[b"abcde"]).1, digest, "pieces don't matter");
        assert_eq!(over(100, 3, &[b"abc", b"de"]).1, digest, "nor which bound");
        assert_eq!(
            record(9, 9, &[b"abcde"]).content.digest(),
            digest,
            "nor whether it was kept"
        );
        assert_ne!(over(4, 100, &[b"abcdf"]).1, digest);
    }

    #[test]
    fn what_is_kept_is_held_in_the_budget_as_long_as_it_is_kept() {
        let limits = Limits {
            max_body: 4,
            budget: Budget::new(100),
        };
        let mut recorder = Recorder::new(&limits, &SizeHint::new());
        recorder.push(b"abc");
        assert_eq!(limits.budget.held(), 3);
        let captured = recorder.finish(BodyEnd::Complete);
        assert_eq!(limits.budget.held(), 3);
        drop(captured);
        assert_eq!(limits.budget.held(), 0);
    }
}
