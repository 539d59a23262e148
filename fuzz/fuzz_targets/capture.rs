//! What is kept of a body is the same however it comes in pieces, keeps its bounds, and comes back to the
//! budget; and the body itself passes through unchanged.
//!
//! The input is bytes of flags, pieces' sizes in two ways, and the body.

#![no_main]

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use miffy::capture::{
    BodyEnd, Budget, Captured, Content, Ended, Limits, collect, slot, tee_request,
};
use miffy::outcome::Skip;
use miffy_fuzz::body::{End, Pieces, block_on, read};
use miffy_fuzz::sections;

/// Bytes kept of a body that is over a bound.
const EXCERPT: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let [flags, sizes, other_sizes, seed] = sections(data);
    let flag = |at: usize| flags.get(at).copied().unwrap_or(0xff);
    let body = Bytes::from(seed.repeat(if flag(0) == b'!' { 100 } else { 1 }));
    let budget = bound(flag(2), &body);
    let limits = Limits {
        max_body: bound(flag(1), &body),
        budget: Budget::new(budget),
    };
    let end = [End::Plain, End::Known, End::Trailers, End::Error][usize::from(flag(3) % 4)];
    let frames = match flag(4) {
        b'!' => usize::MAX,
        few => usize::from(few),
    };
    let model = Model {
        body: &body,
        limits: &limits,
        budget,
    };
    let firsts = [sizes, other_sizes].map(|sizes| {
        let pieces = || Pieces::new(body.clone(), sizes, end);
        model.response(pieces(), frames);
        model.request(pieces(), frames);
        model.lost_request(pieces(), frames);
        model.collected(pieces(), end)
    });
    if model.is_ample() {
        assert_eq!(firsts[0], firsts[1]);
    }
    assert_eq!(limits.budget.held(), 0);
});

/// A bound in bytes: any below 128, about as long as the body, or beyond it.
fn bound(flag: u8, body: &[u8]) -> usize {
    match usize::from(flag) {
        0xff => 1 << 30,
        near @ 128.. => (body.len() + near).saturating_sub(191),
        small => small,
    }
}

/// What is known of a body's copy beforehand.
struct Model<'a> {
    body: &'a Bytes,
    limits: &'a Limits,
    budget: usize,
}

impl Model<'_> {
    /// Reads a body as the candidate's is read; gives its first bytes.
    fn collected(&self, pieces: Pieces, end: End) -> Bytes {
        let captured = block_on(collect(pieces, self.limits));
        self.check(&captured);
        let is_whole = matches!(captured.end, BodyEnd::Complete);
        assert_eq!(is_whole, end != End::Error);
        // A copy: what is kept is held in the budget for as long as anybody has it.
        Bytes::copy_from_slice(captured.content.bytes())
    }

    /// Reads a body's first frames as the reference's is read.
    fn response(&self, pieces: Pieces, frames: usize) {
        let (slot, ended) = slot();
        let is_error = pieces.is_error();
        let mut tee = slot.answered(StatusCode::OK, HeaderMap::new(), pieces, self.limits);
        let (passed, is_over) = read(&mut tee, frames);
        assert_eq!(passed, self.body[..passed.len()]);
        drop(tee);
        match block_on(ended) {
            Ok(Ended::Over(Ok(answer))) => {
                assert!(!is_error);
                self.check(&answer.body);
                assert_eq!(answer.body.end, BodyEnd::Complete);
            }
            Ok(Ended::Over(Err(_))) => assert!(is_over && is_error),
            // A slot that is dropped says the same.
            Ok(Ended::ClientGone) => assert!(!is_over),
            Err(lost) => panic!("{lost}"),
        }
    }

    /// Reads a request's first frames as the reference does, and the rest of it after that.
    fn request(&self, pieces: Pieces, frames: usize) {
        let is_error = pieces.is_error();
        let (mut tee, upload, coming) = tee_request(pieces, self.limits);
        let (passed, _) = read(&mut tee, frames);
        assert_eq!(passed, self.body[..passed.len()]);
        drop(tee);
        if let Some(upload) = upload {
            block_on(upload.finish());
        }
        match block_on(coming.whole()) {
            Ok(captured) => {
                self.check(&captured);
                assert!(self.is_kept() && !is_error);
                assert_eq!(captured.content, Content::Whole(self.body.clone()));
            }
            Err(skip) if is_error && self.is_kept() => assert_eq!(skip, Skip::ClientGone),
            Err(skip) => {
                assert_eq!(skip, Skip::RequestTooLarge);
                assert!(!self.is_kept());
            }
        }
        assert_eq!(self.limits.budget.held(), 0);
    }

    /// Reads a request's first frames, and nobody reads the rest.
    fn lost_request(&self, pieces: Pieces, frames: usize) {
        let (mut tee, upload, coming) = tee_request(pieces, self.limits);
        drop(upload);
        let (passed, is_over) = read(&mut tee, frames);
        drop(tee);
        match block_on(coming.whole()) {
            Ok(captured) => {
                assert_eq!(passed.len(), self.body.len());
                self.check(&captured);
            }
            Err(Skip::RequestUnread) => assert!(!is_over),
            Err(Skip::ClientGone) => assert!(is_over),
            Err(skip) => assert!(skip == Skip::RequestTooLarge && !self.is_kept()),
        }
        assert_eq!(self.limits.budget.held(), 0);
    }

    /// Whether the budget is never the bound.
    fn is_ample(&self) -> bool {
        self.budget >= self.body.len() + EXCERPT
    }

    /// Whether a copy of all of it is within the bounds.
    fn is_kept(&self) -> bool {
        self.body.len() <= self.limits.max_body.min(self.budget)
    }

    /// The copy of a body that was read to its end.
    fn check(&self, captured: &Captured) {
        let body = self.body;
        assert_eq!(captured.len, body.len() as u64);
        let bytes = captured.content.bytes();
        assert_eq!(self.limits.budget.held(), bytes.len());
        assert_eq!(
            captured.content.digest(),
            Content::Whole(body.clone()).digest()
        );
        match &captured.content {
            Content::Whole(bytes) => assert!(self.is_kept() && bytes == body),
            Content::Over { first, .. } => {
                assert!(!self.is_kept());
                let most = EXCERPT.min(self.limits.max_body);
                assert!(first.len() <= most && body.starts_with(first));
                assert!(!self.is_ample() || first.len() == most);
            }
        }
    }
}
