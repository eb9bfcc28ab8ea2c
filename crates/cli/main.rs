//! The `shedbox` command: arguments in, calls to the client, words out.
//!
//! Standard output is data, standard error is talk. Exit status: the command's own for `run` and `exec`, 124 after a
//! time-out, 125 when shedbox itself failed, 126 or 127 when the command could not be started, 128 + n for signal n.

mod args;
mod audit;
mod commands;
mod confined;
mod copy_path;
mod create_options;
mod docker;
mod env;
mod exec_env;
mod foreground;
mod generate;
mod landlock_options;
mod limit_options;
mod network_options;
mod progress;
mod render;
mod report;
mod security_options;
mod time;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if docker::is_called_so(arguments.next().as_ref()) {
        return docker::main(std::env::args_os());
    }
    // The same without a link.
    if arguments.next().is_some_and(|word| word == "docker") {
        return docker::main(std::env::args_os().skip(1));
    }
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data on standard output; a reader that has gone has seen enough.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                report::SHEDBOX_FAILED
            } else {
                0
            });
        }
    };
    let failed = cli.command.failure_status();
    match cli.command.run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => ExitCode::from(report::report(&error, failed)),
    }
}
