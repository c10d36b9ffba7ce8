//! Every Debian package that a test uses, in one table.

/// Packages that are unpacked together into one root.
#[derive(Debug)]
pub struct Set {
    /// The root's name.
    pub name: &'static str,
    /// What is asked for.
    pub packages: &'static [&'static str],
    /// Whether everything that they depend on comes too, down to the C library and a shell; without it only the
    /// packages themselves, for their data.
    pub with_dependencies: bool,
}

impl Set {
    /// What a complete root of this set is marked with.
    pub(super) fn stamp(&self) -> String {
        format!("layout {LAYOUT}: {}", self.asked().join(" "))
    }

    /// The packages to ask for.
    pub(super) fn asked(&self) -> Vec<&'static str> {
        let base: &[&str] = if self.with_dependencies { BASE } else { &[] };
        self.packages.iter().chain(base).copied().collect()
    }
}

/// Goes up when roots are made in another way: those of before are made anew.
const LAYOUT: u32 = 2;

/// What the servers' own scripts run: `usr-is-merged` stands in for a package that would drag in all of Perl.
const BASE: &[&str] = &[
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "grep",
    "sed",
    "usr-is-merged",
];

/// Postfix.
pub const POSTFIX: &Set = &programs("postfix", &["postfix"]);
/// Exim, built without content scanning.
pub const EXIM: &Set = &programs("exim", &["exim4-daemon-light"]);
/// OpenSMTPD.
pub const OPENSMTPD: &Set = &programs("opensmtpd", &["opensmtpd"]);
/// sendmail, and the macros that its configuration is written in.
pub const SENDMAIL: &Set = &programs("sendmail", &["m4", "sendmail-bin", "sendmail-cf"]);
/// Dovecot, for LMTP with quota.
pub const DOVECOT: &Set = &programs("dovecot", &["dovecot-core", "dovecot-lmtpd"]);

/// What people send test mails with: swaks with its Perl, msmtp, and gsasl, which logs in and sends nothing.
pub const CLIENTS: &Set = &programs(
    "clients",
    &[
        "curl",
        "gsasl",
        "libauthen-sasl-perl",
        "libnet-ssleay-perl",
        "msmtp",
        "perl",
        "python3",
        "swaks",
    ],
);

/// Mail that others collected because it is broken, odd or hard to read: the test suites of Python's `email`, of
/// enmime and of a detector of bounces.
pub const MALFORMED_MAIL: &Set = &Set {
    name: "malformed-mail",
    packages: &[
        "golang-github-jhillyerd-enmime-dev",
        "libpython3.11-testsuite",
        "python3-flufl.bounce",
    ],
    with_dependencies: false,
};

/// All of them.
pub const SETS: &[&Set] = &[
    POSTFIX,
    EXIM,
    OPENSMTPD,
    SENDMAIL,
    DOVECOT,
    CLIENTS,
    MALFORMED_MAIL,
];

const fn programs(name: &'static str, packages: &'static [&'static str]) -> Set {
    Set {
        name,
        packages,
        with_dependencies: true,
    }
}
