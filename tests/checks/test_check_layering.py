"""scripts/check-layering finds what it is there to find, in trees made for the purpose."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check(root):
    return subprocess.run([ROOT / "scripts" / "check-layering", root], capture_output=True, text=True, timeout=30)


def tree(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


WRONG = [
    # One folder to the left of another: the whole chain, neighbour by neighbour.
    ("mappings/a.cpp", '"host/options/settings.hpp"'),
    ("host/options/a.hpp", '"host/observe/log.hpp"'),
    ("host/observe/a.hpp", '"host/runtime/runtime.hpp"'),
    ("host/runtime/a.cpp", '"host/handling/registry.hpp"'),
    ("host/handling/a.cpp", '"host/pipeline/pipeline.hpp"'),
    ("host/pipeline/a.cpp", '"host/fastcgi/connection.hpp"'),
    ("host/pipeline/a.cpp", '"host/recording/reader.hpp"'),
    ("host/fastcgi/a.cpp", '"host/worker/worker.hpp"'),
    ("host/worker/a.cpp", '"host/supervisor/supervisor.hpp"'),
    ("mappings/a.hpp", '"host/supervisor/supervisor.hpp"'),
    # The two that do not see each other.
    ("host/fastcgi/a.cpp", '"host/recording/writer.hpp"'),
    ("host/recording/a.cpp", '"host/fastcgi/connection.hpp"'),
    ("host/tools/a.cpp", '"host/supervisor/supervisor.hpp"'),
    ("host/supervisor/a.cpp", '"host/tools/list_modules.hpp"'),
    # Handlers see the public headers.
    ("handlers/builtin/a.cpp", '"host/pipeline/pipeline.hpp"'),
    ("handlers/builtin/a.cpp", '"mappings/mapping_table.hpp"'),
    ("handlers/builtin/a.cpp", "<nlohmann/json.hpp>"),
    ("handlers/samples/a.cpp", '"handlers/builtin/builtin.hpp"'),
    ("handlers/samples/a.cpp", "<boost/fiber/fiber.hpp>"),
    ("handlers/include/weft/task.hpp", "<boost/asio.hpp>"),
    ("host/pipeline/a.cpp", '"handlers/builtin/builtin.hpp"'),
    ("host/pipeline/a.cpp", '"handlers/samples/hello.hpp"'),
    # The public headers, and what is behind them.
    ("handlers/include/weft/a.hpp", "<boost/url/url.hpp>"),
    ("handlers/include/weft/a.hpp", "<unistd.h>"),
    ("handlers/include/weft/a.hpp", '"handlers/contract/url_library.hpp"'),
    ("handlers/include/weft/a.hpp", '"weft/b.hpp"'),
    ("handlers/contract/a.cpp", '"mappings/pattern.hpp"'),
    ("handlers/contract/a.cpp", "<boost/asio/io_context.hpp>"),
    ("host/pipeline/a.cpp", '"handlers/contract/url_library.hpp"'),
    # Libraries that stay where they are.
    ("host/pipeline/a.cpp", "<boost/fiber/fiber.hpp>"),
    ("host/fastcgi/a.cpp", "<boost/fiber/mutex.hpp>"),
    ("host/worker/a.cpp", "<boost/context/stack_context.hpp>"),
    ("handlers/contract/a.cpp", "<boost/fiber/all.hpp>"),
    ("host/pipeline/a.cpp", "<fcgiapp.h>"),
    ("host/worker/a.cpp", "<fcgios.h>"),
    ("handlers/samples/a.cpp", "<fcgi_stdio.h>"),
    ("mappings/a.cpp", "<boost/asio/io_context.hpp>"),
    # Names.
    ("host/fastcgi/a.cpp", '"../worker/worker.hpp"'),
    ("host/fastcgi/a.cpp", '"connection.hpp"'),
]


@pytest.fixture(scope="module")
def lines_for_all_wrong_includes(tmp_path_factory):
    """What one run says of a tree with every wrong include in a file of its own."""
    files = {f"{path}.{number}{path[-4:]}": f"#pragma once\n\n#include <string>\n#  include {include}  // why not\n"
             for number, (path, include) in enumerate(WRONG)}
    result = check(tree(tmp_path_factory.mktemp("wrong"), files))
    assert result.returncode == 1
    return result.stdout.splitlines()


@pytest.mark.parametrize("number", range(len(WRONG)), ids=lambda number: "{} includes {}".format(*WRONG[number]))
def test_a_wrong_include_is_found_with_its_file_and_line(lines_for_all_wrong_includes, number):
    path, include = WRONG[number]
    place = f"{path}.{number}{path[-4:]}:4: "
    lines = [line for line in lines_for_all_wrong_includes if line.startswith(place)]
    assert len(lines) == 1
    assert include.strip('<>"') in lines[0] or "must not include from" in lines[0]


def test_right_includes_are_left_alone(tmp_path):
    result = check(tree(tmp_path, {
        "handlers/include/weft/a.hpp": "#include <string>\n#include <weft/export.hpp>\n",
        "handlers/contract/a.cpp": '#include <weft/a.hpp>\n#include <boost/url/url.hpp>\n#include <unistd.h>\n'
                                   '#include "handlers/contract/b.hpp"\n',
        "handlers/builtin/a.cpp": '#include "handlers/builtin/a.hpp"\n#include <weft/weft.hpp>\n#include <filesystem>\n',
        "handlers/samples/echo.cpp": "#include <weft/weft.hpp>\n#include <nlohmann/json.hpp>\n#include <openssl/evp.h>\n",
        "mappings/a.cpp": "#include <weft/http_exception.hpp>\n#include <nlohmann/json.hpp>\n",
        "host/options/a.cpp": "#include <boost/program_options.hpp>\n",
        "host/runtime/a.cpp": '#include <boost/fiber/all.hpp>\n#include "host/observe/log.hpp"\n',
        "host/fastcgi/a.cpp": '#include <fcgiapp.h>\n#include <boost/asio.hpp>\n#include "host/pipeline/pipeline.hpp"\n'
                              '#include "mappings/mapping_table.hpp"\n',
        "host/worker/a.cpp": '#include "handlers/builtin/builtin.hpp"\n#include "host/fastcgi/server.hpp"\n'
                             '#include "host/recording/writer.hpp"\n',
        "host/main.cpp": '#include "host/supervisor/serve.hpp"\n#include "host/options/parse.hpp"\n',
    }))
    assert (result.returncode, result.stdout) == (0, "")


def test_an_include_within_a_comment_is_none(tmp_path):
    result = check(tree(tmp_path, {
        "mappings/a.cpp": '/* For example\n#include "host/worker/worker.hpp"\n*/\n// #include <fcgiapp.h>\n'}))
    assert (result.returncode, result.stdout) == (0, "")


def test_a_new_folder_must_be_given_its_place(tmp_path):
    result = check(tree(tmp_path, {"host/gossip/a.cpp": "#include <string>\n"}))
    assert result.returncode == 1
    assert result.stdout.startswith("host/gossip/a.cpp:1: host/gossip has no place")


def test_every_wrong_include_is_listed(tmp_path):
    result = check(tree(tmp_path, {
        "mappings/a.cpp": '#include "host/worker/worker.hpp"\n#include <fcgiapp.h>\n',
        "host/options/b.cpp": '#include "host/observe/log.hpp"\n'}))
    assert [line.rsplit(": ")[0] for line in result.stdout.splitlines()] == [
        "mappings/a.cpp:1", "mappings/a.cpp:2", "host/options/b.cpp:1"]
