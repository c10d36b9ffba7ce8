//! What `try` says when all is ready: where it listens, and lines to paste into a shell.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whom the lines send from.
const FROM: &str = "me@example.org";
/// And to.
const TO: (&str, &str) = ("you", "example.net");

/// The whole of it.
pub fn new(
    dir: &Path,
    config: &Path,
    [mx, submission]: [u16; 2],
    sender: Option<Sender>,
) -> String {
    let program =
        env::current_exe().map_or_else(|_| "ringmail".into(), |path| path.display().to_string());
    let ringmail = format!(
        "{} --config {}",
        quoted(&program),
        quoted(&config.display().to_string())
    );
    let (user, domain) = TO;
    let new = format!("{}/mail/{domain}/{user}/new", dir.display());
    let lines = [
        sender.map(|sender| send(mx, sender)),
        Some(format!(
            "{ringmail} send --from {FROM} --to {user}@{domain}"
        )),
        // Any domain is ours here: an address of another host is not.
        Some(format!(
            "{ringmail} explain rcpt '{user}@[192.0.2.1]' --from {FROM}"
        )),
        Some(format!("{ringmail} queue list")),
        Some(format!("cat {}/*", quoted(&new))),
    ];
    let lines: Vec<String> = lines
        .into_iter()
        .flatten()
        .map(|line| format!("  {line}\n"))
        .collect();
    format!(
        "SMTP on 127.0.0.1:{mx}, submission on 127.0.0.1:{submission}; any address is taken, nothing leaves this machine.\n\
         Paste into another terminal, to send twice, to see a recipient refused and why, the queue, and what arrived:\n\
         {}\
         Each message is shown here as it arrives: From, Subject, file. The log is {}/log.\n\
         Ctrl-C ends it; what is queued stays.",
        lines.concat(),
        dir.display(),
    )
}

/// A program that sends mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// curl(1).
    Curl,
    /// Python's smtplib.
    Python,
}

/// What the shell of whoever starts the trial would find, the best first.
pub fn sender() -> Option<Sender> {
    best(is_there)
}

fn best(is_there: impl Fn(&str) -> bool) -> Option<Sender> {
    if is_there("curl") {
        return Some(Sender::Curl);
    }
    is_there("python3").then_some(Sender::Python)
}

/// A line that sends a mail.
fn send(port: u16, sender: Sender) -> String {
    let (user, domain) = TO;
    let content = format!(
        "From: {FROM}\\r\\nTo: {user}@{domain}\\r\\nSubject: hello\\r\\n\\r\\nIt works.\\r\\n"
    );
    match sender {
        Sender::Curl => format!(
            "printf '{content}' | curl -sS smtp://127.0.0.1:{port} --mail-from {FROM} --mail-rcpt {user}@{domain} -T -"
        ),
        Sender::Python => format!(
            "python3 -c 'import smtplib; smtplib.SMTP(\"127.0.0.1\", {port}).sendmail(\"{FROM}\", \"{user}@{domain}\", \"{content}\")'"
        ),
    }
}

/// Whether the shell would find this program.
fn is_there(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| {
        let file = folder.join(name).metadata();
        file.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_sends_with_what_there_is() {
        let send = |tool: &str| best(|name| name == tool).map(|sender| send(25, sender));
        assert!(send("curl").is_some_and(|line| line.contains("| curl ")));
        assert!(send("python3").is_some_and(|line| line.starts_with("python3 -c ")));
        assert_eq!(send("nothing"), None);
    }

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        for word in ["/a/b", "/it's a/path", "", "$HOME `id` \\ \"x\"", "*"] {
            let line = format!("printf %s {}", quoted(word));
            let said = std::process::Command::new("sh")
                .args(["-c", &line])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
        }
    }
}
