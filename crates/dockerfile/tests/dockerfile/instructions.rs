//! What each instruction says.

use shedbox_dockerfile::{Mount, MountKind, Sharing, parse};

use crate::{outline, short};

fn check(table: &[(&str, &str)]) {
    for (body, expected) in table {
        assert_eq!(outline(body), *expected, "{body:?}");
    }
}

#[test]
fn commands() {
    check(&[
        ("CMD a b", "CMD shell<a b>"),
        ("CMD [\"a\", \"b c\"]", "CMD exec[\"a\", \"b c\"]"),
        ("CMD  [ \"a\" ] ", "CMD exec[\"a\"]"),
        ("CMD []", "CMD exec[]"),
        ("CMD ['a']", "CMD shell<['a']>"),
        ("CMD [\"a\" \"b\"]", "CMD shell<[\"a\" \"b\"]>"),
        ("CMD [\"a\"] b", "CMD shell<[\"a\"] b>"),
        ("CMD [\"a\\u0041\\n\"]", "CMD exec[\"aA\\n\"]"),
        ("CMD [ -f /x ] && y", "CMD shell<[ -f /x ] && y>"),
        ("ENTRYPOINT [\"/x\"]", "ENTRYPOINT exec[\"/x\"]"),
        ("ENTRYPOINT exec x", "ENTRYPOINT shell<exec x>"),
        (
            "SHELL [\"/bin/bash\", \"-c\"]",
            "SHELL [\"/bin/bash\", \"-c\"]",
        ),
        ("RUN --network=none a", "RUN shell<a> network=None"),
        (
            "RUN --network=host --mount=type=tmpfs,target=/t a",
            "RUN shell<a> mount=type=tmpfs,target=/t network=Host",
        ),
        (
            "RUN --mount=target=/a --mount=target=/b [\"x\"]",
            "RUN exec[\"x\"] mount=target=/a mount=target=/b",
        ),
        ("RUN -- --x", "RUN shell<--x>"),
        ("RUN a --b", "RUN shell<a --b>"),
    ]);
}

#[test]
fn keys_and_values() {
    check(&[
        ("ENV a b", "ENV <a>=<b>"),
        ("ENV a b c=d", "ENV <a>=<b c=d>"),
        ("ENV a   b  c ", "ENV <a>=<b  c>"),
        ("ENV a \"b c\"", "ENV <a>=<\"b c\">"),
        ("ENV a=b", "ENV <a>=<b>"),
        ("ENV a=b c=d", "ENV <a>=<b> <c>=<d>"),
        ("ENV a=\"b c\" d='e f'", "ENV <a>=<\"b c\"> <d>=<'e f'>"),
        ("ENV a=b\\ c d=e", "ENV <a>=<b\\ c> <d>=<e>"),
        ("ENV a= b=", "ENV <a>=<> <b>=<>"),
        ("ENV a=b=c", "ENV <a>=<b=c>"),
        ("ENV a=\"b\\\"c d\"", "ENV <a>=<\"b\\\"c d\">"),
        ("ENV a=b \\\n c=d", "ENV <a>=<b> <c>=<d>"),
        ("LABEL a.b=c \"d e\"=f", "LABEL <a.b>=<c> <\"d e\">=<f>"),
        ("LABEL a b c", "LABEL <a>=<b c>"),
        ("ARG a", "ARG a"),
        ("ARG a=1 b c=\"x y\"", "ARG a=<1> b c=<\"x y\">"),
        ("ARG a=", "ARG a=<>"),
    ]);
}

#[test]
fn paths_and_words() {
    check(&[
        (
            "EXPOSE 80 443/udp\t8000-8010",
            "EXPOSE [\"80\", \"443/udp\", \"8000-8010\"]",
        ),
        ("VOLUME /a /b", "VOLUME [\"/a\", \"/b\"]"),
        ("VOLUME [\"/a b\", \"/c\"]", "VOLUME [\"/a b\", \"/c\"]"),
        ("VOLUME [/a", "VOLUME [\"[/a\"]"),
        ("WORKDIR /a b", "WORKDIR </a b>"),
        ("USER 1000:1000", "USER <1000:1000>"),
        ("STOPSIGNAL SIGTERM", "STOPSIGNAL <SIGTERM>"),
        ("MAINTAINER me <a@b.c>", "MAINTAINER <me <a@b.c>>"),
        ("COPY a b", "COPY <a> -> <b>"),
        ("COPY a b c/", "COPY <a> <b> -> <c/>"),
        ("COPY [\"a b\", \"c\"]", "COPY <a b> -> <c>"),
        (
            "COPY --from=x --chown=1:2 --chmod=0755 a b",
            "COPY <a> -> <b> chown=1:2 chmod=0755 from=x",
        ),
        ("COPY --link a b", "COPY <a> -> <b> link"),
        ("COPY --link=false a b", "COPY <a> -> <b>"),
        ("COPY --parents=false a b", "COPY <a> -> <b>"),
        (
            "COPY --exclude=*.md --exclude=x a b",
            "COPY <a> -> <b> exclude=[\"*.md\", \"x\"]",
        ),
        ("COPY --chown=\"a b\" c d", "COPY <c> -> <d> chown=a b"),
        ("ADD http://x/y /z", "ADD <http://x/y> -> </z>"),
        (
            "ADD --checksum=sha256:00 http://x/y /z",
            "ADD <http://x/y> -> </z> checksum=sha256:00",
        ),
        (
            "ADD --keep-git-dir=true git@x:y /z",
            "ADD <git@x:y> -> </z> keep-git-dir",
        ),
        (
            "ONBUILD COPY . /app",
            "ONBUILD \"COPY . /app\" COPY <.> -> </app>",
        ),
        (
            "onbuild  run --network=none x",
            "ONBUILD \"run --network=none x\" RUN shell<x> network=None",
        ),
        ("FROM b", "FROM b None None"),
        (
            "from --platform=linux/arm64 b:1 AS Name",
            "FROM b:1 Some(\"linux/arm64\") Some(\"name\")",
        ),
        ("FROM $X as a-b_c.1", "FROM $X None Some(\"a-b_c.1\")"),
    ]);
}

#[test]
fn health_checks() {
    check(&[
        ("HEALTHCHECK NONE", "HEALTHCHECK none"),
        ("healthcheck none", "HEALTHCHECK none"),
        (
            "HEALTHCHECK CMD curl x",
            "HEALTHCHECK shell<curl x> 0 0 0 0 0",
        ),
        (
            "HEALTHCHECK cmd [\"a\"]",
            "HEALTHCHECK exec[\"a\"] 0 0 0 0 0",
        ),
        (
            "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=2h --start-interval=5ms --retries=3 CMD a",
            "HEALTHCHECK shell<a> 90000000000 1500000000 7200000000000 5000000 3",
        ),
        (
            "HEALTHCHECK --interval=0 CMD a",
            "HEALTHCHECK shell<a> 0 0 0 0 0",
        ),
    ]);
}

#[test]
fn durations_are_those_of_go() {
    use shedbox_dockerfile::duration::parse_nanoseconds;
    for (text, expected) in [
        ("0", Ok(0)),
        ("1ns", Ok(1)),
        ("1us", Ok(1_000)),
        ("1µs", Ok(1_000)),
        ("1ms", Ok(1_000_000)),
        ("-1.5h", Ok(-5_400_000_000_000)),
        ("+1h2m3s", Ok(3_723_000_000_000)),
        (".5s", Ok(500_000_000)),
        ("1.s", Ok(1_000_000_000)),
        ("0.1234567891s", Ok(123_456_789)),
        ("", Err("time: invalid duration \"\"")),
        ("-", Err("time: invalid duration \"-\"")),
        ("5", Err("time: missing unit in duration \"5\"")),
        ("5x", Err("time: unknown unit \"x\" in duration \"5x\"")),
        ("s", Err("time: invalid duration \"s\"")),
        (".s", Err("time: invalid duration \".s\"")),
        ("9999999999h", Err("time: invalid duration \"9999999999h\"")),
    ] {
        assert_eq!(
            parse_nanoseconds(text).map_err(|error| error.to_string()),
            expected.map_err(str::to_owned),
            "{text}"
        );
    }
}

#[test]
fn mounts() {
    let cache = Mount::parse(
        "type=cache,id=x,target=/c,sharing=locked,mode=0700,uid=1,gid=2,from=b,source=/s",
    )
    .unwrap();
    assert_eq!(
        (cache.kind, cache.read_only, cache.sharing),
        (MountKind::Cache, false, Some(Sharing::Locked))
    );
    assert_eq!(
        (cache.id.as_deref(), cache.target.as_deref()),
        (Some("x"), Some("/c"))
    );
    assert_eq!(
        (cache.mode, cache.uid, cache.gid),
        (Some(0o700), Some(1), Some(2))
    );
    assert_eq!(
        (cache.from.as_deref(), cache.source.as_deref()),
        (Some("b"), Some("/s"))
    );
    let bind = Mount::parse("target=/t").unwrap();
    assert_eq!((bind.kind, bind.read_only), (MountKind::Bind, true));
    assert!(!Mount::parse("target=/t,rw").unwrap().read_only);
    assert!(!Mount::parse("target=/t,ro=false").unwrap().read_only);
    assert_eq!(
        Mount::parse("type=tmpfs,target=/t,size=64m").unwrap().size,
        Some(64 << 20)
    );
    assert_eq!(
        Mount::parse("\"target=/a,b\",rw")
            .unwrap()
            .target
            .as_deref(),
        Some("/a,b")
    );
    let secret = Mount::parse("type=secret,id=k,required,env=K").unwrap();
    assert_eq!(
        (secret.kind, secret.required, secret.env.as_deref()),
        (MountKind::Secret, true, Some("K"))
    );
    for (text, expected) in [
        ("type=ssh", "unsupported mount type \"ssh\""),
        (
            "type=cache,target=/c,sharing=x",
            "unsupported sharing value \"x\"",
        ),
        ("target=/c,what=x", "unexpected key 'what' in 'what=x'"),
        ("target", "invalid field 'target' must be a key=value pair"),
        (
            "target=/c,size=1",
            "unexpected key 'size' for mount type 'bind'",
        ),
        ("type=tmpfs,target=/c,size=x", "invalid value for size: x"),
        ("target=/c,ro=x", "invalid value for ro: x"),
        ("type=cache,target=/c,mode=9", "invalid value 9 for mode"),
        (
            "target=/c,uid=1",
            "uid not allowed for \"bind\" type mounts",
        ),
        (
            "type=secret",
            "invalid secret mount. one of source, target required",
        ),
        (
            "type=secret,id=a,source=b",
            "both source and id can't be set",
        ),
        (
            "type=secret,id=a,from=b",
            "secret mount should not have a from",
        ),
        ("type=cache", "target is required"),
        (
            "\"target=/c",
            "failed to parse csv mounts: \"\\\"target=/c\"",
        ),
    ] {
        assert_eq!(
            Mount::parse(text).unwrap_err().to_string(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn mounts_expand_each_value() {
    let file = parse(b"FROM a\nRUN --mount=type=cache,target=$dir,id=${id:-x} a").unwrap();
    let shedbox_dockerfile::Instruction::Run(run) = &file.instructions[1].instruction else {
        panic!()
    };
    let variables = std::collections::BTreeMap::from([("dir".to_owned(), "/a,b".to_owned())]);
    let mounts = run.mounts('\\', &variables).unwrap();
    assert_eq!(
        (mounts[0].target.as_deref(), mounts[0].id.as_deref()),
        (Some("/a,b"), Some("x"))
    );
}

#[test]
fn triggers_parse_alone() {
    let trigger = shedbox_dockerfile::parse_trigger("COPY . /app").unwrap();
    assert_eq!(short(&trigger.instruction), "COPY <.> -> </app>");
    assert!(shedbox_dockerfile::parse_trigger("RUN a\nRUN b").is_err());
    assert!(shedbox_dockerfile::parse_trigger("").is_err());
}
