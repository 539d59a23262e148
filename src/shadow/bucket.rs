//! A rate that is not exceeded.

use std::time::{Duration, Instant};

/// How much may be taken at once: what a second brings.
const BURST: Duration = Duration::from_secs(1);

/// A token bucket: so many a second, and at most a second's worth at once. Kept as the time at which it
/// would be full again.
#[derive(Debug)]
pub(super) struct Bucket {
    /// What one token takes to come back.
    interval: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full one. `rate` is above 0.
    pub(super) fn new(rate: u32) -> Self {
        Self {
            interval: BURST / rate.max(1),
            full_at: None,
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        let after = full_at + self.interval;
        let is_there = after <= now + BURST;
        if is_there {
            self.full_at = Some(after);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(bucket: &mut Bucket, now: Instant, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(bucket.take(now))).sum()
    }

    #[test]
    fn a_seconds_worth_is_there_at_once_and_comes_back_over_time() {
        let mut bucket = Bucket::new(10);
        let start = Instant::now();
        assert_eq!(taken(&mut bucket, start, 20), 10);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(99), 5), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(350), 5), 3);
        assert_eq!(taken(&mut bucket, start + Duration::from_hours(1), 20), 10);
    }

    proptest! {
        #[test]
        fn the_rate_is_never_exceeded(
            rate in 1_u32..50,
            steps in prop::collection::vec((0_u64..500, 0_u32..30), 0..50),
        ) {
            let start = Instant::now();
            let (mut bucket, mut now, mut all) = (Bucket::new(rate), start, 0);
            for (pause, tries) in steps {
                now += Duration::from_millis(pause);
                all += taken(&mut bucket, now, tries);
                let allowed = (now - start + BURST).as_secs_f64() * f64::from(rate);
                // An interval is rounded down to a nanosecond.
                prop_assert!(f64::from(all) <= allowed + 0.001, "{} of {}", all, allowed);
            }
        }
    }
}
