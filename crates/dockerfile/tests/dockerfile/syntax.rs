//! Lines: directives, comments, continuation, here-documents, line numbers.

use shedbox_dockerfile::{Script, parse, parse_trigger};

use crate::{outline, short};

#[test]
fn lines_join_into_instructions() {
    for (body, expected) in [
        ("RUN a", "RUN shell<a>"),
        ("run a", "RUN shell<a>"),
        ("  \tRuN \t a  ", "RUN shell<a>"),
        ("RUN a \\\n  b", "RUN shell<a   b>"),
        ("RUN a\\\nb", "RUN shell<ab>"),
        ("RUN a \\  \t\n b", "RUN shell<a  b>"),
        ("RUN a \\\n# comment\n b", "RUN shell<a  b>"),
        ("RUN a \\\n  # comment \\\n b", "RUN shell<a  b>"),
        ("RUN a \\\n\n\n b", "RUN shell<a  b>"),
        (
            "RUN a \\\r\n b\r\nRUN c\r\n",
            "RUN shell<a  b>; RUN shell<c>",
        ),
        ("RUN a \\", "RUN shell<a>"),
        ("RUN a \\\n# end", "RUN shell<a>"),
        (
            "RUN echo a\\\\\nRUN b",
            "RUN shell<echo a\\\\>; RUN shell<b>",
        ),
        ("RUN a \\ b", "RUN shell<a \\ b>"),
        ("\\\nRUN a", "RUN shell<a>"),
        ("\\\n", ""),
        ("RUN echo # no comment", "RUN shell<echo # no comment>"),
        ("# RUN a\n  # RUN b\n\n\t\nRUN c", "RUN shell<c>"),
        ("RUN echo `a`", "RUN shell<echo `a`>"),
        ("RUN\ta", "RUN shell<a>"),
        ("RUN \u{e4}\u{f6}", "RUN shell<\u{e4}\u{f6}>"),
    ] {
        assert_eq!(outline(body), expected, "{body:?}");
    }
}

#[test]
fn directives_come_first_and_once() {
    for (text, escape, syntax, check) in [
        ("FROM a", '\\', None, None),
        ("# escape=`\nFROM a", '`', None, None),
        ("#escape = ` \nFROM a", '`', None, None),
        ("# ESCAPE=\\\nFROM a", '\\', None, None),
        (
            "# syntax=docker/dockerfile:1\n# escape=`\nFROM a",
            '`',
            Some("docker/dockerfile:1"),
            None,
        ),
        ("# check=skip=all\nFROM a", '\\', None, Some("skip=all")),
        ("\u{feff}# escape=`\nFROM a", '`', None, None),
        ("\n# escape=`\nFROM a", '\\', None, None),
        ("# a comment\n# escape=`\nFROM a", '\\', None, None),
        ("# other=1\n# escape=`\nFROM a", '\\', None, None),
        ("FROM a\n# escape=`", '\\', None, None),
        ("# escape=\n# syntax=x\nFROM a", '\\', None, None),
        ("# escape=`\r\nFROM a\r\n", '`', None, None),
    ] {
        let directives = parse(text.as_bytes()).unwrap().directives;
        let found = (
            directives.escape,
            directives.syntax.as_deref(),
            directives.check.as_deref(),
        );
        assert_eq!(found, (escape, syntax, check), "{text:?}");
    }
    let file = parse(b"# escape=`\nFROM a\nRUN dir c:\\ `\n  /s\nCOPY a c:\\").unwrap();
    assert_eq!(
        short(&file.instructions[1].instruction),
        "RUN shell<dir c:\\   /s>"
    );
    assert_eq!(
        short(&file.instructions[2].instruction),
        "COPY <a> -> <c:\\>"
    );
}

#[test]
fn here_documents_follow_their_line() {
    for (body, expected) in [
        (
            "RUN <<EOF\na\n  b\nEOF\nRUN c",
            "RUN shell<<<EOF> EOF=\"a\\n  b\\n\"; RUN shell<c>",
        ),
        ("RUN <<EOF\nEOF", "RUN shell<<<EOF> EOF=\"\""),
        (
            "run cat <<A > x && cat 3<<B\n1\nA\n2\nB",
            "RUN shell<cat <<A > x && cat 3<<B> A=\"1\\n\" B=\"2\\n\"",
        ),
        (
            "RUN <<-EOF\n\ta\n\tEOF",
            "RUN shell<<<-EOF> EOF=\"\\ta\\n\"",
        ),
        (
            "RUN <<EOF\n# no comment\\\n\nEOF",
            "RUN shell<<<EOF> EOF=\"# no comment\\\\\\n\\n\"",
        ),
        ("RUN <<EOF\nEOF \nEOF", "RUN shell<<<EOF> EOF=\"EOF \\n\""),
        (
            "RUN cat \\\n <<EOF\nx\nEOF",
            "RUN shell<cat  <<EOF> EOF=\"x\\n\"",
        ),
        ("COPY <<EOF /x\nhi\nEOF", "COPY EOF=\"hi\\n\" -> </x>"),
        (
            "COPY <<-a.txt b <<'c d' /x/\n\thi\na.txt",
            "error: unterminated heredoc",
        ),
        (
            "COPY <<-a.txt b <<\"c\" /x/\n\thi\na.txt\n$v\nc\n",
            "COPY a.txt=\"hi\\n\" <b> c=\"$v\\n\" -> </x/>",
        ),
        (
            "COPY <<A <<A /x/\n1\nA\n2\nA",
            "COPY A=\"1\\n\" A=\"2\\n\" -> </x/>",
        ),
        (
            "ADD --chmod=755 <<E /x\nhi\nE",
            "ADD E=\"hi\\n\" -> </x> chmod=755",
        ),
        (
            "ONBUILD RUN <<E\nhi\nE",
            "ONBUILD \"RUN <<E\\nhi\\nE\" RUN shell<<<E> E=\"hi\\n\"",
        ),
        (
            "RUN <<EOF\r\na\r\nEOF\r\n",
            "RUN shell<<<EOF> EOF=\"a\\r\\n\"",
        ),
        ("RUN <<EOF\nno end", "error: unterminated heredoc"),
        // What looks like one and is none.
        ("RUN [\"cat\", \"<<EOF\"]", "RUN exec[\"cat\", \"<<EOF\"]"),
        ("RUN echo '<<EOF'", "RUN shell<echo '<<EOF'>"),
        ("RUN echo \"a <<EOF b\"", "RUN shell<echo \"a <<EOF b\">"),
        ("RUN cat <<<EOF", "RUN shell<cat <<<EOF>"),
        ("RUN cat << EOF", "RUN shell<cat << EOF>"),
        ("RUN echo $((1<<2))", "RUN shell<echo $((1<<2))>"),
        ("RUN echo \\<<EOF", "RUN shell<echo \\<<EOF>"),
        ("RUN echo it's <<EOF", "RUN shell<echo it's <<EOF>"),
        ("CMD cat <<EOF", "CMD shell<cat <<EOF>"),
        ("ENV a=<<EOF", "ENV <a>=<<<EOF>"),
        ("LABEL <<EOF x", "LABEL <<<EOF>=<x>"),
    ] {
        assert_eq!(outline(body), expected, "{body:?}");
    }
}

#[test]
fn run_scripts_contain_their_here_documents() {
    let script = |text: &str| match parse_trigger(text).unwrap().instruction {
        shedbox_dockerfile::Instruction::Run(run) => run.script(),
        other => panic!("{other:?}"),
    };
    let shell = |text: &str| Script::Shell(text.to_owned());
    assert_eq!(script("RUN a b"), shell("a b"));
    assert_eq!(script("RUN [\"a\"]"), Script::Exec(vec!["a".to_owned()]));
    assert_eq!(script("RUN <<E\na\nb\nE"), shell("a\nb\n"));
    assert_eq!(script("RUN <<-E\n\ta\nE"), shell("a\n"));
    assert_eq!(script("RUN <<E sh\na\nE"), shell("<<E sh\na\nE"));
    assert_eq!(script("RUN <<-E sh\n\ta\nE"), shell("<<-E sh\n\ta\nE"));
    let file = Script::File {
        name: "E".to_owned(),
        content: "#!/bin/awk -f\nx\n".to_owned(),
    };
    assert_eq!(script("RUN <<E\n#!/bin/awk -f\nx\nE"), file);
}

#[test]
fn instructions_know_their_lines_and_text() {
    let text = b"# c\n\nFROM a\n  run x \\\n # c\n\n   y\nRUN <<E\nz\nE\nUSER u";
    let file = parse(text).unwrap();
    let lines: Vec<_> = file
        .instructions
        .iter()
        .map(|one| (one.line, one.end_line, one.original.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (3, 3, "FROM a"),
            (4, 7, "run x    y"),
            (8, 10, "RUN <<E"),
            (11, 11, "USER u")
        ]
    );
    assert_eq!(
        file.warnings,
        ["[WARNING]: Empty continuation line found in:\n    run x    y"]
    );
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let file = parse(b"FROM a\nRUN \xff\xfe").unwrap();
    assert_eq!(
        short(&file.instructions[1].instruction),
        "RUN shell<\u{fffd}\u{fffd}>"
    );
}
