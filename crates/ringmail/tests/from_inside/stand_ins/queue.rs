//! Those who have taken smtpd, local and relay over speak to queue, which holds a message and an unfinished body of somebody
//! honest.

use super::random::Random;
use super::{Besieged, SOON, mailbox, run, words};
use crate::role::Place;
use mail::{Ending, Envelope, Host, Outcome, QueueId, Received, Recipient, ReversePath, Time};
use queue::Body;
use ringmail::drive::arrow::{self, Receiver, Sender};
use ringmail::ipc::accept::{FromQueue, Incoming, ToQueue};
use ringmail::ipc::control::{Answer, Request};
use ringmail::ipc::deliver::{Attempt, Ended};
use ringmail::ipc::spawn::{Arrow, Role, Share, ToRole};
use ringmail::seal::{KEY_OCTETS, Key, Seal, Sealed, Sealer};
use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Words of the attackers.
const WORDS: u64 = 3000;
const PEER: [u8; 4] = [192, 0, 2, 7];

type Accepts = (Sender<ToQueue>, Receiver<FromQueue>);
type Delivers = (Sender<Ended>, Receiver<Attempt>);
type Controls = (Sender<(u64, Request)>, Receiver<(u64, Answer)>);

/// Policy's seals, right ones and others.
struct Seals {
    right: Sealer,
    wrong: Sealer,
}

impl Seals {
    fn new(key: &Key) -> Self {
        Self {
            right: Sealer::new(key),
            wrong: Sealer::new(&Key::new([8; KEY_OCTETS])),
        }
    }
}

fn seal(sealer: &mut Sealer, recipients: &[Recipient]) -> Seal {
    sealer.seal(&Sealed {
        peer: IpAddr::from(PEER),
        login: None,
        reverse_path: &ReversePath::Null,
        recipients,
    })
}

fn to(name: &str) -> Vec<Recipient> {
    vec![Recipient::direct(mailbox(name))]
}

fn accept(token: u64, recipients: Vec<Recipient>, seal: Seal, body: Option<Body>) -> ToQueue {
    let envelope = Envelope {
        reverse_path: ReversePath::Null,
        recipients,
        arrival: Time::from_micros(1),
        eight_bit: false,
        smtputf8: false,
        dsn: None,
    };
    let received = Received {
        hello: "me".into(),
        peer: IpAddr::from(PEER),
        by: "mx.a.test".into(),
        extended: true,
        secure: false,
        suite: "".into(),
        smtputf8: false,
        login: None,
    };
    let message = Box::new(Incoming {
        envelope,
        received,
        seal,
        body,
    });
    ToQueue::Accept { token, message }
}

/// What is honest.
struct Honest {
    arrow: Accepts,
    local: Delivers,
    control: Controls,
    /// The message that queue has.
    kept: QueueId,
    /// The attempt that is made of it.
    attempt: u64,
    /// The body that is not finished.
    body: (u64, File),
}

pub fn look() -> Vec<String> {
    run(async |place: &Place| {
        let mut queue = Besieged::start(place, Role::Queue).map_err(words)?;
        let key = Key::new([7; KEY_OCTETS]);
        let order = ToRole::Key(Share::Transactions, key.clone());
        queue.birth.order(&order, None).map_err(words)?;
        let mut seals = Seals::new(&key);
        let mut honest = Honest::begin(&queue, &mut seals).await?;
        attack(&queue, &mut seals, &honest).await?;
        honest.is_unharmed(&mut seals).await?;
        if queue.lives() {
            Ok(())
        } else {
            Err("queue has ended".into())
        }
    })
}

impl Honest {
    /// A message that is kept, and a body that is begun.
    async fn begin(queue: &Besieged, seals: &mut Seals) -> Result<Self, String> {
        let mut arrow: Accepts = arrow::open(queue.arrow(Arrow::Accept)).map_err(words)?;
        let mut local: Delivers = arrow::open(queue.arrow(Arrow::DeliverLocal)).map_err(words)?;
        let control: Controls = arrow::open(queue.arrow(Arrow::Control)).map_err(words)?;
        queue.serves().await?;
        let ann = to("ann@a.test");
        let message = accept(1, ann.clone(), seal(&mut seals.right, &ann), None);
        arrow
            .0
            .say(&message, b"Subject: x\r\n\r\nx\r\n", None)
            .map_err(words)?;
        arrow
            .0
            .say(&ToQueue::NewBody { token: 2 }, &[], None)
            .map_err(words)?;
        let (mut kept, mut body) = (None, None);
        while kept.is_none() || body.is_none() {
            let heard = arrow.1.hear().await.ok_or("the arrow ended")?;
            match (heard.head, heard.fd) {
                (FromQueue::Body { number, .. }, Some(file)) => {
                    body = Some((number, File::from(file)));
                }
                (FromQueue::Accepted { queue_id, .. }, None) => kept = Some(queue_id),
                (FromQueue::Room(_), None) => {}
                (other, _) => return Err(format!("not kept: {other:?}")),
            }
        }
        let (kept, body) = (kept.ok_or("not kept")?, body.ok_or("no body")?);
        let attempt = local.1.hear().await.ok_or("the arrow ended")?.head;
        if attempt.queue_id != kept {
            return Err("another message was tried".into());
        }
        Ok(Self {
            arrow,
            local,
            control,
            kept,
            attempt: attempt.attempt,
            body,
        })
    }

    /// The message is there still and alone; the body is written to and kept.
    async fn is_unharmed(&mut self, seals: &mut Seals) -> Result<(), String> {
        let filter = ringmail::ipc::control::Filter::default();
        let list = Request::List {
            filter,
            after: None,
        };
        self.control.0.say(&(1, list), &[], None).map_err(words)?;
        let heard = tokio::time::timeout(SOON, self.control.1.hear()).await;
        let answer = heard.map_err(words)?.ok_or("the arrow ended")?.head.1;
        let Answer::List(messages) = answer else {
            return Err(format!("no list: {answer:?}"));
        };
        let names: Vec<QueueId> = messages.iter().map(|message| message.queue_id).collect();
        if names != [self.kept] || messages[0].state != "sending" {
            return Err(format!("the queue is another: {messages:?}"));
        }
        let (number, file) = &self.body;
        let content = b"Subject: y\r\n\r\ny\r\n";
        file.write_all_at(content, 0).map_err(words)?;
        let body = Body {
            number: *number,
            octets: content.len() as u64,
            checksum: crc32c::crc32c(content),
        };
        // Nobody may be able to write to it any more.
        self.body.1 = File::open("/dev/null").map_err(words)?;
        let ann = to("ann@a.test");
        let message = accept(9, ann.clone(), seal(&mut seals.right, &ann), Some(body));
        self.arrow.0.say(&message, &[], None).map_err(words)?;
        loop {
            let heard = tokio::time::timeout(SOON, self.arrow.1.hear()).await;
            match heard.map_err(words)?.ok_or("the arrow ended")?.head {
                FromQueue::Room(_) => {}
                FromQueue::Accepted { token: 9, .. } => return Ok(()),
                other => return Err(format!("the honest body was refused: {other:?}")),
            }
        }
    }
}

/// Words of those who were taken over, on arrows of their own: as many as they are born with.
async fn attack(queue: &Besieged, seals: &mut Seals, honest: &Honest) -> Result<(), String> {
    let mut random = Random::new(0x5eed);
    let mut smtpd: Accepts = arrow::open(queue.arrow(Arrow::Accept)).map_err(words)?;
    let relay: Delivers = arrow::open(queue.arrow(Arrow::DeliverRelay)).map_err(words)?;
    for word in 0..WORDS {
        match random.below(8) {
            0 => {
                // Rubbish ends the arrow; the next life has another.
                let raw = queue.arrow(Arrow::Accept);
                let _ = sys::socket::send(&raw, &random.rubbish(), &[]);
                smtpd = arrow::open(queue.arrow(Arrow::Accept)).map_err(words)?;
            }
            1 | 2 => {
                let near = honest.body.0.wrapping_add(random.below(3));
                let far = random.next();
                let number = if random.below(2) == 0 { near } else { far };
                let _ = smtpd.0.say(&ToQueue::DropBody { number }, &[], None);
            }
            3 | 4 => {
                let message = forged(&mut random, seals, honest.body.0, word);
                let _ = smtpd.0.say(&message, &random.octets(100), None);
            }
            // Outcomes of attempts that they were never given, and of recipients that no message has.
            number => {
                let others = honest.attempt.wrapping_add(1 + random.below(1000));
                let ended = Ended {
                    attempt: if number == 7 { random.next() } else { others },
                    host: Host::default(),
                    outcomes: vec![(
                        u32::try_from(random.below(9)).unwrap_or(0),
                        Ending::from(Outcome::Delivered),
                    )],
                };
                let arrow = if number == 5 { &honest.local } else { &relay };
                let _ = arrow.0.say(&ended, &random.octets(100), None);
            }
        }
        if word % 64 == 0 {
            // The writers of all these arrows have their turn.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}

/// Somebody else's body with a right seal, or a seal that is not policy's, or one for others.
fn forged(random: &mut Random, seals: &mut Seals, number: u64, token: u64) -> ToQueue {
    let (ann, victim) = (to("ann@a.test"), to("victim@far.test"));
    let theirs = Body {
        number,
        octets: random.below(10),
        checksum: 0,
    };
    match random.below(3) {
        0 => {
            let right = seal(&mut seals.right, &victim);
            accept(token, victim, right, Some(theirs))
        }
        1 => {
            let wrong = seal(&mut seals.wrong, &victim);
            accept(token, victim, wrong, None)
        }
        _ => {
            let for_others = seal(&mut seals.right, &ann);
            accept(token, victim, for_others, None)
        }
    }
}
