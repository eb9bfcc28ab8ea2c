//! Which words of which instruction have their variables replaced.

use crate::expand::{ExpandError, Expander, Lookup};
use crate::{Add, Arg, Copy, From, HereDocument, Instruction, Pair, Source, Transfer};

impl Instruction {
    /// The instruction with variables replaced and quotes removed, where it is one that does so.
    ///
    /// FROM must be given the global arguments, all others the variables of their stage. The values that an ENV or ARG
    /// sets are not seen by the rest of its line. The values of `RUN --mount` are expanded by [`crate::Run::mounts`].
    pub fn expanded(&self, escape: char, variables: &dyn Lookup) -> Result<Self, ExpandError> {
        let expansion = Expander::new(escape, variables);
        Ok(match self {
            Self::Add(add) => {
                let transfer = expansion.transfer(&add.transfer)?;
                Self::Add(Add {
                    transfer,
                    checksum: expansion.option(add.checksum.as_ref())?,
                    ..add.clone()
                })
            }
            Self::Copy(copy) => Self::Copy(Copy {
                transfer: expansion.transfer(&copy.transfer)?,
                from: copy.from.clone(),
            }),
            Self::Arg(args) => Self::Arg(
                args.iter()
                    .map(|arg| expansion.arg(arg))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Env(pairs) => Self::Env(expansion.pairs(pairs)?),
            Self::Label(pairs) => Self::Label(expansion.pairs(pairs)?),
            Self::Expose(ports) => {
                let mut words = Vec::new();
                for port in ports {
                    words.extend(expansion.words(port)?);
                }
                Self::Expose(words)
            }
            Self::From(from) => Self::From(From {
                image: expansion.word(&from.image)?,
                platform: expansion.option(from.platform.as_ref())?,
                name: from.name.clone(),
            }),
            Self::StopSignal(signal) => Self::StopSignal(expansion.word(signal)?),
            Self::User(user) => Self::User(expansion.word(user)?),
            Self::Volume(paths) => Self::Volume(expansion.each(paths)?),
            Self::Workdir(path) => Self::Workdir(expansion.word(path)?),
            Self::Run(_)
            | Self::Cmd(_)
            | Self::Entrypoint(_)
            | Self::Healthcheck(_)
            | Self::Maintainer(_)
            | Self::Onbuild(_)
            | Self::Shell(_) => self.clone(),
        })
    }
}

impl Expander<'_> {
    fn each(&self, words: &[String]) -> Result<Vec<String>, ExpandError> {
        words.iter().map(|word| self.word(word)).collect()
    }

    fn option(&self, word: Option<&String>) -> Result<Option<String>, ExpandError> {
        word.map(|word| self.word(word)).transpose()
    }

    fn arg(&self, arg: &Arg) -> Result<Arg, ExpandError> {
        Ok(Arg {
            name: self.word(&arg.name)?,
            default: self.option(arg.default.as_ref())?,
        })
    }

    fn pairs(&self, pairs: &[Pair]) -> Result<Vec<Pair>, ExpandError> {
        pairs
            .iter()
            .map(|pair| {
                Ok(Pair {
                    key: self.word(&pair.key)?,
                    value: self.word(&pair.value)?,
                })
            })
            .collect()
    }

    fn transfer(&self, transfer: &Transfer) -> Result<Transfer, ExpandError> {
        let source = |source: &Source| {
            Ok(match source {
                Source::Path(path) => Source::Path(self.word(path)?),
                Source::Inline(document) if document.expand => {
                    let content = self.text(&document.content)?;
                    Source::Inline(HereDocument {
                        content,
                        ..document.clone()
                    })
                }
                Source::Inline(document) => Source::Inline(document.clone()),
            })
        };
        Ok(Transfer {
            sources: transfer
                .sources
                .iter()
                .map(source)
                .collect::<Result<_, _>>()?,
            destination: self.word(&transfer.destination)?,
            chown: self.option(transfer.chown.as_ref())?,
            chmod: self.option(transfer.chmod.as_ref())?,
            link: transfer.link,
            exclude: self.each(&transfer.exclude)?,
        })
    }
}
