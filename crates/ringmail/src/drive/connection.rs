//! One SMTP client's connection: feeds the session brain and does what it puts out. What the session asks
//! goes to a [`Desk`].

use super::clock::Clock;
use super::edge::Stream;
use super::place::Place;
use super::tls::{Agreed, Shaken, Tls};
use crate::config::Limits;
use mail::{Public, Reply, Time};
use policy::Refusal;
use smtp::server::{
    Answer, Credentials, LoginAnswer, Output, Parameters, Question, Scram, Session, replies,
};
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use zeroize::Zeroize as _;

/// Octets asked of the socket at once.
const READ_OCTETS: usize = 32 * 1024;
/// Content in memory is handed on to the desk when it reaches this.
const SPILL_OCTETS: usize = 64 * 1024;
/// How long a peer has to take the last reply.
const LINGER: std::time::Duration = std::time::Duration::from_secs(5);

/// Who answers a session's questions. One value a session.
pub trait Desk {
    /// May this peer talk to us? Where TLS is spoken at once this is asked before it and behind it.
    fn connect(&mut self) -> Answer;
    /// May this transaction begin?
    fn mail(&mut self, session: &Session) -> Answer;
    /// Is this the forward-path of [`Session::asked_recipient`] one we take mail for?
    fn recipient(&mut self, session: &Session) -> Answer;
    /// The client sent what is no command, or one that cannot stand where it stands.
    fn failed(&mut self);
    /// Content comes: the transaction is whole, and what must be asked of it can be asked meanwhile. Of a transaction
    /// that is gone already, or has no recipients, nothing need be asked.
    fn content_begins(&mut self, session: &Session);
    /// Takes content from `buffer`, as much as it likes; called when a good deal has come.
    fn spill(&mut self, buffer: &mut Vec<u8>) -> impl Future<Output = ()>;
    /// The content is void.
    fn discard(&mut self);
    /// The client wanted TLS: it stands as was agreed, or did not come to be and the connection ends.
    fn shook_hands(&mut self, shaken: Result<Agreed, &io::Error>);
    /// Is what somebody logs in with right? Nothing is read until this is known.
    fn login(&mut self, credentials: Credentials) -> impl Future<Output = LoginAnswer>;
    /// Makes the message durable; what is left of its content is in `buffer`. With a yes comes the
    /// public token of the message.
    fn commit(
        &mut self,
        session: &Session,
        buffer: &mut Vec<u8>,
    ) -> impl Future<Output = (Answer, u64)>;
}

/// What every session is told of the configured bounds, whether TLS can be had, whether a client must log in, and whether it
/// may be one that `relays`: a stranger has no say in whom we report to.
pub fn parameters(limits: &Limits, start_tls: bool, needs_login: bool, relays: bool) -> Parameters {
    Parameters {
        content_octets_max: limits.message_octets,
        recipients_max: limits.recipients,
        errors_max: limits.errors,
        start_tls,
        needs_login,
        scram: Scram::Off,
        dsn: needs_login || relays,
    }
}

/// What a connection is told.
pub struct Setting {
    /// For the session.
    pub parameters: Parameters,
    /// The name that we publish.
    pub hostname: Rc<str>,
    /// What TLS is spoken with; nothing where there is no certificate.
    pub tls: Option<Rc<Tls>>,
    /// Whether TLS is spoken from the first octet on (RFC 8314 §3.3).
    pub tls_at_once: bool,
    /// The process's clock.
    pub clock: Clock,
    /// The session's name: the token in its replies.
    pub token: u64,
    /// Whether the service stops.
    pub stop: watch::Receiver<Stop>,
    /// The session's place among the others.
    pub place: Rc<Place>,
}

/// Whether the service stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It does not.
    No,
    /// In order: content that is on its way is still taken.
    InOrder,
    /// At once: every session has its last word.
    AtOnce,
}

impl Stop {
    fn tell(self, session: &mut Session, now: Time) {
        match self {
            Stop::No => {}
            Stop::InOrder => session.stop(now),
            Stop::AtOnce => session.cut(),
        }
    }
}

/// Serves one connection to its end; gives the session for the log.
pub async fn serve<D: Desk>(
    stream: Box<dyn Stream>,
    setting: &Setting,
    desk: &mut D,
) -> io::Result<Session> {
    let now = || Time::from_micros(setting.clock.now_micros());
    let (mut stream, mut session) = begin(stream, setting, desk).await?;
    let (mut input, mut used) = (Vec::<u8>::new(), 0);
    let (mut content, mut out) = (Vec::new(), Vec::new());
    let (mut stop, mut told) = (setting.stop.clone(), Stop::No);
    loop {
        let stops = *stop.borrow();
        if std::mem::replace(&mut told, stops) != stops {
            stops.tell(&mut session, now());
        }
        let may_log_in = setting.parameters.needs_login && !session.is_logged_in();
        let read = session.receive(&input[used..], &mut content, now());
        if may_log_in {
            // There may be a password in what it read.
            input[used..used + read].zeroize();
        }
        used += read;
        if content.len() >= SPILL_OCTETS {
            desk.spill(&mut content).await;
        }
        let mut busy = read > 0 && used < input.len();
        while let Some(output) = session.poll() {
            busy = used < input.len();
            match output {
                Output::Reply(reply) => {
                    if is_error(reply) {
                        desk.failed();
                    }
                    write_reply(reply, setting, setting.token, &mut out);
                }
                Output::Extensions => {
                    session.offer(&setting.hostname).write(&mut out);
                }
                Output::Ask(Question::Connect) => session.answer(desk.connect(), now()),
                Output::Ask(Question::Mail) => {
                    let answer = desk.mail(&session);
                    session.answer(answer, now());
                }
                Output::Ask(Question::Recipient) => {
                    let answer = desk.recipient(&session);
                    session.answer(answer, now());
                }
                Output::Ask(Question::Commit) => {
                    send(&mut *stream, &mut out, &mut session, setting).await?;
                    let (answer, token) = desk.commit(&session, &mut content).await;
                    content.clear();
                    session.answer(answer, now());
                    let kept = answer == Answer::Accept;
                    if kept {
                        setting.place.brought();
                    }
                    let token = if kept { token } else { setting.token };
                    if let Some(Output::Reply(reply)) = session.poll() {
                        write_reply(reply, setting, token, &mut out);
                    }
                }
                Output::Ask(Question::Login) => {
                    send(&mut *stream, &mut out, &mut session, setting).await?;
                    let answer = log_in(&mut session, desk).await;
                    session.answer_login(answer, now());
                }
                Output::Challenge => session.write_challenge(&mut out),
                Output::ContentBegins => desk.content_begins(&session),
                Output::Ask(Question::StartTls) => session.answer(setting.can_shake(), now()),
                Output::StartTls => {
                    send(&mut *stream, &mut out, &mut session, setting).await?;
                    let Some(shaken) = shake(stream, setting, desk).await else {
                        return Ok(session);
                    };
                    stream = shaken.stream;
                    session.secured(now());
                    session.bind(shaken.exported);
                }
                Output::DiscardContent => {
                    content.clear();
                    desk.discard();
                }
                Output::Close => {
                    // The peer may be gone already: nothing is lost with a last word.
                    let _ = tokio::time::timeout(LINGER, async {
                        stream.write_all(&out).await?;
                        stream.shutdown().await
                    })
                    .await;
                    return Ok(session);
                }
            }
        }
        if busy {
            continue;
        }
        send(&mut *stream, &mut out, &mut session, setting).await?;
        used = forget_used(&mut input, used);
        if !hear(&mut *stream, &mut input, &mut session, setting, &mut stop).await? {
            return Ok(session);
        }
    }
}

/// The session as it begins, under TLS where that is spoken at once.
async fn begin<D: Desk>(
    stream: Box<dyn Stream>,
    setting: &Setting,
    desk: &mut D,
) -> io::Result<(Box<dyn Stream>, Session)> {
    let now = || Time::from_micros(setting.clock.now_micros());
    if !setting.tls_at_once {
        return Ok((stream, Session::new(setting.parameters.clone(), now())));
    }
    // Who is not wanted is left before that costs anything; nothing could be said to him but under TLS.
    if let Answer::Refuse(_) = desk.connect() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let shaken = shake(stream, setting, desk).await;
    let shaken = shaken.ok_or(io::ErrorKind::NotConnected)?;
    let mut session = Session::under_tls(setting.parameters.clone(), now());
    session.bind(shaken.exported);
    Ok((shaken.stream, session))
}

/// Makes room behind so many octets that were used; how many of these are left.
fn forget_used(input: &mut Vec<u8>, used: usize) -> usize {
    if used == input.len() {
        input.clear();
        if input.capacity() > 2 * READ_OCTETS {
            *input = Vec::new();
        }
    } else if used > READ_OCTETS {
        input.drain(..used);
    } else {
        return used;
    }
    0
}

/// Asks about what the client logs in with.
async fn log_in<D: Desk>(session: &mut Session, desk: &mut D) -> LoginAnswer {
    match session.take_credentials() {
        Some(credentials) => desk.login(credentials).await,
        // They are there when they are asked about.
        None => LoginAnswer::Refuse(replies::LOGIN_LATER),
    }
}

/// Waits for octets of the client, or for what else moves the session: its time, a stop, others who need its place. Whether
/// the client is still there.
async fn hear(
    stream: &mut dyn Stream,
    input: &mut Vec<u8>,
    session: &mut Session,
    setting: &Setting,
    stop: &mut watch::Receiver<Stop>,
) -> io::Result<bool> {
    input.reserve(READ_OCTETS);
    let deadline = setting.clock.instant_at(session.wake_at().as_micros());
    tokio::select! {
        read = tokio::time::timeout_at(deadline, stream.read_buf(input)) => match read {
            Ok(Ok(0)) => return Ok(false),
            Ok(Ok(octets)) => setting.place.came(octets),
            Ok(Err(error)) => return Err(error),
            Err(_) => session.wake(Time::from_micros(setting.clock.now_micros())),
        },
        // Of a smtpd that ends without a word nothing is heard here: its sessions end with it.
        Ok(()) = stop.changed() => {}
        () = setting.place.left() => {
            if !session.make_room() {
                // It is being answered, and will be told again.
                setting.place.brought();
            }
        }
    }
    Ok(true)
}

impl Setting {
    /// Whether a handshake could succeed now.
    fn can_shake(&self) -> Answer {
        match &self.tls {
            Some(tls) if tls.stands() => Answer::Accept,
            _ => Answer::Refuse(replies::NO_TLS_NOW),
        }
    }
}

/// Shakes hands; where that fails there is no connection any more.
async fn shake<D: Desk>(
    stream: Box<dyn Stream>,
    setting: &Setting,
    desk: &mut D,
) -> Option<Shaken> {
    let shaking = setting.tls.as_ref()?.accept(stream);
    match unless_stopped(setting, shaking).await {
        Ok(shaken) => {
            desk.shook_hands(Ok(shaken.agreed.clone()));
            Some(shaken)
        }
        Err(error) => {
            desk.shook_hands(Err(&error));
            None
        }
    }
}

/// Waits for something that the peer has a part in. When the service stops he has a short time left for it.
async fn unless_stopped<T>(
    setting: &Setting,
    what: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut stop = setting.stop.clone();
    let stopped = async {
        // Of a smtpd that ends without a word nothing is heard here.
        if stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(mail::limits::SERVER_STOP_WAIT).await;
    };
    tokio::select! {
        // What can be done at once is: nothing is waited for then.
        biased;
        done = what => done,
        () = setting.place.left() => Err(io::ErrorKind::TimedOut.into()),
        () = stopped => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Sends what was said; a peer that does not take it in time is left.
async fn send(
    stream: &mut dyn Stream,
    out: &mut Vec<u8>,
    session: &mut Session,
    setting: &Setting,
) -> io::Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let wait = mail::limits::SERVER_COMMAND_WAIT;
    let sent = unless_stopped(setting, async {
        stream.write_all(out).await?;
        // Under TLS what was written may still be here.
        stream.flush().await
    });
    let sent = tokio::time::timeout(wait, sent).await;
    out.clear();
    if sent.is_err() {
        session.wake(Time::from_micros(setting.clock.now_micros()));
        return Err(io::ErrorKind::TimedOut.into());
    }
    sent.unwrap_or(Ok(()))
}

/// Each refusal, and the 250 after content, carries a token that the administrator can open.
fn write_reply(reply: Reply, setting: &Setting, token: u64, out: &mut Vec<u8>) {
    let public = if reply == replies::GREETING || reply == replies::HELO {
        Public::Hostname(&setting.hostname)
    } else if reply == replies::ACCEPTED || reply.code() >= 400 {
        Public::Token(token)
    } else {
        Public::Nothing
    };
    reply.write(public, out);
}

/// Whether it is what an erring client is told: of RFC 5321 §4.2.1 the replies about syntax, unknown commands and their
/// order, and 555. What is refused of a mail transaction in order is no error of the client's.
fn is_error(reply: Reply) -> bool {
    matches!(reply.code(), 500..=504 | 555) && reply != replies::MAIL_REFUSED
        || [replies::NOT_SMTP, replies::TOO_MANY_ERRORS].contains(&reply)
}

/// The words for a refusal: the same in a session and in its explanation.
pub fn refusal_reply(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::RelayingDenied => replies::RELAYING_DENIED,
        Refusal::UnknownUser => replies::UNKNOWN_USER,
        Refusal::BadAlias => replies::BAD_ALIAS,
        Refusal::LoginNeeded => replies::LOGIN_FIRST,
        Refusal::NotYourSender => replies::NOT_YOUR_SENDER,
        Refusal::NotQualified => replies::NOT_QUALIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::tls::dial;

    /// A stream under TLS takes octets before there is room for them, and keeps them until it is told to flush.
    #[test]
    fn what_was_said_under_tls_goes_out_though_the_peer_is_slow() {
        crate::role::in_event_loop(async {
            let (mut server, mut client) = dial::narrow(2000).await?;
            let mut session = Session::new(Parameters::default(), Time::from_micros(0));
            let (_stops, stop) = watch::channel(Stop::No);
            let setting = Setting {
                parameters: Parameters::default(),
                hostname: "mx.a.test".into(),
                tls: None,
                tls_at_once: false,
                clock: Clock::start(),
                token: 1,
                stop,
                place: Rc::default(),
            };
            let mut out = vec![b'x'; 20_000];
            let mut heard = vec![0; out.len()];
            let said = async {
                send(&mut *server, &mut out, &mut session, &setting).await?;
                // Now it waits for the peer, who waits for all that was said.
                std::future::pending::<io::Result<usize>>().await
            };
            tokio::select! {
                never = said => never.map(drop),
                heard = tokio::time::timeout(LINGER, client.read_exact(&mut heard)) => heard?.map(drop),
            }
        })
        .unwrap();
    }
}
