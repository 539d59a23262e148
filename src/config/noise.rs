//! How noise is told from differences: `secondary`, `noise` and `compare.noise`.

use config::Value;

use super::BaseUrl;
use super::reader::{FromValue, Off, Section};

/// Whose second answer tells noise from differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoiseMethod {
    /// Nobody's.
    Off,
    /// That of a second instance of the reference, here, which is sent each mirrored request as well.
    Secondary(BaseUrl),
    /// The reference's own, which is asked again where the pair differs.
    Requery,
}

/// What is taken for noise, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    /// Whether what differs at a noisy location is no difference; else it is one, and said to be noise.
    pub suppress: bool,
    /// How much more often the candidate must differ than the references do, in proportion.
    pub relative: Percent,
    /// How much more often, in all exchanges.
    pub absolute: Percent,
    /// Exchanges before anything is decided.
    pub min_exchanges: u64,
    /// Locations that are kept for each experiment.
    pub max_locations: usize,
    /// Times a second that references are asked again, in all.
    pub requery_rate: u32,
}

/// A percentage, in ten-thousandths of a percent: as exact as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u32);

impl Percent {
    /// All of it.
    const WHOLE: u32 = 1_000_000;

    /// Whether `part` is more than this of `whole`; both are below 10^12.
    #[must_use]
    pub fn is_exceeded(self, part: u64, whole: u64) -> bool {
        part * u64::from(Self::WHOLE) > whole * u64::from(self.0)
    }
}

/// The one value of `noise` that is not "off".
struct Requery;

/// The largest number that a `usize` of the configuration has fits.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Reads `[compare.noise]`; `None` if a problem was noted.
pub(super) fn read(mut section: Section<'_>) -> Option<Noise> {
    let suppress = section.take("suppress");
    let relative = section.take("relative");
    let absolute = section.take("absolute");
    let min_exchanges = section.take("min_exchanges").map(narrow);
    let max_locations = section.take("max_locations");
    let requery_rate = section.take("requery_rate").map(narrow);
    section.finish();
    Some(Noise {
        suppress: suppress?,
        relative: relative?,
        absolute: absolute?,
        min_exchanges: u64::from(min_exchanges?),
        max_locations: max_locations?,
        requery_rate: requery_rate?,
    })
}

/// Reads `secondary` and `noise` of one level; what it says itself goes before what holds around it.
/// `None` if a problem was noted.
pub(super) fn method(section: &mut Section<'_>, outer: &NoiseMethod) -> Option<NoiseMethod> {
    let secondary: Option<Option<Off<BaseUrl>>> = section.take_optional("secondary");
    let requery: Option<Option<Off<Requery>>> = section.take_optional("noise");
    match (secondary?, requery?) {
        (Some(Off(Some(_))), Some(Off(Some(Requery)))) => {
            section.problem(
                "noise",
                "can't be \"requery\" beside secondary: choose one of the two",
            );
            None
        }
        (Some(Off(Some(base))), _) => Some(NoiseMethod::Secondary(base)),
        (_, Some(Off(Some(Requery)))) => Some(NoiseMethod::Requery),
        // Each key's "off" is for what that key would turn on.
        (secondary, requery) => Some(match outer {
            NoiseMethod::Secondary(_) if secondary.is_some() => NoiseMethod::Off,
            NoiseMethod::Requery if requery.is_some() => NoiseMethod::Off,
            outer => outer.clone(),
        }),
    }
}

impl FromValue for Requery {
    fn from_value(value: Value) -> Result<Self, String> {
        match String::from_value(value)?.as_str() {
            "requery" => Ok(Self),
            other => Err(format!("\"{other}\" is not \"requery\"")),
        }
    }
}

impl FromValue for Percent {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        percent(&text).ok_or_else(|| {
            format!("\"{text}\" is not a percentage from 0 to 100, such as 20 or 0.03, with up to four decimals")
        })
    }
}

/// Reads a percentage digit by digit, so that it is what was written.
fn percent(text: &str) -> Option<Percent> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || decimals.len() > 4 {
        return None;
    }
    if !are_digits(whole) || !are_digits(decimals) {
        return None;
    }
    let number: u32 = format!("{whole}{decimals:0<4}").parse().ok()?;
    (number <= Percent::WHOLE).then_some(Percent(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_as_it_is_written() {
        for (text, expected) in [
            ("0", 0),
            ("20", 200_000),
            ("20.0", 200_000),
            ("0.03", 300),
            ("0.0001", 1),
            ("100", 1_000_000),
        ] {
            assert_eq!(percent(text), Some(Percent(expected)), "{text}");
        }
        for wrong in [
            "", "-1", "+1", "100.0001", "0.00001", "1e1", ".5", "half", "1,5",
        ] {
            assert_eq!(percent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_just_as_much_does_not_exceed() {
        let fifth = percent("20").expect("a percentage");
        assert!(!fifth.is_exceeded(1, 5));
        assert!(fifth.is_exceeded(201, 1000));
        assert!(!percent("0").expect("a percentage").is_exceeded(0, 5));
    }
}
