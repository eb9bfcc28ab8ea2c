//! One logical line into an [`Instruction`].

use std::collections::{HashMap, VecDeque};

use crate::duration::parse_nanoseconds;
use crate::flags::{Flags, Takes};
use crate::instruction::with_here_documents;
use crate::words::{Command, is_blank, json_array, quoted_words, split_blanks, split_command};
use crate::{
    Add, Arg, CommandLine, Copy, From, Healthcheck, HereDocument, Instruction, Keyword, Mount,
    Onbuild, Pair, Problem, Run, RunNetwork, Source, Transfer,
};

/// The shortest time between health checks: one millisecond.
const SHORTEST_INTERVAL: i64 = 1_000_000;

/// Parses a trimmed logical line.
pub(crate) fn instruction(
    line: &str,
    documents: Vec<HereDocument>,
    escape: char,
) -> Result<Instruction, Problem> {
    let command = split_command(line);
    if Keyword::from_word(command.keyword) == Some(Keyword::Onbuild) {
        return onbuild(&command, documents, escape);
    }
    plain(&command, documents, escape)
}

/// Every instruction but ONBUILD, which is what keeps ONBUILD from nesting.
fn plain(
    command: &Command<'_>,
    documents: Vec<HereDocument>,
    escape: char,
) -> Result<Instruction, Problem> {
    let keyword = Keyword::from_word(command.keyword)
        .ok_or_else(|| Problem::UnknownInstruction(command.keyword.to_uppercase()))?;
    let arguments = command.arguments;
    match keyword {
        Keyword::Add => return add(command, documents),
        Keyword::Copy => return copy(command, documents),
        Keyword::From => return from(command),
        Keyword::Run => return run(command, documents),
        Keyword::Healthcheck => return healthcheck(command),
        _ => {}
    }
    let one = || match arguments {
        "" => Err(Problem::ExactlyOneArgument(keyword)),
        text => Ok(text.to_owned()),
    };
    // Docker counts the arguments of these before it looks at flags.
    let counted = match keyword {
        Keyword::Maintainer | Keyword::Stopsignal | Keyword::User | Keyword::Workdir => {
            one().map(drop)
        }
        Keyword::Expose | Keyword::Volume => at_least_one(keyword, arguments),
        _ => Ok(()),
    };
    counted.and_then(|()| Flags::none(&command.flags))?;
    Ok(match keyword {
        Keyword::Arg => Instruction::Arg(args(arguments, escape)?),
        Keyword::Cmd => Instruction::Cmd(command_line(keyword, arguments)?),
        Keyword::Entrypoint => Instruction::Entrypoint(command_line(keyword, arguments)?),
        Keyword::Env => Instruction::Env(pairs(keyword, arguments, escape)?),
        Keyword::Label => Instruction::Label(pairs(keyword, arguments, escape)?),
        Keyword::Expose => Instruction::Expose(split_blanks(arguments)),
        Keyword::Maintainer => Instruction::Maintainer(one()?),
        Keyword::Shell => Instruction::Shell(shell(arguments)?),
        Keyword::Stopsignal => Instruction::StopSignal(one()?),
        Keyword::User => Instruction::User(one()?),
        Keyword::Volume => Instruction::Volume(volumes(arguments)?),
        Keyword::Workdir => Instruction::Workdir(one()?),
        Keyword::Onbuild => return Err(Problem::ChainedOnbuild),
        Keyword::Add | Keyword::Copy | Keyword::From | Keyword::Run | Keyword::Healthcheck => {
            return Err(Problem::UnknownInstruction(keyword.name().to_owned()));
        }
    })
}

fn at_least_one(keyword: Keyword, arguments: &str) -> Result<(), Problem> {
    if arguments.is_empty() {
        Err(Problem::AtLeastOneArgument(keyword))
    } else {
        Ok(())
    }
}

fn command_line(keyword: Keyword, arguments: &str) -> Result<CommandLine, Problem> {
    at_least_one(keyword, arguments)?;
    Ok(match json_array(arguments)? {
        Some(exec) => CommandLine::Exec(exec),
        None => CommandLine::Shell(arguments.to_owned()),
    })
}

fn onbuild(
    command: &Command<'_>,
    documents: Vec<HereDocument>,
    escape: char,
) -> Result<Instruction, Problem> {
    at_least_one(Keyword::Onbuild, command.arguments)?;
    Flags::none(&command.flags)?;
    let inner = split_command(command.arguments);
    match Keyword::from_word(inner.keyword) {
        Some(Keyword::Onbuild) => return Err(Problem::ChainedOnbuild),
        Some(keyword @ (Keyword::From | Keyword::Maintainer)) => {
            return Err(Problem::Trigger(keyword));
        }
        _ => {}
    }
    let expression = with_here_documents(command.arguments, &documents);
    let instruction = Box::new(plain(&inner, documents, escape)?);
    Ok(Instruction::Onbuild(Onbuild {
        expression,
        instruction,
    }))
}

fn from(command: &Command<'_>) -> Result<Instruction, Problem> {
    let words = split_blanks(command.arguments);
    let (image, name) = match words.as_slice() {
        [image] => (image, None),
        [image, r#as, name] if r#as.eq_ignore_ascii_case("as") => (image, Some(stage_name(name)?)),
        _ => return Err(Problem::FromArguments),
    };
    let mut flags = Flags::read(&command.flags, &[("platform", Takes::Text)])?;
    Ok(Instruction::From(From {
        image: image.clone(),
        platform: flags.text("platform"),
        name,
    }))
}

fn stage_name(word: &str) -> Result<String, Problem> {
    let name = word.to_lowercase();
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if name.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(Problem::StageName(word.to_owned()))
}

fn args(arguments: &str, escape: char) -> Result<Vec<Arg>, Problem> {
    at_least_one(Keyword::Arg, arguments)?;
    let arg = |word: String| match word.split_once('=') {
        None => Ok(Arg {
            name: word,
            default: None,
        }),
        Some(("", _)) => Err(Problem::BlankName(Keyword::Arg)),
        Some((name, default)) => Ok(Arg {
            name: name.to_owned(),
            default: Some(default.to_owned()),
        }),
    };
    quoted_words(arguments, escape)
        .into_iter()
        .map(arg)
        .collect()
}

/// `KEY value with blanks`, or `KEY=value KEY=value`: the first word decides.
fn pairs(keyword: Keyword, arguments: &str, escape: char) -> Result<Vec<Pair>, Problem> {
    at_least_one(keyword, arguments)?;
    let words = quoted_words(arguments, escape);
    if words.first().is_none_or(|word| !word.contains('=')) {
        let (key, value) = arguments
            .split_once(is_blank)
            .ok_or(Problem::TwoArguments(keyword))?;
        return Ok(vec![Pair {
            key: key.to_owned(),
            value: value.trim_start_matches(is_blank).to_owned(),
        }]);
    }
    let pair = |word: String| match word.split_once('=') {
        None => Err(Problem::NoEqualSign(word)),
        Some(("", _)) => Err(Problem::BlankName(keyword)),
        Some((key, value)) => Ok(Pair {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
    };
    words.into_iter().map(pair).collect()
}

fn shell(arguments: &str) -> Result<Vec<String>, Problem> {
    at_least_one(Keyword::Shell, arguments)?;
    match json_array(arguments)? {
        Some(words) if words.is_empty() => Err(Problem::AtLeastOneArgument(Keyword::Shell)),
        Some(words) => Ok(words),
        None => Err(Problem::NotJson(Keyword::Shell)),
    }
}

fn volumes(arguments: &str) -> Result<Vec<String>, Problem> {
    let paths = json_array(arguments)?.unwrap_or_else(|| split_blanks(arguments));
    if paths.is_empty() {
        return Err(Problem::AtLeastOneArgument(Keyword::Volume));
    }
    let path = |path: String| match path.trim() {
        "" => Err(Problem::EmptyVolume),
        path => Ok(path.to_owned()),
    };
    paths.into_iter().map(path).collect()
}

fn run(command: &Command<'_>, here_documents: Vec<HereDocument>) -> Result<Instruction, Problem> {
    let known = [
        ("mount", Takes::Texts),
        ("network", Takes::Text),
        ("security", Takes::Text),
    ];
    let mut flags = Flags::read(&command.flags, &known)?;
    if flags.text("security").is_some() {
        return Err(Problem::UnsupportedFlag {
            keyword: Keyword::Run,
            flag: "security",
        });
    }
    let mount_flags = flags.texts("mount");
    mount_flags
        .iter()
        .try_for_each(|flag| Mount::check_unexpanded(flag))?;
    let network = match flags.text("network").as_deref() {
        None => None,
        Some("default") => Some(RunNetwork::Default),
        Some("none") => Some(RunNetwork::None),
        Some("host") => Some(RunNetwork::Host),
        Some(other) => return Err(Problem::NetworkMode(other.to_owned())),
    };
    let command = command_line(Keyword::Run, command.arguments)?;
    Ok(Instruction::Run(Run {
        command,
        here_documents,
        mount_flags,
        network,
    }))
}

fn copy(command: &Command<'_>, documents: Vec<HereDocument>) -> Result<Instruction, Problem> {
    let (transfer, mut flags) =
        transfer(Keyword::Copy, command, documents, &[("from", Takes::Text)])?;
    Ok(Instruction::Copy(Copy {
        transfer,
        from: flags.text("from"),
    }))
}

fn add(command: &Command<'_>, documents: Vec<HereDocument>) -> Result<Instruction, Problem> {
    let own = [("checksum", Takes::Text), ("keep-git-dir", Takes::Boolean)];
    let (transfer, mut flags) = transfer(Keyword::Add, command, documents, &own)?;
    let (checksum, keep_git_dir) = (flags.text("checksum"), flags.is_on("keep-git-dir"));
    Ok(Instruction::Add(Add {
        transfer,
        checksum,
        keep_git_dir,
    }))
}

/// What COPY and ADD share, and the flags for the rest.
fn transfer(
    keyword: Keyword,
    command: &Command<'_>,
    documents: Vec<HereDocument>,
    own_flags: &[(&str, Takes)],
) -> Result<(Transfer, Flags), Problem> {
    let mut words = match json_array(command.arguments)? {
        Some(words) => words,
        None => split_blanks(command.arguments),
    };
    let destination = words
        .pop()
        .filter(|_| !words.is_empty())
        .ok_or(Problem::NoDestination(keyword))?;
    let mut known = vec![
        ("chown", Takes::Text),
        ("chmod", Takes::Text),
        ("link", Takes::Boolean),
        ("exclude", Takes::Texts),
        ("parents", Takes::Boolean),
    ];
    known.extend_from_slice(own_flags);
    let mut flags = Flags::read(&command.flags, &known)?;
    if flags.is_on("parents") {
        return Err(Problem::UnsupportedFlag {
            keyword,
            flag: "parents",
        });
    }
    if HereDocument::from_word(&destination).is_some() {
        return Err(Problem::HereDocumentDestination(keyword));
    }
    // Each content is used once, so that a thousand sources of one name do not become a thousand copies.
    let mut by_name = HashMap::<String, VecDeque<HereDocument>>::new();
    for document in documents {
        by_name
            .entry(document.name.clone())
            .or_default()
            .push_back(document);
    }
    let source = |word: String| match HereDocument::from_word(&word) {
        Some(announced) => {
            let read = by_name
                .get_mut(&announced.name)
                .and_then(VecDeque::pop_front);
            Source::Inline(read.unwrap_or(announced))
        }
        None => Source::Path(word),
    };
    let transfer = Transfer {
        sources: words.into_iter().map(source).collect(),
        destination,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.is_on("link"),
        exclude: flags.texts("exclude"),
    };
    Ok((transfer, flags))
}

fn healthcheck(command: &Command<'_>) -> Result<Instruction, Problem> {
    at_least_one(Keyword::Healthcheck, command.arguments)?;
    let (kind, rest) = command
        .arguments
        .split_once(char::is_whitespace)
        .unwrap_or((command.arguments, ""));
    let rest = rest.trim_start();
    if kind.eq_ignore_ascii_case("none") {
        if !rest.is_empty() {
            return Err(Problem::HealthcheckNone);
        }
        return Ok(Instruction::Healthcheck(Healthcheck::default()));
    }
    let names = [
        "interval",
        "timeout",
        "start-period",
        "start-interval",
        "retries",
    ];
    let mut flags = Flags::read(&command.flags, &names.map(|name| (name, Takes::Text)))?;
    if !kind.eq_ignore_ascii_case("cmd") {
        return Err(Problem::HealthcheckType(kind.to_uppercase()));
    }
    let test = match json_array(rest)? {
        Some(exec) if !exec.is_empty() => CommandLine::Exec(exec),
        None if !rest.is_empty() => CommandLine::Shell(rest.to_owned()),
        _ => return Err(Problem::HealthcheckCommand),
    };
    let mut time = |name| match flags
        .text(name)
        .map_or(Ok(0), |text| parse_nanoseconds(&text))?
    {
        value if value != 0 && value < SHORTEST_INTERVAL => Err(Problem::ShortInterval(name)),
        value => Ok(value),
    };
    let mut check = Healthcheck {
        command: Some(test),
        interval: time("interval")?,
        timeout: time("timeout")?,
        start_period: time("start-period")?,
        start_interval: time("start-interval")?,
        retries: 0,
    };
    if let Some(text) = flags.text("retries") {
        let retries = text.parse::<i32>().map_err(|_| Problem::Retries(text))?;
        if retries < 0 {
            return Err(Problem::NegativeRetries(retries.into()));
        }
        check.retries = retries.into();
    }
    Ok(Instruction::Healthcheck(check))
}
