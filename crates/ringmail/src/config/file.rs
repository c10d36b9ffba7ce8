//! The file itself, before anything in it is looked at.

use super::mistakes::Errors;
use crate::drive::birth::CONFIGURATION_OCTETS;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest configuration file, in octets: roles are told all of it in one record.
pub const FILE_OCTETS: usize = CONFIGURATION_OCTETS;

/// Reads a file; says what is wrong where it cannot be one of ours.
pub fn load_text(path: &Path) -> Result<String, Errors> {
    let octets = read(path).map_err(|why| Errors::of_file(&path.display().to_string(), why))?;
    String::from_utf8(octets).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let octets = error.as_bytes();
        if octets.starts_with(&[0xFF, 0xFE]) || octets.starts_with(&[0xFE, 0xFF]) {
            let why = "this is UTF-16; save the file as UTF-8".into();
            return Errors::of_file(&path.display().to_string(), why);
        }
        let before = &octets[..place];
        let line = before.split(|octet| *octet == b'\n').count();
        let column = before.iter().rev().take_while(|octet| **octet != b'\n');
        // What stands before is UTF-8: its characters are what does not continue another.
        let column = column.filter(|octet| **octet & 0xC0 != 0x80).count() + 1;
        let octet = octets.get(place).copied().unwrap_or_default();
        let why = format!(
            "line {line}, column {column}: octet 0x{octet:02X} is not UTF-8; save the file as UTF-8"
        );
        Errors::of_file(&path.display().to_string(), why)
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file; name another with --config, or see `ringmail config example`"
                .into()
        }
        io::ErrorKind::PermissionDenied => "it may not be read by this user".into(),
        io::ErrorKind::IsADirectory => "this is a folder, not a file".into(),
        _ => error.to_string(),
    };
    let file = File::open(path).map_err(told)?;
    let mut octets = Vec::new();
    file.take(FILE_OCTETS as u64 + 1)
        .read_to_end(&mut octets)
        .map_err(told)?;
    if octets.len() > FILE_OCTETS {
        return Err(format!(
            "larger than {} KiB, the most that is read",
            FILE_OCTETS >> 10
        ));
    }
    Ok(octets)
}
