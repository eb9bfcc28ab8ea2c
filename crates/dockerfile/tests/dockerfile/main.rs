//! One test binary; a module per area. Tables read as the specification.

#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    reason = "a test may stop anywhere, and is no hot path"
)]

mod config;
mod errors;
mod expansion;
mod hostile;
mod ignore;
mod instructions;
mod scope;
mod stages;
mod syntax;

use shedbox_dockerfile::{Instruction, parse};

/// The instructions of a file that starts with `FROM a`, without that, as text; or the error.
fn outline(body: &str) -> String {
    match parse(format!("FROM a\n{body}").as_bytes()) {
        Ok(file) => file
            .instructions
            .iter()
            .skip(1)
            .map(|located| short(&located.instruction))
            .collect::<Vec<_>>()
            .join("; "),
        Err(error) => format!("error: {}", error.problem),
    }
}

/// An instruction in few words.
fn short(instruction: &Instruction) -> String {
    use shedbox_dockerfile::{CommandLine, Source};
    let command = |command: &CommandLine| match command {
        CommandLine::Shell(text) => format!("shell<{text}>"),
        CommandLine::Exec(words) => format!("exec{words:?}"),
    };
    let pairs = |pairs: &[shedbox_dockerfile::Pair]| {
        pairs
            .iter()
            .map(|pair| format!("<{}>=<{}>", pair.key, pair.value))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let transfer = |transfer: &shedbox_dockerfile::Transfer| {
        let sources = transfer.sources.iter().map(|source| match source {
            Source::Path(path) => format!("<{path}>"),
            Source::Inline(document) => format!("{}={:?}", document.name, document.text()),
        });
        let mut text = format!(
            "{} -> <{}>",
            sources.collect::<Vec<_>>().join(" "),
            transfer.destination
        );
        for (name, value) in [("chown", &transfer.chown), ("chmod", &transfer.chmod)] {
            if let Some(value) = value {
                text += &format!(" {name}={value}");
            }
        }
        if transfer.link {
            text += " link";
        }
        if !transfer.exclude.is_empty() {
            text += &format!(" exclude={:?}", transfer.exclude);
        }
        text
    };
    let what = match instruction {
        Instruction::Add(add) => {
            let checksum = add
                .checksum
                .as_ref()
                .map_or(String::new(), |sum| format!(" checksum={sum}"));
            transfer(&add.transfer)
                + &checksum
                + if add.keep_git_dir {
                    " keep-git-dir"
                } else {
                    ""
                }
        }
        Instruction::Copy(copy) => {
            transfer(&copy.transfer)
                + &copy
                    .from
                    .as_ref()
                    .map_or(String::new(), |from| format!(" from={from}"))
        }
        Instruction::Arg(args) => args
            .iter()
            .map(|arg| {
                arg.default.as_ref().map_or(arg.name.clone(), |default| {
                    format!("{}=<{default}>", arg.name)
                })
            })
            .collect::<Vec<_>>()
            .join(" "),
        Instruction::Cmd(line) | Instruction::Entrypoint(line) => command(line),
        Instruction::Env(list) | Instruction::Label(list) => pairs(list),
        Instruction::Expose(words) | Instruction::Shell(words) | Instruction::Volume(words) => {
            format!("{words:?}")
        }
        Instruction::From(from) => format!("{} {:?} {:?}", from.image, from.platform, from.name),
        Instruction::Healthcheck(check) => match &check.command {
            None => "none".to_owned(),
            Some(test) => format!(
                "{} {} {} {} {} {}",
                command(test),
                check.interval,
                check.timeout,
                check.start_period,
                check.start_interval,
                check.retries
            ),
        },
        Instruction::Maintainer(text)
        | Instruction::StopSignal(text)
        | Instruction::User(text)
        | Instruction::Workdir(text) => format!("<{text}>"),
        Instruction::Onbuild(trigger) => {
            format!("{:?} {}", trigger.expression, short(&trigger.instruction))
        }
        Instruction::Run(run) => {
            let mut text = command(&run.command);
            for document in &run.here_documents {
                text += &format!(" {}={:?}", document.name, document.content);
            }
            for mount in &run.mount_flags {
                text += &format!(" mount={mount}");
            }
            if let Some(network) = run.network {
                text += &format!(" network={network:?}");
            }
            text
        }
    };
    format!("{} {what}", instruction.keyword())
}
