//! A password, or the hashes of many, in a file that somebody else has opened.

use crate::passwords::{FILE_OCTETS, Passwords};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use sys::file::{For, plain_file};
use zeroize::Zeroizing;

/// Largest file of a password, in octets.
pub const PASSWORD_FILE_OCTETS: u64 = 1024;

/// Reads a file of hashes. The error says the first that is wrong, and how much more there is, and never what stands there.
pub fn load_hashes(file: &File) -> Result<Passwords, String> {
    let octets = octets(file, FILE_OCTETS)?;
    Passwords::parse(&octets).map_err(|mistakes| match &mistakes[..] {
        [] => "it cannot be used".into(),
        [only] => only.to_string(),
        [first, more @ ..] => format!("{first}; and {} more", more.len()),
    })
}

/// All of a file, which nobody else need see.
fn octets(file: &File, most: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    let length = plain_file(file, For::Reading).map_err(|error| error.to_string())?;
    if length > most {
        return Err(format!("larger than {most} octets"));
    }
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    let mut octets = Zeroizing::new(vec![0; length]);
    let read = file.read_exact_at(&mut octets, 0);
    read.map_err(|error| error.to_string())?;
    Ok(octets)
}

/// Reads it: all of the file, but for one line end behind it. The error never says what stands there.
pub fn load(file: &File) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut octets = octets(file, PASSWORD_FILE_OCTETS)?;
    if octets.last() == Some(&b'\n') {
        octets.pop();
        if octets.last() == Some(&b'\r') {
            octets.pop();
        }
    }
    if octets.is_empty() {
        return Err("no password is in it".into());
    }
    // PLAIN parts what it says by NUL, and all of it is UTF-8 (RFC 4616 §2).
    let is_text =
        std::str::from_utf8(&octets).is_ok_and(|text| !text.chars().any(char::is_control));
    if !is_text {
        return Err("the password is more than one line of text".into());
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn loaded(text: &[u8]) -> Result<String, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let octets = load(&File::open(file.path()).unwrap())?;
        Ok(String::from_utf8(octets.to_vec()).unwrap())
    }

    #[test]
    fn all_of_the_file_is_the_password_but_one_line_end() {
        for text in [&b"s3 cret "[..], b"s3 cret \n", b"s3 cret \r\n"] {
            assert_eq!(loaded(text).unwrap(), "s3 cret ");
        }
        assert_eq!(loaded("pässwörd".as_bytes()).unwrap(), "pässwörd");
        for text in [&b""[..], b"\n", b"a\nb\n", b"a\0b", b"\xFF", b"a\n\n"] {
            assert!(loaded(text).is_err(), "{text:?}");
        }
        assert!(loaded(&[b'x'; 1025]).unwrap_err().contains("larger"));
    }
}
