//! What a command is told that cannot be done: because of how it is written, or of where it stands.

use super::{Session, State, replies};
use crate::command::CommandError;
use mail::Reply;

impl Session {
    /// To RCPT and DATA where they may not stand. Behind a MAIL that was refused they are no errors of their own.
    pub(super) fn comes_too_early(&mut self) {
        match (&self.state, self.in_vain.checked_sub(1)) {
            (State::Ready, Some(left)) => {
                self.in_vain = left;
                self.say(replies::MAIL_REFUSED);
            }
            _ => self.fault(self.out_of_order()),
        }
    }

    /// To RCPT and DATA where they may not stand.
    pub(super) fn out_of_order(&self) -> Reply {
        match self.state {
            //= https://www.rfc-editor.org/rfc/rfc3030#section-2
            //# If a DATA
            //# statement is issued after a BDAT for the current transaction, a 503
            //# "Bad sequence of commands" MUST be issued.
            State::BetweenChunks(..) => replies::CHUNKS_FIRST,
            State::Failed => replies::FAILED,
            _ => replies::MAIL_FIRST,
        }
    }

    /// What a malformed command is told.
    pub(super) fn refusal(&self, error: CommandError) -> Reply {
        match error {
            CommandError::Unrecognized => replies::UNRECOGNIZED,
            CommandError::Foreign => replies::NOT_SMTP,
            CommandError::Octets => replies::BAD_OCTETS,
            CommandError::Chunk => replies::BAD_CHUNK,
            CommandError::AuthParameter if !self.parameters.needs_login => replies::BAD_PARAMETER,
            CommandError::DsnParameter if !self.parameters.dsn => replies::BAD_PARAMETER,
            CommandError::Argument
            | CommandError::Parameter
            | CommandError::AuthParameter
            | CommandError::DsnParameter => replies::BAD_ARGUMENT,
            CommandError::ReversePath(_) => replies::BAD_REVERSE_PATH,
            CommandError::ForwardPath(_) => replies::BAD_FORWARD_PATH,
            CommandError::NotSmtpUtf8 => replies::SENDER_BEYOND_ASCII,
            CommandError::UnknownParameter => replies::BAD_PARAMETER,
        }
    }
}
