//! Refuses file systems whose locks, shared memory or syncs cannot be trusted with a WAL database.

use std::io;
use std::path::Path;

/// The name of the file system of a folder, if it is one that stores must not be on.
pub(crate) fn refused(folder: &Path) -> io::Result<Option<&'static str>> {
    #[cfg(target_os = "linux")]
    {
        // The width of the field differs by platform, and as 32 bits all these numbers are alike.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low 32 bits are the type")]
        let number = rustix::fs::statfs(folder)?.f_type as u32;
        Ok(name(number))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        Ok(None)
    }
}

/// From `linux/magic.h`, and the sources of those that are not in it. Overlays are not among them: every container has
/// one, and a store made there lies whole in the upper layer. A file that came with the image is copied up when the
/// writer opens it, and is then another file for readers that had it open: they are told by its inode.
#[cfg(target_os = "linux")]
fn name(number: u32) -> Option<&'static str> {
    Some(match number {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x786f_4256 => "VirtualBox shared folder",
        0xbacb_acbc => "VMware shared folder",
        0x6163_6673 => "ACFS",
        0x1983_0326 => "BeeGFS",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_and_local_ones_are_not() {
        for number in [0x6969, 0xfe53_4d42, 0x6573_5546] {
            assert!(name(number).is_some(), "{number:x}");
        }
        let (ext4, xfs, btrfs, tmpfs, zfs, overlay) =
            (0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1, 0x794c_7630);
        for number in [ext4, xfs, btrfs, tmpfs, zfs, overlay] {
            assert_eq!(name(number), None, "{number:x}");
        }
        assert_eq!(refused(Path::new("/proc")).unwrap(), None);
        assert!(refused(Path::new("/nonexistent")).is_err());
    }
}
