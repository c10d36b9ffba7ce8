//! The program with mailboxes, and sessions that say octets as they are.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;
use tests::leaks;
use tests::{Authority, Client, Program, free_port, maildir, wait_until};

/// How long anything may take on a loaded machine.
pub const SOON: Duration = Duration::from_mins(1);
/// What the program is called, and what its certificate is for.
pub const NAME: &str = "mx.a.test";
/// How much of what was said is shown where the answer is another.
const SHOWN_OCTETS: usize = 120;

/// Events that say that something ended which should not, or that a process misbehaved.
const FAULTS: [&str; 9] = [
    "arrow.misbehaved",
    "message.held",
    "role.delayed",
    "role.ended",
    "role.stuck",
    "role.trapped",
    "seal.refused",
    "spool.failed",
    "trouble.met",
];

/// A program with two mailboxes, which anybody may write to, and a certificate.
pub struct Server {
    pub program: Program,
    pub port: u16,
    pub authority: Authority,
    /// Messages that were sent to see whether it lives.
    good: Cell<usize>,
}

impl Server {
    /// Its configuration goes on with these tables.
    pub fn start(more: &str) -> Self {
        Self::start_with(more, |_, _| {})
    }

    /// The same, with files that its folder has before.
    pub fn start_with(more: &str, prepare: impl FnOnce(&Path, &Authority)) -> Self {
        Self::start_at("127.0.0.1", more, prepare)
    }

    /// The same, listening at this address.
    pub fn start_at(address: &str, more: &str, prepare: impl FnOnce(&Path, &Authority)) -> Self {
        let port = free_port();
        let listen = format!("mx = \"{address}:{port}\"\n");
        Self::start_by(port, &listen, more, prepare)
    }

    /// With a port where users log in, under TLS at once; ann can.
    pub fn with_logins(user: &str, password: &str) -> (Self, u16) {
        let (port, submission) = (free_port(), free_port());
        let listen =
            format!("mx = \"127.0.0.1:{port}\"\nsubmission = \"tls://127.0.0.1:{submission}\"\n");
        let more = "[auth]\npasswords = \"file:{dir}/passwords\"\n";
        let server = Self::start_by(port, &listen, more, |folder, _| {
            tests::set_password(&folder.join("passwords"), user, password, "add");
        });
        (server, submission)
    }

    fn start_by(
        port: u16,
        listen: &str,
        more: &str,
        prepare: impl FnOnce(&Path, &Authority),
    ) -> Self {
        let authority = Authority::new();
        let configuration = format!(
            "hostname = \"{NAME}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\ncert = \"{{dir}}/tls\"\n\
             [listen]\n{listen}\
             [domain.\"a.test\"]\nusers = [\"ann\", \"bob\"]\naliases = {{ postmaster = \"ann\" }}\n\
             deliver = \"maildir:{{dir}}/mail/{{user}}\"\n{more}"
        );
        let program = Program::start_with(&configuration, |folder| {
            authority.certify(&[NAME], &folder.join("tls"));
            prepare(folder, &authority);
        });
        Self {
            program,
            port,
            authority,
            good: Cell::new(0),
        }
    }

    /// A session that was greeted and has said EHLO.
    pub fn session(&self) -> Session {
        let mut session = Session::open(self.port);
        session.is_told("EHLO client.test", "250 ");
        session
    }

    /// What lies in the mailboxes, by user.
    pub fn arrived(&self) -> BTreeMap<String, Vec<Vec<u8>>> {
        maildir::contents(&self.program.folder().join("mail"))
    }

    /// It lives: a good message on a new session goes through, and there is no other.
    pub fn lives(&self) {
        self.lives_with(0, 0);
    }

    /// It lives, and besides what was sent to see this so many lie in mailboxes, which are given, and so many wait.
    pub fn lives_with(&self, others: usize, waiting: usize) -> Vec<Vec<u8>> {
        self.lives_but_for(None, others, waiting)
    }

    /// The same, where one role was said rubbish to, which it says.
    pub fn lives_but_for(
        &self,
        said_rubbish: Option<&str>,
        others: usize,
        waiting: usize,
    ) -> Vec<Vec<u8>> {
        let good = self.good.get() + 1;
        self.good.set(good);
        let content = format!("X-Good: {good}\r\n\r\nx\r\n");
        let mut client = Client::connect(self.port).expect("it listens");
        let to = ["ann@a.test".to_owned()];
        let answer = client.send("joe@b.test", &to, content.as_bytes());
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("250 2.0.0 "), "{answer}");
        let all = || -> Vec<Vec<u8>> { self.arrived().into_values().flatten().collect() };
        wait_until("what was taken is delivered", SOON, || {
            all().len() >= good + others
        });
        wait_until("nothing else waits", SOON, || {
            self.program.queued() == Some(waiting)
        });
        let is_good = |content: &Vec<u8>| contains(content, b"\r\nX-Good: ");
        let (ours, rest): (Vec<_>, Vec<_>) = all().into_iter().partition(is_good);
        assert_eq!(ours.len(), good, "each good one is there once");
        let shown: Vec<_> = rest.iter().map(|content| shown(content)).collect();
        assert_eq!(rest.len(), others, "{shown:#?}");
        self.is_calm(said_rubbish);
        rest
    }

    /// No process ended, and no line of the log was made by a stranger.
    fn is_calm(&self, said_rubbish: Option<&str>) {
        let said = self.program.command(&["status", "--json"]);
        let stands: serde_json::Value =
            serde_json::from_slice(&said.stdout).expect("an object of JSON");
        let roles = stands["roles"].as_array().expect("roles");
        assert!(roles.len() >= 7, "{stands}");
        for role in roles {
            assert_eq!(role["restarts"], 0, "{role}");
            assert_eq!(role["ready"], true, "{role}");
        }
        for line in self.program.log().lines() {
            assert!(line.starts_with("event="), "a line that is none: {line:?}");
            let event = line.split([' ', '=']).nth(1).unwrap_or_default();
            let expected = said_rubbish.is_some_and(|role| {
                let words = format!("event=arrow.misbehaved level=error role={role} ");
                line.starts_with(&words)
            });
            assert!(expected || !FAULTS.contains(&event), "{line}");
        }
    }

    /// The pid of a role.
    pub fn pid_of(&self, role: &str) -> u32 {
        let roles = self.program.roles();
        let found = roles.iter().find(|(name, _)| name == role);
        found.expect("it runs").1
    }
}

/// A session that says what it is told, octet for octet.
pub struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    /// One that was greeted.
    pub fn open(port: u16) -> Self {
        let mut session = Self::ungreeted(port);
        let greeting = session.answer();
        assert!(greeting.starts_with("220 "), "{greeting}");
        session
    }

    /// One whose greeting was not read.
    pub fn ungreeted(port: u16) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, port))
    }

    /// The same, of a server at this address.
    pub fn at(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Puts octets on the wire.
    pub fn put(&mut self, octets: impl AsRef<[u8]>) {
        // The server may have closed it: what it said before shows.
        let _ = self.stream.get_mut().write_all(octets.as_ref());
    }

    /// The last line of the next answer; empty at the end.
    pub fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            // A connection that is reset has ended, too.
            if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
                return String::new();
            }
            leaks::look(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Says a line; the last line of the answer.
    pub fn say(&mut self, line: impl AsRef<[u8]>) -> String {
        self.put([line.as_ref(), b"\r\n"].concat());
        self.answer()
    }

    /// Says a line and is answered so.
    pub fn is_told(&mut self, line: impl AsRef<[u8]>, reply: &str) {
        let answer = self.say(&line);
        let line = shown(line.as_ref());
        assert!(
            answer.starts_with(reply),
            "{line}: {answer:?} is not {reply}"
        );
    }

    /// Is answered so, to what was said before.
    pub fn hears(&mut self, about: &str, reply: &str) {
        let answer = self.answer();
        assert!(
            answer.starts_with(reply),
            "{about}: {answer:?} is not {reply}"
        );
    }

    /// All that is said until the server ends it.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A connection that is reset has ended, too.
        let _ = self.stream.read_to_end(&mut rest);
        let rest = String::from_utf8_lossy(&rest).into_owned();
        leaks::look(&rest);
        rest
    }

    /// Says that nothing more comes.
    pub fn says_no_more(&mut self) {
        let end = std::net::Shutdown::Write;
        // The server may have closed it.
        let _ = self.stream.get_mut().shutdown(end);
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }
}

/// Octets, as they can be shown.
pub fn shown(octets: &[u8]) -> String {
    octets[..octets.len().min(SHOWN_OCTETS)]
        .escape_ascii()
        .to_string()
}

/// Whether these octets stand there.
pub fn contains(all: &[u8], wanted: &[u8]) -> bool {
    all.windows(wanted.len()).any(|octets| octets == wanted)
}
