//! Numbers as written decimals, never as binary fractions.
//!
//! 9007199254740993 and 9007199254740992 are one number to an f64, and two to a client with 64-bit
//! integers. So digits are compared, not values: `1.50` is `1.5` and `1e2` is `10.0e1`. An integer and a
//! fraction are two types to many clients, so `1` is not `1.0`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64;

use super::is_json;

/// When two numbers are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbers {
    /// If they have the same value, and both are integers or neither is: `1.5` is `1.50`, `1` is not `1.0`.
    #[default]
    Type,
    /// If they have the same value: `1` is `1.0`.
    Value,
}

/// Whether two JSON numbers, as written, are the same.
pub(crate) fn equal(a: &str, b: &str, numbers: Numbers) -> bool {
    if a == b {
        return true;
    }
    if numbers == Numbers::Type && is_integer(a) != is_integer(b) {
        return false;
    }
    match (Decimal::parse(a), Decimal::parse(b)) {
        (Some(a), Some(b)) => a == b,
        // An exponent beyond 64 bits: only its own spelling is surely the same.
        _ => false,
    }
}

/// A number that numbers have in common that are [`equal`], and others hardly ever.
pub(crate) fn digest(number: &str, numbers: Numbers) -> u64 {
    let Some(decimal) = Decimal::parse(number) else {
        return xxh3_64(number.as_bytes());
    };
    // FNV-1a: numbers are short.
    let digits = decimal
        .digits()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, digit| {
            (hash ^ u64::from(*digit)).wrapping_mul(0x0100_0000_01b3)
        });
    let is_integer = numbers == Numbers::Type && is_integer(number);
    let sign = u64::from(decimal.negative) << 1 | u64::from(is_integer);
    digits ^ decimal.exponent.cast_unsigned().rotate_left(8) ^ sign
}

/// How far apart two numbers may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerance {
    /// As in `0.01` or `0.5%`.
    text: String,
}

impl Tolerance {
    /// The number, and whether it is one of percent.
    fn parts(&self) -> (&str, bool) {
        match self.text.strip_suffix('%') {
            Some(number) => (number.trim_end(), true),
            None => (&self.text, false),
        }
    }

    /// Whether two JSON numbers are no further apart: by that much, or by that part of the larger one. What
    /// can't be calculated exactly enough is further apart: numbers of more than 38 digits with those
    /// between them.
    pub(crate) fn covers(&self, a: &str, b: &str) -> bool {
        let (number, is_relative) = self.parts();
        let scaled = |number| Decimal::parse(number)?.scaled();
        let within = || {
            let (a, b, most) = (scaled(a)?, scaled(b)?, scaled(number)?);
            let scale = a.scale.min(b.scale);
            if is_relative {
                let (a, b) = (a.at(scale)?, b.at(scale)?);
                let apart = a.checked_sub(b)?.checked_abs()?;
                Some(is_part(apart, a.abs().max(b.abs()), most))
            } else {
                let scale = scale.min(most.scale);
                let apart = a.at(scale)?.checked_sub(b.at(scale)?)?.checked_abs()?;
                Some(apart <= most.at(scale)?)
            }
        };
        within().unwrap_or(false)
    }
}

/// Whether `apart` is at most `percent` of `of`.
fn is_part(apart: i128, of: i128, percent: Scaled) -> bool {
    let exactly = || {
        let power = 10_i128.checked_pow(u32::try_from(percent.scale.abs()).ok()?)?;
        let (left, right) = if percent.scale < 0 {
            (power, 1)
        } else {
            (1, power)
        };
        let apart = apart.checked_mul(100)?.checked_mul(left)?;
        Some(apart <= of.checked_mul(percent.digits)?.checked_mul(right)?)
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rest of 1e-15 is no part worth telling"
    )]
    let roughly = || {
        let scale = i32::try_from(percent.scale).unwrap_or(i32::MAX);
        apart as f64 * 100.0 <= of as f64 * percent.digits as f64 * 10_f64.powi(scale)
    };
    exactly().unwrap_or_else(roughly)
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Tolerance {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tolerance = Self {
            text: text.trim().to_owned(),
        };
        let (number, _) = tolerance.parts();
        let is_number =
            is_json(number.as_bytes()) && number.starts_with(|c: char| c.is_ascii_digit());
        let is_usable = is_number && Decimal::parse(number).is_some_and(|it| it.scaled().is_some());
        if !is_usable {
            return Err(format!(
                "\"{text}\" is not a difference between numbers, such as 0.01 or \"0.5%\""
            ));
        }
        Ok(tolerance)
    }
}

/// digits × 10^scale.
#[derive(Debug, Clone, Copy)]
struct Scaled {
    digits: i128,
    scale: i64,
}

impl Scaled {
    /// Its digits at a scale that is not above its own; `None` if there are too many.
    fn at(self, scale: i64) -> Option<i128> {
        let power = u32::try_from(self.scale.checked_sub(scale)?).ok()?;
        match self.digits {
            0 => Some(0),
            digits => digits.checked_mul(10_i128.checked_pow(power)?),
        }
    }
}

/// One text for all spellings of a number that are [`equal`], and for no others.
pub(crate) fn canonical(number: &str) -> Cow<'_, str> {
    let Some(decimal) = Decimal::parse(number) else {
        return Cow::Borrowed(number);
    };
    let kind = if is_integer(number) { 'i' } else { 'f' };
    let sign = if decimal.negative { "-" } else { "" };
    let digits: String = decimal.digits().map(|digit| char::from(*digit)).collect();
    Cow::Owned(format!("{kind}{sign}.{digits}e{}", decimal.exponent))
}

/// Whether a number is written without a fraction or an exponent.
fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// A number as 0.d1d2d3… × 10^exponent, d1 and the last digit not zero; zero has no digits.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Takes a valid JSON number; `None` if its exponent is beyond 64 bits.
    fn parse(number: &'a str) -> Option<Self> {
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (digits, exponent) = match number.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
            None => (number, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = trim_start(whole.as_bytes());
        let fraction = trim_end(fraction.as_bytes());
        let (whole, fraction, shift) = if whole.is_empty() {
            let significant = trim_start(fraction);
            (
                whole,
                significant,
                -length(fraction.len() - significant.len()),
            )
        } else if fraction.is_empty() {
            (trim_end(whole), fraction, length(whole.len()))
        } else {
            (whole, fraction, length(whole.len()))
        };
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            negative: negative && !is_zero,
            whole,
            fraction,
            exponent: if is_zero {
                0
            } else {
                exponent.checked_add(shift)?
            },
        })
    }

    fn digits(&self) -> impl Iterator<Item = &u8> {
        self.whole.iter().chain(self.fraction)
    }

    /// `None` if there are more than 38 digits.
    fn scaled(&self) -> Option<Scaled> {
        let digits = self.digits().try_fold(0_i128, |sum, digit| {
            sum.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
        })?;
        let count = length(self.whole.len() + self.fraction.len());
        Some(Scaled {
            digits: if self.negative { -digits } else { digits },
            scale: self.exponent.checked_sub(count)?,
        })
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.negative == other.negative
            && self.exponent == other.exponent
            && self.digits().eq(other.digits())
    }
}

fn length(digits: usize) -> i64 {
    i64::try_from(digits).unwrap_or(i64::MAX)
}

fn trim_start(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}

fn trim_end(mut digits: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let same = equal(a, b, Numbers::Type);
        assert!(!same || digest(a, Numbers::Type) == digest(b, Numbers::Type));
        same
    }

    #[test]
    fn an_integer_is_a_fraction_of_the_same_value_where_that_is_asked_for() {
        for (a, b) in [("1", "1.0"), ("100", "1e2"), ("0", "-0.0")] {
            assert!(equal(a, b, Numbers::Value), "{a} = {b}");
            assert_eq!(digest(a, Numbers::Value), digest(b, Numbers::Value));
        }
        assert!(!equal(
            "9007199254740993",
            "9007199254740992.0",
            Numbers::Value
        ));
    }

    #[test]
    fn a_tolerance_is_exact_and_includes_its_bound() {
        let covers = |tolerance: &str, a, b| {
            let tolerance: Tolerance = tolerance.parse().expect("a tolerance");
            assert_eq!(tolerance.covers(a, b), tolerance.covers(b, a));
            tolerance.covers(a, b)
        };
        for (tolerance, a, b) in [
            ("0.01", "1.00", "1.01"),
            ("0.01", "1", "1.01"),
            ("0.01", "-0.005", "0.005"),
            ("1", "9007199254740993", "9007199254740992"),
            ("0", "1", "1.0"),
            ("1e3", "1000", "0"),
            ("1%", "99", "100"),
            ("0.5 %", "199", "200"),
            ("200%", "-1", "1"),
            ("10%", "0.0", "0"),
            ("1%", "99e300", "100e300"),
            (
                "0.000001%",
                "123456789012345678901234567890",
                "123456789012345678901234567891",
            ),
        ] {
            assert!(covers(tolerance, a, b), "{tolerance}: {a} {b}");
        }
        for (tolerance, a, b) in [
            ("0.01", "1.00", "1.0100001"),
            ("0.5", "9007199254740993", "9007199254740992"),
            ("1%", "98", "100"),
            ("1%", "1", "-1"),
            ("1", "1e400", "1"),
            ("1", "1e99999999999999999999", "1"),
        ] {
            assert!(!covers(tolerance, a, b), "{tolerance}: {a} {b}");
        }
        for text in ["", "-1", "a", "%", "1 %%", "1e99999999999999999999", ".5"] {
            assert!(text.parse::<Tolerance>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_decimal_is_equal_however_it_is_written() {
        for (a, b) in [
            ("1.50", "1.5"),
            ("1e2", "10.0e1"),
            ("100.0", "1e2"),
            ("0.001", "1e-3"),
            ("12.3400", "0.1234E+2"),
            ("0.0", "-0.0"),
            ("0", "-0"),
            ("0e5", "0.0"),
            ("1e-999999999999", "10e-1000000000000"),
        ] {
            assert!(same(a, b) && same(b, a), "{a} = {b}");

            assert!(same(a, b) && same(b, a), "{a} = {b}");
            assert_eq!(canonical(a), canonical(b));
        }
    }

    #[test]
    fn what_an_f64_confuses_is_told_apart() {
        for (a, b) in [
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.10000000000000001"),
            ("1", "1.0"),
            ("1", "-1"),
            ("100", "1e2"),
            ("1.5", "15"),
            ("0.5", "0.05"),
            ("10", "1"),
            ("1e400", "1e401"),
            ("1e99999999999999999999", "1e99999999999999999998"),
        ] {
            assert!(!same(a, b) && !same(b, a), "{a} ≠ {b}");

            assert!(!same(a, b) && !same(b, a), "{a} ≠ {b}");
            assert_ne!(canonical(a), canonical(b));
        }
    }

    proptest! {
        #[test]
        fn a_shifted_point_with_its_exponent_is_the_same_number(
            digits in "[1-9][0-9]{1,20}",
            point in 1_usize..20,
            zeros in 0_usize..5,
        ) {
            let point = point.min(digits.len() - 1);
            let (whole, fraction) = digits.split_at(point);
            let plain = format!("{whole}.{fraction}{}", "0".repeat(zeros));
            let shifted = format!("0.{digits}e{point}");
            prop_assert!(same(&plain, &shifted));
            let other = format!("0.{digits}1e{point}");
            prop_assert!(!same(&plain, &other));
        }
    }
}
