//! A role's first and only descriptor: over it come its orders and the ends of its arrows.

use crate::ipc::Misbehaved;
use crate::ipc::spawn::{FromRole, ToRole};
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Largest record: the configuration and a little more. Bounded by what a socket's buffer takes at once.
pub const RECORD_OCTETS: usize = 160 * 1024;
/// Largest configuration file.
pub const CONFIGURATION_OCTETS: usize = 128 * 1024;

/// One end of the socket between supervisor and role. A clone is the same end.
#[derive(Clone)]
pub struct Birth(Rc<End>);

struct End {
    socket: UnixStream,
    /// What was heard before the role's story began, to be heard in it once more.
    foreseen: RefCell<Option<ToRole>>,
}

impl Birth {
    /// Takes an end, a socket of [`sys::socket::Kind::SeqPacket`]; within a runtime.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(Rc::new(End {
            socket: UnixStream::from_std(socket.into())?,
            foreseen: RefCell::default(),
        })))
    }

    /// In the role: the first order, before its story begins; [`Birth::orders`] gives it once more. `None` when the
    /// supervisor is gone.
    pub async fn foresee(&self) -> io::Result<Option<ToRole>> {
        match self.hear::<ToRole>().await? {
            Some((order, None)) => {
                self.0.foreseen.replace(Some(order.clone()));
                Ok(Some(order))
            }
            Some((_, Some(_))) => Err(io::Error::other(Misbehaved("orders with a descriptor"))),
            None => Ok(None),
        }
    }

    /// In the role: what the supervisor says; `None` when it is gone. Who waits for orders is awake, and says so.
    pub async fn orders(&self) -> io::Result<Option<(ToRole, Option<OwnedFd>)>> {
        if let Some(order) = self.0.foreseen.take() {
            return Ok(Some((order, None)));
        }
        loop {
            match self.hear().await? {
                Some((ToRole::Watch, None)) => self.tell(&FromRole::Awake),
                order => return Ok(order),
            }
        }
    }

    /// In the supervisor: what the role says; `None` when it is gone.
    pub async fn report(&self) -> io::Result<Option<FromRole>> {
        Ok(self.hear().await?.map(|(record, _)| record))
    }

    /// In the supervisor: says something to the role. The socket's buffer takes all that is ever said at
    /// once; a role that does not read so little is as good as dead, and the error says so.
    pub fn order(&self, record: &ToRole, fd: Option<&OwnedFd>) -> io::Result<()> {
        use std::os::fd::AsFd;
        let octets = postcard::to_stdvec(record).map_err(io::Error::other)?;
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
        sys::socket::send(&self.0.socket, &octets, &fds).map(|_| ())
    }

    /// In the role: says something to the supervisor. Nobody may be there any more; then this process is
    /// about to end anyway.
    pub fn tell(&self, record: &FromRole) {
        if let Ok(octets) = postcard::to_stdvec(record) {
            let _ = sys::socket::send(&self.0.socket, &octets, &[]);
        }
    }

    async fn hear<T: serde::de::DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut octets = vec![0; RECORD_OCTETS];
        let mut fds = Vec::new();
        let mut told = false;
        let count = loop {
            let socket = &self.0.socket;
            let received = socket.async_io(Interest::READABLE, || {
                sys::socket::receive(socket, &mut octets, &mut fds)
            });
            match received.await {
                Ok(0) => return Ok(None),
                // The other end is gone and had not read all. The kernel says that first; what the other end said
                // before is still to be read, and then the end.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    if std::mem::replace(&mut told, true) {
                        return Ok(None);
                    }
                }
                other => break other?,
            }
        };
        let bad = |_| io::Error::other(Misbehaved("a record that does not decode"));
        let (record, rest) = postcard::take_from_bytes(&octets[..count]).map_err(bad)?;
        if !rest.is_empty() || fds.len() > 1 {
            return Err(io::Error::other(Misbehaved("more came than was said")));
        }
        Ok(Some((record, fds.pop())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::socket::Kind;

    #[test]
    fn last_words_are_heard_though_the_role_had_not_read_all() {
        crate::role::in_event_loop(async {
            let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
            let (supervisor, role) = (Birth::new(ours)?, Birth::new(theirs)?);
            supervisor.order(&ToRole::Begin, None)?;
            role.tell(&FromRole::Hopeless("why".into()));
            drop(role);
            let said = supervisor.report().await?;
            assert!(matches!(said, Some(FromRole::Hopeless(why)) if why == "why"));
            assert!(supervisor.report().await?.is_none());
            Ok(())
        })
        .unwrap();
    }
}
