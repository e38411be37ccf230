//! The directory of a store: on which file systems it works, and whom it must be closed to.

use std::fs::{DirBuilder, File, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;

/// A directory that was found fit for a store.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Without symbolic links.
    path: PathBuf,
    /// Device and inode: the same place under another name is the same place.
    pub(super) identity: (u64, u64),
}

impl Place {
    /// Checks the directory at `path`, and makes it if only its last part is missing.
    ///
    /// # Errors
    ///
    /// `Invalid` if the path, its owner, its mode or its file system does not do; `Unavailable`
    /// if the operating system refuses otherwise.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), path.is_absolute()) else {
            return Err(Error::invalid(format!(
                "embedded:{}: the directory must be an absolute path below the root, as in \
                 embedded:/var/lib/coordinator",
                path.display()
            )));
        };
        let parent = parent.canonicalize().map_err(|error| {
            Error::invalid(format!("{} cannot be used: make it with mkdir -p", parent.display()))
                .caused_by(error)
        })?;
        let path = parent.join(name);
        check_parent(&parent)?;
        refuse_network(&path, &open_directory(&parent)?)?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Error::unavailable(format!("{} cannot be made", path.display())).caused_by(error));
            }
        }
        let directory = open_directory(&path)?;
        refuse_network(&path, &directory)?;
        let metadata = directory.metadata().map_err(|error| unreadable(&path, error))?;
        check_owner_and_mode(&path, &metadata, 0o700)?;
        Ok(Self { path, identity: (metadata.dev(), metadata.ino()) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file of the store for reading and writing, and makes it with mode 0600.
    pub(super) fn open_file(&self, name: &str) -> Result<File, Error> {
        let path = self.file(name);
        self.check_file(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| unreadable(&path, error))?;
        Ok(File::from(file))
    }

    /// Device and inode of the file that has this name now.
    pub(super) fn identity_of(&self, name: &str) -> Option<(u64, u64)> {
        let metadata = self.file(name).symlink_metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Fails if there is a file of this name that the store must not use.
    ///
    /// Does not open it: to close any descriptor of SQLite's files would drop SQLite's locks.
    pub(super) fn check_file(&self, name: &str) -> Result<(), Error> {
        let path = self.file(name);
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(&path, error)),
        };
        if !metadata.is_file() {
            return Err(Error::invalid(format!(
                "{} is not a regular file, perhaps a symbolic link: remove it when no member runs",
                path.display()
            )));
        }
        if metadata.nlink() != 1 {
            return Err(Error::invalid(format!(
                "{} has {} names (hard links): it must have one; remove the others",
                path.display(),
                metadata.nlink()
            )));
        }
        check_owner_and_mode(&path, &metadata, 0o600)
    }
}

fn open_directory(path: &Path) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(directory) => Ok(File::from(directory)),
        Err(Errno::LOOP | Errno::NOTDIR) => Err(Error::invalid(format!(
            "{} is a symbolic link or not a directory: name the directory itself",
            path.display()
        ))),
        Err(Errno::ACCESS) => Err(Error::invalid(format!(
            "{} is closed to this user: run as its owner, or use another directory",
            path.display()
        ))),
        Err(error) => Err(unreadable(path, error)),
    }
}

/// A directory that anybody may write to lets anybody put another in the place of ours.
fn check_parent(parent: &Path) -> Result<(), Error> {
    let metadata = parent.metadata().map_err(|error| unreadable(parent, error))?;
    if metadata.mode() & 0o1002 == 0o002 {
        return Err(Error::invalid(format!(
            "anybody may replace what is in {}: make it safe with chmod o-w (or chmod +t), or use another",
            parent.display()
        )));
    }
    Ok(())
}

fn check_owner_and_mode(path: &Path, metadata: &Metadata, mode: u32) -> Result<(), Error> {
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(Error::invalid(format!(
            "{} belongs to user {}, and this process runs as user {user}: all members of a store run as \
             one user; run as that user, or use another directory",
            path.display(),
            metadata.uid()
        )));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(Error::invalid(format!(
            "{} is open to other users (mode {:03o}): close it with chmod {mode:03o} {}",
            path.display(),
            metadata.mode() & 0o777,
            path.display()
        )));
    }
    Ok(())
}

fn refuse_network(path: &Path, directory: &File) -> Result<(), Error> {
    let status = rustix::fs::fstatfs(directory).map_err(|error| unreadable(path, error))?;
    // The kernel's magic numbers are 32 bits; the field is wider, and signed, on some machines.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = status.f_type as u32;
    match network_file_system(magic) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "{} is on {name}: locks and memory maps there do not join the processes of one host reliably. \
             Use a directory on a local disk, as in embedded:/var/lib/coordinator, or a zookeeper:// address \
             for members on several hosts",
            path.display()
        ))),
    }
}

/// The name of the file system with this magic number if it is not local.
fn network_file_system(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "NFS",
        0xFF53_4D42 | 0x0000_517B | 0xFE53_4D42 => "SMB (CIFS)",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE (sshfs, virtiofs and the like)",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x7461_636F => "OCFS2",
        0x0116_1970 => "GFS2",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0000_564C => "NCP",
        0x4750_4653 => "GPFS",
        0x2003_0528 => "OrangeFS",
        0x1983_0326 => "BeeGFS",
        0xBACB_ACBC => "a VMware shared folder",
        0x786F_4256 => "a VirtualBox shared folder",
        0x7C7C_6673 => "a Parallels shared folder",
        _ => return None,
    })
}

pub(super) fn unreadable(path: &Path, error: impl Into<std::io::Error>) -> Error {
    Error::unavailable(format!("{} cannot be used", path.display())).caused_by(error.into())
}

#[cfg(test)]
mod tests {
    use super::network_file_system;

    #[test]
    fn file_systems_over_a_network_are_named() {
        for (magic, name) in [(0x6969, "NFS"), (0xFF53_4D42, "SMB (CIFS)"), (0x0102_1997, "9p")] {
            assert_eq!(network_file_system(magic), Some(name));
        }
        assert!(network_file_system(0x6573_5546).is_some_and(|name| name.contains("sshfs")));
        // ext4, xfs, btrfs, tmpfs, overlayfs, zfs, f2fs.
        for magic in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1, 0xF2F5_2010] {
            assert_eq!(network_file_system(magic), None);
        }
    }
}
