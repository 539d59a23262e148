//! A file system that is soon full.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::ensure;

/// Its size.
const SIZE: &str = "size=8m";

/// Everything that is mounted, so that nothing stays when this process is ended.
static MOUNTED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Unmounts everything.
pub(crate) fn unmount_all() {
    let mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    for path in mounted.iter() {
        unmount(path);
    }
}

fn unmount(path: &Path) {
    // Lazily: whoever uses it is about to end.
    let _unmounted = Command::new("umount").arg("-l").arg(path).status();
}

/// A small tmpfs over a directory, until it is dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn over(directory: &Path) -> anyhow::Result<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]);
        let output = mount.arg(directory).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "a small tmpfs can't be mounted, which needs root: {stderr}"
        );
        let mut mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        mounted.push(directory.to_owned());
        Ok(Self(directory.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.0);
        let mut mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        mounted.retain(|path| *path != self.0);
    }
}
