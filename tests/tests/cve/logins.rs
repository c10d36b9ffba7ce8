//! Logins: what is said in them is text for one question, whatever octets it has and however long it is.

use crate::server::{NAME, Server};
use data_encoding::BASE64;
use tests::Client;

const ANN: &str = "ann@a.test";
const PASSWORD: &str = "a long password";

fn connected(server: &Server, port: u16) -> Client {
    Client::connect_tls_at_once(port, NAME, &server.authority).expect("TLS")
}

fn answered(client: &mut Client, line: &str, reply: &str) {
    let answer = client.say(line).expect("an answer");
    let shown: String = line.chars().take(60).collect();
    assert!(answer.starts_with(reply), "{shown:?}: {answer}");
}

/// OpenSMTPD 7.8.0p1: a line end in a name became another question.
#[test]
fn a_name_with_line_ends_is_no_name() {
    let (server, port) = Server::with_logins(ANN, PASSWORD);
    for name in [
        "ann@a.test\n",
        "ann@a.test\r\nlookup|1|2|userinfo|x",
        "a\nb",
        "\u{7f}ann@a.test",
        "ann@a.test\u{85}",
    ] {
        let mut client = connected(&server, port);
        let plain = BASE64.encode(format!("\0{name}\0{PASSWORD}").as_bytes());
        answered(&mut client, &format!("AUTH PLAIN {plain}"), "501 5.5.2 ");
        answered(&mut client, "AUTH LOGIN", "334");
        let name = BASE64.encode(name.as_bytes());
        answered(&mut client, &name, "501 5.5.2 ");
        answered(&mut client, "MAIL FROM:<ann@a.test>", "530 5.7.0 ");
    }
    // Names that are text, and nobody's: nothing of them is a pattern, a path or a command.
    for name in [
        "*",
        "ann@a.test:",
        "../passwords",
        "\u{27} or 1=1 --",
        "ann%",
        "$(id)",
        "|id",
        "ann@a.test#",
    ] {
        let mut client = connected(&server, port);
        let plain = BASE64.encode(format!("\0{name}\0{PASSWORD}").as_bytes());
        answered(&mut client, &format!("AUTH PLAIN {plain}"), "535 5.7.8 ");
    }
    let mut client = connected(&server, port);
    let answer = client.log_in(ANN, PASSWORD).expect("an answer");
    assert!(answer.starts_with("235 "), "{answer}");
    server.lives();
}

/// CVE-2018-6789: base64 of an odd length wrote past a buffer. CVE-2023-42114 to 42119: responses longer than was thought, or
/// that end where another part was looked for.
#[test]
fn a_response_of_any_length_and_form_is_read_within_its_bounds() {
    let (server, port) = Server::with_logins(ANN, PASSWORD);
    for length in (1..=9).chain([255, 4094, 9000, 12_270]) {
        let mut client = connected(&server, port);
        answered(&mut client, "AUTH PLAIN", "334");
        answered(&mut client, &"A".repeat(length), "501 5.5.2 ");
        answered(&mut client, "NOOP", "250 ");
    }
    for length in [12_287, 100_000, 1_000_000] {
        let mut client = connected(&server, port);
        answered(&mut client, "AUTH LOGIN", "334");
        answered(&mut client, &"B".repeat(length), "500 5.5.6 ");
        answered(&mut client, "NOOP", "250 ");
    }
    for parts in [
        &b""[..],
        b"\0",
        b"\0\0",
        b"\0\0\0",
        b"ann@a.test",
        b"ann@a.test\0a long password",
        b"\0ann@a.test\0",
        b"\0\0a long password",
        b"\0ann@a.test\0a long password\0",
        b"\0ann@a.test\0a long\0password",
        b"\0ann@a.test\0\xff\xfe",
        b"\0\xc3\0x",
    ] {
        let mut client = connected(&server, port);
        let plain = match BASE64.encode(parts) {
            plain if plain.is_empty() => "=".into(),
            plain => plain,
        };
        answered(&mut client, &format!("AUTH PLAIN {plain}"), "501 5.5.2 ");
        for more in [
            "=", "====", "A=A=", "AAAA=", "AA==AA==", "AAA", "A A A A", "*A", "-_-_",
        ] {
            let mut client = connected(&server, port);
            answered(&mut client, "AUTH PLAIN", "334");
            answered(&mut client, more, "501 5.5.2 ");
        }
    }
    server.lives();
}
