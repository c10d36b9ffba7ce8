//! Who has taken queue over answers admin what was not asked, with others' words and with rubbish; and strangers come to the
//! control socket. A command is told of queue what queue says and of the supervisor what the supervisor says; nobody else
//! is told anything.

use super::random::Random;
use super::{Besieged, SOON, run, words};
use crate::role::{Place, VICTIM_ID};
use mail::Time;
use ringmail::drive::arrow::{self, Receiver, Sender};
use ringmail::ipc::control::{Answer, Counts, Request};
use ringmail::ipc::spawn::{Arrow, FromRole, Listener, Role, ToRole};
use ringmail::ipc::supervise::{Answered, Reload, Supervision};
use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::identity::Ids;

/// Words of the attacker.
const WORDS: u64 = 400;
/// Connections of strangers, far more than commands at once.
const STRANGERS: usize = 100;

type Asked = (Sender<(u64, Answer)>, Receiver<(u64, Request)>);

/// A control socket that everybody may connect to, so that it is admin who says no.
pub fn control_socket(place: &Place) -> Result<(PathBuf, OwnedFd), String> {
    let path = place.folder().join("control");
    let listener = UnixListener::bind(&path).map_err(words)?;
    fs::set_permissions(&path, Permissions::from_mode(0o666)).map_err(words)?;
    Ok((path, listener.into()))
}

/// A command.
pub struct Control(Sender<Request>, Receiver<Answer>);

impl Control {
    /// Connects as who we are.
    pub fn connect(path: &Path) -> Result<Self, String> {
        Self::over(UnixStream::connect(path).map_err(words)?)
    }

    fn over(stream: UnixStream) -> Result<Self, String> {
        stream.set_nonblocking(true).map_err(words)?;
        let (sender, receiver) = arrow::open(stream.into()).map_err(words)?;
        Ok(Self(sender, receiver))
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, String> {
        self.0.say(request, &[], None).map_err(words)?;
        let heard = tokio::time::timeout(SOON, self.1.hear()).await;
        Ok(heard.map_err(words)?.ok_or("admin answers nothing")?.head)
    }
}

pub fn look() -> Vec<String> {
    run(async |place: &Place| {
        let mut admin = Besieged::start(place, Role::Admin).map_err(words)?;
        let (path, socket) = control_socket(place)?;
        let order = ToRole::Listener(Listener::Control);
        admin.birth.order(&order, Some(&socket)).map_err(words)?;
        let mut queue: Asked = arrow::open(admin.arrow(Arrow::Control)).map_err(words)?;
        admin.serves().await?;
        let before = place.all_but("events");
        queue = lie(&admin, &path, queue).await?;
        strangers(place, &path, &mut queue).await?;
        // And who may ask is answered as ever.
        let mut command = Control::connect(&path)?;
        let (answer, told) = tokio::join!(command.ask(&Request::Count), async {
            let asked = hear(&mut queue).await?;
            let right = (asked, Answer::Counts(counts(7)));
            queue.0.say(&right, &[], None).map_err(words)
        });
        told?;
        if answer? != Answer::Counts(counts(7)) {
            return Err("the honest answer is another".into());
        }
        if place.all_but("events") != before {
            return Err("files outside the event store are others".into());
        }
        if admin.lives() {
            Ok(())
        } else {
            Err("admin has ended".into())
        }
    })
}

fn counts(messages: u64) -> Counts {
    Counts {
        messages,
        ..Counts::default()
    }
}

/// What the supervisor says stands, and what it never said.
fn stands(path: &str) -> Supervision {
    Supervision {
        began: Time::from_micros(1),
        path: path.into(),
        uid: 1,
        roles: Vec::new(),
        listeners: Vec::new(),
        last_reload: None,
    }
}

/// The token of the next question that queue hears.
async fn hear(queue: &mut Asked) -> Result<u64, String> {
    let heard = tokio::time::timeout(SOON, queue.1.hear()).await;
    Ok(heard
        .map_err(|_| "queue is asked nothing")?
        .ok_or("the arrow ended")?
        .head
        .0)
}

/// Answers of all kinds to questions that were asked and to others.
async fn lie(admin: &Besieged, path: &Path, mut queue: Asked) -> Result<Asked, String> {
    let mut random = Random::new(0xad1e5);
    for word in 0..WORDS {
        let forged = match random.below(5) {
            0 => Answer::Status(stands("forged"), Some(counts(1))),
            1 => Answer::Reload(Reload::Mistakes("forged".into())),
            2 => Answer::Counts(counts(666)),
            3 => Answer::Nothing,
            _ => Answer::Unavailable,
        };
        let unasked = (random.next() >> random.below(64), forged.clone());
        queue
            .0
            .say(&unasked, &random.octets(300), None)
            .map_err(words)?;
        if word % 8 == 0 {
            // A command asks what stands: only the supervisor's word for it counts.
            let mut command = Control::connect(path)?;
            let (answer, told) = tokio::join!(command.ask(&Request::Status), async {
                supervise(admin).await?;
                let token = hear(&mut queue).await?;
                // To the question before and to the one after, which nobody asked of queue; and to this one.
                let others = Answer::Counts(counts(13));
                for answer in [
                    (token.wrapping_sub(1), others.clone()),
                    (token + 1, others),
                    (token, forged.clone()),
                ] {
                    queue.0.say(&answer, &[], None).map_err(words)?;
                }
                Ok::<(), String>(())
            });
            told?;
            let own = match forged {
                Answer::Counts(counts) => Some(counts),
                _ => None,
            };
            let answer = answer?;
            if answer != Answer::Status(stands("right"), own) {
                return Err(format!("status says {answer:?}"));
            }
        }
        if random.below(20) == 0 {
            let raw = admin.arrow(Arrow::Control);
            let _ = sys::socket::send(&raw, &random.rubbish(), &[]);
            queue = arrow::open(admin.arrow(Arrow::Control)).map_err(words)?;
            // It takes its orders before what a command says later.
            admin.serves().await?;
        }
    }
    Ok(queue)
}

/// The supervisor's answer to admin.
async fn supervise(admin: &Besieged) -> Result<(), String> {
    match tokio::time::timeout(SOON, admin.birth.report()).await {
        Ok(Ok(Some(FromRole::Asks { token, .. }))) => {
            let answer = Answered::Status(stands("right"));
            let order = ToRole::Answer { token, answer };
            admin.birth.order(&order, None).map_err(words)
        }
        other => Err(format!("the supervisor is not asked: {other:?}")),
    }
}

/// Strangers ask what is right in form, say rubbish, and say nothing; rubbish and silence of who may ask too.
async fn strangers(place: &Place, path: &Path, queue: &mut Asked) -> Result<(), String> {
    let mut random = Random::new(0x574a);
    let connect = || UnixStream::connect(path).map_err(words);
    // Some say nothing, and beside them others say rubbish.
    let silent = [connect()?, connect()?, connect()?];
    for _ in 0..STRANGERS {
        let trusted = connect()?;
        let _ = sys::socket::send(&trusted, &random.rubbish(), &[]);
        is_sent_away(trusted)?;
    }
    drop(silent);
    if !place.has_users() {
        println!("strangers are left out: it takes root");
        return Ok(());
    }
    let ids = Ids {
        uid: VICTIM_ID,
        gid: VICTIM_ID,
    };
    let mut right = Vec::new();
    ringmail::ipc::encode(&Request::Count, &[], 0, &mut right).map_err(words)?;
    for number in 0..STRANGERS {
        let stranger = sys::identity::as_user(ids, || UnixStream::connect(path));
        let stranger = stranger.map_err(words)?.map_err(words)?;
        match number % 3 {
            0 => drop(sys::socket::send(&stranger, &right, &[])),
            1 => drop(sys::socket::send(&stranger, &random.rubbish(), &[])),
            _ => {}
        }
        // Whatever it says, and though it says nothing.
        is_sent_away(stranger)?;
    }
    match tokio::time::timeout(Duration::from_millis(50), queue.1.hear()).await {
        Err(_) => Ok(()),
        Ok(_) => Err("a stranger's question reached queue".into()),
    }
}

/// Whether all that it gets is the end.
fn is_sent_away(mut stream: UnixStream) -> Result<(), String> {
    stream.set_read_timeout(Some(SOON)).map_err(words)?;
    let mut octets = Vec::new();
    match stream.read_to_end(&mut octets) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            Err(format!("somebody is not sent away: {error}"))
        }
        _ if octets.is_empty() => Ok(()),
        _ => Err("somebody was answered".into()),
    }
}
