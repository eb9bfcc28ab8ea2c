use shedbox_spec::Kind;

use super::*;
use crate::image::tests::{add, layer};
use crate::testing::{Scratch, became_root};

fn layers(scratch: &Scratch) -> usize {
    let on_disk = names_in(&scratch.store.root().join("layers"))
        .unwrap()
        .len();
    assert_eq!(on_disk, scratch.store.layers().len());
    on_disk
}

fn blobs(scratch: &Scratch) -> usize {
    names_in(&scratch.store.root().join("blobs/sha256"))
        .unwrap()
        .len()
}

#[test]
fn prune_takes_what_nothing_refers_to() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let store = &scratch.store;
    let kept = add(&scratch, "kept", &[layer("shared"), layer("kept")]);
    let dangling = add(&scratch, "dangling", &[layer("shared"), layer("dangling")]);
    store.tag("a.b/kept:1", &kept.manifest).unwrap();
    store
        .tag(
            &format!("a.b/dangling@{}", dangling.manifest),
            &dangling.manifest,
        )
        .unwrap();
    let orphan = scratch.ingest(&layer("orphan")).unwrap().diff_id;
    let pruned = store.prune(false, &|_| false).unwrap();
    assert_eq!(pruned.removed.len(), 4, "{:?}", pruned.removed); // reference, image, two layers
    assert!(pruned.removed.contains(&dangling.config.to_string()));
    assert!(pruned.removed.contains(&orphan.to_string()));
    assert!(pruned.bytes >= 10, "{}", pruned.bytes);
    assert_eq!((layers(&scratch), blobs(&scratch)), (2, 2));
    assert_eq!(store.images(), [Arc::clone(&kept)]);
    assert_eq!(store.prune(false, &|_| false).unwrap(), Pruned::default());
    let scratch = scratch.reopen();
    assert_eq!(scratch.store.images(), [Arc::clone(&kept)]);
    scratch.store.prune(true, &|_| false).unwrap();
    assert_eq!((layers(&scratch), blobs(&scratch)), (0, 0));
    assert!(scratch.store.resolve("a.b/kept:1").is_err());
}

#[test]
fn prune_keeps_what_is_in_use() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let store = &scratch.store;
    let image = add(&scratch, "used", &[layer("x")]);
    // By image id, as a sandbox records it.
    store
        .prune(true, &|digest| *digest == image.config)
        .unwrap();
    assert_eq!(store.images().len(), 1);
    // By layer alone: the image goes, what is mounted stays.
    store
        .prune(true, &|digest| *digest == image.diff_ids[0])
        .unwrap();
    assert_eq!((store.images().len(), layers(&scratch)), (0, 1));
    assert!(store.layer_dir(&image.diff_ids[0]).join("x").exists());
}

#[test]
fn prune_keeps_what_a_pull_has_pinned() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let store = &scratch.store;
    let diff_id = scratch.ingest(&layer("x")).unwrap().diff_id;
    let blob = store.write_blob(None, &mut &b"manifest"[..]).unwrap();
    let pin = store.pin(vec![diff_id.clone(), blob.clone()]);
    let again = store.pin(vec![diff_id.clone()]);
    store.prune(true, &|_| false).unwrap();
    drop(again);
    store.prune(true, &|_| false).unwrap();
    assert!(store.has_layer(&diff_id) && store.has_blob(&blob));
    drop(pin);
    store.prune(true, &|_| false).unwrap();
    assert!(!store.has_layer(&diff_id) && !store.has_blob(&blob));
    assert!(store.pins.lock().is_empty());
    // A whole image that somebody is about to use.
    let image = add(&scratch, "a", &[layer("y")]);
    let pin = store.pin(image.digests());
    store.prune(true, &|_| false).unwrap();
    assert_eq!(store.images().len(), 1);
    drop(pin);
}

#[test]
fn removing_an_image() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let store = &scratch.store;
    let one = add(&scratch, "1", &[layer("shared"), layer("one")]);
    let two = add(&scratch, "2", &[layer("shared"), layer("two")]);
    store.tag("a.b/one:1", &one.manifest).unwrap();
    store.tag("a.b/one:2", &one.manifest).unwrap();
    let orphan = scratch.ingest(&layer("orphan")).unwrap().diff_id;
    let error = store
        .remove_image(&one.manifest, false, &|digest| *digest == one.config)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(layers(&scratch), 4);
    let removed = store
        .remove_image(&one.manifest, false, &|_| false)
        .unwrap();
    assert_eq!(
        removed,
        Removed {
            untagged: vec!["a.b/one:1".to_owned(), "a.b/one:2".to_owned()],
            deleted: vec![one.config.clone(), one.diff_ids[1].clone()],
        }
    );
    assert_eq!(store.images(), [Arc::clone(&two)]);
    assert!(store.has_layer(&orphan), "only the image's own layers go");
    // By force, while a sandbox runs on it: its layers stay.
    let used = |digest: &Digest| *digest == two.config || two.diff_ids.contains(digest);
    let removed = store.remove_image(&two.manifest, true, &used).unwrap();
    assert_eq!(removed.deleted, std::slice::from_ref(&two.config));
    assert!(store.has_layer(&two.diff_ids[0]) && store.has_layer(&two.diff_ids[1]));
    let error = store.remove_image(&two.manifest, true, &used).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn a_half_finished_removal_leaves_nothing_with_a_name() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let image = add(&scratch, "a", &[layer("x")]);
    scratch.store.tag("a.b/c:1", &image.manifest).unwrap();
    // Killed after the first step: the references are gone, the record is not.
    scratch.store.write_references(&BTreeMap::new()).unwrap();
    let scratch = scratch.reopen();
    assert!(scratch.store.resolve("a.b/c:1").is_err());
    scratch.store.prune(false, &|_| false).unwrap();
    assert_eq!((layers(&scratch), blobs(&scratch)), (0, 0));
}

#[test]
fn pulls_and_prunes_at_once() {
    if became_root() {
        return;
    }
    let scratch = Scratch::new();
    let (store, blob) = (&scratch.store, layer("x"));
    let diff_id = crate::blob::digest_of(&blob);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..30 {
                    let pin = store.pin(vec![diff_id.clone()]);
                    if !store.has_layer(&diff_id) {
                        scratch.ingest(&blob).unwrap();
                    }
                    assert!(store.layer_dir(&diff_id).join("x").exists());
                    drop(pin);
                }
            });
        }
        for _ in 0..60 {
            store.prune(true, &|_| false).unwrap();
        }
    });
}
