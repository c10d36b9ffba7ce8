//! A private key that another process has. rustls signs within a call that cannot wait, so the process waits for the
//! answer, some 100 µs; it is the price of a key that whoever takes this process over cannot take with him. One who does
//! not answer is waited for once, and not asked again.

use crate::ipc::sign::{CERTIFICATES_MAX, Certificate, FromKeys, ToKeys};
use crate::ipc::{self, Misbehaved};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::sign::SigningKey;
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::Interest;

/// How long an answer may take: the slowest signature, RSA with 4,096 bits, takes some 5 ms.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Octets asked of the socket at once.
const READ_OCTETS: usize = 64 * 1024;

/// This end of the arrow, as long as the other keeps its rules.
#[derive(Debug)]
pub struct Signer(Mutex<Option<OwnedFd>>);

/// Hears which certificates there are, before anything is asked.
pub async fn certificates(socket: OwnedFd) -> io::Result<(Vec<Certificate>, Signer)> {
    let socket = tokio::net::UnixStream::from_std(socket.into())?;
    let (mut certificates, mut input) = (Vec::new(), Vec::new());
    loop {
        while let Some(frame) = ipc::decode::<FromKeys>(&input).map_err(io::Error::other)? {
            let (head, octets, plain) = (frame.head, frame.octets, frame.fds == 0);
            input.drain(..octets);
            match head {
                FromKeys::Certificate(one) if plain && certificates.len() < CERTIFICATES_MAX => {
                    certificates.push(one);
                }
                FromKeys::All if plain && input.is_empty() => {
                    let signer = Signer(Mutex::new(Some(socket.into_std()?.into())));
                    return Ok((certificates, signer));
                }
                _ => return Err(io::Error::other(Misbehaved("no list of certificates"))),
            }
        }
        let mut octets = vec![0; READ_OCTETS];
        let read = socket.async_io(Interest::READABLE, || {
            sys::socket::receive(&socket, &mut octets, &mut Vec::new())
        });
        match read.await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => input.extend_from_slice(&octets[..count]),
        }
    }
}

impl Signer {
    /// Whether all that was asked was answered.
    pub fn stands(&self) -> bool {
        self.0.lock().is_ok_and(|socket| socket.is_some())
    }

    fn sign(&self, question: &ToKeys, message: &[u8]) -> Result<Vec<u8>, Error> {
        let said = |error: io::Error| Error::General(format!("keys: {error}"));
        let Ok(mut socket) = self.0.lock() else {
            return Err(Error::General("keys: a panic while it was asked".into()));
        };
        let asked = socket.as_ref().ok_or(io::ErrorKind::NotConnected.into());
        let answer = asked.and_then(|socket| ask(socket, question, message));
        if answer.is_err() {
            // An answer that comes late would be taken for that of the next question.
            *socket = None;
        }
        match answer.map_err(said)? {
            Some(signature) => Ok(signature),
            None => Err(Error::General("keys: refused".into())),
        }
    }
}

/// Asks and waits. `None`: this is not signed.
fn ask(socket: &OwnedFd, question: &ToKeys, message: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut frame = Vec::new();
    ipc::encode(question, message, 0, &mut frame).map_err(io::Error::other)?;
    // Nothing else is on its way: the socket's buffer takes all of it.
    if sys::socket::send(socket, &frame, &[])? != frame.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let (deadline, mut input) = (Instant::now() + ANSWER_WAIT, Vec::new());
    let mut octets = [0; 4096];
    loop {
        if let Some(frame) = ipc::decode::<FromKeys>(&input).map_err(io::Error::other)? {
            return match frame.head {
                FromKeys::Signed if frame.octets == input.len() => Ok(Some(frame.tail.to_vec())),
                FromKeys::Refused if frame.octets == input.len() => Ok(None),
                _ => Err(io::Error::other(Misbehaved("no answer to what was asked"))),
            };
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match sys::socket::receive(socket, &mut octets, &mut Vec::new())? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => input.extend_from_slice(&octets[..count]),
        }
    }
}

/// The key of one certificate, in another process.
#[derive(Debug)]
pub struct RemoteKey {
    number: u16,
    algorithm: SignatureAlgorithm,
    schemes: Vec<SignatureScheme>,
    signer: Arc<Signer>,
}

impl RemoteKey {
    /// Of this certificate.
    pub fn new(certificate: &Certificate, signer: Arc<Signer>) -> Self {
        let schemes = certificate.schemes.iter().copied();
        Self {
            number: certificate.number,
            algorithm: certificate.algorithm.into(),
            schemes: schemes.map(SignatureScheme::from).collect(),
            signer,
        }
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let scheme = self.schemes.iter().find(|scheme| offered.contains(scheme));
        scheme.map(|scheme| {
            Box::new(RemoteSignature {
                number: self.number,
                scheme: *scheme,
                signer: Arc::clone(&self.signer),
            }) as Box<dyn rustls::sign::Signer>
        })
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

/// One signature by it.
#[derive(Debug)]
struct RemoteSignature {
    number: u16,
    scheme: SignatureScheme,
    signer: Arc<Signer>,
}

impl rustls::sign::Signer for RemoteSignature {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let question = ToKeys::Sign {
            number: self.number,
            scheme: self.scheme.into(),
        };
        self.signer.sign(&question, message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
