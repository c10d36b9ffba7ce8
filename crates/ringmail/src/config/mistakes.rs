//! Mistakes: all of them at once, each with file, line, the line itself, and a way out.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// One mistake.
#[derive(Debug)]
struct Mistake {
    title: String,
    label: String,
    span: Range<usize>,
}

/// All mistakes of a file.
#[derive(Debug)]
pub struct Errors {
    path: String,
    text: String,
    mistakes: Vec<Mistake>,
    /// The file could not be read.
    file: Option<String>,
}

impl Errors {
    pub(super) fn new(text: &str, path: &str) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
            mistakes: Vec::new(),
            file: None,
        }
    }

    pub(super) fn of_file(path: &str, error: &std::io::Error) -> Self {
        Self {
            file: Some(format!("{path}: {error}")),
            ..Self::new("", path)
        }
    }

    /// Notes a mistake: what is wrong, and what to do about it or more of why.
    pub(super) fn add(
        &mut self,
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
    ) {
        let end = span.end.min(self.text.len());
        let span = span.start.min(end)..end;
        self.mistakes.push(Mistake {
            title: title.into(),
            label: label.into(),
            span,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.is_empty() && self.file.is_none()
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text[..offset.min(self.text.len())]
            .matches('\n')
            .count()
            + 1
    }

    /// The first word of a line, from 1.
    pub(super) fn line_span(&self, line: u32) -> std::ops::Range<usize> {
        let mut start = 0;
        for (number, text) in (1..).zip(self.text.split_inclusive('\n')) {
            if number == line {
                let word = text.find([' ', '=']).unwrap_or(text.trim_end().len());
                return start..start + word;
            }
            start += text.len();
        }
        0..0
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.mistakes.len() + usize::from(self.file.is_some())
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            return writeln!(f, "error: {file}");
        }
        let renderer = Renderer::plain();
        let mut mistakes: Vec<&Mistake> = self.mistakes.iter().collect();
        mistakes.sort_by_key(|mistake| mistake.span.start);
        for mistake in mistakes {
            let mut annotation = AnnotationKind::Primary.span(mistake.span.clone());
            if !mistake.label.is_empty() {
                annotation = annotation.label(&mistake.label);
            }
            let snippet = Snippet::source(&self.text)
                .path(&self.path)
                .annotation(annotation);
            let report = [Level::ERROR.primary_title(&mistake.title).element(snippet)];
            writeln!(f, "{}", renderer.render(&report))?;
        }
        Ok(())
    }
}
