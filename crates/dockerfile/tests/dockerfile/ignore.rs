//! `.dockerignore` and wildcards of COPY.

use shedbox_dockerfile::glob::{Glob, has_wildcards};
use shedbox_dockerfile::ignore::{Ignore, file_names};

#[test]
fn patterns_exclude_paths() {
    for (patterns, path, expected) in [
        ("", "a", false),
        ("a", "a", true),
        ("a", "b", false),
        ("a", "a/b/c", true),
        ("a", "b/a", false),
        ("a", "ab", false),
        ("/a", "a", true),
        ("./a/", "a", true),
        ("a//b/../c", "a/c", true),
        ("  a  ", "a", true),
        ("# a", "# a", false),
        (" # a", "# a", true),
        ("a\r\nb\r\n", "b", true),
        ("\u{feff}a", "a", true),
        ("*", "a", true),
        ("*", "a/b", true),
        ("*", ".git", true),
        ("*", ".", false),
        (".", "a", false),
        ("*.md", "x.md", true),
        ("*.md", "a/x.md", false),
        ("*/*.md", "a/x.md", true),
        ("*/temp*", "a/temp1/b", true),
        ("temp?", "tempa", true),
        ("temp?", "temp", false),
        ("temp?", "temp/", false),
        ("[a-c]x", "bx", true),
        ("[a-c]x", "dx", false),
        ("[^a-c]x", "dx", true),
        ("[^a-c]x", "ax", false),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        ("a.b", "axb", false),
        ("a+(b)$", "a+(b)$", true),
        ("\u{e4}?", "\u{e4}\u{f6}", true),
        // Two stars.
        ("**", "a/b/c", true),
        ("**/a", "a", true),
        ("**/a", "x/y/a", true),
        ("**/a", "x/y/a/z", true),
        ("**/a", "xa", false),
        ("**a", "x/ya", true),
        ("**a", "a/b", true),
        ("a/**", "a", false),
        ("a/**", "a/b/c", true),
        ("a**", "abc/d", true),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a/**/b", "a/xb", false),
        ("a**/b", "a/b", true),
        ("a**/b", "ab", true),
        ("**/*.o", "x.o", true),
        ("**/*.o", "a/b/x.o", true),
        ("**/*.o", "a/b/x.c", false),
        ("**/node_modules/**", "a/node_modules/b", true),
        ("**/a/**/b", "x/a/y/z/b", true),
        ("a/**/*", "a/b/c", true),
        // Exceptions.
        ("*\n!a", "a", false),
        ("*\n!a", "a/b", false),
        ("*\n!a", "b", true),
        ("!a\n*", "a", true),
        ("*.md\n!README*.md\nREADME-secret.md", "README-a.md", false),
        (
            "*.md\n!README*.md\nREADME-secret.md",
            "README-secret.md",
            true,
        ),
        ("a\n!a/b", "a/b", false),
        ("a\n!a/b", "a/b/c", false),
        ("a\n!a/b", "a/c", true),
        ("! a", "a", false),
        ("*\n!**/*.go", "a/b/x.go", false),
        ("*\n!/a", "a", false),
        ("a\n!a/b\na/b/c", "a/b/c/d", true),
    ] {
        let ignore = Ignore::parse(patterns).unwrap();
        assert_eq!(ignore.excludes(path), expected, "{patterns:?} {path:?}");
        assert_eq!(
            ignore.excludes(&format!("/{path}/")),
            expected,
            "{patterns:?} {path:?}"
        );
    }
}

#[test]
fn some_excluded_directories_are_looked_into() {
    for (patterns, directory, expected) in [
        ("a", "b", true),
        ("a", "a", false),
        ("a", ".", true),
        ("*", "a", false),
        ("*\n!a/b", "a", true),
        ("*\n!a/b", "c", false),
        ("*\n!a/b", "a/c", false),
        ("*\n!a/*/x", "a/c", true),
        ("*\n!a/*/x", "a/c/d", false),
        ("*\n!**/x", "a/b/c", true),
        ("*\n!*.md", "a", false),
        ("*\n!a", "a", true),
        ("a\n!ab", "a", false),
        ("a/**\n!a/b/**", "a/b", true),
    ] {
        let ignore = Ignore::parse(patterns).unwrap();
        assert_eq!(
            ignore.could_include_below(directory),
            expected,
            "{patterns:?} {directory:?}"
        );
    }
}

#[test]
fn the_builder_gets_its_own_files() {
    assert_eq!(
        file_names("b/Dockerfile.x"),
        ["b/Dockerfile.x.dockerignore", ".dockerignore"]
    );
    let ignore = Ignore::parse("*").unwrap().keeping("./b/Dockerfile.x");
    for (path, excluded) in [
        ("b/Dockerfile.x", false),
        ("b/Dockerfile.x.dockerignore", false),
        (".dockerignore", false),
        ("b/other", true),
        ("Dockerfile", true),
    ] {
        assert_eq!(ignore.excludes(path), excluded, "{path}");
    }
    assert!(ignore.could_include_below("b"));
    assert!(!ignore.could_include_below("c"));
}

#[test]
fn broken_patterns_are_refused() {
    for (text, expected) in [
        ("!", "illegal exclusion pattern: \"!\""),
        ("a\n[", "\"[\": syntax error in pattern"),
        ("[a", "\"[a\": syntax error in pattern"),
        ("[]a]", "\"[]a]\": syntax error in pattern"),
        ("![-a]", "\"![-a]\": syntax error in pattern"),
        ("a\\", "\"a\\\\\": syntax error in pattern"),
    ] {
        assert_eq!(
            Ignore::parse(text).unwrap_err().to_string(),
            expected,
            "{text:?}"
        );
    }
}

/// None is a pattern that Go refuses.
#[test]
fn globs_are_those_of_go() {
    for (pattern, name, expected) in [
        ("main.rs", "main.rs", Some(true)),
        ("main.rs", "mainxrs", Some(false)),
        ("", "", Some(true)),
        ("", "x", Some(false)),
        ("x", "", Some(false)),
        ("*", "", Some(true)),
        ("*", ".hidden", Some(true)),
        ("*", "src/lib.rs", Some(false)),
        ("*.rs", "lib.rs", Some(true)),
        ("*.rs", "lib.rsx", Some(false)),
        ("src/*", "src/lib.rs", Some(true)),
        ("src/*", "src/", Some(true)),
        ("src*", "src/lib.rs", Some(false)),
        ("*/lib.rs", "src/lib.rs", Some(true)),
        ("*/lib.rs", "a/src/lib.rs", Some(false)),
        ("l*b*s", "lib.rs", Some(true)),
        ("l*b*s", "lbbss", Some(true)),
        ("l*b*s", "lrs", Some(false)),
        ("**", "lib", Some(true)),
        ("**/b", "a/x/b", Some(false)),
        ("li?.rs", "lib.rs", Some(true)),
        ("li?", "li", Some(false)),
        ("a?b", "a/b", Some(false)),
        ("?", "\u{df}", Some(true)),
        ("??", "\u{df}", Some(false)),
        ("v[0-9]", "v7", Some(true)),
        ("v[0-9]", "vx", Some(false)),
        ("v[02468]", "v4", Some(true)),
        ("v[^0-9]", "vx", Some(true)),
        ("v[^0-9]", "v7", Some(false)),
        ("v[^0-9]", "v", Some(false)),
        ("[a-cx-z]*", "yes", Some(true)),
        ("[a-cx-z]*", "no", Some(false)),
        ("[\u{e0}-\u{ff}]", "\u{e9}", Some(true)),
        ("[z-a]", "m", Some(false)),
        ("[\\]\\-]", "]", Some(true)),
        ("[\\]\\-]", "-", Some(true)),
        ("[\\]\\-]", "\\", Some(false)),
        ("\\[x]", "[x]", Some(true)),
        ("\\?", "?", Some(true)),
        ("\\?", "x", Some(false)),
        ("\\x", "x", Some(true)),
        ("x\\", "x", None),
        ("[", "x", None),
        ("x[", "x", None),
        ("[^", "x", None),
        ("[]", "x", None),
        ("[]x]", "x", None),
        ("[^]x]", "x", None),
        ("[-x]", "x", None),
        ("[x-]", "x", None),
        ("[x-y-z]", "x", None),
        ("[x\\", "x", None),
    ] {
        assert_eq!(
            Glob::new(pattern).ok().map(|glob| glob.matches(name)),
            expected,
            "{pattern} {name}"
        );
    }
}

#[test]
fn wildcards_are_recognised() {
    for (source, expected) in [
        ("a", false),
        ("a*", true),
        ("?", true),
        ("[a]", true),
        ("a\\*", false),
        ("\\\\*", true),
        ("a\\", false),
    ] {
        assert_eq!(has_wildcards(source), expected, "{source}");
    }
}
