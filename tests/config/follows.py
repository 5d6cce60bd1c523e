#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""follows.py SCHEMA DOCUMENT: whether a JSON document follows a JSON Schema, and no damaged copy of it does.

Knows the keywords that mcrd --schema uses, and no other: an unknown one is an error."""
import copy
import json
import re
import sys

TYPES = {"integer": int, "string": str, "boolean": bool, "array": list, "object": dict}
CHECKS = {
    "type": lambda v, x, s: isinstance(v, TYPES[x]) and not (x == "integer" and isinstance(v, bool)),
    "minimum": lambda v, x, s: not isinstance(v, int) or v >= x,
    "maximum": lambda v, x, s: not isinstance(v, int) or v <= x,
    "minLength": lambda v, x, s: not isinstance(v, str) or len(v) >= x,
    "maxLength": lambda v, x, s: not isinstance(v, str) or len(v) <= x,
    "pattern": lambda v, x, s: not isinstance(v, str) or re.search(x, v),
    "minItems": lambda v, x, s: not isinstance(v, list) or len(v) >= x,
    "maxItems": lambda v, x, s: not isinstance(v, list) or len(v) <= x,
    "items": lambda v, x, s: not isinstance(v, list) or all(follows(i, x) for i in v),
    "enum": lambda v, x, s: v in x,
    "const": lambda v, x, s: v == x and isinstance(v, type(x)),
    "required": lambda v, x, s: all(i in v for i in x),
    "anyOf": lambda v, x, s: any(follows(v, i) for i in x),
    "oneOf": lambda v, x, s: sum(follows(v, i) for i in x) == 1,
    "properties": lambda v, x, s: all(follows(v[i], x[i]) for i in v if i in x),
    "additionalProperties": lambda v, x, s: x or all(i in s["properties"] for i in v),
}
NOTES = {"$schema", "title", "description", "default", "readOnly"}


def follows(value, schema):
    return all(CHECKS[k](value, x, schema) for k, x in schema.items() if k not in NOTES)


def damaged(value, schema, whole):
    """Yields what was done, while it is done to the whole document."""
    if isinstance(value, list):
        for i in value:
            yield from damaged(i, schema["items"], whole)
    if not isinstance(value, dict):
        return
    value["nonsense"] = 1
    yield f"a key more in {schema.get('title')}"
    del value["nonsense"]
    for name in list(value):
        inside, was = schema["properties"].get(name), value[name]
        if inside is None or "properties" not in schema["properties"].get(name, {}) and inside.get("readOnly"):
            continue
        value[name] = {"other": "type"}
        yield f"{name} of another type"
        if isinstance(was, int) and not isinstance(was, bool):
            value[name] = 1 << 62
            yield f"{name} beyond its bounds"
        if name in schema["required"]:
            del value[name]
            yield f"without {name}"
        value[name] = was
        yield from damaged(was, inside, whole)


def main():
    with open(sys.argv[1], encoding="utf-8") as s, open(sys.argv[2], encoding="utf-8") as d:
        schema, document = json.load(s), json.load(d)
    if not follows(document, schema):
        sys.exit("the document does not follow the schema")
    whole = copy.deepcopy(document)
    n = 0
    for what in damaged(whole, schema, whole):
        n += 1
        if follows(whole, schema):
            sys.exit(f"follows the schema: {what}")
    if whole != document or n < 10:
        sys.exit(f"{n} damaged copies")


main()
