//! Variables, quotes, escapes, patterns.

use std::collections::BTreeMap;

use shedbox_dockerfile::expand::{expand_text, expand_word, expand_words};
use shedbox_dockerfile::parse;

use crate::short;

fn variables() -> BTreeMap<String, String> {
    [
        ("V", "value"),
        ("EMPTY", ""),
        ("TWO", "a b"),
        ("PATH_", "/usr/local/lib/x.tar.gz"),
        ("N_1", "n"),
        ("DOTS", "a.b.c"),
        ("STAR", "a*b"),
        ("UML", "äöü"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[test]
fn words() {
    for (word, expected) in [
        ("plain", "plain"),
        ("", ""),
        ("$V", "value"),
        ("${V}", "value"),
        ("a$V-b", "avalue-b"),
        ("$Vx", ""),
        ("${V}x", "valuex"),
        ("$N_1.", "n."),
        ("$UNSET", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$(x)", "$(x)"),
        ("$.", "$."),
        ("$1a", "a"),
        ("$@x", "x"),
        ("$TWO c", "a b c"),
        // Quotes.
        ("'$V'", "$V"),
        ("\"$V\"", "value"),
        ("\"a 'b' c\"", "a 'b' c"),
        ("'a \"b\" c'", "a \"b\" c"),
        ("a'b'\"c\"d", "abcd"),
        ("\"\"", ""),
        ("'a\\b'", "a\\b"),
        // Escapes.
        ("\\$V", "$V"),
        ("\\\\$V", "\\value"),
        ("a\\ b", "a b"),
        ("\\a", "a"),
        ("a\\", "a"),
        ("\"\\$V\"", "$V"),
        ("\"a\\b\"", "a\\b"),
        ("\"a\\\"b\"", "a\"b"),
        ("\"a\\\\b\"", "a\\b"),
        ("\\'a", "'a"),
        // Defaults.
        ("${V:-d}", "value"),
        ("${UNSET:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${UNSET-d}", "d"),
        ("${UNSET:-}", ""),
        ("${UNSET:-$V}", "value"),
        ("${UNSET:-${ALSO:-${V}}}", "value"),
        ("${UNSET:-\"a}b\"}", "a}b"),
        ("${UNSET:-a\\}b}", "a}b"),
        ("${UNSET:-a b}", "a b"),
        ("${UNSET:-'$V'}", "$V"),
        // Alternatives.
        ("${V:+a}", "a"),
        ("${EMPTY:+a}", ""),
        ("${EMPTY+a}", "a"),
        ("${UNSET+a}", ""),
        ("${V:?m}", "value"),
        ("${EMPTY?m}", ""),
        // Prefixes and suffixes.
        ("${PATH_#*/}", "usr/local/lib/x.tar.gz"),
        ("${PATH_##*/}", "x.tar.gz"),
        ("${PATH_%/*}", "/usr/local/lib"),
        ("${PATH_%%/*}", ""),
        ("${PATH_%.*}", "/usr/local/lib/x.tar"),
        ("${PATH_%%.*}", "/usr/local/lib/x"),
        ("${DOTS#?}", ".b.c"),
        ("${DOTS#x}", "a.b.c"),
        ("${DOTS%.c}", "a.b"),
        ("${DOTS##*}", ""),
        ("${DOTS#*}", "a.b.c"),
        ("${DOTS#a*b}", ".c"),
        ("${STAR#a\\*}", "b"),
        ("${STAR%\\**}", "a"),
        ("${UML#?}", "öü"),
        ("${UML%?}", "äö"),
        ("${UNSET#a}", ""),
        ("${V#$V}", ""),
        // Replacements.
        ("${V/a/o}", "volue"),
        ("${DOTS/./-}", "a-b.c"),
        ("${DOTS//./-}", "a-b-c"),
        ("${DOTS//./}", "abc"),
        ("${DOTS/b*/x}", "a.x"),
        ("${DOTS//?./x}", "xxc"),
        ("${DOTS/q/x}", "a.b.c"),
        ("${PATH_//\\//_}", "_usr_local_lib_x.tar.gz"),
        ("${STAR//\\*/x}", "axb"),
        ("${V/*/$N_1}", "n"),
        ("${V//*/x}", "x"),
        ("${DOTS///x}", "xax.xbx.xcx"),
        ("${UNSET/a/b}", ""),
    ] {
        assert_eq!(
            expand_word(word, '\\', &variables()).as_deref(),
            Ok(expected),
            "{word}"
        );
    }
}

#[test]
fn the_escape_character_can_be_the_backtick() {
    for (word, expected) in [
        ("c:\\$V", "c:\\value"),
        ("`$V", "$V"),
        ("\"`\"\"", "\""),
        ("a``", "a`"),
    ] {
        assert_eq!(
            expand_word(word, '`', &variables()).as_deref(),
            Ok(expected),
            "{word}"
        );
    }
}

#[test]
fn errors() {
    for (word, expected) in [
        ("${", "syntax error: missing '}'"),
        ("${V", "syntax error: missing '}'"),
        ("${V:", "syntax error: missing '}'"),
        ("${V:-", "syntax error: missing '}'"),
        ("${V:-a", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:}", "syntax error: bad substitution"),
        ("${{V}}", "syntax error: bad substitution"),
        ("${V/a", "syntax error: missing '/' in ${}"),
        ("${V/a/b", "syntax error: missing '}'"),
        ("${V^}", "unsupported modifier (^) in substitution"),
        ("${V:x}", "unsupported modifier (:x) in substitution"),
        ("${V.x}", "unsupported modifier (.) in substitution"),
        ("${UNSET:?}", "UNSET: is not allowed to be unset"),
        ("${UNSET?say it}", "UNSET: say it"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        (
            "${V#\\a}",
            "invalid pattern (\\a) in substitution: invalid escape '\\a'",
        ),
        (
            "'a",
            "unexpected end of statement while looking for matching single-quote",
        ),
        (
            "\"a",
            "unexpected end of statement while looking for matching double-quote",
        ),
        (
            "\"a\\",
            "unexpected end of statement while looking for matching double-quote",
        ),
    ] {
        let error = expand_word(word, '\\', &variables())
            .unwrap_err()
            .to_string();
        assert_eq!(error, format!("failed to process {word:?}: {expected}"));
    }
}

#[test]
fn words_split_where_they_are_not_quoted() {
    for (word, expected) in [
        ("$TWO", &["a", "b"][..]),
        ("\"$TWO\"", &["a b"]),
        ("x$TWO-y", &["xa", "b-y"]),
        ("'a b' c", &["a b", "c"]),
        ("a\\ b", &["a b"]),
        ("$EMPTY", &[]),
        ("\"\"", &[]),
        ("${UNSET:-8000 8001}", &["8000", "8001"]),
        ("  ", &[]),
    ] {
        assert_eq!(
            expand_words(word, '\\', &variables()).unwrap(),
            expected,
            "{word}"
        );
    }
}

#[test]
fn here_documents_keep_their_quotes() {
    for (text, expected) in [
        ("\"$V\" '$V'\n", "\"value\" 'value'\n"),
        ("\\\n", "\n"),
        ("\\\\\n", "\\\n"),
        ("\\$V\n", "$V\n"),
        ("it's ${V}\n", "it's value\n"),
    ] {
        assert_eq!(
            expand_text(text, &variables()).as_deref(),
            Ok(expected),
            "{text:?}"
        );
    }
}

#[test]
fn instructions_expand_what_docker_expands() {
    for (line, expected) in [
        ("ADD $V $N_1", "ADD <value> -> <n>"),
        (
            "COPY --chown=$V --chmod=$N_1 [\"$TWO\", \"'$V'\"]",
            "COPY <a b> -> <$V> chown=value chmod=n",
        ),
        ("COPY --from=$V a b", "COPY <a> -> <b> from=$V"),
        (
            "COPY <<E <<'F' /$V\n$V\nE\n$V\nF",
            "COPY E=\"value\\n\" F=\"$V\\n\" -> </value>",
        ),
        (
            "ENV a=$V b=\"$TWO\" $V=1 c=$a",
            "ENV <a>=<value> <b>=<a b> <value>=<1> <c>=<>",
        ),
        ("ENV a $V \"q\"", "ENV <a>=<value q>"),
        ("LABEL \"a b\"='$V'", "LABEL <a b>=<$V>"),
        ("ARG a=$V", "ARG a=<value>"),
        ("EXPOSE $TWO 80", "EXPOSE [\"a\", \"b\", \"80\"]"),
        (
            "FROM --platform=$V x:$N_1 AS y",
            "FROM x:n Some(\"value\") Some(\"y\")",
        ),
        ("STOPSIGNAL $V", "STOPSIGNAL <value>"),
        ("USER ${V}:$N_1", "USER <value:n>"),
        ("VOLUME [\"/$TWO\"]", "VOLUME [\"/a b\"]"),
        ("WORKDIR /$V", "WORKDIR </value>"),
        ("RUN echo $V", "RUN shell<echo $V>"),
        ("CMD echo $V", "CMD shell<echo $V>"),
        ("ENTRYPOINT [\"$V\"]", "ENTRYPOINT exec[\"$V\"]"),
        ("SHELL [\"$V\"]", "SHELL [\"$V\"]"),
        ("HEALTHCHECK CMD $V", "HEALTHCHECK shell<$V> 0 0 0 0 0"),
        ("ONBUILD USER $V", "ONBUILD \"USER $V\" USER <$V>"),
        ("MAINTAINER $V", "MAINTAINER <$V>"),
    ] {
        let file = parse(format!("FROM a\n{line}").as_bytes()).unwrap();
        let expanded = file.instructions[1]
            .instruction
            .expanded('\\', &variables())
            .unwrap();
        assert_eq!(short(&expanded), expected, "{line}");
    }
}
