"""The installation: what is in it, that it works wherever it is moved, and what is built against it.

It is made once, by `cmake --install` with DESTDIR and a prefix, and moved before it is used. Nothing here looks into the
build again: programs, headers and modules are those of the installation.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import fcgi
from conftest import new_run_dir
from processes import free_port, wait_for
from servers import ROOT

CONSUMER = ROOT / "tests" / "consumer"
PREFIX = "/opt/weft-of-the-test"


@pytest.fixture(scope="session")
def build_dir(pytestconfig):
    return pathlib.Path(pytestconfig.getoption("--build-dir")).resolve()


@pytest.fixture(scope="session")
def folder():
    """For the session: the installation, and what is built against it once."""
    directory = new_run_dir()
    yield directory
    shutil.rmtree(directory)


def is_sanitized(build_dir):
    return build_dir.name == "asan"


def environment(build_dir, prefix, **more):
    """Where the program is in PATH, and nothing else says where Weft is."""
    found = {name: value for name, value in os.environ.items()
             if name not in ("LD_LIBRARY_PATH", "DESTDIR", "CMAKE_PREFIX_PATH", "PKG_CONFIG_PATH")}
    found["PATH"] = f"{prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin"
    if is_sanitized(build_dir):
        found["CXXFLAGS"] = "-fsanitize=address"  # a module is built as its host is
    return {**found, **more}


def run(*command, ok=True, **options):
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=170, **options)
    assert not ok or result.returncode == 0, (command, result.stdout[-3000:], result.stderr[-3000:])
    return result


@pytest.fixture(scope="session")
def prefix(build_dir, folder):
    stage = folder / "stage"
    run("cmake", "--install", build_dir, "--prefix", PREFIX, env={**os.environ, "DESTDIR": str(stage)})
    moved = folder / "moved"
    (stage / PREFIX[1:]).rename(moved)
    assert [path for path in stage.rglob("*") if not path.is_dir()] == [], "something was put beside the prefix"
    return moved


@pytest.fixture(scope="session")
def env(build_dir, prefix):
    return environment(build_dir, prefix)


@pytest.fixture(scope="session")
def libdir(prefix):
    return next(prefix.rglob("libweft.so")).parent


def test_what_is_installed_is_this_and_no_more(prefix, libdir):
    library = libdir.relative_to(prefix)
    found = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    headers = {f"include/weft/{path.relative_to(ROOT / 'handlers/include/weft')}"
               for path in (ROOT / "handlers" / "include" / "weft").rglob("*.hpp")}
    assert {name for name in found if name.startswith("include/")} == headers
    version = re.search(r'kContractVersion = (\d+);', (prefix / "include/weft/module.hpp").read_text()).group(1)
    libraries = {name for name in found if re.match(rf"{library}/libweft\.so", name)}
    assert f"{library}/libweft.so.{version}" in libraries and len(libraries) == 3
    packages = {f"{library}/cmake/weft/{name}" for name in (
        "WeftModule.cmake", "weftConfig.cmake", "weftConfigVersion.cmake", "weftTargets.cmake", "weft-jsonTargets.cmake",
        "weft-asioTargets.cmake")}
    targets = {name for name in found if re.search(r"Targets-\w+\.cmake$", name)}  # one of the build type
    assert len(targets) == 1
    assert found - headers - libraries - packages - targets == {
        "bin/weft", f"{library}/pkgconfig/weft.pc",
        "share/man/man1/weft.1", "share/man/man5/weft-mapping.5",
        "share/bash-completion/completions/weft", "share/zsh/site-functions/_weft",
        "share/weft/mapping.schema.json", "share/weft/recording.schema.json",
        "share/doc/weft/LICENSE", "share/doc/weft/README.md", "share/doc/weft/CHANGELOG.md",
        "share/doc/weft/examples/weft.ini", "lib/systemd/system/weft.service", "lib/systemd/system/weft.socket"}


def test_the_component_of_the_host_has_nothing_for_builders_and_runs(build_dir, tmp_path):
    run("cmake", "--install", build_dir, "--prefix", tmp_path / "host", "--component", "runtime")
    names = [path.name for path in (tmp_path / "host").rglob("*")]
    assert not [name for name in names if name.endswith((".hpp", ".cmake", ".pc", "libweft.so"))]
    version = run(tmp_path / "host/bin/weft", "--version", env=environment(build_dir, tmp_path / "host"))
    assert version.stdout.startswith("weft ")


def test_no_path_of_the_build_is_left_in_what_is_installed(prefix, build_dir):
    for path in prefix.rglob("*"):
        if path.is_file() and path.suffix in (".cmake", ".pc", ".service", ".socket", ".ini", ".hpp"):
            text = path.read_text()
            assert str(ROOT) not in text and str(build_dir) not in text, path
    dynamic = run("readelf", "-d", prefix / "bin/weft").stdout
    assert re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", dynamic) == ["$ORIGIN/../lib"]


def test_the_units_and_the_sample_name_the_prefix(prefix):
    unit = (prefix / "lib/systemd/system/weft.service").read_text()
    assert f"ExecStart={PREFIX}/bin/weft serve --config {PREFIX}/etc/weft/weft.ini\n" in unit
    assert "/usr/bin" not in unit
    assert f"\nmappings = {PREFIX}/etc/weft/mappings\n" in (prefix / "share/doc/weft/examples/weft.ini").read_text()


def test_the_headers_are_whole_and_need_the_standard_library_alone(prefix, env, tmp_path):
    includes = prefix / "include"
    optional = {"weft/json.hpp": r"nlohmann/json\.hpp", "weft/asio.hpp": r"boost/.*"}
    names = sorted(str(path.relative_to(includes)) for path in includes.rglob("*.hpp"))
    for name in names:
        for included in re.findall(r"^\s*#\s*include\s*(\S+)", (includes / name).read_text(), re.M):
            assert included.startswith("<"), f"{name} includes {included}"
            included = included[1:-1]
            known = included in names or re.fullmatch(r"[a-z_]+", included)
            assert known or re.fullmatch(optional.get(name, "(?!)"), included), f"{name} includes {included}"
    source = tmp_path / "all.cpp"
    source.write_text("".join(f"#include <{name}>\n" for name in names if name not in optional))
    flags = run("pkg-config", "--cflags", "weft", env=env_of_pkg_config(env, prefix)).stdout.split()
    run("c++", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *flags, source, env=env)


def env_of_pkg_config(env, prefix):
    return {**env, "PKG_CONFIG_PATH": str(next(prefix.rglob("weft.pc")).parent)}


def modules_of(env, *options):
    """By name: what the installed program tells of the modules."""
    result = run("weft", "modules", "--format", "json", *options, ok=False, env=env)
    return {module["name"]: module for module in json.loads(result.stdout)["modules"]}


def check_module(module, library):
    """What the contract asks of a module."""
    dynamic = run("readelf", "-d", module).stdout
    assert library in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    symbols = run("nm", "-D", "--defined-only", "--format=posix", module).stdout.splitlines()
    assert not [line for line in symbols if line.split()[1] == "u"], "a unique symbol is one of all modules"
    named = {line.split()[0] for line in symbols if line.split()[1] in "TDRB" and "@" not in line}
    assert {"weft_module_register", "weft_module_stamp"} <= named
    assert not [name for name in named if "shop" in name.lower() and not name.startswith("weft_module")]


def ask(address, path, body=b"", **variables):
    return fcgi.exchange(address, {
        "REQUEST_METHOD": "POST" if body else "GET", "SCRIPT_NAME": path, "REQUEST_URI": path, "DOCUMENT_ROOT": "/",
        "SERVER_PROTOCOL": "HTTP/1.1", "CONTENT_LENGTH": str(len(body)), **variables}, body)


def test_a_project_is_built_by_cmake_and_its_modules_are_found_where_it_installs_them(prefix, libdir, env, processes, run_dir):
    build = run_dir / "build"
    generator = ["-G", "Ninja", f"-DCMAKE_INSTALL_PREFIX={run_dir}/elsewhere"]
    run("cmake", "-S", CONSUMER, "-B", build, *generator, env=env)
    run("cmake", "--build", build, env=env)
    commands = (build / "compile_commands.json").read_text()
    assert commands.count("-fstack-clash-protection") == 2 and commands.count("-fvisibility=hidden") == 2
    for name in ("shop", "timer"):
        check_module(build / "modules" / f"{name}.so", next(libdir.glob("libweft.so.?")).name)
    # Into the prefix of the host, where it looks by itself.
    run("cmake", "--install", build, "--prefix", prefix, env=env)
    try:
        listed = modules_of(env)
        assert {name: module["error"] for name, module in listed.items()} == {"shop": None, "timer": None}
        site = run_dir / "mappings" / "default"
        site.mkdir(parents=True)
        (site / "mapping.json").write_text(json.dumps({"httpHandlers": [
            {"add": {"verb": "POST", "path": "/total", "type": "shop::Total, shop"}},
            {"add": {"verb": "GET", "path": "/timer", "type": "Timer, timer"}}]}))
        address = f"unix:{run_dir}/weft.sock"
        processes.start("weft", [prefix / "bin/weft", "serve", "--listen", address, "--workers", "0", "--mappings",
                                 site.parent], env=env)
        wait_for("the host", lambda: fcgi.accepts(address))
        assert ask(address, "/total", b'{"prices": [40, 2]}').body == b"42"
        assert ask(address, "/timer").body == b"waited"
    finally:
        shutil.rmtree(libdir / "weft")


def test_a_module_is_built_without_cmake_by_what_pkg_config_says(prefix, libdir, env, run_dir):
    def pkg_config(*question):
        return run("pkg-config", *question, "weft", env=env_of_pkg_config(env, prefix)).stdout.split()
    modules = run_dir / "modules"
    modules.mkdir()
    run("g++", "-shared", *env.get("CXXFLAGS", "").split(), *pkg_config("--cflags"), CONSUMER / "shop.cpp", "-o",
        modules / "shop.so", *pkg_config("--libs"), env=env)
    check_module(modules / "shop.so", next(libdir.glob("libweft.so.?")).name)
    listed = modules_of(env, "--modules", modules)
    assert listed["shop"]["error"] is None and [c["name"] for c in listed["shop"]["classes"]] == ["shop::Total"]
    paths = {name: pathlib.Path(pkg_config(f"--variable={name}")[0]).resolve()
             for name in ("prefix", "moduledir", "schemadir", "includedir", "bindir")}
    assert paths == {"prefix": prefix, "moduledir": libdir / "weft/modules", "schemadir": prefix / "share/weft",
                     "includedir": prefix / "include", "bindir": prefix / "bin"}
    # What is not defined is told when it is linked, not when it is loaded.
    (run_dir / "lacks.cpp").write_text("#include <weft/weft.hpp>\nvoid Missing();\nWEFT_MODULE(registry) { Missing(); }\n")
    failed = run("g++", "-shared", *pkg_config("--cflags"), run_dir / "lacks.cpp", "-o", run_dir / "lacks.so",
                 *pkg_config("--libs"), ok=False, env=env)
    assert failed.returncode != 0 and "Missing()" in failed.stderr


def test_another_version_and_an_unknown_component_are_refused_by_find_package(env, tmp_path):
    for request, sentence in (("weft 9.0", "requested version"), ("weft COMPONENTS soap", "no component soap")):
        source = tmp_path / request.replace(" ", "-")
        source.mkdir()
        (source / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.25)\nproject(x LANGUAGES NONE)\nfind_package({request} REQUIRED)\n")
        result = run("cmake", "-S", source, "-B", source / "build", ok=False, env=env)
        assert result.returncode != 0 and sentence in result.stderr, result.stderr


@pytest.mark.parametrize("library", ["missing", "present"])
def test_a_module_of_another_contract_is_refused_whether_its_library_is_there_or_not(prefix, libdir, env, run_dir, library):
    """A package of an older Weft: its headers, its library's name."""
    old = run_dir / "old"
    shutil.copytree(prefix / "include", old / "include")
    header = old / "include/weft/module.hpp"
    header.write_text(re.sub(r"kContractVersion = \d+;", "kContractVersion = 1;", header.read_text()))
    (old / "lib").mkdir()
    (old / "empty.cpp").write_text('#include <cstdio>\n[[gnu::constructor]] void Loaded() { std::puts("loaded"); }\n')
    flags = env.get("CXXFLAGS", "").split()
    run("g++", *flags, "-shared", "-fPIC", "-Wl,-soname,libweft.so.1", old / "empty.cpp", "-o", old / "lib/libweft.so", env=env)
    (old / "lib/libweft.so.1").symlink_to("libweft.so")
    modules = run_dir / "modules"
    modules.mkdir()
    run("g++", *flags, "-std=c++20", "-shared", "-fPIC", "-Wl,--no-as-needed", f"-I{old}/include", CONSUMER / "shop.cpp", "-o",
        modules / "shop.so", f"-L{old}/lib", "-lweft", env=env)
    there = {**env, "LD_LIBRARY_PATH": str(old / "lib")} if library == "present" else env
    result = run("weft", "modules", "--modules", modules, ok=False, env=there)
    assert result.returncode == 78
    assert "was built against version 1 of the handler contract, this host has version 5; build it anew" in result.stdout
    assert "loaded" not in result.stdout, "its library has run in the host"


@pytest.mark.parametrize("name, options, module, runs", [
    ("shop::OrderList", [], "order_list", "on a thread of the pool"),
    ("Probe, probes", ["--async", "--output", "my project"], "probes", "on a fiber"),
])
def test_a_new_handler_builds_passes_its_tests_and_is_served(prefix, env, processes, run_dir, name, options, module, runs):
    made = run("weft", "new", "handler", name, *options, cwd=run_dir, env=env)
    project = run_dir / (options[-1] if options else module)
    assert f"module {module}, {runs}" in made.stdout
    if " " in project.name:
        # lighttpd would split the path.
        plain = run_dir / "plain"
        assert f"cd '{project.name}'" in made.stdout
        project = project.rename(plain)
    # What it says to do next, as it stands there.
    configure_and_build, test, serve, curl = re.findall(r"^  ((?:cmake|ctest|lighttpd|curl) .*)$", made.stdout, re.M)
    run("bash", "-c", configure_and_build, cwd=project, env={**env, "CXXFLAGS": env.get("CXXFLAGS", "") + " -Wall -Wextra -Werror"})
    tested = run("bash", "-c", test, cwd=project, env=env).stdout
    assert f"{module}.unit" in tested and f"{module}.check" in tested and "100% tests passed" in tested
    port = str(free_port())
    configuration = project / "site" / "lighttpd.conf"
    configuration.write_text(configuration.read_text().replace("8080", port))
    processes.start("lighttpd", ["bash", "-c", f"cd {project} && exec {serve}"], env=env)
    curl = curl.replace("8080", port).replace("curl", "curl -sf")
    wait_for("the answer", lambda: run("bash", "-c", curl, ok=False, env=env).stdout == "Hello, Ada\n")
    name = re.sub(r".*::|,.*", "", name)
    page = {"OrderList": "order_list", "Probe": "probe"}[name]
    assert run("curl", "-sf", f"http://127.0.0.1:{port}/{page}.ashx", env=env).stdout == "Hello, world\n"


def test_nothing_is_overwritten_and_nothing_half_done_is_left(env, tmp_path):
    (tmp_path / "hello").mkdir()
    refused = run("weft", "new", "handler", "Hello", ok=False, cwd=tmp_path, env=env)
    assert (refused.returncode, refused.stdout) == (64, "")
    assert refused.stderr == "weft: 'hello' is there already, and is left as it is: name another folder with --output\n"
    (tmp_path / "file").write_text("mine")
    assert run("weft", "new", "handler", "Hello", "--output", "file", ok=False, cwd=tmp_path, env=env).returncode == 64
    missing = run("weft", "new", "handler", "Hello", "--output", "no/where", ok=False, cwd=tmp_path, env=env)
    assert missing.returncode == 71 and "no/where" not in os.listdir(tmp_path)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "hello"] and os.listdir(tmp_path / "hello") == []
