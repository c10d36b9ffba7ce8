//! Folders of our own: made where they are missing, durably.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// Makes a folder and those above it that are missing, for its owner alone. It is durable then, and so is each above it:
/// one that is merely there may have been made by a process that died before its sync.
pub fn make(folder: &Path) -> io::Result<()> {
    make_with(folder, 0o700)
}

/// The same, for everybody to pass: what lies above the folders of others.
pub fn make_open(folder: &Path) -> io::Result<()> {
    make_with(folder, 0o755)
}

fn make_with(folder: &Path, mode: u32) -> io::Result<()> {
    let mut missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|path| !path.is_dir())
        .collect();
    missing.reverse();
    for path in missing {
        match DirBuilder::new().mode(mode).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    for above in folder.ancestors() {
        match File::open(above).and_then(|above| above.sync_all()) {
            // One that we may not open is none that we made something in.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            result => result?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_with_all_above_it_and_once() {
        let base = std::env::temp_dir().join(format!("ringmail-folders-{}", std::process::id()));
        let folder = base.join("a/b");
        make(&folder).unwrap();
        make(&folder).unwrap();
        assert!(folder.is_dir());
        std::fs::write(base.join("file"), "").unwrap();
        assert!(make(&base.join("file/below")).is_err());
        std::fs::remove_dir_all(&base).unwrap();
    }
}
