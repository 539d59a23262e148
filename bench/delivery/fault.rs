//! What is done to whom.

use anyhow::bail;

use crate::broker::{Broker, Kind};

/// A record is larger than this, with its bodies; without them it is not.
const SHRUNK_TO: &str = "max.message.bytes=2000";

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens.
    None,
    /// The broker's process is stopped, and goes on.
    Pause,
    /// The broker is killed, and started again.
    Kill,
    /// miffy is told to end, and started again, while the broker is away.
    Restart,
    /// miffy is killed, and started again, while the broker is away.
    Crash,
    /// The broker is away for longer than the spool has room, and new records are dropped.
    SpoolFullNew,
    /// The same, and old ones are.
    SpoolFullOld,
    /// The broker is away for longer than the spool's disk has room.
    DiskFull,
    /// miffy may not write to the topic any longer, and then again.
    Revoked,
    /// The topic takes smaller records than it did.
    TooLarge,
    /// One of three brokers is killed, and started again.
    LostBroker,
}

/// How a miffy ends in the midst of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    InOrder,
    AtOnce,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::None,
        Self::Pause,
        Self::Kill,
        Self::Restart,
        Self::Crash,
        Self::SpoolFullNew,
        Self::SpoolFullOld,
        Self::DiskFull,
        Self::TooLarge,
        Self::Revoked,
        Self::LostBroker,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pause => "pause",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Crash => "crash",
            Self::SpoolFullNew => "spool_full_drop_new",
            Self::SpoolFullOld => "spool_full_drop_old",
            Self::DiskFull => "disk_full",
            Self::Revoked => "revoked",
            Self::TooLarge => "too_large",
            Self::LostBroker => "lost_broker",
        }
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Revoked => Kind::Secure,
            Self::LostBroker => Kind::Cluster,
            _ => Kind::Plain,
        }
    }

    /// Whether nothing can be delivered as long as it lasts.
    pub(crate) fn is_outage(self) -> bool {
        !matches!(self, Self::None | Self::TooLarge | Self::LostBroker)
    }

    /// Whether records have to be dropped, and counted.
    pub(crate) fn drops(self) -> bool {
        matches!(
            self,
            Self::SpoolFullNew | Self::SpoolFullOld | Self::DiskFull
        )
    }

    /// How miffy ends while the broker is away, before it is started again.
    pub(crate) fn miffys_end(self) -> Option<End> {
        match self {
            Self::Restart => Some(End::InOrder),
            Self::Crash => Some(End::AtOnce),
            _ => None,
        }
    }

    /// The spool's size, and what becomes of records when it is full.
    pub(crate) fn spool(self) -> (&'static str, &'static str) {
        match self {
            Self::SpoolFullNew => ("8MiB", "drop_new"),
            Self::SpoolFullOld => ("8MiB", "drop_old"),
            _ => ("4GiB", "drop_new"),
        }
    }

    /// More of miffy's `[kafka]`, and tables after it.
    pub(crate) fn tables(self) -> &'static str {
        match self {
            // Compressed, records would fit.
            Self::TooLarge => "\"compression.type\" = \"none\"\n",
            // A short outage is to be enough.
            _ if self.drops() => "[delivery]\nqueue_records = 1000\n",
            _ => "",
        }
    }

    pub(crate) fn begin(self, broker: &Broker, topic: &str) -> anyhow::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Pause => broker.run(&["pause"]),
            Self::Kill
            | Self::Restart
            | Self::Crash
            | Self::SpoolFullNew
            | Self::SpoolFullOld
            | Self::DiskFull
            | Self::LostBroker => broker.run(&["kill"]),
            Self::Revoked => acl(broker, topic, "--remove"),
            Self::TooLarge => alter(broker, topic, "--add-config", SHRUNK_TO),
        }
    }

    pub(crate) fn mend(self, broker: &Broker, topic: &str) -> anyhow::Result<()> {
        match self {
            // What is too large stays so.
            Self::None | Self::TooLarge => Ok(()),
            Self::Pause => broker.run(&["resume"]),
            Self::Revoked => acl(broker, topic, "--add"),
            _ => broker.run(&["restart"]),
        }
    }

    /// What the row needs before miffy starts.
    pub(crate) fn prepare(self, broker: &Broker, topic: &str) -> anyhow::Result<()> {
        match self {
            Self::Revoked => acl(broker, topic, "--add"),
            _ => Ok(()),
        }
    }

    /// A topic's name for the row. Where the script grants nothing by its beginning, it can be revoked.
    pub(crate) fn topic(self) -> String {
        let beginning = match self {
            Self::Revoked => "delivery",
            _ => "miffy-delivery",
        };
        format!("{beginning}-{}-{}", self.name(), uuid::Uuid::now_v7())
    }
}

fn acl(broker: &Broker, topic: &str, change: &str) -> anyhow::Result<()> {
    let Some(user) = broker.value("user") else {
        bail!("the broker has no user");
    };
    let principal = format!("User:{user}");
    let mut arguments = vec![change, "--allow-principal", &principal, "--producer"];
    arguments.extend(["--topic", topic]);
    if change == "--remove" {
        arguments.push("--force");
    }
    broker.tool("org.apache.kafka.tools.AclCommand", &arguments)
}

fn alter(broker: &Broker, topic: &str, change: &str, property: &str) -> anyhow::Result<()> {
    let entity = ["--alter", "--entity-type", "topics", "--entity-name", topic];
    let arguments = [&entity[..], &[change, property]].concat();
    broker.tool("kafka.admin.ConfigCommand", &arguments)
}
