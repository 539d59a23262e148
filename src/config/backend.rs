//! One backend of a route: where it is, what it is sent, how it is asked.

use super::{Backends, BaseUrl};
use crate::rewrite::Rewrite;

/// A backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Where it is.
    pub base: BaseUrl,
    /// What it is sent instead of what the client sent.
    pub rewrite: Rewrite,
    /// How it is asked.
    pub asked: Backends,
}

/// A backend under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in records and metrics, unlike any other's of its route.
    pub name: String,
    /// The backend.
    pub backend: Backend,
    /// Whether its answers are compared; else they are read to their end and forgotten.
    pub compare: bool,
    /// Requests to it at a time; `None` for as many as all may have together.
    pub max_in_flight: Option<usize>,
}

/// Whose answer the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Respond {
    /// The reference's, always.
    #[default]
    Reference,
    /// Of all backends the first one that succeeds.
    Fastest,
}
