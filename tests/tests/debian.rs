//! Every set of Debian packages that the tests use can be fetched and unpacked here, and its programs start.

use tests::debian::{self, SETS};
use tests::left_out;

/// A program of each set that says something on its own, and the word that it says.
const PROGRAMS: &[(&str, &str, &[&str], &str)] = &[
    (
        "postfix",
        "usr/sbin/postconf",
        &["-dh", "mail_version"],
        "3.",
    ),
    (
        "exim",
        "usr/sbin/exim_dbmbuild",
        &[],
        "usage: exim_dbmbuild",
    ),
    ("opensmtpd", "usr/sbin/smtpd", &["-h"], "OpenSMTPD"),
    ("dovecot", "usr/sbin/dovecot", &["--version"], "2."),
    ("clients", "usr/bin/msmtp", &["--version"], "msmtp version"),
];

#[test]
fn every_set_of_packages_unpacks_and_its_programs_start() {
    for set in SETS {
        let root = match debian::root(set) {
            Ok(root) => root,
            Err(why) => {
                let name = "every_set_of_packages_unpacks_and_its_programs_start";
                return left_out(name, &why);
            }
        };
        for (_, program, arguments, word) in PROGRAMS.iter().filter(|p| p.0 == set.name) {
            let output = root.command(program).args(*arguments).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(said.contains(word), "{program}: {said}");
        }
    }
}
