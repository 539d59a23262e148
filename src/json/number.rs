//! Numbers as written decimals, never as binary fractions.
//!
//! 9007199254740993 and 9007199254740992 are one number to an f64, and two to a client with 64-bit
//! integers. So digits are compared, not values: `1.50` is `1.5` and `1e2` is `10.0e1`. An integer and a
//! fraction are two types to many clients, so `1` is not `1.0`.

/// Whether two JSON numbers, as written, are the same.
pub(crate) fn equal(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    if is_integer(a) != is_integer(b) {
        return false;
    }
    match (Decimal::parse(a), Decimal::parse(b)) {
        (Some(a), Some(b)) => a == b,
        // An exponent beyond 64 bits: only its own spelling is surely the same.
        _ => false,
    }
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
            assert!(equal(a, b) && equal(b, a), "{a} = {b}");
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
            assert!(!equal(a, b) && !equal(b, a), "{a} ≠ {b}");
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
            prop_assert!(equal(&plain, &shifted));
            let other = format!("0.{digits}1e{point}");
            prop_assert!(!equal(&plain, &other));
        }
    }
}
