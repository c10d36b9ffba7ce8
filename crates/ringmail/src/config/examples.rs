//! Whole files for the situations that most hosts are in: `ringmail config example NAME`.

/// A file to begin with.
#[derive(Debug)]
pub struct Example {
    /// Its name on the command line.
    pub name: &'static str,
    /// All of it; its first line says what it is for.
    pub text: &'static str,
}

/// All of them.
pub const EXAMPLES: [Example; 5] = [
    Example {
        name: "send-only",
        text: include_str!("../../../../docs/examples/send-only.toml"),
    },
    Example {
        name: "smarthost",
        text: include_str!("../../../../docs/examples/smarthost.toml"),
    },
    Example {
        name: "domain",
        text: include_str!("../../../../docs/examples/domain.toml"),
    },
    Example {
        name: "mx",
        text: include_str!("../../../../docs/examples/mx.toml"),
    },
    Example {
        name: "submission",
        text: include_str!("../../../../docs/examples/submission.toml"),
    },
];

impl Example {
    /// What it is for: its first line.
    pub fn doc(&self) -> &'static str {
        self.text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("# ")
    }
}
