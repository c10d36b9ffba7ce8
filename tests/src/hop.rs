//! A next hop that speaks TLS, or fails to, as servers on the internet do; and remembers what it took, and how.

use crate::{Authority, leaks};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How it speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As one does, after STARTTLS.
    StartTls,
    /// From the first octet.
    AtOnce,
    /// Not at all, and it does not say that it does.
    Clear,
    /// As [`Manner::Clear`], and it takes seven bits only: it has no 8BITMIME.
    SevenBits,
    /// It says that it does, and then not now.
    NotNow,
    /// With this alert to every hello (RFC 8446 §6): 70, no version that it knows; 40, nothing in common.
    Alert(u8),
    /// With no answer to a hello that does not fit into one packet.
    SwallowsLarge,
    /// Not at all, and each client waits a while for its greeting.
    GreetsLate,
    /// With more octets behind its 220 to STARTTLS, for who takes them for what is said under TLS.
    Injects,
    /// Not at all, and it reports what is asked for (RFC 3461).
    TakesRequests,
    /// Not at all, and it takes addresses beyond ASCII (RFC 6531).
    SmtpUtf8,
}

/// How a client came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// In clear.
    Clear,
    /// Under TLS, and asked for this name, where it asked for one.
    Tls(Option<String>),
}

/// Whom it knows: without a login nothing is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// How a login may be said: `PLAIN`, `LOGIN`, both or others.
    pub mechanisms: &'static str,
    /// The name.
    pub user: &'static str,
    /// The password.
    pub password: &'static str,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenBy {
    /// How the client came.
    pub came: Came,
    /// What was said before it: MAIL and each RCPT.
    pub commands: Vec<String>,
    /// How it was, with CRLF lines.
    pub content: Vec<u8>,
}

/// It listens until the test ends.
pub struct Hop {
    port: u16,
    taken: Arc<Mutex<Vec<TakenBy>>>,
    /// Logins that were tried, each with whether it was one.
    logins: Arc<Mutex<Vec<bool>>>,
    ungreeted: Arc<Ungreeted>,
}

/// Clients that wait for their greeting.
#[derive(Default)]
struct Ungreeted {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Ungreeted {
    /// One waits as long as [`Manner::GreetsLate`] makes it.
    fn wait(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(LATE);
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How long a greeting is kept back: long enough for a client to connect very often.
const LATE: Duration = Duration::from_millis(300);
/// Hellos above this do not fit into one packet of an Ethernet.
const PACKET_OCTETS: usize = 1400;
/// Longer than any client waits.
const FOREVER: Duration = Duration::from_mins(10);

impl Hop {
    /// One with a certificate of these names.
    pub fn start(manner: Manner, by: &Authority, names: &[&str]) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        by.certify(names, folder.path());
        Self::with(manner, &pem(folder.path())?, None)
    }

    /// The same, which takes mail from this account alone.
    pub fn for_account(
        manner: Manner,
        by: &Authority,
        names: &[&str],
        account: Account,
    ) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        by.certify(names, folder.path());
        Self::with(manner, &pem(folder.path())?, Some(account))
    }

    /// One whose certificate is of version 1, as there were before 1996.
    pub fn with_an_old_certificate() -> io::Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/version_1.pem");
        Self::with(Manner::StartTls, &fs::read(file)?, None)
    }

    /// One that shows this certificate and has this key, in PEM.
    pub fn showing(manner: Manner, pem: &[u8]) -> io::Result<Self> {
        Self::with(manner, pem, None)
    }

    fn with(manner: Manner, pem: &[u8], account: Option<Account>) -> io::Result<Self> {
        let config = config(pem)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let hop = Self {
            port: listener.local_addr()?.port(),
            taken: Arc::default(),
            logins: Arc::default(),
            ungreeted: Arc::default(),
        };
        let (taken, ungreeted) = (Arc::clone(&hop.taken), Arc::clone(&hop.ungreeted));
        let logins = Arc::clone(&hop.logins);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let config = Arc::clone(&config);
                let desk = Desk {
                    account,
                    eight_bit: manner != Manner::SevenBits,
                    taken: Arc::clone(&taken),
                    logins: Arc::clone(&logins),
                };
                let ungreeted = Arc::clone(&ungreeted);
                // A client that goes away ends its session and nothing else.
                std::thread::spawn(move || {
                    if manner == Manner::GreetsLate {
                        ungreeted.wait();
                    }
                    serve(stream, manner, config, &desk)
                });
            }
        });
        Ok(hop)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it took so far.
    pub fn taken(&self) -> Vec<TakenBy> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }

    /// The logins that were tried so far, each with whether it was one.
    pub fn logins(&self) -> Vec<bool> {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.clone()
    }

    /// How many clients waited for their greeting at once, at most.
    pub fn ungreeted_at_most(&self) -> usize {
        self.ungreeted.most.load(Ordering::SeqCst)
    }
}

fn pem(folder: &Path) -> io::Result<Vec<u8>> {
    let read = |name| fs::read(folder.join(name));
    Ok([read("privkey.pem")?, read("fullchain.pem")?].concat())
}

/// What a session writes down, and whom it knows.
struct Desk {
    account: Option<Account>,
    eight_bit: bool,
    taken: Arc<Mutex<Vec<TakenBy>>>,
    logins: Arc<Mutex<Vec<bool>>>,
}

/// Shows one certificate, whatever it is like.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn config(pem: &[u8]) -> io::Result<Arc<ServerConfig>> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(io::Error::other)?;
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
    let key =
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(io::Error::other)?;
    let shows = CertifiedKey::new(chain.map_err(io::Error::other)?, key);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(shows))));
    Ok(Arc::new(config))
}

fn serve(
    stream: TcpStream,
    manner: Manner,
    config: Arc<ServerConfig>,
    desk: &Desk,
) -> io::Result<()> {
    if manner == Manner::AtOnce {
        return under_tls(stream, config, true, desk);
    }
    let mut clear = BufReader::new(stream);
    clear.get_mut().write_all(b"220 hop.test\r\n")?;
    let offer = match manner {
        Manner::Clear | Manner::SevenBits | Manner::GreetsLate => None,
        Manner::TakesRequests => Some("DSN"),
        Manner::SmtpUtf8 => Some("SMTPUTF8"),
        _ => Some("STARTTLS"),
    };
    if !session(&mut clear, offer, &Came::Clear, desk)? {
        return Ok(());
    }
    let stream = clear.get_mut();
    match manner {
        Manner::NotNow => {
            stream.write_all(b"454 4.7.0 not now\r\n")?;
            return session(&mut clear, None, &Came::Clear, desk).map(drop);
        }
        Manner::Injects => stream.write_all(b"220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n")?,
        _ => stream.write_all(b"220 go\r\n")?,
    }
    let mut hello = [0; 16 * 1024];
    match manner {
        Manner::Alert(alert) => {
            let _ = stream.read(&mut hello)?;
            return stream.write_all(&[21, 3, 1, 0, 2, 2, alert]);
        }
        Manner::SwallowsLarge => {
            // All of it is there, or half of it: it was written at once.
            std::thread::sleep(Duration::from_millis(100));
            if stream.peek(&mut hello)? > PACKET_OCTETS {
                std::thread::sleep(FOREVER);
                return Ok(());
            }
        }
        _ => {}
    }
    under_tls(clear.into_inner(), config, false, desk)
}

fn under_tls(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    greets: bool,
    desk: &Desk,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let came = Came::Tls(stream.conn.server_name().map(str::to_owned));
    let mut tls = BufReader::new(stream);
    if greets {
        tls.get_mut().write_all(b"220 hop.test\r\n")?;
    }
    session(&mut tls, None, &came, desk).map(drop)
}

/// One session; whether it wants TLS to begin.
fn session<S: Read + Write>(
    stream: &mut BufReader<S>,
    offer: Option<&str>,
    came: &Came,
    desk: &Desk,
) -> io::Result<bool> {
    let mut line = String::new();
    // Nobody logs in in clear.
    let account = desk.account.filter(|_| matches!(came, Came::Tls(_)));
    let mut is_known = desk.account.is_none();
    let mut commands = Vec::new();
    while stream.read_line(&mut line)? > 0 {
        let word = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match &*word {
            "EHLO" => {
                leaks::look(&line);
                let auth = account.map(|account| format!("AUTH {}", account.mechanisms));
                let more = offer.map(str::to_owned).into_iter().chain(auth);
                let lines = ["250-hop.test".to_owned()].into_iter();
                let lines = lines.chain(more.map(|word| format!("250-{word}")));
                let last = if desk.eight_bit { "8BITMIME" } else { "HELP" };
                let lines = lines.chain([format!("250 {last}")]);
                lines.collect::<Vec<_>>().join("\r\n")
            }
            "AUTH" => {
                is_known = login(stream, &line, account)?;
                let mut logins = desk.logins.lock().unwrap_or_else(PoisonError::into_inner);
                logins.push(is_known);
                if is_known {
                    "235 2.7.0 welcome".into()
                } else {
                    "535 5.7.8 who are you".into()
                }
            }
            "MAIL" if !is_known => "530 5.7.0 log in first".into(),
            "STAR" if offer.is_some() => return Ok(true),
            "DATA" => {
                stream.get_mut().write_all(b"354 go\r\n")?;
                let content = content(stream)?;
                let (came, commands) = (came.clone(), std::mem::take(&mut commands));
                let mut taken = desk.taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.push(TakenBy {
                    came,
                    commands,
                    content,
                });
                "250 2.0.0 taken".into()
            }
            "QUIT" => {
                stream.get_mut().write_all(b"221 bye\r\n")?;
                return Ok(false);
            }
            word => {
                leaks::look(&line);
                if matches!(word, "MAIL" | "RCPT") {
                    commands.push(line.trim_end().to_owned());
                }
                "250 2.0.0 good".into()
            }
        };
        stream
            .get_mut()
            .write_all(format!("{reply}\r\n").as_bytes())?;
        line.clear();
    }
    Ok(false)
}

/// The rest of a login that began with this line; whether it is the account's.
fn login<S: Read + Write>(
    stream: &mut BufReader<S>,
    line: &str,
    account: Option<Account>,
) -> io::Result<bool> {
    let Some(Account { user, password, .. }) = account else {
        return Ok(false);
    };
    let mut words = line.split_ascii_whitespace().skip(1);
    match (words.next(), words.next()) {
        (Some("PLAIN"), Some(said)) => {
            Ok(said == base64(format!("\0{user}\0{password}").as_bytes()))
        }
        (Some("LOGIN"), None) => {
            let mut is_it = true;
            for (asked, wanted) in [("Username:", user), ("Password:", password)] {
                let asked = format!("334 {}\r\n", base64(asked.as_bytes()));
                stream.get_mut().write_all(asked.as_bytes())?;
                let mut said = String::new();
                stream.read_line(&mut said)?;
                is_it &= said.trim_end() == base64(wanted.as_bytes());
            }
            Ok(is_it)
        }
        _ => Ok(false),
    }
}

fn base64(octets: &[u8]) -> String {
    data_encoding::BASE64.encode(octets)
}

fn content(stream: &mut impl io::BufRead) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(content);
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
