//! The progress of a pull on standard error: a bar per layer on a terminal, plain lines otherwise.

use std::collections::HashMap;
use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use shedbox_spec::Digest;
use shedbox_spec::api::{LayerState, PullEvent};
use shedbox_spec::size::format_bytes;

use crate::report::say;

/// Shows the events of a pull or load.
pub(crate) enum Progress {
    /// Only warnings.
    Quiet,
    /// One line per change of a layer's state.
    Lines(Lines),
    /// Bars that move.
    Bars(Bars),
}

#[derive(Default)]
pub(crate) struct Lines {
    seen: HashMap<Digest, &'static str>,
}

pub(crate) struct Bars {
    all: MultiProgress,
    bars: HashMap<Digest, ProgressBar>,
}

impl Progress {
    /// What suits standard error.
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if std::io::stderr().is_terminal() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            Self::Bars(Bars {
                all,
                bars: HashMap::new(),
            })
        } else {
            Self::Lines(Lines::default())
        }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &PullEvent) {
        match (self, event) {
            (Self::Bars(bars), PullEvent::Warning { message }) => {
                // Above the bars. A terminal that cannot be written to shows no bars either.
                let _ = bars.all.println(format!("warning: {message}"));
            }
            (_, PullEvent::Warning { message }) => say(&format!("warning: {message}")),
            (Self::Quiet, _) | (_, PullEvent::Done { .. } | PullEvent::Failed { .. }) => {}
            (Self::Lines(lines), event) => {
                if let Some(line) = lines.line(event) {
                    say(&line);
                }
            }
            (Self::Bars(bars), event) => bars.show(event),
        }
    }
}

impl Lines {
    /// The line for an event; none when nothing of note has changed.
    fn line(&mut self, event: &PullEvent) -> Option<String> {
        match event {
            PullEvent::Resolved {
                reference, layers, ..
            } => {
                let bytes = layers.iter().map(|(_, size)| size).sum();
                Some(format!(
                    "{reference}: {} layers, {}",
                    layers.len(),
                    format_bytes(bytes)
                ))
            }
            PullEvent::Layer { digest, state } => {
                let word = word(state);
                let changed = self.seen.insert(digest.clone(), word) != Some(word);
                let again = matches!(state, LayerState::Retrying { .. });
                (changed || again).then(|| match state {
                    LayerState::Retrying {
                        attempt,
                        resumed_at,
                    } => {
                        format!(
                            "{}: {word}, attempt {attempt} from {}",
                            digest.short(),
                            format_bytes(*resumed_at)
                        )
                    }
                    _ => format!("{}: {word}", digest.short()),
                })
            }
            PullEvent::Warning { .. } | PullEvent::Done { .. } | PullEvent::Failed { .. } => None,
        }
    }
}

impl Bars {
    fn show(&mut self, event: &PullEvent) {
        match event {
            PullEvent::Resolved { layers, .. } => {
                for (digest, size) in layers {
                    self.bars.entry(digest.clone()).or_insert_with(|| {
                        let bar = self.all.add(ProgressBar::new(*size).with_style(style()));
                        bar.set_prefix(digest.short().to_owned());
                        bar.set_message("waiting");
                        bar
                    });
                }
            }
            PullEvent::Layer { digest, state } => {
                let Some(bar) = self.bars.get(digest) else {
                    return;
                };
                match state {
                    LayerState::Progress {
                        downloaded,
                        extracted,
                    } => {
                        bar.set_position(*downloaded);
                        let total = bar.length().unwrap_or(0);
                        let message = if *downloaded < total {
                            format!("{} of {}", format_bytes(*downloaded), format_bytes(total))
                        } else {
                            format!(
                                "extracting {} of {}",
                                format_bytes(*extracted),
                                format_bytes(total)
                            )
                        };
                        bar.set_message(message);
                    }
                    LayerState::Exists | LayerState::Done => {
                        bar.set_position(bar.length().unwrap_or(0));
                        bar.finish_with_message(word(state));
                    }
                    LayerState::Waiting | LayerState::Retrying { .. } => {
                        bar.set_message(word(state));
                    }
                }
            }
            PullEvent::Warning { .. } | PullEvent::Done { .. } | PullEvent::Failed { .. } => {}
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} [{bar:30}] {msg}")
        // The template is a constant; if it were wrong the plain default would show.
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn word(state: &LayerState) -> &'static str {
    match state {
        LayerState::Exists => "already there",
        LayerState::Waiting => "waiting for another pull",
        LayerState::Progress { .. } => "downloading and extracting",
        LayerState::Retrying { .. } => "trying again",
        LayerState::Done => "complete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_change() {
        let digest = Digest::from_bytes(&[0xab; 32]);
        let mut lines = Lines::default();
        let line = |state| {
            lines.line(&PullEvent::Layer {
                digest: digest.clone(),
                state,
            })
        };
        let progress = |downloaded| LayerState::Progress {
            downloaded,
            extracted: 0,
        };
        let shown: Vec<Option<String>> = [
            progress(1),
            progress(2),
            LayerState::Retrying {
                attempt: 2,
                resumed_at: 1500,
            },
            LayerState::Retrying {
                attempt: 3,
                resumed_at: 1500,
            },
            progress(3),
            LayerState::Done,
        ]
        .map(line)
        .into();
        let shown: Vec<&str> = shown.iter().flatten().map(String::as_str).collect();
        assert_eq!(
            shown,
            [
                "abababababab: downloading and extracting",
                "abababababab: trying again, attempt 2 from 1.5kB",
                "abababababab: trying again, attempt 3 from 1.5kB",
                "abababababab: downloading and extracting",
                "abababababab: complete",
            ]
        );
    }
}
