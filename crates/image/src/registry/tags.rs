//! All tags of a repository. Source: OCI distribution specification 1.1, "Listing Tags".

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::LINK;
use serde::Deserialize;

use super::failure::Failure;
use super::session::{MAX_MANIFEST, Session};
use super::token::read_capped;
use crate::error::Result;

/// Most tags that are taken from one repository: a registry may go on for ever.
const MAX_TAGS: usize = 100_000;

#[derive(Deserialize)]
struct Page {
    /// Null in a repository whose tags have all been removed.
    tags: Option<Vec<String>>,
}

impl Session {
    /// All tags, in the order of their letters. The registry itself is asked first: a mirror may have a part of them.
    pub(crate) async fn tags(&self, what: &str) -> Result<BTreeSet<String>> {
        let places = self.candidates().rev();
        let (_, tags) = self
            .first_of(places, what, |place| self.tags_once(place))
            .await?;
        Ok(tags)
    }

    async fn tags_once(&self, place: usize) -> Result<BTreeSet<String>, Failure> {
        let mut tags = BTreeSet::new();
        let mut url = self.url(place, "tags/list");
        loop {
            let mut response = self
                .send(place, Method::GET, &url, &|request| request, self.timeout())
                .await?;
            let links = response.headers().get_all(LINK).iter();
            let next = links
                .filter_map(|link| link.to_str().ok())
                .find_map(next_page)
                .map(str::to_owned);
            let bytes = self
                .in_time(read_capped(&mut response, MAX_MANIFEST))
                .await??;
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|error| Failure::Protocol(format!("its list of tags: {error}")))?;
            let before = tags.len();
            tags.extend(page.tags.unwrap_or_default());
            let Some(next) = next else { return Ok(tags) };
            if tags.len() == before {
                return Err(Failure::Protocol(
                    "its list of tags has a page with nothing new".to_owned(),
                ));
            }
            if tags.len() > MAX_TAGS {
                return Err(Failure::Protocol(format!(
                    "its list of tags has more than {MAX_TAGS}"
                )));
            }
            url = following(&url, &next)?;
        }
    }
}

/// The address of the next page, as the field has it: `<address>; rel="next"`, among others. Source: RFC 8288.
fn next_page(field: &str) -> Option<&str> {
    // Addresses are percent-encoded: what they may have of these characters is no end of one.
    let mut rest = field;
    loop {
        let (_, from) = rest.split_once('<')?;
        let (address, parameters) = from.split_once('>')?;
        let (own, others) = parameters
            .find('<')
            .map_or((parameters, ""), |at| parameters.split_at(at));
        let is_next = own.split([';', ',']).any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        });
        if is_next {
            return Some(address);
        }
        rest = others;
    }
}

/// The next page is of the same host: nobody else knows its tags.
fn following(url: &str, next: &str) -> Result<String, Failure> {
    let wrong =
        |why: &dyn std::fmt::Display| Failure::Protocol(format!("its next page of tags: {why}"));
    let here = reqwest::Url::parse(url).map_err(|error| wrong(&error))?;
    let there = here.join(next).map_err(|error| wrong(&error))?;
    if there.origin() != here.origin() {
        return Err(wrong(&"it is at another host"));
    }
    Ok(there.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        for (field, address) in [
            (
                "</v2/a/tags/list?last=x&n=2>; rel=\"next\"",
                Some("/v2/a/tags/list?last=x&n=2"),
            ),
            ("<?last=x>;rel=next", Some("?last=x")),
            (
                "<a>; rel=\"prev\", <b>; title=\"x\"; REL=\"Next\"",
                Some("b"),
            ),
            ("<a>; rel=\"prev\"", None),
            ("<a; rel=\"next\"", None),
            ("", None),
        ] {
            assert_eq!(next_page(field), address, "{field}");
        }
    }

    #[test]
    fn pages_stay_at_their_host() {
        let here = "http://127.0.0.1:5000/v2/a/tags/list";
        assert_eq!(
            following(here, "/v2/a/tags/list?last=x").unwrap(),
            "http://127.0.0.1:5000/v2/a/tags/list?last=x"
        );
        for elsewhere in [
            "http://127.0.0.1:5001/v2/a/tags/list?last=x",
            "//example.org/x",
            "https://127.0.0.1:5000/x",
        ] {
            assert!(following(here, elsewhere).is_err(), "{elsewhere}");
        }
    }
}
