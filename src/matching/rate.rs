//! A part of the whole.

use std::fmt;
use std::str::FromStr;

/// A part of the whole, from 0 to 1.
///
/// It is kept as the number below which one of 64 random bits is in; the greatest one is the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

/// Why something is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no part of the whole: a number from 0 (none) to 1 (all), such as 0.05")]
pub struct NotARate;

/// 2^64.
const WHOLE: f64 = 18_446_744_073_709_551_616.0;

impl Rate {
    /// All of it.
    pub const ALL: Self = Self(u64::MAX);

    /// Nothing of it.
    pub const NONE: Self = Self(0);

    /// The rate that this number is. One that is above 0 takes something, however small it is.
    pub fn new(part: f64) -> Result<Self, NotARate> {
        if !(0.0..=1.0).contains(&part) {
            return Err(NotARate);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within, and a cast stays there"
        )]
        let bound = (part * WHOLE) as u64;
        Ok(Self(if part > 0.0 { bound.max(1) } else { 0 }))
    }

    /// The number that it is, as nearly as such numbers are.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "that is how near they are")]
    pub fn as_f64(self) -> f64 {
        if self == Self::ALL {
            return 1.0;
        }
        self.0 as f64 / WHOLE
    }

    /// Whether it takes whoever drew this number of all there are.
    pub(crate) fn takes(self, drawn: u64) -> bool {
        self == Self::ALL || drawn < self.0
    }

    /// As one number, to be kept where numbers are.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    /// What [`to_bits`](Self::to_bits) gave.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self::ALL
    }
}

impl TryFrom<f64> for Rate {
    type Error = NotARate;

    fn try_from(part: f64) -> Result<Self, NotARate> {
        Self::new(part)
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        Self::new(text.parse().map_err(|_| NotARate)?)
    }
}

impl fmt::Display for Rate {
    /// The shortest decimal that is this rate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // So many digits tell all such numbers apart.
        const DIGITS: usize = 17;
        let exact = self.as_f64();
        let shortest = (0..DIGITS)
            .filter_map(|digits| format!("{exact:.digits$e}").parse::<f64>().ok())
            .find(|part| Self::new(*part) == Ok(*self));
        write!(f, "{}", shortest.unwrap_or(exact))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_a_number_from_0_to_1() {
        for (text, shown) in [
            ("0", "0"),
            ("0.05", "0.05"),
            ("5e-2", "0.05"),
            ("0.0001", "0.0001"),
            ("0.1", "0.1"),
            ("0.333", "0.333"),
            ("1", "1"),
            ("1.0", "1"),
            ("0.0000001", "0.0000001"),
        ] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(rate.to_string(), shown);
        }
        for wrong in ["", "-0.1", "1.1", "NaN", "inf", "half", "5%", "0,5"] {
            assert_eq!(wrong.parse::<Rate>(), Err(NotARate), "{wrong}");
        }
        assert_eq!(Rate::new(1.0), Ok(Rate::ALL));
        assert_eq!(Rate::new(-0.0), Ok(Rate::NONE));
        assert!(Rate::new(f64::MIN_POSITIVE).expect("a rate") > Rate::NONE);
    }

    proptest! {
        #[test]
        fn a_rate_is_read_as_it_is_shown(part in 0.0..=1.0) {
            let rate = Rate::new(part).expect("a rate");
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            prop_assert!((rate.as_f64() - part).abs() < 1e-15);
        }
    }
}
