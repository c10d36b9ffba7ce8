//! Who has taken queue over asks local for deliveries to everywhere.

use super::{Besieged, SOON, mailbox, run, words};
use crate::role::Place;
use mail::{Destination, Outcome, QueueId, ReversePath};
use ringmail::drive::arrow::{self, Receiver, Sender};
use ringmail::ipc::deliver::{Attempt, Ended};
use ringmail::ipc::spawn::{Arrow, Role};
use std::os::unix::fs::symlink;

pub fn look() -> Vec<String> {
    run(async |place: &Place| {
        let mut real = Besieged::start(place, Role::Local).map_err(words)?;
        let (ask, mut answers): (Sender<Attempt>, Receiver<Ended>) =
            arrow::open(real.arrow(Arrow::DeliverLocal)).map_err(words)?;
        real.serves().await?;
        let folder = place.folder().display().to_string();
        let elsewhere = format!("{folder}/elsewhere");
        let way_out = format!("{folder}/mail/way-out");
        symlink(&elsewhere, &way_out).map_err(words)?;
        let outside = [
            elsewhere,
            format!("{folder}/elsewhere/new/box"),
            format!("{folder}/mail/../elsewhere"),
            format!("{folder}/spool"),
            "/tmp".into(),
            "/etc".into(),
            "/proc/1/root/tmp".into(),
            "/".into(),
            String::new(),
            "relative".into(),
            way_out,
        ];
        let inside = format!("{folder}/mail/ann");
        let before = place.files_outside();
        let paths = outside.iter().map(|path| (path.as_str(), false));
        for (number, (path, good)) in (1..).zip(paths.chain([(&*inside, true)])) {
            let content = b"Subject: x\r\n\r\nx\r\n";
            ask.say(&attempt(number, path), content, None)
                .map_err(words)?;
            let heard = tokio::time::timeout(SOON, answers.hear()).await;
            let ended = heard.map_err(words)?.ok_or("the arrow ended")?.head;
            let outcomes = &ended.outcomes;
            let delivered = outcomes
                .iter()
                .any(|(_, e)| e.outcome == Outcome::Delivered);
            if delivered != good {
                return Err(format!("{path:?}: {outcomes:?}"));
            }
        }
        if place.files_outside() != before {
            return Err(format!("files came to be: {:?}", place.files_outside()));
        }
        if real.lives() {
            Ok(())
        } else {
            Err("local has ended".into())
        }
    })
}

fn attempt(number: u64, path: &str) -> Attempt {
    Attempt {
        attempt: number,
        destination: Destination::Maildir(path.into()),
        queue_id: QueueId::from_u64(1_000_000 + number),
        reverse_path: ReversePath::Null,
        recipients: vec![(0, mailbox("ann@a.test"))],
        trace: "".into(),
        eight_bit: false,
        smtputf8: false,
        dsn: None,
        again: number.is_multiple_of(2),
        body_octets: None,
    }
}
