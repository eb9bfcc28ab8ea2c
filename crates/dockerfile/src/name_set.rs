//! Sets of names that Docker's JSON writes as objects: `{"80/tcp": {}}`.

use std::collections::BTreeSet;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{SerializeMap, Serializer};

#[derive(serde::Serialize)]
struct Nothing {}

pub(crate) fn serialize<S: Serializer>(names: &BTreeSet<String>, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(names.len()))?;
    for name in names {
        map.serialize_entry(name, &Nothing {})?;
    }
    map.end()
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeSet<String>, D::Error> {
    let map = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(from)?;
    Ok(map
        .unwrap_or_default()
        .into_iter()
        .map(|(name, _)| name)
        .collect())
}
