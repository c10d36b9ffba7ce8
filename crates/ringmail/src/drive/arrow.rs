//! One end of an arrow in the event loop. What is said in one turn of the loop goes out in one write.

use crate::ipc::{self, Misbehaved};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// Octets asked of the socket at once.
const READ_OCTETS: usize = 128 * 1024;
/// A buffer that grew beyond this is given back when it is empty.
const KEEP_OCTETS: usize = 1024 * 1024;
/// Descriptors that came before the frames that announce them; more is misbehaviour. A descriptor comes with its frame's
/// first octet and is read with it, so that few are ever here; and a role may have few.
const FDS_WAITING_MAX: usize = sys::socket::FDS_MAX;
/// Octets that an end which answers keeps for one that does not read its answers, before it hears no more questions.
const UNREAD_OCTETS: usize = 4 * 1024 * 1024;

/// What is to be sent, and the descriptors with their places in it.
#[derive(Default)]
struct Outgoing {
    octets: Vec<u8>,
    sent: usize,
    /// Each descriptor and the octet it goes with, counted from the start of `octets`.
    fds: VecDeque<(usize, OwnedFd)>,
}

struct End {
    socket: UnixStream,
    outgoing: RefCell<Outgoing>,
    wake: Notify,
    /// Something was taken by the other end, or the arrow has ended.
    taken: Notify,
    closed: Cell<bool>,
}

/// The saying side. Clones say over the same arrow.
pub struct Sender<T> {
    end: Rc<End>,
    says: PhantomData<fn(T)>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            end: Rc::clone(&self.end),
            says: PhantomData,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // The writer looks whether this was the last one here.
        self.end.wake.notify_one();
    }
}

/// The hearing side.
pub struct Receiver<T> {
    end: Rc<End>,
    /// Octets that came stand before `filled`; behind it is room, made zero once and not for each read.
    input: Vec<u8>,
    filled: usize,
    used: usize,
    fds: VecDeque<OwnedFd>,
    hears: PhantomData<fn() -> T>,
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.end.wake.notify_one();
    }
}

/// A record as it came: what it says, its tail, and a descriptor if one came with it.
pub struct Heard<T> {
    /// What it says.
    pub head: T,
    /// Raw octets.
    pub tail: Vec<u8>,
    /// A descriptor; its kind is not checked yet.
    pub fd: Option<OwnedFd>,
}

/// Makes the two sides of this end; must be called within a `LocalSet`, where its writer then runs until
/// the other end is closed or all [`Sender`]s and the [`Receiver`] are gone.
pub fn open<Says: 'static, Hears>(socket: OwnedFd) -> io::Result<(Sender<Says>, Receiver<Hears>)> {
    let end = Rc::new(End {
        socket: UnixStream::from_std(socket.into())?,
        outgoing: RefCell::default(),
        wake: Notify::new(),
        taken: Notify::new(),
        closed: Cell::new(false),
    });
    tokio::task::spawn_local(write(Rc::clone(&end)));
    let sender = Sender {
        end: Rc::clone(&end),
        says: PhantomData,
    };
    let receiver = Receiver {
        end,
        input: Vec::new(),
        filled: 0,
        used: 0,
        fds: VecDeque::new(),
        hears: PhantomData,
    };
    Ok((sender, receiver))
}

impl<T: Serialize> Sender<T> {
    /// Says `head` with `tail`; it goes out when this turn of the event loop ends. An error means that
    /// nothing was said: the record is too large.
    pub fn say(&self, head: &T, tail: &[u8], fd: Option<OwnedFd>) -> Result<(), Misbehaved> {
        if self.end.closed.get() {
            // Who hears of the end of the arrow gives up what was asked; there is nothing to say here.
            return Ok(());
        }
        let outgoing = &mut *self.end.outgoing.borrow_mut();
        let place = outgoing.octets.len();
        ipc::encode(head, tail, u8::from(fd.is_some()), &mut outgoing.octets)?;
        outgoing.fds.extend(fd.map(|fd| (place, fd)));
        self.end.wake.notify_one();
        Ok(())
    }

    /// Octets that wait to be taken by the other end.
    pub fn backlog(&self) -> usize {
        let outgoing = self.end.outgoing.borrow();
        outgoing.octets.len() - outgoing.sent
    }

    /// Waits until the other end has taken most of what was said to it, or the arrow has ended. Who answers waits for it
    /// before the next question, so that one who asks and does not read cannot fill this process's memory.
    pub async fn room(&self) {
        while !self.end.closed.get() && self.backlog() > UNREAD_OCTETS {
            self.end.taken.notified().await;
        }
    }
}

impl<T: DeserializeOwned> Receiver<T> {
    /// The next record; `None` when the arrow has ended, by the other's end or by its misbehaviour.
    pub async fn hear(&mut self) -> Option<Heard<T>> {
        loop {
            match self.take() {
                Ok(Some(heard)) => return Some(heard),
                Ok(None) => {}
                Err(misbehaved) => {
                    crate::event::say(&crate::event::Event::ArrowMisbehaved {
                        cause: misbehaved.0,
                    });
                    return None;
                }
            }
            let filled = self.fill().await;
            if filled
                .as_ref()
                .is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
            {
                continue;
            }
            if !matches!(filled, Ok(1..)) {
                self.end.closed.set(true);
                self.end.wake.notify_one();
                return None;
            }
        }
    }

    /// A record that came already; `Ok(None)` when there is no whole one.
    pub fn take(&mut self) -> Result<Option<Heard<T>>, Misbehaved> {
        let Some(frame) = ipc::decode::<T>(&self.input[self.used..self.filled])? else {
            return Ok(None);
        };
        let fd = match frame.fds {
            0 => None,
            1 => Some(
                self.fds
                    .pop_front()
                    .ok_or(Misbehaved("a descriptor was announced and did not come"))?,
            ),
            _ => return Err(Misbehaved("more descriptors than one")),
        };
        let (head, tail, octets) = (frame.head, frame.tail.to_vec(), frame.octets);
        self.used += octets;
        if self.used == self.filled {
            (self.used, self.filled) = (0, 0);
            if self.input.len() > KEEP_OCTETS {
                self.input = Vec::new();
            }
        }
        Ok(Some(Heard { head, tail, fd }))
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.used > READ_OCTETS {
            self.input.copy_within(self.used..self.filled, 0);
            (self.used, self.filled) = (0, self.filled - self.used);
        }
        // Nothing is kept across this wait, so that a caller may give up waiting at any time.
        self.end.socket.readable().await?;
        let mut fds = Vec::new();
        if self.input.len() < self.filled + READ_OCTETS {
            self.input.resize(self.filled + READ_OCTETS, 0);
        }
        let socket = &self.end.socket;
        let into = &mut self.input[self.filled..];
        let read = socket.try_io(Interest::READABLE, || {
            sys::socket::receive(socket, into, &mut fds)
        });
        self.filled += *read.as_ref().unwrap_or(&0);
        self.fds.extend(fds);
        if self.fds.len() > FDS_WAITING_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        read
    }
}

/// Writes what is said, until the arrow ends.
async fn write(end: Rc<End>) {
    loop {
        // The two that stay are the writer's own and the socket's other user; with neither sender nor
        // receiver left nobody can say or hear anything.
        if end.closed.get()
            || (Rc::strong_count(&end) == 1 && end.outgoing.borrow().octets.is_empty())
        {
            end.closed.set(true);
            return;
        }
        if end.outgoing.borrow().octets.is_empty() {
            end.wake.notified().await;
            continue;
        }
        let sent = end.socket.async_io(Interest::WRITABLE, || {
            send(&end.socket, &mut end.outgoing.borrow_mut())
        });
        let ended = sent.await.is_err();
        if ended {
            end.closed.set(true);
            end.outgoing.take();
        }
        end.taken.notify_waiters();
        if ended {
            return;
        }
    }
}

/// Sends one piece: from where the last ended up to the next octet that carries a descriptor.
fn send(socket: &UnixStream, outgoing: &mut Outgoing) -> io::Result<()> {
    let start = outgoing.sent;
    let mut places = outgoing.fds.iter().map(|(place, _)| *place);
    let first = places.next();
    let (with_fd, end) = if first == Some(start) {
        (true, places.next())
    } else {
        (false, first)
    };
    let end = end.unwrap_or(outgoing.octets.len());
    let fds: Vec<BorrowedFd<'_>> = outgoing
        .fds
        .iter()
        .take(usize::from(with_fd))
        .map(|(_, fd)| fd.as_fd())
        .collect();
    let taken = sys::socket::send(socket, &outgoing.octets[start..end], &fds)?;
    if with_fd {
        outgoing.fds.pop_front();
    }
    outgoing.sent += taken;
    if outgoing.sent == outgoing.octets.len() {
        outgoing.sent = 0;
        outgoing.octets.clear();
        if outgoing.octets.capacity() > KEEP_OCTETS {
            outgoing.octets = Vec::new();
        }
    }
    Ok(())
}
