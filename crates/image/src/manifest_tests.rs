use super::*;
use serde_json::{Value, json};

fn digest(byte: u8) -> String {
    Digest::from_bytes(&[byte; 32]).to_string()
}

fn image(layer_type: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "config": {"mediaType": IMAGE_CONFIG_MEDIA_TYPE, "digest": digest(1), "size": 10},
        "layers": [{"mediaType": layer_type, "digest": digest(2), "size": 20}],
    })
}

fn parsed(value: &Value) -> Result<Document> {
    parse(value.to_string().as_bytes(), None, "manifest of `x`")
}

fn failure(value: &Value) -> String {
    parsed(value).unwrap_err().to_string()
}

#[test]
fn layer_types() {
    for good in [
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
    ] {
        let Document::Image(manifest) = parsed(&image(good)).unwrap() else {
            panic!("{good}");
        };
        assert_eq!(manifest.config.size, 10);
        assert_eq!(manifest.layers[0].digest.as_str(), digest(2));
    }
    for (bad, said) in [
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "vendor",
        ),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "vendor",
        ),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "encrypted",
        ),
        ("application/vnd.wasm.content.layer.v1+wasm", "wasm"),
    ] {
        let said_really = failure(&image(bad));
        assert!(said_really.contains(said), "{said_really}");
    }
}

#[test]
fn kinds_of_documents() {
    let index =
        json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": []});
    assert!(matches!(parsed(&index), Ok(Document::Index(entries)) if entries.is_empty()));
    let mut both = image("application/vnd.oci.image.layer.v1.tar");
    both["manifests"] = json!([]);
    assert!(failure(&both).contains("both"));
    assert!(failure(&json!({"schemaVersion": 1, "fsLayers": []})).contains("schema 1"));
    assert!(failure(&json!({"schemaVersion": 2})).contains("neither"));
    assert!(
        failure(&json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE}))
            .contains("without manifests")
    );
    assert!(parse(b"<html>", None, "x").is_err());
    assert!(parse(b"[]", None, "x").is_err());
}

#[test]
fn bad_fields() {
    let good = || image("application/vnd.oci.image.layer.v1.tar");
    let mut value = good();
    value["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
    assert!(failure(&value).contains("not a container image"));
    let mut value = good();
    value["layers"][0]["size"] = json!(-1);
    assert!(failure(&value).contains("negative"));
    let mut value = good();
    value["layers"][0]["digest"] = json!("md5:1");
    assert!(failure(&value).contains("md5:1"));
    let mut value = good();
    value["config"]["size"] = json!(MAX_CONFIG + 1);
    assert!(failure(&value).contains("more than"));
    let mut value = good();
    value["layers"] = Value::Array(vec![value["layers"][0].clone(); MAX_LAYERS + 1]);
    assert!(failure(&value).contains("501 layers"));
}

#[test]
fn configurations() {
    let config = json!({"architecture": "arm64", "os": "linux", "variant": "v8",
        "rootfs": {"type": "layers", "diff_ids": [digest(3), digest(3)]}})
    .to_string();
    let outline = parse_config(config.as_bytes(), 2, "x").unwrap();
    assert_eq!(outline.platform.to_string(), "linux/arm64");
    assert_eq!(outline.diff_ids.len(), 2);
    let error = parse_config(config.as_bytes(), 3, "x")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("lists 2 layers and its manifest 3"),
        "{error}"
    );
    assert!(parse_config(b"{}", 0, "x").is_ok());
    assert!(parse_config(b"{\"rootfs\":{\"diff_ids\":[\"x\"]}}", 1, "x").is_err());
}

proptest::proptest! {
    #[test]
    fn any_document_is_an_image_an_index_or_an_error(
        fields in proptest::collection::vec(("(schemaVersion|mediaType|config|layers|manifests)", 0..6usize), 0..6),
    ) {
        let values = [json!(2), json!("x"), json!([]), json!({}), json!(null), json!([{"digest": 1}])];
        let document: serde_json::Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name, values[value].clone())).collect();
        if let Ok(Document::Image(image)) = parsed(&Value::Object(document)) {
            proptest::prop_assert!(image.layers.len() <= MAX_LAYERS);
        }
    }
}
