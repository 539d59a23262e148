//! A record on its way, and its form on disk.
//!
//! On disk it is `version: u8 = 1`, `found: u64` (milliseconds since 1970), `topic: u16` and `key: u32` (their lengths
//! in bytes), all of them little-endian, then the topic, the key, and the payload up to the end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

/// The form on disk that is written, and the only one there was.
const VERSION: u8 = 1;

/// A record to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The Kafka topic.
    pub topic: Arc<str>,
    /// Its key, which decides its partition and so its order.
    pub key: Arc<str>,
    /// Its bytes: a line of JSON without its end.
    pub payload: Bytes,
}

impl Outgoing {
    /// Bytes of key and payload.
    #[must_use]
    pub fn size(&self) -> usize {
        self.key.len() + self.payload.len()
    }

    /// Writes its form on disk into `buffer`, in place of what was in it. A topic of over 64 KiB, or a key of over 4 GiB,
    /// is none.
    pub(super) fn write(&self, found: SystemTime, buffer: &mut Vec<u8>) {
        let found = found
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let millis = u64::try_from(found.as_millis()).unwrap_or(u64::MAX);
        let topic = u16::try_from(self.topic.len()).unwrap_or(0);
        let key = u32::try_from(self.key.len()).unwrap_or(0);
        buffer.clear();
        buffer.push(VERSION);
        buffer.extend_from_slice(&millis.to_le_bytes());
        buffer.extend_from_slice(&topic.to_le_bytes());
        buffer.extend_from_slice(&key.to_le_bytes());
        buffer.extend_from_slice(&self.topic.as_bytes()[..topic.into()]);
        buffer.extend_from_slice(&self.key.as_bytes()[..key as usize]);
        buffer.extend_from_slice(&self.payload);
    }

    /// Reads its form on disk; `None` if it is none.
    pub(super) fn read(bytes: Vec<u8>) -> Option<(Self, SystemTime)> {
        let mut rest = Bytes::from(bytes);
        let version = take::<1>(&mut rest)?;
        if version != [VERSION] {
            return None;
        }
        let millis = u64::from_le_bytes(take(&mut rest)?);
        let topic = u16::from_le_bytes(take(&mut rest)?);
        let key = u32::from_le_bytes(take(&mut rest)?);
        let record = Self {
            topic: text(&mut rest, topic.into())?,
            key: text(&mut rest, key as usize)?,
            payload: rest,
        };
        let found = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
        Some((record, found))
    }
}

fn take<const N: usize>(rest: &mut Bytes) -> Option<[u8; N]> {
    let (taken, _) = rest.split_first_chunk::<N>()?;
    let taken = *taken;
    let _taken = rest.split_to(N);
    Some(taken)
}

fn text(rest: &mut Bytes, len: usize) -> Option<Arc<str>> {
    if rest.len() < len {
        return None;
    }
    let bytes = rest.split_to(len);
    Some(std::str::from_utf8(&bytes).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Outgoing {
        Outgoing {
            topic: "topic".into(),
            key: "kéy".into(),
            payload: Bytes::from_static(b"{\"a\":1}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let found = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let mut buffer = vec![1, 2, 3];
        record().write(found, &mut buffer);
        assert_eq!(Outgoing::read(buffer), Some((record(), found)));
    }

    #[test]
    fn nothing_else_is() {
        let mut buffer = Vec::new();
        record().write(SystemTime::UNIX_EPOCH, &mut buffer);
        let head = buffer.len() - record().payload.len();
        for cut in 0..head {
            assert_eq!(Outgoing::read(buffer[..cut].to_vec()), None, "{cut}");
        }
        buffer[0] = 2;
        assert_eq!(Outgoing::read(buffer), None);
    }
}
