//! A root file system as one tar stream becomes an image of one layer, as `docker import` does it.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use serde_json::{Value, json};
use shedbox_store::{ImageRecord, LayerExpect, StoreError, decompress};

use crate::archive::broken;
use crate::derive::{Derivation, NewLayer, Step};
use crate::error::{Error, Result};
use crate::service::ImageService;

impl ImageService {
    /// Imports a tar stream (compressed as [`decompress`] takes it) as an image for this host's platform, with `config` as Docker's `Config`
    /// object. Whiteouts in it are whiteouts, and nothing is below. Blocks.
    pub fn import(
        &self,
        tar: impl Read,
        reference: Option<&str>,
        config: Value,
        message: Option<&str>,
    ) -> Result<Arc<ImageRecord>> {
        let references: Vec<_> = reference
            .map(|name| self.parse_tag(name))
            .transpose()?
            .into_iter()
            .collect();
        self.check_room()?;
        let mut reader = BufReader::with_capacity(256 << 10, tar);
        let start = reader.fill_buf().map_err(broken)?;
        if start.is_empty() {
            return Err(Error::Archive {
                what: "the archive".to_owned(),
                reason: "it is empty".to_owned(),
            });
        }
        let mut reader = decompress(reader).map_err(broken)?;
        let ingested =
            self.store()
                .ingest_layer_pinned(&LayerExpect::default(), &mut reader, &mut |_| {});
        let (layer, _pin) = match ingested {
            Err(StoreError::Source(error)) => return Err(broken(error)),
            ingested => ingested?,
        };
        for warning in &layer.warnings {
            tracing::warn!(layer = %layer.diff_id, "import: {warning}");
        }
        self.derive(Derivation {
            parent: None,
            layer: Some(NewLayer::from(&layer)),
            config: Some(if config.is_null() { json!({}) } else { config }),
            step: Step {
                comment: Some(message.unwrap_or("Imported from -").to_owned()),
                ..Step::default()
            },
            references: &references,
        })
    }
}
