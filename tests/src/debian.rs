//! Programs from Debian packages, unpacked below `target/debian` and never installed: a folder that can serve as
//! the root of a namespace, with everything in it that the programs need. Fetched once, kept between test runs.

mod apt;
mod packages;

pub use packages::{
    CLIENTS, DOVECOT, EXIM, MALFORMED_MAIL, OPENSMTPD, POSTFIX, SENDMAIL, SETS, Set,
};

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The tools that fetching and unpacking takes.
const TOOLS: &[&str] = &["apt-get", "apt-config", "dpkg-deb", "tar"];

/// A link `from → to` at the top of a root, as Debian's base system has them since the merged `/usr`.
pub(crate) const LINKS: &[(&str, &str)] = &[
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
];

/// What nobody reads in a test.
const LEFT_PACKED: &[&str] = &[
    "./usr/share/doc",
    "./usr/share/info",
    "./usr/share/locale",
    "./usr/share/man",
];

/// Where programs have libraries of their own, found by a path that is compiled in.
const PRIVATE_LIBRARIES: &[&str] = &["usr/lib/dovecot", "usr/lib/postfix"];

/// An unpacked set of packages.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// The folder that holds `usr`, `etc` and `var` of the packages. It is shared: nobody writes to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A program of the root, by its path inside (`usr/sbin/smtpd`), run where it lies, with the root's own
    /// loader and libraries. A program that starts others or has paths compiled in wants a namespace instead.
    pub fn command(&self, program: &str) -> Command {
        let loader = self.path.join("usr/lib64/ld-linux-x86-64.so.2");
        let mut command = Command::new(loader);
        command
            .arg("--library-path")
            .arg(self.library_path())
            .arg(self.path.join(program));
        command
    }

    /// Its Perl, with its modules.
    pub fn perl(&self) -> Command {
        let mut libraries = vec![self.path.join("usr/share/perl5").display().to_string()];
        for folder in [
            "usr/share/perl",
            "usr/lib/x86_64-linux-gnu/perl",
            "usr/lib/x86_64-linux-gnu/perl5",
            "usr/lib/x86_64-linux-gnu/perl-base",
        ] {
            let folder = self.path.join(folder);
            libraries.push(folder.display().to_string());
            let versions = fs::read_dir(&folder).into_iter().flatten().flatten();
            libraries.extend(versions.map(|version| version.path().display().to_string()));
        }
        let mut perl = self.command("usr/bin/perl");
        perl.env("PERL5LIB", libraries.join(":"));
        perl
    }

    /// The folders of the root's shared libraries, as `LD_LIBRARY_PATH` has them.
    pub fn library_path(&self) -> String {
        let shared = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let folders = [shared.as_str()]
            .into_iter()
            .chain(PRIVATE_LIBRARIES.iter().copied());
        let folders: Vec<String> = folders
            .map(|folder| self.path.join(folder).display().to_string())
            .collect();
        folders.join(":")
    }
}

/// Gives the root of a set, fetching and unpacking it if this is the first time. The error says in words what is
/// missing: package tools or the network.
pub fn root(set: &Set) -> Result<Root, String> {
    let home = crate::target::folder().join("debian");
    let path = home.join("roots").join(set.name);
    let stamp = set.stamp();
    if is_complete(&path, &stamp) {
        return Ok(Root { path });
    }
    missing_tool()?;
    let named = |error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(home.join("roots")).map_err(named)?;
    // One test fetches at a time; those that waited find the work done.
    let lock = File::create(home.join("lock")).map_err(named)?;
    lock.lock().map_err(named)?;
    if is_complete(&path, &stamp) {
        return Ok(Root { path });
    }
    let archives = apt::fetch(set, &home)?;
    if archives.is_empty() {
        return Err(format!("apt-get names no archive for {}", set.name));
    }
    let part = home.join("roots").join(format!("{}.part", set.name));
    for old in [&part, &path] {
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
            _ => {}
        }
    }
    fs::create_dir_all(&part).map_err(named)?;
    merge_usr(&part).map_err(named)?;
    for archive in &archives {
        unpack(archive, &part)?;
    }
    take_away_set_id(&part)?;
    shell(&part).map_err(named)?;
    fs::write(part.join(".complete"), &stamp).map_err(named)?;
    fs::rename(&part, &path).map_err(named)?;
    Ok(Root { path })
}

/// The stamp is the list of packages: a root made from another list is made anew.
fn is_complete(root: &Path, stamp: &str) -> bool {
    fs::read_to_string(root.join(".complete")).is_ok_and(|found| found == stamp)
}

fn missing_tool() -> Result<(), String> {
    for tool in TOOLS {
        let answer = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !answer.is_ok_and(|status| status.success()) {
            return Err(format!("{tool} is missing"));
        }
    }
    Ok(())
}

fn merge_usr(root: &Path) -> io::Result<()> {
    for (from, to) in LINKS {
        fs::create_dir_all(root.join(to))?;
        symlink(to, root.join(from))?;
    }
    Ok(())
}

/// Unpacks one archive; its `/bin` and `/lib` fall into `/usr` by the links that stand already.
fn unpack(archive: &Path, root: &Path) -> Result<(), String> {
    let mut content = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("dpkg-deb: {error}"))?;
    let tar = Command::new("tar")
        .args(["--extract", "--keep-directory-symlink", "--directory"])
        .arg(root)
        .args(LEFT_PACKED.iter().map(|path| format!("--exclude={path}")))
        .stdin(content.stdout.take().expect("piped"))
        .status();
    let read = content.wait();
    if tar.is_ok_and(|status| status.success()) && read.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(format!("{} cannot be unpacked", archive.display()))
    }
}

/// No program that lies about here may lend its owner's rights.
fn take_away_set_id(root: &Path) -> Result<(), String> {
    let done = Command::new("find")
        .arg(root)
        .args([
            "-type", "f", "-perm", "/6000", "-exec", "chmod", "ug-s", "{}", "+",
        ])
        .status();
    if done.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err("find and chmod are needed".to_owned())
    }
}

/// `/bin/sh`, which a package's own script would have made.
fn shell(root: &Path) -> io::Result<()> {
    let shell = root.join("usr/bin/sh");
    if root.join("usr/bin/dash").exists() && fs::symlink_metadata(&shell).is_err() {
        symlink("dash", shell)?;
    }
    Ok(())
}
