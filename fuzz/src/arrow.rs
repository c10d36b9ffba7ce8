//! Arrows: any octets as what the other end says, to both ends of each. A frame that is read says the same
//! when it is written and read again, wherever the stream is cut; what breaks the rules ends the arrow and
//! no octet behind it is looked at.
//!
//! The first octet says which record; with its highest bit the rest is a stream of octets as it is,
//! otherwise heads and tails, each with its length before it, to which right prefixes are put.

use crate::octets::Octets;
use ringmail::ipc::spawn::{Arrow, FromRole, Role, ToRole};
use ringmail::ipc::{
    self, Frame, Misbehaved, accept, check as checks, control, deliver, judge, launch, login,
    reload, sign, supervise,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Octets of a frame before its head.
const PREFIX: usize = 10;

/// Any octets from the other end.
pub fn run(data: &[u8]) {
    check(data, false);
}

/// A reader that does not mind octets behind a record.
pub fn planted(data: &[u8]) {
    check(data, true);
}

fn check(data: &[u8], planted: bool) {
    let mut octets = Octets(data);
    let which = octets.octet();
    let stream = if which & 0x80 == 0 {
        framed(&mut octets)
    } else {
        octets.0.to_vec()
    };
    match which & 0x7F {
        0 => drop(hears::<accept::ToQueue>(&stream, planted)),
        1 => drop(hears::<accept::FromQueue>(&stream, planted)),
        2 => drop(hears::<deliver::Attempt>(&stream, planted)),
        3 => drop(hears::<deliver::Ended>(&stream, planted)),
        4 => drop(hears::<control::Request>(&stream, planted)),
        5 => drop(hears::<control::Answer>(&stream, planted)),
        6 => {
            for record in hears::<ToRole>(&stream, planted) {
                match record {
                    ToRole::Arrow(arrow) => matrix(arrow),
                    ToRole::Key(share, _) => assert!(share.ends()[0] != share.ends()[1]),
                    ToRole::Listener(listener) => {
                        let role = listener.role();
                        assert!(role == Role::Admin || Role::SERVERS.contains(&role));
                    }
                    ToRole::File(what) => assert!(Role::FILED.contains(&what.role())),
                    _ => {}
                }
            }
        }
        7 => drop(hears::<FromRole>(&stream, planted)),
        8 => drop(hears::<supervise::Question>(&stream, planted)),
        9 => drop(hears::<supervise::Answered>(&stream, planted)),
        10 => drop(hears::<judge::Question>(&stream, planted)),
        11 => drop(hears::<judge::Judged>(&stream, planted)),
        12 => drop(hears::<reload::Brought>(&stream, planted)),
        13 => numbers(&stream),
        14 => drop(hears::<sign::ToKeys>(&stream, planted)),
        15 => drop(hears::<sign::FromKeys>(&stream, planted)),
        16 => drop(hears::<login::ToKeys>(&stream, planted)),
        17 => drop(hears::<login::FromKeys>(&stream, planted)),
        18 => drop(hears::<checks::Question>(&stream, planted)),
        19 => drop(hears::<checks::Checked>(&stream, planted)),
        _ => cut(&stream),
    }
}

/// What launch and the supervisor say to each other, in records of one size.
fn numbers(octets: &[u8]) {
    let front = |size: usize| &octets[..octets.len().min(size)];
    if let Some(ask) = launch::Ask::decode(front(launch::RECORD_OCTETS)) {
        assert_eq!(launch::Ask::decode(&ask.encode()), Some(ask));
    }
    if let Some(told) = launch::Told::decode(front(launch::TOLD_OCTETS)) {
        assert_eq!(launch::Told::decode(&told.encode()), Some(told));
    }
}

/// A text that is cut is the front of the text, as long as may be and no longer.
fn cut(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let bound = octets.len() / 2;
    let short = supervise::cut(text.clone().into_owned(), bound);
    assert!(text.starts_with(&short) && short.len() <= bound);
    assert!(short.len() == text.len() || short.len() + 4 > bound);
}

/// Heads and tails, with prefixes that fit them.
fn framed(octets: &mut Octets<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !octets.is_empty() {
        let fds = octets.octet();
        let (head, tail) = (octets.octet(), octets.octet());
        let (head, tail) = (octets.take(head.into()), octets.take(tail.into()));
        // What is behind the last frame stands there unfinished.
        if ipc::encode(&Raw(head), tail, fds, &mut stream).is_err() {
            break;
        }
    }
    stream
}

/// Octets that stand where a record should.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple as _;
        // Postcard writes a tuple without its length.
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for octet in self.0 {
            tuple.serialize_element(octet)?;
        }
        tuple.end()
    }
}

/// Reads a stream to its end or to where it breaks the rules; gives what it said.
fn hears<T>(stream: &[u8], planted: bool) -> Vec<T>
where
    T: Serialize + DeserializeOwned + Debug,
{
    let (mut at, mut heard) = (0, Vec::new());
    loop {
        let input = &stream[at..];
        match decode::<T>(input, planted) {
            Ok(Some(frame)) => {
                holds(input, &frame);
                at += frame.octets;
                heard.push(frame.head);
            }
            Ok(None) => {
                let announced = announced(input).map(|(head, tail)| PREFIX + head + tail);
                assert!(announced.is_none_or(|octets| octets > input.len()));
                break;
            }
            Err(why) => {
                assert!(!why.to_string().is_empty());
                let more = [input, b"and more"].concat();
                let again = decode::<T>(&more, planted).map(|frame| frame.is_some());
                assert_eq!(again, Err(why), "more octets made it good");
                break;
            }
        }
    }
    if stream.is_empty() {
        let long = vec![0; ipc::TAIL_OCTETS + 1];
        let mut out = b"before".to_vec();
        assert!(ipc::encode(&(), &long, 0, &mut out).is_err());
        assert_eq!(out, b"before");
    }
    heard
}

/// A frame is whole, used up, and says the same when it is written again.
fn holds<T>(input: &[u8], frame: &Frame<'_, T>)
where
    T: Serialize + DeserializeOwned + Debug,
{
    let (head, tail) = announced(input).expect("a frame has a prefix");
    assert!(head <= ipc::HEAD_OCTETS && tail <= ipc::TAIL_OCTETS);
    assert_eq!(frame.octets, PREFIX + head + tail);
    assert_eq!(frame.tail, &input[PREFIX + head..frame.octets]);
    assert_eq!(frame.fds, input[9]);
    let (_, over) =
        postcard::take_from_bytes::<T>(&input[PREFIX..PREFIX + head]).expect("it was read before");
    assert!(over.is_empty(), "octets behind a record");
    for cut in [0, 1, PREFIX, frame.octets / 2, frame.octets - 1] {
        let part = ipc::decode::<T>(&input[..cut.min(frame.octets - 1)]);
        assert!(matches!(part, Ok(None)), "a part of a frame is none");
    }
    let mut again = Vec::new();
    ipc::encode(&frame.head, frame.tail, frame.fds, &mut again).expect("it came in a frame");
    let read = ipc::decode::<T>(&again)
        .expect("a frame of ours")
        .expect("it is whole");
    assert_eq!(format!("{:?}", read.head), format!("{:?}", frame.head));
    assert_eq!((read.tail, read.fds), (frame.tail, frame.fds));
}

/// Octets of head and tail, as the prefix says them.
fn announced(input: &[u8]) -> Option<(usize, usize)> {
    let number = |at: usize| {
        let octets: [u8; 4] = input.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(octets)).ok()
    };
    (input.len() >= PREFIX).then(|| Some((number(1)?, number(5)?)))?
}

/// Reads a frame; with the planted mistake also one whose record leaves octets over.
fn decode<T: DeserializeOwned>(
    input: &[u8],
    planted: bool,
) -> Result<Option<Frame<'_, T>>, Misbehaved> {
    let read = ipc::decode::<T>(input);
    if !planted || !matches!(read, Err(Misbehaved("octets behind a record"))) {
        return read;
    }
    let (head, tail) = announced(input).ok_or(Misbehaved("no prefix"))?;
    let octets = PREFIX + head + tail;
    let (record, _) = postcard::take_from_bytes(&input[PREFIX..PREFIX + head])
        .map_err(|_| Misbehaved("a record that does not decode"))?;
    Ok(Some(Frame {
        head: record,
        tail: &input[PREFIX + head..octets],
        fds: input[9],
        octets,
    }))
}

/// An arrow joins two different roles, each known by its name.
fn matrix(arrow: Arrow) {
    assert!(Arrow::ALL.contains(&arrow));
    let (asks, answers) = arrow.ends();
    assert_ne!(asks, answers);
    for role in [asks, answers] {
        assert!(Role::ALL.contains(&role));
        assert_eq!(Role::from_name(role.name()), Some(role));
        assert_eq!(Role::from_name(&role.to_string()), Some(role));
    }
}
