//! keys: has the private keys, and signs with them what a TLS handshake needs signed; and the password at the smart host.
//!
//! Trusts the supervisor for the files. May touch its arrows and nothing else: the files are handed to it open. If it is
//! taken over, our TLS names can be claimed by whoever has it, and our login used; no mail is in its reach.

mod login;
mod rate;
mod transcript;

use crate::config::{self, Config};
use crate::drive::arrow;
use crate::drive::birth::Birth;
use crate::drive::certificate::{self, Identity};
use crate::event::{self, Event};
use crate::ipc::sign::{Certificate, FromKeys, ToKeys};
use crate::ipc::spawn::{Arrow, FromRole, Part, SecretFile, ToRole};
use login::Login;
use rate::Rate;
use rustls::SignatureScheme;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The pause between two lines of the log that tell of refused signatures.
const REFUSALS_PAUSE: Duration = Duration::from_secs(1);

/// The role's story: orders, files and arrows in; then signatures until it is told to stop.
pub async fn run(birth: Birth) -> io::Result<()> {
    let mut keys: Option<Keys> = None;
    while let Some((order, fd)) = birth.orders().await? {
        match (order, fd, &mut keys) {
            (
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                    ..
                },
                None,
                known,
            ) => {
                let config = crate::config::of_role(&configuration, &path, situation)?;
                match known {
                    Some(keys) => keys.reconfigure(&config),
                    None => keys = Some(Keys::new(&config)),
                }
            }
            (ToRole::File(what), Some(fd), Some(keys)) => {
                keys.files.insert(what, fd.into());
            }
            (ToRole::Arrow(Arrow::Login), Some(fd), Some(keys)) => keys.open_login(fd),
            (ToRole::Arrow(Arrow::Sign | Arrow::SignSubmission), Some(fd), Some(keys)) => {
                keys.open(fd);
            }
            (ToRole::Begin, None, Some(keys)) => {
                let Err(why) = keys.load() else {
                    birth.tell(&FromRole::Ready);
                    continue;
                };
                let why = why.say();
                if keys.loaded.is_none() {
                    birth.tell(&FromRole::Hopeless(why.clone()));
                    return Err(io::Error::other(why));
                }
                birth.tell(&FromRole::Refuses(why));
            }
            (ToRole::Log(_), Some(fd), _) => event::keep_through(fd),
            (ToRole::Stop, ..) => break,
            _ => return Err(io::Error::other("an order that keys cannot have")),
        }
    }
    Ok(())
}

/// What is known.
struct Keys {
    /// As the configuration names them.
    named: Vec<String>,
    /// The login that it names.
    named_login: Option<config::Login>,
    /// Files that came since the last orders.
    files: BTreeMap<SecretFile, File>,
    /// What is signed with; nothing before the first beginning.
    loaded: Option<Rc<Vec<Identity>>>,
    /// Arrows that came before.
    waiting: Vec<OwnedFd>,
    rate: Rc<RefCell<Rate>>,
    refusals: Rc<RefCell<Refusals>>,
    login: Rc<RefCell<Option<Login>>>,
}

/// Why files were not taken.
enum Refused {
    Certificate(String),
    Password(String),
}

impl Refused {
    /// Says it, and gives why.
    fn say(self) -> String {
        let (Refused::Certificate(why) | Refused::Password(why)) = &self;
        let (why, cause) = (why.clone(), why.clone());
        event::say(&match self {
            Refused::Certificate(_) => Event::CertificateRefused { cause },
            Refused::Password(_) => Event::PasswordRefused { cause },
        });
        why
    }
}

impl Keys {
    fn new(config: &Config) -> Self {
        let mut keys = Self {
            named: Vec::new(),
            named_login: None,
            files: BTreeMap::new(),
            loaded: None,
            waiting: Vec::new(),
            rate: Rc::new(RefCell::new(Rate::full(Instant::now()))),
            refusals: Rc::default(),
            login: Rc::default(),
        };
        keys.reconfigure(config);
        keys
    }

    fn reconfigure(&mut self, config: &Config) {
        self.named = config.certs.iter().map(ToString::to_string).collect();
        self.named_login.clone_from(&config.relay_login);
        self.files.clear();
    }

    /// Takes the files that came. Where one of them is of no use, what was loaded before stays, and the error says why.
    fn load(&mut self) -> Result<(), Refused> {
        let files = std::mem::take(&mut self.files);
        let loaded: Result<Vec<Identity>, String> = (0..)
            .zip(&self.named)
            .map(|(number, name)| {
                let file = |part| {
                    let what = SecretFile::Certificate(number, part);
                    files.get(&what).ok_or("a file did not come")
                };
                let files = file(Part::Chain).and_then(|chain| Ok((chain, file(Part::Key)?)));
                let identity = files
                    .map_err(str::to_owned)
                    .and_then(|(chain, key)| certificate::load(chain, key));
                identity.map_err(|why| format!("cert \"{name}\": {why}"))
            })
            .collect();
        let loaded = loaded.map_err(Refused::Certificate)?;
        let password = files.get(&SecretFile::RelayPassword);
        let login = Login::load(self.named_login.as_ref(), password);
        let login = login.map_err(Refused::Password)?;
        for (identity, name) in loaded.iter().zip(&self.named) {
            event::say(&Event::CertificateLoaded {
                cert: name.clone(),
                until: identity.until.stamp().to_string(),
                names: identity.names.join(" "),
            });
        }
        self.loaded = Some(Rc::new(loaded));
        self.login.replace(login);
        for socket in std::mem::take(&mut self.waiting) {
            self.open(socket);
        }
        Ok(())
    }

    /// Serves relay with the login that is loaded when it asks.
    fn open_login(&self, socket: OwnedFd) {
        tokio::task::spawn_local(login::serve(Rc::clone(&self.login), socket));
    }

    /// Serves an arrow with what is loaded now: sessions that began with it go on with it.
    fn open(&mut self, socket: OwnedFd) {
        match &self.loaded {
            Some(loaded) => {
                let (rate, refusals) = (Rc::clone(&self.rate), Rc::clone(&self.refusals));
                tokio::task::spawn_local(serve(Rc::clone(loaded), rate, refusals, socket));
            }
            None => self.waiting.push(socket),
        }
    }
}

/// One arrow, to its end.
async fn serve(
    loaded: Rc<Vec<Identity>>,
    rate: Rc<RefCell<Rate>>,
    refusals: Rc<RefCell<Refusals>>,
    socket: OwnedFd,
) -> io::Result<()> {
    let (sender, mut receiver) = arrow::open::<FromKeys, ToKeys>(socket)?;
    for (number, identity) in (0..).zip(loaded.iter()) {
        let shown = FromKeys::Certificate(shown(number, identity));
        sender.say(&shown, &[], None).map_err(io::Error::other)?;
    }
    let all = sender.say(&FromKeys::All, &[], None);
    all.map_err(io::Error::other)?;
    while let Some(heard) = receiver.hear().await {
        let signed = if rate.borrow_mut().take(Instant::now()) {
            sign(&loaded, &heard.head, &heard.tail)
        } else {
            Err("more signatures were asked for than handshakes can need")
        };
        let ToKeys::Sign { token, .. } = heard.head;
        let said = match signed {
            Ok(signature) => sender.say(&FromKeys::Signed { token }, &signature, None),
            Err(cause) => {
                refusals.borrow_mut().say(cause);
                sender.say(&FromKeys::Refused { token }, &[], None)
            }
        };
        said.map_err(io::Error::other)?;
        sender.room().await;
    }
    Ok(())
}

/// What was refused and not said yet: who asks without end is told of once in a while.
#[derive(Default)]
struct Refusals {
    count: u64,
    said: Option<Instant>,
}

impl Refusals {
    fn say(&mut self, cause: &'static str) {
        self.count += 1;
        if self
            .said
            .is_none_or(|said| said.elapsed() >= REFUSALS_PAUSE)
        {
            let count = std::mem::take(&mut self.count);
            event::say(&Event::SignatureRefused { count, cause });
            self.said = Some(Instant::now());
        }
    }
}

fn shown(number: u16, identity: &Identity) -> Certificate {
    Certificate {
        number,
        names: identity.names.clone(),
        chain: identity.chain.iter().map(|der| der.to_vec()).collect(),
        algorithm: identity.key.algorithm().into(),
        schemes: identity.schemes().into_iter().map(u16::from).collect(),
    }
}

/// Signs, if this is what a server signs in a handshake, and by a scheme that it is signed by there.
fn sign(loaded: &[Identity], asked: &ToKeys, message: &[u8]) -> Result<Vec<u8>, &'static str> {
    let ToKeys::Sign { number, scheme, .. } = asked;
    let scheme = SignatureScheme::from(*scheme);
    let identity = loaded.get(usize::from(*number));
    let identity = identity.ok_or("no certificate has this number")?;
    let version = transcript::of(message).ok_or("this is no part of a handshake")?;
    if !version.has(scheme) {
        return Err("the version of TLS has no such signature");
    }
    let signer = identity.key.choose_scheme(&[scheme]);
    let signer = signer.ok_or("the key has no such signature")?;
    signer.sign(message).map_err(|_| "the key does not sign")
}

#[cfg(test)]
mod tests;
