//! What is answered of the login at the smart host.

use crate::drive::arrow;
use crate::drive::password;
use crate::ipc::login::{ANSWER_OCTETS, FromKeys, ToKeys};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use zeroize::Zeroizing;

/// The login, once its password was read.
pub struct Login {
    user: Box<str>,
    password: Zeroizing<Vec<u8>>,
}

impl Login {
    /// That of the configuration, if it has one, with the file that came for it.
    pub fn load(
        config: Option<&crate::config::Login>,
        file: Option<&File>,
    ) -> Result<Option<Self>, String> {
        let Some(login) = config else {
            return Ok(None);
        };
        let file = file.ok_or("the file did not come");
        let password = file.map_err(str::to_owned).and_then(password::load);
        let told = |why| format!("relay.password = \"{}\": {why}", login.password);
        Ok(Some(Self {
            user: login.user.clone(),
            password: password.map_err(told)?,
        }))
    }

    fn answer(&self, asked: ToKeys) -> Zeroizing<Vec<u8>> {
        let user = self.user.as_bytes();
        Zeroizing::new(match asked {
            // Nobody but himself (RFC 4616 §2: an empty authorization identity).
            ToKeys::Plain { .. } => [b"\0", user, b"\0", &self.password].concat(),
            ToKeys::User { .. } => user.to_vec(),
            ToKeys::Password { .. } => self.password.to_vec(),
        })
    }
}

/// One arrow, to its end: what is answered is what was loaded last.
pub async fn serve(login: Rc<RefCell<Option<Login>>>, socket: OwnedFd) -> io::Result<()> {
    let (sender, mut receiver) = arrow::open::<FromKeys, ToKeys>(socket)?;
    while let Some(heard) = receiver.hear().await {
        let (ToKeys::Plain { token } | ToKeys::User { token } | ToKeys::Password { token }) =
            heard.head;
        let answer = login
            .borrow()
            .as_ref()
            .map(|login| login.answer(heard.head));
        let said = match answer {
            Some(answer) => sender.say(&FromKeys::Answer { token }, &answer, None),
            None => sender.say(&FromKeys::Refused { token }, &[], None),
        };
        said.map_err(io::Error::other)?;
        sender.room().await;
    }
    Ok(())
}

const _: () = assert!(
    ANSWER_OCTETS as u64
        >= 2 + crate::config::USER_OCTETS as u64 + crate::drive::password::PASSWORD_FILE_OCTETS,
    "every answer fits"
);

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4954 §4: an initial response that would make AUTH longer than its line may be is not said at once. Ours never is.
    #[test]
    fn the_longest_login_fits_into_one_line() {
        let message =
            2 + crate::config::USER_OCTETS as u64 + crate::drive::password::PASSWORD_FILE_OCTETS;
        let line = "AUTH PLAIN \r\n".len() as u64 + message.div_ceil(3) * 4;
        assert!(line <= mail::limits::LOGIN_LINE_OCTETS as u64, "{line}");
    }

    #[test]
    fn each_way_has_its_answer() {
        let login = Login {
            user: "ann".into(),
            password: Zeroizing::new(b"secret".to_vec()),
        };
        let answer = |asked| login.answer(asked).to_vec();
        assert_eq!(answer(ToKeys::Plain { token: 1 }), b"\0ann\0secret");
        assert_eq!(answer(ToKeys::User { token: 1 }), b"ann");
        assert_eq!(answer(ToKeys::Password { token: 1 }), b"secret");
    }
}
