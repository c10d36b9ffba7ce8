//! What lies in Maildirs.

use crate::find_files;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The contents in the Maildirs below a folder, by the Maildir's name, their lines ended as on the wire.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut arrived = BTreeMap::<String, Vec<Vec<u8>>>::new();
    for path in find_files(folder) {
        let new = path.parent().filter(|parent| parent.ends_with("new"));
        let name = new.and_then(|new| new.parent()?.file_name());
        if let (Some(name), Ok(file)) = (name, fs::read(&path)) {
            let lines = file.split_inclusive(|octet| *octet == b'\n');
            let content = lines.flat_map(|line| match line.strip_suffix(b"\n") {
                Some(line) => [line, b"\r\n"].concat(),
                None => line.to_vec(),
            });
            let of_name = arrived.entry(name.to_string_lossy().into_owned());
            of_name.or_default().push(content.collect());
        }
    }
    arrived
}
