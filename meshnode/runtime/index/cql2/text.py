"""CQL2 text to CQL2 JSON, by a grammar for lark's LALR parser.

LALR takes time in proportion to the text and does not recurse, whatever the text is. The grammar
takes any operand where CQL2 wants one of a kind; whoever compiles the result checks the kinds.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError, UnexpectedInput, UnexpectedToken

from meshnode.errors import UsageError

_GRAMMAR: Final = r"""
?start: either
?either: both | both ("OR" both)+            -> any_of
?both: denial | denial ("AND" denial)+       -> all_of
?denial: predicate | NOT denial              -> denied
?predicate: sum
    | sum COMPARISON sum                     -> compared
    | sum "LIKE" sum                         -> like
    | sum NOT "LIKE" sum                     -> not_like
    | sum "BETWEEN" sum "AND" sum            -> between
    | sum NOT "BETWEEN" sum "AND" sum        -> not_between
    | sum "IN" "(" list ")"                  -> among
    | sum NOT "IN" "(" list ")"              -> not_among
    | sum "IS" "NULL"                        -> is_null
    | sum "IS" NOT "NULL"                    -> is_not_null
?sum: product | sum PLUS product             -> computed
    | sum MINUS product                      -> computed
?product: factor | product TIMES factor      -> computed
    | product "DIV" factor                   -> whole_quotient
?factor: atom | MINUS factor                 -> negative
?atom: NUMBER                                -> number
    | TEXT                                   -> text
    | "TRUE"                                 -> true
    | "FALSE"                                -> false
    | NAME                                   -> named
    | QUOTED                                 -> quoted
    | NAME "(" [list] ")"                    -> called
    | shape
    | "(" either ")"
    | "(" either "," list ")"                -> array
    | "(" ")"                                -> no_array
list: either ("," either)*
shape: GEOMETRY Z? coordinates               -> geometry
    | COLLECTION "(" shape ("," shape)* ")"  -> geometries
coordinates: "(" _part ("," _part)* ")"
_part: position | coordinates
position: signed signed signed?
signed: (PLUS | MINUS)? NUMBER

COMPARISON: "<>" | "<=" | ">=" | "<" | ">" | "=" | "!="
PLUS: "+"
MINUS: "-"
TIMES: "*" | "/" | "%" | "^"
NOT.3: /NOT(?![\w:.])/i
GEOMETRY.3: /(MULTI)?(POINT|LINESTRING|POLYGON)(?=\s*(Z\s*)?\()/i
COLLECTION.3: /GEOMETRYCOLLECTION(?=\s*\()/i
Z.4: /Z(?=\s*\()/i
NUMBER: /(\d+(\.\d*)?|\.\d+)(E[+-]?\d+)?(?![\w:])/i
TEXT: /'([^']|'')*'/
QUOTED: /"([^"]|"")*"/
NAME: /[^\W\d][\w:.]*/
WHITE: /\s+/
%ignore WHITE
"""
_WORDS: Final = ("OR", "AND", "LIKE", "BETWEEN", "IN", "IS", "NULL", "DIV", "TRUE", "FALSE")
_HINT: Final = "texts stand in 'single quotes', odd names in double ones: platform = 'landsat-8'"
_NAMES: Final = {
    "POINT": "Point", "LINESTRING": "LineString", "POLYGON": "Polygon",
    "MULTIPOINT": "MultiPoint", "MULTILINESTRING": "MultiLineString",
    "MULTIPOLYGON": "MultiPolygon",
}  # fmt: skip

Json = Any  # what JSON holds


def parse_text(text: str) -> Json:
    """Return the CQL2 JSON of a CQL2 text.

    Raises:
        UsageError: it is not CQL2; says where.
    """
    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        raise UsageError(f"the filter is not CQL2 {_where(error, text)}", hint=_HINT) from error
    except LarkError as error:
        raise UsageError(f"the filter is not CQL2: {error}"[:200], hint=_HINT) from error


def _where(error: UnexpectedInput, text: str) -> str:
    position: object = error.pos_in_stream  # lark gives none, -1 or the last token for the end
    is_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    rest = text[position:].strip() if isinstance(position, int) and not is_end else ""
    return f"at {rest[:30]!r}" if rest else "at its end"


@cache
def _parser() -> Lark:
    grammar = _GRAMMAR
    for word in _WORDS:
        grammar = grammar.replace(f'"{word}"', f"_{word}")
        grammar += f"_{word}.3: /{word}(?![\\w:.])/i\n"
    return Lark(grammar, parser="lalr", transformer=_Json())


@v_args(inline=True)
class _Json(Transformer[Token, Json]):
    """Builds the JSON while the text is parsed, so that nothing walks a tree."""

    def any_of(self, *args: Json) -> Json:
        return _operation("or", *args)

    def all_of(self, *args: Json) -> Json:
        return _operation("and", *args)

    def denied(self, _not: Token, arg: Json) -> Json:
        return _operation("not", arg)

    def compared(self, left: Json, sign: Token, right: Json) -> Json:
        return _operation("<>" if sign == "!=" else str(sign), left, right)

    def like(self, value: Json, pattern: Json) -> Json:
        return _operation("like", value, pattern)

    def not_like(self, value: Json, _not: Token, pattern: Json) -> Json:
        return _operation("not", self.like(value, pattern))

    def between(self, value: Json, low: Json, high: Json) -> Json:
        return _operation("between", value, low, high)

    def not_between(self, value: Json, _not: Token, low: Json, high: Json) -> Json:
        return _operation("not", self.between(value, low, high))

    def among(self, value: Json, values: Json) -> Json:
        return _operation("in", value, values)

    def not_among(self, value: Json, _not: Token, values: Json) -> Json:
        return _operation("not", self.among(value, values))

    def is_null(self, value: Json) -> Json:
        return _operation("isNull", value)

    def is_not_null(self, value: Json, _not: Token) -> Json:
        return _operation("not", self.is_null(value))

    def computed(self, left: Json, sign: Token, right: Json) -> Json:
        return _operation(str(sign), left, right)

    def whole_quotient(self, left: Json, right: Json) -> Json:
        return _operation("div", left, right)

    def negative(self, _minus: Token, value: Json) -> Json:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return -value
        return _operation("*", -1, value)

    def number(self, token: Token) -> Json:
        return _number(token)

    def text(self, token: Token) -> Json:
        return token[1:-1].replace("''", "'")

    def true(self) -> Json:
        return True

    def false(self) -> Json:
        return False

    def named(self, token: Token) -> Json:
        return {"property": str(token)}

    def quoted(self, token: Token) -> Json:
        return {"property": token[1:-1].replace('""', '"')}

    def called(self, token: Token, values: Json) -> Json:
        args, name = values or [], token.lower()
        if name in ("timestamp", "date") and len(args) == 1:
            return {name: args[0]}
        if name == "interval":
            return {name: args}
        if name == "bbox":
            return {name: args}
        return _operation(name, *args)

    def array(self, first: Json, rest: Json) -> Json:
        return [first, *rest]

    def no_array(self) -> Json:
        return []

    def list(self, *values: Json) -> Json:
        return list(values)

    def geometry(self, name: Token, *rest: Json) -> Json:
        kind = _NAMES[name.upper()]
        coordinates = rest[-1]
        if kind == "Point":
            coordinates = coordinates[0]
        if kind == "MultiPoint":
            coordinates = [each[0] if _is_nested(each) else each for each in coordinates]
        return {"type": kind, "coordinates": coordinates}

    def geometries(self, _name: Token, *shapes: Json) -> Json:
        return {"type": "GeometryCollection", "geometries": list(shapes)}

    def coordinates(self, *parts: Json) -> Json:
        return list(parts)

    def position(self, *values: Json) -> Json:
        return list(values)

    def signed(self, *tokens: Token) -> Json:
        value = _number(tokens[-1])
        return -value if tokens[0] == "-" else value


def _operation(name: str, *args: Json) -> Json:
    return {"op": name, "args": list(args)}


def _is_nested(value: Json) -> bool:
    return bool(value) and isinstance(value[0], list)


def _number(token: Token) -> int | float:
    return int(token) if token.isdecimal() and len(token) < 19 else float(token)
