//! What documents say of the project is so.

use std::path::{Path, PathBuf};

/// The text between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_guarantee_is_proved_by_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let proofs: Vec<(&str, &str)> = quoted(&page)
        .filter_map(|name| name.rsplit_once("::"))
        .filter(|(place, _)| !matches!(*place, "module" | "file.rs"))
        .collect();
    assert!(!proofs.is_empty());
    for (place, test) in proofs {
        let file = match Path::new(place).extension() {
            Some(_) => PathBuf::from(place),
            None => Path::new("tests/it").join(place).with_extension("rs"),
        };
        let code = std::fs::read_to_string(root.join(&file)).unwrap();
        let function = format!("fn {test}(");
        let (before, _) = code
            .split_once(&function)
            .unwrap_or_else(|| panic!("{} has no {test}", file.display()));
        let is_test = before
            .lines()
            .rev()
            .take(3)
            .any(|line| line.trim_start().starts_with("#[") && line.contains("test"));
        assert!(is_test, "{place}::{test} is no test");
    }
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let is_title = row.starts_with("| guarantee");
        assert!(
            is_title || quoted(row).any(|name| name.contains("::")),
            "{row}"
        );
    }
}
