"""What bash and zsh complete of a command line of weft: asked of the shells themselves."""

import os
import re
import subprocess
from pathlib import Path

import pytest

# compopt works while readline completes only: what it is asked for is printed instead.
BASH = """
source "$1"; shift
compopt() { printf 'compopt %s\\n' "$*"; }
COMP_WORDS=(weft "$@"); COMP_CWORD=$#
_weft weft "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def output_of(*command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=30, **options)
    assert (result.returncode, result.stderr) == (0, ""), (command, result)
    return result.stdout


class Bash:
    name = "bash"

    def __init__(self, build_dir, folder):
        self.script, self.folder = build_dir / "share/bash-completion/completions/weft", folder

    def complete(self, line):
        """The = is a word of its own, as with the COMP_WORDBREAKS that bash has."""
        return self.complete_words(re.findall(r"=|[^= ]+", line) + ([] if line and not line.endswith(" ") else [""]))

    def complete_words(self, words):
        return set(output_of("bash", "--norc", "-c", BASH, "bash", self.script, *words, cwd=self.folder).splitlines()) - {""}


class Zsh:
    name = "zsh"

    def __init__(self, build_dir, folder):
        self.functions, self.folder = build_dir / "share/zsh/site-functions", folder

    def complete(self, line):
        script = Path(__file__).with_name("complete.zsh")
        environment = {**os.environ, "TERM": "dumb", "HOME": str(self.folder)}
        return set(output_of("zsh", "-f", script, self.functions, f"weft {line}", cwd=self.folder, env=environment).split()) - {""}


@pytest.fixture
def build_dir(request):
    return Path(request.config.getoption("--build-dir")).resolve()


@pytest.fixture(params=[Bash, Zsh])
def shell(request, build_dir, tmp_path):
    """With a file and a folder to complete."""
    (tmp_path / "weft.ini").write_text("")
    (tmp_path / "modules").mkdir()
    return request.param(build_dir, tmp_path)


def options_of(build_dir):
    """By command: the options that its --help has."""
    weft = build_dir / "bin" / "weft"
    names = re.findall(r"^  ([a-z][\w-]*) {2,}", output_of(weft, "--help"), re.M)
    return {name: set(re.findall(r"^  (--[a-z-]+)", output_of(weft, name, "--help"), re.M)) for name in names}


def test_every_command_and_every_option_of_it(shell, build_dir):
    options = options_of(build_dir)
    assert set(options) <= shell.complete("") <= {*options, "--help", "--version"}
    for command, flags in options.items():
        assert shell.complete(f"{command} --") == flags | {"--help"}, command
    assert shell.complete("se") == {"serve"}
    assert shell.complete("nonsense --") == set()


@pytest.mark.parametrize("line, words", [
    ("serve --log-level ", {"debug", "info", "warning", "error"}),
    ("serve --log-level=", {"debug", "info", "warning", "error"}),
    ("serve --log-level=de", {"debug"}),
    ("serve --log-level w", {"warning"}),
    ("status --format ", {"text", "json", "openmetrics"}),
    ("check --format ", {"text", "json"}),
    ("log-level ", {"debug", "info", "warning", "error"}),
    ("ping --path ", set()),
    ("serve --follow-links ", {"off", "within-root", "on"}),
    ("serve --compression ", {"off", "on", "br", "zstd", "gzip"}),
    ("serve --workers ", {"auto"}),
    ("serve --debug=", {"on", "off"}),
    ("serve --max-params ", set()),
    ("serve --user roo", {"root"}),
    ("serve --socket-group=roo", {"root"}),
    ("explain P", {"POST", "PUT", "PATCH"}),
    ("recording ", {"import", "export"}),
    ("recording export --ha", {"--har"}),
])
def test_values_that_are_words(shell, line, words):
    assert shell.complete(line) == words


def test_an_option_is_offered_again_only_where_it_may_be_repeated(shell):
    assert shell.complete("serve --max-params 20 --max-param") == {"--max-params-bytes"}
    assert shell.complete("serve --modules a --modul") == {"--modules"}


def test_files_and_folders_where_an_option_takes_them(shell):
    # bash has readline complete them, which knows how names are quoted.
    files, folders = ({"compopt -o default"}, {"compopt -o dirnames"}) if shell.name == "bash" else (
        {"weft.ini", "modules"}, {"modules"})
    for option in ("--config", "--control"):
        assert shell.complete(f"serve {option} ") == files
        assert shell.complete(f"serve {option}=") == files
    for option in ("--mappings", "--modules", "--temporary-folder"):
        assert shell.complete(f"serve {option} ") == folders
    assert shell.complete("serve --access-log ") == {"off", "-"} | files
    assert shell.complete("explain --document-root ") == folders
    assert shell.complete("recording import ") == files
    assert shell.complete("recording export --har weft.ini ") == files


def test_processes_of_running_hosts(shell, start, processes):
    host = start(workers=1)
    assert {str(host.process.pid), *map(str, host.workers())} <= shell.complete("stacks ")


def test_bash_completes_what_is_attached_by_a_sign_that_splits_no_words(build_dir, tmp_path):
    bash = Bash(build_dir, tmp_path)
    assert bash.complete_words(["serve", "--log-level=de"]) == {"--log-level=debug"}
    assert bash.complete_words(["serve", "--no-new-privileges=o"]) == {"--no-new-privileges=on", "--no-new-privileges=off"}


def test_bash_knows_the_function_when_it_completes_by_itself(build_dir, tmp_path):
    """As bash-completion loads it: by the name of the command."""
    script = build_dir / "share/bash-completion/completions/weft"
    assert output_of("bash", "--norc", "-c", 'source "$1"; complete -p weft', "bash", script) == "complete -F _weft weft\n"


def test_the_scripts_are_installed_where_the_shells_look(build_dir, tmp_path):
    output_of("cmake", "--install", build_dir / "host", "--prefix", tmp_path)
    for script in ("share/bash-completion/completions/weft", "share/zsh/site-functions/_weft"):
        assert (tmp_path / script).read_bytes() == (build_dir / script).read_bytes()
