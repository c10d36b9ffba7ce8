//! Content in seven bits: no octet above 127 comes out, where content is cut decides nothing, what was converted once wants
//! nothing more; and who reads what comes out finds the parts that came in, each with its octets and its fields.

mod reader;

use crate::octets::Octets;
use mail::seven_bit::{Conversion, Survey};
use reader::{Part, parts};

/// Lets content by, in pieces of so many octets.
type Convert = fn(&[u8], usize) -> Vec<u8>;

/// Any content, in pieces of any length.
pub fn run(data: &[u8]) {
    check(data, convert);
}

/// A blank at the end of a line stays a blank.
pub fn planted(data: &[u8]) {
    check(data, |content, cut| {
        let mut out = convert(content, cut);
        while let Some(at) = out.windows(5).position(|at| at == b"=20\r\n") {
            out.splice(at..at + 3, *b" ");
        }
        out
    });
}

fn check(data: &[u8], convert: Convert) {
    let mut octets = Octets(data);
    let (cut, content) = (1 + octets.below(64), octets.0);
    let out = convert(content, usize::MAX);
    assert!(out.is_ascii());
    assert_eq!(convert(content, cut), out, "cut to {cut}");
    assert_eq!(convert(&out, cut), out, "twice is not once");
    let (came, went) = (parts(content), parts(&out));
    assert_eq!(came.len(), went.len(), "other parts");
    for (came, went) in came.iter().zip(&went) {
        same(came, went);
    }
}

/// Whether a part is still what it was.
fn same(came: &Part, went: &Part) {
    assert_eq!(came.decoded(), went.decoded());
    // An encoding that nobody knows may have any name.
    let masked = |char: char| if char.is_ascii() { char } else { '?' };
    let said: String = came.encoding.chars().map(masked).collect();
    if said == went.encoding {
        // Nothing, or mended.
        let fits = |line: &[u8]| line.len() <= 998;
        assert!(came.body == went.body || went.lines().all(fits));
    } else if went.is_encoded() {
        assert!(went.lines().all(|line| line.len() <= 76));
        let is_risky = |line: &[u8]| {
            line.starts_with(b".") || line.starts_with(b"From ") || line.starts_with(b"--")
        };
        assert!(!went.lines().any(is_risky));
    } else {
        assert_eq!(went.encoding, "7bit");
    }
    // Fields stay, in their order; what is put in is of MIME.
    let mut rest = went.fields.iter();
    for field in &came.fields {
        if field.is("content-transfer-encoding") {
            continue;
        }
        let behind = rest.by_ref().find(|went| went.name == field.name);
        let behind = behind.expect("a field is missing");
        if field.text.is_ascii() {
            assert_eq!(field.text, behind.text);
        } else if field.is("subject") && !field.text.windows(2).any(|at| at == b"=?") {
            assert_eq!(solid(&field.text), solid(&behind.words()));
        }
    }
    let more = went.fields.len().saturating_sub(came.fields.len());
    assert!(more <= 3, "{more} fields were put in");
}

/// Without blanks, which folding changes.
fn solid(text: &[u8]) -> Vec<u8> {
    let blank = |octet: &&u8| b" \t\r\n".contains(octet);
    text.iter().filter(|octet| !blank(octet)).copied().collect()
}

fn convert(content: &[u8], cut: usize) -> Vec<u8> {
    let mut survey = Survey::default();
    content.chunks(cut).for_each(|piece| survey.read(piece));
    let mut conversion = Conversion::new(survey.end());
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for piece in content.chunks(cut) {
        conversion.write(piece, &mut buffer);
        out.append(&mut buffer);
    }
    conversion.end(&mut buffer);
    out.append(&mut buffer);
    out
}
