//! A small disk that can be filled to the last byte.
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, mounted on a folder. Unmounted when dropped.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts it, which only root may; else the reason.
    pub fn mount(folder: &Path, megabytes: u64) -> Result<Self, String> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "wiesel-chaos"]).arg(folder);
        let output = mount.output().map_err(|error| format!("mount cannot be run: {error}"))?;
        match output.status.success() {
            true => Ok(Self { folder: folder.to_owned() }),
            false => Err(format!("mount: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// Leaves no room at all.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file on the small disk");
        let mut piece = vec![0x5a_u8; 1 << 20];
        while !piece.is_empty() {
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        // It is not there unless the disk was filled.
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: processes that were just killed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
