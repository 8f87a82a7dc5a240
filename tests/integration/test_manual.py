"""The manual pages: formatters take them without a warning, and they say all that the programs and the schema know."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["man1/weft.1", "man5/weft-mapping.5"]


@pytest.fixture
def build_dir(request):
    return Path(request.config.getoption("--build-dir")).resolve()


def run(command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, **options)


def output_of(command):
    result = run(command)
    assert result.returncode == 0, result.stderr
    return result.stdout


def page_of(build_dir, name):
    return build_dir / "share" / "man" / name


def text_of(page):
    """A page as a terminal shows it, lines of any length, no font."""
    result = run(["groff", "-ww", "-mdoc", "-Tascii", "-P-cbou", "-rLL=9999n", page])
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return result.stdout


@pytest.mark.parametrize("name", PAGES)
def test_no_name_is_hyphenated(build_dir, name):
    for columns in (60, 80, 120):
        result = run(["groff", "-mdoc", "-Tutf8", "-P-cbou", f"-rLL={columns}n", page_of(build_dir, name)])
        assert not re.findall(r"\S+\u2010\n", result.stdout)


@pytest.mark.parametrize("name", PAGES)
def test_formatters_warn_of_nothing(build_dir, name):
    page = page_of(build_dir, name)
    groff = run(["groff", "-ww", "-mdoc", "-Tutf8", page])
    assert (groff.returncode, groff.stderr) == (0, "")
    # Warnings and errors; what is beneath is a matter of style, as the length of lines.
    assert run(["mandoc", "-T", "lint", "-W", "warning", page]).stdout == ""
    if shutil.which("man"):
        man = run(["man", "--warnings", "-l", page], env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
        assert (man.returncode, man.stderr) == (0, "")


def helps(weft):
    """What --help prints, by command; None is the program's own."""
    own = output_of([weft, "--help"])
    commands = re.findall(r"^  ([a-z][\w-]*) {2,}", own, re.M)
    assert len(commands) >= 6
    return {None: own, **{command: output_of([weft, command, "--help"]) for command in commands}}


def test_every_option_of_every_command_is_in_the_page_with_its_meaning(build_dir):
    text = " ".join(text_of(page_of(build_dir, "man1/weft.1")).split())
    for command, help_text in helps(build_dir / "bin" / "weft").items():
        if command:
            assert re.search(rf"(?<!-)\b{command} \[option \.\.\.\]", text), command
        for flag in set(re.findall(r"--[a-z][a-z-]*", help_text)):
            assert re.search(rf"{flag}(?![a-z-])", text), (command, flag)
        # The meaning, default and bounds too: each paragraph of the list of options, its lines joined.
        for item in re.split(r"^  (?=--)", help_text, flags=re.M)[1:]:
            lines = re.match(r"(--[^\n]*\n(?: {6,}[^\n]*\n)*)", item + "\n")[1]
            meaning = re.sub(r"^--\S+(?: \[?=?\S+| \S+(?= {2}))?\s+", "", " ".join(lines.split()))
            if command:
                assert meaning[-60:] in text, (command, meaning)


def test_every_variable_is_in_the_page(build_dir):
    text = text_of(page_of(build_dir, "man1/weft.1"))
    flags = re.findall(r"^  --([a-z-]+)", output_of([build_dir / "bin" / "weft", "serve", "--help"]), re.M)
    assert len(flags) > 60
    for flag in flags:
        variable = "WEFT_" + flag.upper().replace("-", "_")
        assert re.search(rf"^\s*{variable}\s+--{flag}$", text, re.M), variable


def test_every_exit_status_is_in_the_page(build_dir):
    text = text_of(page_of(build_dir, "man1/weft.1"))
    statuses = text[text.index("EXIT STATUS"):text.index("EXAMPLES")]
    told = set()
    for first, last in re.findall(r"^\s+(\d+)(?: to (\d+))?\s", statuses, re.M):
        told |= set(range(int(first), int(last or first) + 1))
    codes = re.findall(r"kExit\w+ = (\d+);", (ROOT / "host/options/exit_code.hpp").read_text())
    assert told == set(map(int, codes))


def keys_of(schema):
    """Each key that the schema names, with what it says of it: by the name of the object that has it."""
    objects = {"file": schema, **schema["$defs"]}
    return {name: part["properties"] for name, part in objects.items() if "properties" in part}


def test_the_page_has_the_keys_of_the_schema_and_their_bounds(build_dir):
    """Every key of the schema is an item of the page, in its own section, and no other is."""
    keys = keys_of(json.loads((ROOT / "mappings/mapping.schema.json").read_text()))
    source = page_of(build_dir, "man5/weft-mapping.5").read_text()
    sections = dict(re.findall(r"^\.S[hs] ([^\n]+)\n(.*?)(?=^\.S[hs] |\Z)", source, re.M | re.S))
    where = {"file": "KEYS OF A FILE", "directive": "DIRECTIVES", "add": "Keys of an entry", "httpRuntime": "LIMITS"}
    # A location and a removal have keys of other objects.
    assert set(keys) == {*where, "location", "remove"}
    assert set(keys["location"]) < set(keys["file"]) and set(keys["remove"]) < set(keys["add"])
    for key in keys["location"]:
        assert key in sections["KEYS OF A FILE"].split(".It Ic locations")[1]
    for name, section in where.items():
        items = dict(re.findall(r"^\.It Ic (\S+)\n(.*?)(?=^\.It |^\.El)", sections[section], re.M | re.S))
        assert set(items) == set(keys[name]), name
        for key, rule in keys[name].items():
            if "maximum" in rule:
                assert f"From {rule['minimum']} to {rule['maximum']}." in items[key], key
            for word in rule.get("enum", []):
                assert re.search(rf"\b{word}\b", items[key]), (key, word)
            built_in = re.search(r"default: (\d+)\.$", rule.get("description", ""))
            assert not built_in or f"Default: {built_in[1]}." in items[key], key


def test_the_pages_are_installed(build_dir, tmp_path):
    output_of(["cmake", "--install", build_dir / "docs/man", "--prefix", tmp_path])
    folder = tmp_path / "share/man"
    assert sorted(str(page.relative_to(folder)) for page in folder.rglob("*.*")) == PAGES
    for name in PAGES:
        assert (tmp_path / "share/man" / name).read_bytes() == page_of(build_dir, name).read_bytes()
