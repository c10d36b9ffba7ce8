//! What a client said: of itself, and of the mail that it wants to hand over.

use crate::command::MailParameters;
use mail::{ForwardPath, RecipientRequest, ReversePath};

/// How the client greeted us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it calls itself; not to be believed.
    pub name: Box<str>,
    /// Whether it said EHLO.
    pub extended: bool,
}

/// One mail transaction, RFC 5321 §3.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Whom failures go to.
    pub reverse_path: ReversePath,
    /// What the client said of the content, and asks of all reports.
    pub parameters: MailParameters,
    /// Recipients asked for so far; those refused are gone once the answer came.
    pub recipients: Vec<Asked>,
}

/// A recipient that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whom the mail goes to.
    pub forward_path: ForwardPath,
    /// What is asked of the reports on it.
    pub request: RecipientRequest,
}
