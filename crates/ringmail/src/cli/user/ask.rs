//! A new password: asked for twice at the terminal, without echo, or one line of standard input. Never from the command
//! line, which others of the machine can read.
//!
//! While it is asked for, the signals that end a program are waited for beside what is typed, and the key that would stop it
//! does nothing: the terminal has its echo back whichever way this ends.

use crate::passwords::{PASSWORD_OCTETS, PASSWORD_OCTETS_MIN};
use mail::Mailbox;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

/// The terminal that this process belongs to (tty(4)).
const TERMINAL: &str = "/dev/tty";
/// The longest line that a terminal gives, its end among it (termios(3)).
const LINE_OCTETS: usize = 4096;
/// A key that is none (`_POSIX_VDISABLE`).
const NO_KEY: u8 = 0;
/// What a shell adds to a signal's number for who ended by it.
const BY_SIGNAL: i32 = 128;

/// Why there is no password.
#[derive(Debug)]
pub enum Unasked {
    /// The terminal, or standard input, cannot be read.
    Io(io::Error),
    /// Nothing was typed.
    Nothing,
    /// It is shorter than [`PASSWORD_OCTETS_MIN`].
    TooShort,
    /// It is longer than [`PASSWORD_OCTETS`].
    TooLong,
    /// It is not UTF-8, or has a control character (RFC 4616 §2).
    NotText,
    /// The second time it was another.
    Differs,
    /// This signal came.
    Signal(i32),
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unasked::Io(error) => write!(f, "no password can be asked for: {error}"),
            Unasked::Nothing => f.write_str("there is no password"),
            Unasked::TooShort => write!(
                f,
                "the password has fewer than {PASSWORD_OCTETS_MIN} octets"
            ),
            Unasked::TooLong => write!(f, "the password has more than {PASSWORD_OCTETS} octets"),
            Unasked::NotText => f.write_str("the password is not text, or has control characters"),
            Unasked::Differs => f.write_str("the passwords differ"),
            Unasked::Signal(number) => write!(f, "ended by signal {number}"),
        }
    }
}

impl From<io::Error> for Unasked {
    fn from(error: io::Error) -> Self {
        Unasked::Io(error)
    }
}

type Password = Zeroizing<Vec<u8>>;

/// A new password for this mailbox.
pub fn password(name: &Mailbox) -> Result<Password, Unasked> {
    if !io::stdin().is_terminal() {
        return fit(one_line()?);
    }
    crate::role::in_event_loop(async { Ok(at_terminal(name).await) })?
}

/// The exit code of who was ended by this signal.
pub fn ended_by(number: i32) -> u8 {
    u8::try_from(BY_SIGNAL + number).unwrap_or(u8::MAX)
}

/// The password, where it is one that may be taken.
fn fit(password: Password) -> Result<Password, Unasked> {
    if password.is_empty() {
        return Err(Unasked::Nothing);
    }
    if password.len() > PASSWORD_OCTETS {
        return Err(Unasked::TooLong);
    }
    let text = std::str::from_utf8(&password).map_err(|_| Unasked::NotText)?;
    if text.chars().any(char::is_control) {
        return Err(Unasked::NotText);
    }
    if password.len() < PASSWORD_OCTETS_MIN {
        return Err(Unasked::TooShort);
    }
    Ok(password)
}

/// The first line of standard input, without its end. What stands behind it is left to others who read there; so it is
/// read octet by octet, and by nothing that keeps a copy.
fn one_line() -> Result<Password, Unasked> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_OCTETS));
    let mut octet = Zeroizing::new([0]);
    while line.len() < LINE_OCTETS {
        match rustix::io::read(rustix::stdio::stdin(), &mut *octet) {
            Ok(0) => break,
            Ok(_) if *octet == *b"\n" => break,
            Ok(_) => line.push(octet[0]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

async fn at_terminal(name: &Mailbox) -> Result<Password, Unasked> {
    // Before the echo is gone: from here on these end nothing by themselves.
    let mut signals = Signals::new()?;
    let silent = Silent::new()?;
    let asked = async {
        let password = fit(silent.ask(&format!("Password for {name}: ")).await?)?;
        let again = silent.ask("The same again: ").await?;
        if *again == *password {
            Ok(password)
        } else {
            Err(Unasked::Differs)
        }
    };
    tokio::select! {
        asked = asked => asked,
        number = signals.any() => {
            silent.say("\n");
            Err(Unasked::Signal(number))
        }
    }
}

/// The signals that end a program, from the terminal or from elsewhere.
struct Signals([(SignalKind, Signal); 4]);

impl Signals {
    fn new() -> io::Result<Self> {
        let heard = |kind| Ok::<_, io::Error>((kind, signal(kind)?));
        Ok(Self([
            heard(SignalKind::hangup())?,
            heard(SignalKind::interrupt())?,
            heard(SignalKind::quit())?,
            heard(SignalKind::terminate())?,
        ]))
    }

    /// The number of the first that comes.
    async fn any(&mut self) -> i32 {
        let [hangup, interrupt, quit, terminate] = &mut self.0;
        let kind = tokio::select! {
            _ = hangup.1.recv() => hangup.0,
            _ = interrupt.1.recv() => interrupt.0,
            _ = quit.1.recv() => quit.0,
            _ = terminate.1.recv() => terminate.0,
        };
        kind.as_raw_value()
    }
}

/// The terminal without echo; it has it back when this is dropped.
struct Silent {
    terminal: Arc<File>,
    before: Termios,
}

impl Silent {
    fn new() -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = File::from(rustix::fs::open(TERMINAL, flags, Mode::empty())?);
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // By lines, of which the end alone is shown.
        silent
            .local_modes
            .insert(LocalModes::ICANON | LocalModes::ECHONL);
        silent.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
        // What was typed before was shown: it is no password.
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self {
            terminal: Arc::new(terminal),
            before,
        })
    }

    /// Says something there. Where that cannot be, who sits there sees it.
    fn say(&self, text: &str) {
        let _ = (&*self.terminal).write_all(text.as_bytes());
    }

    /// Asks for a line, which a thread waits for: signals are heard meanwhile.
    async fn ask(&self, prompt: &str) -> Result<Password, Unasked> {
        self.say(prompt);
        let terminal = Arc::clone(&self.terminal);
        let line = tokio::task::spawn_blocking(move || line_of(&terminal));
        Ok(line.await.map_err(io::Error::other)??)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs none.
        let _ = tcsetattr(&*self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// The next line of a terminal, without its end.
fn line_of(mut terminal: &File) -> io::Result<Password> {
    let mut line = Zeroizing::new(vec![0; LINE_OCTETS]);
    let mut length = 0;
    while length < line.len() && !line[..length].ends_with(b"\n") {
        match terminal.read(&mut line[length..]) {
            // The end of what is typed, by its key.
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    line.truncate(length);
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_is_text_and_neither_short_nor_long() {
        let fits = |octets: &[u8]| fit(Zeroizing::new(octets.to_vec())).map(|p| p.to_vec());
        for good in ["12345678", "pässwö", "a b c d ", &"x".repeat(1024)] {
            assert_eq!(fits(good.as_bytes()).unwrap(), good.as_bytes());
        }
        assert!(matches!(fits(b""), Err(Unasked::Nothing)));
        assert!(matches!(fits(b"1234567"), Err(Unasked::TooShort)));
        assert!(matches!(fits(&[b'x'; 1025]), Err(Unasked::TooLong)));
        for bad in [
            &b"1234567\0"[..],
            b"12345678\r",
            b"1234567\xFF",
            b"1234567\x7F",
        ] {
            assert!(matches!(fits(bad), Err(Unasked::NotText)), "{bad:?}");
        }
    }

    #[test]
    fn who_ends_by_a_signal_says_so_as_shells_do() {
        assert_eq!(ended_by(SignalKind::interrupt().as_raw_value()), 130);
        assert_eq!(ended_by(SignalKind::terminate().as_raw_value()), 143);
    }
}
