//! Slash-separated paths as text.

/// The shortest equal path, as Go's `path.Clean`: `.` for nothing, `..` kept only in front of relative paths.
pub(crate) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    match (absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// The working directory that WORKDIR `requested` makes of `current`.
pub(crate) fn joined_workdir(current: &str, requested: &str) -> String {
    if requested.starts_with('/') {
        clean(requested)
    } else {
        clean(&format!("/{current}/{requested}"))
    }
}
