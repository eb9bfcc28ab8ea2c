//! The restartable server on a unix socket.
