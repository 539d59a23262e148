//! The `[file]` and `[stdout]` tables: where records go beside Kafka, or instead of it.

use std::path::PathBuf;

use bytesize::KIB;
use config::Value;

use super::reader::{FromValue, Off, Section};

/// The least size that a file is rotated for.
const MIN_SIZE: u64 = KIB;

/// A file of records, and what becomes of it when it is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The key that says where it is.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes from which on it is rotated.
    pub max_size: u64,
    /// Rotated files that are kept.
    pub max_files: usize,
    /// How they are compressed.
    pub compression: Option<Compression>,
}

/// How a rotated file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As `.gz`.
    Gzip,
    /// As `.zst`.
    Zstd,
}

/// Reads `[file]`; `None` if a problem was noted.
#[expect(
    clippy::option_option,
    reason = "wrong, turned off and given are three things"
)]
pub(super) fn read(mut section: Section<'_>) -> Option<Option<File>> {
    let file = take(&mut section);
    section.finish();
    file
}

/// Takes a file's keys from a table that may have others; `None` if a problem was noted.
#[expect(
    clippy::option_option,
    reason = "wrong, turned off and given are three things"
)]
pub(super) fn take(section: &mut Section<'_>) -> Option<Option<File>> {
    let path: Option<Off<PathBuf>> = section.take("path");
    let path = path.filter(|Off(path)| {
        let is_directory = path.as_ref().is_some_and(|path| path.file_name().is_none());
        if is_directory {
            section.problem("path", "must be a file's name");
        }
        !is_directory
    });
    let max_size = section.take_bytes("max_size", MIN_SIZE, "must be at least 1KiB");
    let max_files = section.take("max_files");
    let compression: Option<Off<_>> = section.take("compression");
    let (path, max_size) = (path?.0, max_size?);
    let (max_files, compression) = (max_files?, compression?.0);
    Some(path.map(|path| File {
        key: section.name("path"),
        path,
        max_size,
        max_files,
        compression,
    }))
}

/// Reads `[stdout]`: whether records go there; `None` if a problem was noted.
pub(super) fn read_stdout(mut section: Section<'_>) -> Option<bool> {
    let enabled = section.take("enabled");
    section.finish();
    enabled
}

impl FromValue for Compression {
    fn from_value(value: Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        match &*text {
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(format!("\"{text}\" is not \"gzip\" or \"zstd\"")),
        }
    }
}
