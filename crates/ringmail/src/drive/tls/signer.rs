//! A private key that another process has. rustls signs within a call that cannot wait, so the process waits for the
//! answer, some 100 µs; it is the price of a key that whoever takes this process over cannot take with him. One who does
//! not answer in time is not asked for a while.

use crate::ipc::sign::{CERTIFICATES_MAX, Certificate, FromKeys, ToKeys};
use crate::ipc::{self, Misbehaved};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::sign::SigningKey;
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::cmp::Ordering;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::Interest;

/// How long an answer may take: the slowest signature, RSA with 4,096 bits, takes some 5 ms.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Octets asked of the socket at once.
const READ_OCTETS: usize = 64 * 1024;

/// How long one who did not answer in time is not asked again.
const PAUSE: Duration = Duration::from_secs(10);

/// This end of the arrow, as long as the other keeps its rules.
#[derive(Debug)]
pub struct Signer(Mutex<Option<End>>);

#[derive(Debug)]
struct End {
    socket: OwnedFd,
    /// What came and is not whole yet.
    input: Vec<u8>,
    /// Of the last question.
    token: u64,
    answer_wait: Duration,
    pause: Duration,
    /// Until when it is not asked.
    rests_until: Option<Instant>,
}

/// What keys says to a question.
enum Answer {
    /// The signature.
    Signed(Vec<u8>),
    /// This is not signed.
    Refused,
}

impl End {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            input: Vec::new(),
            token: 0,
            answer_wait: ANSWER_WAIT,
            pause: PAUSE,
            rests_until: None,
        }
    }

    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Asks and waits.
    fn ask(&mut self, number: u16, scheme: SignatureScheme, message: &[u8]) -> io::Result<Answer> {
        if self.rests() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.token += 1;
        let question = ToKeys::Sign {
            token: self.token,
            number,
            scheme: scheme.into(),
        };
        let mut frame = Vec::new();
        ipc::encode(&question, message, 0, &mut frame).map_err(io::Error::other)?;
        // Questions that were not heard for so long fill a socket. A part of one would be in the way of the next.
        if sys::socket::send(&self.socket, &frame, &[])? != frame.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let deadline = Instant::now() + self.answer_wait;
        let mut octets = [0; 4096];
        loop {
            if let Some(answer) = self.take()? {
                return Ok(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            if poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match sys::socket::receive(&self.socket, &mut octets, &mut Vec::new())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&octets[..count]),
            }
        }
    }

    /// The answer to the last question, if it came; those that came too late are dropped.
    fn take(&mut self) -> io::Result<Option<Answer>> {
        while let Some(frame) = ipc::decode::<FromKeys>(&self.input).map_err(io::Error::other)? {
            let (token, answer) = match frame.head {
                FromKeys::Signed { token } => (token, Answer::Signed(frame.tail.to_vec())),
                FromKeys::Refused { token } => (token, Answer::Refused),
                _ => return Err(io::Error::other(Misbehaved("no answer to what was asked"))),
            };
            let octets = frame.octets;
            self.input.drain(..octets);
            match token.cmp(&self.token) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(answer)),
                Ordering::Greater => {
                    return Err(io::Error::other(Misbehaved("an answer to no question")));
                }
            }
        }
        Ok(None)
    }
}

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
                    let end = End::new(socket.into_std()?.into());
                    let signer = Signer(Mutex::new(Some(end)));
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
    /// Whether it can be asked now.
    pub fn stands(&self) -> bool {
        let end = self.0.lock();
        end.is_ok_and(|end| end.as_ref().is_some_and(|end| !end.rests()))
    }

    fn sign(&self, number: u16, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, Error> {
        let said = |error: io::Error| Error::General(format!("keys: {error}"));
        let Ok(mut kept) = self.0.lock() else {
            return Err(Error::General("keys: a panic while it was asked".into()));
        };
        let end = kept.as_mut();
        let end = end.ok_or_else(|| said(io::ErrorKind::NotConnected.into()))?;
        match end.ask(number, scheme, message) {
            Ok(Answer::Signed(signature)) => Ok(signature),
            Ok(Answer::Refused) => Err(Error::General("keys: refused".into())),
            Err(error) => {
                match error.kind() {
                    // It may be a busy machine: it is asked again when it has had time.
                    io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock if !end.rests() => {
                        end.rests_until = Some(Instant::now() + end.pause);
                    }
                    io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {}
                    // It is gone, or was taken over: another end comes with the next keys.
                    _ => *kept = None,
                }
                Err(said(error))
            }
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
        self.signer.sign(self.number, self.scheme, message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::socket::{Kind, pair};

    const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

    fn asked(theirs: &OwnedFd) -> u64 {
        let mut octets = [0; 512];
        poll(&mut [PollFd::new(theirs, PollFlags::IN)], None).unwrap();
        let count = sys::socket::receive(theirs, &mut octets, &mut Vec::new()).unwrap();
        let frame = ipc::decode::<ToKeys>(&octets[..count]).unwrap().unwrap();
        let ToKeys::Sign { token, .. } = frame.head;
        token
    }

    fn answer(theirs: &OwnedFd, token: u64, tail: &[u8]) {
        let mut frame = Vec::new();
        ipc::encode(&FromKeys::Signed { token }, tail, 0, &mut frame).unwrap();
        sys::socket::send(theirs, &frame, &[]).unwrap();
    }

    #[test]
    fn an_answer_that_comes_late_is_not_that_of_the_next_question() {
        let (ours, theirs) = pair(Kind::Stream).unwrap();
        let mut end = End::new(ours);
        (end.answer_wait, end.pause) = (Duration::ZERO, Duration::ZERO);
        let signer = Signer(Mutex::new(Some(end)));
        assert!(signer.sign(0, ECDSA, b"one").is_err());
        assert!(signer.stands(), "it rests no longer than it was told");
        answer(&theirs, asked(&theirs), b"signature of one");
        signer.0.lock().unwrap().as_mut().unwrap().answer_wait = Duration::from_mins(1);
        let serving = std::thread::spawn(move || {
            let token = asked(&theirs);
            answer(&theirs, token, b"signature of two");
            answer(&theirs, token + 2, b"of nothing");
            theirs
        });
        assert_eq!(signer.sign(0, ECDSA, b"two").unwrap(), b"signature of two");
        let _theirs = serving.join().unwrap();
        assert!(
            signer.sign(0, ECDSA, b"three").is_err(),
            "an answer from nowhere"
        );
        assert!(!signer.stands());
    }

    #[test]
    fn one_who_does_not_answer_is_not_asked_for_a_while() {
        let (ours, theirs) = pair(Kind::Stream).unwrap();
        let mut end = End::new(ours);
        end.answer_wait = Duration::ZERO;
        let signer = Signer(Mutex::new(Some(end)));
        assert!(signer.stands());
        for _ in 0..3 {
            assert!(signer.sign(0, ECDSA, b"one").is_err());
            assert!(!signer.stands());
        }
        assert_eq!(asked(&theirs), 1);
        let more = poll(
            &mut [PollFd::new(&theirs, PollFlags::IN)],
            Some(&Timespec::default()),
        );
        assert_eq!(more, Ok(0), "it was asked while it rested");
    }
}
