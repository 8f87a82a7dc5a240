"""The mapping files of tests that write their own."""

import json

HELLO = "samples::Hello, hello"
ECHO = "samples::Echo, echo"


def mapping(**paths):
    """The text of a mapping file: the type for each path, whose slash is left out."""
    return json.dumps({"httpHandlers": [{"add": {"verb": "*", "path": f"/{path}", "type": type_text}}
                                        for path, type_text in paths.items()]})
