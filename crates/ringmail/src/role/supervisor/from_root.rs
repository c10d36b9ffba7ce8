//! What root brings by `ringmail reload`: heard from nobody but root, by the kernel's word.

use super::Happened;
use super::listeners::{self, Open};
use super::secrets::Secret;
use crate::drive::arrow::{self, Sender};
use crate::drive::birth::CONFIGURATION_OCTETS;
use crate::event::{self, Event};
use crate::ipc::reload::{Answer, Brought, SOCKETS_MAX};
use crate::ipc::sign::CERTIFICATES_MAX;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// How long root may take to bring everything.
const BRING_WAIT: Duration = Duration::from_secs(10);

/// Two of each certificate, and a password.
const FILES_MAX: usize = 2 * CERTIFICATES_MAX + 1;
/// The pause after a connection that could not be taken.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// All that was brought, and whom to answer.
pub struct Brings {
    /// The configuration.
    pub text: String,
    /// Sockets that may be needed.
    pub sockets: Vec<Open>,
    /// Files with secrets.
    pub secrets: Vec<Secret>,
    /// Who waits for the answer.
    pub asker: Sender<Answer>,
}

/// Hears root, one after the other.
pub async fn listen(socket: OwnedFd, happened: mpsc::Sender<Happened>) -> io::Result<()> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, or root went before it was accepted: never the end.
                trouble(&error);
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if !sys::socket::peer_uid(&stream).is_ok_and(|uid| uid == 0) {
            continue;
        }
        let heard = tokio::time::timeout(BRING_WAIT, hear(stream)).await;
        match heard.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(brings) => {
                let brought = Happened::Brought(Box::new(brings));
                if happened.send(brought).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => trouble(&error),
        }
    }
}

fn trouble(error: &io::Error) {
    event::say(&Event::Trouble {
        place: "reload",
        cause: error.to_string(),
    });
}

async fn hear(stream: UnixStream) -> io::Result<Brings> {
    let (asker, mut receiver) = arrow::open::<Answer, Brought>(stream.into_std()?.into())?;
    let (mut text, mut sockets, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(heard) = receiver.hear().await {
        match (heard.head, heard.fd) {
            (Brought::Socket(listener, address), Some(socket)) if sockets.len() < SOCKETS_MAX => {
                sockets.push(listeners::taken(listener, address, socket));
            }
            (Brought::File(what), Some(file)) if secrets.len() < FILES_MAX => {
                secrets.push(Secret { what, file });
            }
            (Brought::Text, None) if text.len() + heard.tail.len() <= CONFIGURATION_OCTETS => {
                text.extend_from_slice(&heard.tail);
            }
            (Brought::All, None) => {
                let text = String::from_utf8(text).map_err(io::Error::other)?;
                return Ok(Brings {
                    text,
                    sockets,
                    secrets,
                    asker,
                });
            }
            _ => return Err(io::Error::other("more was brought than can be")),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
