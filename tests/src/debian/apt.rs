//! Fetching packages with `apt-get` as if on an empty machine: its own state and archives below `target/debian`,
//! the machine's sources and proxy, none of its hooks. Nothing is installed, and root is not needed.

use super::Set;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where the machine keeps its lists of packages; good to read for everybody.
const MACHINE_LISTS: &str = "/var/lib/apt/lists";

/// Options of the machine that must not apply here: programs that it runs after an update or a download, and the
/// files that options come from, for they are read already.
const DROPPED: &[&str] = &[
    "APT::Update::",
    "Dir::Cache",
    "Dir::Etc::main",
    "Dir::Etc::parts",
    "Dir::State",
    "DPkg::",
];

/// The archives of a set, in the order they were named; fetched now if they are not there yet.
pub fn fetch(set: &Set, home: &Path) -> Result<Vec<PathBuf>, String> {
    let apt = Apt::prepare(home)?;
    let own = home.join("apt/lists");
    let machine = PathBuf::from(MACHINE_LISTS);
    let mut why = "the machine has no lists of packages".to_owned();
    if has_lists(&machine) {
        match apt.fetch(set, &machine) {
            Ok(archives) => return Ok(archives),
            // Lists that are old name archives that are gone from the mirror.
            Err(error) => why = error,
        }
    }
    apt.run(&own, home, &["update"])
        .and_then(|_| apt.fetch(set, &own))
        .map_err(|error| format!("{why}; then with lists of our own: {error}"))
}

struct Apt {
    home: PathBuf,
    options: PathBuf,
}

impl Apt {
    /// Makes its folders, and its options out of the machine's.
    fn prepare(home: &Path) -> Result<Self, String> {
        let home = home.join("apt");
        let options = home.join("apt.conf");
        let made = || -> io::Result<()> {
            fs::create_dir_all(home.join("archives/partial"))?;
            fs::create_dir_all(home.join("lists/partial"))?;
            // No package is installed: dependencies are followed down to the C library.
            fs::write(home.join("status"), "")
        };
        made().map_err(|error| format!("{}: {error}", home.display()))?;
        let dump = Command::new("apt-config")
            .arg("dump")
            .output()
            .map_err(|error| format!("apt-config: {error}"))?;
        let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
        let kept: Vec<&str> = dump
            .lines()
            .filter(|line| !DROPPED.iter().any(|name| line.starts_with(name)))
            .collect();
        let ours = format!(
            "Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\nDir::State \"{0}\";\n\
             Dir::State::status \"{0}/status\";\nDir::Cache \"{0}\";\nDir::Cache::archives \"{0}/archives\";\n\
             Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\nDir::Log \"{0}\";\nDebug::NoLocking \"1\";\n\
             APT::Sandbox::User \"\";\nAPT::Install-Recommends \"0\";\nAcquire::Retries \"3\";\n",
            home.display()
        );
        fs::write(&options, kept.join("\n") + "\n" + &ours)
            .map_err(|error| format!("{}: {error}", options.display()))?;
        Ok(Self { home, options })
    }

    fn fetch(&self, set: &Set, lists: &Path) -> Result<Vec<PathBuf>, String> {
        let archives = self.home.join("archives");
        if !set.with_dependencies {
            return self.fetch_alone(set, lists, &archives.join(set.name));
        }
        let asked = set.asked();
        let install = |options: &[&str]| {
            let arguments = [options, &["install"], &asked[..]].concat();
            self.run(lists, &archives, &arguments)
        };
        let plan = install(&["--simulate"])?;
        install(&["--yes", "--download-only"])?;
        let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
        let names = plan.lines().filter_map(archive_name);
        Ok(names.map(|name| archives.join(name)).collect())
    }

    /// The packages and nothing that they depend on, fetched into a folder of their own.
    fn fetch_alone(&self, set: &Set, lists: &Path, folder: &Path) -> Result<Vec<PathBuf>, String> {
        let named = |error: io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(named)?;
        for old in fs::read_dir(folder).map_err(named)? {
            fs::remove_file(old.map_err(named)?.path()).map_err(named)?;
        }
        self.run(lists, folder, &[&["download"], &set.asked()[..]].concat())?;
        let fetched = fs::read_dir(folder).map_err(named)?;
        fetched
            .map(|entry| Ok(entry.map_err(named)?.path()))
            .collect()
    }

    /// Runs `apt-get` in a folder; what it says if it fails is the error.
    fn run(&self, lists: &Path, folder: &Path, arguments: &[&str]) -> Result<Output, String> {
        let output = Command::new("apt-get")
            .env("APT_CONFIG", &self.options)
            .env("LC_ALL", "C")
            .current_dir(folder)
            .arg("-o")
            .arg(format!("Dir::State::lists={}", lists.display()))
            .arg("--quiet=2")
            .args(arguments)
            .output()
            .map_err(|error| format!("apt-get: {error}"))?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().filter(|line| line.starts_with("E:")).collect();
        Err(format!(
            "apt-get {}: {}",
            arguments.first().unwrap_or(&""),
            last.join(" ")
        ))
    }
}

fn has_lists(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name())
        .any(|name| name.to_string_lossy().contains("_Packages"))
}

/// From a line of the plan, `Inst postfix (3.7.11-0+deb12u1 Debian:12 [amd64])`, the archive's file name. An epoch's
/// colon stands as `%3a` in it.
fn archive_name(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("Inst ")?.split(' ');
    let name = words.next()?.split(':').next()?;
    let version = words.next()?.strip_prefix('(')?.replace(':', "%3a");
    let machine = words.find(|word| word.starts_with('['))?;
    let machine = machine.trim_matches(['[', ']', ')']);
    Some(format!("{name}_{version}_{machine}.deb"))
}

#[cfg(test)]
mod tests {
    use super::archive_name;

    #[test]
    fn a_line_of_the_plan_names_its_archive() {
        let line = "Inst dovecot-core (1:2.3.19.1+dfsg1-2.1 Debian:12.11/oldstable, Debian-Security:12 [amd64])";
        assert_eq!(
            archive_name(line).as_deref(),
            Some("dovecot-core_1%3a2.3.19.1+dfsg1-2.1_amd64.deb")
        );
        assert_eq!(archive_name("Conf dash (0.5 Debian:12 [amd64])"), None);
    }
}
