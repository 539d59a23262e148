//! What a miffy is configured for, by the cases that share it.

use crate::options::Case;

/// Exchanges that miffy may mirror at a time, and bytes that it may hold of them.
pub(crate) const MAX_IN_FLIGHT: u64 = 256;
pub(crate) const MAX_CAPTURED_MIB: usize = 64;

/// What cases have in common that share a miffy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The candidate is at fault.
    Candidates,
    /// A client is.
    Clients,
    /// Large documents are compared.
    LargeDocuments,
    /// There is no broker.
    KafkaAway,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self::Candidates,
        Self::Clients,
        Self::LargeDocuments,
        Self::KafkaAway,
    ];

    pub(crate) fn of(case: Case) -> Self {
        match case {
            Case::Healthy | Case::Different | Case::Faulty(_) => Self::Candidates,
            Case::Client(client) if client.is_compared_whole() => Self::LargeDocuments,
            Case::Client(_) => Self::Clients,
            Case::KafkaAway => Self::KafkaAway,
        }
    }

    /// The memory that miffy may have at any time, in MiB: 32 of its own; a read buffer of 0.13 for each exchange
    /// and connection, where one sends without an end; captured bodies, twice while they grow; and records
    /// that wait, 64 in miffy's queue and 64 in librdkafka's.
    pub(crate) fn max_memory_mib(self) -> usize {
        match self {
            // Few of its clients have more to send than a kilobyte.
            Self::Clients => 150,
            // As below, and two documents' nodes for each comparison.
            Self::LargeDocuments => 32 + 104 + 2 * MAX_CAPTURED_MIB + 128 + 64,
            Self::Candidates | Self::KafkaAway => 32 + 104 + 2 * MAX_CAPTURED_MIB + 128,
        }
    }

    /// How long a candidate may take. Large downloads are mirrored to their end.
    pub(crate) fn candidate_limit(self) -> &'static str {
        match self {
            Self::Candidates | Self::KafkaAway => "1s",
            Self::Clients => "2m",
            Self::LargeDocuments => "5s",
        }
    }

    /// How much of a body is kept.
    pub(crate) fn max_body(self) -> &'static str {
        match self {
            Self::LargeDocuments => "8MiB",
            Self::Candidates | Self::Clients | Self::KafkaAway => "1MiB",
        }
    }
}
