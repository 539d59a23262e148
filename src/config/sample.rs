//! Which of a route's requests are mirrored: `sample` and `sample_by`.

use config::Value;
use http::HeaderName;

use super::reader::{FromValue, Section};
use crate::matching::{Rate, Sample, SampleBy};

/// Reads both keys of a route with these parameters; `None` if a problem was noted.
pub(super) fn read(section: &mut Section<'_>, params: &[&str]) -> Option<Sample> {
    let rate: Option<Option<Rate>> = section.take_optional("sample");
    let by: Option<Option<SampleBy>> = section.take_optional("sample_by");
    if let Some(Some(SampleBy::Param(name))) = &by
        && !params.contains(&name.as_str())
    {
        let message = format!("the path has no parameter \"{name}\"");
        section.problem("sample_by", message);
        return None;
    }
    Some(Sample {
        rate: rate?.unwrap_or_default(),
        by: by?,
    })
}

impl FromValue for Rate {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected = "must be a number from 0 to 1, such as 0.05";
        let text = String::from_value(value).map_err(|_| expected.to_owned())?;
        let rate = text.parse::<Rate>();
        rate.map_err(|error| format!("\"{text}\" {error}"))
    }
}

impl FromValue for SampleBy {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        let expected = "must be \"header:NAME\", \"cookie:NAME\" or \"param:NAME\"";
        let (kind, name) = text
            .split_once(':')
            .ok_or_else(|| format!("\"{text}\" {expected}"))?;
        // A cookie's name is made of the same characters (RFC 6265 §4.1.1), and keeps its capitals.
        let as_header = HeaderName::from_bytes(name.as_bytes());
        match (kind, as_header) {
            ("header", Ok(name)) => Ok(Self::Header(name)),
            ("cookie", Ok(_)) => Ok(Self::Cookie(name.to_owned())),
            ("param", _) if !name.is_empty() => Ok(Self::Param(name.to_owned())),
            ("header" | "cookie", Err(_)) => Err(format!("\"{name}\" is no {kind}'s name")),
            _ => Err(format!("\"{text}\" {expected}")),
        }
    }
}
