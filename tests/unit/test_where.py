"""The grammar of filters: what is meant, and what is refused before a database sees it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from filtering import COLUMNS, ROWS, check_sql, rows_of

from imseek.errors import ImseekError, QueryError
from imseek.search.where import duckdb_sandbox, grammar
from imseek.search.where.compiler import compile_filter
from imseek.search.where.grammar import MAX_LENGTH


@pytest.fixture(scope="module")
def connection() -> Any:
    made = duckdb_sandbox.connect()
    yield made
    made.close()


@pytest.fixture(scope="module")
def true_of(connection: Any) -> Callable[[str], list[int]]:
    """The rows of ROWS, by number, of which a filter is true."""

    def ask(where: str) -> list[int]:
        return rows_of(connection, where, ROWS, 4)

    return ask


MEANINGS: dict[str, list[int]] = {
    "width > 3000": [0],
    "NOT width > 3000": [1, 3],
    "width IS NULL": [2],
    "width IS NOT NULL AND height <> 200": [0, 3],
    "width = 100 OR format = 'WEBP'": [1, 2],
    "width == 100": [1],
    "width != 100": [0, 3],
    "format IN ('JPEG', 'PNG')": [0, 1],
    "format NOT IN ('JPEG', 'PNG')": [2, 3],
    "width IN (100, NULL)": [1],
    "width NOT IN (100, NULL)": [],
    "width IN (height, 100, 0)": [1, 3],
    "width + 100 IN (height, 4100)": [0, 1],
    "width BETWEEN 50 AND 100": [1],
    "width NOT BETWEEN 50 AND 100": [0, 3],
    "caption LIKE '%harbour'": [0],
    "caption ILIKE '%BOAT%'": [0],
    "caption NOT LIKE '%harbour'": [1, 3],
    "caption LIKE '50!% off!_%' ESCAPE '!'": [1],
    "camera ILIKE 'müller%'": [2],
    "caption = ''": [3],
    "taken_at >= '2023-05-01'": [0, 1],
    "taken_at = '2023-05-01'": [],
    "taken_at BETWEEN '2023-05-01' AND '2023-05-01 17:30:00'": [0],
    "taken_at < DATE '2021-01-01'": [3],
    "taken_at = TIMESTAMP '2023-12-31T23:59:59'": [1],
    "day = '2023-05-01'": [0],
    "'2023-05-01' = day": [0],
    "date > '2023-05-01'": [1],
    "CASE WHEN width > 100 THEN day ELSE '2020-02-29' END = '2020-02-29'": [1, 2, 3],
    "year = 2023 AND month = 12": [1],
    "extra_year = 4": [3],
    "year(taken_at) = 2020 AND extract(day FROM taken_at) = 29": [3],
    "hour(taken_at) = 17 AND minute(taken_at) = 30 AND weekday(taken_at) = 1": [0],
    "month(taken_at) = day(taken_at) + 4": [0],
    "date_trunc('month', taken_at) = '2023-12-01'": [1],
    "date_trunc('week', day) = '2023-05-01'": [0],
    "megapixels >= 12": [0],
    "aspect < 1": [1],
    "ratio IS NULL": [2, 3],
    "width / height > 1.3": [0],
    "width // 3 = 33 AND width % 3 = 1": [1],
    "1 / width IS NULL AND width // 0 IS NULL AND width % 0 IS NULL": [2, 3],
    "width * 1000000 * 100000 = 400000000000000": [0],
    "-width < -3000": [0],
    "- -width = +100": [1],
    "width - height = 1000": [0],
    "score > .25 AND score < 1e2": [0],
    "abs(score) = 1.5": [1],
    "round(score) = -2 OR round(score + 0.26, 1) = 0.8": [0, 1],
    "floor(score) = 0 AND ceil(score) = 1": [0],
    "sqrt(score) IS NULL": [1, 2],
    "least(width, height) = 100": [1],
    "greatest(width, height, 500) = 500": [1, 2, 3],
    "coalesce(width, 7) = 7": [2],
    "lower(format) = 'jpeg'": [0, 3],
    "upper(format) = 'JPEG' AND trim('  x ') = 'x'": [0, 3],
    "length(caption) = 12": [1],
    "left(format, 1) = 'J' AND right(format, 2) = 'EG' AND substring(format, 2, 2) = 'PE'": [0],
    "starts_with(format, 'J') OR ends_with(format, 'NG') OR contains(format, 'EB')": [0, 1, 2],
    "regexp_matches(caption, '^[0-9]+%')": [1],
    "regexp_matches(caption, '(?i)BOAT|sale$')": [0, 1],
    "caption ~ 'BOAT|sale$'": [0, 1],
    "caption ~ 'boat' AND NOT caption ~ 'zebra'": [0],
    "format || '-' || camera = 'JPEG-X100'": [0],
    "flag": [0, 3],
    "NOT flag": [1],
    "flag = FALSE": [1],
    "flag IS TRUE": [0, 3],
    "flag IS NOT TRUE": [1, 2],
    "flag IS FALSE": [1],
    "flag IS DISTINCT FROM TRUE": [1, 2],
    "camera IS NOT DISTINCT FROM NULL": [1],
    "camera <> 'X100'": [2, 3],
    "camera = 'x''; drop table facts; --'": [3],
    "width > NULL": [],
    "TRUE": [0, 1, 2, 3],
    "1 = 1 AND 'a' < 'b'": [0, 1, 2, 3],
    "CASE WHEN width > height THEN 'wide' WHEN width < height THEN 'tall' END = 'tall'": [1],
    "CASE format WHEN 'JPEG' THEN 1 WHEN 'PNG' THEN 2.5 ELSE 0 END > 1": [1],
    "CAST(width AS TEXT) LIKE '1__'": [1],
    "width::text = '100'": [1],
    "TRY_CAST(caption AS DOUBLE) IS NULL": [0, 1, 2, 3],
    "TRY_CAST(left(caption, 2) AS INT) = 50": [1],
    "CAST(taken_at AS DATE) = '2020-02-29'": [3],
    "TRY_CAST(score AS BIGINT) = -2": [1],
    "CAST(round(coalesce(least(score, 9), 0)) AS BIGINT) = 9": [2, 3],
    "\"my column\" = 'x'": [0],
    '"select" = 2 AND 2 = "SELECT"': [1],
    '"Rating" = 1 AND "rating" = 2': [1],
    '"a""b" = 3': [2],
    "WIDTH = 100 AND Format = 'PNG'": [1],
    "phash = 18446744073709551615": [0],
    "phash > 9223372036854775807": [0, 3],
    "phash + 1 = 1": [1],
    "near(59.9, 10.7, 10)": [0],
    "near(-33.86, 151.2, 0)": [1],
    "near(0, -179.9, 23)": [3],
    "NOT near(0, -179.9, 22)": [0, 1, 3],
    "\"width\" > 3000 AND caption <> '\u200d\u202e\n'": [0],
    "near(-59.91, -169.25, 20015)": [1, 3],
    "near(-59.91, -169.25, 20016)": [0, 1, 3],
    "near(-59.91, -169.25, 1e9)": [0, 1, 3],
    "tag('holiday')": [0, 1],
    "NOT tag('holiday') AND NOT tag('nobody''s')": [2, 3],
    "image_id = 2 OR id = 3": [2, 3],
    "path IS NULL": [2],
    "folder = '/p/2023'": [0],
    "folder = '/'": [1],
    "folder = 'https://x.org/d'": [3],
    "name = 'b.tar.gz' OR filename = 'a.JPG'": [0, 1],
    "extension IN ('jpg', 'gz')": [0, 1],
    "extension = 'png'": [3],
    "source = 1": [0, 1],
    "content_hash IS NULL OR TRUE": [0, 1, 2, 3],
    "(((width > 3000)))": [0],
    "width\t>\n3000": [0],
    # lists: each entry counts, and images without any are unknown
    "keyword = 'beach'": [0],
    "'beach' = keyword": [0],
    "keywords = 'Norway'": [0],
    "keyword <> 'beach'": [1, 3],
    "NOT keyword = 'beach'": [1, 3],
    "keyword IN ('beach', 'Beach', 'none')": [0, 1],
    "keyword NOT IN ('beach', 'none')": [1, 3],
    "keyword LIKE 'Nor%'": [0],
    "keyword ILIKE 'beach'": [0, 1],
    "keyword NOT ILIKE 'beach'": [3],
    "keyword LIKE '50!%%' ESCAPE '!'": [3],
    "(keyword) = 'beach'": [0],
    "keyword IS NULL": [2],
    "person IS NOT NULL": [0, 1],
    "person = 'Ben' AND person = 'Anna'": [1],
    "keyword = lower('BEACH')": [0],
    "keyword = format": [],
}


@pytest.mark.parametrize("where", MEANINGS)
def test_sql_is_made_of_our_words_alone(where: str) -> None:
    check_sql(compile_filter(where, COLUMNS).sql)


@pytest.mark.parametrize("where", MEANINGS)
def test_what_a_filter_means(where: str, true_of: Callable[[str], list[int]]) -> None:
    assert true_of(where) == MEANINGS[where]


#: What must not get to the database, with a part of what is said.
ATTACKS = {
    # statements, and ways out of the expression
    "": "empty",
    "   \n": "empty",
    "SELECT 1": "not a statement",
    "drop table facts": "not a statement",
    "DELETE FROM facts": "",
    "width > 1; DROP TABLE facts": "`;`",
    "width > 1;": "`;`",
    ";": "`;`",
    "1=1); drop view facts; select (1": "`;`",
    "1=1) UNION SELECT (1": "",
    "width > 1 UNION SELECT 1": "",
    "width > 1 ORDER BY width": "",
    "width > 1 LIMIT 1": "",
    "width > 1, 2": "",
    "width > 1 AS x": "",
    "width > 1 x": "",
    "WITH a AS (SELECT 1) SELECT * FROM a": "",
    "COPY facts TO '/tmp/x'": "",
    "ATTACH '/tmp/x'": "",
    "PRAGMA database_list": "",
    "SET threads = 1": "",
    "INSTALL httpfs": "",
    "LOAD httpfs": "",
    "CALL pragma_version()": "",
    "EXPLAIN SELECT 1": "",
    # comments
    "width > 1 -- x": "comments",
    "width > 1 --": "comments",
    "/* x */ width > 1": "comments",
    "width /*+ x */ > 1": "comments",
    "width > 1 /* open": "",
    "{# x #} flag": "comments",
    "-- x": "",
    # subqueries
    "(SELECT 1) = 1": "subquery",
    "EXISTS(SELECT 1)": "subquery",
    "width IN (SELECT 1)": "not part",
    "width = ANY(SELECT 1)": "",
    "width > ALL (SELECT 1)": "",
    "(FROM facts SELECT 1) = 1": "",
    "(VALUES (1)) = 1": "",
    "width IN (TABLE facts)": "",
    # functions that read, tell or blow up
    "length(getenv('HOME')) > 0": "no function 'getenv'",
    "read_text('/etc/passwd') = ''": "no function",
    "read_csv('/etc/passwd') IS NULL": "no function",
    "glob('/*') = ''": "no function",
    "query('select 1') IS NULL": "no function",
    "duckdb_settings() IS NULL": "no function",
    "current_setting('threads') = ''": "no function",
    "pg_sleep(10) IS NULL": "no function",
    "length(repeat('x', 2000000000)) > 1": "no function 'repeat'",
    "len(range(3000000000)) > 1": "no function",
    "lpad('x', 2000000000, 'y') = ''": "no function",
    "replace('aaa', 'a', 'aaaa') = ''": "no function",
    "format('{:>1000000000}', 'x') = ''": "no function",
    "printf('%1000000000s', 'x') = ''": "no function",
    "list_aggregate([1], 'sum') = 1": "",
    "pow(10, 400) > 1": "no function",
    "random() > 0.5": "no function",
    "now() > taken_at": "no function 'now'",
    "nextval('x') = 1": "no function",
    "error('x')": "no function",
    "eval('x')": "no function",
    "system.main.abs(width) = 1": "",
    "main.abs(width) = 1": "",
    "pg_catalog.pg_backend_pid() = 1": "",
    "\"abs\"(width) = 1 AND \"getenv\"('HOME') = ''": "",
    # aggregates, windows, lambdas, lists, structs
    "count(*) > 1": "no function",
    "sum(width) > 1": "no function",
    "sum(width) OVER () > 1": "window",
    "abs(width) OVER (PARTITION BY width) > 1": "window",
    "abs(DISTINCT width) > 1": "",
    "abs(width ORDER BY width) > 1": "",
    "abs(width) FILTER (WHERE flag) > 1": "",
    "coalesce(x -> x) = 1": "",
    "coalesce(width, lambda x: x) = 1": "",
    "coalesce(x := 1) = 1": "",
    "*": "",
    "* = 1": "",
    "COLUMNS(*) > 1": "",
    "facts.* = 1": "",
    "facts.width = 1": "not part",
    "a.b.c.width = 1": "not part",
    "width[1] = 1": "not part",
    "[1, 2] = [1, 2]": "not part",
    "{'a': 1} = {'a': 1}": "not part",
    "MAP {'a': 1} = 1": "",
    "(width, height) = (1, 2)": "tuple",
    "caption -> '$.a' = '1'": "not part",
    "caption ->> '$.a' = '1'": "not part",
    "()": "",
    # parameters and other odd leaves
    "width = ?": "parameter",
    "width = $1": "",
    "width = :a": "parameter",
    "width = @a": "",
    "width = {{a}}": "",
    "x'00' = caption": "",
    "e'\\n' = caption": "",
    "n'abc' = caption": "not part",
    "$$x$$ = caption": "",
    "taken_at > INTERVAL 3 DAY": "INTERVAL",
    "taken_at AT TIME ZONE 'UTC' = '2020-01-01'": "not part",
    "caption COLLATE nocase = 'a'": "not part",
    "caption SIMILAR TO 'a'": "",
    "caption GLOB 'a*'": "",
    "caption RLIKE 'a'": "",
    "caption LIKE ANY ('a', 'b')": "pattern in quotes",
    "caption LIKE camera": "pattern in quotes",
    "caption ~ 5": "~ takes a pattern in quotes",
    "caption LIKE 'a' ESCAPE 'ab'": "one character",
    "caption LIKE 'a' ESCAPE camera": "",
    "width BETWEEN SYMMETRIC 1 AND 2": "not part",
    "width IN ()": "at least one",
    "width IN height": "not part",
    "width IS JSON": "not part",
    "width & 1 = 1": "not part",
    "width ^ 2 = 1": "not part",
    "width << 60 > 1": "not part",
    "10**10**10 > 1": "",
    "@width = 1": "",
    "~width = 1": "not part",
    "width DIV 2 = 1 XOR flag": "",
    "CAST(width AS BLOB) = 'a'": "CAST takes",
    "CAST(width AS VARCHAR(3)) = 'a'": "CAST takes",
    "CAST(width AS DECIMAL(38, 38)) = 1": "CAST takes",
    "width::int[] = 1": "CAST takes",
    "width::struct(a int) = 1": "",
    "CAST(taken_at AS INT) = 1": "cannot be made",
    "CAST('2020-01-01' AS DATE FORMAT 'x') = day": "not part",
    "EXTRACT(epoch FROM taken_at) = 1": ", not `EPOCH`",
    "EXTRACT(year FROM width) = 1": "`width` is a whole number, where a date or a time is wanted",
    "CAST('2023-02-30' AS DATE) = day": "2023-02-30",
    "EXTRACT('year' FROM taken_at) = 1": "EXTRACT takes",
    "date_trunc('century', taken_at) = '2000-01-01'": "date_trunc() takes",
    "date_trunc(format, taken_at) = '2000-01-01'": "must be a constant",
    "round(score, width) = 1": "must be a constant",
    "regexp_matches(caption, camera)": "must be a constant",
    "caption ~ camera": "a pattern in quotes",
    "caption ~ 'a{1000}'": "repetition",
    "width ~ '1'": "text",
    "regexp_matches(caption, 'a{1000}')": "repetition",
    r"regexp_matches(caption, '\pL')": "repetition",
    f"regexp_matches(caption, '{'a' * 201}')": "at most 200",
    "tag(caption)": "one name in quotes",
    "tag('a', 'b')": "one name in quotes",
    "tag()": "one name in quotes",
    "near(latitude, longitude, 3)": "three numbers",
    "near(1, 2)": "three numbers",
    "near(91, 0, 1)": "latitude of",
    "near(0, 181, 1)": "longitude of",
    "near(0, 0, -1)": "kilometres from",
    "near('1', 2, 3)": "three numbers",
    # numbers
    "width = 1e400": "too large",
    "width = 18446744073709551616": "beyond 64 bits",
    f"width = {'9' * 3000}": "beyond 64 bits",
    "width = 0x10": "",
    # size and depth
    "width > 1" + " " * (MAX_LENGTH - 8): "at most 4000 characters",
    "(" * 1990 + "flag" + ")" * 1990: "nested more than 24",
    "NOT " * 990 + "flag": "nested more than 24",
    "- " * 1900 + "width = 1": "nested more than 24",
    "width" + " + width" * 400 + " = 1": "nested more than 24",
    "width" + "::text" * 400 + " = '1'": "nested more than 24",
    "caption" + "||caption" * 400 + " = ''": "nested more than 24",
    "CASE WHEN " * 150 + "flag" + " THEN flag END" * 150: "nested more than 24",
    "abs(" * 700 + "width" + ")" * 700 + " = 1": "nested more than 24",
    "[" * 3000: "nested more than 24",
    "{" * 3000: "nested more than 24",
    "CAST(" * 700: "nested more than 24",
    "width/(" * 20 + "width" + ")" * 20 + " > 1": "too large",
    "DATE(" * 20 + "width" + ")" * 20 + " = 1": "too many ways",
    "struct(" * 20 + "width" + ")" * 20 + " = 1": "too many ways",
    "struct(" * 23: "",
    # unicode
    "ｗｉｄｔｈ > 1": "no column",
    "width ＞ 1": "",
    "width\u200b > 1": "invisible",
    "wid\u202eth > 1": "invisible",
    "width\u00a0> 1 AND \u00a0": "",
    "width > 1\0": "",
    '"wid\u202eth" > 1': "no column",
    "caption = 'a\0b'": "invisible",
    "caption = '\ud800'": "invisible",
    "format = ‘JPEG’": "straight",
    "ſelect 1": "",
    # not true or false
    "width": "is a whole number",
    "caption": "is text",
    "taken_at": "is a time",
    "1": "is a whole number",
    "'true'": "is text",
    "NULL": "is NULL",
    "CASE WHEN flag THEN NULL END": "is NULL",
    "coalesce(width, 1)": "is a whole number",
    # kinds that do not fit
    "width = '4000'": "is a whole number, and `'4000'` is text",
    "caption > 3": "is text",
    "taken_at > 3": "is a time",
    "flag > TRUE": "no order",
    "flag >= TRUE": "`flag` is true or false: it has no order",
    "flag BETWEEN FALSE AND TRUE": "`flag` is true or false: it has no order",
    "year(taken_at) = '2020'": "is a whole number, and `'2020'` is text",
    "flag = 1": "true or false",
    "width AND flag": "where true or false is wanted",
    "NOT width": "where true or false is wanted",
    "width + caption > 1": "where a number",
    "taken_at + 1 > taken_at": "is a time",
    "score % 2 = 0": "whole numbers",
    "lower(width) = 'a'": "where text is wanted",
    "abs(caption) = 1": "is text",
    "left(caption, 1.5) = 'a'": "is a number",
    "coalesce(width, caption) = 1": "is text",
    "CASE WHEN flag THEN 1 ELSE 'a' END = 1": "is text",
    "width IN (1, 'a')": "is text",
    "taken_at > 'yesterday'": "not a date",
    "taken_at > '2023'": "not a date",
    "taken_at > '2023-13-01'": "not a date",
    "taken_at > '2023-02-30'": "not a date",
    "taken_at > '2023-W01-1'": "not a date",
    "taken_at > '2023-05-01 25:00'": "not a date",
    "taken_at > '2023-05-01T00:00:00Z'": "time zone",
    "taken_at > '2023-05-01T00:00:00+02:00'": "time zone",
    "taken_at > caption": "is text",
    "year(caption) = 2020": "is text",
    "abs() = 1": "takes 1 argument, not 0",
    "abs(1, 2) = 1": "takes 1 argument, not 2",
    "coalesce() = 1": "at least one",
    "substring(caption, 1) = 'a'": "takes 3 arguments, not 2",
    # names
    "RATING = 1": "may be",
    "widht > 1": "no column 'widht'",
    'format = "JPEG"': "no column 'JPEG'",
    # where it goes wrong
    # lists
    "keyword": "a list of texts",
    "keyword > 'a'": "it has no order",
    "keyword BETWEEN 'a' AND 'b'": "a list of texts",
    "keyword = 3": "a whole number, where text is wanted",
    "keyword IN (1, 2)": "a whole number, where text is wanted",
    "keyword = person": "a list of texts, where text is wanted",
    "keyword IS DISTINCT FROM 'a'": "it has no order",
    "coalesce(keyword, person) = 'a'": "a list of texts",
    "lower(keyword) = 'a'": "a list of texts, where text is wanted",
    "keyword || 'a' = 'a'": "a list of texts, where text is wanted",
    "keyword IS TRUE": "a list of texts",
    "CAST(keyword AS TEXT) = 'a'": "a list of texts",
    "CASE WHEN TRUE THEN keyword END = 'a'": "a list of texts",
    "width >": "missing",
    "width > ) 1": "▸)◂",
    "(width > 1": "missing",
    "width > 1)": "▸)◂",
    "format = 'JPEG": "does not end",
    'format = "JPEG': "does not end",
    "AND": "",
    "width BETWEEN 1": "",
}


@pytest.mark.parametrize("where", ATTACKS, ids=lambda text: re.sub(r"\W+", " ", text, flags=re.ASCII)[:40])
def test_what_is_refused_before_the_database(where: str) -> None:
    with pytest.raises(QueryError) as caught:
        compile_filter(where, COLUMNS)
    assert ATTACKS[where] in f"{caught.value} ({caught.value.hint})"
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_a_filter_is_text() -> None:
    for wrong in (None, 3, b"flag", True):
        with pytest.raises(QueryError, match="is text, not"):
            compile_filter(wrong, COLUMNS)  # type: ignore[arg-type]


def test_the_compiled_sqlglot_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TypeError("interpreted classes cannot inherit from compiled")

    monkeypatch.setattr(grammar.ImseekWhere.Parser, "__init__", refuse)
    with pytest.raises(ImseekError, match="sqlglotc") as caught:
        compile_filter("flag", COLUMNS)
    assert caught.value.hint == "pip uninstall sqlglotc"


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("widht > 1", "did you mean width?"),
        ("lenght(caption) = 1", "length"),
        ("Captoin = 'a'", "did you mean caption"),
        ('format = "JPEG"', "single quotes: 'JPEG'"),
        ("format = ‘JPEG’", "straight single quotes"),
        ("qqq > 1", "there are: "),
        ("width = '4000'", "TRY_CAST"),
        ("taken_at > 'May'", "'2023-05-01'"),
    ],
)
def test_refusals_say_what_would_do(where: str, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        compile_filter(where, COLUMNS)
    assert caught.value.hint is not None
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("CAST(caption AS INT) = 1", "a Boat in the harbour"),
        ("CAST(width AS BIGINT) * 9223372036854775807 > height", "Overflow"),
        ("regexp_matches(caption, '(')", "missing"),
        ("caption ~ '('", "missing"),
    ],
)
def test_what_fails_on_a_value_is_an_error(where: str, said: str, true_of: Callable[[str], list[int]]) -> None:
    with pytest.raises(QueryError, match="cannot be computed") as caught:
        true_of(where)
    assert said in str(caught.value)
    assert "c0" not in str(caught.value).replace("c0 *", "")
    assert "?i" not in str(caught.value)
    assert caught.value.hint is not None
    assert ("RE2" in caught.value.hint) == (said == "missing")


def test_long_filters_that_are_no_attack(true_of: Callable[[str], list[int]]) -> None:
    assert true_of(" OR ".join(f"width = {n}" for n in range(230))) == [1, 3]
    assert true_of(f"width IN ({', '.join(str(n) for n in range(780))})") == [1, 3]
    assert true_of(f"format IN ({', '.join(repr(str(n)) for n in range(440))}, 'PNG')") == [1]
    assert true_of("flag AND " * 440 + "width > 0") == [0]
    exact = "width > 1".ljust(MAX_LENGTH)
    assert true_of(exact) == [0, 1]
