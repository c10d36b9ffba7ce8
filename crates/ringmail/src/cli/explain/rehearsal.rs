//! A session with nobody: the same brains that serve a client are fed what a client would say, up to RCPT, and what
//! they answer is what would be answered.

use crate::drive::connection::refusal_reply;
use mail::{Reply, Time};
use policy::{Client, Decision, Explanation, Listener, Policy};
use smtp::server::{Answer, Output, Parameters, Question, Session};
use std::net::IpAddr;

/// What the client is, and what it says.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Its address.
    pub ip: IpAddr,
    /// Its door, and who it has logged in as there.
    pub listener: Listener<'a>,
    /// What it calls itself in EHLO.
    pub helo: &'a str,
    /// What stands between the angle brackets of MAIL.
    pub reverse_path: &'a str,
    /// What stands between the angle brackets of RCPT.
    pub forward_path: &'a str,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Told {
    /// At which command it ended: `helo`, `mail` or `rcpt`.
    pub command: &'static str,
    /// The reply to it: the one to RCPT, or the first no.
    pub reply: Reply,
    /// What the policy brain said, where it was asked.
    pub explanation: Option<Explanation>,
}

/// Holds it.
pub fn rehearse(policy: &Policy, parameters: Parameters, asked: &Asked<'_>) -> Told {
    let now = Time::from_micros(0);
    let mut session = Session::new(parameters, now);
    let client = Client {
        ip: asked.ip,
        listener: asked.listener,
    };
    let mut explanation = None;
    let lines = [
        ("connect", String::new()),
        ("helo", format!("EHLO {}\r\n", asked.helo)),
        ("mail", format!("MAIL FROM:<{}>\r\n", asked.reverse_path)),
        ("rcpt", format!("RCPT TO:<{}>\r\n", asked.forward_path)),
    ];
    let mut told = None;
    for (command, line) in lines {
        let mut rest = line.as_bytes();
        loop {
            while let Some(output) = session.poll() {
                match output {
                    Output::Ask(Question::Recipient) => {
                        let answer = recipient(policy, client, &session, &mut explanation);
                        session.answer(answer, now);
                    }
                    Output::Ask(_) => session.answer(Answer::Accept, now),
                    Output::Reply(reply) => told = Some((command, reply)),
                    Output::Extensions
                    | Output::Challenge
                    | Output::ContentBegins
                    | Output::DiscardContent
                    | Output::StartTls
                    | Output::Close => {}
                }
            }
            // No content is sent, so none comes back.
            let used = session.receive(rest, &mut Vec::new(), now);
            rest = &rest[used..];
            if used == 0 {
                break;
            }
        }
        if told.is_some_and(|(_, reply)| !reply.is_positive()) {
            break;
        }
    }
    // A session greets whom it was told to accept: there is one reply at least.
    let (command, reply) = told.expect("a session greets");
    Told {
        command,
        reply,
        explanation,
    }
}

fn recipient(
    policy: &Policy,
    client: Client<'_>,
    session: &Session,
    explanation: &mut Option<Explanation>,
) -> Answer {
    let (Some(forward_path), Some(transaction)) =
        (session.asked_recipient(), session.transaction())
    else {
        return Answer::Refuse(smtp::server::replies::TRY_LATER);
    };
    let explained = policy.explain_recipient(client, &transaction.reverse_path, forward_path);
    let answer = match &explained.verdict.decision {
        Decision::Accept(_) => Answer::Accept,
        Decision::Refuse(refusal) => Answer::Refuse(refusal_reply(*refusal)),
    };
    *explanation = Some(explained);
    answer
}
