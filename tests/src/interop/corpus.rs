//! Mail that we did not write: what others collected because it is broken, odd or hard to read, straight from their
//! packages.

use crate::debian::Root;
use std::fs;
use std::path::PathBuf;

/// Where the packages have it: a folder, and how the names of mails in it end.
const FOLDERS: &[(&str, &str)] = &[
    (
        "usr/share/gocode/src/github.com/jhillyerd/enmime/testdata/low-quality",
        ".raw",
    ),
    (
        "usr/share/gocode/src/github.com/jhillyerd/enmime/testdata/mail",
        ".raw",
    ),
    (
        "usr/share/gocode/src/github.com/jhillyerd/enmime/testdata/parts",
        ".raw",
    ),
    ("usr/lib/python3.11/test/test_email/data", ".txt"),
    (
        "usr/lib/python3/dist-packages/flufl/bounce/tests/data",
        ".txt",
    ),
];

/// All of it, in the same order each time: name, and content with the line ends of the wire.
pub fn mails(root: &Root) -> Vec<(String, Vec<u8>)> {
    let mut mails = Vec::new();
    for (folder, end) in FOLDERS {
        let folder = root.path().join(folder);
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.display().to_string().ends_with(end));
        assert!(!files.is_empty(), "{} is empty", folder.display());
        files.sort();
        for path in files {
            let content = on_the_wire(&fs::read(&path).expect("an unpacked file"));
            let name = path.strip_prefix(root.path()).unwrap_or(&path);
            mails.push((name.display().to_string(), content));
        }
    }
    mails
}

/// Ends every line with CRLF, as whoever hands a file to SMTP must.
fn on_the_wire(file: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(file.len() + file.len() / 30);
    for line in file.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        content.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        content.extend_from_slice(b"\r\n");
    }
    content
}
