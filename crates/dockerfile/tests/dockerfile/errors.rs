//! Errors in Docker's words.

use shedbox_dockerfile::parse;

#[test]
fn errors_of_a_whole_file() {
    for (text, expected) in [
        ("", "file with no instructions"),
        ("\n# only a comment\n\n", "file with no instructions"),
        ("RUN a", "no build stage in current context"),
        (
            "ARG a=1\nRUN a\nFROM x",
            "no build stage in current context",
        ),
        ("ONBUILD RUN a", "no build stage in current context"),
        (
            "FROM a\n\nFOO bar",
            "dockerfile parse error line 3: unknown instruction: FOO",
        ),
        (
            "FROM a\nfoo",
            "dockerfile parse error line 2: unknown instruction: FOO",
        ),
        (
            "FROM a\nRUN \\\n x\nFOO",
            "dockerfile parse error line 4: unknown instruction: FOO",
        ),
        (
            "FOO",
            "dockerfile parse error line 1: unknown instruction: FOO",
        ),
        (
            "FROM",
            "dockerfile parse error line 1: FROM requires either one or three arguments",
        ),
        (
            "FROM a b",
            "dockerfile parse error line 1: FROM requires either one or three arguments",
        ),
        (
            "FROM a is b",
            "dockerfile parse error line 1: FROM requires either one or three arguments",
        ),
        (
            "FROM a AS 1x",
            "dockerfile parse error line 1: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        ),
        (
            "# escape=x\nFROM a",
            "dockerfile parse error line 1: invalid escape token 'x' does not match ` or \\",
        ),
        (
            "# escape=`\n# escape=`\nFROM a",
            "dockerfile parse error line 2: only one escape parser directive can be used",
        ),
        (
            "# syntax=a\n# syntax=b\nFROM a",
            "dockerfile parse error line 2: only one syntax parser directive can be used",
        ),
        (
            "FROM a\nRUN <<E\nx",
            "dockerfile parse error line 2: unterminated heredoc",
        ),
    ] {
        assert_eq!(
            parse(text.as_bytes()).unwrap_err().to_string(),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn errors_of_instructions() {
    for (body, expected) in [
        ("RUN", "RUN requires at least one argument"),
        ("CMD", "CMD requires at least one argument"),
        ("ENTRYPOINT ", "ENTRYPOINT requires at least one argument"),
        ("SHELL", "SHELL requires at least one argument"),
        ("SHELL []", "SHELL requires at least one argument"),
        (
            "SHELL bash -c",
            "SHELL requires the arguments to be in JSON form",
        ),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        (
            "ENV a=b c",
            "Syntax error - can't find = in \"c\". Must be of the form: name=value",
        ),
        ("ENV =b", "ENV names can not be blank"),
        ("LABEL", "LABEL requires at least one argument"),
        ("LABEL a", "LABEL must have two arguments"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG =a", "ARG names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        (
            "VOLUME [\"\"]",
            "VOLUME specified can not be an empty string",
        ),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("USER", "USER requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined.",
        ),
        (
            "ADD",
            "ADD requires at least two arguments, but only one was provided. Destination could not be determined.",
        ),
        (
            "COPY a <<E\nx\nE",
            "COPY cannot accept a heredoc as a destination",
        ),
        ("COPY --x a b", "Unknown flag: x"),
        ("COPY --checksum=1 a b", "Unknown flag: checksum"),
        ("ADD --from=x a b", "Unknown flag: from"),
        ("COPY --from a b", "Missing a value on flag: from"),
        ("COPY --link= a b", "Missing a value on flag: link"),
        (
            "COPY --link=x a b",
            "Expecting boolean value for flag link, not: x",
        ),
        (
            "COPY --from=a --from=b c d",
            "Duplicate flag specified: from",
        ),
        ("COPY --parents a b", "COPY --parents is not supported"),
        (
            "RUN --security=insecure a",
            "RUN --security is not supported",
        ),
        ("RUN --network=x a", "unsupported network mode \"x\""),
        ("RUN --device=x a", "Unknown flag: device"),
        ("RUN --mount=type=x a", "unsupported mount type \"x\""),
        (
            "RUN --mount=from=$x,target=/a b",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        ("CMD --x a", "Unknown flag: x"),
        ("ENV --x a", "Unknown flag: x"),
        ("FROM --x a", "Unknown flag: x"),
        (
            "CMD [\"a\", 1]",
            "when using JSON array syntax, arrays must be comprised of strings only",
        ),
        (
            "COPY [\"a\", {}]",
            "when using JSON array syntax, arrays must be comprised of strings only",
        ),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        (
            "HEALTHCHECK CMD []",
            "Missing command after HEALTHCHECK CMD",
        ),
        (
            "HEALTHCHECK x y",
            "Unknown type \"X\" in HEALTHCHECK (try CMD)",
        ),
        (
            "HEALTHCHECK --interval=1us CMD a",
            "Interval \"interval\" cannot be less than 1ms",
        ),
        (
            "HEALTHCHECK --timeout=5 CMD a",
            "time: missing unit in duration \"5\"",
        ),
        (
            "HEALTHCHECK --retries=-1 CMD a",
            "--retries cannot be negative (-1)",
        ),
        (
            "HEALTHCHECK --retries=x CMD a",
            "strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        (
            "ONBUILD onbuild RUN a",
            "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger"),
        (
            "ONBUILD maintainer a",
            "MAINTAINER isn't allowed as an ONBUILD trigger",
        ),
        ("ONBUILD foo a", "unknown instruction: FOO"),
        ("RUN[\"a\"]", "unknown instruction: RUN[\"A\"]"),
    ] {
        let error = parse(format!("FROM a\n{body}").as_bytes())
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!("dockerfile parse error line 2: {expected}"),
            "{body:?}"
        );
    }
}
