//! RUN: a command in a sandbox of the image so far.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use shedbox_docker::exec as words;
use shedbox_dockerfile::expand::EnvList;
use shedbox_dockerfile::{Run, RunNetwork, Script};
use shedbox_spec::control::{Attach, Reply, Request};
use shedbox_spec::exec::End as Ending;
use shedbox_spec::limits::{Limits, LimitsMode};
use shedbox_spec::mount::{Access, Mount};
use shedbox_spec::network::Network;
use shedbox_spec::{Error, Result, SandboxSpec};

use super::super::ends::{Control, End};
use super::super::scratch::Scratch;
use super::super::{later, now};
use super::mounts::Shown;
use super::output::{Pieces, Stop};
use super::{Build, Stage, cache};

/// Where scripts are, as in BuildKit; nothing of it gets into the image.
const SCRIPTS: &str = "/dev/pipes";

impl Build {
    /// A sandbox of a step that does not run yet.
    pub(super) fn sandbox(
        &self,
        image: &str,
        change: impl FnOnce(&mut SandboxSpec),
    ) -> Result<Scratch> {
        Scratch::make(&self.docker, image, |spec| {
            spec.extra_hosts.clone_from(&self.options.extra_hosts);
            spec.shm_size = self.options.shm_size;
            spec.security.no_new_privileges = false;
            spec.limits = Limits {
                memory: self.options.memory,
                mode: LimitsMode::BestEffort,
                ..Limits::default()
            };
            change(spec);
        })
    }

    pub(super) async fn run(
        &mut self,
        index: usize,
        current: &mut Stage,
        run: &Run,
    ) -> Result<(), Stop> {
        let env = current.config.config().env.clone();
        let shell = current.config.config().shell();
        let (argv, script) = command(run, &shell);
        let lookup = EnvList::new(&env);
        let wanted = run
            .mounts(self.escape, &self.args.for_stage(&lookup))
            .map_err(|error| Error::invalid(error.to_string()))?;
        let words = self.args.cache_command(&lookup, &argv);
        let run_env = self.args.run_environment(&lookup);
        let shown = self.shown(index, &wanted).await?;
        let created_by = words.join(" ");
        let key = cache::Key::new(
            current.image.as_ref(),
            &[
                "RUN",
                &words.join("\0"),
                script.as_deref().unwrap_or(""),
                &format!("{wanted:?} {:?}", run.network),
                &shown.iter().map(Shown::digest).collect::<String>(),
            ],
        );
        if let Some(image) = self.cached(&key).await {
            current.image = Some(image);
            return Ok(());
        }
        let image = self.ground(current).await?;
        let network = self.network(run.network)?;
        let mut mounts = self.mounts(&wanted, shown).await?;
        if let (Some(script), Some(path)) = (script, argv.first()) {
            mounts.push(Mount::Bind {
                source: self.script(&script)?,
                target: path.clone(),
                access: Access::Ro,
            });
        }
        let scratch = self.sandbox(&image, |spec| {
            spec.command.clone_from(&argv);
            spec.env = run_env;
            spec.network = network;
            spec.mounts = mounts;
        })?;
        let id: String = scratch.id.chars().take(12).collect();
        self.output.say(&format!(" ---> Running in {id}\n")).await;
        let code = self.follow(&scratch, &argv).await?;
        if code != 0 {
            return Err(Stop::Command(argv.join(" "), code));
        }
        self.commit(current, &scratch.id, created_by, &key).await?;
        self.output
            .say(&format!(" ---> Removed intermediate container {id}\n"))
            .await;
        Ok(())
    }

    fn network(&self, of_run: Option<RunNetwork>) -> Result<Network> {
        match (of_run, self.options.network.as_deref()) {
            (Some(RunNetwork::None), _) => Ok(Network::None),
            (Some(RunNetwork::Host), _) => Ok(Network::Host),
            (_, None | Some("" | "default")) => Ok(Network::bridge()),
            (_, Some(mode)) => Network::parse(mode),
        }
    }

    /// A file of ours with the text of a script.
    fn script(&self, text: &str) -> Result<String> {
        let path = self.workspace.fresh()?;
        let write = || {
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
        };
        write().map_err(|error| Error::internal(format!("cannot write a script: {error}")))?;
        Ok(path.display().to_string())
    }

    /// Starts the command and passes on what it writes; its status.
    async fn follow(&self, scratch: &Scratch, argv: &[String]) -> Result<u8> {
        let id = scratch.id.clone();
        let info = now(|| self.docker.engine.start(&id, true))?;
        let (out, their_out) = End::from_sandbox()?;
        let (err, their_err) = End::from_sandbox()?;
        let attach = Attach {
            stdout: true,
            stderr: true,
            ..Attach::default()
        };
        let fds = [their_out, their_err];
        let control = Control::ask(Path::new(&info.socket), &Request::StartMain(attach), &fds)?;
        drop(fds);
        let (mut out, mut err) = (Some(out), Some(err));
        let (mut first, mut second) = (vec![0; 8 << 10], vec![0; 8 << 10]);
        let mut pieces = [Pieces::default(), Pieces::default()];
        let result = loop {
            tokio::select! {
                read = read_of(out.as_ref(), &mut first) => match read {
                    0 => out = None,
                    count => self.output.pass(false, &mut pieces[0], &first[..count]).await,
                },
                read = read_of(err.as_ref(), &mut second) => match read {
                    0 => err = None,
                    count => self.output.pass(true, &mut pieces[1], &second[..count]).await,
                },
                reply = control.reply() => match reply? {
                    (Reply::Exited(result), _) => break result,
                    (Reply::Failed(error), _) => return Err(error),
                    _ => {}
                },
            }
        };
        for (is_error, end) in [(false, out), (true, err)] {
            while let Some(count @ 1..) = end.as_ref().and_then(|end| end.read_now(&mut first)) {
                self.output
                    .pass(
                        is_error,
                        &mut pieces[usize::from(is_error)],
                        &first[..count],
                    )
                    .await;
            }
        }
        if let Ending::NotStarted(why) = &result.end {
            let program = argv.first().map_or("", String::as_str);
            return Err(Error::invalid(words::main_not_started(why, program)));
        }
        // What it has left running goes before its files are read.
        let id = scratch.id.clone();
        later(&self.docker, move |engine| {
            engine.stop(&id, Some(std::time::Duration::ZERO))
        })
        .await?;
        Ok(result.end.status())
    }
}

async fn read_of(end: Option<&End>, buffer: &mut [u8]) -> usize {
    match end {
        Some(end) => end.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

/// The command, and the text of a script that begins with `#!`: it is shown to the command as a file.
fn command(run: &Run, shell: &[String]) -> (Vec<String>, Option<String>) {
    match run.script() {
        Script::Exec(argv) => (argv, None),
        Script::Shell(text) => (shell.iter().cloned().chain([text]).collect(), None),
        Script::File { name, content } => (vec![format!("{SCRIPTS}/{name}")], Some(content)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_dockerfile::{Instruction, parse};

    #[test]
    fn forms_of_commands() {
        let of = |text: &str| {
            let file = parse(format!("FROM x\n{text}").as_bytes()).unwrap();
            let Instruction::Run(run) = &file.instructions[1].instruction else {
                panic!()
            };
            command(run, &["/bin/sh".to_owned(), "-c".to_owned()])
        };
        assert_eq!(of("RUN a b").0, ["/bin/sh", "-c", "a b"]);
        assert_eq!(of("RUN [\"a\", \"b\"]").0, ["a", "b"]);
        assert_eq!(of("RUN <<EOF\na\nb\nEOF").0, ["/bin/sh", "-c", "a\nb\n"]);
        let (argv, script) = of("RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF");
        assert_eq!(argv, ["/dev/pipes/EOF"]);
        assert!(script.unwrap().contains("print(1)"));
    }
}
