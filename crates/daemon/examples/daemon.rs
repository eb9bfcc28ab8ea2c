//! A daemon in one file: what the `shedbox` program does for its `daemon` and `keeper` commands. The tests of this
//! crate start it.

use std::process::ExitCode;

use shedbox_daemon::{DaemonOptions, load_config, run};
use shedbox_spec::paths::Paths;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("keeper") {
        return ExitCode::from(u8::from(shedbox_runtime::keeper::main() != 0));
    }
    let paths = Paths::resolve(shedbox_linux::process::own_uid(), |name| {
        std::env::var(name).ok()
    });
    match load_config(&paths.config) {
        Ok(config) => run(DaemonOptions {
            paths,
            config,
            foreground: false,
        }),
        Err(error) => {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("error: {error}\n").as_bytes(),
            );
            ExitCode::FAILURE
        }
    }
}
