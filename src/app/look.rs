//! What a configuration's file looks like: what is in it, as far as that tells one state of it from another.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// A state of a file. Its content counts, not when it was written: links may lead elsewhere, and clocks be coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It holds what has this hash.
    Content(u128),
    /// There is nothing in it.
    Empty,
    /// It can't be read.
    Unreadable(ErrorKind),
}

impl Look {
    /// Reads the file; blocks.
    pub(super) fn at(path: &Path) -> Self {
        // Reading what is no file might never end.
        let is_file = fs::metadata(path).map(|metadata| metadata.is_file());
        match is_file.and_then(|is_file| is_file.then(|| fs::read(path)).transpose()) {
            Ok(Some(content)) if content.trim_ascii().is_empty() => Self::Empty,
            Ok(Some(content)) => Self::Content(xxh3_128(&content)),
            Ok(None) => Self::Unreadable(ErrorKind::Unsupported),
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

/// Looks at a file again and again.
#[derive(Debug)]
pub(super) struct Looks {
    /// The state that was reacted to last.
    handled: Look,
    /// The last one.
    last: Look,
}

impl Looks {
    /// Looks from this state on.
    pub(super) fn from(look: Look) -> Self {
        Self {
            handled: look,
            last: look,
        }
    }

    /// Takes the next look. Says whether there is something to react to: another state, the same at two looks,
    /// since a file may be written just now.
    pub(super) fn take(&mut self, look: Look) -> bool {
        let is_stable = look == self.last;
        self.last = look;
        is_stable && look != self.handled
    }

    /// The last look.
    pub(super) fn last(&self) -> Look {
        self.last
    }

    /// This state was reacted to.
    pub(super) fn handled(&mut self, look: Look) {
        self.handled = look;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_to_last_for_two_looks_and_is_reacted_to_once() {
        let (a, b, c) = (Look::Content(1), Look::Content(2), Look::Content(3));
        let mut looks = Looks::from(a);
        assert!(!looks.take(a));
        assert!(!looks.take(b), "it may not be whole");
        assert!(!looks.take(c), "it was not");
        assert!(looks.take(c));
        looks.handled(c);
        assert!(!looks.take(c));
        assert!(!looks.take(a));
        assert!(looks.take(a));
        assert!(looks.take(a), "until it is handled");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change_and_a_directory_is_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a"), "1").expect("a file");
        fs::write(path("b"), "2").expect("a file");
        std::os::unix::fs::symlink(path("a"), path("link")).expect("a link");
        let first = Look::at(&path("link"));
        assert_eq!(first, Look::at(&path("a")));
        std::os::unix::fs::symlink(path("b"), path("new")).expect("a link");
        fs::rename(path("new"), path("link")).expect("a file system");
        assert_eq!(Look::at(&path("link")), Look::at(&path("b")));
        assert_ne!(Look::at(&path("link")), first);
        let none = Look::Unreadable(ErrorKind::NotFound);
        assert_eq!(Look::at(&path("none")), none);
        fs::write(path("a"), " \n").expect("a file");
        assert_eq!(Look::at(&path("a")), Look::Empty);
        let no_file = Look::Unreadable(ErrorKind::Unsupported);
        assert_eq!(Look::at(directory.path()), no_file);
    }
}
