//! What was probably meant.

/// The name nearest to what was written, if any is near enough to be a slip of the keys.
pub fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = written.len() / 3 + 1;
    let close = names
        .map(|name| (distance(written, name), name))
        .filter(|(d, name)| *d <= far && *d < name.len());
    close.min().map(|(_, name)| name)
}

/// Levenshtein's distance, in octets.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let near = |written| nearest(written, ["hostname", "to", "from", "domain"].into_iter());
        assert_eq!(near("hostnme"), Some("hostname"));
        assert_eq!(near("domains"), Some("domain"));
        assert_eq!(near("form"), Some("from"));
        assert_eq!(near("zz"), None);
        assert_eq!(near("certificate"), None);
    }
}
