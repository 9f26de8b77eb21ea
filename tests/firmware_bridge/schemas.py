"""Messages held against their schemas."""

import functools
import json

import jsonschema

from firmware_bridge import reference


@functools.cache
def validator(name):
    return jsonschema.Draft202012Validator(reference.json_schema(name))


def valid(name, body):
    """The decoded message; raises where it does not match its schema."""
    message = json.loads(body)
    validator(name).validate(message)
    return message
