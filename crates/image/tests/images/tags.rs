//! All tags of a repository, from registries that give them in pages and from some that do it wrongly.

use shedbox_image::Error;
use shedbox_spec::Reference;
use shedbox_spec::api::AuthSources;

use crate::support::server::Request;
use crate::support::store::runtime;
use crate::support::{FakeRegistry, Reply, TestStore};

fn list(store: &TestStore, registry: &FakeRegistry) -> Result<Vec<String>, Error> {
    let name = format!("{}/team/app", registry.host);
    let tags = runtime().block_on(store.service.tags(&name, &AuthSources::default()))?;
    let tag = |reference: &Reference| {
        assert_eq!(reference.name(), name);
        reference.tag().unwrap().to_owned()
    };
    Ok(tags.iter().map(tag).collect())
}

/// A page: its tags as JSON, and the address of the next one.
fn page(tags: &str, next: Option<&str>) -> Reply {
    let reply = Reply::status(200).text(&format!(r#"{{"name":"team/app","tags":{tags}}}"#));
    match next {
        Some(next) => reply.with("Link", &format!("<{next}>; rel=\"next\"")),
        None => reply,
    }
}

#[test]
fn pages_are_followed_to_the_last() {
    let registry = FakeRegistry::new(|request: &Request| match request.query.as_str() {
        "" => page(r#"["c","a"]"#, Some("/v2/team/app/tags/list?last=c")),
        "last=c" => page(r#"["d","a"]"#, Some("?last=d")),
        "last=d" => page(r#"["b"]"#, None),
        _ => Reply::status(500),
    });
    let tags = list(&TestStore::new(), &registry).unwrap();
    assert_eq!(tags, ["a", "b", "c", "d"]);
    assert_eq!(registry.log().len(), 3);
}

#[test]
fn a_repository_without_tags() {
    let registry = FakeRegistry::new(|_| page("null", None));
    assert!(list(&TestStore::new(), &registry).unwrap().is_empty());
}

#[test]
fn wrong_lists_of_tags_are_errors() {
    let registry = FakeRegistry::new(|_| page(r#"["a"]"#, Some("/v2/team/app/tags/list?last=a")));
    let error = list(&TestStore::new(), &registry).unwrap_err();
    assert!(
        shedbox_spec::error::chain(&error).contains("nothing new"),
        "{error}"
    );
    assert_eq!(registry.log().len(), 2);

    let elsewhere = FakeRegistry::new(|_| page(r#"["b"]"#, None));
    let host = elsewhere.host.clone();
    let registry = FakeRegistry::new(move |_| {
        page(
            r#"["a"]"#,
            Some(&format!("http://{host}/v2/team/app/tags/list")),
        )
    });
    let error = list(&TestStore::new(), &registry).unwrap_err();
    assert!(
        shedbox_spec::error::chain(&error).contains("another host"),
        "{error}"
    );
    assert!(elsewhere.log().is_empty());

    for wrong in [r#"["a b"]"#, r#"["../x"]"#, "7", r#"["a""#] {
        let registry = FakeRegistry::new(move |_| page(wrong, None));
        assert!(list(&TestStore::new(), &registry).is_err(), "{wrong}");
    }
}
