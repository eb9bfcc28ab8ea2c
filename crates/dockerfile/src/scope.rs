//! Build arguments: which variables an instruction sees.
//!
//! ```text
//! ARG V=1           global: seen by FROM only
//! FROM base:$V
//! ARG V             the stage sees it too: given by the user, else the default here, else the global value
//! ENV V=2           wins over the argument from here on
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::expand::Lookup;

/// Arguments that need no ARG, and do not count for the cache: a proxy changes nothing about the result.
pub const PREDEFINED: [&str; 10] = [
    "ALL_PROXY",
    "all_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// What the values of declared arguments may add up to in bytes, so that doubling variables do not fill the memory.
pub const MOST_TEXT: usize = 16 << 20;

/// More than [`MOST_TEXT`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the build arguments of this file are longer than {MOST_TEXT} bytes")]
pub struct TooLong;

/// A platform as its arguments show it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
    /// `v7`, or nothing.
    pub variant: String,
}

impl Platform {
    /// `os/architecture`, with `/variant` if there is one.
    pub fn name(&self) -> String {
        let parts = [&self.os, &self.architecture, &self.variant].map(String::as_str);
        parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/")
    }

    fn arguments(&self, prefix: &str) -> [(String, String); 4] {
        [
            (format!("{prefix}PLATFORM"), self.name()),
            (format!("{prefix}OS"), self.os.clone()),
            (format!("{prefix}ARCH"), self.architecture.clone()),
            (format!("{prefix}VARIANT"), self.variant.clone()),
        ]
    }
}

/// The build arguments of one build, as they are at one instruction.
#[derive(Debug, Clone, Default)]
pub struct Args {
    given: BTreeMap<String, String>,
    global: BTreeMap<String, Option<String>>,
    stage: BTreeMap<String, Option<String>>,
    declared: BTreeSet<String>,
    text: usize,
}

impl Args {
    /// Arguments given by the user, and the platforms of the result and of the machine that builds.
    pub fn new(given: BTreeMap<String, String>, target: &Platform, build: &Platform) -> Self {
        let platforms = target
            .arguments("TARGET")
            .into_iter()
            .chain(build.arguments("BUILD"));
        Self {
            given,
            global: platforms.map(|(name, value)| (name, Some(value))).collect(),
            ..Self::default()
        }
    }

    /// An ARG before the first FROM, its default expanded with [`Args::for_from`].
    pub fn declare_global(&mut self, name: &str, default: Option<String>) -> Result<(), TooLong> {
        self.count(name, default.as_deref())?;
        // `ARG TARGETARCH` up there does not take the platform away.
        if default.is_some() || !self.global.contains_key(name) {
            self.global.insert(name.to_owned(), default);
        }
        Ok(())
    }

    /// A new stage: what the one before declared is gone.
    pub fn start_stage(&mut self) {
        self.stage.clear();
    }

    /// An ARG in a stage, its default expanded with [`Args::for_stage`].
    pub fn declare(&mut self, name: &str, default: Option<String>) -> Result<(), TooLong> {
        self.count(name, default.as_deref())?;
        self.stage.insert(name.to_owned(), default);
        Ok(())
    }

    fn count(&mut self, name: &str, default: Option<&str>) -> Result<(), TooLong> {
        self.text += name.len() + default.map_or(0, str::len);
        if self.text > MOST_TEXT {
            return Err(TooLong);
        }
        self.declared.insert(name.to_owned());
        Ok(())
    }

    /// What another branch of the build declared, for [`Args::unused`].
    pub fn merge_declared(&mut self, other: &Self) {
        self.declared.extend(other.declared.iter().cloned());
    }

    /// The variables that FROM and global ARGs see.
    pub fn for_from(&self) -> Scope<'_> {
        Scope {
            args: self,
            declared: &self.global,
            env: None,
        }
    }

    /// The variables that instructions of the stage see; `env` are those of its config, which win.
    pub fn for_stage<'a>(&'a self, env: &'a dyn Lookup) -> Scope<'a> {
        Scope {
            args: self,
            declared: &self.stage,
            env: Some(env),
        }
    }

    /// What RUN gets on top of `env`, as `NAME=value` in the order of names.
    pub fn run_environment(&self, env: &dyn Lookup) -> Vec<String> {
        let declared = self.stage.keys().map(String::as_str);
        let names: BTreeSet<&str> = declared
            .chain(PREDEFINED)
            .filter(|name| env.lookup(name).is_none())
            .collect();
        let entry = |name: &str| {
            self.value(name, &self.stage)
                .map(|value| format!("{name}={value}"))
        };
        names.into_iter().filter_map(entry).collect()
    }

    /// The part of [`Args::run_environment`] that makes two RUNs different: predefined ones count when declared.
    pub fn cache_environment(&self, env: &dyn Lookup) -> Vec<String> {
        let counts = |entry: &String| {
            let name = entry
                .split_once('=')
                .map_or(entry.as_str(), |(name, _)| name);
            self.stage.contains_key(name) || !PREDEFINED.contains(&name)
        };
        self.run_environment(env)
            .into_iter()
            .filter(counts)
            .collect()
    }

    /// The RUN command as the classic builder looks it up in its cache and writes it into the history:
    /// `|2 A=1 B=2 /bin/sh -c make`.
    pub fn cache_command(&self, env: &dyn Lookup, command: &[String]) -> Vec<String> {
        let arguments = self.cache_environment(env);
        if arguments.is_empty() {
            return command.to_vec();
        }
        [format!("|{}", arguments.len())]
            .into_iter()
            .chain(arguments)
            .chain(command.iter().cloned())
            .collect()
    }

    /// Given arguments that nothing declared.
    pub fn unused(&self) -> Vec<String> {
        let is_unused =
            |name: &&String| !self.declared.contains(*name) && !PREDEFINED.contains(&name.as_str());
        self.given.keys().filter(is_unused).cloned().collect()
    }

    /// The warning about them.
    pub fn unused_warning(&self) -> Option<String> {
        let unused = self.unused();
        let list = || {
            format!(
                "[Warning] One or more build-args [{}] were not consumed",
                unused.join(" ")
            )
        };
        (!unused.is_empty()).then(list)
    }

    /// What the user gave, else the default, else the global value.
    fn value<'a>(
        &'a self,
        name: &str,
        declared: &'a BTreeMap<String, Option<String>>,
    ) -> Option<&'a str> {
        if !declared.contains_key(name) && !PREDEFINED.contains(&name) {
            return None;
        }
        let default = || declared.get(name).and_then(Option::as_ref);
        let global = || self.global.get(name).and_then(Option::as_ref);
        self.given
            .get(name)
            .or_else(default)
            .or_else(global)
            .map(String::as_str)
    }
}

/// The variables that one instruction sees.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    args: &'a Args,
    declared: &'a BTreeMap<String, Option<String>>,
    env: Option<&'a dyn Lookup>,
}

impl Lookup for Scope<'_> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.env
            .and_then(|env| env.lookup(name))
            .or_else(|| self.args.value(name, self.declared))
    }
}
