//! A next hop that takes seven bits only gets no octet above 127, and who reads what it got finds the parts that were sent:
//! Python's `email` says so, of a hundred and more messages made by chance.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;
use tests::debian::{self, CLIENTS};
use tests::{Authority, Client, Hop, Manner, Program, free_port, left_out, wait_until};

const SOON: Duration = Duration::from_mins(2);
/// Messages of chance.
const MESSAGES: usize = 150;
/// Compares `NUMBER.sent` with `NUMBER.taken` in a folder, part by part.
const SCRIPT: &str = "\
import email, email.header, sys
folder, count = sys.argv[1], int(sys.argv[2])
def read(number, what):
    with open('%s/%d.%s' % (folder, number, what), 'rb') as file:
        return email.message_from_bytes(file.read())
parts = 0
for number in range(count):
    sent, taken = read(number, 'sent'), read(number, 'taken')
    sent, taken = list(sent.walk()), list(taken.walk())
    assert len(sent) == len(taken), (number, len(sent), len(taken))
    for before, after in zip(sent, taken):
        where = (number, before.get_content_type())
        assert before.get_content_type() == after.get_content_type(), where
        assert after['Content-Transfer-Encoding'] not in ('8bit', 'binary'), where
        assert not after.defects, (where, after.defects)
        if not before.is_multipart():
            parts += 1
            assert before.get_payload(decode=True) == after.get_payload(decode=True), where
    assert taken[0]['MIME-Version'] == '1.0', number
    text = str(email.header.make_header(email.header.decode_header(taken[0]['Subject'])))
    assert text == 'Gr\\u00fc\\u00dfe \\u20ac %d' % number, text
    names = [part.get_filename() for part in taken if part.get_filename()]
    assert all(name == '\\u00e4 \"x\".bin' for name in names), names
print(parts)
";

/// A number below `bound`, by chance that is the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Lines with CRLF, of octets that content may have.
    fn lines(&mut self, octet: impl Fn(&mut Self) -> u8) -> Vec<u8> {
        let mut lines = Vec::new();
        for _ in 0..self.below(6) {
            let start: &[u8] = match self.below(8) {
                0 => b".",
                1 => b"From ",
                2 => b"--",
                _ => b"",
            };
            lines.extend_from_slice(start);
            for _ in 0..self.below(200) {
                lines.push(octet(self));
            }
            if self.below(3) == 0 {
                lines.push(b' ');
            }
            lines.extend_from_slice(b"\r\n");
        }
        lines
    }

    fn ascii(&mut self) -> Vec<u8> {
        self.lines(|chance| b"abc =.-\t"[usize::try_from(chance.below(8)).unwrap_or(0)])
    }

    fn binary(&mut self) -> Vec<u8> {
        self.lines(
            |chance| match u8::try_from(chance.below(255)).unwrap_or(0) + 1 {
                b'\r' | b'\n' => 0xE4,
                octet => octet,
            },
        )
    }

    fn utf_8(&mut self) -> Vec<u8> {
        let mut text = self.ascii();
        let plain = text.iter().position(|octet| *octet == b'a').unwrap_or(0);
        text.splice(plain..plain, "ä€".bytes());
        text.extend_from_slice(b"\r\n");
        text
    }

    /// Fields, an empty line and a body.
    fn part(&mut self, depth: u64, message: bool) -> Vec<u8> {
        let mut fields = String::new();
        if message {
            fields.push_str("MIME-Version: 1.0\r\n");
        }
        let label = ["", "8bit", "binary"][usize::try_from(self.below(3)).unwrap_or(0)];
        if !label.is_empty() {
            let _ = write!(fields, "Content-Transfer-Encoding: {label}\r\n");
        }
        let kind = self.below(if depth > 3 { 5 } else { 9 });
        let body = match kind {
            0 => {
                fields.push_str("Content-Type: text/html; charset=iso-8859-1\r\n");
                self.lines(|chance| b"abc \xE9\xE4"[usize::try_from(chance.below(6)).unwrap_or(0)])
            }
            1 => {
                fields.push_str(
                    "Content-Disposition: attachment; filename=\"ä \\\"x\\\".bin\"\r\nContent-Type: image/x\r\n",
                );
                self.binary()
            }
            2 => self.ascii(),
            3 => {
                let encoded =
                    "Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n";
                fields = fields.replace(&format!("Content-Transfer-Encoding: {label}\r\n"), "");
                fields.push_str(encoded);
                b"6enp\r\n".to_vec()
            }
            4 => self.utf_8(),
            5 => {
                fields.push_str("Content-Type: message/rfc822\r\n");
                self.part(depth + 1, true)
            }
            _ => {
                let boundary = format!("b{depth}-{}", self.below(1 << 40));
                let _ = write!(
                    fields,
                    "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n"
                );
                let mut body = if self.below(2) == 0 {
                    b"pr\xE9amble\r\n".to_vec()
                } else {
                    Vec::new()
                };
                for _ in 0..=self.below(3) {
                    body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                    body.extend(self.part(depth + 1, false));
                    body.extend_from_slice(b"\r\n");
                }
                body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
                body
            }
        };
        fields.push_str("\r\n");
        [fields.into_bytes(), body].concat()
    }
}

#[test]
fn what_a_hop_of_seven_bits_gets_has_the_parts_that_were_sent() {
    let root = match debian::root(CLIENTS) {
        Ok(root) => root,
        Err(why) => {
            return left_out(
                "what_a_hop_of_seven_bits_gets_has_the_parts_that_were_sent",
                &why,
            );
        }
    };
    let by = Authority::new();
    let hop = Hop::start(Manner::SevenBits, &by, &["hop.test"]).expect("a hop");
    let mx = free_port();
    let configuration = format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{mx}\"\n[aliases]\npostmaster = \"root@b.test\"\n\
         [relay]\nto = \"smtp://127.0.0.1:{}\"\nfrom = \"127.0.0.1\"\n",
        hop.port()
    );
    let program = Program::start_with(&configuration, |_| {});
    let mut chance = Chance(0x5EED);
    let mut client = Client::connect(mx).expect("it listens");
    for number in 0..MESSAGES {
        let part = match number {
            // Larger than what travels inline.
            0 => [
                b"MIME-Version: 1.0\r\n\r\n".to_vec(),
                "ä€ text of a line\r\n".repeat(20_000).into(),
            ]
            .concat(),
            _ => chance.part(0, true),
        };
        let subject = format!("X-Number: {number}\r\nSubject: Grüße € {number}\r\n");
        let content = [subject.as_bytes(), &part].concat();
        fs::write(program.folder().join(format!("{number}.sent")), &content).expect("our folder");
        let answer = client.send("joe@a.test", &["ann@b.test".to_owned()], &content);
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("250 2.0.0"), "{answer}");
    }
    wait_until("all are taken", SOON, || hop.taken().len() == MESSAGES);
    for taken in hop.taken() {
        let content = String::from_utf8(taken.content).expect("seven bits");
        assert!(content.is_ascii());
        let long = content.lines().find(|line| line.len() > 998);
        assert_eq!(long, None, "{content}");
        let number = content
            .split("X-Number: ")
            .nth(1)
            .and_then(|text| text.lines().next());
        let file = format!("{}.taken", number.expect("its number"));
        fs::write(program.folder().join(file), content).expect("our folder");
    }
    let said = program.log();
    assert_eq!(
        said.matches("event=content.converted").count(),
        MESSAGES,
        "{said}"
    );
    let compared = root
        .command("usr/bin/python3")
        .env("PYTHONHOME", root.path().join("usr"))
        .args(["-c", SCRIPT])
        .arg(program.folder())
        .arg(MESSAGES.to_string())
        .output()
        .expect("it runs");
    assert!(compared.status.success(), "{compared:?}");
    let parts: usize = String::from_utf8_lossy(&compared.stdout)
        .trim()
        .parse()
        .expect("a count");
    assert!(parts > MESSAGES, "{parts} parts");
}
