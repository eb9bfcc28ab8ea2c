//! Snapshots under fire: taken, gone back to, forked from, forgotten.
//!
//! One that was acknowledged is there and whole, whatever was killed since; one that was not is whole or not there at
//! all; and the store has the files of those alone that a record names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shedbox_client::Client;

use super::invariants;
use super::long::{Storm, read_file};
use super::model::{Content, Slot, Tag};

/// Most snapshots of one sandbox.
const TAGS: usize = 3;

/// What is done with the snapshots of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// A copy of one that runs, a rename of one that does not.
    Take(String),
    /// `--stop`.
    TakeStopped(String),
    Restore(String),
    Forget(String),
    /// Of a snapshot or of now, into a slot that is empty.
    Fork(Option<String>, usize),
}

impl Keeping {
    /// For the sandbox of the first slot, with forks in the second.
    pub(crate) fn one_of_each() -> [Self; 5] {
        let [taken, stopped] = ["taken", "stopped"].map(str::to_owned);
        [
            Self::Take(taken.clone()),
            Self::TakeStopped(stopped.clone()),
            Self::Restore(taken.clone()),
            Self::Forget(taken),
            Self::Fork(Some(stopped), 1),
        ]
    }

    /// A name for all that take about as long.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Take(_) => "snapshot",
            Self::TakeStopped(_) => "snapshot --stop",
            Self::Restore(_) => "restore",
            Self::Forget(_) => "snapshot rm",
            Self::Fork(..) => "fork",
        }
    }

    /// The arguments of the program that does it.
    pub(crate) fn arguments(&self, index: usize, slots: &[Slot]) -> Vec<String> {
        let name = slots[index].name.as_str();
        let words = match self {
            Self::Take(tag) => vec!["snapshot", "create", name, tag],
            Self::TakeStopped(tag) => vec!["snapshot", "create", "--stop", name, tag],
            Self::Restore(tag) => vec!["restore", name, tag],
            Self::Forget(tag) => vec!["snapshot", "rm", name, tag],
            Self::Fork(None, fork) => vec!["fork", name, &slots[*fork].name],
            Self::Fork(Some(tag), fork) => {
                let point = format!("{name}:{tag}");
                return vec!["fork".to_owned(), point, slots[*fork].name.clone()];
            }
        };
        words.into_iter().map(str::to_owned).collect()
    }
}

impl Slot {
    /// What its file holds: known whenever nothing is under way.
    fn content(&self) -> Content {
        let mut contents = self.contents.iter();
        match (contents.next(), contents.next()) {
            (Some(content), None) => content.clone(),
            _ => panic!("its file was not looked at: {self:?}"),
        }
    }

    /// A snapshot was taken, or may have been.
    fn taken(&mut self, tag: &str, answered: bool) {
        let taken = Tag {
            content: self.content(),
            there: answered.then_some(true),
        };
        self.tags.insert(tag.to_owned(), taken);
    }

    /// Its files are now `content`, or may be.
    fn went_back(&mut self, content: Content, answered: bool) {
        if answered {
            self.runs = Some(true);
            self.contents = [content].into();
        } else {
            self.runs = None;
            self.contents.insert(content);
        }
    }

    /// What a listing says of its snapshots must be possible. From here on it is known; gives those of which it was not.
    fn lists(&mut self, listed: &BTreeSet<String>) -> Vec<String> {
        let unknown: Vec<&String> = listed
            .iter()
            .filter(|tag| !self.tags.contains_key(*tag))
            .collect();
        assert!(unknown.is_empty(), "snapshots {unknown:?} of {self:?}");
        let mut learned = Vec::new();
        for (name, tag) in &mut self.tags {
            let there = listed.contains(name);
            assert!(
                tag.there.is_none_or(|expected| expected == there),
                "snapshot {name} is {}, not {tag:?}: {:#?}",
                if there { "there" } else { "gone" },
                self.history
            );
            if there && tag.there.is_none() {
                learned.push(name.clone());
            }
            tag.there = Some(there);
        }
        self.tags.retain(|_, tag| tag.there == Some(true));
        learned
    }
}

impl Storm {
    /// Every other time something that has to do with snapshots, where that makes sense.
    pub(crate) fn choose_keeping(
        &mut self,
        index: usize,
        busy: &mut BTreeSet<usize>,
        token: &str,
    ) -> Option<Keeping> {
        let slot = &self.slots[index];
        if slot.there != Some(true) || self.random.below(2) == 0 {
            return None;
        }
        let tags: Vec<&String> = slot.tags.keys().collect();
        let any = (!tags.is_empty()).then(|| (*self.random.pick(&tags)).clone());
        let new = format!("t{token}");
        match (self.random.below(8), any) {
            (0..=2, Some(tag)) if tags.len() >= TAGS => Some(Keeping::Forget(tag)),
            (0 | 1, _) if slot.runs == Some(true) => Some(Keeping::TakeStopped(new)),
            (0..=2, _) | (3 | 4, None) => Some(Keeping::Take(new)),
            (3 | 4, Some(tag)) => Some(Keeping::Restore(tag)),
            (5, Some(tag)) => Some(Keeping::Forget(tag)),
            (number, any) => {
                let empty = |(other, slot): (usize, &Slot)| {
                    (slot.there == Some(false) && !busy.contains(&other)).then_some(other)
                };
                let fork = self.slots.iter().enumerate().find_map(empty)?;
                busy.insert(fork);
                Some(Keeping::Fork(any.filter(|_| number != 6), fork))
            }
        }
    }

    /// It was answered with success, or its outcome is unknown. `done` is for messages.
    pub(crate) fn has_kept(&mut self, index: usize, keeping: &Keeping, answered: bool, done: &str) {
        let slot = &mut self.slots[index];
        slot.history.push(done.to_owned());
        match keeping {
            Keeping::Take(tag) => slot.taken(tag, answered),
            Keeping::TakeStopped(tag) => {
                slot.taken(tag, answered);
                if !answered {
                    slot.runs = None;
                }
            }
            Keeping::Restore(tag) => {
                let content = slot.tags[tag].content.clone();
                slot.went_back(content, answered);
            }
            Keeping::Forget(tag) if answered => {
                slot.tags.remove(tag);
            }
            Keeping::Forget(tag) => {
                if let Some(tag) = slot.tags.get_mut(tag) {
                    tag.there = None;
                }
            }
            Keeping::Fork(tag, fork) => {
                let content = match tag {
                    Some(tag) => slot.tags[tag].content.clone(),
                    None => slot.content(),
                };
                let fork = &mut self.slots[*fork];
                fork.history.push(done.to_owned());
                fork.there = answered.then_some(true);
                fork.runs = answered.then_some(true);
                fork.contents = [content.clone()].into();
                fork.home = content;
            }
        }
    }

    /// Names, files and what the store has of snapshots; with `few` the files of those only of which something was not
    /// known.
    pub(crate) fn look_at_snapshots(&mut self, client: &Arc<Client>, few: bool) {
        let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for info in client.snapshots().expect("list snapshots") {
            // Others have lost their names, and somebody stands on them.
            if let Some((sandbox, tag)) = info.sandbox.zip(info.tag) {
                assert!(listed.entry(sandbox).or_default().insert(tag));
            }
        }
        for slot in self
            .slots
            .iter_mut()
            .filter(|slot| slot.there == Some(true))
        {
            let learned = slot.lists(&listed.remove(&slot.name).unwrap_or_default());
            for (tag, known) in &slot.tags {
                if few && !learned.contains(tag) {
                    continue;
                }
                // Goes with its handle.
                let forks = client
                    .sandbox(&slot.name)
                    .and_then(|it| it.fork(Some(tag), 1));
                let forks =
                    forks.unwrap_or_else(|error| panic!("fork {tag} of {slot:?}: {error:?}"));
                let found = read_file(&forks[0]);
                assert_eq!(found, known.content, "snapshot {tag} of {slot:#?}");
            }
        }
        assert!(listed.is_empty(), "snapshots of nobody: {listed:?}");
        invariants::soon(
            Duration::from_secs(20),
            "the store has what records name, and nothing else",
            || {
                let stored = invariants::snapshots(&self.ground.home)?;
                let listed = client.snapshots().expect("list snapshots");
                let listed: BTreeSet<String> = listed
                    .iter()
                    .map(|info| info.id.as_str().to_owned())
                    .collect();
                if listed == stored {
                    Ok(())
                } else {
                    Err(format!("{listed:?} are listed, and stored are {stored:?}"))
                }
            },
        );
    }
}
