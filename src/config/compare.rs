//! How answers are compared.

use super::reader::Section;
use crate::compare::Rules;

/// Reads `[compare]`; `None` if a problem was noted.
pub(super) fn read(mut section: Section<'_>) -> Option<Rules> {
    let max_differences = section.take("max_differences");
    section.finish();
    Some(Rules {
        max_differences: max_differences?,
        ..Rules::default()
    })
}
