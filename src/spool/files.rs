//! What a spool asks of the file system: a trait, so that tests can have one that fails.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file system. The real one is [`Disk`].
pub trait Files: Debug {
    /// A file that is open.
    type Handle: Handle;
    /// A lock, held until it is dropped.
    type Lock: Debug;

    /// Makes a directory, for its owner only, and those above it, if they are not there.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// The names of what is in a directory, in any order. Names that are not Unicode are nobody's here.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Locks a file, which is made if it is not there. `WouldBlock`: somebody else has the lock.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
    /// Makes a file, for its owner only. It must not be there.
    fn create(&self, path: &Path) -> io::Result<Self::Handle>;
    /// Opens a file that is there.
    fn open(&self, path: &Path) -> io::Result<Self::Handle>;
    /// Whether there is anything of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Renames a file, over another one if there is one of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Forces the names in a directory to the disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// A file that is open.
pub trait Handle: Debug {
    /// Its size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Reads at a place; 0 bytes at the end.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes at the end, perhaps a part.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts off what is behind this size.
    fn truncate(&mut self, size: u64) -> io::Result<()>;
    /// Forces the contents to the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Disk {
    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
    }
}

impl Files for Disk {
    type Handle = File;
    type Lock = File;

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let path = std::path::absolute(path)?;
        let mut made: Vec<PathBuf> = Vec::new();
        for directory in path.ancestors() {
            if directory.try_exists()? {
                break;
            }
            made.push(directory.to_owned());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        // Their names are in the directories above them.
        for above in made.iter().filter_map(|made| made.parent()) {
            self.sync_directory(above)?;
        }
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn lock(&self, path: &Path) -> io::Result<Self::Lock> {
        let file = Self::options().create(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Self::Handle> {
        Self::options().create_new(true).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Self::Handle> {
        Self::options().open(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // Elsewhere, a directory can't be opened as a file.
        #[cfg(unix)]
        File::open(path)?.sync_all()?;
        #[cfg(not(unix))]
        let _ = path;
        Ok(())
    }
}

impl Handle for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.seek(SeekFrom::Start(offset))?;
        self.read(buffer)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Appends all of the bytes. After an error, a part of them may be there.
pub(super) fn append_all(file: &mut impl Handle, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether it failed because there is no room on the disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}
