//! What documents say of the project is so.

use std::path::{Path, PathBuf};

use miffy::config::{Environment, Source, load};

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

/// The blocks of TOML in a page.
fn toml_blocks(page: &str) -> Vec<&str> {
    let blocks = page.split("```toml\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(!blocks.is_empty());
    blocks
}

#[test]
fn every_example_of_an_experiment_is_a_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/experiments.md")).unwrap();
    let environment: Environment = [("REWRITE_TOKEN", "t")].into_iter().collect();
    for block in toml_blocks(&page) {
        let loaded = load(&Source::Text(block.to_owned()), &environment);
        loaded.unwrap_or_else(|problems| panic!("{block}\n{problems}"));
    }
}

#[test]
fn every_commented_route_of_the_sample_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sample = std::fs::read_to_string(root.join("config.sample.toml")).unwrap();
    let routes: Vec<&str> = sample
        .lines()
        .filter_map(|line| line.trim().strip_prefix("# ")?.strip_suffix(','))
        .filter(|line| line.starts_with("{ path"))
        .collect();
    assert!(routes.len() > 1);
    for route in routes {
        let text = format!("routes = [{route}]");
        let loaded = load(&Source::Text(text), &Environment::default());
        loaded.unwrap_or_else(|problems| panic!("{route}\n{problems}"));
    }
}
