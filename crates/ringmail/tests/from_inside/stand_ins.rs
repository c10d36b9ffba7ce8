//! A role is real and sealed, and at the other ends of its arrows sits somebody who has taken the others over: with their
//! descriptors, words that are right in form, words that are not, and a seed. The role lives, and nothing comes of it
//! beyond what the arrow is for.

mod admin;
mod auth;
mod events;
mod hidden;
mod keys;
pub mod launch;
mod local;
mod policy;
mod queue;
mod random;
mod relay;
pub mod supervisor;
pub mod watched;

use super::role::Place;
use mail::Mailbox;
use ringmail::drive::birth::Birth;
use ringmail::ipc::spawn::{Arrow, FromRole, Role, ToRole};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::Duration;
use sys::socket::{Kind, pair};

/// A test gives what is wrong.
pub type Look = fn() -> Vec<String>;

/// The tests, by name.
pub const TESTS: [(&str, Look); 12] = [
    (
        "those_who_have_taken_over_smtpd_local_and_relay_get_nothing_from_queue",
        queue::look,
    ),
    (
        "who_has_taken_over_queue_makes_local_touch_nothing_outside",
        local::look,
    ),
    (
        "who_has_taken_over_smtpd_gets_no_seal_from_policy_that_the_rule_refuses",
        policy::look,
    ),
    (
        "who_has_taken_over_smtpd_gets_signatures_of_handshakes_from_keys_and_nothing_else",
        keys::look,
    ),
    (
        "who_has_taken_over_submission_gets_no_login_from_auth_without_its_password",
        auth::look,
    ),
    (
        "who_has_taken_over_queue_makes_relay_reach_no_port_but_its_own",
        relay::look,
    ),
    (
        "who_has_taken_over_queue_and_strangers_get_no_answers_from_admin_that_are_others_to_give",
        admin::look,
    ),
    (
        "who_has_taken_a_role_over_writes_no_line_of_another_into_the_event_store",
        events::look,
    ),
    (
        "who_has_taken_a_role_over_makes_the_supervisor_start_nothing_else_and_not_end",
        supervisor::look,
    ),
    (
        "who_has_taken_over_the_supervisor_gets_nothing_from_launch_but_roles_as_their_users",
        launch::look,
    ),
    (
        "each_process_hides_and_makes_private_files_by_its_own_doing",
        hidden::look,
    ),
    ("a_service_whose_launch_does_not_answer_ends", watched::look),
];

/// How long a role may take to answer.
const SOON: Duration = Duration::from_secs(20);

/// A sealed role, and the supervisor's end of its birth.
struct Besieged {
    child: Child,
    birth: Birth,
}

impl Besieged {
    fn start(place: &Place, role: Role) -> io::Result<Self> {
        Self::start_by(place, role, &place.orders())
    }

    /// With orders of the test's own.
    fn start_by(place: &Place, role: Role, orders: &ToRole) -> io::Result<Self> {
        let (child, ours) = place.start_sealed(role)?;
        let birth = Birth::new(ours)?;
        birth.order(orders, None)?;
        Ok(Self { child, birth })
    }

    /// Our end of an arrow whose other end it gets.
    fn arrow(&self, arrow: Arrow) -> OwnedFd {
        let (ours, theirs) = pair(Kind::Stream).expect("sockets");
        let told = self.birth.order(&ToRole::Arrow(arrow), Some(&theirs));
        told.expect("it hears");
        ours
    }

    /// Waits until it serves, with all its walls.
    async fn serves(&self) -> Result<(), String> {
        self.birth.order(&ToRole::Begin, None).map_err(words)?;
        loop {
            match tokio::time::timeout(SOON, self.birth.report()).await {
                Ok(Ok(Some(FromRole::Ready))) => return Ok(()),
                Ok(Ok(Some(FromRole::Confined { missing, .. }))) if missing.is_empty() => {}
                other => return Err(format!("it does not serve: {other:?}")),
            }
        }
    }

    /// Waits until it has heard all that it was told.
    async fn hears(&self) -> Result<(), String> {
        let asks = async {
            // Its socket may be full of what it was told before.
            while self.birth.order(&ToRole::Watch, None).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.birth.report().await
        };
        match tokio::time::timeout(SOON, asks).await {
            Ok(Ok(Some(FromRole::Awake))) => Ok(()),
            other => Err(format!("it does not say that it is awake: {other:?}")),
        }
    }

    fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Besieged {
    fn drop(&mut self) {
        sys::process::kill(&mut self.child);
        let _ = self.child.wait();
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("it is one")
}

/// Runs a siege; gives what is wrong.
fn run(story: impl AsyncFnOnce(&Place) -> Result<(), String>) -> Vec<String> {
    let place = Place::new();
    match ringmail::role::in_event_loop(async { Ok(story(&place).await) }) {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(why)) => vec![why],
        Err(error) => vec![error.to_string()],
    }
}
