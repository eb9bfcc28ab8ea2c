//! All environment variables that shedbox reads, in one list; `docs/cli/environment.md` is made from it.

/// One variable.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

/// In the order of the page.
pub(crate) const VARIABLES: &[Variable] = &[
    Variable {
        name: "SHEDBOX_ROOT",
        meaning: "The data directory: images, layers, sandboxes. Default: `$XDG_DATA_HOME/shedbox`, for root \
                  `/var/lib/shedbox`. Each root has its own daemon.",
    },
    Variable {
        name: "SHEDBOX_RUNTIME_DIR",
        meaning: "The directory of the sockets. Default: `$XDG_RUNTIME_DIR/shedbox`, for root `/run/shedbox`, without \
                  either `/tmp/shedbox-<uid>`; with `SHEDBOX_ROOT` set, a name of its own is derived.",
    },
    Variable {
        name: "SHEDBOX_CONFIG",
        meaning: "The configuration file. Default: `$XDG_CONFIG_HOME/shedbox/config.toml`, for root \
                  `/etc/shedbox/config.toml`.",
    },
    Variable {
        name: "SHEDBOX_BIN",
        meaning: "The program that is started as the daemon. Default: this `shedbox`, one beside the calling program, \
                  or one in `PATH`.",
    },
    Variable {
        name: "SHEDBOX_KEEPER",
        meaning: "The program that is started as the keeper. Default: `shedbox-keeper` beside the daemon's program, \
                  else the daemon's program itself.",
    },
    Variable {
        name: "SHEDBOX_LOG",
        meaning: "What the daemon logs: `error`, `warn`, `info` (default), `debug`, `trace`.",
    },
    Variable {
        name: "XDG_DATA_HOME",
        meaning: "See `SHEDBOX_ROOT`; `~/.local/share` when unset.",
    },
    Variable {
        name: "XDG_RUNTIME_DIR",
        meaning: "See `SHEDBOX_RUNTIME_DIR`; also where podman's credentials are looked for.",
    },
    Variable {
        name: "XDG_CONFIG_HOME",
        meaning: "See `SHEDBOX_CONFIG`; `~/.config` when unset.",
    },
    Variable {
        name: "HOME",
        meaning: "Where the directories above are when their variables are unset, and `.docker/config.json`.",
    },
    Variable {
        name: "DOCKER_CONFIG",
        meaning: "The directory of `config.json` with credentials for registries.",
    },
    Variable {
        name: "REGISTRY_AUTH_FILE",
        meaning: "A file with credentials for registries, read first.",
    },
    Variable {
        name: "PATH",
        meaning: "Where credential helpers, and `shedbox` itself for the daemon, are looked for.",
    },
    Variable {
        name: "HTTPS_PROXY",
        meaning: "Proxy for registries, as the daemon finds it when it starts; also `HTTP_PROXY`, `NO_PROXY`.",
    },
    Variable {
        name: "NO_COLOR",
        meaning: "When set, nothing is coloured.",
    },
];
