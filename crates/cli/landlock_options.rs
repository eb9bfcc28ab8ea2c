//! Options about the Landlock domain.

use anyhow::Result;
use clap::ValueEnum;
use shedbox_spec::Error;
use shedbox_spec::landlock::{LandlockLevel, LandlockSpec};

/// How much of Landlock there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Level {
    /// No domain
    Off,
    /// What this kernel offers
    #[default]
    BestEffort,
    /// Every right that shedbox knows
    Require,
}

/// See the module.
#[derive(Debug, clap::Args)]
pub(crate) struct LandlockOptions {
    /// How much of Landlock there must be. Paths and ports that are named are enforced or refused at any level
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    landlock: Level,
    /// Let files be read and executed here and nowhere else; comma lists and repetition add up
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    landlock_ro: Vec<String>,
    /// The same, and written too
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    landlock_rw: Vec<String>,
    /// Let TCP connect to this port and to no other; `none` for no port
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    allow_tcp_connect: Vec<String>,
    /// Let TCP sockets be bound to this port and to no other; 0 stands for those that the kernel chooses, `none` for
    /// no port
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    allow_tcp_bind: Vec<String>,
}

impl LandlockOptions {
    pub(crate) fn spec(&self) -> Result<LandlockSpec> {
        let spec = LandlockSpec {
            level: match self.landlock {
                Level::Off => LandlockLevel::Off,
                Level::BestEffort => LandlockLevel::BestEffort,
                Level::Require => LandlockLevel::Require,
            },
            ro: self.landlock_ro.clone(),
            rw: self.landlock_rw.clone(),
            tcp_connect: ports(&self.allow_tcp_connect, 1)?,
            tcp_bind: ports(&self.allow_tcp_bind, 0)?,
        };
        spec.validate()?;
        Ok(spec)
    }
}

/// Ports from `least` on; `None` when there is no word, an empty list for the word `none`.
fn ports(words: &[String], least: u16) -> Result<Option<Vec<u16>>> {
    match words {
        [] => Ok(None),
        [word] if word == "none" => Ok(Some(Vec::new())),
        words => words
            .iter()
            .map(|word| {
                word.parse()
                    .ok()
                    .filter(|port| *port >= least)
                    .ok_or_else(|| {
                        Error::invalid(format!("invalid TCP port `{word}`"))
                            .with_hint(format!("a port is a number from {least} to 65535"))
                            .into()
                    })
            })
            .collect::<Result<_>>()
            .map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_as_typed() {
        let words =
            |list: &[&str]| -> Vec<String> { list.iter().map(|word| (*word).to_owned()).collect() };
        assert_eq!(ports(&[], 1).unwrap(), None);
        assert_eq!(ports(&words(&["none"]), 1).unwrap(), Some(vec![]));
        assert_eq!(
            ports(&words(&["80", "65535"]), 1).unwrap(),
            Some(vec![80, 65535])
        );
        assert_eq!(ports(&words(&["0"]), 0).unwrap(), Some(vec![0]));
        for bad in ["0", "65536", "-1", "http", "", "80-90"] {
            let error = ports(&words(&[bad]), 1).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid TCP port `{bad}`"));
        }
        assert!(ports(&words(&["80", "none"]), 1).is_err());
    }
}
