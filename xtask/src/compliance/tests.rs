//! The checker against tables with one thing wrong in each.

use super::*;

const SOURCE: &str = "\
pub const MOST: usize = 3;
enum Command {
    /// `NOOP`
    Noop,
    Mail { size: u64 },
}
impl Session {
    pub(super) async fn noop(&mut self) {}
    pub const fn code(self) -> u16 { 250 }
}
// fn said() {}
#[test]
fn noop_is_answered() {}
fn no_test() {}
/// Slow.
#[test]
#[ignore = \"slow\"]
fn ignored() {}
";

/// A row that has nothing wrong, but what is put in its place by column.
fn row(changes: &[(usize, &str)]) -> String {
    let mut fields = [
        "4.1",
        "MUST",
        "server",
        "It MUST answer.",
        "a.rs#noop",
        "a.rs#noop_is_answered",
        "",
    ];
    for (column, text) in changes {
        fields[*column] = text;
    }
    fields.join("\t")
}

fn found(rows: &[String]) -> Found {
    let table = format!("{}\n{}\n", row::HEAD, rows.join("\n"));
    Found {
        tables: BTreeMap::from([(5321, table)]),
        list: "rfc\ttitle\tstate\twhy\n5321\tSMTP\tyes\t\n".into(),
        sources: Sources::of(&[("a.rs", SOURCE), ("x.smtp", ""), ("docs/adr/0007-x.md", "")]),
    }
}

/// What is wrong with a table of this row alone.
fn wrong(changes: &[(usize, &str)]) -> String {
    found(&[row(changes)]).report().mistakes.join("; ")
}

#[test]
fn a_row_with_a_place_and_a_test_has_nothing_wrong() {
    for place in ["noop", "MOST", "Command", "Noop", "Mail", "code"] {
        assert_eq!(wrong(&[(4, &format!("a.rs#{place}"))]), "", "{place}");
    }
    assert_eq!(wrong(&[(5, "x.smtp a.rs#noop_is_answered")]), "");
    let text = found(&[row(&[])]).report().text;
    let counts: Vec<&str> = text
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(counts, ["all", "1", "0", "1", "0", "0", "0", "0", "0", "0"]);
}

#[test]
fn what_is_not_there_is_said() {
    for (column, place, why) in [
        (4, "b.rs#noop", "there is no b.rs"),
        (4, "a.rs#rset", "a.rs has no \"rset\""),
        (4, "a.rs#noo", "a.rs has no \"noo\""),
        (4, "a.rs#said", "a.rs has no \"said\""),
        (4, "a.rs", "a.rs has no \"\""),
        (
            5,
            "a.rs#rset_is_answered",
            "a.rs has no function \"rset_is_answered\"",
        ),
        (5, "a.rs", "a.rs has no function \"\""),
        (5, "y.smtp", "there is no y.smtp"),
        (5, "a.rs#no_test", "no_test in a.rs is no test"),
        (5, "a.rs#noop", "noop in a.rs is no test"),
        (5, "a.rs#ignored", "ignored in a.rs is not run"),
    ] {
        let said = wrong(&[(column, place)]);
        assert!(said.ends_with(why), "{place}: {said}");
    }
}

#[test]
fn a_must_has_both_or_a_reason_and_a_should_is_told() {
    for column in [4, 5] {
        let said = wrong(&[(column, "")]);
        assert!(
            said.ends_with("it has neither place and test nor an exception"),
            "{said}"
        );
    }
    let should = [(1, "SHOULD"), (3, "It SHOULD answer."), (5, "")];
    assert_eq!(wrong(&should), "");
    let text = found(&[row(&should)]).report().text;
    assert!(
        text.ends_with("without a place or a test: RFC 5321 §4.1: \"It SHOULD answer.\"\n"),
        "{text}"
    );
    let excepted = |why: &str| wrong(&[(4, ""), (5, ""), (6, why)]);
    for kind in ["elsewhere", "unspoken", "nothing to do", "otherwise"] {
        assert_eq!(
            excepted(&format!("{kind}: for a good reason")),
            "",
            "{kind}"
        );
    }
    assert_eq!(excepted("otherwise: that was decided, docs/adr/0007"), "");
    assert!(
        excepted("otherwise: that was decided, docs/adr/0008.")
            .ends_with("there is no docs/adr/0008")
    );
    assert!(excepted("because: for a good reason").contains("begins with no kind"));
    assert!(excepted("otherwise: no").contains("has no reason"));
}

#[test]
fn a_hole_is_told_and_nobody_calls_the_rfc_met() {
    let hole = [(4, ""), (5, ""), (6, "not met: nobody wrote it yet")];
    assert_eq!(
        wrong(&hole),
        "docs/rfc.tsv: RFC 5321 is said to be met, and a MUST is not"
    );
    let mut found = found(&[row(&hole)]);
    found.list = found.list.replace("yes\t", "partly\tit has a hole");
    let report = found.report();
    assert_eq!(report.mistakes, [""; 0]);
    assert!(
        report
            .text
            .ends_with("\"It MUST answer.\": nobody wrote it yet\n"),
        "{}",
        report.text
    );
}

#[test]
fn what_is_no_row_is_said() {
    for (changes, why) in [
        (&[(0, "")][..], "\"\" is no section"),
        (&[(0, "§4.1")], "\"§4.1\" is no section"),
        (&[(1, "MAY")], "\"MAY\" is no level"),
        (&[(2, "us")], "\"us\" is nobody whom it can bind"),
        (&[(3, "It will answer.")], "says no MUST"),
        (&[(1, "MUST NOT")], "says no MUST NOT"),
        (&[(6, "\tx")], "8 fields and not 7"),
    ] {
        let said = wrong(changes);
        assert!(said.ends_with(why), "{changes:?}: {said}");
    }
    let long = format!("It MUST {}.", "go on ".repeat(60));
    assert!(wrong(&[(3, &long)]).ends_with("more than 330 characters"));
    let twice = found(&[row(&[]), row(&[])]).report().mistakes;
    assert_eq!(
        twice,
        ["RFC 5321, line 3: the requirement stands there twice"]
    );
    let mut headless = found(&[]);
    headless.tables.insert(5321, row(&[]));
    assert!(headless.report().mistakes[0].contains("does not begin with"));
}

#[test]
fn what_a_source_quotes_is_a_row_that_names_it() {
    let quoted = |text: &str, section: &str| {
        let words = text.replace('|', "\n    //# ");
        let source = format!(
            "{SOURCE}\n    //= https://www.rfc-editor.org/rfc/rfc5321#section-{section}\n    //= type=test\n    //# {words}\nfn x() {{}}\n//# not of it\n"
        );
        let mut found = found(&[row(&[])]);
        found.sources = Sources::of(&[("a.rs", SOURCE), ("b.rs", &source)]);
        found.report().mistakes.join("; ")
    };
    let about = "b.rs:20: the quotation of RFC 5321 §4.1";
    assert_eq!(
        quoted("It MUST|answer.", "4.1"),
        format!("{about} is a row that does not name this file")
    );
    assert_eq!(
        quoted("It MUST|ask.", "4.1"),
        format!("{about} has no row in docs/rfc/5321.tsv")
    );
    assert!(quoted("It MUST|answer.", "4.2").ends_with("has no row in docs/rfc/5321.tsv"));
    let source = format!(
        "{SOURCE}//= https://www.rfc-editor.org/rfc/rfc5321#section-4.1\n//# So it is. It\n//# MUST answer.\n"
    );
    let mut named = found(&[row(&[])]);
    named.sources = Sources::of(&[("a.rs", &source)]);
    assert_eq!(named.report().mistakes, [""; 0]);
}

#[test]
fn the_list_of_rfcs_is_well_formed_and_has_every_table() {
    for (line, why) in [
        ("5322\tFormat\tyes\t", "has no RFC 5321"),
        ("5321\tSMTP\tno\tplanned", "said not to be spoken"),
        ("5321\tSMTP\tpartly\t", "a title, or why, is missing"),
        ("5321\t\tyes\t", "a title, or why, is missing"),
        ("5321\tSMTP\tmostly\tx", "none of yes, partly and no"),
        ("5321\tSMTP\tyes", "it has not 4 fields"),
        ("SMTP\tSMTP\tyes\t", "no number of an RFC"),
        ("5321\tSMTP\tyes\t\n5321\tSMTP\tyes\t", "stands there twice"),
    ] {
        let mut found = found(&[row(&[])]);
        found.list = format!("rfc\ttitle\tstate\twhy\n{line}\n");
        let said = found.report().mistakes.join("; ");
        assert!(said.contains(why), "{line}: {said}");
    }
}

#[test]
fn the_tables_of_this_repository_have_nothing_wrong() {
    let found = read(crate::tools::root()).expect("they are there");
    assert_eq!(found.report().mistakes, [""; 0]);
    assert!(found.tables.len() >= 11, "{:?}", found.tables.keys());
}
