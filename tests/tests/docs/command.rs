//! The manual page ringmail(8), from the definitions of the command line.

use super::page::{in_ascii, title};
use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// What commands end with; a test in `exit_codes.rs` holds each to it.
const CODES: [(&str, &str); 8] = [
    ("0", "yes, or done"),
    (
        "1",
        "the answer is no: refused, a check failed, nothing found",
    ),
    ("2", "the command line is wrong"),
    (
        "3",
        "the configuration is wrong; starting again would not help",
    ),
    ("4", "no daemon to ask"),
    ("5", "not permitted"),
    ("6", "not now: DNS or the network"),
    ("69", "the command is not built yet"),
];

/// All of it.
pub fn ringmail() -> String {
    let mut command = ringmail::cli::command().disable_help_subcommand(true);
    command.build();
    let mut head = Roff::new();
    title(&mut head, "ringmail", "8");
    let mut out = head.render();
    let man = Man::new(command.clone());
    let mut part = Vec::new();
    // Writing into a Vec does not fail.
    let _ = man.render_name_section(&mut part);
    let _ = man.render_synopsis_section(&mut part);
    let _ = man.render_options_section(&mut part);
    out.push_str(&without_preamble(&part));
    let mut rest = Roff::new();
    rest.control("SH", ["COMMANDS"]);
    for below in visible(&command) {
        describe(&mut rest, "ringmail", below);
    }
    rest.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in CODES {
        rest.control("TP", []);
        rest.text([bold(code)]);
        rest.text([roman(meaning)]);
    }
    rest.control("SH", ["FILES"]);
    for (file, what) in [
        ("/etc/ringmail/ringmail.toml", "the configuration"),
        (
            "/etc/ringmail/passwords",
            "who may log in, and the hashes of their passwords",
        ),
        ("/var/spool/ringmail", "the queue"),
        ("/run/ringmail/control", "the control socket"),
        ("/var/log/ringmail", "the events that are kept"),
    ] {
        rest.control("TP", []);
        rest.text([italic(file)]);
        rest.text([roman(what)]);
    }
    rest.control("SH", ["SEE ALSO"]);
    rest.text([bold("ringmail.toml"), roman("(5)")]);
    out.push_str(&without_preamble(rest.render().as_bytes()));
    in_ascii(&out)
}

/// Every page that is rendered begins with the same definitions; one of them is enough.
fn without_preamble(page: &[u8]) -> String {
    let page = String::from_utf8_lossy(page);
    let sections = page.find(".SH ").unwrap_or(0);
    page[sections..].to_owned()
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
}

/// A command and what it takes; one that only has others below it is left to them.
fn describe(page: &mut Roff, above: &str, command: &Command) {
    let name = format!("{above} {}", command.get_name());
    if visible(command).next().is_none() || !command.is_subcommand_required_set() {
        let taken = command
            .get_positionals()
            .filter(|argument| !argument.is_hide_set())
            .map(|argument| {
                let names = argument
                    .get_value_names()
                    .map_or("ARGUMENT".into(), |names| names[0].to_string());
                if argument.is_required_set() {
                    format!(" {names}")
                } else {
                    format!(" [{names}]")
                }
            });
        let usage = format!("{name}{}", taken.collect::<String>());
        page.control("SS", [usage.as_str()]);
        page.text([roman(about(command.get_about()))]);
        let arguments = command.get_arguments();
        for argument in
            arguments.filter(|a| !a.is_hide_set() && !a.is_global_set() && a.get_id() != "help")
        {
            page.control("TP", []);
            page.text(head(argument));
            page.text([roman(about(argument.get_help()))]);
        }
    }
    for below in visible(command) {
        describe(page, &name, below);
    }
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    if text.is_empty() || text.ends_with(['.', '?']) {
        text
    } else {
        format!("{text}.")
    }
}

/// How an argument is written.
fn head(argument: &Arg) -> Vec<Inline> {
    let mut head = Vec::new();
    if let Some(short) = argument.get_short() {
        head.extend([bold(format!("-{short}")), roman(", ")]);
    }
    if let Some(long) = argument.get_long() {
        head.push(bold(format!("--{long}")));
    }
    if argument.get_action().takes_values() {
        let names = argument.get_value_names().unwrap_or_default();
        if !head.is_empty() {
            head.push(roman(" "));
        }
        head.extend(names.iter().map(|name| italic(name.to_string())));
    }
    head
}
