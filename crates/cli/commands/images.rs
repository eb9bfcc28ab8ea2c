//! `shedbox images`.

use std::time::SystemTime;

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::api::ImageSummary;
use shedbox_spec::{Error, size};

use crate::render::{self, Format, Table};
use crate::time;

/// List images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Show manifest digests
    #[arg(long)]
    digests: bool,
    /// Only those that fit: `reference=PATTERN` (`*` stands for anything), `dangling=true|false`
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only images of this repository, or this reference
    reference: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let filter = Filter::parse(&args.filter, args.reference.as_deref())?;
    let mut images = Client::shared().images()?;
    images.retain(|image| filter.fits(image));
    if args.quiet {
        for image in &images {
            render::line(&id(image, args.no_trunc))?;
        }
    } else if args.format == Format::Json {
        render::json(&images)?;
    } else {
        table(&images, &filter, args, SystemTime::now()).print()?;
    }
    Ok(0)
}

fn id(image: &ImageSummary, whole: bool) -> String {
    if whole {
        image.id.to_string()
    } else {
        image.id.short().to_owned()
    }
}

/// One row a reference, as Docker has it.
fn table(images: &[ImageSummary], filter: &Filter, args: &Args, now: SystemTime) -> Table {
    let mut header = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    if args.digests {
        header.insert(2, "DIGEST");
    }
    let mut table = Table::new(&header);
    for image in images {
        let mut names: Vec<(String, String)> = image
            .references
            .iter()
            .filter(|reference| filter.fits_reference(reference))
            .map(|reference| split(reference))
            .collect();
        if names.is_empty() {
            let repository = image
                .repo_digests
                .first()
                .and_then(|name| name.split_once('@'));
            names.push((
                repository.map_or("<none>", |(name, _)| name).to_owned(),
                "<none>".to_owned(),
            ));
        }
        for (repository, tag) in names {
            let created = match time::ago(image.created.as_deref(), now) {
                age if age.is_empty() => "N/A".to_owned(),
                age => age,
            };
            let mut row = vec![
                repository,
                tag,
                id(image, args.no_trunc),
                created,
                size::format_bytes(image.size),
            ];
            if args.digests {
                row.insert(2, image.digest.to_string());
            }
            table.row(row);
        }
    }
    table
}

/// Repository and tag. A colon before the last slash belongs to the registry's port.
fn split(reference: &str) -> (String, String) {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), "<none>".to_owned()),
    }
}

#[derive(Debug, Default)]
struct Filter {
    patterns: Vec<String>,
    dangling: Option<bool>,
}

impl Filter {
    fn parse(texts: &[String], reference: Option<&str>) -> Result<Self, Error> {
        let mut filter = Self {
            patterns: reference.map(str::to_owned).into_iter().collect(),
            dangling: None,
        };
        for text in texts {
            match text.split_once('=') {
                Some(("reference", pattern)) => filter.patterns.push(pattern.to_owned()),
                Some(("dangling", "true" | "1")) => filter.dangling = Some(true),
                Some(("dangling", "false" | "0")) => filter.dangling = Some(false),
                _ => {
                    return Err(Error::invalid(format!("invalid filter `{text}`"))
                        .with_hint("use `reference=PATTERN` or `dangling=true|false`"));
                }
            }
        }
        Ok(filter)
    }

    fn fits(&self, image: &ImageSummary) -> bool {
        let named = self.patterns.is_empty()
            || image
                .references
                .iter()
                .any(|reference| self.fits_reference(reference));
        named
            && self
                .dangling
                .is_none_or(|dangling| image.references.is_empty() == dangling)
    }

    /// A pattern stands for a whole reference, or for a repository with any tag.
    fn fits_reference(&self, reference: &str) -> bool {
        self.patterns.is_empty()
            || self
                .patterns
                .iter()
                .any(|pattern| fits(pattern, reference) || fits(pattern, &split(reference).0))
    }
}

/// `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("a", "a"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("*", ""),
            ("a*c*e", "abcde"),
            ("**", "x"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a*b", "ac"),
            ("b*", "ab"),
            ("", "a"),
            ("a*bc*c", "abc"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(split("debian:12"), ("debian".into(), "12".into()));
        assert_eq!(
            split("host:5000/debian"),
            ("host:5000/debian".into(), "<none>".into())
        );
        assert_eq!(
            split("host:5000/d:1@sha256:ab"),
            ("host:5000/d".into(), "1".into())
        );
    }
}
