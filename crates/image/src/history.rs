//! How an image came to be, line by line, as `docker history` tells it.

use serde_json::Value;
use shedbox_spec::Digest;
use shedbox_spec::api::HistoryEntry;
use shedbox_store::ImageRecord;

use crate::derive::is_empty;
use crate::error::{Error, Result};
use crate::manifest::MAX_CONFIG;
use crate::service::ImageService;

impl ImageService {
    /// The lines of an image's history, newest first. Ids are known of images that were made here and are here still.
    /// Blocks.
    pub fn history(&self, image: &ImageRecord) -> Result<Vec<HistoryEntry>> {
        let mut entries = self.lines(image)?;
        let mut known = Some((image.config.clone(), image.parent.clone()));
        let mut end = entries.len();
        while let Some((id, parent)) = known {
            let Some(entry) = end.checked_sub(1).and_then(|last| entries.get_mut(last)) else {
                break;
            };
            entry.tags = self.tags_of(&id);
            entry.id = Some(id);
            // The parent's last line is where its own history ends. One that has gone is told by nothing any more.
            known = match parent.map(|parent| self.store().resolve(parent.as_str())) {
                Some(Ok(parent)) => {
                    let length = self.lines(&parent)?.len();
                    if length >= end {
                        break;
                    }
                    end = length;
                    Some((parent.config.clone(), parent.parent.clone()))
                }
                _ => None,
            };
        }
        entries.reverse();
        Ok(entries)
    }

    /// Oldest first, without ids.
    fn lines(&self, image: &ImageRecord) -> Result<Vec<HistoryEntry>> {
        let bytes = self.store().read_blob(&image.config, MAX_CONFIG)?;
        let document: Value = serde_json::from_slice(&bytes).map_err(|error| Error::Document {
            what: format!("configuration {}", image.config),
            reason: error.to_string(),
        })?;
        let sizes = image
            .diff_ids
            .iter()
            .map(|diff_id| self.store().layer_size(diff_id))
            .collect::<Result<Vec<u64>, _>>()?;
        Ok(match_sizes(&document["history"], &sizes))
    }

    fn tags_of(&self, id: &Digest) -> Vec<String> {
        let mut tags: Vec<String> = self
            .store()
            .images()
            .iter()
            .filter(|image| image.config == *id)
            .flat_map(|image| self.summary(image).references)
            .collect();
        tags.sort_unstable();
        tags
    }
}

/// Lines and layers, matched by counting. What has no line gets one that says nothing, and what has no layer has no size:
/// few tools that make images by hand write a history, and not all of them a right one. Pure.
fn match_sizes(history: &Value, sizes: &[u64]) -> Vec<HistoryEntry> {
    let mut sizes = sizes.iter().copied();
    let lines = history.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut entries: Vec<HistoryEntry> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
            let empty = is_empty(line);
            HistoryEntry {
                id: None,
                created: text("created"),
                created_by: text("created_by").unwrap_or_default(),
                comment: text("comment").unwrap_or_default(),
                size: if empty { 0 } else { sizes.next().unwrap_or(0) },
                tags: Vec::new(),
                empty,
            }
        })
        .collect();
    entries.extend(sizes.map(|size| HistoryEntry {
        size,
        ..HistoryEntry::default()
    }));
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_go_to_lines_that_are_not_empty() {
        let short = |history: Value, sizes: &[u64]| -> Vec<(String, u64, bool)> {
            match_sizes(&history, sizes)
                .into_iter()
                .map(|entry| (entry.created_by, entry.size, entry.empty))
                .collect()
        };
        let line = |by: &str, size, empty| (by.to_owned(), size, empty);
        let history = json!([
            {"created_by": "ADD", "created": "2020-01-01T00:00:00Z"},
            {"created_by": "ENV", "empty_layer": true},
            {"created_by": "RUN", "empty_layer": false},
        ]);
        assert_eq!(
            short(history.clone(), &[5, 7]),
            [
                line("ADD", 5, false),
                line("ENV", 0, true),
                line("RUN", 7, false)
            ]
        );
        assert_eq!(short(history.clone(), &[5, 7, 9])[3], line("", 9, false));
        assert_eq!(short(history, &[])[0], line("ADD", 0, false));
        for none in [json!(null), json!([]), json!("x")] {
            assert_eq!(
                short(none, &[1, 2]),
                [line("", 1, false), line("", 2, false)]
            );
        }
    }
}
