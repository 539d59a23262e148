//! The outcome ledger's terms: how a matched request can end.
//!
//! Every request that matches an experiment ends in exactly one [`Outcome`]. Their names are what
//! records, metrics and the log say.

/// How a matched request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Both answered, alike.
    Equal,
    /// Both answered, not alike.
    Different,
    /// Both answered, and they are not to be compared.
    Uncompared,
    /// The candidate gave no whole answer; the reference did.
    CandidateFailed(Cause),
    /// The reference gave no whole answer.
    ReferenceFailed(Cause),
    /// There was nothing to compare.
    Skipped(Skip),
}

/// Why a side gave no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No URI could be made of the base URL and the request's target.
    Uri,
    /// No connection.
    Connect,
    /// Its time was up.
    Timeout,
    /// The connection ended, or went on in something else than HTTP, before the response's head.
    Protocol,
    /// The response's body ended before its end.
    Body,
}

/// How far an exchange came before it failed, in the words of the record's `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// There was no URI to send it to.
    Uri,
    /// No response's head came.
    Request,
    /// The response's body did not come to its end.
    Body,
}

/// That a side gave no whole answer: how far it came, and why no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// How far.
    pub stage: Stage,
    /// Why.
    pub cause: Cause,
}

/// Why a matched request was not mirrored, or a mirrored one not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The experiment does not mirror its method.
    Method,
    /// It is not in the experiment's sample.
    SampledOut,
    /// The experiment is paused.
    Paused,
    /// A hook did not choose the candidate.
    NotChosen,
    /// A hook failed that chooses, edits or compares.
    Hook,
    /// It asked for an upgrade of the connection (RFC 9110 §7.8).
    Upgrade,
    /// As many exchanges were mirrored as may be at a time.
    InFlight,
    /// The candidate is left alone, since it failed too often.
    Breaker,
    /// Its body is over the bound of captured bodies.
    RequestTooLarge,
    /// Its body was not read to its end, because the reference had answered or failed before.
    RequestUnread,
    /// The client went away before it had the answer.
    ClientGone,
    /// The candidate had finished, and the reference's answer took longer than a pair may wait.
    ReferenceSlow,
    /// miffy stopped.
    Shutdown,
    /// miffy itself failed: a defect.
    Internal,
}

impl Stage {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Request => "request",
            Self::Body => "body",
        }
    }
}

impl Cause {
    const ALL: [Self; 5] = [
        Self::Uri,
        Self::Connect,
        Self::Timeout,
        Self::Protocol,
        Self::Body,
    ];

    /// Its name in records, metrics and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Body => "body",
        }
    }
}

impl Skip {
    const ALL: [Self; 14] = [
        Self::Method,
        Self::SampledOut,
        Self::Paused,
        Self::NotChosen,
        Self::Hook,
        Self::Upgrade,
        Self::InFlight,
        Self::Breaker,
        Self::RequestTooLarge,
        Self::RequestUnread,
        Self::ClientGone,
        Self::ReferenceSlow,
        Self::Shutdown,
        Self::Internal,
    ];

    /// Its name in metrics and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::SampledOut => "sampled_out",
            Self::Paused => "paused",
            Self::NotChosen => "not_chosen",
            Self::Hook => "hook",
            Self::Upgrade => "upgrade",
            Self::InFlight => "in_flight",
            Self::Breaker => "breaker",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestUnread => "request_unread",
            Self::ClientGone => "client_gone",
            Self::ReferenceSlow => "reference_slow",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}

impl Outcome {
    /// How many there are where both sides answered.
    const ANSWERED: usize = 3;

    /// How many outcomes there are, reasons told apart.
    pub const COUNT: usize = Self::ANSWERED + 2 * Cause::ALL.len() + Skip::ALL.len();

    /// All outcomes, in the order of their [`index`](Self::index).
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Equal, Self::Different, Self::Uncompared]
            .into_iter()
            .chain(Cause::ALL.map(Self::CandidateFailed))
            .chain(Cause::ALL.map(Self::ReferenceFailed))
            .chain(Skip::ALL.map(Self::Skipped))
    }

    /// Its place in [`all`](Self::all).
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Equal => 0,
            Self::Different => 1,
            Self::Uncompared => 2,
            Self::CandidateFailed(cause) => Self::ANSWERED + cause as usize,
            Self::ReferenceFailed(cause) => Self::ANSWERED + Cause::ALL.len() + cause as usize,
            Self::Skipped(skip) => Self::ANSWERED + 2 * Cause::ALL.len() + skip as usize,
        }
    }

    /// Its name in records, metrics and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Uncompared => "uncompared",
            Self::CandidateFailed(_) => "candidate_failed",
            Self::ReferenceFailed(_) => "reference_failed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why, where there is more than one reason.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Equal | Self::Different | Self::Uncompared => None,
            Self::CandidateFailed(cause) | Self::ReferenceFailed(cause) => Some(cause.name()),
            Self::Skipped(skip) => Some(skip.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_the_place_that_its_index_says() {
        let places: Vec<usize> = Outcome::all().map(Outcome::index).collect();
        let expected: Vec<usize> = (0..Outcome::COUNT).collect();
        assert_eq!(places, expected);
    }
}
