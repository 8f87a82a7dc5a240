"""`weft modules`, with modules that are built here; and two folders of modules under one host."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess

import pytest

from host import Host
from processes import processes_that_mention, wait_for
from servers import ROOT

GOOD = """
#include <weft/weft.hpp>

class Async : public weft::IHttpAsyncHandler, public weft::IHttpResettableHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { context.Response().Write("%s"); }
  bool IsReusable() const override { return true; }
  void Reset() override {}
};

class Shared : public weft::IHttpSharedHandler, public weft::IHttpBufferlessHandler {
 public:
  void ProcessRequest(weft::HttpContext&) const override {}
};

class Factory : public weft::IHttpHandlerFactory {
 public:
  std::unique_ptr<weft::IHttpHandler> GetHandler(weft::HttpContext&, std::string_view, std::string_view,
                                                 std::string_view) override {
    return std::make_unique<Async>();
  }
  void ReleaseHandler(std::unique_ptr<weft::IHttpHandler>) override {}
};

WEFT_MODULE(registry) {
  weft::AddHandler<Async>(registry, "shop::Async");
  weft::AddSharedHandler<Shared>(registry, "shop::Shared");
  weft::AddFactory<Factory>(registry, "shop::Factory");
}
"""


@pytest.fixture
def build(installation, run_dir):
    """Compiles a module into a folder below the test's own: build(source, "folder", "name")."""
    def compile_module(source, folder, name, *flags):
        (run_dir / folder).mkdir(exist_ok=True)
        (run_dir / f"{name}.cpp").write_text(source)
        if installation.weft.parents[1].name == "asan":
            flags += ("-fsanitize=address",)
        subprocess.run(["c++", "-std=c++20", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", *flags,
                        f"-I{ROOT}/handlers/include", run_dir / f"{name}.cpp", "-o", run_dir / folder / f"{name}.so",
                        f"-L{installation.libraries}", "-lweft"], check=True, timeout=120)
        return run_dir / folder
    return compile_module


def list_modules(installation, *arguments):
    return subprocess.run([installation.weft, "modules", *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


def as_json(installation, *arguments):
    result = list_modules(installation, *arguments, "--format", "json")
    return result, json.loads(result.stdout)


def test_what_each_module_offers_is_listed(installation, build):
    folder = build(GOOD % "x", "modules", "good", "-DNDEBUG")
    result, listed = as_json(installation, "--modules", folder)
    assert result.returncode == 0, result.stderr
    assert listed["warnings"] == []
    [module] = listed["modules"]
    assert (module["name"], module["file"], module["error"]) == ("good", str(folder / "good.so"), None)
    assert module["contractVersion"] == 5
    assert module["compilerAbi"].startswith("gxx-abi ")
    assert module["buildType"].split()[0] == "release"
    needed = subprocess.run(["readelf", "-d", folder / "good.so"], capture_output=True, text=True, check=True).stdout
    assert module["links"] == [line.split("[")[1].rstrip("]") for line in needed.splitlines() if "(NEEDED)" in line]
    assert any(name.startswith("libweft.so") for name in module["links"])
    assert module["classes"] == [
        {"name": "shop::Async", "lifetime": "instance", "async": True, "bufferless": False, "resettable": True},
        {"name": "shop::Factory", "lifetime": "factory", "async": None, "bufferless": None, "resettable": None},
        {"name": "shop::Shared", "lifetime": "shared", "async": False, "bufferless": True, "resettable": False}]

    text = list_modules(installation, "--modules", folder)
    assert text.returncode == 0 and text.stderr == ""
    lines = text.stdout.splitlines()
    assert lines[0] == f"good ({folder}/good.so)"
    assert lines[1].startswith("  contract 5, release")
    assert lines[2].startswith("  links lib")
    assert lines[3:] == ["  shop::Async: instance, async, resettable", "  shop::Factory: factory",
                         "  shop::Shared: shared, bufferless"]


UNUSABLE = {
    "text": (None, "invalid ELF header"),
    "none": ("int answer() { return 42; }", "it lacks WEFT_MODULE"),
    "throws": ("#include <stdexcept>\n#include <weft/weft.hpp>\n"
               'WEFT_MODULE(registry) { throw std::runtime_error("the licence has expired"); }',
               "the licence has expired"),
    "crashes": ("#include <csignal>\n#include <weft/weft.hpp>\nWEFT_MODULE(registry) { std::raise(SIGSEGV); }",
                "it ends the process as it is loaded, by SIGSEGV"),
    "exits": ("#include <cstdlib>\n#include <weft/weft.hpp>\nconst bool g_ended = (std::_Exit(3), true);\n"
              "WEFT_MODULE(registry) {}", "it ends the process as it is loaded, with exit code 3"),
    "leaves": ("#include <cstdlib>\n#include <weft/weft.hpp>\nWEFT_MODULE(registry) { std::_Exit(0); }",
               "it ends the process as it is loaded, with exit code 0"),
    "old": ("#include <weft/weft.hpp>\nextern \"C\" {\nextern WEFT_API const weft::detail::ModuleStamp weft_module_stamp;\n"
            "const weft::detail::ModuleStamp weft_module_stamp = {weft::detail::kModuleMagic, 1, nullptr, nullptr};\n"
            "WEFT_API void weft_module_register(weft::IHandlerRegistry&) {}\n}",
            "was built against version 1 of the handler contract"),
}


def test_a_module_that_cannot_be_used_is_told_with_the_reason_and_the_others_are_listed(installation, build, run_dir):
    folder = build(GOOD % "x", "modules", "good")
    for name, (source, _) in UNUSABLE.items():
        if source is None:
            (folder / f"{name}.so").write_text("This is no shared library.\n" * 10)
        else:
            build(source, "modules", name)
    result, listed = as_json(installation, "--modules", folder)
    assert result.returncode == 78
    modules = {module["name"]: module for module in listed["modules"]}
    assert set(modules) == {"good", *UNUSABLE}
    assert modules["good"]["error"] is None and len(modules["good"]["classes"]) == 3
    for name, (_, reason) in UNUSABLE.items():
        assert modules[name]["error"].startswith(f"module '{name}' "), modules[name]
        assert reason in modules[name]["error"]
        assert modules[name]["classes"] == []
    assert modules["old"]["contractVersion"] == 1 and modules["old"]["buildType"] is None

    text = list_modules(installation, "--modules", folder)
    assert text.returncode == 78
    for name, (_, reason) in UNUSABLE.items():
        assert any(line.startswith("  module '") and reason in line for line in text.stdout.splitlines()), name


# The second closes what it is told over.
@pytest.mark.parametrize("before", ["signal(SIGTERM, SIG_IGN);", "for (int i = 3; i < 100; ++i) close(i);"])
def test_a_module_that_does_not_come_to_an_end_is_told_after_a_while(installation, build, before):
    folder = build("#include <csignal>\n#include <unistd.h>\n#include <weft/weft.hpp>\n"
                   f"WEFT_MODULE(registry) {{ {before} for (;;) pause(); }}", "modules", "hangs")
    result, listed = as_json(installation, "--modules", folder, "--start-timeout", "200ms")
    assert result.returncode == 78
    sentence = f"module 'hangs' ({folder}/hangs.so) cannot be used: it takes more than 200ms to load (--start-timeout)"
    assert [module["error"] for module in listed["modules"]] == [sentence]
    wait_for("the process that has loaded it to end", lambda: not processes_that_mention(str(folder)))

    site = folder.parent / "mappings" / "default"
    site.mkdir(parents=True)
    (site / "mapping.json").write_text(
        '{ "httpHandlers": [ { "add": { "verb": "*", "path": "/a", "type": "A, hangs" } } ] }')
    check = subprocess.run([installation.weft, "check", "--mappings", site.parent, "--modules", folder,
                            "--start-timeout", "200ms"], capture_output=True, text=True, timeout=60)
    assert check.returncode == 1 and sentence in check.stdout


def test_a_process_that_a_module_leaves_behind_is_not_waited_for(installation, build):
    # It has the list's end of the pipe open as well. 0s: nothing but the end of the module's own process ends the wait.
    folder = build("#include <csignal>\n#include <unistd.h>\n#include <weft/weft.hpp>\n"
                   "WEFT_MODULE(registry) { if (fork() == 0) { for (;;) pause(); } }", "modules", "helper")
    try:
        result = subprocess.run([installation.weft, "modules", "--modules", folder, "--start-timeout", "0s", "--format",
                                 "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    finally:
        for process in processes_that_mention(str(folder)):
            os.kill(process, signal.SIGKILL)
    assert result.returncode == 0
    assert [module["error"] for module in json.loads(result.stdout)["modules"]] == [None]


def test_what_a_module_prints_as_it_is_loaded_is_not_part_of_the_list(installation, build):
    folder = build("#include <cstdio>\n#include <weft/weft.hpp>\n"
                   'WEFT_MODULE(registry) { std::puts("hello"); std::fflush(stdout); }', "modules", "chatty")
    result, listed = as_json(installation, "--modules", folder)
    assert result.returncode == 0 and listed["modules"][0]["error"] is None
    assert "hello" in result.stderr


def test_no_terminal_obeys_what_a_module_says(installation, build):
    folder = build("#include <stdexcept>\n#include <weft/weft.hpp>\n"
                   'WEFT_MODULE(registry) { throw std::runtime_error("first\\n\\033[31msecond"); }', "modules", "throws")
    build(GOOD.replace("shop::Async", r"shop::\033[31mAsync") % "x", "modules", "good")
    (folder / "throws.so").rename(folder / "two\nlines\x1b[2J.so")
    result = list_modules(installation, "--modules", folder)
    assert result.returncode == 78
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert f"two\\u000alines\\u001b[2J ({folder}/two\\u000alines\\u001b[2J.so)" in lines
    assert "  shop::\\u001b[31mAsync: instance, async, resettable" in lines
    assert any(line.endswith("cannot be used: first\\u000a\\u001b[31msecond") for line in lines)


def test_the_first_folder_wins_and_the_second_is_a_warning(installation, build, run_dir):
    first = build(GOOD % "first", "first", "shop")
    second = build(GOOD % "second", "second", "shop")
    shutil.copy(second / "shop.so", second / "other.so")
    result, listed = as_json(installation, "--modules", first, "--modules", second)
    assert result.returncode == 0, result.stderr
    assert [module["file"] for module in listed["modules"]] == [str(first / "shop.so"), str(second / "other.so")]
    sentence = f"module 'shop': {second}/shop.so is not used, for {first}/shop.so comes first"
    assert listed["warnings"] == [sentence]
    assert sentence in result.stderr


def test_two_modules_with_a_class_of_one_name_serve_each_its_own(processes, installation, build, run_dir):
    first = build(GOOD % "from the first", "first", "shop")
    build(GOOD % "from the second", "second", "store")
    build(GOOD % "hidden by the first", "second", "shop")
    site = run_dir / "mappings" / "default"
    site.mkdir(parents=True)
    (site / "mapping.json").write_text("""{ "httpHandlers": [
      { "add": { "verb": "*", "path": "/shop", "type": "shop::Async, shop" } },
      { "add": { "verb": "*", "path": "/store", "type": "shop::Async, store" } } ] }""")
    host = Host(processes, dataclasses.replace(installation, modules=first), "--modules", run_dir / "second",
                mappings=run_dir / "mappings")
    assert host.get("/shop").body == b"from the first"
    assert host.get("/store").body == b"from the second"
    assert "is not used, for" in host.log.read_text()


def test_a_folder_that_cannot_be_read_is_78_and_none_at_all_is_said(installation, run_dir):
    result, listed = as_json(installation, "--modules", run_dir / "none")
    assert result.returncode == 78 and listed["modules"] == []
    assert "cannot be read" in result.stderr and "cannot be read" in listed["warnings"][0]
    empty = run_dir / "empty"
    empty.mkdir()
    assert list_modules(installation, "--modules", empty).returncode == 0


def test_a_list_that_nobody_can_read_is_74(installation):
    with open("/dev/full", "w") as full:
        result = subprocess.run([installation.weft, "modules", "--modules", installation.modules], stdout=full,
                                stderr=subprocess.DEVNULL, timeout=60)
    assert result.returncode == 74


HOOKS = """
#include <unistd.h>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <weft/weft.hpp>

WEFT_MODULE(registry) {
  registry.OnStart([](weft::HttpApplicationState&) { %s });
  registry.OnStop([](weft::HttpApplicationState&) { %s });
}
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_module_that_cannot_start_keeps_the_host_from_starting(installation, build, run_dir, workers):
    folder = build(HOOKS % ('throw std::runtime_error("no database");', ""), "modules", "hooks")
    result = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/s", "--workers", workers,
                             "--modules", folder], capture_output=True, text=True, timeout=60)
    assert result.returncode == 78
    assert f"error: module 'hooks' ({folder}/hooks.so) could not start: no database\n" in result.stderr
    assert list_modules(installation, "--modules", folder).returncode == 0  # it calls none of them


def with_stop_hooks(build, run_dir, last_one):
    """Two modules that note their stop; of the second, which is stopped first, `last_one` is the rest."""
    tell = f'std::ofstream("{run_dir}/stops", std::ios::app) << getpid() << std::endl;'
    folder = build(HOOKS % ("", tell), "hooks", "a")
    return build(HOOKS % ("", tell + last_one), folder.name, "b")


@pytest.mark.parametrize("workers", [0, 2])
def test_modules_stop_when_their_worker_ends(installation, processes, build, run_dir, workers):
    folder = with_stop_hooks(build, run_dir, 'throw std::runtime_error("no more");')
    host = Host(processes, installation, "--modules", folder, workers=workers)
    assert host.get("/hello.ashx").status == 200
    assert host.stop() == 0
    stops = (run_dir / "stops").read_text().split()
    assert stops and len(stops) == 2 * len(set(stops))
    assert host.log.read_text().count(f"module 'b' ({folder}/b.so) could not stop: no more") == len(set(stops))


def test_a_module_that_does_not_stop_holds_its_worker_up_for_no_longer_than_it_may(installation, processes, build,
                                                                                   run_dir):
    folder = with_stop_hooks(build, run_dir, "std::this_thread::sleep_for(std::chrono::hours(1));")
    host = Host(processes, installation, "--modules", folder, "--drain-timeout", "0s")
    assert host.get("/hello.ashx").status == 200
    assert host.stop() == 0
    assert len((run_dir / "stops").read_text().split()) == 1
    assert f"what module {folder}/b.so gave to OnStop() did not end in time" in host.log.read_text()


def start_with_hook(installation, processes, build, run_dir, hook, *options):
    """A host without a supervisor whose only module is in its start hook."""
    folder = build(HOOKS % (f'std::ofstream("{run_dir}/begun"); {hook}', f'std::ofstream("{run_dir}/stopped");'),
                   "modules", "hooks")
    process = processes.start("weft", [installation.weft, "serve", "--listen", f"unix:{run_dir}/s", "--workers", "0",
                                       "--modules", folder, *options])
    wait_for("the start hook", (run_dir / "begun").exists)
    assert (run_dir / "s").exists()
    return process


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_module_that_does_not_start_is_stopped_without_a_supervisor_too(installation, processes, build, run_dir, stop):
    process = start_with_hook(installation, processes, build, run_dir, "for (;;) pause();", "--drain-timeout", "0s")
    process.send_signal(stop)
    assert process.wait(timeout=10) == 0
    assert not (run_dir / "s").exists() and not (run_dir / "stopped").exists()
    assert ("stopped before it was ready, as it loaded or started the module "
            f"{run_dir}/modules/hooks.so") in (run_dir / "weft.log").read_text()


def test_a_module_that_is_slow_to_start_is_stopped_when_it_has(installation, processes, build, run_dir):
    hook = f'while (access("{run_dir}/go-on", F_OK) != 0) usleep(1000);'
    process = start_with_hook(installation, processes, build, run_dir, hook)
    process.send_signal(signal.SIGTERM)
    (run_dir / "go-on").touch()
    assert process.wait(timeout=10) == 0
    assert (run_dir / "stopped").exists()
