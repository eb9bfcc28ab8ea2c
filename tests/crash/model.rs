//! What may be true of a sandbox after commands of which some were killed.
//!
//! A command that was answered has happened. One that was not may have happened or not: every state that either leaves
//! is possible, and the next look decides which it was.

use std::collections::{BTreeMap, BTreeSet};

use shedbox_client::spec::api::{SandboxInfo, Status};

/// The content of the sandbox's file; `None` when it is not there.
pub(crate) type Content = Option<String>;

/// One name, and what is known of the sandbox that has it.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// The name.
    pub(crate) name: String,
    /// Whether a sandbox has it; `None` when either is possible.
    pub(crate) there: Option<bool>,
    /// Whether it runs; `None` when either is possible.
    pub(crate) runs: Option<bool>,
    /// What its file may hold.
    pub(crate) contents: BTreeSet<Content>,
    /// What its file holds after a reset.
    pub(crate) home: Content,
    /// Its snapshots.
    pub(crate) tags: BTreeMap<String, Tag>,
    /// What was done to it, for messages.
    pub(crate) history: Vec<String>,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    /// What the file held when it was taken.
    pub(crate) content: Content,
    /// Whether it is there; `None` when either is possible.
    pub(crate) there: Option<bool>,
}

/// What is done to a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Create,
    Run,
    Write,
    CopyIn,
    Reset,
    Stop,
    Start,
    Remove,
}

impl Deed {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Run => "run",
            Self::Write => "exec",
            Self::CopyIn => "cp",
            Self::Reset => "reset",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Remove => "rm",
        }
    }
}

impl Slot {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            there: Some(false),
            runs: Some(false),
            contents: [None].into(),
            home: None,
            tags: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    /// What makes sense to do to it.
    pub(crate) fn deeds(&self) -> &'static [Deed] {
        match (self.there, self.runs) {
            (Some(false), _) => &[Deed::Run, Deed::Run, Deed::Create],
            (_, Some(true)) => &[
                Deed::Write,
                Deed::Write,
                Deed::CopyIn,
                Deed::Reset,
                Deed::Reset,
                Deed::Reset,
                Deed::Stop,
                Deed::Remove,
                Deed::Remove,
            ],
            _ => &[
                Deed::Start,
                Deed::Start,
                Deed::Reset,
                Deed::CopyIn,
                Deed::Remove,
            ],
        }
    }

    /// A deed was answered with success, or its outcome is unknown.
    pub(crate) fn done(&mut self, deed: Deed, token: &str, answered: bool) {
        let (there, runs, contents): (bool, Option<bool>, Option<Content>) = match deed {
            Deed::Create => (true, Some(false), Some(None)),
            Deed::Run => (true, Some(true), Some(None)),
            Deed::Reset => (true, Some(true), Some(self.home.clone())),
            Deed::Write | Deed::CopyIn => (true, self.runs, Some(Some(token.to_owned()))),
            Deed::Stop => (true, Some(false), None),
            Deed::Start => (true, Some(true), None),
            Deed::Remove => (false, Some(false), Some(None)),
        };
        if answered {
            self.there = Some(there);
            self.runs = runs;
            if let Some(content) = contents {
                self.contents = [content].into();
            }
            if !there {
                self.tags.clear();
                self.home = None;
            }
        } else {
            // A write neither makes nor removes a sandbox, whatever became of it.
            if !matches!(deed, Deed::Write | Deed::CopyIn) {
                self.runs = None;
            }
            if self.there != Some(there) {
                self.there = None;
            }
            self.contents.extend(contents);
            if deed == Deed::CopyIn {
                // The file is replaced in two steps, as docker cp does it.
                self.contents.extend([None, Some(String::new())]);
            }
        }
    }

    /// Its init was killed, or may have been.
    pub(crate) fn lost_its_init(&mut self) {
        self.runs = None;
    }

    /// What a listing says must be possible; from here on it is known.
    pub(crate) fn listed(&mut self, info: Option<&SandboxInfo>) {
        let Some(info) = info else {
            assert_ne!(self.there, Some(true), "a sandbox is lost: {self:?}");
            *self = Self {
                history: std::mem::take(&mut self.history),
                ..Self::new(self.name.clone())
            };
            return;
        };
        assert_ne!(
            self.there,
            Some(false),
            "a sandbox is there again: {self:?}\n{info:?}"
        );
        self.there = Some(true);
        let runs = match info.status {
            Status::Running | Status::Paused => true,
            Status::Created | Status::Exited => false,
            Status::Removing => panic!("nobody removes it: {self:?}\n{info:?}"),
        };
        assert!(
            self.runs.is_none_or(|expected| expected == runs),
            "status {:?} of {self:?}\n{info:?}",
            info.status
        );
        self.runs = Some(runs);
    }

    /// What its file holds must be possible; from here on it is known.
    pub(crate) fn holds(&mut self, content: Content) {
        assert!(
            self.contents.contains(&content),
            "the file holds {content:?}: {self:?}"
        );
        self.contents = [content].into();
    }
}
