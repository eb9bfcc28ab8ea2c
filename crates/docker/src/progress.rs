//! A pull in Docker's lines.

use std::collections::HashMap;

use serde_json::{Value, json};
use shedbox_spec::api::{LayerState, PullEvent, PushEvent, PushState};
use shedbox_spec::{Digest, Reference};

/// Turns events into lines. Layers are named by the first 12 digits of their digest.
#[derive(Debug, Default)]
pub struct Progress {
    sizes: HashMap<String, u64>,
    /// Layers that have been said to be there.
    done: HashMap<String, Stage>,
    digest: Option<Digest>,
    tag: String,
    repository: String,
    /// It is one of several, whose end is told once.
    one_of_many: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Downloading,
    Extracting,
    Complete,
}

impl Progress {
    /// For a pull of a reference.
    pub fn new(reference: &Reference) -> Self {
        let digest = || reference.digest().map(ToString::to_string);
        Self {
            tag: reference
                .tag()
                .map(str::to_owned)
                .or_else(digest)
                .unwrap_or_default(),
            repository: reference.repository().to_owned(),
            ..Self::default()
        }
    }

    /// For a pull of one of several references of a repository: [`status`] tells the end of all of them.
    pub fn one_of_many(reference: &Reference) -> Self {
        Self {
            one_of_many: true,
            ..Self::new(reference)
        }
    }

    /// The lines of one event.
    pub fn lines(&mut self, event: &PullEvent, familiar: &str) -> Vec<Value> {
        match event {
            PullEvent::Resolved {
                reference: _,
                digest,
                layers,
            } => {
                self.digest = Some(digest.clone());
                let mut lines = vec![self.begin()];
                for (digest, size) in layers {
                    let id = short(digest);
                    self.sizes.insert(id.clone(), *size);
                    lines.push(
                        json!({"status": "Pulling fs layer", "progressDetail": {}, "id": id}),
                    );
                }
                lines
            }
            PullEvent::Layer { digest, state } => self.layer(&short(digest), *state),
            PullEvent::Warning { message } => vec![json!({"status": message})],
            PullEvent::Done { image, up_to_date } => {
                // One that is here as it is at the registry is not looked at any further.
                let mut lines = match &self.digest {
                    Some(_) => Vec::new(),
                    None => vec![self.begin()],
                };
                let digest = self.digest.as_ref().unwrap_or(&image.digest);
                lines.push(json!({"status": format!("Digest: {digest}")}));
                if !self.one_of_many {
                    lines.push(status(familiar, *up_to_date));
                }
                lines
            }
            PullEvent::Failed { error } => vec![failed(&error.message)],
        }
    }

    fn begin(&self) -> Value {
        json!({"status": format!("Pulling from {}", self.repository), "id": self.tag})
    }

    fn layer(&mut self, id: &str, state: LayerState) -> Vec<Value> {
        let plain = |status: &str| json!({"status": status, "progressDetail": {}, "id": id});
        match state {
            LayerState::Exists => {
                self.done.insert(id.to_owned(), Stage::Complete);
                vec![plain("Already exists")]
            }
            LayerState::Waiting => vec![plain("Waiting")],
            LayerState::Retrying { .. } => vec![plain("Retrying")],
            LayerState::Progress {
                downloaded,
                extracted,
            } => {
                let total = self.sizes.get(id).copied().unwrap_or(0);
                let stage = self.done.get(id).copied();
                let mut lines = Vec::new();
                if downloaded < total {
                    lines.push(bar("Downloading", downloaded, total, id));
                    self.done.entry(id.to_owned()).or_insert(Stage::Downloading);
                } else {
                    if stage < Some(Stage::Extracting) {
                        lines.push(plain("Download complete"));
                        self.done.insert(id.to_owned(), Stage::Extracting);
                    }
                    lines.push(bar("Extracting", extracted, total, id));
                }
                lines
            }
            LayerState::Done => {
                let mut lines = Vec::new();
                if self.done.get(id) < Some(&Stage::Extracting) {
                    lines.push(plain("Download complete"));
                }
                self.done.insert(id.to_owned(), Stage::Complete);
                lines.push(plain("Pull complete"));
                lines
            }
        }
    }
}

/// The end of a pull of `familiar`: whether anything of it was new.
pub fn status(familiar: &str, up_to_date: bool) -> Value {
    let what = if up_to_date {
        "Image is up to date for"
    } else {
        "Downloaded newer image for"
    };
    json!({"status": format!("Status: {what} {familiar}")})
}

/// The first line of a push to a repository.
pub fn refers_to(name: &str) -> Value {
    json!({"status": format!("The push refers to repository [{name}]")})
}

/// The lines of a push to `tag`, behind [`refers_to`].
pub fn pushed(event: &PushEvent, tag: &str) -> Vec<Value> {
    let plain = |status: &str, digest: &Digest| json!({"status": status, "progressDetail": {}, "id": short(digest)});
    match event {
        PushEvent::Started { layers, .. } => layers
            .iter()
            .map(|digest| plain("Preparing", digest))
            .collect(),
        PushEvent::Layer { diff_id, state } => match state {
            PushState::Preparing => vec![plain("Preparing", diff_id)],
            PushState::Waiting => vec![plain("Waiting", diff_id)],
            PushState::Pushing { current, total } => {
                vec![bar("Pushing", *current, *total, &short(diff_id))]
            }
            PushState::Retrying { .. } => vec![plain("Retrying", diff_id)],
            PushState::Pushed => vec![plain("Pushed", diff_id)],
            PushState::Exists => vec![plain("Layer already exists", diff_id)],
            PushState::Mounted { from } => vec![plain(&format!("Mounted from {from}"), diff_id)],
        },
        PushEvent::Warning { message } => vec![json!({"status": message})],
        PushEvent::Done { result } => vec![
            json!({"status": format!("{tag}: digest: {} size: {}", result.digest, result.size)}),
            json!({"progressDetail": {}, "aux": {"Tag": tag, "Digest": result.digest, "Size": result.size}}),
        ],
        PushEvent::Failed { error } => vec![failed(&error.message)],
    }
}

/// The last line of what has failed.
pub fn failed(message: &str) -> Value {
    json!({"errorDetail": {"message": message}, "error": message})
}

fn short(digest: &Digest) -> String {
    let text = digest.to_string();
    text.split_once(':')
        .map_or(text.as_str(), |(_, hex)| hex)
        .chars()
        .take(12)
        .collect()
}

/// Docker's bar of 50 characters. Source: moby `jsonmessage`, `JSONProgress.String`.
fn bar(status: &str, current: u64, total: u64, id: &str) -> Value {
    let filled = (current * 50).checked_div(total).unwrap_or(0).min(50) as usize;
    let head = if filled < 50 { ">" } else { "" };
    let text = format!(
        "[{}{head}{}] {:>8}/{}",
        "=".repeat(filled),
        " ".repeat(50 - filled - head.len().min(50 - filled)),
        shedbox_spec::size::format_bytes(current),
        shedbox_spec::size::format_bytes(total),
    );
    json!({
        "status": status, "progressDetail": {"current": current, "total": total}, "progress": text, "id": id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_one_width() {
        for current in [0, 1, 50, 99, 100, 200] {
            let line = bar("Downloading", current, 100, "x");
            let text = line["progress"].as_str().unwrap();
            assert_eq!(
                text.find(']').unwrap() - text.find('[').unwrap(),
                51,
                "{text}"
            );
        }
    }
}
