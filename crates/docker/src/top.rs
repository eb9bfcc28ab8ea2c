//! `docker top`: processes in the columns of ps(1).
//!
//! dockerd runs the host's ps with the client's options. Ours are the formats that people use; the columns' titles are
//! those of procps.

use serde_json::{Value, json};
use shedbox_spec::control::ProcessStats;
use shedbox_spec::{Error, Result};

use jiff::Timestamp;

/// Options when the client gives none, as dockerd has it.
const DEFAULT: &str = "-ef";
/// Microseconds in a second.
const SECOND: u64 = 1_000_000;

/// What surrounds the processes.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    /// Now.
    pub now: Timestamp,
    /// Bytes of memory of the host.
    pub memory: u64,
}

type Show = fn(&ProcessStats, &Around) -> String;

/// A column of a format.
#[derive(Clone)]
struct Column {
    title: String,
    show: Show,
}

/// Keywords, the title that each has, and what it shows. Source: ps(1), standard format specifiers.
const COLUMNS: &[(&[&str], &str, Show)] = &[
    (&["pid"], "PID", |process, _| process.pid.to_string()),
    (&["ppid"], "PPID", |process, _| process.ppid.to_string()),
    (&["pgid"], "PGID", |process, _| process.group.to_string()),
    (&["pgrp"], "PGRP", |process, _| process.group.to_string()),
    (&["sid"], "SID", |process, _| process.session.to_string()),
    (&["sess", "session"], "SESS", |process, _| {
        process.session.to_string()
    }),
    (&["user", "uname"], "USER", |process, _| {
        process.uid.to_string()
    }),
    (&["euser"], "EUSER", |process, _| process.uid.to_string()),
    (&["uid"], "UID", |process, _| process.uid.to_string()),
    (&["euid"], "EUID", |process, _| process.uid.to_string()),
    (&["comm", "ucomm"], "COMMAND", |process, _| {
        process.name.clone()
    }),
    (&["ucmd"], "CMD", |process, _| process.name.clone()),
    (&["args", "command"], "COMMAND", |process, _| {
        process.command.clone()
    }),
    (&["cmd"], "CMD", |process, _| process.command.clone()),
    (&["time", "cputime"], "TIME", |process, _| {
        time(process.cpu_us)
    }),
    (&["bsdtime"], "TIME", |process, _| bsd_time(process.cpu_us)),
    (&["etime"], "ELAPSED", |process, _| elapsed(process.age_us)),
    (&["etimes"], "ELAPSED", |process, _| {
        (process.age_us / SECOND).to_string()
    }),
    (&["stime"], "STIME", day),
    (&["start_time", "bsdstart"], "START", day),
    (&["start"], "STARTED", started),
    (&["stat"], "STAT", |process, _| stat(process)),
    (&["s", "state"], "S", |process, _| process.state.to_string()),
    (&["c"], "C", |process, _| {
        format!("{:.0}", cpu(process).floor())
    }),
    (&["pcpu", "%cpu"], "%CPU", |process, _| {
        format!("{:.1}", cpu(process))
    }),
    (&["pmem", "%mem"], "%MEM", memory),
    (&["rss", "rssize"], "RSS", |process, _| {
        (process.rss / 1024).to_string()
    }),
    (&["rsz"], "RSZ", |process, _| {
        (process.rss / 1024).to_string()
    }),
    (&["vsz", "vsize"], "VSZ", |process, _| {
        (process.vsize / 1024).to_string()
    }),
    (&["tty", "tt"], "TT", |process, _| terminal(process.tty)),
    (&["tname"], "TTY", |process, _| terminal(process.tty)),
    (&["ni", "nice"], "NI", |process, _| process.nice.to_string()),
    (&["nlwp"], "NLWP", |process, _| process.threads.to_string()),
    (&["thcount"], "THCNT", |process, _| {
        process.threads.to_string()
    }),
];

/// `-f`.
const FULL: &str = "uid,pid,ppid,c,stime,tname,time,cmd";
/// `u`.
const USER: &str = "user,pid,%cpu,%mem,vsz,rss,tname,stat,start_time,bsdtime,command";
/// Without a format, in the style of Unix and in that of BSD.
const SHORT: &str = "pid,tname,time,ucmd";
const BSD: &str = "pid,tname,stat,bsdtime,command";

/// The answer of `GET /containers/{id}/top`: the columns that the options of ps ask for.
pub fn table(ps_args: &str, processes: &[ProcessStats], around: &Around) -> Result<Value> {
    let columns = columns(if ps_args.trim().is_empty() {
        DEFAULT
    } else {
        ps_args
    })?;
    if !columns.iter().any(|column| column.title == "PID") {
        return Err(Error::internal("Couldn't find PID field in ps output"));
    }
    let rows: Vec<Vec<String>> = processes
        .iter()
        .map(|process| {
            let fields = columns.iter();
            fields
                .map(|column| (column.show)(process, around))
                .collect()
        })
        .collect();
    let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    Ok(json!({"Titles": titles, "Processes": rows}))
}

/// Reads options: which processes they select does not count, since all of a container are shown.
fn columns(ps_args: &str) -> Result<Vec<Column>> {
    let mut own = Vec::new();
    let mut preset = None;
    let mut words = ps_args.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let (letters, is_unix) = match word.strip_prefix("--") {
            Some(long) => {
                let format = long.strip_prefix("format").ok_or_else(|| unknown(word))?;
                let format = match format.strip_prefix('=') {
                    Some(list) => Some(list),
                    None if format.is_empty() => words.next(),
                    None => return Err(unknown(word)),
                };
                add(&mut own, format, word)?;
                continue;
            }
            None => match word.strip_prefix('-') {
                Some(letters) => (letters, true),
                None => (word, false),
            },
        };
        for (at, letter) in letters.char_indices() {
            match letter {
                'o' => {
                    let rest = &letters[at + 1..];
                    let list = if rest.is_empty() {
                        words.next()
                    } else {
                        Some(rest)
                    };
                    add(&mut own, list, word)?;
                    break;
                }
                'f' if is_unix => preset = Some(FULL),
                'u' if !is_unix => preset = Some(USER),
                // Which processes; widths; sorting has no meaning where all are few.
                'e' | 'A' | 'a' | 'd' | 'w' if is_unix => preset = preset.or(Some(SHORT)),
                'a' | 'x' | 'w' if !is_unix => preset = preset.or(Some(BSD)),
                _ => return Err(unknown(word)),
            }
        }
    }
    if own.is_empty() {
        add(&mut own, Some(preset.unwrap_or(SHORT)), ps_args)?;
    }
    Ok(own)
}

/// Adds the columns of a list: `pid,comm`, each with a title of its own after `=` if it is to have one.
fn add(columns: &mut Vec<Column>, list: Option<&str>, option: &str) -> Result<()> {
    let list = list
        .ok_or_else(|| Error::invalid(format!("ps: format specification must follow {option}")))?;
    for entry in list.split(',').filter(|entry| !entry.is_empty()) {
        let (keyword, title) = match entry.split_once('=') {
            Some((keyword, title)) => (keyword, Some(title)),
            None => (entry, None),
        };
        // Source: moby `daemon/top_unix.go`, `validatePSArgs`: nothing else may look like the column of pids.
        if let Some(title) = title.filter(|title| title.starts_with("PID") && keyword != "pid") {
            return Err(Error::invalid(format!(
                "specifying \"{keyword}={title}\" is not allowed"
            )));
        }
        let known = COLUMNS
            .iter()
            .find(|(keywords, _, _)| keywords.contains(&keyword));
        let Some((_, usual, show)) = known else {
            return Err(Error::invalid(format!(
                "ps: unknown user-defined format specifier \"{keyword}\""
            ))
            .with_hint(
                "known are pid, ppid, pgid, sid, user, uid, comm, args, cmd, time, etime, stat, s, pcpu, pmem, rss, vsz, \
                 tty, ni, nlwp and start",
            ));
        };
        columns.push(Column {
            title: title.unwrap_or(usual).to_owned(),
            show: *show,
        });
    }
    Ok(())
}

fn unknown(option: &str) -> Error {
    Error::invalid(format!("ps: the option `{option}` is not supported"))
        .with_hint("use `-ef`, `aux` or `-o` with a list of columns")
}

/// `[DD-]HH:MM:SS`.
fn time(us: u64) -> String {
    let seconds = us / SECOND;
    let clock = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    );
    match seconds / 86_400 {
        0 => clock,
        days => format!("{days}-{clock}"),
    }
}

/// `MMM:SS`.
fn bsd_time(us: u64) -> String {
    let seconds = us / SECOND;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// `[[DD-]HH:]MM:SS`.
fn elapsed(us: u64) -> String {
    let full = time(us);
    match full.strip_prefix("00:") {
        Some(short) => short.to_owned(),
        None => full,
    }
}

fn since(process: &ProcessStats, around: &Around) -> Timestamp {
    let age = jiff::SignedDuration::from_micros(i64::try_from(process.age_us).unwrap_or(i64::MAX));
    around.now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When it began: the time if that was within a day, else the date.
fn day(process: &ProcessStats, around: &Around) -> String {
    let format = if process.age_us < 86_400 * SECOND {
        "%H:%M"
    } else {
        "%b%d"
    };
    since(process, around).strftime(format).to_string()
}

fn started(process: &ProcessStats, around: &Around) -> String {
    since(process, around).strftime("%H:%M:%S").to_string()
}

/// CPU time in percent of its age.
fn cpu(process: &ProcessStats) -> f64 {
    match process.age_us {
        0 => 0.0,
        age => process.cpu_us as f64 * 100.0 / age as f64,
    }
}

fn memory(process: &ProcessStats, around: &Around) -> String {
    let share = match around.memory {
        0 => 0.0,
        all => process.rss as f64 * 100.0 / all as f64,
    };
    format!("{share:.1}")
}

/// State with its flags. Source: ps(1), process state codes.
fn stat(process: &ProcessStats) -> String {
    let mut text = process.state.to_string();
    for (flag, is_set) in [
        ('<', process.nice < 0),
        ('N', process.nice > 0),
        ('s', process.session == process.pid),
        ('l', process.threads > 1),
        ('+', process.foreground == process.group),
    ] {
        if is_set {
            text.push(flag);
        }
    }
    text
}

/// The name of a terminal by its number. Source: proc_pid_stat(5), and the kernel's list of devices for the majors.
fn terminal(number: u32) -> String {
    let major = number >> 8 & 0xfff;
    let minor = number & 0xff | number >> 12 & 0xf_ff00;
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> ProcessStats {
        ProcessStats {
            pid: 7,
            ppid: 1,
            state: 'S',
            uid: 33,
            cpu_us: 3_700_000_000,
            rss: 2 << 20,
            command: "sleep 60".to_owned(),
            name: "sleep".to_owned(),
            vsize: 4 << 20,
            age_us: 37_000_000_000,
            tty: 136 << 8 | 3,
            group: 7,
            session: 7,
            foreground: 7,
            nice: 5,
            threads: 2,
        }
    }

    fn shown(ps_args: &str) -> Result<String> {
        let around = Around {
            now: "2026-03-04T12:00:00Z".parse().unwrap(),
            memory: 200 << 20,
        };
        let table = table(ps_args, &[process()], &around)?;
        let row = |list: &Value| {
            let words = list.as_array().unwrap().iter();
            words
                .map(|word| word.as_str().unwrap())
                .collect::<Vec<_>>()
                .join("|")
        };
        Ok(format!(
            "{} / {}",
            row(&table["Titles"]),
            row(&table["Processes"][0])
        ))
    }

    #[test]
    fn formats_that_people_use() {
        for (ps_args, expected) in [
            (
                "",
                "UID|PID|PPID|C|STIME|TTY|TIME|CMD / 33|7|1|10|01:43|pts/3|01:01:40|sleep 60",
            ),
            (
                "aux",
                "USER|PID|%CPU|%MEM|VSZ|RSS|TTY|STAT|START|TIME|COMMAND / \
                 33|7|10.0|1.0|4096|2048|pts/3|SNsl+|01:43|61:40|sleep 60",
            ),
            ("-o pid,comm", "PID|COMMAND / 7|sleep"),
            ("-opid -o args", "PID|COMMAND / 7|sleep 60"),
            ("-eo pid,etime,stat", "PID|ELAPSED|STAT / 7|10:16:40|SNsl+"),
            ("axo pid=NUMBER,pid,s", "NUMBER|PID|S / 7|7|S"),
            ("--format pid,tty", "PID|TT / 7|pts/3"),
            ("--format=pid,start", "PID|STARTED / 7|01:43:20"),
            ("-e", "PID|TTY|TIME|CMD / 7|pts/3|01:01:40|sleep"),
            (
                "ax",
                "PID|TTY|STAT|TIME|COMMAND / 7|pts/3|SNsl+|61:40|sleep 60",
            ),
        ] {
            assert_eq!(shown(ps_args).unwrap(), expected, "{ps_args}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (ps_args, word) in [
            ("-o comm", "Couldn't find PID field in ps output"),
            ("-o pid=X", "Couldn't find PID field"),
            ("-o comm=PID", "\"comm=PID\" is not allowed"),
            ("-o pid,nonsense", "\"nonsense\""),
            ("-o", "must follow -o"),
            ("-efL", "`-efL`"),
            ("--forest", "`--forest`"),
            ("--formats", "`--formats`"),
        ] {
            let error = shown(ps_args).unwrap_err().message;
            assert!(error.contains(word), "{ps_args}: {error}");
        }
    }

    #[test]
    fn times_and_terminals() {
        assert_eq!(time(90_061_000_000), "1-01:01:01");
        assert_eq!(elapsed(61_000_000), "01:01");
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(4 << 8 | 1), "tty1");
    }
}
