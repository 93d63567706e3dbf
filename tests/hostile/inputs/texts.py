"""Lies in small files that people write: policies, classes, words, lists of names and ids, queries, captions, plans."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hostile.inputs.place import Input, Kind, Make, Place
from hostile.inputs.tables import WRITERS

_POLICY = """concepts:
  - name: red
    positive: [something red]
    threshold: 0.5
"""


def _text(text: str) -> Make:
    return lambda _: text.encode("utf-8", "surrogatepass")


def _words(_: Place) -> bytes:
    return "".join(f"w{n}\n" for n in range(2_000_000)).encode()


def _policy() -> Kind:
    def concept(line: str) -> Make:
        return _text(f"concepts:\n  - name: red\n    positive: [x]\n    threshold: 0.5\n    {line}\n")

    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )
    flow = "concepts: [" + "{name: red, positive: x, threshold: 0.5}," * 200_000 + "]"
    lies = (
        Input("tags", "a Python object", _text("!!python/object/apply:os.mkdir ['owned']\n")),
        Input("tags", "a Python object as a name", concept("negative: !!python/object/apply:os.mkdir ['owned']")),
        Input("tags", "a module", concept("negative: !!python/module:antigravity x")),
        Input("tags", "of our own", concept("negative: !x [a]")),
        Input("tags", "a set", concept("negative: !!set {a}")),
        Input("tags", "binary", concept("negative: !!binary aGk=")),
        Input("aliases", "nine to the twentieth", _text(bomb)),
        Input(
            "aliases",
            "nine to the twentieth as prompts",
            _text(f"{bomb}concepts:\n  - name: red\n    positive: *u\n    threshold: 0.5\n"),
        ),
        Input("aliases", "in itself", _text("concepts: &a\n  - *a\n")),
        Input(
            "aliases",
            "one list of prompts for all",
            _text(
                "x: &p ["
                + ",".join(f"p{n}" for n in range(2000))
                + "]\nconcepts:\n"
                + "".join(f"  - {{name: n{n}, positive: *p, threshold: 0.5}}\n" for n in range(2000))
            ),
        ),
        Input("depth", "lists", _text("[" * 100_000)),
        Input("depth", "lists that are closed", _text("concepts: " + "[" * 900 + "]" * 900)),
        Input("depth", "blocks", _text("".join(" " * n + "a:\n" for n in range(5000)))),
        Input("length", "200,000 concepts", _text(flow), large=True),
        Input("length", "a prompt of 10 MB", concept("negative: " + "x" * 10_000_000), large=True),
        Input("numbers", "odd", _text(_POLICY.replace("0.5", "1e999"))),
        Input("numbers", "in base sixty", _text(_POLICY.replace("0.5", "0:30:00.5"))),
        Input("numbers", "not a number", _text(_POLICY.replace("0.5", ".nan"))),
        Input("numbers", "digits", _text(_POLICY.replace("0.5", "9" * 100_000))),
        Input("documents", "two", _text(f"{_POLICY}---\n{_POLICY}")),
        Input("keys", "twice", concept("threshold: 0.1")),
        Input("keys", "lists", _text("? [a, b]\n: c\n")),
        Input("keys", "merged", concept("<<: {name: blue}")),
        Input("text", "terminal codes", concept("negative: ['\\e]0;owned\\a']")),
        Input("text", "a directive", _text("%YAML 9.9\n---\na: b\n")),
        Input(
            "templates",
            "a file of the user",
            lambda p: f"templates: {p.secret}\n{_POLICY}".encode(),
            looks=True,
        ),
    )
    return Kind("policy", "policy.yaml", _text(_POLICY), ("moderate --policy FILE -c COLLECTION",), lies)


def _lines(title: str, name: str, lines: str | Callable[[Place], str], call: str, *more: Input) -> Kind:
    """A file with something on each line."""

    def sound(place: Place) -> bytes:
        return (lines if isinstance(lines, str) else lines(place)).encode()

    lies = (
        Input("lines", "terminal codes", lambda place: sound(place) + b"\x1b]0;owned\x07\x1b[2J\n"),
        Input("lines", "two million", _words, large=True),
        Input("lines", "one of 10 MB", _text("x" * 10_000_000 + "\n")),
        Input("lines", "only separators", _text("\n\r\n\x0b\x0c\x1c\u2028\n" * 1000)),
        Input("lines", "surrogates", lambda place: b"\xed\xa0\x80\n" + sound(place)),
        *more,
    )
    return Kind(title, name, sound, (call,), lies)


def _queries() -> Kind:
    def line(document: Any) -> Make:
        return _text(f"red\n{document if isinstance(document, str) else json.dumps(document)}\nblue\n")

    def like(place: Place) -> bytes:
        named = [
            str(place.secret),
            "/etc/shadow",
            "/dev/zero",
            place.secret.as_uri(),
            "/proc/self/environ",
            str(place.arena.home),
        ]
        return "".join(json.dumps({"like": {"path": one}}) + "\n" for one in named).encode()

    def call(place: Place) -> bytes:
        named = [
            f"http://127.0.0.1:{place.port}/x.png",
            f"http://[::1]:{place.port}/",
            "http://169.254.169.254/latest",
        ]
        return "".join(json.dumps({"like": {"url": one}}) + "\n" for one in named).encode()

    def pipe(place: Place) -> bytes:
        return json.dumps({"like": {"path": str(place.folder / place.pipe("pipe.png"))}}).encode()

    def link(place: Place) -> bytes:
        place.link("lie.png", place.secret)
        return json.dumps({"like": {"path": str(place.folder / "lie.png")}}).encode()

    bomb = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1 << 20)).decode()
    values: Sequence[tuple[str, Any]] = (
        ("limit true", {"text": "red", "limit": True}),
        ("limit huge", {"text": "red", "limit": 10**30}),
        ("limit a float", {"text": "red", "limit": 1e3}),
        ("limit negative", {"text": "red", "limit": -1}),
        ("limit of a trillion", {"text": "red", "limit": 10**12}),
        ("per_group huge", {"text": "red", "group_by": "day", "per_group": 10**18}),
        ("page", {"text": "red", "page": "A" * 1_000_000}),
        ("weight huge", {"text": [{"text": "red", "weight": 1e308}, {"text": "blue", "weight": 1e308}]}),
        ("weight true", {"text": [{"text": "red", "weight": True}]}),
        ("vector long", {"like": {"vector": [1] * 1_000_000}}),
        ("vector huge", {"like": {"vector": [1e308] * 16}}),
        ("vector of digits", {"like": {"vector": [10**400] * 16}}),
        ("ids", {"text": "red", "more": [2**63, -1, True]}),
        ("many ids", {"text": "red", "more": list(range(100_000))}),
        ("where deep", {"text": "red", "where": "(" * 5000 + "width > 1" + ")" * 5000}),
        ("where long", {"text": "red", "where": " or ".join(["width > 1"] * 50_000)}),
        (
            "where reads",
            {"text": "red", "where": "caption in (select content from read_text('/etc/passwd'))"},
        ),
        ("picture", {"like": {"picture": bomb}}),
        ("terms", {"text": ["red"] * 20_000}),
    )
    lies = (
        *(Input("members", label, line(value)) for label, value in values),
        Input("depth", "lists", line('{"text": ' + "[" * 100_000)),
        Input("depth", "objects", line('{"text":' * 50_000)),
        Input("numbers", "digits", line('{"text": "red", "limit": ' + "9" * 100_000 + "}")),
        Input("numbers", "NaN", line('{"text": "red", "min_score": NaN}')),
        Input("pictures", "secrets and devices", like, looks=True),
        Input("pictures", "a pipe", pipe),
        Input("pictures", "a link to a secret", link, looks=True),
        Input("pictures", "servers of this machine", call),
        *_lines("", "", "red\n", "").lies,
    )
    return Kind(
        "queries",
        "queries.jsonl",
        _text("red\nblue\n"),
        ("search --queries FILE -c COLLECTION --json",),
        lies,
    )


def _names() -> Kind:
    def named(place: Place) -> bytes:
        files = [
            str(place.secret),
            "/dev/zero",
            "/dev/stdin",
            "/etc/shadow",
            "../../home/thesis.txt",
            "-",
            "--help",
        ]
        return "\n".join(
            [*files, f"http://127.0.0.1:{place.port}/x.png", f"ftp://127.0.0.1:{place.port}/x.png"]
        ).encode()

    def pipe(place: Place) -> bytes:
        return str(place.folder / place.pipe("pipe.png")).encode()

    return _lines(
        "list of names",
        "names.txt",
        lambda place: f"{place.folder}/0.png\n{place.folder}/1.png\n",
        "index --files-from FILE -c COLLECTION",
        Input("names", "secrets, devices, servers", named, looks=True),
        Input("names", "a pipe", pipe),
    )


def _captions(ending: str) -> Kind:
    writer = WRITERS[ending]
    rows = [{"image_id": n, "caption": f"number {n}"} for n in range(4)]

    def of(*more: Mapping[str, Any]) -> Make:
        return lambda _: writer([*rows, *more])

    def paths(place: Place) -> bytes:
        named = [str(place.secret), "../" * 9 + "etc/shadow", "/dev/zero", "", "\n", "x" * 100_000]
        return writer([{"path": one, "caption": "x"} for one in named])

    lies = [
        Input("ids", "huge", of({"image_id": 2**62, "caption": "x"}, {"image_id": -1, "caption": "x"})),
        Input("captions", "empty", of({"image_id": 1, "caption": ""})),
        Input("captions", "10 MB", of({"image_id": 1, "caption": "x" * 10_000_000})),
        Input("captions", "terminal codes", of({"image_id": 1, "caption": "\x1b[2J"})),
        Input("paths", "secrets", paths),
    ]
    if ending == "jsonl":
        deep = b'{"image_id": 1, "caption": ' + b"[" * 100_000 + b"}\n"
        lies.append(Input("captions", "deep", lambda _: writer(rows) + deep))
        digits = b'{"image_id": ' + b"9" * 5000 + b', "caption": "x"}\n'
        lies.append(Input("ids", "digits", lambda _: writer(rows) + digits))
    calls = ("evaluate retrieval --captions FILE -c COLLECTION", "captions --references FILE -c COLLECTION")
    return Kind(f"captions: {ending}", f"captions.{ending}", of(), calls, tuple(lies))


def _tags(ending: str) -> Kind:
    writer = WRITERS[ending]
    rows = [{"image_id": n, "tag": "warm"} for n in range(4)]

    def of(*more: Mapping[str, Any]) -> Make:
        return lambda _: writer([*rows, *more])

    lies = (
        Input("tags", "odd", of({"image_id": 1, "tag": "\x1b[2J"}, {"image_id": 2, "tag": "x" * 100_000})),
        Input("ids", "huge", of({"image_id": 2**62, "tag": "x"}, {"image_id": -5, "tag": "x"})),
        Input(
            "paths",
            "secrets",
            lambda p: writer([{"path": str(p.secret), "tag": "x"}, {"path": "/dev/zero", "tag": "y"}]),
            looks=True,
        ),
    )
    calls = ("tag add --from FILE -c COLLECTION", "tag list -c COLLECTION")
    return Kind(f"tags: {ending}", f"tags.{ending}", of(), calls, lies)


def _plan() -> Kind:
    """A plan of what to do to duplicates. `PLAN` in a call is one that imseek has made; lies are changes to it."""

    def changed(change: Any) -> Make:
        def make(place: Place) -> bytes:
            plan = json.loads((place.sound / "plan.json").read_bytes())
            change(plan, place)
            return json.dumps(plan).encode()

        return make

    def path_of(target: str) -> Any:
        def change(plan: Any, place: Place) -> None:
            chosen = target.replace("HOME", str(place.arena.home)).replace("PHOTOS", str(place.arena.photos))
            plan["groups"][0]["files"][0]["path"] = chosen

        return change

    def keeper_of(target: str) -> Any:
        def change(plan: Any, place: Place) -> None:
            plan["groups"][0]["keep"]["path"] = target.replace("HOME", str(place.arena.home))

        return change

    def members(**values: Any) -> Any:
        def change(plan: Any, place: Place) -> None:
            plan.update(
                {k: v.replace("HOME", str(place.arena.home)) if isinstance(v, str) else v for k, v in values.items()}
            )

        return change

    def first(**values: Any) -> Any:
        return lambda plan, _: plan["groups"][0]["files"][0].update(values)

    lies = (
        *(
            Input("a file's path", target, changed(path_of(target)))
            for target in (
                "HOME/thesis.txt",
                "HOME/.ssh/id_rsa",
                "/etc/passwd",
                "PHOTOS/../../home/thesis.txt",
                "relative.png",
                "/dev/zero",
                "",
                "/",
                "PHOTOS",
            )
        ),
        *(
            Input("the keeper's path", target, changed(keeper_of(target)))
            for target in ("HOME/thesis.txt", "/dev/zero", "/etc/passwd", "x")
        ),
        Input(
            "where to",
            "the home",
            changed(members(action="quarantine", to="HOME/.config/autostart")),
            looks=True,
        ),
        Input("where to", "the root", changed(members(action="quarantine", to="/"))),
        Input("where to", "a relative path", changed(members(action="quarantine", to="../../x"))),
        Input("members", "unknown", changed(members(command="rm -rf"))),
        Input("members", "of other types", changed(members(groups={"a": 1}, generation="9", protect=[1]))),
        Input("members", "huge numbers", changed(first(image_id=10**30, bytes=10**30))),
        Input("members", "truth values", changed(first(image_id=True, bytes=True))),
        Input("members", "another hash", changed(first(content_hash="0" * 64))),
        Input("members", "no hash", changed(first(content_hash="../../x"))),
        Input("members", "another action", changed(first(action="execute"))),
        Input("members", "another collection", changed(first(collection="other"))),
        Input(
            "groups",
            "100,000 of one",
            changed(lambda plan, _: plan.update(groups=plan["groups"] * 100_000)),
            large=True,
        ),
        Input("depth", "lists", lambda _: b'{"imseek_plan": 1, "groups": ' + b"[" * 100_000),
        Input("depth", "objects", lambda _: b'{"imseek_plan": ' * 50_000),
        Input("digits", "many", lambda _: b'{"imseek_plan": ' + b"9" * 100_000 + b"}"),
    )

    def sound(place: Place) -> bytes:
        return (place.sound / "plan.json").read_bytes()

    return Kind("plan", "plan.json", sound, ("apply FILE -c COLLECTION", "apply FILE --yes -c COLLECTION"), lies)


def text_kinds() -> list[Kind]:
    """Policies, classes, templates, words, names, ids, queries, captions, tags and plans."""
    many = "".join(f"class {n}: a, b, c\n" for n in range(300))
    return [
        _policy(),
        _lines(
            "classes",
            "classes.txt",
            "red\nblue: blue, navy\n",
            "label --classes FILE -c COLLECTION",
            Input("classes", "300", _text(many)),
            Input("classes", "comments only", _text("# red\n" * 1000)),
        ),
        _lines(
            "templates",
            "templates.txt",
            "a photo of a {}\n",
            "label --classes red,blue --templates FILE -c COLLECTION",
            Input("templates", "braces", _text("{} {0.__class__} {{}} {x}\n")),
            Input("templates", "200", _text("a {}\n" * 200)),
        ),
        _lines("words", "words.txt", "red\nblue\n", "clusters -k 2 --names FILE -c COLLECTION"),
        _lines(
            "ids",
            "ids.txt",
            "0\n1\n",
            "export OUT/ids.csv --ids FILE -c COLLECTION",
            Input("ids", "digits", _text("9" * 5000 + "\n")),
            Input("ids", "other digits", _text("１\n٣\n²\n")),
        ),
        _lines("texts to measure by", "given.txt", "red\nblue\n", "evaluate ann --query-file FILE -c COLLECTION"),
        _names(),
        _queries(),
        _captions("csv"),
        _captions("jsonl"),
        _captions("parquet"),
        _tags("csv"),
        _tags("jsonl"),
        _plan(),
    ]
